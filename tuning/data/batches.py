"""Batches of images that are read as they are needed: what Keras trains on where an array is not in memory."""

import math
from typing import Any

import keras
import numpy as np

from keras_blocks.tuning.data.buffers import Buffers
from keras_blocks.tuning.data.stored import StoredImages
from keras_blocks.tuning.data.tensorflow_batches import tensorflow_batches


class Batches(keras.utils.PyDataset):
    """A `keras.utils.PyDataset` of images, their labels and perhaps weights, on every backend.

    Args:
        x: `StoredImages`, or an array.
        y: labels; `None` for images alone, as `predict` takes them.
        weights: of the samples, if any.
        batch_size: of each batch but the last.
        seed: of the order, which is another one in each epoch; `None`: they stay in theirs.
        epoch: with which it begins: an interrupted training goes on with the order that it would have had.
        scale: what pixels are multiplied by, as float32; `None`: they stay as they are.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        weights: Any = None,
        *,
        batch_size: int = 32,
        seed: int | None = None,
        epoch: int = 0,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.x, self.y, self.weights, self.batch_size = x, y, weights, batch_size
        self._seed, self._epoch, self._scale = seed, epoch, scale
        self._order = self._drawn()
        self._buffers = Buffers((batch_size, *x.shape[1:]), x.dtype)

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        places = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        images = self._images(places)
        if self._scale is not None:
            images = np.multiply(images, self._scale, dtype="float32")
        others = [part[places] for part in (self.y, self.weights) if part is not None]
        return (images, *others)

    def _images(self, places: np.ndarray) -> np.ndarray:
        if not isinstance(self.x, StoredImages):
            return np.asarray(self.x[places])
        into = self._buffers.one()[: len(places)]
        self.x.read(self.x.places[places], into)
        return into

    def on_epoch_end(self) -> None:
        if self._seed is not None:
            self._epoch += 1
            self._order = self._drawn()

    def _drawn(self) -> np.ndarray:
        count = len(self.x)
        if self._seed is None:
            return np.arange(count)
        return np.random.default_rng([self._seed, self._epoch]).permutation(count)


def batched(model: keras.Model, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `fit`, with batches in place of images: of those in a file, and, on TensorFlow, of arrays.

    Args:
        model: that is trained; one with a `fit` or `evaluate` of its own is given arrays as they are.
        given: by their names, `batch_size` and `initial_epoch` among them.
    """
    # Keras' own take of a data set only such weights of classes as name all of them.
    is_keras = type(model).fit is keras.Model.fit and type(model).evaluate is keras.Model.evaluate
    is_plain = is_keras and given.get("class_weight") is None and given.get("shuffle", True) in (True, False)
    size, found = given.get("batch_size") or 32, dict(given)
    if isinstance(given.get("x"), StoredImages):
        seed = int(np.random.randint(2**31)) if given.get("shuffle", True) else None  # by `keras.utils.set_random_seed`
        first, weights = given.get("initial_epoch", 0), given.get("sample_weight")
        found["x"] = Batches(given["x"], given["y"], weights, batch_size=size, seed=seed, epoch=first)
    elif is_plain and not given.get("validation_split"):
        parts = [given.get("x"), given.get("y"), *_if_any(given.get("sample_weight"))]
        if _are_for_tensorflow(*parts):
            found["x"] = tensorflow_batches(parts, size, shuffle=given.get("shuffle", True))
    if found.get("x") is not given.get("x"):
        found |= {"y": None, "sample_weight": None, "batch_size": None, "shuffle": False}
    held_out = given.get("validation_data")
    if isinstance(held_out, (tuple, list)):
        size = given.get("validation_batch_size") or size
        parts = [*held_out[:2], *_if_any(*held_out[2:])]
        if isinstance(held_out[0], StoredImages):
            found["validation_data"] = Batches(*held_out, batch_size=size)
        elif is_keras and _are_for_tensorflow(*parts):
            found["validation_data"] = tensorflow_batches(parts, size, shuffle=False)
        else:
            found["validation_batch_size"] = size
    return found


def _if_any(*parts: Any) -> list[Any]:
    return [part for part in parts if part is not None]


def _are_for_tensorflow(*parts: Any) -> bool:
    """Whether they are arrays of as many rows: of others, Keras says what is wrong."""
    are_arrays = all(isinstance(part, np.ndarray) and part.ndim > 0 for part in parts)
    return keras.backend.backend() == "tensorflow" and are_arrays and len({len(part) for part in parts}) == 1
