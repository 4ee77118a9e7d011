"""Kernels of a child's layers, from those of its parent's: channels copied and shared out, taps put in their places."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_blocks.core.shapes import as_pair
from keras_blocks.grow.flat import DENSE
from keras_blocks.grow.values import CONSTANT, Values


@dataclasses.dataclass(frozen=True, slots=True)
class Pairs:
    """Which of the parent's input channels the child's input channels hold, and by what their weights are multiplied.

    `whole` says whether all that the parent's layer is given is there.
    """

    child: np.ndarray
    parent: np.ndarray
    factors: np.ndarray
    whole: bool


def paired(mine: Values, theirs: Values) -> Pairs:
    """Channels of the child with those of the parent that hold the same, whose weights they share among them."""
    places: dict[int, list[int]] = {}
    for i, number in enumerate(mine.ids.tolist()):
        places.setdefault(number, []).append(i)
    wanted: dict[int, list[int]] = {}
    for c, number in enumerate(theirs.ids.tolist()):
        if not (number == CONSTANT and not theirs.scales[c]):
            wanted.setdefault(number, []).append(c)
    found: list[tuple[int, int, float]] = []
    for number, channels in wanted.items():
        copies = places.get(number, [])
        for k in range(max(len(copies), len(channels)) if copies else 0):
            i, c = copies[k % len(copies)], channels[k % len(channels)]
            shares = len(range(k % len(channels), len(copies), len(channels))) or 1
            found.append((i, c, theirs.scales[c] / mine.scales[i] / shares if mine.scales[i] else 0.0))
    return _pairs(found, all(number in places for number in wanted))


def paired_by_place(layout: np.ndarray, count: int, theirs: int) -> Pairs:
    """The nearest where the child is not given what its parent was: by the layout, or else by the channels' numbers."""
    if len(layout) != count or layout.max(initial=-1) >= theirs or not (layout >= 0).any():
        layout = np.arange(count) % theirs
    counts = np.bincount(layout[layout >= 0], minlength=theirs)
    return _pairs([(i, int(c), 1.0 / counts[c]) for i, c in enumerate(layout) if c >= 0], False)


def _pairs(found: list[tuple[int, int, float]], whole: bool) -> Pairs:
    child, parent, factors = zip(*found) if found else ((), (), ())
    return Pairs(np.array(child, int), np.array(parent, int), np.array(factors, float), whole)


