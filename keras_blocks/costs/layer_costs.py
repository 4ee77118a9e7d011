"""What one layer costs: its output's shape, its parameters, its multiply-adds.

Making a Keras layer takes half a millisecond, so the layers that the blocks consist of have a rule here that reads a
spec's arguments and makes no layer. Any other layer is made and built, where its variables get shapes but no values.
The tests hold every rule to the built layer.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import keras

from keras_blocks.blocks.region_head import FittedDense
from keras_blocks.core.graphs import unallocated
from keras_blocks.core.grouped_conv2d import GroupedConv2D
from keras_blocks.core.layer_kinds import CONVOLUTIONS, DEPTHWISE, TRANSPOSED
from keras_blocks.core.normalization import BatchNormalization
from keras_blocks.core.shapes import as_pair, as_shapes, traced_shape

Sizes: TypeAlias = tuple[int, ...]
Options: TypeAlias = Mapping[str, Any]
Counts: TypeAlias = tuple[Sizes, int, int]


class LayerCost(NamedTuple):
    """One layer, or one block: the shape that it gives, and what that takes for one image."""

    shape: Any
    params: int
    macs: int


def measured(make: Callable[[], Any], shape: Any) -> LayerCost:
    """The cost as read off the layer that `make` returns, with variables that are never given values."""
    with unallocated():
        layer = make()
        if not layer.built:
            layer.build(shape)
        after = as_shapes(traced_shape(layer, shape))
        return LayerCost(after, count_weights(layer), layer_macs(layer, shape, after))


def count_weights(layer: Any) -> int:
    """Numbers in all weights of a layer or model, each weight once."""
    return sum(math.prod(weight.shape) for weight in {id(weight): weight for weight in layer.weights}.values())


def layer_macs(layer: Any, shape: Any, after: Any) -> int:
    """Multiply-adds of a built layer for one image. Convolutions and dense products count, additions alone do not."""
    if isinstance(layer, keras.layers.Dense | FittedDense):
        return int(math.prod(layer.kernel.shape) * math.prod(after[1:-1]))
    if isinstance(layer, keras.layers.SeparableConv1D | keras.layers.SeparableConv2D):
        kernels = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
        return int(kernels * _pixels(after, layer.data_format))
    if isinstance(layer, TRANSPOSED):
        return int(math.prod(layer.kernel.shape) * _pixels(shape, layer.data_format))
    if isinstance(layer, (*CONVOLUTIONS, *DEPTHWISE)):
        return int(math.prod(layer.kernel.shape) * _pixels(after, layer.data_format))
    if any(len(weight.shape) > 1 for weight in layer.weights) and not isinstance(layer, NO_PRODUCTS):
        warnings.warn(
            f"the multiply-adds of '{layer.name}' ({type(layer).__name__}) are not known and count as 0", stacklevel=2
        )
    return 0


NO_PRODUCTS = (keras.layers.Embedding, keras.layers.PReLU)


def _pixels(shape: Sizes, data_format: str) -> int:
    return math.prod(shape[1:-1] if data_format == "channels_last" else shape[2:])


def _convolution(options: Options, shape: Sizes) -> Counts:
    channels, sizes = _split(options, shape)
    kernel = as_pair(options["kernel_size"])
    after = [
        _size_after(options["padding"], size, (width - 1) * dilation + 1, step)
        for size, width, dilation, step in zip(
            sizes, kernel, as_pair(options["dilation_rate"]), as_pair(options["strides"])
        )
    ]
    filters = options["filters"]
    if channels % options["groups"]:
        raise ValueError(f"`groups` {options['groups']} must divide the {channels} channels")
    weights = math.prod(kernel) * (channels // options["groups"]) * filters
    return _join(options, shape, after, filters), weights + filters * options["use_bias"], weights * math.prod(after)


def _depthwise(options: Options, shape: Sizes) -> Counts:
    channels, _ = _split(options, shape)
    return _convolution({**options, "filters": channels * options["depth_multiplier"], "groups": channels}, shape)


def _pooling(options: Options, shape: Sizes) -> Counts:
    channels, sizes = _split(options, shape)
    pool = as_pair(options["pool_size"])
    steps = pool if options["strides"] is None else as_pair(options["strides"])
    after = [_size_after(options["padding"], size, width, step) for size, width, step in zip(sizes, pool, steps)]
    return _join(options, shape, after, channels), 0, 0


def _global_pooling(options: Options, shape: Sizes) -> Counts:
    channels, _ = _split(options, shape)
    if options.get("keepdims"):
        return _join(options, shape, (1, 1), channels), 0, 0
    return (shape[0], channels), 0, 0


def _normalization(options: Options, shape: Sizes) -> Counts:
    return tuple(shape), shape[options["axis"]] * (2 + options["scale"] + options["center"]), 0


def _dense(options: Options, shape: Sizes) -> Counts:
    units = options["units"]
    weights = shape[-1] * units
    return (*shape[:-1], units), weights + units * options["use_bias"], weights * math.prod(shape[1:-1])


def _concatenation(options: Options, shapes: Sequence[Sizes]) -> Counts:
    axis = options["axis"] % len(shapes[0])
    after = list(shapes[0])
    for shape in shapes:
        if len(shape) != len(after) or any(shape[i] != after[i] for i in range(len(after)) if i != axis):
            raise ValueError(f"shapes may differ only in axis {axis}")
    after[axis] = sum(shape[axis] for shape in shapes)
    return tuple(after), 0, 0


def _same_shape(options: Options, shape: Sizes) -> Counts:
    return tuple(shape), 0, 0


def _first_shape(options: Options, shapes: Sequence[Sizes]) -> Counts:
    if any(tuple(shape) != tuple(shapes[0]) for shape in shapes):
        raise ValueError("shapes must be equal")
    return tuple(shapes[0]), 0, 0


def _broadcast(options: Options, shapes: Sequence[Sizes]) -> Counts:
    """As Keras' Multiply: missing axes are put behind the batch, and an axis of size 1 is repeated."""
    most = max(len(shape) for shape in shapes)
    sizes = [(*(1,) * (most - len(shape)), *shape[1:]) for shape in shapes]
    after = [max(axis) for axis in zip(*sizes)]
    if any(size not in (1, largest) for one in sizes for size, largest in zip(one, after)):
        raise ValueError("shapes must be equal, but for sizes of 1")
    return (shapes[0][0], *after), 0, 0


