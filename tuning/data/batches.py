"""Batches of images that are read as they are needed: what Keras trains on where an array is not in memory."""

import math
from typing import Any

import keras
import numpy as np

from keras_blocks.tuning.data.buffers import Buffers
from keras_blocks.tuning.data.stored import StoredImages


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
            images: np.ndarray = self.x[places]
            return images
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


def streamed(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `fit`, with batches in place of images that are in a file.

    Args:
        given: by their names, `batch_size` and `initial_epoch` among them.
    """
    size, found = given.get("batch_size"), dict(given)
    if isinstance(given.get("x"), StoredImages):
        seed = int(np.random.randint(2**31)) if given.get("shuffle", True) else None  # by `keras.utils.set_random_seed`
        found["x"] = Batches(
            given["x"],
            given["y"],
            given.get("sample_weight"),
            batch_size=size or 32,
            seed=seed,
            epoch=given.get("initial_epoch", 0),
        )
        found |= {"y": None, "sample_weight": None, "batch_size": None, "shuffle": False}
    held_out = given.get("validation_data")
    if isinstance(held_out, (tuple, list)) and isinstance(held_out[0], StoredImages):
        found["validation_data"] = Batches(*held_out, batch_size=given.get("validation_batch_size") or size or 32)
    return found
