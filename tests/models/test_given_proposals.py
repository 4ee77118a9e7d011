"""Fast R-CNN and R-CNN, which are told where to look: torchvision's outputs, what holds for both, what they refuse."""

import functools

import golden_weights
import keras
import numpy as np
import pytest
from calling import EAGERLY, JIT
from versions import KERAS

import keras_blocks
from keras_blocks.models.rcnn_fitting import ridge_regression

SIZE = (48, 64)
COMMON = {"classes": 3, "hidden": [12], "max_detections": 9, "score_threshold": 0.1, "input_shape": (*SIZE, 3)}
TINY = {"groups": [{"filters": 16, "blocks": 1}, {"filters": 16, "blocks": 1}], "stem": "cifar", "block": "basic"}
KINDS = {
    "fast": (keras_blocks.FastRCNN, {"levels": ["P1"], "region_size": 3, "head_samples": 16}),
    "rcnn": (keras_blocks.RCNN, {"region_size": 12, "context": 2, "head_samples": 16, "regions_at_once": 4}),
}
IMAGES = np.random.default_rng(0).uniform(0, 1, (2, *SIZE, 3)).astype("float32")
REGIONS = np.array(
    [
        [[8, 8, 40, 40], [20, 4, 60, 30], [0, 0, 20, 20], [30, 20, 64, 48], [5, 30, 25, 46], [9, 9, 38, 41]],
        [[1, 2, 30, 40], [20, 4, 50, 40], [8, 8, 40, 40], [-1, -1, -1, -1], [10, 0, 64, 20], [9, 9, 38, 41]],
    ],
    "float32",
)
INPUTS = {"image": IMAGES, "proposals": REGIONS}
TRUTH = {
    "boxes": np.array([[[8, 8, 40, 40], [20, 4, 60, 30]], [[8, 8, 40, 40], [-1, -1, -1, -1]]], "float32"),
    "labels": np.array([[1, 2], [1, -1]]),
}


def small(kind, **options):
    cls, own = KINDS[kind]
    model = cls(keras_blocks.ResNet, **{**TINY, **COMMON, **own, **options})
    rng = np.random.default_rng(3)
    for weight in model.trainable_weights:
        if weight.path.endswith("kernel"):  # the same on all backends, and scores that are not all alike
            spread = 0.3 if "scores" in weight.path else 0.002 if "deltas" in weight.path else 1.4
            weight.assign(rng.normal(0, spread / np.sqrt(np.prod(weight.shape[:-1])), weight.shape))
    model.get_layer("head").scores.bias.assign([-5, 0, 0, 0])  # each region is something
    model.compile("sgd", jit_compile=JIT, run_eagerly=EAGERLY)
    return model


@functools.cache
def ready(kind):
    return small(kind)


def detections(model, image=IMAGES, proposals=REGIONS):
    return model.predict_on_batch({"image": image, "proposals": np.asarray(proposals, "float32")})


def losses(model, truth, inputs=INPUTS):
    found = model.evaluate(inputs, truth, batch_size=2, verbose=0, return_dict=True)
    assert set(found) == {"loss", *model.loss_names}
    assert all(np.isfinite(value) for value in found.values()), found
    return found


both = pytest.mark.parametrize("kind", KINDS)


not_on_torch = pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="regions pooled from the same pixels have the same scores, and PyTorch takes these in any order",
)


