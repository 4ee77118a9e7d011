"""The calls of a flat model, each by a key that its grown child has for it, too."""

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_blocks.blocks.channel_padding import ChannelPadding
from keras_blocks.blocks.pooling import CeilMaxPooling2D
from keras_blocks.core.graphs import calls, counted_name
from keras_blocks.core.grouped_conv2d import GroupedConv2D
from keras_blocks.core.layer_kinds import IDLE, NORMALIZATIONS
from keras_blocks.core.native_layers import own_class
from keras_blocks.core.sizes import ChannelSlice, DilatedMeanPooling, SizeLike

layers = keras.layers

Key: TypeAlias = tuple[str, int]
"""A layer's name, and which of its calls it is."""

PER_CHANNEL = (
    layers.AveragePooling2D,
    layers.Cropping2D,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.MaxPooling2D,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
    CeilMaxPooling2D,
    DilatedMeanPooling,
    SizeLike,
)
"""Layers without weights that do the same with each channel, and with positive multiples of it the same multiple."""

KINDS: dict[str, tuple[type, ...]] = {
    "idle": IDLE,
    "per_channel": PER_CHANNEL,
    "linear": (layers.Conv2D, GroupedConv2D, layers.Conv2DTranspose, layers.Dense),
    "depthwise": (layers.DepthwiseConv2D,),
    "norm": NORMALIZATIONS,
    "activation": (layers.Activation,),
    "rescale": (layers.Rescaling,),
    "add": (layers.Add,),
    "multiply": (layers.Multiply,),
    "concatenate": (layers.Concatenate,),
    "pad_channels": (ChannelPadding,),
    "slice": (ChannelSlice,),
    "flatten": (layers.Flatten,),
    "reshape": (layers.Reshape,),
}
WEIGHTED = ("linear", "depthwise", "norm")
MERGES = ("add", "multiply", "concatenate")


def kind_of(operation: Any) -> str:
    """What a layer is to its channels; "opaque" for one that is only known to do the same with the same."""
    if getattr(operation, "lora_enabled", False) or getattr(operation, "quantization_mode", None):
        return "opaque"
    if type(operation).__name__ in ("Add", "Multiply") and not isinstance(operation, layers.Layer):  # of keras.ops
        return type(operation).__name__.lower()
    return next((kind for kind, classes in KINDS.items() if own_class(operation) in classes), "opaque")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of a layer, or of a function of keras.ops."""

    key: Key
    layer: Any
    kind: str
    inputs: list[Any]
    outputs: list[Any]

    @property
    def name(self) -> str:
        return str(self.layer.name)


class Flat:
    """A flat model's calls in order, and who makes and takes each tensor."""

    def __init__(self, model: keras.Model, flat: keras.Model):
        self.model = flat
        self.calls = list(_keyed(model, flat))
        self.by_key = {call.key: call for call in self.calls}
        self.made_by = {id(tensor): call for call in self.calls for tensor in call.outputs}
        self.taken_by: dict[int, list[Call]] = {}
        for call in self.calls:
            for tensor in call.inputs:
                self.taken_by.setdefault(id(tensor), []).append(call)
        formats = [getattr(layer, "data_format", None) for layer in flat.layers]
        self.axis = 1 if "channels_first" in formats else -1

    def count(self, tensor: Any) -> int:
        """The channels of a tensor: of vectors, and of what is no image, all of its numbers."""
        shape = tuple(tensor.shape)
        if len(shape) == 4:
            return shape[self.axis] or 1
        known = [size for size in shape[1:] if size]
        total = 1
        for size in known:
            total *= size
        return total if len(known) == len(shape) - 1 else shape[-1] or 1

    def size(self, tensor: Any) -> tuple[int | None, ...]:
        """Height and width."""
        shape = tuple(tensor.shape)
        if len(shape) != 4:
            return ()
        return shape[1:3] if self.axis == -1 else shape[2:]


def places(flat: Flat, tensor: Any) -> np.ndarray:
    """Where in a vector the pixels of each channel are, of an image that the vector is reshaped to."""
    shape = tuple(tensor.shape[1:])
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    return np.moveaxis(numbers, 2 if flat.axis == -1 else 0, 0).reshape(flat.count(tensor), -1)


def _keyed(model: keras.Model, flat: keras.Model) -> Iterator[Call]:
    """Calls by names in which what Keras numbered itself is counted in the model alone."""
    prefixes = _counted(list(model.layers))
    times: dict[int, int] = {}
    counts: dict[str, int] = {}
    names: dict[int, str] = {}
    for operation, inputs, outputs in calls(flat):
        if id(operation) not in names:
            names[id(operation)] = _name(operation, prefixes, counts)
        k = times[id(operation)] = times.get(id(operation), -1) + 1
        yield Call((names[id(operation)], k), operation, kind_of(operation), inputs, outputs)


def _counted(parts: list[Any]) -> dict[str, str]:
    """A numbered name -> the class and which of its kind in the model it is."""
    counts: dict[str, int] = {}
    found = {}
    for part in parts:
        if (base := counted_name(part)) is not None:
            counts[base] = counts.get(base, 0) + 1
            found[part.name] = f"{base}#{counts[base]}"
    return found


def _name(operation: Any, prefixes: dict[str, str], counts: dict[str, int]) -> str:
    name = str(operation.name)
    if name in prefixes:
        return prefixes[name]
    for prefix in sorted(prefixes, key=len, reverse=True):
        if name.startswith(f"{prefix}_"):
            return prefixes[prefix] + name[len(prefix) :]
    base = counted_name(operation)
    if base is None:
        return name
    counts[base] = counts.get(base, 0) + 1
    return f"{base}##{counts[base]}"
