"""Numbers for what channels hold: two channels of one number hold the same, in the parent and in the child.

A layer's output channel has a number that follows from the layer and the numbers that it is given, as in a compiler's
value numbering. So it is proved, rather than tried, that a child computes what its parent does: its outputs have the
parent's numbers. A channel may also hold a multiple of what its number stands for, its scale. Number 0 is the constant
1, so that (0, 0.5) is a channel of halves.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np

CONSTANT = 0
INFINITE = float("inf")

SAME_IF_POSITIVE = ("relu", "leaky_relu", "elu", "celu")
HOMOGENEOUS = ("relu", "leaky_relu")
SPANS = {"relu6": (0.0, 6.0), "sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0)}
"""Activations that leave positive numbers as they are; that make of a positive multiple the same multiple; that give
what lies between two numbers."""


class Values(NamedTuple):
    """What a tensor's channels hold."""

    ids: np.ndarray
    scales: np.ndarray

    def taken(self, indices: Any) -> "Values":
        return Values(self.ids[indices], self.scales[indices])

    def same(self, other: "Values") -> bool:
        return np.array_equal(self.ids, other.ids) and np.allclose(self.scales, other.scales, rtol=1e-9, atol=0)

    def listed(self) -> tuple[Any, ...]:
        return (*self.ids.tolist(), *np.round(self.scales, 12).tolist())


def joined(values: Iterable[Values]) -> Values:
    ids, scales = zip(*values)
    return Values(np.concatenate(ids), np.concatenate(scales))


def constant(value: float, count: int) -> Values:
    return Values(np.full(count, CONSTANT), np.full(count, float(value)))