@pytest.mark.parametrize("pooling", ["align", pytest.param("pool", marks=not_on_torch)])
def test_fast_rcnn_is_torchvisions(pooling, record_property):
    golden = golden_weights.load("torchvision", f"fast_rcnn_squeezenet_{pooling}_96x128")
    model = keras_blocks.FastRCNN(
        "squeezenet_1.1",
        classes=4,
        region_size=3,
        region_pooling=pooling,
        hidden=[32, 32],
        head_samples=10**6,
        score_threshold=0.2,
        input_shape=golden["images"][1:],
    )
    keras_blocks.convert_weights(golden_weights.weights(golden["shapes"], gains=golden["gains"]), model)
    model.compile("sgd", jit_compile=JIT, run_eagerly=EAGERLY)
    images = golden_weights.uniform("images of Fast R-CNN", golden["images"], 0, 1)
    corners = golden_weights.uniform("corners of proposals", (2, golden["proposals"], 2), 0, 60)
    sides = golden_weights.uniform("sides of proposals", (2, golden["proposals"], 2), 8, 36)
    proposals = np.concatenate([corners, corners + sides], axis=-1)
    found = detections(model, images, proposals)
    worst = 0.0
    for i, expected in enumerate(golden["found"]):
        count = len(expected["scores"])
        assert found["num_detections"][i] == count
        assert (found["labels"][i, :count] + 1).tolist() == [int(label) for label in expected["labels"]]
        worst = max(worst, np.abs(found["boxes"][i, :count] - expected["boxes"]).max() / max(images.shape))
        worst = max(worst, np.abs(found["scores"][i, :count] - expected["scores"]).max())
    record_property("worst difference", f"{worst:.1e}")
    assert worst <= 1e-4
    truth = {"boxes": np.full((2, 3, 4), -1.0), "labels": np.full((2, 3), -1)}
    for i, (boxes, labels) in enumerate(zip(golden["boxes"], golden["labels"])):
        truth["boxes"][i, : len(boxes)], truth["labels"][i, : len(boxes)] = boxes, np.array(labels) - 1
    found = model.test_on_batch({"image": images, "proposals": proposals}, truth, return_dict=True)
    expected = golden["losses"]
    assert found["class_loss"] == pytest.approx(expected["loss_classifier"], rel=1e-4)
    assert found["box_loss"] == pytest.approx(expected["loss_box_reg"], rel=1e-4)


@pytest.mark.twice
@both
def test_training_lowers_the_losses(kind):
    model = small(kind)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=JIT, run_eagerly=EAGERLY)
    history = model.fit(INPUTS, TRUTH, batch_size=2, epochs=6, verbose=0).history
    assert set(history) == {"loss", *model.loss_names}
    assert history["loss"][-1] < 0.8 * history["loss"][0]


@pytest.mark.twice
@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="no channels_first convolution on its CPU")
@both
def test_channels_first_is_channels_last(kind):
    first, last = small(kind, data_format="channels_first", input_shape=(3, *SIZE)), ready(kind)
    first.set_weights(last.get_weights())
    head = first.get_layer("head")
    for layer in [head.dense1, *([head.deltas] if kind == "rcnn" else [])]:  # they see a region's values as a row
        kernel = keras.ops.convert_to_numpy(layer.kernel)
        side = round((len(kernel) / 16) ** 0.5)
        layer.kernel.assign(kernel.reshape(side, side, 16, -1).transpose(2, 0, 1, 3).reshape(kernel.shape))
    found, wanted = detections(first, IMAGES.transpose(0, 3, 1, 2)), detections(last)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4, err_msg=name)


@pytest.mark.twice
@both
def test_goes_through_a_file_with_what_it_was_compiled_with(kind, tmp_path):
    model = ready(kind)
    model.save(tmp_path / "detector.keras")
    again = keras.saving.load_model(tmp_path / "detector.keras")
    assert again.compiled and again.get_config() == model.get_config()
    expected, found = detections(model), detections(again)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-4)


@both
def test_a_batch_of_two_is_two_of_one_and_padding_and_order_change_nothing(kind):
    """R-CNN looks at 4 regions at once, so that these are also in other parts of what it looks at."""
    together = detections(ready(kind))
    assert (together["num_detections"] > 1).all()
    for i in range(2):
        padded = np.concatenate([REGIONS[i : i + 1], np.full((1, 3, 4), -1.0)], axis=1)
        alone = detections(ready(kind), IMAGES[i : i + 1], padded[:, ::-1])
        for name in together:
            np.testing.assert_allclose(together[name][i], alone[name][0], rtol=1e-4, atol=2e-3)


@pytest.mark.twice
@both
def test_without_proposals_nothing_is_detected_and_losses_are_finite(kind):
    none = {"image": IMAGES, "proposals": np.full((2, 6, 4), -1.0, "float32")}
    found = ready(kind).predict_on_batch(none)
    assert (found["num_detections"] == 0).all() and (found["boxes"] == -1).all() and (found["labels"] == -1).all()
    assert losses(ready(kind), TRUTH, none)["loss"] > 0, "objects' own boxes are regions"
    nothing = {"boxes": np.full((2, 2, 4), -1.0, "float32"), "labels": np.full((2, 2), -1)}
    assert losses(ready(kind), nothing, none)["loss"] == 0
    assert losses(ready(kind), nothing)["loss"] > 0
    if kind == "fast":
        assert losses(ready(kind), nothing)["box_loss"] == 0