@dataclasses.dataclass(frozen=True, slots=True)
class Taps:
    """Where the parent's kernel lies in the child's: its first row and column, and whether it does the same there."""

    start: tuple[int, ...]
    exact: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """How far a layer's first window reaches before the image, and in what steps its windows lie."""

    layer: Any
    before: tuple[tuple[int, ...], ...]
    """Rows and columns before the first pixel, for each of the sizes that the image may have."""

    after: tuple[int | None, ...]

    keeps_size: bool
    """Whether the output is as large as the image without its padding."""

    @property
    def size(self) -> tuple[int, ...]:
        return as_pair(self.layer.kernel_size)

    def taps_of(self, other: "Window") -> Taps:
        """Where the kernel of another layer lies in this one's."""
        mine, theirs = (as_pair(window.layer.kernel_size) for window in (self, other))
        middle = tuple((size - small) // 2 for size, small in zip(mine, theirs))
        strides, dilations = (
            [as_pair(getattr(window.layer, name)) for window in (self, other)] for name in ("strides", "dilation_rate")
        )
        apart = any(a != b and small > 1 for a, b, small in zip(*dilations, theirs))  # one tap has no distance
        shifts = {tuple(a - b for a, b in zip(*pair)) for pair in zip(self.before, other.before)}
        if strides[0] != strides[1] or apart or len(shifts) != 1 or self.after != other.after:
            return Taps(middle, False)
        (shift,) = shifts
        dilation = dilations[0]
        start = tuple(pixels // step for pixels, step in zip(shift, dilation))
        fits = all(
            pixels % step == 0 and first >= 0 and first + small <= size
            for pixels, step, first, small, size in zip(shift, dilation, start, theirs, mine)
        )
        return Taps(start if fits else middle, fits)

    def centre(self) -> Taps:
        """The tap that looks at the pixel of the output itself; exact where there is one for each pixel."""
        dilation = as_pair(self.layer.dilation_rate)
        size = as_pair(self.layer.kernel_size)
        still = as_pair(self.layer.strides) == (1, 1) and len(set(self.before)) == 1
        start = tuple(before // step for before, step in zip(self.before[0], dilation))
        fits = all(before % step == 0 for before, step in zip(self.before[0], dilation))
        inside = all(0 <= first < taps for first, taps in zip(start, size))
        return Taps(start if inside else tuple((taps - 1) // 2 for taps in size), still and fits and inside)


def window_of(layer: Any, size: tuple[int | None, ...], pads: tuple[int, int], after: tuple[int | None, ...]) -> Window:
    """The window of a convolution on an image of this size, with its padding, that is padded by so much before."""
    kernel, strides, dilation = (as_pair(value) for value in (layer.kernel_size, layer.strides, layer.dilation_rate))
    guesses = [size] if None not in size else [tuple(one or guess for one in size) for guess in (64, 65, 66, 67)]
    befores = []
    for guess in guesses:
        before = list(pads)
        if layer.padding == "same":
            for axis, pixels in enumerate(guess):
                reach = dilation[axis] * (kernel[axis] - 1) + 1
                step = strides[axis]
                before[axis] += max((-(-(pixels or 1) // step) - 1) * step + reach - (pixels or 1), 0) // 2
        befores.append(tuple(before))
    inner = tuple(None if one is None else one - 2 * pad for one, pad in zip(size, pads))
    return Window(layer, tuple(befores), after, layer.padding == "same" or inner == after or None in size)


def embedded(kernel: np.ndarray, start: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """A kernel with zeros around, or without its border where the new one is smaller; `shape` is of its taps."""
    made = np.zeros((*shape, *kernel.shape[len(shape) :]), kernel.dtype)
    mine, theirs = [], []
    for first, size, small in zip(start, shape, kernel.shape):
        begin, end = max(first, 0), min(first + small, size)
        mine.append(slice(begin, end))
        theirs.append(slice(begin - first, end - first))
    made[tuple(mine)] = kernel[tuple(theirs)]
    return made


def copies(layout: np.ndarray) -> np.ndarray:
    """Whether a channel is a copy of one that a channel before it is a copy of, too."""
    first: dict[int, int] = {}
    for i, channel in enumerate(layout.tolist()):
        first.setdefault(channel, i)
    return np.array([channel >= 0 and first[channel] != i for i, channel in enumerate(layout.tolist())])


def plain_kernel(layer: Any, value: np.ndarray) -> np.ndarray:
    """(rows, columns, inputs of a group, outputs), of any linear layer; its own inverse but for `as_kernel_of`."""
    if type(layer) in DENSE:
        return value[None, None]
    if type(layer) is keras.layers.Conv2DTranspose:
        return value.swapaxes(2, 3)
    return value


def as_kernel_of(layer: Any, value: np.ndarray) -> np.ndarray:
    """The layer's own form of a plain kernel."""
    return value.reshape(value.shape[2:]) if type(layer) in DENSE else plain_kernel(layer, value)


def grown_kernel(
    kernel: np.ndarray,
    new: np.ndarray,
    outputs: np.ndarray,
    pairs: Mapping[tuple[int, int], Pairs],
    groups: tuple[int, int],
    shared: bool = True,
) -> np.ndarray:
    """The child's plain kernel.

    Args:
        kernel: the parent's, with the child's taps.
        new: the child's own, which channels of which the parent has none keep.
        outputs: the layout of the outputs.
        pairs: (child's group, parent's group) -> input channels, counted in their groups.
        groups: the numbers of the child's and the parent's groups.
        shared: whether copies of one input share its weights, as gradients do not.
    """
    made = new.copy()
    for (mine, theirs), chosen in by_groups(outputs, (new.shape[3], kernel.shape[3]), groups).items():
        pair = pairs[mine, theirs]
        factors = pair.factors if shared else np.ones(len(pair.factors))
        rows = kernel[:, :, pair.parent][..., outputs[chosen]] * factors[:, None]
        block = np.zeros((*new.shape[:3], len(chosen)))
        for k, i in enumerate(pair.child.tolist()):
            block[:, :, i] += rows[:, :, k]
        made[..., chosen] = block
    return made


def by_groups(
    outputs: np.ndarray, counts: tuple[int, int], groups: tuple[int, int]
) -> dict[tuple[int, int], np.ndarray]:
    """(child's group, parent's group) -> the child's output channels there that the parent has."""
    channels = np.flatnonzero(outputs >= 0)
    wide, width = (count // number for count, number in zip(counts, groups))
    found: dict[tuple[int, int], list[int]] = {}
    for o in channels.tolist():
        found.setdefault((o // wide, int(outputs[o]) // width), []).append(o)
    return {key: np.array(chosen) for key, chosen in found.items()}
