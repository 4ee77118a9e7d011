"""Which boxes of a dataset are none, and what is said of them."""

import collections
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

LEAST = 0.01
"""Boxes less wide or high, in pixels, have no area that could be seen."""

KINDS = (
    "with NaN",
    "infinite",
    "inverted (x2 < x1 or y2 < y1)",
    "of zero area",
    "outside of the image",
    "of unknown classes",
)
"""What is wrong with a box. Of several, the first is said."""


def kinds_of(boxes: Array, sizes: Array, classes: Array) -> Array:
    """For each box the place of what is wrong with it in `KINDS`; -1 where nothing is.

    Args:
        boxes: (n, 4), (x1, y1, x2, y2) in pixels.
        sizes: (n, 2), height and width of each one's image.
        classes: (n,), below 0 for one that is not known.
    """
    with np.errstate(invalid="ignore"):
        clipped = clip(boxes, sizes)
        wrong = (
            np.isnan(boxes).any(axis=1),
            np.isinf(boxes).any(axis=1),
            (boxes[:, 2:] < boxes[:, :2]).any(axis=1),
            _flat(boxes),
            _flat(clipped),
            classes < 0,
        )
    return np.where(np.any(wrong, axis=0), np.argmax(wrong, axis=0), -1)


def clip(boxes: Array, sizes: Array) -> Array:
    """Boxes (..., 4) within images of the (height, width) in `sizes` (..., 2)."""
    most = np.concatenate([sizes[..., ::-1], sizes[..., ::-1]], axis=-1)
    return np.clip(boxes, 0, most)


def check_scale(boxes: Array, sizes: Array) -> None:
    """Refuses boxes that are all within 0..1: shares of the image in place of pixels.

    Raises:
        ValueError: for such.
    """
    if len(boxes) and boxes.max() <= 1 and sizes.min() > 2:
        raise ValueError(
            f"boxes must be in pixels; received {len(boxes):,} that all lie within 0..1, such as {shown(boxes[0])}: "
            "multiply them by the images' width and height."
        )


def tell(
    who: str,
    kinds: Array,
    where: Callable[[int], str],
    boxes: Array,
    *,
    strict: bool,
    beyond: int,
    level: int,
) -> None:
    """Says once how many boxes are left out, and why.

    Args:
        who: the dataset's class.
        kinds: what `kinds_of` gives.
        where: gives the place of the i-th box, such as its file.
        boxes: all of them.
        strict: whether the first is an error.
        beyond: how many boxes more there are than a batch holds.
        level: of the stack on which the user stands.

    Raises:
        ValueError: for the first one, where `strict`.
    """
    wrong = np.flatnonzero(kinds >= 0)
    if strict and len(wrong):
        first = int(wrong[0])
        raise ValueError(
            f"{where(first)}: the box {shown(boxes[first])} is {KINDS[kinds[first]]}. Without strict=True such boxes "
            "are left out."
        )
    counts = collections.Counter(kinds[wrong].tolist())
    said = [
        f"{count:,} {KINDS[kind]} (the first: {where(int(wrong[kinds[wrong] == kind][0]))})"
        for kind, count in sorted(counts.items())
    ]
    if beyond:
        said.append(f"{beyond:,} beyond `max_boxes`, the smallest of their images")
    if said:
        warnings.warn(
            f"{who}: of {len(kinds):,} boxes are left out {', '.join(said)}. strict=True raises an error instead.",
            stacklevel=level,
        )


def shown(box: Sequence[float] | Array) -> str:
    return f"({', '.join(f'{float(side):g}' for side in box)})"


def _flat(boxes: Array) -> Any:
    return (boxes[:, 2:] - boxes[:, :2] < LEAST).any(axis=1)
