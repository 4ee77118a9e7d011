"""`by="jacobian"`, which looks at the outputs, and pruning in several steps."""

import keras
import numpy as np
import pytest
from checks import as_trained
from keras import layers

import keras_blocks

IMAGES = np.random.default_rng(0).normal(size=(64, 6, 6, 3)).astype("float32")


def network(end):
    inputs = keras.Input((6, 6, 3))
    x = layers.ReLU()(layers.Conv2D(6, 3, name="first")(inputs))
    x = layers.Dense(4, name="scores")(layers.Flatten()(x))
    return as_trained(keras.Model(inputs, layers.Activation(end, name="end")(x) if end else x))


def scale_of_outgoing(model, factors):
    """What the last layer is given of each of the first layer's channels is multiplied by these."""
    kernel = np.array(keras.ops.convert_to_numpy(model.get_layer("scores").kernel)).reshape(4, 4, 6, 4)
    model.get_layer("scores").kernel.assign((kernel * np.asarray(factors)[:, None]).reshape(-1, 4))


def gone(model, **options):
    small = keras_blocks.prune(model, parameters=0.55, by="jacobian", **options)
    kernel = keras.ops.convert_to_numpy(model.get_layer("first").kernel)
    kept = keras.ops.convert_to_numpy(small.get_layer("first").kernel)
    return {i for i in range(6) if not any(np.array_equal(kernel[..., i], kept[..., j]) for j in range(kept.shape[-1]))}


@pytest.mark.parametrize("end", [None, "softmax", "sigmoid", "inside"])
def test_what_the_outputs_feel_least_goes(end):
    model = network(None if end == "inside" else end)
    if end == "inside":
        model.get_layer("scores").activation = keras.activations.softmax
    scale_of_outgoing(model, [1, 0.01, 1, 1, 0.02, 0.03])
    scale_of_outgoing(model, [30] * 6)  # so sure that no probability changes
    assert gone(model, data=IMAGES) == {1, 4, 5}


@pytest.mark.parametrize("units", [(3, 3), (3, 2)])
def test_each_of_several_outputs_counts(units):
    inputs = keras.Input((6, 6, 3))
    x = layers.Flatten()(layers.Conv2D(6, 3, name="first")(inputs))
    model = as_trained(
        keras.Model(inputs, {"o": layers.Dense(units[0])(x), "p": layers.Dense(units[1], name="scores")(x)})
    )
    for layer in model.layers[-2:]:  # the first output feels three of the channels, the second the fourth
        kernel = np.array(keras.ops.convert_to_numpy(layer.kernel)).reshape(4, 4, 6, -1)
        kernel[:, :, [3, 4, 5] if layer.name != "scores" else [0, 1, 2, 4, 5]] *= 1e-3
        layer.kernel.assign(kernel.reshape(96, -1))
    plan = keras_blocks.plan_pruning(model, parameters=0.7, by="jacobian", data=IMAGES)
    kept = keras.ops.convert_to_numpy(plan.make().get_layer("first").kernel)
    np.testing.assert_array_equal(kept, keras.ops.convert_to_numpy(model.get_layer("first").kernel)[..., :4])


@pytest.mark.once
def test_what_ends_in_a_layer_with_its_own_sigmoid_is_asked_behind_that_layer():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(6, 3, name="first")(x)
    model = as_trained(keras.Model(x, layers.Conv2DTranspose(2, 3, activation="sigmoid", name="last")(y)))
    kernel = np.array(keras.ops.convert_to_numpy(model.get_layer("last").kernel))  # its inputs are on its last axis
    kernel[..., [1, 4, 5]] *= 1e-3
    model.get_layer("last").kernel.assign(30 * kernel)
    assert gone(model, data=IMAGES) == {1, 4, 5}


@pytest.mark.once
def test_outputs_of_integers_tell_nothing():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(4, 3)(layers.Conv2D(6, 3)(x))
    with pytest.raises(ValueError, match="`by='jacobian'` needs outputs that are numbers"):
        keras_blocks.prune(keras.Model(x, keras.ops.argmax(y, axis=-1)), by="jacobian", data=IMAGES)


