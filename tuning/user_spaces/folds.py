"""Cross-validation: the training and the validation part together, divided into folds of which each validates once."""

import dataclasses

import keras
import numpy as np

from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.data.leaves import are_arrays
from keras_blocks.tuning.data.stored import Images, StoredImages, taken
from keras_blocks.tuning.seeds import SPLIT, derived_seed
from keras_blocks.tuning.user_spaces.given_data import GivenData

Divided = Dataset | GivenData


def check_folds(data: Divided, folds: int) -> None:
    """Refuses data that cannot be divided so.

    Raises:
        ValueError: saying why.
    """
    if isinstance(data, Dataset):
        counts = np.bincount(np.concatenate([data.y_train, data.y_val]), minlength=data.classes)
        if counts.min() < folds:
            raise ValueError(
                f"`folds` must be as many as each class has images to train and validate, at most; received {folds}, "
                f"and the class {data.class_names[int(counts.argmin())]!r} has {counts.min()}."
            )
        return
    for part in ("train", "validation"):
        if not are_arrays(getattr(data, part)):
            raise ValueError(
                f"`folds` must be None unless the data are arrays, which can be divided anew; received {folds}, and "
                f"the {part} part is a {type(getattr(data, part)).__name__}, which makes its own batches."
            )
    structures = [_structure(part) for part in (data.train, data.validation)]
    if structures[0] != structures[1]:
        raise ValueError("`folds` must be None unless the training and the validation part are of the same arrays.")
    if (count := sum(_count(part) for part in (data.train, data.validation))) < folds:
        raise ValueError(f"`folds` must be as many as there are examples, at most; received {folds} for {count}.")


def fold_of(data: Divided, number: int, folds: int, seed: int) -> Divided:
    """The data with the fold of a number as the validation part, and all others to train on.

    Args:
        data: with the parts that there are.
        number: of the fold, from 0.
        folds: how many.
        seed: of the division.
    """
    if isinstance(data, Dataset):
        labels = np.concatenate([data.y_train, data.y_val])
        rest, held_out = _divided(labels, number, folds, seed)
        images = _joined(data.x_train, data.x_val)
        parts = {"x_train": taken(images, rest), "y_train": labels[rest]}
        return dataclasses.replace(data, **parts, x_val=taken(images, held_out), y_val=labels[held_out])
    whole = keras.tree.map_structure(_both, tuple(data.train), tuple(data.validation))
    classes: np.ndarray = np.zeros(_count(whole), "int64")
    if len(whole) > 1 and isinstance(whole[1], np.ndarray) and whole[1].ndim == 1 and whole[1].dtype.kind in "iub":
        classes = whole[1]
    rest, held_out = _divided(classes, number, folds, seed)
    return dataclasses.replace(data, train=_some(whole, rest), validation=_some(whole, held_out))


def _some(part: object, places: np.ndarray) -> object:
    return keras.tree.map_structure(lambda leaf: leaf[places], part)


def _divided(labels: np.ndarray, number: int, folds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(indices of the rest, indices of the fold), which has its share of each class."""
    random = np.random.default_rng(derived_seed(seed, SPLIT, folds))
    place = np.empty(len(labels), "int64")
    begin = 0
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + begin) % folds  # where one class ended, the next goes on
        begin += len(members)
    return np.flatnonzero(place != number), np.flatnonzero(place == number)


def _joined(one: Images, other: Images) -> Images:
    if isinstance(one, StoredImages) and isinstance(other, StoredImages):
        return StoredImages(one.path, np.concatenate([one.places, other.places]))
    return np.concatenate([one, other])


def _both(one: object, other: object) -> np.ndarray:
    return np.concatenate([np.asarray(keras.ops.convert_to_numpy(part)) for part in (one, other)])


def _structure(part: object) -> object:
    return keras.tree.map_structure(lambda leaf: tuple(leaf.shape[1:]), tuple(part))  # type: ignore[arg-type]


def _count(part: object) -> int:
    return len(keras.tree.flatten(part)[0])
