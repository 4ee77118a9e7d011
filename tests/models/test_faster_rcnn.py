"""Faster R-CNN: what holds for any detector, what it refuses, and that it trains and goes through a file."""

import functools

import keras
import numpy as np
import pytest
from calling import EAGERLY, JIT
from thorough import run_all

import keras_blocks
from keras_blocks.detection.losses import chosen_regions, head_losses, proposal_losses
from keras_blocks.detection.targets import clean, match, sample

SIZE = (48, 64)
SMALL = {
    # Not fewer: TensorFlow 2.21's gradient of a 1x1 convolution with strides corrupts the memory below 16 channels.
    "groups": [{"filters": 16, "blocks": 1}, {"filters": 16, "blocks": 1}],
    "stem": "cifar",
    "block": "basic",
    "classes": 3,
    "levels": ["P0", "P1"],
    "pyramid_filters": 8,
    "anchor_sizes": [[8], [16], [32]],
    "hidden": [12],
    "pre_nms_top_n": 60,
    "post_nms_top_n": 20,
    "max_detections": 12,
    "region_size": 3,
    "rpn_samples": 32,
    "head_samples": 16,
    "labels": ["cat", "dog", "fox"],
    "input_shape": (*SIZE, 3),
}


def small(**options):
    keras.utils.set_random_seed(3)
    model = keras_blocks.FasterRCNN(keras_blocks.ResNet, **{**SMALL, **options})
    head = model.get_layer("head")
    for layer in (head.scores, head.deltas, model.get_layer("rpn").objectness):
        layer.kernel.assign(layer.kernel * 100)  # or all scores were alike
    return model


@functools.cache
def ready():
    return small(score_threshold=0.3)


@pytest.fixture
def images(rng):
    return rng.uniform(0, 1, (2, *SIZE, 3)).astype("float32")


def truth(*boxes, labels=None):
    """Of two images: the second has the first box alone."""
    of_both = np.full((2, max(len(boxes), 1), 4), -1.0, "float32")
    for i, box in enumerate(boxes):
        of_both[0, i] = box
    if boxes:
        of_both[1, 0] = boxes[0]
    classes = np.where(of_both[..., 2] > of_both[..., 0], 1, -1)
    return {"boxes": of_both, "labels": classes if labels is None else np.array(labels)}


BOXES = truth([8, 8, 40, 40], [20, 4, 60, 30])


def losses(model, images, boxes):
    found = model.evaluate(images, boxes, batch_size=2, verbose=0, return_dict=True)
    assert set(found) == {"loss", *model.loss_names}
    assert all(np.isfinite(value) for value in found.values()), found
    return found


@pytest.fixture(scope="module")
def compiled():
    model = small()
    model.compile("sgd", jit_compile=JIT, run_eagerly=EAGERLY)
    return model


@functools.cache
def outputs_in_training():
    """What the losses are computed of."""
    images = np.random.default_rng(0).uniform(0, 1, (2, *SIZE, 3)).astype("float32")
    return keras.tree.map_structure(keras.ops.convert_to_tensor, ready()._trained(images))


def losses_of(boxes):
    found = ready().losses_of(outputs_in_training(), boxes, training=False)
    return {name: float(keras.ops.convert_to_numpy(value)) for name, value in found.items()}


@pytest.mark.twice
def test_training_lowers_the_losses(images):
    model = small()
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=JIT, run_eagerly=EAGERLY)
    history = model.fit(images, BOXES, batch_size=2, epochs=10, verbose=0).history
    assert set(history) == {"loss", *model.loss_names}
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert np.isclose(history["loss"][0], sum(history[name][0] for name in model.loss_names), rtol=1e-4)


