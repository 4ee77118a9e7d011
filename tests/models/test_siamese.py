"""Siamese: one network for both images, what it is made of, its file, and one-shot classification."""

import json

import keras
import numpy as np
import pytest
from calling import EAGERLY, JIT, as_array
from catalog import small_koch, small_siamese
from checks import randomize
from gradients import gradients
from thorough import run_alike

import keras_blocks
from keras_blocks import Siamese

same_graph = pytest.mark.skipif(not run_alike(), reason="the same graph on every backend")


@pytest.fixture
def images(rng):
    return rng.uniform(0, 1, (5, 8, 8, 1)).astype("float32")


@pytest.fixture
def koch_images(rng):
    return rng.uniform(0, 1, (5, 13, 13, 1)).astype("float32")


@pytest.mark.skipif(not run_alike(), reason="a count, the same on every backend; 150 MB of weights")
def test_koch_s_twins_have_38_951_745_parameters():
    for model in (
        Siamese(backbone="koch2015", distance="l1"),
        Siamese.from_variant("siamese_koch2015"),
        keras_blocks.create_model("siamese_koch2015", input_shape=(105, 105, 1)),
    ):
        assert model.count_params() == 38_951_745
        assert model.input_shape == [(None, 105, 105, 1)] * 2 and model.output_shape == (None, 1)
        assert model.embedding.output_shape == (None, 4096)


def test_training_goes_on_from_embeddings_of_zero(images):
    """Features of a ReLU may all be 0, and Keras' normalization of 0 has no gradient."""
    model = small_siamese(include_top=True)
    projection = model.embedding.get_layer("projection")
    projection.kernel.assign(0 * projection.kernel)
    found = gradients(model, [images[:2], images[2:4]])
    assert all(np.abs(gradient).max() < 100 for gradient in found)


def test_both_images_go_through_the_same_weights(koch_images):
    model = small_koch()
    randomize(model)
    # Each weight is there once: the twins are as many parameters as one, and the unit that weighs the differences.
    assert model.count_params() == model.embedding.count_params() + 6 + 1
    assert len({id(weight) for weight in model.weights}) == len(model.weights)
    left, right = koch_images[:2], koch_images[2:4]
    scores = as_array(model([left, right]))
    np.testing.assert_array_equal(as_array(model([right, left])), scores)
    by_hand = np.abs(model.embed(left) - model.embed(right)) @ as_array(model.get_layer("scores").kernel)
    by_hand = 1 / (1 + np.exp(-by_hand - as_array(model.get_layer("scores").bias)))
    np.testing.assert_allclose(scores, by_hand, rtol=1e-5)
    assert np.ptp(scores) > 1e-4
    kernel = model.embedding.layers[1].get_layer("group1").conv.kernel
    kernel.assign(kernel + 0.1)
    assert np.all(model.embed(left) != 0) and np.any(as_array(model([left, right])) != scores)
    np.testing.assert_array_equal(as_array(model([right, left])), as_array(model([left, right])))


@same_graph
def test_gradients_of_the_two_sides_add_up(koch_images):
    """A weight's gradient is the sum of the gradients through either side."""
    model = small_koch(classifier_activation=None)
    randomize(model)
    found = gradients(model, [koch_images[:2], koch_images[2:4]])
    twins = [small_koch(classifier_activation=None) for _ in range(2)]
    for twin in twins:
        twin.set_weights(model.get_weights())
    inputs = [keras.Input((13, 13, 1)), keras.Input((13, 13, 1))]
    left, right = (
        keras.Model(twin.embedding.input, twin.embedding.output, name=name)(x)
        for twin, name, x in zip(twins, ("left_twin", "right_twin"), inputs)
    )
    difference = keras.ops.abs(left - right)
    apart = keras.Model(inputs, twins[0].get_layer("scores")(difference))
    sides = dict(zip([id(w) for w in apart.trainable_weights], gradients(apart, [koch_images[:2], koch_images[2:4]])))
    pairs = zip(*(twin.embedding.trainable_weights for twin in twins))
    for gradient, (left, right) in zip(found, pairs):
        np.testing.assert_allclose(gradient, sides[id(left)] + sides[id(right)], rtol=1e-3, atol=1e-5)


@same_graph
def test_training_the_embedding_trains_the_pairs(images):
    model = small_siamese()
    before = as_array(model([images[:2], images[2:4]]))
    model.embedding.compile(keras.optimizers.SGD(0.5), keras_blocks.TripletLoss(), jit_compile=JIT, run_eagerly=EAGERLY)
    model.embedding.fit(images[:4], np.array([0, 0, 1, 1]), verbose=0)
    assert np.any(as_array(model([images[:2], images[2:4]])) != before)


