"""Preprocessing in the graph: raw images in, augmentation in training alone, off and on again to the bit."""

import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from calling import EAGERLY, JIT
from checks import randomize
from keras import layers
from thorough import run_alike

import keras_blocks

SMALL = {"groups": [{"filters": 4, "blocks": 1}, {"filters": 8, "blocks": 1}], "stem": "cifar", "classes": 3}
RAW = {**SMALL, "input_shape": (None, None, 3)}

"""What is the same graph on every backend is tested on this one alone."""

AUGMENTING = {
    "RandomFlip": lambda: layers.RandomFlip("horizontal", seed=1),
    "RandomCrop": lambda: layers.RandomCrop(8, 8, seed=1),
    "RandAugment": lambda: layers.RandAugment(value_range=(0, 255), seed=1),
    "RandomErasing": lambda: layers.RandomErasing(value_range=(0, 255), factor=1.0, seed=1),
}

TRACED = "RandomFlip"
"""What is trained and predicts in TensorFlow's graphs; the others do where KERAS_BLOCKS_ALL is set."""


def as_array(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def photos(height=13, width=17, batch=4):
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3)).astype("uint8")


def pipeline():
    return [layers.Resizing(10, 10), layers.RandomFlip(seed=1), keras_blocks.ImageNormalization("caffe")]


def small(**options):
    model = keras_blocks.ResNet(**{**RAW, "preprocess": pipeline(), **options})
    randomize(model)
    return model


@pytest.mark.twice
@pytest.mark.parametrize("name", AUGMENTING if run_alike() else ["RandomFlip"])
def test_augments_in_training_alone_and_is_in_the_file(name, tmp_path):
    model = small(preprocess=[layers.Resizing(10, 10), AUGMENTING[name](), layers.Rescaling(1 / 255)])
    images = photos()
    outputs = as_array(model(images))
    np.testing.assert_array_equal(as_array(model(images)), outputs)
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=JIT, run_eagerly=EAGERLY and name != TRACED)
    np.testing.assert_allclose(model.predict(images, verbose=0), outputs, rtol=1e-5, atol=1e-6)
    draws = [as_array(model.detach_preprocessing()[1](images, training=True)) for _ in range(2)]
    assert np.any(draws[0] != draws[1])
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(as_array(keras.saving.load_model(tmp_path / "model.keras")(images)), outputs)
    assert np.isfinite(model.fit(images, np.arange(4) % 3, verbose=0).history["loss"][0])


@pytest.mark.once
def test_a_head_of_fixed_size_takes_images_of_any_size():
    """VGG flattens, so it needs the size that `Resizing` gives."""
    model = keras_blocks.VGG(
        [{"filters": 4, "layers": 1}],
        hidden=(5,),
        input_shape=(None, None, 3),
        classes=3,
        preprocess=layers.Resizing(8, 8),
    )
    assert model(photos(9, 20)).shape == model(photos(31, 8)).shape == (4, 3)