@pytest.mark.skipif(not run_all() and not JIT, reason="XLA compiles for a minute on TensorFlow: in `make test-all`")
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch has no XLA")
def test_trains_under_xla_in_16_bits(images):
    keras.config.set_dtype_policy("mixed_float16")
    model = small()
    keras.config.set_dtype_policy("float32")
    model.compile(keras.optimizers.SGD(1e-3), jit_compile=True)
    history = model.fit(images, BOXES, batch_size=2, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and history["loss"][1] != history["loss"][0]
    found = model.predict(images, verbose=0)
    assert found["boxes"].dtype == np.float32 and np.isfinite(found["scores"]).all()


def test_outputs_are_padded_and_decoded(images):
    model = ready()
    found = model.predict(images, verbose=0)
    assert {name: x.shape for name, x in found.items()} == {
        "boxes": (2, 12, 4),
        "scores": (2, 12),
        "labels": (2, 12),
        "num_detections": (2,),
    }
    for i, count in enumerate(found["num_detections"]):
        assert count > 0
        assert (np.diff(found["scores"][i, :count]) <= 0).all() and (found["scores"][i, :count] > 0.3).all()
        assert (found["boxes"][i, count:] == -1).all() and (found["labels"][i, count:] == -1).all()
        assert set(found["labels"][i, :count]) <= {0, 1, 2}
    decoded = model.decode_predictions(found)
    assert [len(one) for one in decoded] == found["num_detections"].tolist()
    assert decoded[0][0][0] in SMALL["labels"]


def test_a_batch_of_two_is_two_batches_of_one(images):
    together = ready().predict(images, verbose=0)
    for i in range(2):
        alone = ready().predict(images[i : i + 1], verbose=0)
        for name in together:
            np.testing.assert_allclose(together[name][i], alone[name][0], rtol=1e-4, atol=1e-3)


@pytest.mark.twice
@pytest.mark.parametrize("name", ["resize", "preprocess"])
def test_boxes_are_in_pixels_of_the_images_as_they_come(name, images):
    if name == "resize":
        model = small(image_size=(96, 128), input_shape=(None, None, 3), score_threshold=0.3)
    else:
        model = small(preprocess=[keras.layers.Rescaling(1.5)], score_threshold=0.3)
    found = model.predict(images, verbose=0)
    assert (found["num_detections"] > 0).all()
    assert found["boxes"][..., [0, 2]].max() <= 64 + 1e-3 and found["boxes"][..., [1, 3]].max() <= 48 + 1e-3
    assert found["boxes"][..., [0, 2]].max() > 48, "the boxes are in pixels of something smaller"


@pytest.mark.once
def test_padding_and_order_of_objects_change_nothing(images, compiled):
    assert losses(compiled, images, BOXES)["loss"] > 0
    more = {
        "boxes": np.concatenate([BOXES["boxes"], np.full((2, 3, 4), -1.0)], axis=1).astype("float32"),
        "labels": np.concatenate([BOXES["labels"], np.full((2, 3), -1)], axis=1),
    }
    turned = {name: value[:, ::-1].copy() for name, value in BOXES.items()}
    anchors = proposal_outputs()
    for name, other in (("padding", more), ("order", turned)):
        same = clean(other["boxes"], other["labels"], 3)
        found = proposal_losses(anchors, same[0], samples=10**6, seed=keras.random.SeedGenerator(0))
        own = clean(BOXES["boxes"], BOXES["labels"], 3)
        before = proposal_losses(anchors, own[0], samples=10**6, seed=keras.random.SeedGenerator(0))
        for key in before:
            assert float(found[key]) == pytest.approx(float(before[key]), rel=1e-5), name


def proposal_outputs():
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 50, (40, 2))
    anchors = np.concatenate([corners, corners + rng.uniform(4, 30, (40, 2))], axis=-1).astype("float32")
    return {
        "anchors": keras.ops.convert_to_tensor(anchors),
        "objectness": keras.ops.convert_to_tensor(rng.normal(size=(2, 40)).astype("float32")),
        "deltas": keras.ops.convert_to_tensor(rng.normal(size=(2, 40, 4)).astype("float32")),
    }


