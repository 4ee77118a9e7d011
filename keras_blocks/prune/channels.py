"""Channels by their labels: which of them belong together, and so go together or stay.

A tensor's labels are an array of whole numbers that can be broadcast to the tensor's shape without the batch: of a
feature map `(1, 1, channels)`, of what `Flatten` gives `(height * width * channels,)`, where each label is repeated.
The same label means the same fate.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Sizes = tuple[int, ...]

FROZEN = 0
"""The label of what stays."""


class NotFollowed(Exception):
    """A layer whose outputs would change where channels of its inputs are gone, or of which that is not known."""


class Channels:
    """Sets of labels that belong together; the least of a set stands for it, and so `FROZEN` for all that stay."""

    def __init__(self) -> None:
        self._above = [FROZEN]

    def fresh(self, count: int) -> Labels:
        """So many labels that belong to nothing yet."""
        first = len(self._above)
        self._above.extend(range(first, first + count))
        return np.arange(first, first + count)

    def join(self, first: Labels, second: Labels | int) -> None:
        """From here on, labels at the same place of both arrays belong together."""
        pairs = np.stack([side.ravel() for side in np.broadcast_arrays(first, second)], axis=1)
        for one, other in np.unique(pairs, axis=0):
            low, high = sorted((self._root(int(one)), self._root(int(other))))
            self._above[high] = low

    def roots(self, labels: Labels) -> Labels:
        """The label that stands for each one's set."""
        known, places = np.unique(labels, return_inverse=True)
        found = np.array([self._root(int(label)) for label in known], dtype=np.int64)
        return found[places.reshape(labels.shape)]

    def frozen(self, labels: Labels) -> bool:
        """Whether all of them stay."""
        return not self.roots(labels).any()

    def __len__(self) -> int:
        return len(self._above)

    def _root(self, label: int) -> int:
        while (above := self._above[label]) != label:
            self._above[label] = label = self._above[above]
        return label


def unlabeled(rank: int) -> Labels:
    """Of a tensor that stays as it is."""
    return np.full((1,) * rank, FROZEN, dtype=np.int64)


def placed(labels: Labels, axis: int, rank: int) -> Labels:
    """A vector of labels along one axis of a tensor."""
    shape = [1] * rank
    shape[axis] = len(labels)
    return labels.reshape(shape)


def varying(labels: Labels) -> list[int]:
    """The axes along which labels differ."""
    return [axis for axis, size in enumerate(labels.shape) if size > 1]


def along(labels: Labels, axis: int, size: int) -> Labels:
    """The labels along an axis of this size, as a vector.

    Raises:
        NotFollowed: where they differ along another one.
    """
    if any(other != axis % labels.ndim for other in varying(labels)):
        raise NotFollowed("computes along an axis that is not the channels'")
    return np.broadcast_to(labels.ravel(), (size,))


def compressed(labels: Labels) -> Labels:
    """The same with size 1 on each axis along which nothing differs."""
    for axis in varying(labels):
        if (labels == labels.take([0], axis)).all():
            labels = labels.take([0], axis)
    return labels


def merged(channels: Channels, labels: Sequence[Labels], shapes: Sequence[Sizes]) -> Labels:
    """The labels of what adds, multiplies, or compares tensors, and joins them; each may be repeated along an axis.

    One that is repeated along the channels, such as a gate for each pixel, stays.
    """
    whole = tuple(max(sizes) for sizes in zip(*shapes))
    repeated = [{axis for axis, size in enumerate(shape) if size < whole[axis]} for shape in shapes]
    wide = {axis for one in labels for axis in varying(one)}
    single = [bool(wide & axes) for axes in repeated]
    for one, alone in zip(labels, single):
        if alone:
            channels.join(one, FROZEN)
    joined = [one for one, alone in zip(labels, single) if not alone]
    if not joined:
        return unlabeled(len(whole))
    out = joined[0]
    for one in joined[1:]:
        if one is not out:
            channels.join(out, one)
        out = one if one.size > out.size else out
    return out


def chained(channels: Channels, labels: Sequence[Labels], shapes: Sequence[Sizes], axis: int) -> Labels:
    """The labels of a concatenation.

    Raises:
        NotFollowed: where they differ along the axis and along others.
    """
    elsewhere = {other for one in labels for other in varying(one) if other != axis}
    if not elsewhere:
        return np.concatenate(
            [placed(along(one, axis, shape[axis]), axis, one.ndim) for one, shape in zip(labels, shapes)], axis=axis
        )
    if any(axis in varying(one) for one in labels):
        raise NotFollowed("concatenates channels along two axes")
    return merged(channels, labels, [tuple(1 if i == axis else n for i, n in enumerate(shape)) for shape in shapes])
