"""Layers behind what was pruned give again what they gave: by least squares, in the order in which they compute."""

import keras
import numpy as np
import pytest
from checks import as_trained
from keras import layers
from thorough import run_all

import keras_blocks
from keras_blocks.prune import reconstruction

SHAPE = (9, 8, 3)
IMAGES = np.random.default_rng(0).normal(size=(48, *SHAPE)).astype("float32")

CONVOLUTIONS = [
    {"kernel_size": 3, "padding": "same"},
    {"kernel_size": (3, 2), "strides": (2, 1), "padding": "same"},
    {"kernel_size": (2, 3), "strides": 2},
    {"kernel_size": 3, "dilation_rate": (1, 2), "padding": "same", "use_bias": False, "activation": "relu"},
]
FORMATS = ("channels_last",) if keras.backend.backend() == "tensorflow" else ("channels_last", "channels_first")


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_what_a_layer_multiplies_is_found(options, data_format):
    layer = layers.Conv2D(4, **options, data_format=data_format, bias_initializer="normal")
    images = IMAGES[:40] if data_format == "channels_last" else np.moveaxis(IMAGES[:40], -1, 1)
    outputs = np.asarray(keras.ops.convert_to_numpy(layer(images)))
    outputs = outputs if data_format == "channels_last" else np.moveaxis(outputs, 1, -1)
    compare(layer, images, outputs)


def test_what_a_dense_layer_multiplies_is_found():
    for x in (IMAGES, IMAGES.reshape(len(IMAGES), -1)):
        layer = layers.Dense(4, bias_initializer="normal")
        compare(layer, x, np.asarray(keras.ops.convert_to_numpy(layer(x))))


def compare(layer, x, outputs):
    held = reconstruction._Held([keras.ops.convert_to_tensor(x[start : start + 32]) for start in (0, 32)])
    places = reconstruction._places(layer, held, np.random.default_rng(0))
    found = reconstruction._rows(layer, held, places) @ reconstruction._matrix(layer)
    found = found if layer.bias is None else found + np.asarray(keras.ops.convert_to_numpy(layer.bias))
    found = np.maximum(found, 0) if getattr(layer.activation, "__name__", "") == "relu" else found
    np.testing.assert_allclose(found, outputs[tuple(places.T)], rtol=1e-4, atol=1e-4)
    assert len(np.unique(places, axis=0)) == len(places) == min(outputs[..., 0].size, reconstruction.MANY_ROWS)


def twice(normalized, bias=True):
    """Each channel of its first layer is there twice, and so nothing is lost without half of them."""
    x = inputs = keras.Input(SHAPE)
    for name, width in (("first", 8), ("second", 6)):
        x = layers.Conv2D(width, 3, padding="same", use_bias=bias and not normalized, name=name)(x)
        x = layers.BatchNormalization(name=f"{name}_bn")(x) if normalized else x
        x = layers.ReLU()(x)
    model = as_trained(keras.Model(inputs, layers.Dense(5, name="scores")(layers.Flatten()(x))))
    for variable in (*model.get_layer("first").weights, *(model.get_layer("first_bn").weights if normalized else ())):
        value = np.array(keras.ops.convert_to_numpy(variable))
        value[..., 4:] = value[..., :4]
        variable.assign(value)
    return model


def second_half(layer, kernel):
    """Of the first layer's channels, those that are there twice matter least; the others' do most."""
    return np.r_[[1.0] * 4, [0.1] * 4] if layer.name == "first" else np.full(kernel.shape[-1], 9.0)


@pytest.mark.parametrize(("normalized", "bias"), [(True, False), (False, True), (False, False)])
def test_channels_that_others_can_stand_for_are_no_loss(normalized, bias):
    model = twice(normalized, bias)
    before, whole = model.get_weights(), model.predict(IMAGES, verbose=0)
    plan = keras_blocks.plan_pruning(model, macs=0.55, by=second_half)
    assert plan.widths["first"]["first"] == 4 and plan.widths["second"]["second"] == 6
    plain, fitted = (made.predict(IMAGES, verbose=0) for made in (plan.make(), plan.make(reconstruct=IMAGES)))
    error = [np.abs(found - whole).mean() / np.abs(whole).mean() for found in (plain, fitted)]
    assert error[0] > 0.1 and error[1] < error[0] / 50
    for mine, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.once