class Numbers:
    """Gives numbers, and knows of each in what range it is, and of what it is the padded image."""

    def __init__(self) -> None:
        self._known: dict[Any, int] = {}
        self._ranges: list[tuple[float, float]] = [(1.0, 1.0)]
        self.padded: dict[int, tuple[int, tuple[int, int]]] = {}
        """Number -> that of the image within, and the rows and columns of zeros before it."""

    def fresh(self, count: int) -> Values:
        first = len(self._ranges)
        self._ranges += [(-INFINITE, INFINITE)] * count
        return Values(np.arange(first, first + count), np.ones(count))

    def number(self, key: Any, span: tuple[float, float] = (-INFINITE, INFINITE)) -> int:
        if key not in self._known:
            self._known[key] = len(self._ranges)
            self._ranges.append(span)
        return self._known[key]

    def span(self, number: int, scale: float = 1.0) -> tuple[float, float]:
        ends = sorted(end * scale for end in self._ranges[number]) if scale else (0.0, 0.0)
        return ends[0], ends[1]

    def per_channel(self, key: str, values: Values, *, pads: tuple[int, int] | None = None) -> Values:
        """What a layer of this key, the same for each channel, makes of them."""
        ids = np.empty_like(values.ids)
        for i, number in enumerate(values.ids.tolist()):
            if number == CONSTANT:
                ids[i] = number
                continue
            low, high = self._ranges[number]
            ids[i] = self.number((key, number), (low, high) if pads is None else (min(low, 0.0), max(high, 0.0)))
            if pads is not None:
                self.padded[int(ids[i])] = (number, pads)
        return Values(ids, values.scales)

    def activated(self, name: str, function: Callable[[Any], Any], values: Values) -> Values:
        """What an activation of each number by itself makes of them."""
        found = [self._activated(name, function, *pair) for pair in zip(values.ids.tolist(), values.scales.tolist())]
        ids, scales = zip(*found)
        return Values(np.array(ids), np.array(scales))

    def _activated(self, name: str, function: Callable[[Any], Any], number: int, scale: float) -> tuple[int, float]:
        if number == CONSTANT:
            return CONSTANT, float(
                keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor([scale], "float32")))[0]
            )
        low, high = self.span(number, scale)
        if name == "linear" or (low >= 0 and (name in SAME_IF_POSITIVE or (name == "relu6" and high <= 6))):
            return number, scale
        kept = scale if name in HOMOGENEOUS and scale > 0 else 1.0
        low, high = (0.0, max(high, 0.0)) if name == "relu" else SPANS.get(name, (-INFINITE, INFINITE))
        key = ("activation", name, number, scale / kept)
        return self.number(key, (low / kept, high / kept)), kept

    def unpadded(self, values: Values) -> tuple[Values, tuple[int, int]]:
        """The image within a padded one, and the rows and columns of zeros before it."""
        found = [self.padded.get(number) for number in values.ids.tolist() if number != CONSTANT]
        pads = {one[1] for one in found if one is not None}
        if len(pads) != 1 or None in found:
            return values, (0, 0)
        inner = [self.padded[number][0] if number != CONSTANT else CONSTANT for number in values.ids.tolist()]
        return Values(np.array(inner), values.scales), pads.pop()

    def added(self, inputs: list[Values]) -> Values:
        return self._merged(inputs, self._sum)

    def multiplied(self, inputs: list[Values]) -> Values:
        return self._merged(inputs, self._product)

    def _merged(self, inputs: list[Values], merge: Callable[[list[tuple[int, float]]], tuple[int, float]]) -> Values:
        count = max(len(values.ids) for values in inputs)
        rows = [values.taken(np.arange(count) % len(values.ids)) for values in inputs]
        pairs = [list(zip(row.ids.tolist(), row.scales.tolist())) for row in rows]
        ids, scales = zip(*(merge(list(terms)) for terms in zip(*pairs)))
        return Values(np.array(ids), np.array(scales))

    def _sum(self, terms: list[tuple[int, float]]) -> tuple[int, float]:
        shift = sum(scale for number, scale in terms if number == CONSTANT)
        rest = sorted((number, round(scale, 12)) for number, scale in terms if number != CONSTANT)
        if not rest:
            return CONSTANT, shift
        if len(rest) == 1 and not shift:
            return rest[0]
        spans = [self.span(*term) for term in terms]
        low, high = (sum(ends) for ends in zip(*spans))
        scale = rest[0][1]
        if shift or any(other != scale for _, other in rest):
            return self.number(("sum", tuple(rest), shift), (low, high)), 1.0
        key = ("sum", tuple((number, 1.0) for number, _ in rest), 0.0)
        return self.number(key, (low / scale, high / scale)), scale

    def _product(self, terms: list[tuple[int, float]]) -> tuple[int, float]:
        scale = float(np.prod([scale for _, scale in terms]))
        rest = sorted(number for number, _ in terms if number != CONSTANT)
        if not rest or not scale:
            return CONSTANT, scale
        if len(rest) == 1:
            return rest[0], scale
        positive = all(self._ranges[number][0] >= 0 for number in rest)
        return self.number(("product", *rest), (0.0 if positive else -INFINITE, INFINITE)), scale

    def each(self, key: str, inputs: list[Values], shared: tuple[Any, ...] = ()) -> Values:
        """What a layer makes of the channels of its inputs that are in one place, and of what all have."""
        rows = [list(zip(*(column.tolist() for column in values))) for values in inputs]
        ids = [self.number((key, shared, *column)) for column in zip(*rows)]
        return Values(np.array(ids), np.ones(len(ids)))

    def of_regions(self, key: str, maps: list[Values], boxes: Values) -> Values:
        """What lies in boxes of each channel of the maps; of a channel of zeros, zeros."""
        made = self.each(key, maps, boxes.listed())
        empty = np.all([(values.ids == CONSTANT) & (values.scales == 0) for values in maps], axis=0)
        return Values(np.where(empty, CONSTANT, made.ids), np.where(empty, 0.0, 1.0))

    def pooled(self, key: str, values: Values, shares: bool) -> Values:
        """One channel of all: what a number of each of them comes to, by their shares or without counting them."""
        terms = Counter(zip(values.ids.tolist(), np.round(values.scales, 12).tolist()))
        total = len(values.ids) if shares else 0
        parts = sorted((*term, count / total if shares else 1.0) for term, count in terms.items())
        lows, highs = zip(*(self.span(*term) for term in terms))
        return Values(np.array([self.number((key, *parts), (min(lows), max(highs)))]), np.ones(1))

    def together(self, key: str, inputs: list[Values], counts: list[int]) -> list[Values]:
        """What a layer of which nothing is known makes: the same of the same."""
        given = tuple(values.listed() for values in inputs)
        outputs = []
        for j, count in enumerate(counts):
            ids = [self.number((key, given, j, channel)) for channel in range(count)]
            outputs.append(Values(np.array(ids), np.ones(count)))
        return outputs


def key_of(operation: Any) -> str:
    """What an operation does, as text: equal for two that do the same."""
    try:
        config = operation.get_config()
    except Exception:  # of a layer that cannot be saved: then its class is all that is known of it
        config = {}
    config = {key: value for key, value in config.items() if key not in ("name", "trainable", "dtype")}
    return f"{type(operation).__name__} {json.dumps(config, sort_keys=True, default=str)}"