@pytest.mark.once
def test_saved_models_take_raw_images_in_a_fresh_process(tmp_path):
    """To the bit, on the same backend: of a network with preprocessing, of its backbone in a user's own model, and of
    an autoencoder's halves. One process for all: starting one takes longer than the rest."""
    model = small()
    head = keras.layers.Dense(2)(keras.layers.Flatten()(model.output))
    mine = keras.Model(model.input, head)
    coder = keras_blocks.AutoEncoder(
        [{"filters": 4}],
        {"filters": 2},
        input_shape=(None, None, 3),
        variational=True,
        preprocess=[layers.RandomFlip(seed=1), layers.Rescaling(1 / 255)],
    )
    randomize(coder)
    of_sizes = {"a": photos(), "b": photos(20, 9), "c": photos(31, 10)}
    for name, one in {"whole": model, "mine": mine, "coder": coder}.items():
        one.save(tmp_path / f"{name}.keras")
        outputs = {f"{size}_outputs": as_array(one(images)) for size, images in of_sizes.items()}
        np.savez(tmp_path / f"{name}.npz", **of_sizes, **outputs)
    code = f"""
        import pathlib
        import keras, keras_blocks, numpy as np
        for file in pathlib.Path({str(tmp_path)!r}).glob("*.keras"):
            model, saved = keras.saving.load_model(file), np.load(file.with_suffix(".npz"))
            for size in "abc":
                outputs = model(saved[size])
                np.testing.assert_array_equal(keras.ops.convert_to_numpy(outputs), saved[size + "_outputs"], file.name)
            if file.stem == "coder":
                model.decoder(model.encoder(saved["a"]))
            print("loaded", file.name)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("loaded") == 3, done.stderr[-2000:]


def test_models_built_on_the_graph_augment_in_training_alone_too():
    """`expand`, and a user's own model from the backbone's input to its output."""
    flip = layers.RandomFlip("horizontal", seed=1)
    net = small(preprocess=[layers.Resizing(10, 10), flip, layers.Rescaling(1 / 255)])
    inputs = keras.Input((None, None, 3))
    nested = keras.Model(inputs, net(inputs))
    images = photos()
    for model in (
        net.expand(),
        keras.Model(net.input, net.output),
        nested,
        keras.Model(net.input, net.features["stem"]),
    ):
        outputs = as_array(net(images))  # anew each time, as training moves the statistics
        quiet = [as_array(model(images)) for _ in range(3)]
        np.testing.assert_array_equal(quiet[0], quiet[1])
        np.testing.assert_array_equal(quiet[0], quiet[2])
        np.testing.assert_array_equal(quiet[0], as_array(model(images, training=False)))
        if quiet[0].shape == outputs.shape:
            np.testing.assert_array_equal(quiet[0], outputs)
        drawn = [as_array(model(images, training=True)) for _ in range(4)]
        assert any(np.any(one != drawn[0]) for one in drawn[1:]), "it augments no more"


def test_detached_and_attached_again_changes_no_bit(tmp_path):
    model, images = small(), photos()
    outputs = as_array(model(images))
    bare, pipeline = model.detach_preprocessing()
    prepared = pipeline(images, training=False)
    assert type(bare) is keras_blocks.ResNet and bare.input_shape == (None, 10, 10, 3)
    np.testing.assert_array_equal(as_array(bare(prepared)), outputs)
    again = bare.attach_preprocessing(pipeline)
    np.testing.assert_array_equal(as_array(again(images)), outputs)
    assert again.get_config() == model.get_config()
    for other in (bare, again):
        assert {id(weight) for weight in other.weights} == {id(weight) for weight in model.weights}
        other.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert json.dumps(loaded.get_config()) == json.dumps(other.get_config())
        given = prepared if other is bare else images
        np.testing.assert_array_equal(as_array(loaded(given)), outputs)
    np.testing.assert_array_equal(as_array(model(images)), outputs)


@pytest.mark.once
def test_what_is_trained_without_preprocessing_is_learned_with_it():
    model, images = small(), photos()
    bare, pipeline = model.detach_preprocessing()
    prepared, before = pipeline(images, training=False), as_array(model(images))
    bare.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    bare.fit(as_array(prepared), np.arange(4) % 3, verbose=0)
    after = as_array(model(images))
    assert np.any(after != before)
    np.testing.assert_array_equal(after, as_array(bare(prepared)))


@pytest.mark.once
def test_feature_maps_and_frozen_layers_move_along():
    model = small()
    model.freeze(up_to="group1")
    bare, pipeline = model.detach_preprocessing()
    assert list(bare.features) == list(model.features)
    tapped = keras.Model(bare.inputs, bare.features["group1"])
    whole = keras.Model(model.inputs, model.features["group1"])
    images = photos()
    expected = whole.predict(images, verbose=0)
    np.testing.assert_allclose(tapped.predict(as_array(pipeline(images, training=False)), verbose=0), expected, 1e-5)
    assert [weight.path for weight in bare.trainable_weights] == [weight.path for weight in model.trainable_weights]
    bare.freeze()
    assert not model.get_layer("group2_block1").trainable


def test_the_pipeline_runs_in_tf_data():
    tf = pytest.importorskip("tensorflow")
    model = small(preprocess=[layers.Resizing(10, 10), keras_blocks.ImageNormalization("torch")])
    bare, pipeline = model.detach_preprocessing()
    images = photos()
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(4).map(pipeline)
    outputs = as_array(model(images))
    np.testing.assert_allclose(bare.predict(dataset, verbose=0), outputs, rtol=1e-3, atol=1e-4 * np.abs(outputs).max())


@pytest.mark.once
def test_weights_of_the_preprocessing_travel_with_the_pipeline(tmp_path):
    normalization = layers.Normalization(axis=-1)
    normalization.adapt(photos().astype("float32"))
    model = keras_blocks.ResNet(**SMALL, preprocess=normalization, input_shape=(13, 17, 3))
    bare, pipeline = model.detach_preprocessing()
    images = photos().astype("float32")
    again = bare.attach_preprocessing(pipeline)
    np.testing.assert_array_equal(as_array(again(images)), as_array(model(images)))
    again.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(as_array(loaded(images)), as_array(model(images)))


@pytest.mark.once
def test_attached_layers_must_give_the_input_shape():
    bare = keras_blocks.ResNet(**SMALL, input_shape=(10, 10, 3))
    assert bare.attach_preprocessing(layers.Resizing(10, 10)).input_shape == (None, None, None, 3)
    assert bare.attach_preprocessing(layers.Rescaling(1 / 255)).input_shape == (None, 10, 10, 3)
    gray = layers.Conv2D(3, 1)  # from one channel to three
    assert bare.attach_preprocessing(gray, input_shape=(10, 10, 1)).input_shape == (None, 10, 10, 1)
    with pytest.raises(ValueError, match=r"\(10, 10, 3\).*\(8, 8, 3\)"):
        bare.attach_preprocessing(layers.Resizing(8, 8))
    with pytest.raises(ValueError, match="detach it first"):
        bare.attach_preprocessing(layers.Rescaling(1 / 255)).attach_preprocessing(layers.Rescaling(2))
    with pytest.raises(ValueError, match="no preprocessing"):
        bare.detach_preprocessing()
    with pytest.raises(ValueError, match="`layers`"):
        bare.attach_preprocessing([])


@pytest.mark.once
@pytest.mark.parametrize("mixing", [layers.MixUp, layers.CutMix])
def test_what_mixes_labels_is_refused(mixing):
    """In the graph there are no labels: the images would be mixed, and keep the label of one."""
    with pytest.raises(ValueError, match=r"`preprocess`.*tf.data"):
        keras_blocks.ResNet(**RAW, preprocess=mixing())


@pytest.mark.once
def test_cost_counts_behind_the_preprocessing():
    options = {**SMALL, "preprocess": [layers.Resizing(10, 10), keras_blocks.ImageNormalization("tf")]}
    whole = keras_blocks.cost(keras_blocks.ResNet, (32, 48, 3), **options)
    bare = keras_blocks.cost(keras_blocks.ResNet, (10, 10, 3), **SMALL)
    assert whole[:2] == bare[:2]
    assert whole.activation_bytes - bare.activation_bytes == 2 * 10 * 10 * 3 * 4
    assert keras_blocks.cost(keras_blocks.ResNet, **{**options, "input_shape": (None, None, 3)}) == whole


@pytest.mark.once
def test_auxiliary_classifiers_and_preprocessing_leave_each_other_alone():
    net = keras_blocks.create_model(
        "googlenet_cifar", auxiliary=True, preprocess=keras.layers.Rescaling(1 / 255), labels=list("abcdefghij")
    )
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    outputs = {name: keras.ops.convert_to_numpy(value) for name, value in net(images).items()}
    assert set(outputs) == {"predictions", "aux_1", "aux_2"}
    assert net.decode_predictions(outputs) == net.decode_predictions(outputs["predictions"])

    bare, pipeline = net.detach_preprocessing()
    assert set(bare.side_outputs) == {"aux_1", "aux_2"}
    again = bare.attach_preprocessing(pipeline)
    for model, x in ((bare, pipeline(images, training=False)), (again, images)):
        for name, value in model(x).items():
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(value), outputs[name])
    alone, _ = net.without_auxiliary().detach_preprocessing()
    found = alone(pipeline(images, training=False))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), outputs["predictions"])
