"""What each kind of layer does to channels: which go through, which it makes, and which of its weights they are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_blocks.blocks.autoencoder import TrimLike
from keras_blocks.blocks.channel_padding import ChannelPadding
from keras_blocks.blocks.pooling import CeilMaxPooling2D
from keras_blocks.blocks.pyramid import UpsampleLike
from keras_blocks.core.layer_kinds import CONVOLUTIONS, DEPTHWISE, IDLE, NORMALIZATIONS, SEPARABLE, TRANSPOSED
from keras_blocks.core.native_layers import own_class
from keras_blocks.core.sizes import ChannelSlice, DilatedMeanPooling, SizeLike
from keras_blocks.prune.channels import (
    FROZEN,
    Channels,
    Labels,
    NotFollowed,
    Sizes,
    along,
    chained,
    compressed,
    merged,
    placed,
    varying,
)

layers = keras.layers

Count = Callable[[Labels], int]
"""How many of these labels stay."""

Config = Callable[[Count], dict[str, Any]]
"""The arguments of a layer that has what stays alone."""


class Call(NamedTuple):
    """A layer, or an operation, and what it is given; sizes are without the batch."""

    channels: Channels
    operation: Any
    labels: Sequence[Labels]
    shapes: Sequence[Sizes]
    after: Sizes


class Followed(NamedTuple):
    """What a layer does to channels."""

    labels: Labels
    """Of its output."""
    axes: Mapping[str, Mapping[int, Labels]] = {}
    """Name of a weight -> {axis: labels along it}."""
    config: Config = lambda count: {}
    made: str = ""
    """The weight whose last axis, or last two, are the channels that the layer makes."""
    out: Labels | None = None
    """The channels that it makes, or scales."""
    resized: bool = False
    """Whether its arguments tell a size, though it has no weights."""


def _convolution(call: Call) -> Followed:
    layer, axis, taken = _taken(call)
    made = call.channels.fresh(layer.filters)
    seen = {-2: taken, -1: made}

    def config(count: Count) -> dict[str, Any]:
        return {"filters": count(made)}

    if (groups := layer.groups) > 1:
        theirs, ours = taken.reshape(groups, -1), made.reshape(groups, -1)
        whole = groups >= theirs.shape[1] and bool(call.channels.roots(theirs).all())
        seen = {-1: made} if whole else {-2: theirs[0], -1: made}
        _join_groups(call.channels, theirs, ours, whole)
        if whole:  # a group goes with all that it takes and makes
            return _weighted(
                call, axis, made, {"kernel": seen}, lambda count: {**config(count), "groups": count(theirs[:, 0])}
            )
    return _weighted(call, axis, made, {"kernel": seen}, config)


def _join_groups(channels: Channels, theirs: Labels, ours: Labels, whole: bool) -> None:
    """Whole groups, where that is the finer cut; else the same places of every group."""
    if whole:
        channels.join(theirs, theirs[:, :1])
        channels.join(ours, theirs[:, :1])
    else:
        channels.join(theirs, theirs[:1])
        channels.join(ours, ours[:1])


def _transposed(call: Call) -> Followed:
    layer, axis, taken = _taken(call)
    made = call.channels.fresh(layer.filters)
    return _weighted(call, axis, made, {"kernel": {-1: taken, -2: made}}, lambda count: {"filters": count(made)})


def _depthwise(call: Call) -> Followed:
    layer, axis, taken = _taken(call)
    return _weighted(call, axis, np.repeat(taken, layer.depth_multiplier), {"kernel": {-2: taken}}, lambda count: {})


def _separable(call: Call) -> Followed:
    layer, axis, taken = _taken(call)
    made = call.channels.fresh(layer.filters)
    between = np.repeat(taken, layer.depth_multiplier)
    axes = {"depthwise_kernel": {-2: taken}, "pointwise_kernel": {-2: between, -1: made}}
    return _weighted(call, axis, made, axes, lambda count: {"filters": count(made)})


def _dense(call: Call) -> Followed:
    axis = len(call.shapes[0]) - 1
    taken = along(call.labels[0], axis, call.shapes[0][axis])
    made = call.channels.fresh(call.operation.units)
    return _weighted(call, axis, made, {"kernel": {0: taken, 1: made}}, lambda count: {"units": count(made)})


def _weighted(call: Call, axis: int, made: Labels, axes: dict[str, Any], config: Config) -> Followed:
    """What has kernels, and perhaps a bias."""
    layer = call.operation
    if getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None):
        raise NotFollowed("has weights of LoRA, or in whole numbers")
    bias = {"bias": {0: made}} if layer.use_bias else {}
    return Followed(placed(made, axis, len(call.after)), {**axes, **bias}, config, next(reversed(axes)), made)


def _normalization(call: Call) -> Followed:
    layer, rank = call.operation, len(call.shapes[0])
    axis = layer.axis - 1 if layer.axis > 0 else layer.axis + rank
    taken = along(call.labels[0], axis, call.shapes[0][axis])
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    axes = {name: {0: taken} for name in names if getattr(layer, name, None) is not None}
    return Followed(call.labels[0], axes, out=taken)


def _prelu(call: Call) -> Followed:
    labels, shape = call.labels[0], call.operation.alpha.shape
    axes = {axis: along(labels, axis, shape[axis]) for axis in varying(labels) if shape[axis] > 1}
    return Followed(labels, {"alpha": axes})


def _elementwise(call: Call) -> Followed:
    return Followed(call.labels[0])


def _softmax(call: Call) -> Followed:
    labels, rank = call.labels[0], len(call.shapes[0])
    axes = np.atleast_1d(call.operation.axis)
    for axis in (int(one) - 1 if one > 0 else int(one) + rank for one in axes):
        call.channels.join(labels, labels.take([0], axis))
    return Followed(labels)


def _rescaling(call: Call) -> Followed:
    if np.ndim(call.operation.scale) or np.ndim(call.operation.offset):
        raise NotFollowed("has numbers of its own for channels")
    return Followed(call.labels[0])


def _spatial(call: Call) -> Followed:
    """Each channel by itself, of a neighbourhood or at another size."""
    _taken(call)
    return Followed(call.labels[0])


def _global_pooling(call: Call) -> Followed:
    layer, axis, taken = _taken(call)
    return Followed(placed(taken, axis if layer.keepdims else 0, len(call.after)))


def _merge(call: Call) -> Followed:
    """Missing axes are put behind the batch, as Keras' layers do."""
    rank = len(call.after)
    labels = [one.reshape((1,) * (rank - one.ndim) + one.shape) for one in call.labels]
    shapes = [(1,) * (rank - len(shape)) + tuple(shape) for shape in call.shapes]
    return Followed(merged(call.channels, labels, shapes))


