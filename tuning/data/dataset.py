"""Dataset: images and labels in three parts."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_blocks.core import validation
from keras_blocks.tuning.data.split import stratified
from keras_blocks.tuning.seeds import SPLIT, derived_seed

VALIDATION_SHARE, TEST_SHARE = 0.15, 0.2
"""The shares of the images that choose between models, and that are held out."""

TEST_SEED = 0
"""Where a source has no test part of its own, the test images are the same for every seed: else a model of one run
would have been trained on images that another run holds out."""


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Images with integer labels: for training, for choosing between models, and for the test at the end.

    Attributes:
        name: what it is called in reports.
        x_train, y_train, x_val, y_val, x_test, y_test: images (number, height, width, channels) and labels (number,).
        class_names: name of each class, in the order of the labels.
        scale: what pixels are multiplied by to be at most 1.
        flips: whether a mirrored image keeps its class.

    Example:

    >>> from keras_blocks.tuning import load_dataset
    >>> data = load_dataset("digits")
    >>> data.image_shape, data.classes, len(data.x_test)
    ((8, 8, 1), 10, 359)
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    scale: float
    flips: bool = False

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width, channels)."""
        return self.x_train.shape[1:]

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def fingerprint(self) -> str:
        """A digest of all images, labels and their division."""
        digest = hashlib.sha256()
        for part in (self.x_train, self.y_train, self.x_val, self.y_val, self.x_test, self.y_test):
            digest.update(f"{part.dtype} {part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    @classmethod
    def from_arrays(
        cls,
        name: str,
        x_train: npt.ArrayLike,
        y_train: npt.ArrayLike,
        x_test: npt.ArrayLike,
        y_test: npt.ArrayLike,
        *,
        seed: int = 0,
        class_names: Sequence[str] | None = None,
        scale: float | None = None,
        flips: bool = False,
    ) -> "Dataset":
        """Checks the arrays and splits the validation part off the training part, stratified by class.

        Args:
            name: what the dataset is called.
            x_train, x_test: images, (number, height, width) or (number, height, width, channels).
            y_train, y_test: labels 0 to classes - 1, (number,) or (number, 1); each class has two training images or
                more.
            seed: of the split.
            class_names: by default the labels as text.
            scale: by default 1/255 for uint8, else one over the largest absolute training value, 1 at most.
            flips: whether a mirrored image keeps its class.

        Raises:
            ValueError: for arrays of another rank or kind, labels out of range, NaN or infinite pixels.
        """
        seed = validation.integer("seed", seed, least=0, most=2**32 - 1)
        images, test_images = _images("x_train", x_train), _images("x_test", x_test)
        labels, test_labels = _labels("y_train", y_train, images), _labels("y_test", y_test, test_images)
        if images.shape[1:] != test_images.shape[1:]:
            raise ValueError(
                f"`x_test` must have images of {images.shape[1:]}, as x_train; received {test_images.shape[1:]}."
            )
        classes = len(class_names) if class_names is not None else int(labels.max()) + 1
        _check_classes(labels, test_labels, classes)
        rest, chosen = stratified(labels, VALIDATION_SHARE, derived_seed(seed, SPLIT))
        return cls(
            name=name,
            x_train=images[rest],
            y_train=labels[rest],
            x_val=images[chosen],
            y_val=labels[chosen],
            x_test=test_images,
            y_test=test_labels,
            class_names=tuple(str(item) for item in (range(classes) if class_names is None else class_names)),
            scale=_scale(images) if scale is None else scale,
            flips=flips,
        )

    @classmethod
    def from_images(
        cls, name: str, images: npt.ArrayLike, labels: npt.ArrayLike, *, seed: int = 0, **kwargs: Any
    ) -> "Dataset":
        """Splits the test part off first, the same for every seed; then as `from_arrays`."""
        images = _images("images", images)
        labels = _labels("labels", labels, images)
        rest, held_out = stratified(labels, TEST_SHARE, derived_seed(TEST_SEED, SPLIT))
        return cls.from_arrays(
            name, images[rest], labels[rest], images[held_out], labels[held_out], seed=seed, **kwargs
        )


def _images(name: str, value: npt.ArrayLike) -> np.ndarray:
    """Images with a channel axis, all pixels finite."""
    images = np.asarray(value)
    if images.dtype.kind not in "uif":
        raise ValueError(f"`{name}` must hold numbers; received an array of {images.dtype}.")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"`{name}` must be (number, height, width) or (number, height, width, channels), none of them 0; received "
            f"the shape {np.shape(value)}."
        )
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise ValueError(
            f"`{name}` must be finite; received {int((~np.isfinite(images)).sum())} NaN or infinite pixels."
        )
    return images if images.dtype == np.uint8 else images.astype("float32")


def _labels(name: str, value: npt.ArrayLike, images: np.ndarray) -> np.ndarray:
    """Whole numbers from 0, one for each image."""
    labels = np.asarray(value)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (len(images),):
        raise ValueError(f"`{name}` must be one label for each of {len(images)} images; received {np.shape(value)}.")
    if labels.dtype.kind not in "uif" or not np.equal(np.mod(labels, 1), 0).all():
        raise ValueError(f"`{name}` must be whole numbers; received an array of {labels.dtype}: {labels[:5]}.")
    if labels.min() < 0:
        raise ValueError(f"`{name}` must be labels from 0; received {labels.min()}.")
    return labels.astype("int64")


def _check_classes(y_train: np.ndarray, y_test: np.ndarray, classes: int) -> None:
    counts = np.bincount(y_train, minlength=classes)
    for name, labels in (("y_train", y_train), ("y_test", y_test)):
        if labels.max() >= classes:
            raise ValueError(f"`{name}` must be labels from 0 to {classes - 1}; received {labels.max()}.")
    if classes < 2 or counts.min() < 2:
        raise ValueError(
            "`y_train` must hold the labels 0 to classes - 1, for two classes or more, each at least twice; received "
            f"label {counts.argmin()} {counts.min()} times, of {classes} classes."
        )


def _scale(images: np.ndarray) -> float:
    if images.dtype == np.uint8:
        return 1 / 255
    return 1 / max(1.0, float(np.abs(images).max()))
