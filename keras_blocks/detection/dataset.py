"""DetectionDataset: images with boxes, batch by batch."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias, Unpack

import keras
import numpy as np

from keras_blocks.core import validation
from keras_blocks.core.pictures import header_of, lies_on_its_side, read_picture
from keras_blocks.detection.annotations import Annotation, annotation_of, sift
from keras_blocks.detection.augmentation import BoxAugmentation
from keras_blocks.detection.boxes import clip, tell
from keras_blocks.detection.letterbox import Array, letterbox, move, sizes_within
from keras_blocks.typing import DatasetOptions

Targets: TypeAlias = dict[str, Array]
Inputs: TypeAlias = Array | dict[str, Array]

MOST_PIXELS = 8192
"""Height and width of the images in a batch, at most."""


class DetectionOptions(DatasetOptions, total=False):
    """What all datasets of images with boxes take, see `DetectionDataset`."""

    image_size: int | tuple[int, int]
    batch_size: int
    max_boxes: int | None
    shuffle: bool
    seed: int | None
    augmentation: keras.layers.Layer | Sequence[keras.layers.Layer] | None
    use_difficult: bool
    strict: bool


class DetectionDataset(keras.utils.PyDataset):
    """Images with boxes, as detectors of this library are trained and evaluated on them.

    Images are read as they are needed, brought to one size with their aspect kept, at the left and top of a black
    image, and their boxes with them; `to_original` goes back. Boxes that are none (NaN, infinite, inverted, without
    area, outside of the image, of a class without a name) are left out with one warning that counts them, boxes that
    are partly outside are clipped. Images without boxes stay. `VOCDetection` and `COCODetection` read files of these
    formats.

    The batches of epoch n follow from the seed alone, whatever was drawn before and by how many workers.

    Args:
        files: the images' paths.
        annotations: a dict for each image: "boxes", (x1, y1, x2, y2) in pixels, and "labels", places in `labels` or
            names among them. Further keys may be "difficult" and "iscrowd", whether a box is left out of training and
            finding it counts neither for nor against a detector; "area", of what is in the box; "height" and "width" of
            the image.
        labels: the classes' names. A detector's classes are their places, from 0, without a background.
        image_ids: a name or number for each image; `None` for 0, 1, 2 ...
        image_size: (height, width) of the images in a batch.
        batch_size: images in a batch; the last of an epoch may have fewer.
        max_boxes: boxes of each image in a batch, those that are missing padded with -1; of more, the smallest are left
            out. `None` for as many as an image has at most.
        shuffle: whether the images of each epoch are in another order. `fit` mixes the batches in any case.
        seed: of order and augmentation; `None` follows `keras.utils.set_random_seed`.
        augmentation: Keras' layers that change images with boxes, such as
            `keras.layers.RandomFlip("horizontal", bounding_box_format="xyxy")`: one, or a list of them.
        use_difficult: whether boxes that are marked as difficult are in the batches.
        strict: whether boxes that are none are an error.
        **kwargs: `workers`, `use_multiprocessing`, `max_queue_size`, as in every `keras.utils.PyDataset`.

    Output shape:
        `(images, {"boxes": boxes, "labels": classes})`: float32 `(batch, height, width, 3)` from 0 to 255; float32
        `(batch, max_boxes, 4)`, (x1, y1, x2, y2) in pixels of these images; int32 `(batch, max_boxes)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, for files that are no images, for
            annotations that are malformed, and with `strict` for boxes that are none.
        ImportError: where Pillow is missing.

    Example:

    >>> import os, keras_blocks
    >>> keras.utils.save_img("boxed.png", np.zeros((60, 80, 3)), scale=False)
    >>> found = {"boxes": [[8, 6, 40, 30]], "labels": ["cat"]}
    >>> dataset = keras_blocks.DetectionDataset(["boxed.png"], [found], ["cat", "dog"], image_size=(240, 320))
    >>> images, targets = dataset[0]
    >>> images.shape, targets["boxes"].tolist(), targets["labels"].tolist()
    ((1, 240, 320, 3), [[[32.0, 24.0, 160.0, 120.0]]], [[0]])
    >>> dataset.to_original(0, [[32, 24, 160, 120]]).tolist()
    [[8.0, 6.0, 40.0, 30.0]]
    >>> os.remove("boxed.png")
    """

    read_from = "files"
    """Name of the argument that says where the images are, for errors."""

    def __init__(
        self,
        files: Sequence[str | os.PathLike[str]],
        annotations: Sequence[Mapping[str, Any]],
        labels: Sequence[str],
        *,
        image_ids: Sequence[Any] | None = None,
        image_size: int | tuple[int, int] = (240, 320),
        batch_size: int = 2,
        max_boxes: int | None = None,
        shuffle: bool = False,
        seed: int | None = None,
        augmentation: keras.layers.Layer | Sequence[keras.layers.Layer] | None = None,
        use_difficult: bool = False,
        strict: bool = False,
        **kwargs: Unpack[DatasetOptions],
    ):
        super().__init__(**kwargs)
        self.labels = unique_names("labels", labels)
        self.image_size = validation.pair("image_size", image_size, most=MOST_PIXELS)
        self.batch_size = validation.integer("batch_size", batch_size)
        most = validation.optional(validation.integer, "max_boxes", max_boxes)
        self.shuffle = validation.boolean("shuffle", shuffle)
        # An unseeded dataset follows keras.utils.set_random_seed, which seeds numpy, too.
        self.seed = int(np.random.randint(2**31)) if seed is None else validation.seed("seed", seed)
        self.use_difficult = validation.boolean("use_difficult", use_difficult)
        self.augmentation = None if augmentation is None else BoxAugmentation(augmentation, self.image_size)
        if self.augmentation and self.use_multiprocessing:
            raise ValueError(
                "`use_multiprocessing` must be False with an `augmentation`: what Keras' layers compute with does not "
                "survive in a forked process. Give `workers`, which are threads then."
            )
        self._regions: Array | None = None
        self.epoch = 0
        paths = validation.sequence(self.read_from, files, of="paths")
        self.files = [Path(validation.text(f"{self.read_from}[{i}]", file)) for i, file in enumerate(paths)]
        self.image_ids = self._ids(image_ids)
        self._read_annotations(annotations, validation.boolean("strict", strict), most)

    def _ids(self, image_ids: Sequence[Any] | None) -> list[Any]:
        ids = list(range(len(self.files))) if image_ids is None else list(image_ids)
        if len(ids) != len(self.files) or len(set(ids)) < len(ids):
            raise ValueError(
                f"`image_ids` must be {len(self.files)} different names or numbers, one for each image; received "
                f"{len(ids)}, {len(set(ids))} of them different."
            )
        return ids

    def _read_annotations(self, annotations: Any, strict: bool, most: int | None) -> None:
        """Keeps the boxes that are some, chooses those that are in batches, and says what was left out."""
        if not isinstance(annotations, Sequence) or len(annotations) != len(self.files):
            raise ValueError(
                f"`annotations` must be a list of {len(self.files)} dicts, one for each image; received "
                f"{type(annotations).__name__}{f' of {len(annotations)}' if isinstance(annotations, Sequence) else ''}."
            )
        parts = [annotation_of(self._where(i), one, self.labels) for i, one in enumerate(annotations)]
        self._upright = [False] * len(self.files)
        self.original_sizes = np.array([self._size_of(i, part) for i, part in enumerate(parts)])
        self._inner = sizes_within(self.original_sizes, self.image_size)
        sifted = sift(parts, self.original_sizes)
        self._annotations = sifted.parts
        beyond = self._choose(strict, most)
        self.left_out = int((sifted.kinds >= 0).sum()) + beyond
        tell(
            type(self).__name__,
            sifted.kinds,
            lambda i: f"{self._where(int(sifted.owners[i]))}, box {sifted.number(i)}",
            sifted.boxes,
            strict=strict,
            beyond=beyond,
            level=4 + (type(self) is not DetectionDataset),
        )

    def _choose(self, strict: bool, most: int | None) -> int:
        """Chooses the boxes that are in batches; gives how many more there are than these hold."""
        shown = [self._in_batches(i) for i in range(len(self.files))]
        fullest = max(range(len(shown)), key=lambda i: len(shown[i]))
        self.max_boxes = max(1, len(shown[fullest])) if most is None else most
        if strict and len(shown[fullest]) > self.max_boxes:
            raise ValueError(
                f"`max_boxes` must be {len(shown[fullest])} at least, as {self._where(fullest)} has so many boxes; "
                f"received {most}."
            )
        self._shown = [self._largest(i, places) for i, places in enumerate(shown)]
        return sum(len(places) for places in shown) - sum(len(places) for places in self._shown)

    def _where(self, index: int) -> str:
        """Where an image's boxes were read, for errors."""
        return f"`annotations[{index}]` ({self.files[index]})"

    def _size_of(self, index: int, annotation: Annotation) -> tuple[int, int]:
        """Height and width of an image, upright or as it is stored: as its annotation has them."""
        file = self.files[index]
        width, height = header_of(self.read_from, file).size
        said = annotation.size
        if said is None or said == (height, width):
            return height, width
        if said == (width, height) and lies_on_its_side(self.read_from, file):
            self._upright[index] = True
            return said
        raise ValueError(
            f"{self._where(index)}: height and width must be those of the image; received {said[0]}x{said[1]}, and "
            f"{file} has {height}x{width}."
        )

    def _in_batches(self, index: int) -> Array:
        """The places of the boxes that are trained on."""
        one = self._annotations[index]
        return np.flatnonzero(~one.crowd & (self.use_difficult | ~one.difficult))

    def _largest(self, index: int, places: Array) -> Array:
        """As many of the places as a batch holds, of the largest boxes, in their order."""
        boxes = self._annotations[index].boxes[places]
        order = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(axis=1), kind="stable")
        return places[np.sort(order[: self.max_boxes])]

    def __len__(self) -> int:
        return -(-len(self.files) // self.batch_size)

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple[Inputs, Targets]:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} batches; received the index {index}.")
        rows = self._order()[index * self.batch_size :][: self.batch_size]
        images = np.stack([self.image(i) for i in rows])
        boxes = np.full((len(rows), self.max_boxes, 4), -1, "float32")
        classes = np.full((len(rows), self.max_boxes), -1, "int32")
        for place, i in enumerate(rows):
            one, shown = self._annotations[i], self._shown[i]
            boxes[place, : len(shown)] = move(one.boxes[shown], self.original_sizes[i], self._inner[i])
            classes[place, : len(shown)] = one.classes[shown]
        regions = None if self._regions is None else self._regions[rows]
        if self.augmentation:
            seed = self.seed, self.epoch, index
            images, boxes, classes, regions = self.augmentation(images, boxes, classes, seed, regions)
        inputs = images if regions is None else {"image": images, "proposals": regions}
        return inputs, {"boxes": boxes, "labels": classes}

    def _order(self) -> Array:
        if not self.shuffle:
            return np.arange(len(self.files))
        return np.random.default_rng((self.seed, self.epoch)).permutation(len(self.files))

    def image(self, index: int) -> Array:
        """The image of this place in `files` as it is in a batch, `(height, width, 3)` from 0 to 255."""
        picture = read_picture(self.read_from, self.files[index], upright=self._upright[index])
        if picture.size[::-1] != tuple(self.original_sizes[index]):
            raise ValueError(
                f"`{self.read_from}`: {self.files[index]} has changed its size since the dataset was made."
            )
        return letterbox(picture, self._inner[index], self.image_size)

    def inner_size(self, index: int) -> tuple[int, int]:
        """Height and width that the image of this place in `files` takes within that of a batch."""
        height, width = self._inner[index].tolist()
        return height, width

    def original(self, index: int) -> Array:
        """The image of this place in `files` as it is in its file, uint8 `(height, width, 3)`."""
        picture = read_picture(self.read_from, self.files[index], upright=self._upright[index])
        return np.asarray(picture.convert("RGB"))

    def in_order(self) -> Self:
        """The same images in the order of `files`, as they are: to predict on, and to evaluate."""
        other = copy.copy(self)
        other.shuffle, other.augmentation, other.epoch = False, None, 0
        return other

    def with_proposals(self, regions: Any) -> Self:
        """The same images with regions that may hold an object, which an augmentation moves with the boxes.

        Args:
            regions: `(images, most, 4)`, (x1, y1, x2, y2) in pixels of the batches' images, padded with -1, in the
                order of `files`: what `region_proposals` gives.

        Returns:
            A dataset whose batches are `({"image": images, "proposals": regions}, targets)`.

        Raises:
            ValueError: for regions of other images, and for those that are not finite.
        """
        given = np.asarray(regions, "float32")
        if given.ndim != 3 or given.shape[::2] != (len(self.files), 4) or 0 in given.shape:
            raise ValueError(
                f"`regions` must have the shape ({len(self.files)}, most, 4), of {len(self.files)} images; received "
                f"{given.shape}."
            )
        if not np.isfinite(given).all():
            raise ValueError("`regions` must be finite; received NaN or infinity.")
        other = copy.copy(self)
        other._regions = given
        return other

    def to_original(self, index: int, boxes: Any) -> Array:
        """Boxes `(..., 4)` of a batch as they lie in the file's image, clipped to it; padding of -1 stays.

        Args:
            index: of the image in `files`, which is that in the batches of `in_order()`.
            boxes: (x1, y1, x2, y2) in pixels of the batch's image.
        """
        moved = move(boxes, self._inner[index], self.original_sizes[index])
        return np.where((moved == -1).all(axis=-1, keepdims=True), -1.0, clip(moved, self.original_sizes[index]))

    def from_original(self, index: int, boxes: Any) -> Array:
        """Boxes `(..., 4)` of the file's image as they lie in that of a batch; padding of -1 stays."""
        return move(boxes, self.original_sizes[index], self._inner[index])

    def ground_truth(self) -> list[dict[str, Any]]:
        """What there is to find, in the files' pixels: for each of `files`, a dict as `annotations` has.

        Those boxes too that are in no batch: difficult ones, crowds, and those beyond `max_boxes`.
        """
        return [
            {
                "image_id": image_id,
                "file": str(file),
                "height": int(size[0]),
                "width": int(size[1]),
                "boxes": one.boxes.copy(),
                "labels": one.classes.copy(),
                "difficult": one.difficult.copy(),
                "iscrowd": one.crowd.copy(),
                "area": one.areas.copy(),
            }
            for image_id, file, size, one in zip(self.image_ids, self.files, self.original_sizes, self._annotations)
        ]


def unique_names(name: str, value: Any) -> tuple[str, ...]:
    """Names of classes, no two of them equal."""
    names = validation.names(name, value)
    if twice := sorted({item for item in names if names.count(item) > 1}):
        raise ValueError(f"`{name}` must be different names; received {twice[0]!r} {names.count(twice[0])} times.")
    return names
