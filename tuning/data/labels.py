"""Labels as they come, of whichever kind, as each class' place and name."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_blocks.core import validation

Labels = dict[str, np.ndarray]
"""The name of each part's labels, such as "y_train", -> labels. The first part is the one that says what classes there
are."""


def as_places(
    given: Mapping[str, tuple[Any, int]], class_names: Sequence[Any] | None
) -> tuple[Labels, tuple[str, ...]]:
    """Labels as places from 0, with the classes' names.

    Args:
        given: name of each part -> its labels, the number of its images; the part to train on comes first. Labels are
            whole numbers without a gap, True and False, texts, or one-hot rows.
        class_names: name of each class in the order of the labels; `None` for the labels as text.

    Raises:
        TypeError, ValueError: for other labels, naming the part, what it has and what is allowed.

    Example:

    >>> places, names = as_places({"y_train": (["dog", "cat", "dog"], 3)}, None)
    >>> places["y_train"].tolist(), names
    ([1, 0, 1], ('cat', 'dog'))
    """
    names = None if class_names is None else _names(class_names)
    parts, rows = {}, set()
    for name, (value, count) in given.items():
        parts[name], width = _flat(name, value, count)
        rows.add(width)
    kinds = {name: _kind(labels) for name, labels in parts.items()}
    first, *others = kinds
    for other in others:
        if kinds[other] != kinds[first]:
            raise ValueError(f"`{other}` must be {kinds[first]}, as `{first}`; received {kinds[other]}.")
    if kinds[first] == "texts":
        return _places_of_texts(parts, names)
    if kinds[first] == "True and False":
        names = names or ("False", "True")
        parts = {name: labels.astype("int64") for name, labels in parts.items()}
    return _places_of_numbers(parts, names, max(rows))


def check_classes(places: Labels, names: Sequence[str], *, least: int) -> None:
    """Refuses labels to train on that lack a class.

    Args:
        places: of which the first are those to train on.
        names: of the classes.
        least: how often each class must be there.

    Raises:
        ValueError: with the class.
    """
    name, labels = next(iter(places.items()))
    counts = np.bincount(labels, minlength=len(names))
    if len(names) < 2 or counts.min() < least:
        rare = names[int(counts.argmin())]
        raise ValueError(
            f"`{name}` must hold two classes or more, each of them at least {least} times; received label {rare} "
            f"{counts.min()} times, of {len(names)} classes."
        )


def _names(class_names: Any) -> tuple[str, ...]:
    if isinstance(class_names, np.ndarray):
        class_names = class_names.tolist()
    items = validation.sequence("class_names", class_names, of="names")
    return tuple(item.decode() if isinstance(item, bytes) else str(item) for item in items)


def _flat(name: str, value: Any, count: int) -> tuple[np.ndarray, int]:
    """One label for each image, and the classes that one-hot rows have; 0 for others."""
    labels = np.asarray(value)
    width = 0
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    elif labels.ndim == 2 and len(labels) == count:
        labels, width = _of_rows(name, labels), labels.shape[1]
    if labels.shape != (count,):
        raise ValueError(f"`{name}` must be one label for each of {count} images; received {np.shape(value)}.")
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8")
    if labels.dtype.kind == "O" and all(isinstance(item, str) for item in labels):
        labels = labels.astype("U")
    if labels.dtype.kind in "Ub":
        return labels, width
    whole = labels.dtype.kind in "ui" or (labels.dtype.kind == "f" and _are_whole(labels))
    if not whole:
        raise ValueError(
            f"`{name}` must be whole numbers, texts, True and False, or one-hot rows; received an array of "
            f"{labels.dtype}: {labels[:5]}."
        )
    return labels, width


def _are_whole(labels: np.ndarray) -> bool:
    return bool(np.isfinite(labels).all() and (labels == np.floor(labels)).all())


def _of_rows(name: str, rows: np.ndarray) -> np.ndarray:
    """The places of the ones in one-hot rows."""
    if rows.dtype.kind not in "buif" or not ((rows == 0) | (rows == 1)).all() or (rows.sum(axis=1) != 1).any():
        raise ValueError(
            f"`{name}` must be one label for each of {len(rows)} images: a number, a text, or a one-hot row with a "
            f"single 1; received the shape {rows.shape}, with rows such as {rows[0]}."
        )
    return np.asarray(rows.argmax(axis=1))


def _kind(labels: np.ndarray) -> str:
    return {"U": "texts", "b": "True and False"}.get(labels.dtype.kind, "numbers")


def _places_of_texts(parts: Labels, names: tuple[str, ...] | None) -> tuple[Labels, tuple[str, ...]]:
    first = next(iter(parts))
    names = names or tuple(np.unique(parts[first]).tolist())
    if len(set(names)) < len(names):
        raise ValueError(f"`class_names` must be different names where the labels are texts; received {list(names)}.")
    place = {name: i for i, name in enumerate(names)}
    for name, labels in parts.items():
        if unknown := sorted(set(labels.tolist()) - set(names)):
            raise ValueError(f"`{name}` must be labels among {_shown(names)}; received {_shown(unknown)}.")
    return {
        name: np.array([place[label] for label in labels.tolist()], "int64") for name, labels in parts.items()
    }, names


def _places_of_numbers(parts: Labels, names: tuple[str, ...] | None, width: int) -> tuple[Labels, tuple[str, ...]]:
    """Places and names of numbers, which begin anywhere from 0 and have no gap.

    Args:
        parts: the labels.
        names: `None` for the numbers themselves.
        width: how many classes one-hot rows have; 0 for none.
    """
    first, labels = next(iter(parts.items()))
    for name, values in parts.items():
        if values.min() < 0:
            raise ValueError(
                f"`{name}` must be labels from 0; received {int(values.min())}. Leave images without a class "
                f"out; where negative numbers are classes, give them as texts: {name}.astype(str)."
            )
    low, high = int(labels.min()), int(labels.max())
    start = low if low and not width and (names is None or (high >= len(names) == high - low + 1)) else 0
    classes = len(names) if names else width or high - start + 1
    if names and width not in (0, len(names)):
        raise ValueError(f"`class_names` must be {width} names, as `{first}` has rows so long; received {list(names)}.")
    if names is None and not width and len(found := np.unique(labels)) < classes:
        gap = next(i for i, value in enumerate(found.tolist(), start) if i != value)
        raise ValueError(
            f"`{first}` must be whole numbers without a gap, or `class_names` must be given; received labels from "
            f"{low} to {high}, and label {gap} 0 times. Where they are names, give them as texts: {first}.astype(str)."
        )
    for name, values in parts.items():
        for value in (values.min(), values.max()):
            if not start <= value < start + classes:
                raise ValueError(
                    f"`{name}` must be labels from {start} to {start + classes - 1}, as `{first}` or `class_names` "
                    f"say; received {int(value)}."
                )
    places = {name: (values.astype("int64") - start) for name, values in parts.items()}
    return places, names or tuple(str(value) for value in range(start, start + classes))


def _shown(names: Sequence[str]) -> str:
    """Names as a list, the first ten of them."""
    return f"{list(names)}" if len(names) <= 10 else f"{list(names[:10])} and {len(names) - 10} more"