@both
@pytest.mark.parametrize(
    "row",
    [[np.nan, 8, 40, 40], [8, 8, np.inf, 40], [40, 8, 8, 40], [8, 8, 8, 40], [100, 100, 140, 140], [-50, -50, -9, -9]],
    ids=["NaN", "infinite", "inverted", "no area", "outside", "left of it"],
)
def test_a_proposal_that_is_none_is_padding(kind, row):
    regions = REGIONS.copy()
    regions[1, 3] = row
    expected, found = detections(ready(kind)), detections(ready(kind), proposals=regions)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_proposals_are_in_pixels_of_the_images_as_they_come():
    """Images of twice the size, on the same canvas, and their proposals give boxes of twice the size."""
    model = small("fast", image_size=SIZE, input_shape=(None, None, 3))
    image = np.repeat(np.repeat(IMAGES[:, ::8, ::8], 8, axis=1), 8, axis=2)
    large = np.repeat(np.repeat(image, 2, axis=1), 2, axis=2)
    expected, found = detections(model, image), detections(model, large, np.where(REGIONS < 0, -1, 2 * REGIONS))
    assert (found["num_detections"] > 0).all()
    assert found["boxes"].max() > 64
    assert np.abs(found["scores"][:, 0] - expected["scores"][:, 0]).max() < 0.05


@pytest.mark.once
@pytest.mark.parametrize("pooling", ["pool", "align"])
def test_a_mirrored_image_gives_mirrored_detections(pooling):
    """With symmetric kernels, about the middle of the map's pixels: boxes lie at their centers."""
    inputs = keras.Input((32, 32, 3))
    conv = keras.layers.Conv2D(6, 3, padding="same", activation="relu")
    x = keras.layers.AveragePooling2D(4)(conv(inputs))
    kernel = np.random.default_rng(0).normal(size=conv.kernel.shape)
    conv.kernel.assign(kernel + kernel[:, ::-1])
    backbone = keras.Model(inputs, x)
    backbone.pyramid_outputs = {"P2": x}
    options = {"hidden": [], "region_size": (3, 1), "score_threshold": 0.2, "max_detections": 8}
    model = keras_blocks.FastRCNN(
        backbone, classes=2, region_pooling=pooling, input_shape=(32, 32, 3), iou_threshold=0.5, **options
    )
    head = model.get_layer("head")
    head.scores.kernel.assign(np.random.default_rng(3).normal(size=head.scores.kernel.shape))
    head.scores.bias.assign([-5, 0, 0])
    moves = np.random.default_rng(1).normal(size=head.deltas.kernel.shape)
    moves[:, ::4] = 0  # a move to the right would be one to the left
    head.deltas.kernel.assign(0.1 * moves)
    model.compile(run_eagerly=True)
    image = np.random.default_rng(2).uniform(0, 1, (1, 32, 32, 3)).astype("float32")
    boxes = np.array([[[4.0, 6, 15, 20], [9, 3, 23, 27], [5, 14, 25, 22]]])
    mirrored = np.stack([28 - boxes[..., 2], boxes[..., 1], 28 - boxes[..., 0], boxes[..., 3]], axis=-1)
    expected, found = detections(model, image, boxes), detections(model, image[:, :, ::-1], mirrored)
    count = expected["num_detections"][0]
    assert count == found["num_detections"][0] > 1
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-4)
    x1, y1, x2, y2 = np.moveaxis(expected["boxes"][0, :count], -1, 0)
    inside = (x1 > 0) & (x2 < 28)
    assert inside.any()
    back = np.stack([28 - x2, y1, 28 - x1, y2], axis=-1)
    np.testing.assert_allclose(found["boxes"][0, :count][inside], back[inside], atol=1e-3)


@pytest.mark.once
@both
def test_preprocessing_goes_on_and_off(kind):
    model = ready(kind)
    scaled = model.attach_preprocessing(keras.layers.Rescaling(1 / 255))
    bare, pipeline = scaled.detach_preprocessing()
    proposals = keras.ops.convert_to_tensor(REGIONS)
    expected, found = detections(model), scaled({"image": 255 * IMAGES, "proposals": REGIONS}, training=False)
    again = bare({"image": pipeline(255 * IMAGES, training=False), "proposals": proposals}, training=False)
    for name in expected:
        for other in (found, again):
            np.testing.assert_allclose(keras.ops.convert_to_numpy(other[name]), expected[name], rtol=1e-3, atol=1e-2)
    assert bare.input_names == model.input_names


