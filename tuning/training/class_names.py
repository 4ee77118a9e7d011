"""Whose classes are whose: those of labelled images, and the outputs of a model."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.data.load import data_path
from keras_blocks.tuning.data.stored import Images


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Images that a model is evaluated on.

    Attributes:
        images, labels, class_names: as in a `Dataset`.
        name: what they are called.
        numbered: whether names that are numbers may be mere labels: those of a folder are names.
        notes: what the user should know of how they were read.
    """

    images: Images
    labels: np.ndarray
    class_names: tuple[str, ...]
    name: str
    numbered: bool
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset, data: Any) -> "Labelled":
        """The test part of a data set, and what it was loaded from."""
        return cls(
            dataset.x_test,
            dataset.y_test,
            dataset.class_names,
            dataset.name,
            numbered=not data_path(data).is_dir(),
            notes=dataset.notes,
        )


def labels_of(model: Any) -> tuple[str, ...] | None:
    """The names of a model's classes, if it has any."""
    labels = getattr(model, "metaparameters", {}).get("labels")
    return None if labels is None else tuple(labels)


def matched(given: Labelled, of_model: Sequence[str] | None, outputs: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The label of each image as the place of its class among a model's outputs.

    Classes are matched by name. Labels that are mere numbers are places among the outputs of a model whose classes have
    other names; and where the model has no names, and as many outputs as there are classes, those are in one order. Of
    both the notes tell.

    Args:
        given: the images.
        of_model: names of the model's classes, in the order of its outputs; `None` for none.
        outputs: how many the model has.

    Returns:
        (labels, notes).

    Raises:
        ValueError: where a class is not the model's, with the names of both.

    Example: a model of three classes on the images of two of them.

    >>> images = Labelled(np.zeros((2, 4, 4, 1)), np.array([0, 1]), ("cat", "dog"), "pets", numbered=False)
    >>> matched(images, ("bird", "cat", "dog"), 3)
    (array([1, 2]), ())
    """
    names = given.class_names
    if of_model is not None and tuple(of_model) == names:
        return given.labels, given.notes
    known = {} if of_model is None else {name: place for place, name in enumerate(of_model)}
    if known and set(names) <= set(known):
        if len(known) < len(of_model or ()) or len(set(names)) < len(names):
            raise ValueError(
                f"`data` must have the model's classes in its order, as some names are there twice; received "
                f"{_shown(names)}, and the model has {_shown(of_model or ())}."
            )
        places = np.array([known[name] for name in names])
        return places[given.labels], given.notes
    if given.numbered and _are_numbers(names) and not _are_numbers(known) and int(names[-1]) < outputs:
        places = np.array([int(name) for name in names])
        if of_model is None:
            note = "the model has no names for its classes: labels are places among its outputs"
        else:
            note = f"the data's classes have no names: labels are places among the model's {_shown(of_model)}"
        return places[given.labels], (*given.notes, note)
    if of_model is None and len(names) == outputs:
        return given.labels, (*given.notes, matched_by_place(names))
    fix = "Name them as the model does, or give an .npz file with places as labels and no class_names."
    raise ValueError(f"{not_matched(names, of_model, f'{outputs} outputs')} {fix}")


def matched_by_place(names: Sequence[str]) -> str:
    """What is said where a model has no names, and as many outputs as there are classes."""
    return f"the model has no names for its classes: the data's, {_shown(names)}, are matched by place"


def not_matched(names: Sequence[str], of_model: Sequence[str] | None, outputs: str) -> str:
    """What an error says of classes that are not the model's; `outputs`: what it has where it has no names."""
    unknown = [name for name in names if name not in (of_model or ())]
    there = f"its classes are {_shown(of_model)}" if of_model else f"it has {outputs} without names"
    return (
        f"`data` must have classes that the model has: {there}; received {_shown(names)}, of which {_shown(unknown)} "
        "cannot be matched."
    )


def _are_numbers(names: Any) -> bool:
    return bool(names) and all(name.isdecimal() for name in names)


def _shown(names: Sequence[str]) -> str:
    return f"{list(names)}" if len(names) <= 20 else f"{list(names[:20])} and {len(names) - 20} more"