@pytest.mark.parametrize("distance", ["l1", "l2", "cosine"] if run_alike() else ["l2"])
def test_without_the_top_the_output_is_the_distance(distance, images):
    model = small_siamese(distance=distance)
    a, b = model.embed(images[:2]), model.embed(images[2:4])
    expected = {
        "l1": np.abs(a - b).sum(1),
        "l2": np.linalg.norm(a - b, axis=1),
        "cosine": 1 - (a * b).sum(1),  # of length 1
    }[distance]
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(as_array(model([images[:2], images[2:4]]))[:, 0], expected, rtol=1e-4, atol=1e-6)
    model.compile("sgd", keras_blocks.ContrastiveLoss(), jit_compile=JIT, run_eagerly=EAGERLY)
    assert np.isfinite(model.fit([images[:2], images[2:4]], np.array([1, 0]), verbose=0).history["loss"][0])


@same_graph
@pytest.mark.parametrize("distance", ["l2", "cosine"])
def test_with_the_top_a_distance_speaks_against_likeness_from_the_start(distance, images):
    model = small_siamese(distance=distance, include_top=True)
    same, other = (as_array(model([images[:2], right]))[:, 0] for right in (images[:2], images[2:4]))
    np.testing.assert_allclose(same, 0.5, atol=1e-3)
    assert np.all(other < same)


@same_graph
def test_learns_which_pairs_are_of_one_class(rng):
    """Stripes lie or stand."""
    labels = np.arange(40) % 2
    stripes = (np.arange(8)[None] + rng.integers(0, 4, (40, 1))) % 4 < 2
    pictures = np.where(labels[:, None, None], stripes[:, :, None], stripes[:, None, :]).astype("float32")[..., None]
    pictures = np.broadcast_to(pictures, (40, 8, 8, 1)) + rng.normal(0, 0.1, (40, 8, 8, 1)).astype("float32")
    model = small_siamese(distance="l2", include_top=True, normalize=False)
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"], jit_compile=JIT)
    pairs = keras_blocks.PairSampler(pictures, labels, 16, batches=20, seed=0)
    assert model.fit(pairs, epochs=3, verbose=0).history["accuracy"][-1] > 0.9
    queries = pictures[2:]
    assert keras_blocks.one_shot_accuracy(model, [(pictures[:2], queries, labels[2:])]) > 0.9


@same_graph
def test_any_keras_model_is_a_backbone(images, tmp_path):
    plain = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 3), keras.layers.Flatten()], name="plain")
    model = Siamese(plain, "l2")
    assert model.embedding.output_shape == (None, 108)
    np.testing.assert_allclose(model.embed(images), plain.predict(images, verbose=0), rtol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.embed(images), model.embed(images))


@pytest.mark.once
def test_every_argument_comes_back_from_the_file(images, tmp_path):
    model = small_siamese(
        include_top=True, distance="l1", classifier_activation="tanh", name="it", preprocess=keras.layers.Rescaling(0.5)
    )
    randomize(model)
    model.embedding.get_layer("projection").trainable = False
    model.backbone.freeze(up_to="stem")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again, Siamese)
    assert json.dumps(again.get_config(), sort_keys=True) == json.dumps(model.get_config(), sort_keys=True)
    assert [w.path for w in again.trainable_weights] == [w.path for w in model.trainable_weights]
    assert len(again.trainable_weights) < len(small_siamese(include_top=True).trainable_weights)
    pair = [images[:2], images[2:4]]
    np.testing.assert_array_equal(as_array(again(pair)), as_array(model(pair)))
    model.embedding.save(tmp_path / "embedding.keras")
    alone = keras.saving.load_model(tmp_path / "embedding.keras")
    np.testing.assert_array_equal(as_array(alone(images)), as_array(model.embedding(images)))


@same_graph
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_keeps_a_mixed_policy_and_outputs_float32(policy, images, tmp_path):
    for top in (True, False):
        model = small_siamese(include_top=top, dtype=policy)
        assert keras.backend.standardize_dtype(model([images[:2], images[2:4]]).dtype) == "float32"
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        layers = [layer for layer in again._flatten_layers() if layer.weights and not isinstance(layer, keras.Model)]
        assert {layer.dtype_policy.name for layer in layers} == {policy}
        assert again.embedding.output.dtype == keras.dtype_policies.get(policy).compute_dtype


@pytest.mark.once
def test_preprocessing_comes_off_and_on_again(images):
    model = small_siamese(
        preprocess=[keras.layers.Resizing(8, 8), keras.layers.RandomFlip(seed=1), keras.layers.Rescaling(1 / 255)],
        input_shape=(None, None, 1),
        include_top=True,
    )
    randomize(model)
    assert model.input_shape == [(None, None, None, 1)] * 2
    raw = np.random.default_rng(0).integers(0, 256, (2, 2, 11, 9, 1)).astype("uint8")
    outputs = as_array(model(list(raw)))
    np.testing.assert_array_equal(as_array(model(list(raw))), outputs)  # no flips but in training
    np.testing.assert_array_equal(as_array(model.embedding(raw[0])), as_array(model.embedding(raw[0])))
    bare, pipeline = model.detach_preprocessing()
    assert bare.input_shape == [(None, 8, 8, 1)] * 2
    assert {id(weight) for weight in bare.weights} == {id(weight) for weight in model.weights}
    prepared = [pipeline(part, training=False) for part in raw]
    np.testing.assert_array_equal(as_array(bare(prepared)), outputs)
    again = bare.attach_preprocessing(pipeline)
    assert again.input_shape == model.input_shape
    np.testing.assert_array_equal(as_array(again(list(raw))), outputs)
    with pytest.raises(ValueError, match="no preprocessing"):
        bare.detach_preprocessing()


