"""Receptive fields of every variant are those that gradients find: of copies that have a channel for a layer."""

import keras
import numpy as np
import pytest
from gradients import input_gradients
from thorough import run_all

import keras_blocks
from keras_blocks.core.graphs import unallocated
from keras_blocks.models.registry import architecture_of

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(keras.backend.backend() == "jax", reason="in float64, which JAX has not by default"),
]
WIDE = 107
"""Pixels of the other side: the stems of Inception v4 take no fewer than 75."""


class Passing(keras.layers.Layer):
    """In place of a normalization or an activation."""

    def call(self, inputs, mask=None):
        return inputs


def of_one_channel(layer):
    """A convolution of ones for each, and means for maxima, of which gradients tell one pixel alone."""
    how = {"name": layer.name, "dtype": "float64"}
    if isinstance(layer, keras.layers.BatchNormalization | keras.layers.Activation | keras.layers.Dropout):
        return Passing(**how)
    if hasattr(layer, "kernel_size"):
        window = {"strides": layer.strides, "padding": layer.padding, "dilation_rate": layer.dilation_rate}
        return keras.layers.Conv2D(1, layer.kernel_size, **window, use_bias=False, **how)
    if isinstance(layer, keras_blocks.CeilMaxPooling2D):
        return keras.layers.AveragePooling2D(layer.pool_size, layer.strides, "valid", **how)
    if isinstance(layer, keras.layers.MaxPooling2D):
        return keras.layers.AveragePooling2D(layer.pool_size, layer.strides, layer.padding, **how)
    return type(layer).from_config({**layer.get_config(), "dtype": "float64"})


def copy_of(model):
    """Of ones: the farthest pixel is told as well as the nearest."""
    with unallocated():
        flat = keras_blocks.expand(model())
    copy = keras.models.clone_model(flat, clone_function=of_one_channel)
    for weight in copy.weights:
        weight.assign(np.ones(weight.shape))
    return copy


def seen(model, axis):
    """The pixels, along an axis, on which the middle of the outputs depends, and the step to its neighbour."""
    spans = []
    for shift in (0, 1):
        at = [length // 2 + shift * (i == axis) for i, length in enumerate(model.output_shape[1:3])]
        picked = keras.Model(model.input, model.output[:, at[0] : at[0] + 1, at[1] : at[1] + 1])
        gradient = np.abs(input_gradients(picked, np.ones((1, *model.input_shape[1:])))).sum((0, 3)).sum(1 - axis)
        spans.append(np.flatnonzero(gradient))
    return int(spans[0][-1] - spans[0][0]) + 1, int(spans[1][0] - spans[0][0])


def of_features(name, shape):
    """Class and metaparameters of a variant without its top, for images of another shape."""
    cls = architecture_of(name)
    return cls, {**cls.variants[name], "include_top": False, "input_shape": shape}


def last_row(name):
    cls, options = of_features(name, (320, 320, 3))
    return keras_blocks.cost_rows(cls, **options)[-1]


NETWORKS = [name for name in keras_blocks.list_models() if issubclass(architecture_of(name), keras_blocks.Architecture)]
GATED = [name for name in NETWORKS if name.startswith(("se", "eca", "sk", "regnety"))]
PLAIN = [name for name in NETWORKS if name not in GATED]


@pytest.mark.parametrize("name", PLAIN if run_all() else ["squeezenet_1.1", "resnet20_cifar"])
def test_receptive_fields_of_variants_are_those_of_gradients(name):
    row = last_row(name)
    for axis in (0, 1):
        sides = [WIDE, WIDE]
        sides[axis] = row.receptive_field[axis] + 4 * row.stride[axis] + 1
        cls, options = of_features(name, (*sides, 3))
        found = seen(copy_of(lambda cls=cls, options=options: cls(**options)), axis)
        assert found == (row.receptive_field[axis], row.stride[axis])


@pytest.mark.parametrize("name", GATED if run_all() else GATED[:1])
def test_behind_a_gate_there_is_none(name):
    assert last_row(name).receptive_field is None


@pytest.mark.skipif(not run_all(), reason="networks on large images; make test-all")
@pytest.mark.parametrize("name", ["seresnet18", "ecaresnet50d", "skresnet18", "regnety_002"])
def test_behind_a_gate_the_first_pixels_depend_on_the_last(name):
    cls, options = of_features(name, (1100, 32, 3))  # without the gates no pixel saw more than 700
    model = cls(**options)
    first = keras.Model(model.input, model.output[:, :1])
    images = np.random.default_rng(0).uniform(0, 1, (1, *model.input_shape[1:])).astype("float32")
    assert np.abs(input_gradients(first, images))[0, -8:].max() > 0