HARMLESS = {
    "no objects": truth(),
    "one image without": {
        "boxes": np.array([[[8, 8, 40, 40]], [[-1] * 4]], "float32"),
        "labels": np.array([[1], [-1]]),
    },
    "NaN": truth([np.nan, 8, 40, 40]),
    "infinite": truth([8, 8, np.inf, 40]),
    "minus infinite": truth([-np.inf, 8, 40, 40]),
    "zero area": truth([8, 8, 8, 40]),
    "inverted": truth([40, 8, 8, 40]),
    "a point": truth([8, 8, 8, 8]),
    "outside": truth([100, 100, 140, 140]),
    "far outside": truth([1e6, 1e6, 2e6, 2e6]),
    "partly outside": truth([-20, -20, 20, 20]),
    "the whole image": truth([0, 0, 64, 48]),
    "a millionth of a pixel": truth([8, 8, 8 + 1e-6, 8 + 1e-6]),
    "smaller than any anchor": truth([8, 8, 9, 9]),
    "label too large": truth([8, 8, 40, 40], labels=[[3], [3]]),
    "label negative": truth([8, 8, 40, 40], labels=[[-5], [1]]),
    "a box, the label padding": truth([8, 8, 40, 40], labels=[[-1], [-1]]),
    "padding, with a label": {"boxes": np.full((2, 1, 4), -1.0, "float32"), "labels": np.array([[1], [2]])},
    "the same box twice": truth([8, 8, 40, 40], [8, 8, 40, 40]),
    "one box in two classes": truth([8, 8, 40, 40], [8, 8, 40, 40], labels=[[0, 2], [1, -1]]),
    "integers": {"boxes": np.array([[[8, 8, 40, 40]]] * 2), "labels": np.array([[1]] * 2)},
    "float labels": {"boxes": BOXES["boxes"], "labels": BOXES["labels"].astype("float32")},
    "many": truth(*[[i, i, i + 9, i + 9] for i in range(30)]),
}


@pytest.mark.once
@pytest.mark.parametrize("name", HARMLESS)
def test_losses_are_finite_whatever_the_boxes_are(name):
    found = losses_of(HARMLESS[name])
    assert all(np.isfinite(value) for value in found.values()), found
    if name in ("no objects", "NaN", "infinite", "zero area", "inverted", "a point", "label too large"):
        assert found["rpn_box_loss"] == 0 and found["box_loss"] == 0
    if name in ("the whole image", "integers", "many"):
        assert found["rpn_box_loss"] > 0 and found["box_loss"] > 0


def images_of(value):
    return np.full((2, *SIZE, 3), value, "float32")