def test_the_end_of_a_residual_block_makes_up_for_its_shortcut():
    """As well as least squares to what is left of the sum, by NumPy."""
    x = layers.ReLU()(layers.Conv2D(8, 3, padding="same", name="first")(inputs := keras.Input(SHAPE)))
    x = layers.Conv2D(6, 1, use_bias=False, name="stem")(x)
    shortcut = layers.ReLU(name="shortcut")(layers.BatchNormalization()(x))
    x = layers.ReLU(name="inside")(layers.Conv2D(16, 3, padding="same", name="inner")(shortcut))
    branch = layers.BatchNormalization(name="branch")(layers.Conv2D(6, 1, use_bias=False, name="end")(x))
    added = layers.ReLU()(layers.Add(name="sum")([shortcut, branch]))
    model = as_trained(keras.Model(inputs, layers.Conv2D(3, 1, name="scores")(added)))
    plan = keras_blocks.plan_pruning(model, macs=0.9, by=second_half)
    assert [layer.name for layer in plan.layers if layer.after < layer.before] == ["first"]
    pruned = plan.make(reconstruct=IMAGES)

    def given(made, name):
        found = keras.Model(made.inputs, made.get_layer(name).output).predict(IMAGES, verbose=0)
        return found.reshape(-1, found.shape[-1]).astype("float64")

    rows = np.pad(given(pruned, "inside"), ((0, 0), (0, 1)), constant_values=1)
    errors = {}
    for fitted_to, wanted in (
        ("the sum", given(model, "sum") - given(pruned, "shortcut")),
        ("the branch", given(model, "branch")),
    ):
        best = rows @ np.linalg.lstsq(rows, wanted, rcond=None)[0]
        errors[fitted_to] = np.square(best + given(pruned, "shortcut") - given(model, "sum")).sum()
    mine = np.square(given(pruned, "sum") - given(model, "sum")).sum()
    assert mine - errors["the sum"] < 0.05 * (errors["the branch"] - errors["the sum"]), (mine, errors)


@pytest.mark.once
def test_graphs_of_several_inputs_shared_layers_and_functions():
    inputs = {name: keras.Input(SHAPE, name=name) for name in ("left", "right")}
    shared = layers.Conv2D(8, 3, strides=2, name="shared")
    x = layers.Concatenate()([layers.Dropout(0.5)(shared(one)) for one in inputs.values()])
    x = keras.ops.relu(layers.BatchNormalization()(layers.Conv2D(8, 3, groups=2, name="groups")(x)))
    outputs = {"scores": layers.Dense(3)(layers.Flatten()(x)), "map": layers.Conv2D(2, 1, name="map")(x)}
    model = as_trained(keras.Model(inputs, outputs))
    images = {"left": IMAGES, "right": IMAGES[::-1].copy()}
    plan = keras_blocks.plan_pruning(model, macs=0.6)
    plain, fitted = plan.make(), plan.make(reconstruct=images)
    for name in ("shared", "groups"):
        for one, other in zip(plain.get_layer(name).get_weights(), fitted.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    whole = model.predict(images, verbose=0)
    errors = [
        np.mean([np.square(made.predict(images, verbose=0)[name] - whole[name]).mean() for name in whole])
        for made in (plain, fitted)
    ]
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.once
@pytest.mark.parametrize("axis", [-1, 1])
def test_a_normalization_behind_an_activation_or_of_rows_takes_up_no_bias(axis):
    """Its mean is of what the activation gives: moved, it would spoil what was nearly right."""
    x = inputs = keras.Input(SHAPE)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", bias_initializer="ones", name="first")(x)
    last = {"activation": "relu"} if axis == -1 else {}
    x = layers.Conv2D(SHAPE[0], 3, padding="same", use_bias=False, name="last", **last)(x)
    model = as_trained(keras.Model(inputs, layers.BatchNormalization(axis=axis, name="behind")(x)))
    if axis == -1:
        model.get_layer("last").kernel.assign(model.get_layer("last").kernel - 0.2)  # mostly off
    plan = keras_blocks.plan_pruning(model, parameters=0.8)
    for made in (plan.make(), fitted := plan.make(reconstruct=IMAGES)):
        mean = keras.ops.convert_to_numpy(made.get_layer("behind").moving_mean)
        np.testing.assert_array_equal(mean, keras.ops.convert_to_numpy(model.get_layer("behind").moving_mean))
    errors = [
        np.square(made.predict(IMAGES, verbose=0) - model.predict(IMAGES, verbose=0)).mean()
        for made in (plan.make(), fitted)
    ]
    assert errors[1] <= errors[0]


@pytest.mark.once
def test_few_images_of_many_weights_give_what_the_larger_system_gives():
    rng = np.random.default_rng(0)
    rows, wanted = rng.normal(size=(12, 40)), rng.normal(size=(12, 3))
    ridge = reconstruction.RIDGE * np.square(rows).sum() / 40
    whole = np.linalg.solve(rows.T @ rows + ridge * np.eye(40), rows.T @ wanted)
    np.testing.assert_allclose(reconstruction._least_squares(rows, wanted), whole, rtol=1e-6, atol=1e-9)


@pytest.mark.once
def test_images_come_as_the_model_takes_them():
    y = keras.Input(SHAPE, name="only")
    for structure, images in (({"only": y}, {"only": IMAGES}), ([y], [IMAGES])):
        model = keras.Model(structure, layers.Conv2D(2, 3)(layers.Conv2D(4, 3)(y)))
        assert keras_blocks.prune(model, reconstruct=images).count_params() < model.count_params()


@pytest.mark.once
def test_what_is_not_finite_is_refused():
    model, images = twice(normalized=True), IMAGES.copy()
    images[3, 2, 1, 0] = np.nan
    with pytest.raises(ValueError, match="`reconstruct` must be images of finite numbers"):
        keras_blocks.prune(model, by=second_half, reconstruct=images)
    model.get_layer("first").kernel.assign(model.get_layer("first").kernel * 1e20)
    with pytest.raises(ValueError, match=r"`reconstruct`: what '.*' is given, or gives, is not finite"):
        keras_blocks.prune(model, by=second_half, reconstruct=IMAGES * 1e25)


@pytest.mark.once
@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (3, ValueError, r"`reconstruct` must be a batch of images of the shape .*9, 8, 3"),
        (IMAGES[0], ValueError, r"`reconstruct` must be a batch.*received an array of the shape \(9, 8, 3\)"),
        (IMAGES[:0], ValueError, "`reconstruct` must have as many images.*one at least"),
        (IMAGES[..., :1], ValueError, "9, 8, 3"),
        ("images", ValueError, "`reconstruct` must be a batch"),
        (object(), (TypeError, ValueError), "`reconstruct` must be"),
    ],
    ids=["a number", "an image", "none", "grey", "a text", "an object"],
)
def test_images_that_cannot_be_taken(wrong, error, words):
    with pytest.raises(error, match=words):
        keras_blocks.prune(twice(normalized=True), by=second_half, reconstruct=wrong)


