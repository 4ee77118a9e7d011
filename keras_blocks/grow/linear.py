"""Convolutions and dense layers of the child, as the parent's."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_blocks.core.arrays import as_float64
from keras_blocks.grow.flat import Call
from keras_blocks.grow.kernels import (
    Pairs,
    Taps,
    Window,
    as_kernel_of,
    by_groups,
    copies,
    embedded,
    grown_kernel,
    paired,
    paired_by_place,
    plain_kernel,
    window_of,
)
from keras_blocks.grow.values import Values

if TYPE_CHECKING:
    from keras_blocks.grow.carrying import Child

ROW = ("data_format", "dilation_rate", "groups", "padding", "strides")
"""Arguments in which two convolutions of rows must be one."""


def carried_linear(child: "Child", call: Call, twin: Call, values: Values) -> Values:
    """What a convolution or dense layer makes, once it has the parent's weights."""
    mine, theirs, taps = _taps(child, call, twin, values)
    linear = child.parent.linear[twin.key]
    outputs = child.layout(call.outputs[0], len(linear.ids))
    groups = (getattr(call.layer, "groups", 1), getattr(twin.layer, "groups", 1))
    width = [len(one.ids) // number for one, number in zip((mine, theirs), groups)]
    layout = child.layout(call.inputs[0], len(theirs.ids)) if groups == (1, 1) else np.zeros(0, int)
    pairs: dict[tuple[int, int], Pairs] = {}
    whole = np.zeros(len(outputs), bool)
    for (g, h), chosen in by_groups(outputs, (len(outputs), len(linear.ids)), groups).items():
        seen = [one.taken(slice(i * n, (i + 1) * n)) for one, i, n in zip((mine, theirs), (g, h), width)]
        found = paired(seen[0], seen[1])
        whole[chosen] = found.whole
        pairs[g, h] = found if found.whole else paired_by_place(layout, width[0], width[1])
    factor = child.roles.factors.get(call.key, 1.0)
    if child.first(call):
        _move(child, call, twin, taps, outputs, pairs, groups, factor)
    alike = child.done(call, outputs, *(part for pair in pairs.values() for part in (pair.child, pair.factors)))
    if not alike or (twin.layer.use_bias and not call.layer.use_bias):
        whole[:] = False
    known, fresh = (outputs >= 0) & whole & taps.exact, child.numbers.fresh(len(outputs))
    scales = factor * linear.scales[outputs]
    return Values(np.where(known, linear.ids[outputs], fresh.ids), np.where(known, scales, 1.0))


def carried_depthwise(child: "Child", call: Call, twin: Call, values: Values) -> Values:
    """What a depthwise convolution makes, once it has the parent's weights."""
    mine, theirs, taps = _taps(child, call, twin, values)
    layer, times = call.layer, twin.layer.depth_multiplier
    linear = child.parent.linear[twin.key]
    layout = child.layout(call.inputs[0], len(theirs.ids))
    source = sources(mine, theirs, layout)
    near = np.where(source >= 0, source, layout)
    if child.first(call) and layer.depth_multiplier == times:
        start, size, old = taps.start, tuple(layer.kernel_size), as_float64(layer.kernel)

        def kernel(value: np.ndarray, shared: bool) -> np.ndarray:
            own = old if shared else np.zeros_like(old)
            return np.where((near >= 0)[:, None], embedded(value, start, size)[:, :, near], own)

        child.move(layer.kernel, twin.layer.kernel, kernel)
        spread = (near[:, None] * times + np.arange(times)).reshape(-1)
        _move_bias(child, call, twin, np.where(np.repeat(near, times) >= 0, spread, -1), 1.0)
    alike = child.done(call, near)
    outputs = (source[:, None] * times + np.arange(times)).reshape(-1)
    known = np.repeat(source >= 0, times) & taps.exact & alike & (layer.depth_multiplier == times)
    known &= layer.use_bias or not twin.layer.use_bias
    if len(known) != child.flat.count(call.outputs[0]):
        return child.numbers.fresh(child.flat.count(call.outputs[0]))
    fresh = child.numbers.fresh(len(outputs))
    # A multiple of what the parent's is given gives that multiple, unless there is a bias.
    ratio = np.repeat(
        np.where(source >= 0, mine.scales / np.where(theirs.scales == 0, 1, theirs.scales)[source], 1), times
    )
    known &= (ratio == 1) | (not layer.use_bias)
    return Values(np.where(known, linear.ids[outputs], fresh.ids), np.where(known, ratio, 1.0))


def carried_row(child: "Child", call: Call, twin: Call, inputs: list[Values]) -> list[Values]:
    """What a convolution of a row of channels makes, as that of an ECA, once it has the parent's weights.

    It sees neighbours, so all that it is given must be the parent's; its kernel may be larger, or have a bias. With a
    dilation, as many pixels must be padded in front of the parent's taps as there are in front of its own kernel.
    """
    layer, other = call.layer, twin.layer
    (size,), (small,) = layer.kernel_size, other.kernel_size
    start = (size - 1) // 2 - (small - 1) // 2
    same = all(getattr(layer, name) == getattr(other, name) for name in ("activation", *ROW))
    fits = layer.kernel.shape[1:] == other.kernel.shape[1:]
    if fits and child.first(call):
        child.move(layer.kernel, other.kernel, lambda value, shared: embedded(value, (start,), (size,)))
        _move_bias(child, call, twin, np.arange(layer.filters), 1.0)
    child.done(call)
    same &= fits and layer.padding == "same" and tuple(layer.strides) == (1,) and start >= 0 and start + small <= size
    (dilation,) = layer.dilation_rate  # "same" pads half of the window's pixels in front, and that half may be cut
    same &= (size - 1) * dilation // 2 - (small - 1) * dilation // 2 == start * dilation
    same &= layer.use_bias or not other.use_bias
    if same and all(one.same(given) for one, given in zip(inputs, child.parent.given(twin), strict=True)):
        return child.parent.made(twin)
    return [child.numbers.fresh(child.flat.count(call.outputs[0]))]


def sources(mine: Values, theirs: Values, layout: np.ndarray) -> np.ndarray:
    """For each channel one of the parent's that holds the same, the layout's where that does; or -1."""
    first: dict[int, int] = {}
    for c, number in enumerate(theirs.ids.tolist()):
        first.setdefault(number, c)
    found = np.array([first.get(number, -1) for number in mine.ids.tolist()])
    fits = (layout >= 0) & (theirs.ids[layout] == mine.ids)
    return np.where(fits, layout, found)


def window(child: Any, call: Call, values: Values, flat: Any) -> tuple[Values, Window]:
    """What a convolution looks at, without the zeros around it, and how."""
    inner, pads = child.numbers.unpadded(values)
    size = flat.size(call.inputs[0])
    return inner, window_of(call.layer, size, pads, flat.size(call.outputs[0]))


def _taps(child: "Child", call: Call, twin: Call, values: Values) -> tuple[Values, Values, Taps]:
    """What both are given, and where the parent's kernel lies in the child's."""
    theirs = child.parent.given(twin)[0]
    if not hasattr(call.layer, "kernel_size"):
        return values, theirs, Taps((0, 0), True)
    mine, reach = window(child, call, values, child.flat)
    theirs, other = window(child, twin, theirs, child.parent.flat)
    taps = reach.taps_of(other)
    transposed = type(call.layer) is keras.layers.Conv2DTranspose
    return mine, theirs, Taps(taps.start, taps.exact and not (transposed and reach.size != other.size))


def _move(
    child: "Child",
    call: Call,
    twin: Call,
    taps: Taps,
    outputs: np.ndarray,
    pairs: dict[tuple[int, int], Pairs],
    groups: tuple[int, int],
    factor: float,
) -> None:
    layer, other = call.layer, twin.layer
    old = plain_kernel(layer, as_float64(layer.kernel))
    noise = _noise(old.shape, outputs, child.break_ties)

    def kernel(value: np.ndarray, shared: bool) -> np.ndarray:
        theirs = embedded(plain_kernel(other, value), taps.start, old.shape[:2])
        made = grown_kernel(theirs, old if shared else np.zeros_like(old), outputs, pairs, groups, shared)
        made = np.where(outputs >= 0, made * factor, made) if shared else made
        return as_kernel_of(layer, made + noise * value.std() if shared and noise is not None else made)

    child.move(layer.kernel, other.kernel, kernel)
    _move_bias(child, call, twin, outputs, factor)


def _move_bias(child: "Child", call: Call, twin: Call, outputs: np.ndarray, factor: float) -> None:
    if not call.layer.use_bias:
        return
    old = as_float64(call.layer.bias)

    def bias(value: np.ndarray, shared: bool) -> np.ndarray:
        return np.where(outputs >= 0, value[outputs] * (factor if shared else 1.0), old if shared else 0.0)

    if twin.layer.use_bias:
        child.move(call.layer.bias, twin.layer.bias, bias)
    else:
        call.layer.bias.assign(np.where(outputs >= 0, 0.0, old))


def _noise(shape: tuple[int, ...], outputs: np.ndarray, amount: float) -> np.ndarray | None:
    """On every copy of a channel but the first."""
    if not amount:
        return None
    drawn = as_float64(keras.random.normal(shape))
    noise: np.ndarray = amount * drawn * copies(outputs)
    return noise