def _concatenation(call: Call) -> Followed:
    axis = call.operation.axis
    axis = axis - 1 if axis > 0 else axis + len(call.after)
    if axis < 0 or call.operation.axis == 0:
        raise NotFollowed("concatenates batches")
    return Followed(chained(call.channels, call.labels, call.shapes, axis))


def _flatten(call: Call) -> Followed:
    labels = np.broadcast_to(call.labels[0], call.shapes[0])
    if call.operation.data_format == "channels_first":  # Keras puts them last, so that either format has one order
        labels = np.moveaxis(labels, 0, -1)
    return Followed(labels.reshape(call.after))


def _reshape(call: Call) -> Followed:
    """Of several axes along which channels lie then, the last one can get shorter: its channels go in all rows."""
    labels = compressed(np.broadcast_to(call.labels[0], call.shapes[0]).reshape(call.after))
    target = tuple(call.operation.target_shape)
    for axis in varying(labels)[:-1]:
        call.channels.join(labels, labels.take([0], axis))
        labels = labels.take([0], axis)

    def config(count: Count) -> dict[str, Any]:
        kept = [count(labels.ravel()) if size > 1 else None for size in labels.shape]
        return {"target_shape": [old if new is None or old == -1 else new for old, new in zip(target, kept)]}

    return Followed(labels, config=config, resized=True) if varying(labels) else Followed(labels)


def _permute(call: Call) -> Followed:
    return Followed(call.labels[0].transpose([axis - 1 for axis in call.operation.dims]))


def _channel_padding(call: Call) -> Followed:
    layer, axis, taken = _taken(call)
    before, after = (call.channels.fresh(count) for count in layer.added)
    labels = np.concatenate([before, taken, after])

    def config(count: Count) -> dict[str, Any]:
        added = (count(before), count(after))
        return {"channels": added[0] if added[0] == added[1] > 0 else added}

    return Followed(placed(labels, axis, len(call.after)), config=config, resized=True)


def _channel_slice(call: Call) -> Followed:
    """Parts stay equal: the same channels of each go."""
    layer, axis, taken = _taken(call)
    parts = taken.reshape(layer.parts, -1)
    call.channels.join(parts, parts[:1])
    return Followed(placed(parts[layer.part], axis, len(call.after)))


