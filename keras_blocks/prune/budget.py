"""What a pruned model counts, without making it, and which channels go so that it counts no more than it may."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_blocks.prune.channels import FROZEN, Labels
from keras_blocks.prune.coupling import Coupling, Kept


class RunningCount:
    """A count of multiply-adds or of parameters that follows each channel that goes, or comes back.

    Both are sums of products: of a constant and of how many channels stay along one or two axes of a weight. Each layer
    keeps a share of its channels, or of those that `widths` says for its name.
    """

    def __init__(self, coupling: Coupling, what: str, keep: float, widths: Mapping[str, int] = MappingProxyType({})):
        self.kept = Kept(coupling.channels)
        self._coupling = coupling
        self._numbers: list[int] = []
        """How many stay along each kind of axis: axes with the same channels are one."""
        self._least: list[int] = []
        self._known: dict[bytes, int] = {}
        self._in: dict[int, list[tuple[int, int]]] = {}
        """Label -> (number of an axis, how often the label is there)."""
        self._terms: Counter[tuple[int, ...]] = Counter()
        for part in coupling.parts.values():
            pixels = part.pixels if what == "macs" else 0.0
            for name, variable, axes in part.weights():
                factor = 1.0 if what == "parameters" else pixels if "kernel" in name else 0.0
                rest = int(np.prod([size for axis, size in enumerate(variable.shape) if axis not in axes]))
                self._terms[tuple(sorted(map(self._axis, axes.values())))] += factor * rest  # type: ignore[assignment]
            if part.followed.made and part.followed.out is not None:
                out = part.followed.out
                self._raise_floor(out, keep * widths.get(part.layer.name, len(out)))
        self._of: dict[int, list[tuple[int, ...]]] = {}
        for term in self._terms:
            for axis in {*term}:
                self._of.setdefault(axis, []).append(term)
        whole = coupling.macs if what == "macs" else coupling.params
        self._constant = whole - sum(map(self._value, self._terms))

    @property
    def total(self) -> int:
        return round(self._constant + sum(map(self._value, self._terms)))

    def labels(self) -> Iterator[int]:
        """Those that can go."""
        yield from sorted(self._in)

    def fits(self, label: int) -> bool:
        """Whether every layer has channels enough without it."""
        return all(self._numbers[axis] - count >= self._least[axis] for axis, count in self._in[label])

    def saved_by(self, label: int) -> float:
        """What the total has less without a channel; at least 1."""
        saved = -self.change(label, -1)
        self.change(label, +1)
        return max(saved, 1.0)

    def change(self, label: int, sign: int) -> float:
        """Takes a channel away (-1) or back (+1); what that adds to the total."""
        terms = {term for axis, _ in self._in[label] for term in self._of.get(axis, ())}
        before = sum(map(self._value, terms))
        for axis, count in self._in[label]:
            self._numbers[axis] += sign * count
        self.kept.stays[label] = sign > 0
        return sum(map(self._value, terms)) - before

    def _value(self, term: tuple[int, ...]) -> float:
        value: float = self._terms[term]
        for axis in term:
            value *= self._numbers[axis]
        return value

    def _axis(self, labels: Labels) -> int:
        """Its number; every axis keeps one channel."""
        roots = self._coupling.channels.roots(labels)
        axis = self._known.setdefault(roots.tobytes(), len(self._numbers))
        if axis == len(self._numbers):
            self._numbers.append(len(roots))
            self._least.append(1)
            for label, count in zip(*np.unique(roots, return_counts=True)):
                if label != FROZEN:
                    self._in.setdefault(int(label), []).append((axis, int(count)))
        return axis

    def _raise_floor(self, labels: Labels, least: float) -> None:
        self._least[self._axis(labels)] = max(1, int(np.ceil(least - 1e-9)))


def in_turn(count: RunningCount, scores: npt.NDArray[Any], in_units_of_loss: bool) -> list[int]:
    """The channels that can go, the least important ones first.

    Where scores are changes of the loss, which can be added up, those go first that cost least for what they save.
    """
    labels = [label for label in count.labels() if np.isfinite(scores[label])]
    rank = {label: scores[label] / (count.saved_by(label) if in_units_of_loss else 1) for label in labels}
    return sorted(labels, key=rank.__getitem__)


def choose(count: RunningCount, order: Sequence[int], budget: int) -> int:
    """Takes channels away in turn until the count is met, and then back what still fits; the total."""
    total: float = count.total
    gone: list[int] = []
    for label in order:
        if total <= budget:
            break
        if count.fits(label):
            total += count.change(label, -1)
            gone.append(label)
    if total > budget:
        return round(total)
    for label in reversed(gone):
        added = count.change(label, +1)
        if total + added > budget:
            count.change(label, -1)
        else:
            total += added
    return count.total


def choose_by(count: RunningCount, order: Sequence[int], takes: Callable[[], float], most: float) -> float:
    """Takes channels away in turn until what is left takes no more than this; what it takes.

    It is asked as seldom as may be: by halves, how many have to go.
    """
    gone = []
    for label in order:
        if count.fits(label):
            count.change(label, -1)
            gone.append(label)
    taken = takes()
    few, many = 0, len(gone)
    while taken <= most and many - few > 1:
        middle = (few + many) // 2
        for label in gone[middle:many]:
            count.change(label, +1)
        if (found := takes()) <= most:
            many, taken = middle, found
        else:
            few = middle
            for label in gone[middle:many]:
                count.change(label, -1)
    return taken