@pytest.mark.once
@both
def test_freezing_and_what_it_costs(kind):
    model = small(kind)
    model.freeze()
    assert {weight.path.split("/")[0] for weight in model.trainable_weights} == {"head"}
    model.unfreeze()
    shapes = [{"image": (*SIZE, 3), "proposals": (n, 4)} for n in (10, 20, 2000)]
    few, many, usual = (keras_blocks.cost(model, shape) for shape in shapes)
    assert few.params == many.params == model.count_params()
    assert keras_blocks.cost(model) == usual
    a_region = {
        "fast": 12 * (3 * 3 * 16) + 12 * (4 + 16),
        "rcnn": keras_blocks.cost(model.backbone).macs + (12 + 16) * (6 * 6 * 16) + 12 * 4,
    }
    assert many.macs - few.macs == 10 * a_region[kind]
    cls, own = KINDS[kind]
    options = {**TINY, **COMMON, **own, "backbone": keras_blocks.ResNet}
    del options["input_shape"]
    assert keras_blocks.cost(cls, shapes[0], **options) == few


def wrong_inputs(kind, inputs, truth=TRUTH):
    ready(kind).test_on_batch(inputs, truth)


BAD_DATA = [
    ({"image": IMAGES}, "proposals"),
    ({"proposals": REGIONS}, "'image'"),
    ({"images": IMAGES, "proposals": REGIONS}, "'image'"),
    (IMAGES, "'image'" if KERAS >= (3, 15) else "2 input(s)"),  # Keras' own words
    ({"image": IMAGES[0], "proposals": REGIONS}, "image"),
    ({"image": IMAGES, "proposals": REGIONS[0]}, "(batch, n, 4)"),
    ({"image": IMAGES, "proposals": REGIONS[..., :3]}, "proposals"),
    ({"image": IMAGES, "proposals": REGIONS[..., 0]}, "(batch, n, 4)"),
    ({"image": IMAGES, "proposals": REGIONS[:1]}, "(1, 6, 4)"),
]


@both
@pytest.mark.parametrize("inputs, text", BAD_DATA, ids=[str(i) for i in range(len(BAD_DATA))])
def test_inputs_of_another_form_are_refused(kind, inputs, text):
    with pytest.raises(ValueError) as caught:
        ready(kind)(inputs, training=False)
    assert text in str(caught.value)


HARMLESS = {
    "no rows": {"boxes": np.zeros((2, 0, 4), "float32"), "labels": np.zeros((2, 0), "int32")},
    "NaN": {"boxes": np.full((2, 1, 4), np.nan, "float32"), "labels": np.ones((2, 1), "int32")},
    "infinite": {"boxes": np.array([[[8, 8, np.inf, 40]]] * 2, "float32"), "labels": np.ones((2, 1), "int32")},
    "label too large": {"boxes": TRUTH["boxes"], "labels": np.full((2, 2), 3)},
    "label negative": {"boxes": TRUTH["boxes"], "labels": np.full((2, 2), -7)},
    "outside": {"boxes": np.array([[[900, 8, 940, 40]]] * 2, "float32"), "labels": np.ones((2, 1), "int32")},
}


@pytest.mark.once
@both
@pytest.mark.parametrize("name", HARMLESS)
def test_losses_are_finite_whatever_the_objects_are(kind, name):
    model = ready(kind)
    outputs = model._trained({name: keras.ops.convert_to_tensor(value) for name, value in INPUTS.items()})
    found = model.losses_of(outputs, HARMLESS[name], training=False)
    assert all(np.isfinite(keras.ops.convert_to_numpy(value)) for value in found.values())


