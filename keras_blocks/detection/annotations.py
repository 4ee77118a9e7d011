"""What is known of the boxes of one image."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from keras_blocks.core import validation
from keras_blocks.detection.boxes import check_scale, clip, kinds_of
from keras_blocks.detection.letterbox import Array

KEYS = ("boxes", "labels", "difficult", "iscrowd", "area", "height", "width", "image_id", "file")
"""What an annotation may hold."""


@dataclasses.dataclass(frozen=True, eq=False)
class Annotation:
    """The boxes of one image.

    Args:
        boxes: (n, 4), (x1, y1, x2, y2) in pixels.
        classes: (n,), places of their names; -1 for those that have none.
        difficult: (n,), whether finding it counts neither for nor against a detector.
        crowd: (n,), whether it holds many of them, so that every detection within it counts neither way.
        areas: (n,), of what is in it, in pixels.
        size: height and width of the image as they are annotated.
    """

    boxes: Array
    classes: Array
    difficult: Array
    crowd: Array
    areas: Array
    size: tuple[int, int] | None

    def taken(self, good: Array, clipped: Array) -> Self:
        """The good ones, with their boxes clipped."""
        boxes = clipped[good]
        areas = np.where(self.areas[good] > 0, self.areas[good], (boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        columns = {name: getattr(self, name)[good] for name in ("classes", "difficult", "crowd")}
        return dataclasses.replace(self, boxes=boxes, areas=areas, **columns)


@dataclasses.dataclass(frozen=True, eq=False)
class Sifted:
    """The boxes of all images, those that are none apart.

    Args:
        parts: for each image what is good, clipped to it.
        boxes, kinds, owners: of all boxes, as they came: themselves, what is wrong with them, and their images.
    """

    parts: list[Annotation]
    boxes: Array
    kinds: Array
    owners: Array

    def number(self, place: int) -> int:
        """Which box of its image one is, from 1."""
        return place - int(np.searchsorted(self.owners, self.owners[place])) + 1


def sift(parts: Sequence[Annotation], sizes: Array) -> Sifted:
    """Sets boxes that are none apart.

    Args:
        parts: of each image.
        sizes: (images, 2), height and width.

    Raises:
        ValueError: for boxes that are all shares of their images.
    """
    owners = np.repeat(np.arange(len(parts)), [len(part.boxes) for part in parts])
    boxes = np.concatenate([part.boxes for part in parts])
    kinds = kinds_of(boxes, sizes[owners], np.concatenate([part.classes for part in parts]))
    good = kinds == -1
    check_scale(boxes[good], sizes[owners[good]])
    ends = np.cumsum([len(part.boxes) for part in parts])[:-1]
    kept = [part.taken(of, clip(part.boxes, size)) for part, of, size in zip(parts, np.split(good, ends), sizes)]
    return Sifted(kept, boxes, kinds, owners)


def annotation_of(where: str, value: Any, names: Sequence[str]) -> Annotation:
    """Checks what is given for an image.

    Args:
        where: it stands, for errors.
        value: a dict as `DetectionDataset` takes it.
        names: of the classes.

    Raises:
        TypeError, ValueError: for what is none. Boxes that are no boxes are not looked for here.
    """
    validation.mapping(where, value, keys=KEYS, required=("boxes", "labels"))
    boxes = _numbers(where, "boxes", value["boxes"])
    boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{where}: 'boxes' must have the shape (boxes, 4); received {boxes.shape}.")
    count = len(boxes)
    areas = _column(where, "area", value, count, np.nan)
    return Annotation(
        boxes,
        _classes(where, value["labels"], names, count),
        _column(where, "difficult", value, count, 0) != 0,
        _column(where, "iscrowd", value, count, 0) != 0,
        np.where(np.isfinite(areas), areas, np.nan),
        _size(where, value),
    )


def _size(where: str, value: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width, where both are known; some programs write 0 for what they do not know."""
    sides = [value.get(key) or 0 for key in ("height", "width")]
    height, width = (validation.integer(f"{where}: {key}", side, least=0) for key, side in zip(KEYS[5:7], sides))
    return (height, width) if height and width else None


def _column(where: str, key: str, value: Mapping[str, Any], count: int, default: float) -> Array:
    """A number for each box."""
    if value.get(key) is None:
        return np.full(count, default)
    column = _numbers(where, key, value[key])
    if column.shape != (count,):
        raise ValueError(f"{where}: {key!r} must be one for each of {count} boxes; received the shape {column.shape}.")
    if key != "area" and not np.isin(column, (0, 1)).all():
        raise ValueError(f"{where}: {key!r} must be 0 or 1; received {column[~np.isin(column, (0, 1))][0]:g}.")
    return column


def _numbers(where: str, key: str, value: Any) -> Array:
    try:
        array = np.asarray(value)
        if array.dtype.kind in "biuf" or array.size == 0:
            return array.astype("float64")
    except ValueError:  # rows of different lengths
        pass
    raise ValueError(f"{where}: {key!r} must be numbers, of one length for each box; received {str(value)[:80]}.")


def _classes(where: str, value: Any, names: Sequence[str], count: int) -> Array:
    """Places among the names; -1 for others."""
    try:
        given = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{where}: 'labels' must be one for each box; received {str(value)[:80]}.") from error
    if given.size == 0:
        given = np.zeros(0, int)
    if given.shape != (count,):
        raise ValueError(f"{where}: 'labels' must be one for each of {count} boxes; received the shape {given.shape}.")
    if given.dtype.kind in "UO" and all(isinstance(item, str) for item in given.tolist()):
        places = {name: i for i, name in enumerate(names)}
        return np.array([places.get(item, -1) for item in given.tolist()], int)
    if given.dtype.kind not in "iu":
        raise TypeError(f"{where}: 'labels' must be integers or names; received {str(value)[:80]} of {given.dtype}.")
    return np.where((given >= 0) & (given < len(names)), given, -1).astype(int)