WRONG = [
    (lambda m, x: m.evaluate(x, {"boxes": BOXES["boxes"]}, verbose=0), "'labels'"),
    (lambda m, x: m.evaluate(x, BOXES["boxes"], verbose=0), "'boxes'"),
    (lambda m, x: m.evaluate(x, {**BOXES, "boxes": BOXES["boxes"][..., :3]}, verbose=0), "(batch, objects, 4)"),
    (lambda m, x: m.evaluate(x, {**BOXES, "labels": BOXES["labels"][:, :1]}, verbose=0), "as many"),
    (lambda m, x: m.evaluate(x, {**BOXES, "labels": BOXES["labels"][..., None]}, verbose=0), "(batch, objects)"),
    (lambda m, x: m.fit(x, truth([8, 8, 40, 40], labels=[[3], [1]]), verbose=0), "from 0 to 2"),
    (lambda m, x: m.evaluate(x, truth([8, 8, 40, 40], labels=[[3], [1]]), verbose=0), "from 0 to 2"),
    (lambda m, x: m.compute_loss(x, {"boxes": [[[8, 8, 40, 40]]], "labels": [[1]]}, {}), "(batch, objects, 4)"),
    (lambda m, x: m.evaluate(x, BOXES, sample_weight=np.ones(2), verbose=0), "sample_weight"),
    (lambda m, x: small().compile("sgd", loss="mse"), "loss"),
    (lambda m, x: small().compile("sgd", metrics=["accuracy"]), "metrics"),
    (lambda m, x: small(classes=0, labels=None), "classes"),
    (lambda m, x: small(labels=["one"]), "labels"),
    (lambda m, x: small(levels=["P7"]), "levels[0]"),
    (lambda m, x: small(levels=[]), "levels"),
    (lambda m, x: small(levels=["P0", "P0"]), "levels"),
    (lambda m, x: small(pyramid_filters=None, anchor_sizes=[[8]]), "levels"),
    (lambda m, x: small(anchor_sizes=[[8], [16]]), "sizes"),
    (lambda m, x: small(anchor_sizes=[[8], [16], [-3]]), "sizes[2][0]"),
    (lambda m, x: small(aspect_ratios=[-1]), "aspect_ratios[0]"),
    (lambda m, x: small(image_size=0), "image_size"),
    (lambda m, x: small(input_shape=(None, None, 3)), "image_size"),
    (lambda m, x: small(region_pooling="warp"), "region_pooling"),
    (lambda m, x: small(region_size=0), "region_size"),
    (lambda m, x: small(hidden=[0]), "hidden[0]"),
    (lambda m, x: small(dropout=1), "dropout"),
    (lambda m, x: small(score_threshold=2), "score_threshold"),
    (lambda m, x: small(iou_threshold=-1), "iou_threshold"),
    (lambda m, x: small(proposal_iou_threshold=-1), "iou_threshold"),
    (lambda m, x: small(max_detections=0), "max_detections"),
    (lambda m, x: small(rpn_samples=0), "rpn_samples"),
    (lambda m, x: small(head_samples=0), "head_samples"),
    (lambda m, x: small(pre_nms_top_n=0), "pre_nms_top_n"),
    (lambda m, x: small(post_nms_top_n=(1, 2, 3)), "post_nms_top_n"),
    (lambda m, x: small(preprocess=keras.layers.Resizing(32, 32)), "preprocess"),
    (lambda m, x: small(num_classes=3), "classes"),
    (lambda m, x: keras_blocks.FasterRCNN("resnet2000"), "backbone"),
    (lambda m, x: keras_blocks.FasterRCNN(3), "backbone"),
    (lambda m, x: keras_blocks.FasterRCNN(keras.Sequential([keras.layers.Dense(2)])), "pyramid_outputs"),
    (lambda m, x: keras_blocks.FasterRCNN("resnet20_cifar", levels=["P2"], stem="tiny"), "stem"),
]


@pytest.mark.once
@pytest.mark.parametrize("call, text", WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_errors_name_what_is_wrong(call, text, compiled, images):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(compiled, images)
    assert text in str(caught.value)


@pytest.mark.twice
def test_goes_through_a_file(images, tmp_path):
    model = ready()
    model.save(tmp_path / "detector.keras")
    again = keras.saving.load_model(tmp_path / "detector.keras")
    expected, found = (one.predict(images, verbose=0) for one in (model, again))
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-4)
    assert again.get_config() == model.get_config()


