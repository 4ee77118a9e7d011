"""`check_layer`: what every layer of ours must hold, whatever it does. tests/test_checks.py shows what it catches."""

import json
from unittest import mock

import keras
import numpy as np
from calling import as_array, outputs_of, traced
from gradients import outputs_and_gradients

from keras_blocks.core.signature import arguments

POLICY = "mixed_bfloat16"


def joined_shape(outputs):
    """The shape of `calling.as_array(outputs)`, of tensors or of their shapes."""
    shapes = list(outputs.values()) if isinstance(outputs, dict) else [outputs]
    shapes = [tuple(getattr(shape, "shape", shape)) for shape in shapes]
    return (*shapes[0][:-1], sum(shape[-1] for shape in shapes)) if len(shapes) > 1 else shapes[0]


def check_layer(make, image_shape, dtype="bfloat16"):
    """Asserts the contract of a layer that takes images.

    Args:
        make: makes a new layer; takes keyword arguments that go to its constructor, such as `dtype`.
        image_shape: (height, width, channels).
        dtype: of the outputs under the policy mixed_bfloat16.
    """
    _check_config(make())
    # Of a few images a block with stochastic depth may drop all.
    images = np.random.default_rng(0).normal(size=(8, *image_shape)).astype("float32")
    # On JAX each call is compiled for a second: one gives what several checks look at.
    layer, inference = _check_build(make, images)
    _check_shapes(layer, images, inference)
    _check_training(layer, images, inference)
    _check_policy(make, images, dtype)


def _check_config(layer):
    config = layer.get_config()
    missing = set(arguments(type(layer))) - set(config)
    assert not missing, f"arguments missing in the config: {missing}"
    again = type(layer).from_config(config).get_config()
    assert json.dumps(again, sort_keys=True) == json.dumps(config, sort_keys=True)


def _check_build(make, images):
    """Everything is built by `build`, with no call, and every variable made is one that the layer knows.

    Returns the layer, with random weights, and its outputs in inference, which must leave its state alone.
    """
    made = []
    original = keras.layers.Layer.add_weight

    def recording(self, *args, **kwargs):
        variable = original(self, *args, **kwargs)
        made.append(variable)
        return variable

    with mock.patch.object(keras.layers.Layer, "add_weight", recording):
        layer = make()
        layer.build((None, *images.shape[1:]))
        built = [variable.path for variable in layer.variables]
        sublayers = list(layer._flatten_layers())
        assert all(sublayer.built for sublayer in sublayers), "a sublayer is not built by build()"
        randomize(layer)
        before = layer.get_weights()
        outputs = outputs_of(layer, images, training=False)
    assert [variable.path for variable in layer.variables] == built, "a call made variables that build() did not"
    known = {id(variable) for variable in layer.variables}
    assert all(id(variable) in known for variable in made), "variables were made that the layer does not track"
    for weight, value in zip(layer.weights, before):
        np.testing.assert_array_equal(weight.numpy(), value)
    return layer, outputs


def _check_shapes(layer, images, together):
    """Of a batch and of one image, by a call that is not told whether it is of training: it is none."""
    alone = outputs_of(layer, images[1:2])
    for outputs in (together, alone):
        assert outputs.shape == joined_shape(layer.compute_output_shape((len(outputs), *images.shape[1:])))
    assert joined_shape(layer.compute_output_shape((None, *images.shape[1:])))[0] is None
    np.testing.assert_allclose(together[1:2], alone, rtol=1e-4, atol=1e-5)


def _check_training(layer, images, inference):
    """Moving statistics are used and kept in inference; batch statistics are used, and moved on, in training."""
    statistics = [weight for weight in layer.non_trainable_weights if "moving" in weight.name]
    if not statistics and not layer.trainable_weights:
        return
    before = [weight.numpy() for weight in statistics]
    training, gradients = outputs_and_gradients(layer, images)
    if statistics:
        difference = np.abs(inference - as_array(training)).max()
        assert difference > 1e-6, "training makes no difference, though there are statistics"
    for weight, value in zip(statistics, before):
        assert np.any(weight.numpy() != value), f"{weight.path} does not move in training"
    _check_gradients(layer, gradients)


def _check_gradients(layer, gradients):
    for weight, gradient in zip(layer.trainable_weights, gradients, strict=True):
        if weight.name == "bias" and any("moving" in other.name for other in layer.weights):
            continue  # a bias before BatchNormalization has no effect, by definition
        assert gradient is not None and np.abs(gradient).max() > 0, f"the output does not depend on {weight.path}"


def _check_policy(make, images, dtype):
    layer = make(dtype=POLICY)
    symbolic = layer(keras.Input(images.shape[1:]))
    for output in keras.tree.flatten([traced(layer, images), symbolic]):
        assert keras.backend.standardize_dtype(output.dtype) == dtype
    for sublayer in layer._flatten_layers():
        if dtype == "float32" and isinstance(sublayer, keras.layers.Activation) and sublayer.compute_dtype == dtype:
            continue  # an output's
        assert sublayer.compute_dtype == "bfloat16", f"{sublayer.name} computes in {sublayer.compute_dtype}"
        assert sublayer.variable_dtype == "float32", f"{sublayer.name} keeps its weights in {sublayer.variable_dtype}"


def randomize(layer):
    """Values that no initializer gives, so that a weight in the wrong place shows."""
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        positive = "variance" in weight.name
        value = rng.uniform(0.5, 1.5, weight.shape) if positive else rng.normal(0, 0.3, weight.shape)
        weight.assign(value.astype("float32"))


def as_trained(model, spread=0.3):
    """Normalizations and biases as after a training, none at its initial value; kernels as they are, so that outputs
    stay of a size."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if weight.name in ("moving_variance", "gamma"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("moving_mean", "beta", "bias"):
            weight.assign(rng.normal(0, spread, weight.shape))
    return model
