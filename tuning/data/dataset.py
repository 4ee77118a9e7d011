"""Dataset: images and labels in three parts."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_blocks.core import validation
from keras_blocks.tuning.data.arrays import MOST_PIXEL, as_images, check_same_scale, scale_of
from keras_blocks.tuning.data.labels import as_places, check_classes
from keras_blocks.tuning.data.split import stratified
from keras_blocks.tuning.data.stored import Images, StoredImages, chunks, remembered, taken
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
            Images of a folder that do not fit into the memory are `StoredImages`, of which indexing reads some.
        class_names: name of each class, in the order of the labels.
        scale: what pixels are multiplied by to be at most 1.
        flips: whether a mirrored image keeps its class.
        notes: what the user should know of how the data were read, such as files that were left out.

    Raises:
        TypeError, ValueError: for parts that do not belong together, and other values than these.

    Example:

    >>> from keras_blocks.tuning import load_dataset
    >>> data = load_dataset("digits")
    >>> data.image_shape, data.classes, len(data.x_test)
    ((8, 8, 1), 10, 359)
    """

    name: str
    x_train: Images
    y_train: np.ndarray
    x_val: Images
    y_val: np.ndarray
    x_test: Images
    y_test: np.ndarray
    class_names: tuple[str, ...]
    scale: float
    flips: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        keep = functools.partial(object.__setattr__, self)
        keep("name", validation.text("name", self.name))
        keep("class_names", validation.names("class_names", self.class_names))
        keep("scale", validation.number("scale", self.scale, least=1 / MOST_PIXEL, most=MOST_PIXEL))
        keep("flips", validation.boolean("flips", self.flips))
        keep("notes", validation.names("notes", self.notes) if self.notes else ())
        for part in ("train", "val", "test"):
            self._check_part(f"x_{part}", f"y_{part}")

    def _check_part(self, x: str, y: str) -> None:
        images, labels = getattr(self, x), getattr(self, y)
        if not isinstance(images, Images) or images.ndim != 4 or images.shape[1:] != np.shape(self.x_train)[1:]:
            raise ValueError(
                f"`{x}` must be an array (number, height, width, channels), of one size in all parts; received "
                f"{type(images).__name__} of the shape {np.shape(images)}. `Dataset.from_arrays` takes more."
            )
        if not isinstance(labels, np.ndarray) or labels.shape != images.shape[:1] or labels.dtype.kind not in "ui":
            raise ValueError(
                f"`{y}` must be an array of one integer for each of {len(images)} images; received "
                f"{type(labels).__name__} of the shape {np.shape(labels)}. `Dataset.from_arrays` takes more."
            )
        if labels.size and not 0 <= labels.min() <= labels.max() < self.classes:
            raise ValueError(
                f"`{y}` must be labels from 0 to {self.classes - 1}, as there are {self.classes} `class_names`; "
                f"received {labels.min()} to {labels.max()}."
            )

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width, channels)."""
        return self.x_train.shape[1:]

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def fingerprint(self) -> str:
        """A digest of all images, labels and their division."""
        parts = (self.x_train, self.y_train, self.x_val, self.y_val, self.x_test, self.y_test)
        first = self.x_train
        if isinstance(first, StoredImages):  # to read them all takes minutes
            division = [part.places if isinstance(part, StoredImages) else part for part in parts]
            return remembered(first, _digest_of(division), lambda: _digest_of(parts))
        return _digest_of(parts)

    @classmethod
    def from_arrays(
        cls,
        name: str,
        x_train: npt.ArrayLike | StoredImages,
        y_train: npt.ArrayLike,
        x_test: npt.ArrayLike | StoredImages,
        y_test: npt.ArrayLike,
        *,
        x_val: npt.ArrayLike | StoredImages | None = None,
        y_val: npt.ArrayLike | None = None,
        seed: int = 0,
        class_names: Sequence[str] | None = None,
        scale: float | None = None,
        flips: bool = False,
        notes: Sequence[str] = (),
    ) -> "Dataset":
        """Checks the arrays and, where there is no validation part, splits one off the training part by class.

        Args:
            name: what the dataset is called.
            x_train, x_test: images, (number, height, width) or (number, height, width, channels), on one scale.
            y_train, y_test: one label for each image: whole numbers without a gap, texts, booleans or one-hot rows.
                Each class has two training images or more.
            x_val, y_val: the validation part, if there is one.
            seed: of the split.
            class_names: by default the labels as text.
            scale: by default 1/255 for uint8, else one over the largest absolute training value, 1 at most.
            flips: whether a mirrored image keeps its class.
            notes: what the user should know of how the data were read.

        Raises:
            TypeError, ValueError: for arrays of another rank or kind, parts on different scales, labels out of range,
                NaN or infinite pixels.

        Example:

        >>> images = np.zeros((8, 4, 4), "uint8")
        >>> keras_blocks.tuning.Dataset.from_arrays("few", images, ["dog", "cat"] * 4, images, ["cat"] * 8).class_names
        ('cat', 'dog')
        """
        seed = validation.seed("seed", seed)
        if (x_val is None) != (y_val is None):
            raise ValueError("`x_val` and `y_val` must be given together; received one of them.")
        images = {"x_train": as_images("x_train", x_train), "x_test": as_images("x_test", x_test)}
        if x_val is not None:
            images["x_val"] = as_images("x_val", x_val)
        for part, own in images.items():
            if own.shape[1:] != images["x_train"].shape[1:]:
                raise ValueError(
                    f"`{part}` must have images of {images['x_train'].shape[1:]}, as x_train; received {own.shape[1:]}."
                )
            check_same_scale(part, own, "`x_train`", images["x_train"])
        given = {"y_train": y_train, "y_test": y_test, "y_val": y_val}
        labels, names = as_places(
            {f"y{part[1:]}": (given[f"y{part[1:]}"], len(own)) for part, own in images.items()}, class_names
        )
        return cls._divided(images, labels, names, seed=seed, name=name, scale=scale, flips=flips, notes=notes)

    @classmethod
    def from_images(
        cls,
        name: str,
        images: npt.ArrayLike | StoredImages,
        labels: npt.ArrayLike,
        *,
        seed: int = 0,
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> "Dataset":
        """Splits the test part off first, the same for every seed; then as `from_arrays`."""
        seed = validation.seed("seed", seed)
        pixels = as_images("images", images)
        places, names = as_places({"labels": (labels, len(pixels))}, class_names)
        rest, held_out = stratified(places["labels"], TEST_SHARE, derived_seed(TEST_SEED, SPLIT))
        return cls._divided(
            {"x_train": taken(pixels, rest), "x_test": taken(pixels, held_out)},
            {"y_train": places["labels"][rest], "y_test": places["labels"][held_out]},
            names,
            seed=seed,
            name=name,
            **kwargs,
        )

    @classmethod
    def _divided(
        cls,
        images: dict[str, Images],
        labels: dict[str, np.ndarray],
        names: tuple[str, ...],
        *,
        seed: int,
        scale: float | None = None,
        **about: Any,
    ) -> "Dataset":
        """From checked arrays, with a validation part split off where there is none."""
        check_classes(labels, names, least=1 if "x_val" in images else 2)
        scale = scale_of(images["x_train"]) if scale is None else scale
        parts: dict[str, Any] = {**images, **labels}
        if "x_val" not in images:
            rest, chosen = stratified(labels["y_train"], VALIDATION_SHARE, derived_seed(seed, SPLIT))
            for axis in ("x", "y"):
                whole = parts[f"{axis}_train"]
                parts |= {f"{axis}_train": taken(whole, rest), f"{axis}_val": taken(whole, chosen)}
        return cls(class_names=names, scale=scale, **about, **parts)


def _digest_of(parts: Sequence[Images]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part.dtype} {part.shape}".encode())
        for some in chunks(part):
            digest.update(np.ascontiguousarray(some).data)
    return digest.hexdigest()