def _taken(call: Call) -> tuple[Any, int, Labels]:
    """The layer, its channels' axis without the batch, and their labels."""
    shape = call.shapes[0]
    axis = 0 if call.operation.data_format == "channels_first" else len(shape) - 1
    return call.operation, axis, along(call.labels[0], axis, shape[axis])


ELEMENTWISE = (
    *IDLE,
    layers.Activation,
    layers.ELU,
    layers.Identity,
    layers.LeakyReLU,
    layers.ReLU,
)
ADAPTIVE = ("AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D")
"""Names of layers that older versions of Keras lack."""

SPATIAL = (
    *(getattr(layers, name) for name in ADAPTIVE if hasattr(layers, name)),
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.AveragePooling3D,
    layers.Cropping2D,
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.MaxPooling3D,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
    CeilMaxPooling2D,
    DilatedMeanPooling,
    SizeLike,
    TrimLike,
    UpsampleLike,
)
GLOBAL = (
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.GlobalMaxPooling3D,
)
MERGES = (layers.Add, layers.Average, layers.Maximum, layers.Minimum, layers.Multiply, layers.Subtract)

RULES: dict[type, Callable[[Call], Followed]] = {
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys(TRANSPOSED, _transposed),
    **dict.fromkeys(DEPTHWISE, _depthwise),
    **dict.fromkeys(SEPARABLE, _separable),
    **dict.fromkeys(NORMALIZATIONS, _normalization),
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(SPATIAL, _spatial),
    **dict.fromkeys(GLOBAL, _global_pooling),
    **dict.fromkeys(MERGES, _merge),
    layers.Concatenate: _concatenation,
    layers.Dense: _dense,
    layers.Flatten: _flatten,
    layers.PReLU: _prelu,
    layers.Permute: _permute,
    layers.Rescaling: _rescaling,
    layers.Reshape: _reshape,
    layers.Softmax: _softmax,
    ChannelPadding: _channel_padding,
    ChannelSlice: _channel_slice,
}
"""Class of a layer -> rule; what users derive of one may do something else."""

OPERATIONS: dict[str, Callable[[Call], Followed]] = {
    **dict.fromkeys(("Abs", "Absolute", "Cast", "Elu", "Exp", "Gelu", "HardSigmoid", "HardSilu"), _elementwise),
    **dict.fromkeys(("LeakyRelu", "Negative", "Relu", "Relu6", "Selu", "Sigmoid", "Silu"), _elementwise),
    **dict.fromkeys(("Softplus", "Sqrt", "Square", "Tanh"), _elementwise),
    **dict.fromkeys(("Add", "Maximum", "Minimum", "Multiply", "Subtract"), _merge),
    "Concatenate": _concatenation,
}
"""Class' name of one of Keras' operations -> rule."""

ACTIVATIONS = {
    getattr(keras.activations, name)
    for name in (
        *("celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu"),
        *("linear", "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softplus"),
        *("softsign", "sparse_plus", "squareplus", "tanh", "tanh_shrink", "threshold"),
    )
    if hasattr(keras.activations, name)
}


def is_elementwise(activation: Any) -> bool:
    """Whether an activation is known to look at each number alone."""
    return activation is None or activation in ACTIVATIONS or type(activation) in (layers.ReLU, layers.LeakyReLU)


def rule_of(operation: Any, args: Sequence[Any]) -> Callable[[Call], Followed]:
    """The rule for a layer or an operation that is called with `args`.

    Raises:
        NotFollowed: where there is none.
    """
    if isinstance(operation, keras.layers.Layer):
        rule = RULES.get(own_class(operation))
    else:
        theirs = type(operation).__module__.partition(".")[0] == "keras"
        single = all(np.ndim(arg) == 0 for arg in args if not isinstance(arg, keras.KerasTensor))
        rule = OPERATIONS.get(type(operation).__name__) if theirs and single else None
        ranks = {len(arg.shape) for arg in args if isinstance(arg, keras.KerasTensor)}
        rule = None if len(ranks) > 1 else rule  # numpy puts missing axes elsewhere
    if rule is None:
        raise NotFollowed("mixes channels, or is not known to keep them apart")
    return rule


def freeze(channels: Channels, labels: Sequence[Labels]) -> None:
    for one in labels:
        channels.join(one, FROZEN)