@pytest.mark.once
def test_each_input_must_have_images():
    inputs = {name: keras.Input(SHAPE, name=name) for name in ("left", "right")}
    x = layers.Conv2D(4, 3)(layers.Add()(list(inputs.values())))
    model = keras.Model(inputs, layers.Conv2D(2, 3)(x))
    for wrong, words in (
        ({"left": IMAGES}, r"for the inputs \['right'\]"),
        (IMAGES, "as many images for each of 2 inputs"),
        ({"left": IMAGES, "right": IMAGES[:3]}, r"received \[48, 3\]"),
    ):
        with pytest.raises(ValueError, match=words):
            keras_blocks.prune(model, reconstruct=wrong)


@pytest.mark.once
@pytest.mark.parametrize("variant", ["resnet20_cifar", "resnet56_cifar"] if run_all() else ["resnet20_cifar"])
def test_most_of_the_accuracy_stays_without_training(variant, shared_data):
    """At half the multiply-adds, on real images that it was not fitted to."""
    from PIL import Image

    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    images = {}
    for part in ("train_0", "test_0"):
        pixels = np.asarray(Image.open(shared_data / "cifar10_5k" / f"{part}.png").convert("RGB"))
        images[part] = ((pixels.reshape(-1, 32, 32, 3)[:300] / 255 - mean) / std).astype("float32")
    with np.load(shared_data / "cifar10_5k" / "labels.npz") as labels:
        answers = labels["test"][:300]
    file = shared_data / "weights" / f"{variant.removesuffix('_cifar')}_cifar10.npz"
    plan = keras_blocks.plan_pruning(keras_blocks.create_model(variant, weights=file), macs=0.5)
    right = [
        (made.predict(images["test_0"], verbose=0).argmax(1) == answers).mean()
        for made in (plan.make(), plan.make(reconstruct=images["train_0"]))
    ]
    assert right[0] < 0.4 and right[1] > 0.7, right