@pytest.mark.once
def test_steps_know_the_sizes_that_the_model_does():
    """A detector's canvas, say, of which what is left says nothing."""

    class Own(keras.Model):
        canvas_shape = (8, 8, 3)

    x = keras.Input((None, None, 3))
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(layers.Conv2D(8, 3)(x)))
    model = as_trained(Own(x, layers.Dense(2)(y)))
    small = keras_blocks.prune(model, 0.5, steps=3, by="jacobian", data=IMAGES, reconstruct=IMAGES)
    counted = [keras_blocks.cost(one, input_shape=(8, 8, 3)).macs for one in (small, model)]
    assert 0.3 < counted[0] / counted[1] <= 0.5


@pytest.mark.once
def test_images_come_in_any_form():
    model = network("softmax")
    scale_of_outgoing(model, [0.03, 0.01, 1, 1, 0.02, 1])
    answers = np.zeros(64)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return IMAGES[i * 32 : i * 32 + 32], answers[i * 32 : i * 32 + 32]

    forms = [IMAGES, (IMAGES, answers), Batches(), [(IMAGES[:32],), (IMAGES[32:],)], iter([IMAGES[:32], IMAGES[32:]])]
    assert [gone(model, data=data) for data in forms] == [{0, 1, 4}] * len(forms)


@pytest.mark.once
def test_images_of_several_inputs():
    named = {name: keras.Input((6, 6, 3), name=name) for name in ("left", "right")}
    x = layers.Conv2D(4, 3, name="first")(layers.Add()(list(named.values())))
    outputs = layers.Dense(2)(layers.Flatten()(x))
    images = {"left": IMAGES, "right": IMAGES[::-1].copy()}
    forms = [
        (named, images),
        (list(named.values()), list(images.values())),
        (list(named.values()), tuple(images.values())),
    ]
    plans = [
        keras_blocks.plan_pruning(as_trained(keras.Model(inputs, outputs)), 0.5, by="jacobian", data=data)
        for inputs, data in forms
    ]
    assert plans[0].layers == plans[1].layers == plans[2].layers and plans[0].widths["first"]["first"] < 4


@pytest.mark.once
def test_steps_prune_what_the_one_before_left():
    model = as_trained(keras_blocks.create_model("resnet20_cifar", classes=4, input_shape=(8, 8, 3)))
    images = np.random.default_rng(0).normal(size=(32, 8, 8, 3)).astype("float32")
    options = {"by": "jacobian", "data": images, "reconstruct": images, "keep": 0.3}
    plan = keras_blocks.plan_pruning(model, 0.6, by="jacobian", data=images, keep=0.3)
    before, after = plan.macs
    small = keras_blocks.prune(model, 0.6, **options, steps=2)
    assert 0.98 * after < keras_blocks.cost(small).macs <= after and small.name == model.name
    by_hand = keras_blocks.prune(model, before - (before - after) // 2, **options)
    by_hand = keras_blocks.prune(by_hand, after, **{**options, "keep": 0.1})
    widths = {layer.name: layer.before for layer in plan.layers}
    for layer in small.layers:
        if isinstance(layer, layers.Conv2D):
            assert layer.filters >= np.ceil(0.3 * widths[layer.name])
    floors = [
        layer.filters == by_hand.get_layer(layer.name).filters for layer in small.layers if hasattr(layer, "filters")
    ]
    assert np.mean(floors) > 0.8


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"by": "jacobian"}, ValueError, "`by='jacobian'` needs `data`, images"),
        ({"by": "jacobian", "data": IMAGES, "loss": "mse"}, ValueError, "`loss` goes with `by='taylor'`"),
        ({"by": "l1", "data": IMAGES}, ValueError, "`data` goes with `by='taylor'` and `by='jacobian'`"),
        ({"by": "jacobian", "data": IMAGES[:0]}, ValueError, "`data` must have at least one batch"),
        ({"steps": 0}, ValueError, "`steps`"),
        ({"steps": 2, "by": "jacobian", "data": iter([IMAGES])}, ValueError, "`data` must be what can be gone through"),
        ({"steps": 1.5}, TypeError, "`steps`"),
        ({"steps": 2, "macs": 1e-9}, ValueError, "cannot be met"),
    ],
    ids=str,
)
def test_bad_arguments(options, error, words):
    with pytest.raises(error, match=words):
        keras_blocks.prune(network(None), **options)