@pytest.mark.twice
def test_one_shot_takes_the_most_alike(images):
    model = small_siamese(include_top=True, distance="l2")
    assert model.one_shot(images, images[[4, 0, 2]]).tolist() == [4, 0, 2]
    similar = model.similarities(images[:3], images[3:])
    one_by_one = [[as_array(model([query[None], image[None]])).item() for image in images[:3]] for query in images[3:]]
    np.testing.assert_allclose(1 / (1 + np.exp(-similar)), one_by_one, rtol=1e-4)
    several = model.similarities(images[:4].reshape(2, 2, 8, 8, 1), images[4:])
    each = model.similarities(images[:4], images[4:])
    np.testing.assert_allclose(several, each.reshape(1, 2, 2).mean(axis=2), rtol=1e-5)


@pytest.mark.once
def test_accuracy_counts_the_queries_of_all_runs(images):
    class Parity:
        def one_shot(self, support, queries, batch_size):
            return np.arange(len(queries)) % 2

    runs = [(images[:2], images, np.zeros(5, int)), (images[:2], images[:1], [0])]
    assert keras_blocks.one_shot_accuracy(Parity(), runs) == pytest.approx(4 / 6)
    with pytest.raises(ValueError, match="no run"):
        keras_blocks.one_shot_accuracy(Parity(), [])
    with pytest.raises(ValueError, match=r"runs\[0\].*2 classes"):
        keras_blocks.one_shot_accuracy(Parity(), [(images[:2], images[:1], [2])])


@pytest.mark.once
def test_cost_counts_both_images_and_every_weight_once():
    model = small_koch()
    counted = keras_blocks.cost(model)
    embedding = keras_blocks.cost(model.embedding)
    assert counted.params == model.count_params() == embedding.params + 7
    assert counted.macs == 2 * embedding.macs + 6
    groups = [{"filters": 3, "kernel_size": 5}, {"filters": 4, "kernel_size": 3}]
    by_class = keras_blocks.cost(Siamese, (13, 13, 1), backbone="koch2015", groups=groups, classes=6)
    assert by_class == counted
    with pytest.raises(ValueError, match="several inputs"):
        keras_blocks.cost(model, (13, 13, 1))


def test_clone_and_channels_first():
    model = small_koch()
    clone = keras.models.clone_model(model)
    assert clone.count_params() == model.count_params()
    first = small_koch(data_format="channels_first", input_shape=(1, 13, 13))
    assert first.data_format == "channels_first" and first.count_params() == model.count_params()


BAD = [
    (lambda: Siamese("resnet21"), ValueError, "backbone.*resnet21.*Did you mean"),
    (lambda: Siamese(7), TypeError, "backbone.*7"),
    (lambda: Siamese(distance="l3"), ValueError, "distance.*l3"),
    (lambda: small_siamese(embedding=0), ValueError, "embedding.*0"),
    (lambda: small_siamese(embedding=2.5), TypeError, "embedding.*2.5"),
    (lambda: small_siamese(pooling="sum"), ValueError, "pooling.*sum"),
    (lambda: small_siamese(normalize="l2"), TypeError, "normalize.*l2"),
    (lambda: small_siamese(include_top=1), TypeError, "include_top.*1"),
    (lambda: small_siamese(classifier_activation="sigmoit"), ValueError, "classifier_activation.*sigmoit"),
    (lambda: small_siamese(preprocess="resize"), TypeError, "preprocess.*resize"),
    (
        lambda: Siamese(small_siamese().embedding, preprocess=keras.layers.Resizing(9, 9)),
        ValueError,
        "8, 8, 1.*9, 9, 1",
    ),
    (lambda: small_siamese(input_shape=(8, 8)), ValueError, "input_shape.*8, 8"),
    (lambda: small_siamese(colour="red"), TypeError, "colour"),
    (lambda: Siamese(keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])), ValueError, "backbone.*4 axes"),
    (lambda: Siamese(keras.Sequential([keras.layers.Flatten()])), ValueError, "backbone"),
    (lambda: Siamese(small_siamese()), ValueError, "backbone.*one input"),
    (lambda: Siamese(small_siamese().embedding, filters=3), TypeError, "metaparameters.*filters"),
    (lambda: Siamese(small_siamese().embedding, input_shape=(9, 9, 1)), ValueError, "input_shape.*9, 9, 1"),
    (lambda: Siamese.from_variant("siamese_koch2016"), ValueError, "Did you mean 'siamese_koch2015'"),
    (lambda: small_siamese().similarities(np.zeros((2, 8, 8)), np.zeros((2, 8, 8, 1))), ValueError, "support.*2, 8, 8"),
]


@same_graph
@pytest.mark.parametrize(("make", "error", "message"), BAD, ids=[message for _, _, message in BAD])
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