@pytest.mark.once
def test_backbones_are_models_with_features_or_pyramid_outputs(images):
    inputs = keras.Input((*SIZE, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, padding="same")(inputs)
    y = keras.layers.Conv2D(6, 3, strides=2, padding="same")(x)
    own = keras.Model(inputs, y)
    own.pyramid_outputs = {"P2": x, "P3": y}
    keys = ("groups", "stem", "block", "levels")
    options = {name: value for name, value in SMALL.items() if name not in keys}
    model = keras_blocks.FasterRCNN(own, **options)
    assert model.metaparameters.levels == ("P2", "P3")
    assert model.predict(images, verbose=0)["boxes"].shape == (2, 12, 4)


@pytest.mark.once
def test_freezing(images):
    model = small()
    model.freeze("group1")
    assert not model.backbone.get_layer("stem").trainable and model.get_layer("head").trainable
    model.unfreeze()
    model.freeze_normalization()
    frozen = [weight for weight in model.backbone.weights if "gamma" in weight.path]
    assert frozen and not set(map(id, frozen)) & set(map(id, model.trainable_weights))
    before = [weight.numpy() for weight in model.backbone.non_trainable_weights]
    model.compile("sgd", run_eagerly=True)
    model.train_on_batch(images, BOXES)
    for weight, old in zip(model.backbone.non_trainable_weights, before):
        np.testing.assert_array_equal(weight.numpy(), old)


@pytest.mark.once
def test_cost_counts_regions():
    few, many = (keras_blocks.cost(small(post_nms_top_n=n)) for n in (10, 20))
    assert few.params == many.params
    hidden, outputs = 12 * 3 * 3 * 8, 12 * (4 + 16)
    assert many.macs - few.macs == 10 * (hidden + outputs)
    assert keras_blocks.cost(keras_blocks.FasterRCNN, backbone=keras_blocks.ResNet, **SMALL).macs > 0


# -- targets and losses -----------------------------------------------------------------------------------------------


@pytest.mark.once
def test_match_is_as_in_the_paper():
    """Section 3.1.2: an object's best anchor, and anchors above 0.7, are objects; below 0.3 they are background."""
    boxes = keras.ops.array([[[0, 0, 10, 10], [0, 0, 10, 20], [-1] * 4]], "float32")
    anchors = np.array([[0, 0, 10, 9], [0, 0, 10, 5.5], [0, 0, 10, 2], [50, 50, 60, 60], [0, 0, 10, 13]], "float32")
    of, kind = (np.asarray(keras.ops.convert_to_numpy(x))[0] for x in match(boxes, anchors, 0.7, 0.3, low_quality=True))
    assert kind.tolist() == [1, -1, 0, 0, 1]  # the last: 0.65 with the second object is its best
    assert of[[0, 1, 4]].tolist() == [0, 0, 0]
    _, kind = match(boxes, anchors, 0.7, 0.3, low_quality=False)
    assert keras.ops.convert_to_numpy(kind)[0].tolist() == [1, -1, 0, 0, 1 if 10 / 13 >= 0.7 else -1]


def test_sample_takes_objects_up_to_their_share_and_background_for_the_rest():
    seed = keras.random.SeedGenerator(1)
    kind = np.array([[1] * 10 + [0] * 20 + [-1] * 10, [1] + [0] * 4 + [-1] * 35])
    index, there = sample(keras.ops.convert_to_tensor(kind), 16, 0.25, seed)
    index, there = (np.asarray(keras.ops.convert_to_numpy(x)) for x in (index, there))
    chosen = [kind[i][index[i][there[i]]] for i in range(2)]
    assert chosen[0].tolist() == [1] * 4 + [0] * 12
    assert chosen[1].tolist() == [1] + [0] * 4
    assert all(len(set(index[i][there[i]].tolist())) == there[i].sum() for i in range(2)), "one is chosen twice"


@pytest.mark.once
def test_samples_differ_from_step_to_step_and_follow_from_the_seed():
    kind = keras.ops.convert_to_tensor([[1] * 20 + [0] * 80])
    draws = []
    for start in (1, 1, 2):
        seed = keras.random.SeedGenerator(start)
        draws.append([keras.ops.convert_to_numpy(sample(kind, 16, 0.5, seed)[0]).tolist() for _ in range(2)])
    assert draws[0] == draws[1] != draws[2]
    assert draws[0][0] != draws[0][1]


@pytest.mark.once
def test_the_head_is_trained_on_the_objects_themselves():
    """Ground truth is among the regions, whatever was proposed."""
    proposals = np.full((1, 6, 4), -1.0, "float32")
    boxes, labels = BOXES["boxes"][:1], BOXES["labels"][:1]
    seed = keras.random.SeedGenerator(0)
    regions, classes, targets, there = chosen_regions(proposals, boxes, labels, samples=8, seed=seed)
    there = keras.ops.convert_to_numpy(there)
    regions = keras.ops.convert_to_numpy(regions)
    assert sorted(regions[there].tolist()) == sorted(boxes[0].tolist())
    assert keras.ops.convert_to_numpy(classes)[there].tolist() == [2, 2]
    outputs = {"scores": np.zeros((1, 8, 4), "float32"), "deltas": np.zeros((1, 8, 16), "float32")}
    found = head_losses(outputs, regions, classes, targets, there, (10, 10, 5, 5))
    assert float(found["class_loss"]) == pytest.approx(np.log(4)) and float(found["box_loss"]) == 0
