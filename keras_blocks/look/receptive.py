"""Receptive fields, exactly, from the declaration: of which rows and columns of the image a pixel of a map is made."""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from keras_blocks.core.shapes import as_pair
from keras_blocks.look.plan import Node, Plan

Span: TypeAlias = tuple[float, float]
"""From the first to the last row, or column; beyond the image's border it goes on."""

WHOLE: Span = (-math.inf, math.inf)
WINDOWS = frozenset(
    [
        "Conv2D",
        "GroupedConv2D",
        "DepthwiseConv2D",
        "SeparableConv2D",
        "MaxPooling2D",
        "AveragePooling2D",
        "CeilMaxPooling2D",
    ]
)
OF_ALL = frozenset(
    ["GlobalAveragePooling2D", "GlobalMaxPooling2D", "Flatten", "GroupNormalization", "LayerNormalization"]
)
BY_PIXEL = frozenset(
    [
        "Activation",
        "ReLU",
        "LeakyReLU",
        "PReLU",
        "ELU",
        "Softmax",
        "Relu",
        "BatchNormalization",
        "Dropout",
        "SpatialDropout2D",
        "GaussianNoise",
        "GaussianDropout",
        "Identity",
        "InputLayer",
        "Add",
        "Subtract",
        "Multiply",
        "Average",
        "Maximum",
        "Minimum",
        "Concatenate",
        "ChannelPadding",
        "LocalResponseNormalization",
        "ImageNormalization",
        "Rescaling",
        "Normalization",
        "Dense",
    ]
)
GROWING = ("Conv2DTranspose", "UpSampling2D", "UpsampleLike")
STEPS = 16
"""Pixels of a map that are looked at where those of a map that grew are made of more or fewer."""


class Unknown(Exception):
    """A layer of which it is not known what it looks at."""


def receptive_field(plan: Plan, node: Node) -> tuple[Any, Any]:
    """((height, width) of what a pixel of a node's output is made of, the step of that from pixel to pixel).

    Without a border: a pixel near the image's own is made of fewer. `None` for both where it is the whole image, or
    where a layer is not known. Where a map grew, the largest of its pixels counts.
    """
    try:
        seen = [_seen(plan, node, at) for at in (range(STEPS + 1) if _grows(plan) else (0, STEPS))]
    except Unknown:
        return None, None
    if any(not math.isfinite(end) for spans in seen for span in spans for end in span):
        return None, None
    sizes = tuple(max(round(spans[axis][1] - spans[axis][0]) + 1 for spans in seen) for axis in (0, 1))
    steps = [(seen[-1][axis][0] - seen[0][axis][0]) / STEPS for axis in (0, 1)]
    return sizes, tuple(int(step) if step == int(step) else step for step in steps)


def _grows(plan: Plan) -> bool:
    """Whether a map in it is larger than the one that it is made of: then pixels see more or less by their place."""
    inner = (node.opened() for node in plan.nodes)
    return any(node.cls.__name__ in GROWING for node in plan.nodes) or any(one and _grows(one) for one in inner)


def _seen(plan: Plan, node: Node, at: int) -> tuple[Span, Span]:
    """The rows and columns of the image, or of the images together, that the pixel (at, at) is made of."""
    found = _needed(plan, {id(node): ((at, at), (at, at))})
    spans = [found[id(one)] for one in plan.inputs if id(one) in found]
    if not spans:
        raise Unknown
    return spans[0] if len(spans) == 1 else _together(spans)


def _needed(plan: Plan, of: dict[int, tuple[Span, Span]]) -> dict[int, tuple[Span, Span]]:
    """Node -> rows and columns of its output that these of others are made of."""
    need = dict(of)
    for node in reversed(plan.nodes):
        if id(node) in need and node.inputs:
            for source, spans in zip(node.inputs, _given(node, need[id(node)])):
                if spans is not None:
                    need[id(source)] = _together([need[id(source)], spans]) if id(source) in need else spans
    return need


def _given(node: Node, spans: tuple[Span, Span]) -> list[tuple[Span, Span] | None]:
    """Of each of a node's inputs, what its output's spans are made of."""
    inner = node.opened()
    if inner is not None:
        found = _needed(inner, {id(one): spans for one in inner.outputs})
        inputs = sorted(inner.inputs, key=lambda one: one.name) if isinstance(node.given, Mapping) else inner.inputs
        if len(inputs) != len(node.inputs):
            raise Unknown
        return [found.get(id(one)) for one in inputs]
    name = node.cls.__name__
    if name == "UpsampleLike":  # the second says only how large
        return [_by_axis(node, spans), None]
    if name in OF_ALL:
        return [(WHOLE, WHOLE)] * len(node.inputs)
    if name in BY_PIXEL:
        return [spans] * len(node.inputs)
    return [_by_axis(node, spans)]


def _by_axis(node: Node, spans: tuple[Span, Span]) -> tuple[Span, Span]:
    first, second = (_along(node, axis, span) for axis, span in enumerate(spans))
    return first, second


def _along(node: Node, axis: int, span: Span) -> Span:
    """What a span of a layer's output is made of, along the height or the width."""
    low, high = span
    name = node.cls.__name__
    if name in ("UpSampling2D", "UpsampleLike"):
        if node.option("interpolation", "nearest") != "nearest":
            raise Unknown
        size = as_pair(node.option("size", 2))[axis]
        return math.floor(low / size) if math.isfinite(low) else low, math.floor(high / size) if math.isfinite(
            high
        ) else high
    if name in ("ZeroPadding2D", "Cropping2D"):
        borders = node.option("padding" if name == "ZeroPadding2D" else "cropping")
        one = borders if isinstance(borders, int) else tuple(borders)[axis]
        before = one if isinstance(one, int) else one[0]
        shift = -before if name == "ZeroPadding2D" else before
        return low + shift, high + shift
    window = node.option("kernel_size") or node.option("pool_size")
    if window is None or name not in WINDOWS | {"Conv2DTranspose"}:
        raise Unknown
    size, steps = as_pair(window)[axis], node.option("strides")
    step = size if steps is None else as_pair(steps)[axis]
    reach = (size - 1) * as_pair(node.option("dilation_rate") or 1)[axis]
    same = node.option("padding", "valid") == "same"
    if name == "Conv2DTranspose":
        border = max(reach + 1 - step, 0) // 2 if same else 0
        if not math.isfinite(low):
            return WHOLE
        return math.ceil((low + border - reach) / step), math.floor((high + border) / step)
    pad = 0
    if same:
        length = _length(node, axis)
        pad = max((-(-length // step) - 1) * step + reach + 1 - length, 0) // 2
    return low * step - pad, high * step - pad + reach


def _length(node: Node, axis: int) -> int:
    """The height or width that a layer is given; Keras' "same" depends on it."""
    shape = node.given
    first = 1 if node.option("data_format") != "channels_first" else 2
    length = shape[first + axis]
    if not isinstance(length, int):
        raise Unknown
    return length


def _together(spans: list[tuple[Span, Span]]) -> tuple[Span, Span]:
    rows, columns = zip(*spans)
    return _around(rows), _around(columns)


def _around(spans: Any) -> Span:
    return min(low for low, _ in spans), max(high for _, high in spans)