BAD_ARGUMENTS = [
    (lambda: small("fast", input_tensor=keras.Input((*SIZE, 3))), "input_tensor"),
    (lambda: small("rcnn", input_tensor=keras.Input((*SIZE, 3))), "input_tensor"),
    (lambda: small("fast", preprocess=keras.layers.Resizing(9, 9)), "preprocess"),
    (lambda: small("fast", preprocess=keras.layers.RandomFlip()), "RandomFlip"),
    (lambda: small("rcnn", preprocess=[keras.layers.Rescaling(2.0), keras.layers.RandomZoom(0.1)]), "RandomZoom"),
    (lambda: small("fast", levels=["P9"]), "levels[0]"),
    (lambda: small("fast", region_pooling="warp"), "region_pooling"),
    (lambda: small("rcnn", region_size=0), "region_size"),
    (lambda: small("rcnn", context=6), "context"),
    (lambda: small("rcnn", context=-1), "context"),
    (lambda: small("rcnn", regions_at_once=0), "regions_at_once"),
    (lambda: small("rcnn", scorer="tree"), "scorer"),
    (lambda: small("rcnn", fill=[1.0, 2.0]), "fill"),
    (lambda: small("rcnn", levels=["P1"]), "levels"),
    (lambda: small("fast", head_samples=0), "head_samples"),
    (lambda: keras_blocks.RCNN(keras.Sequential([keras.Input((None, None, 3))])), "known size"),
    (lambda: keras_blocks.RCNN(ready("rcnn").backbone, region_size=9), "region_size"),
    (lambda: keras_blocks.FastRCNN("vgg61"), "vgg16"),
    (lambda: small("fast").compile("sgd", loss="mse"), "loss"),
    (lambda: ready("rcnn").fit_svms(INPUTS, TRUTH), "scorer"),
    (lambda: ready("rcnn").fit_box_regression(INPUTS, TRUTH, iou=2), "iou"),
    (lambda: ready("rcnn").fit_box_regression(INPUTS, TRUTH, ridge=-1), "ridge"),
    (lambda: keras_blocks.cost(ready("fast"), {"image": (9, 9, 3)}), "input_shape"),
    (lambda: keras_blocks.train_alternating(ready("fast"), INPUTS, TRUTH), "FasterRCNN"),
]


@pytest.mark.once
@pytest.mark.parametrize("call, text", BAD_ARGUMENTS, ids=[str(i) for i in range(len(BAD_ARGUMENTS))])
def test_errors_name_what_is_wrong(call, text):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert text in str(caught.value)


# -- R-CNN's last steps ----------------------------------------------------------------------------------------------


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        part = slice(i, i + 1)
        return tuple({name: value[part] for name, value in of.items()} for of in (INPUTS, TRUTH))


@pytest.mark.twice
def test_boxes_are_moved_as_the_ridge_says(tmp_path):
    """Without a penalty and with fewer proposals than values, those that it was learned of go to their objects."""
    model = small("rcnn", score_threshold=0.0, max_detections=50)
    counts = model.fit_box_regression(Batches(), ridge=1e-6, iou=0.5)
    assert counts == [0, 4, 1]
    found = detections(model)
    for box, label, score in zip(found["boxes"][0], found["labels"][0], found["scores"][0]):
        if label == 1 and score > 0 and np.abs(box - TRUTH["boxes"][0, 0]).max() < 0.5:
            break
    else:
        pytest.fail(f"no detection of class 1 lies at its object: {found}")
    model.save(tmp_path / "detector.keras")
    again = detections(keras.saving.load_model(tmp_path / "detector.keras"))
    np.testing.assert_allclose(again["boxes"], detections(model)["boxes"], atol=1e-3)


@pytest.mark.once
@pytest.mark.parametrize("shape", [(40, 7), (7, 40)], ids=["more rows", "more columns"])
def test_ridge_regression_is_scikit_learns(shape, rng):
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = rng.normal(size=shape) + 3, rng.normal(size=(shape[0], 4))
    expected = linear.Ridge(alpha=5.0).fit(x, y)
    kernel, bias = ridge_regression(x, y, 5.0)
    np.testing.assert_allclose(kernel, expected.coef_.T, atol=1e-8)
    np.testing.assert_allclose(bias, expected.intercept_, atol=1e-8)
    scaled, _ = ridge_regression(2 * x, y, 5.0, scale=0.5)
    np.testing.assert_allclose(2 * scaled, kernel, atol=1e-8)


@pytest.mark.once
def test_svms_score_objects_above_the_background(tmp_path):
    pytest.importorskip("sklearn")
    model = small("rcnn", scorer="svm", score_threshold=0.01)
    assert (detections(model)["num_detections"] == 0).all(), "there are no SVMs yet"
    with_training = model.fit(INPUTS, TRUTH, batch_size=2, epochs=1, verbose=0).history
    assert set(with_training) == {"loss", "class_loss"}
    counts = model.fit_svms(INPUTS, TRUTH, batch_size=2, penalty=10.0)
    assert [positives for positives, _ in counts] == [0, 2, 1]
    found = detections(model)
    assert (found["num_detections"] > 0).all()
    assert 0 not in found["labels"], "a class without objects is never detected"
    best = found["labels"][0].tolist().index(1)
    assert np.abs(found["boxes"][0, best] - TRUTH["boxes"][0, 0]).max() < 3
    model.save(tmp_path / "detector.keras")
    again = detections(keras.saving.load_model(tmp_path / "detector.keras"))
    np.testing.assert_allclose(again["scores"], found["scores"], atol=1e-5)
