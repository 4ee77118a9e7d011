"""The calls of a flat model, each by a key that its grown child has for it, too."""

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_blocks.blocks.anchors import AnchorGenerator
from keras_blocks.blocks.box_head import FlattenRegions
from keras_blocks.blocks.channel_padding import ChannelPadding
from keras_blocks.blocks.pairwise_distance import PairwiseDistance
from keras_blocks.blocks.pooling import CeilMaxPooling2D
from keras_blocks.blocks.pyramid import UpsampleLike
from keras_blocks.blocks.region_head import EachRegion, FittedDense
from keras_blocks.blocks.region_proposals import CoveredSize
from keras_blocks.blocks.roi import RoIAlign, RoIPool
from keras_blocks.blocks.variational import GaussianSampling
from keras_blocks.core.graphs import call_number, calls, counted_name
from keras_blocks.core.grouped_conv2d import GroupedConv2D
from keras_blocks.core.layer_kinds import IDLE, NORMALIZATIONS
from keras_blocks.core.native_layers import own_class
from keras_blocks.core.sizes import ChannelPooling, ChannelSlice, DilatedMeanPooling, SizeLike
from keras_blocks.look.expanding import expand

layers = keras.layers

Key: TypeAlias = tuple[str, int]
"""A layer's name, and which of its calls it is."""

PER_CHANNEL = (
    layers.AdaptiveAveragePooling2D,
    layers.AdaptiveMaxPooling2D,
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
    UpsampleLike,
)
"""Layers without weights that do the same with each channel, and with positive multiples of it the same multiple."""

DENSE = (layers.Dense, FittedDense)
"""Layers that do the same with each vector of a sequence."""

EACH = (layers.ReLU, layers.LeakyReLU, layers.ELU)
"""Layers that do the same with each number, and are their own activation."""

_EACH = """
    Celu Elu Gelu HardSigmoid HardSilu HardTanh LeakyRelu LogSigmoid Mish Relu Relu6 Selu Sigmoid Silu Softplus Softsign
    SquarePlus Tanh
"""
OPS = {"Add": "add", "Multiply": "multiply", **dict.fromkeys(_EACH.split(), "activation")}
"""Functions of keras.ops, by the class of their calls in a graph, that are what layers of a kind are."""

KINDS: dict[str, tuple[type, ...]] = {
    "idle": IDLE,
    "per_channel": PER_CHANNEL,
    "linear": (layers.Conv2D, GroupedConv2D, layers.Conv2DTranspose, *DENSE),
    "depthwise": (layers.DepthwiseConv2D,),
    "norm": NORMALIZATIONS,
    "activation": (layers.Activation, *EACH),
    "rescale": (layers.Rescaling,),
    "add": (layers.Add,),
    "multiply": (layers.Multiply,),
    "concatenate": (layers.Concatenate,),
    "pad_channels": (ChannelPadding,),
    "slice": (ChannelSlice,),
    "pool_channels": (ChannelPooling,),
    "sample": (GaussianSampling,),
    "row": (layers.Conv1D,),
    "flatten": (layers.Flatten,),
    "reshape": (layers.Reshape,),
    "regions": (RoIAlign, RoIPool),
    "each_region": (EachRegion,),
    "flatten_regions": (FlattenRegions,),
    "distance": (PairwiseDistance,),
    "of_size": (AnchorGenerator, CoveredSize),
}
WEIGHTED = ("linear", "depthwise", "norm")
EACH_NUMBER = ("idle", "activation", "rescale", "add", "multiply")
MERGES = ("add", "multiply", "concatenate")


def kind_of(operation: Any) -> str:
    """What a layer is to its channels; "opaque" for one that is only known to do the same with the same."""
    if getattr(operation, "lora_enabled", False) or getattr(operation, "quantization_mode", None):
        return "opaque"
    if not isinstance(operation, layers.Layer):
        return OPS.get(type(operation).__name__, "opaque")
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
        made = [call for call in self.calls if call.kind in ("regions", "each_region")]
        self.of_regions = {id(tensor) for call in made for tensor in call.outputs if len(tensor.shape) == 5}
        """Maps of regions: (batch, regions, height, width, channels)."""
        self.vectors = self._vectors()
        """Vectors in a sequence, as of regions: (batch, regions, channels)."""

    def _vectors(self) -> set[int]:
        """What dense layers take and give, and what does the same with each number of it."""
        found: set[int] = set()
        before = -1
        while len(found) > before:
            before = len(found)
            for call in self.calls:
                own = {id(tensor) for tensor in (*call.inputs, *call.outputs) if len(tensor.shape) == 3}
                made = {id(tensor) for tensor in call.outputs} & own
                if type(call.layer) in DENSE or (call.kind in EACH_NUMBER and own & found):
                    found |= own
                elif call.kind in ("each_region", "flatten_regions"):
                    found |= made
        return found

    def count(self, tensor: Any) -> int:
        """The channels of a tensor: of images, of regions, and of vectors in a sequence; else all of its numbers."""
        shape = tuple(tensor.shape)
        if id(tensor) in self.vectors:
            return shape[-1] or 1
        if len(shape) == 4:
            return shape[self.axis] or 1
        if id(tensor) in self.of_regions:
            return shape[2 if self.axis == 1 else -1] or 1
        known = [size for size in shape[1:] if size]
        total = 1
        for size in known:
            total *= size
        return total if len(known) == len(shape) - 1 else shape[-1] or 1

    def size(self, tensor: Any) -> tuple[int | None, ...]:
        """Height and width."""
        shape = tuple(tensor.shape)[id(tensor) in self.of_regions :]  # without the axis of the regions
        if len(shape) != 4:
            return ()
        return shape[1:3] if self.axis == -1 else shape[2:]


def flat_of(model: keras.Model) -> Flat:
    """A model, expanded.

    Raises:
        ValueError: for layers whose channels are followed, of which it is not known where they are.
    """
    flat = Flat(model, expand(model))
    for call in flat.calls:
        known = {2, 3, 4} if type(call.layer) in DENSE else {2, 4}
        ranks = {len(tensor.shape) for tensor in (*call.inputs, *call.outputs)} - known
        if ranks and call.kind in WEIGHTED:
            raise ValueError(
                f"`model` must be of images and vectors, and of sequences in dense layers alone; '{call.name}' gives "
                f"{call.outputs[0].shape}. A model of volumes, or that normalizes sequences, cannot be grown."
            )
    return flat


def places(flat: Flat, tensor: Any) -> np.ndarray:
    """Where in a vector the pixels of each channel are, of an image that the vector is reshaped to."""
    shape = tuple(tensor.shape[1:])
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    return np.moveaxis(numbers, 2 if flat.axis == -1 else 0, 0).reshape(flat.count(tensor), -1)


def _keyed(model: keras.Model, flat: keras.Model) -> Iterator[Call]:
    """Calls by names in which what Keras numbered itself is counted in the model alone."""
    prefixes = _counted(list(model.layers))
    counts: dict[str, int] = {}
    names: dict[int, str] = {}
    found = list(calls(flat))
    made: dict[int, list[int]] = {}
    for operation, _, outputs in found:
        made.setdefault(id(operation), []).append(call_number(outputs[0]))
    for operation, inputs, outputs in found:
        if id(operation) not in names:
            names[id(operation)] = _name(operation, prefixes, counts)
        # Not in the graph's order, which of two calls at one depth follows from what is behind them.
        k = sorted(made[id(operation)]).index(call_number(outputs[0]))
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