def _flattened(options: Options, shape: Sizes) -> Counts:
    return (shape[0], math.prod(shape[1:])), 0, 0


def _size_after(padding: str, size: int, window: int, step: int) -> int:
    if padding == "same":
        return -(-size // step)
    if size < window:
        raise ValueError(f"{size} pixels are too few for a window of {window}")
    return (size - window) // step + 1


def _split(options: Options, shape: Sizes) -> tuple[int, Sizes]:
    """Channels and (height, width)."""
    if (options["data_format"] or keras.config.image_data_format()) == "channels_last":
        return shape[-1], shape[1:-1]
    return shape[1], shape[2:]


def _join(options: Options, shape: Sizes, sizes: Sequence[int], channels: int) -> Sizes:
    if (options["data_format"] or keras.config.image_data_format()) == "channels_last":
        return (shape[0], *sizes, channels)
    return (shape[0], channels, *sizes)


LAYER_RULES: dict[type, Callable[[Options, Any], Counts]] = {
    keras.layers.Activation: _same_shape,
    keras.layers.Add: _first_shape,
    keras.layers.AveragePooling2D: _pooling,
    BatchNormalization: _normalization,
    keras.layers.BatchNormalization: _normalization,
    keras.layers.Concatenate: _concatenation,
    keras.layers.Conv2D: _convolution,
    GroupedConv2D: _convolution,
    keras.layers.Dense: _dense,
    keras.layers.DepthwiseConv2D: _depthwise,
    keras.layers.Dropout: _same_shape,
    keras.layers.Flatten: _flattened,
    keras.layers.GlobalAveragePooling2D: _global_pooling,
    keras.layers.GlobalMaxPooling2D: _global_pooling,
    keras.layers.MaxPooling2D: _pooling,
    keras.layers.Multiply: _broadcast,
    keras.layers.Rescaling: _same_shape,
}
"""Layer class -> rule: (arguments, shape) to what `LayerCost` holds; it may raise a ValueError for the shape."""

VIEW_LAYERS = (keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Reshape, keras.layers.Identity)
"""Layers whose output is the input's memory."""
