"""Changes of images that move their boxes, by Keras' own layers."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_blocks.core import validation
from keras_blocks.detection.letterbox import Array

WRONG = {
    "AugMix": "moves objects, and leaves their boxes where they were",
    "CutMix": "knows no boxes",
    "MixUp": "gives labels of another shape than boxes",
    "RandAugment": "shears, as RandomShear does",
    "RandomCrop": "takes the rows that are cut off from the boxes' x, and the columns from their y",
    "RandomElasticTransform": "knows no boxes",
    "RandomGrayscale": "knows no boxes; RandomSaturation does",
    "RandomShear": "moves boxes by several pixels from their objects",
}
"""Layers of Keras 3.15 that lose the boxes, and how: measured by tests/detection/test_augmentation.py."""

MIRRORS = ("reflect", "wrap")
"""Ways to fill a border that show objects a second time, where there are no boxes for them."""

LEAST = 1.0
"""Boxes of which less, in pixels, is left within the image after a change are left out."""


_lock = threading.Lock()


class BoxAugmentation:
    """Keras' layers, applied to batches of images with boxes.

    Args:
        layers: one of Keras' layers that take `{"images": ..., "bounding_boxes": {"boxes": ..., "labels": ...}}`, or a
            list of them, with `bounding_box_format="xyxy"`.
        image_size: (height, width) of the images, which stays.

    Raises:
        TypeError, ValueError: for other layers, and for those that lose the boxes.
    """

    def __init__(self, layers: Any, image_size: tuple[int, int]):
        given = [layers] if isinstance(layers, keras.layers.Layer) else validation.sequence("augmentation", layers)
        for i, layer in enumerate(given):
            if not isinstance(layer, keras.layers.Layer):
                raise TypeError(
                    f"`augmentation[{i}]` must be a Keras layer; received {layer!r} of type {type(layer).__name__}."
                )
        self.layers = list(given)
        for layer in _flat(self.layers):
            _check(layer)
        self._try(image_size)

    def __call__(
        self, images: Array, boxes: Array, classes: Array, seed: Sequence[int], regions: Array | None = None
    ) -> tuple[Array, Array, Array, Array | None]:
        """Images, boxes, classes and regions of a batch, changed.

        Args:
            images: (batch, height, width, 3).
            boxes: (batch, boxes, 4), (x1, y1, x2, y2) in pixels, padded with -1.
            classes: (batch, boxes), padded with -1.
            seed: numbers from which all draws follow.
            regions: (batch, regions, 4), padded with -1, that move with the boxes.
        """
        most = boxes.shape[1]
        if regions is not None:
            boxes = np.concatenate([boxes, regions], axis=1)
            classes = np.concatenate([classes, np.where((regions == -1).all(axis=-1), -1, 0)], axis=1).astype("int32")
        with _lock:  # the layers keep state: one batch at a time
            self._seed(np.random.default_rng(tuple(seed)))
            data: Any = {"images": images, "bounding_boxes": {"boxes": boxes, "labels": classes}}
            for layer in self.layers:
                data = layer(data, training=True)
            found = data["bounding_boxes"]
            changed = (keras.ops.convert_to_numpy(part) for part in (data["images"], found["boxes"], found["labels"]))
            images, boxes, classes = (np.asarray(part) for part in changed)
        size = images.shape[1:3]
        moved = None if regions is None else _cleared(boxes[:, most:], classes[:, most:], size)[0]
        return (images.astype("float32"), *_cleared(boxes[:, :most], classes[:, :most], size), moved)

    def _seed(self, rng: np.random.Generator) -> None:
        """Sets what the layers draw from, as a generator of Keras has it: a number, and how often was drawn."""
        for layer in self.layers:
            for variable in layer.variables:
                if variable.path.endswith("seed_generator_state"):
                    variable.assign(np.array([rng.integers(2**31), 0], "uint32"))

    def _try(self, image_size: tuple[int, int]) -> None:
        """Refuses layers that change the images' size or give no boxes, before the first batch."""
        images = np.zeros((2, *image_size, 3), "float32")
        boxes, classes = np.array([[[0, 0, *image_size[::-1]]]] * 2, "float32"), np.zeros((2, 1), "int32")
        try:
            changed = self(images, boxes, classes, (0,))
        except Exception as error:
            raise ValueError(
                f"`augmentation` must take a dict of images and bounding boxes, and give one; of {self.layers} one "
                f"fails: {error}"
            ) from error
        shapes = [part.shape for part in changed if part is not None]
        if shapes != [images.shape, boxes.shape, classes.shape]:
            raise ValueError(
                f"`augmentation` must keep the shapes of images, boxes and classes; {self.layers} make {shapes} of "
                f"{[images.shape, boxes.shape, classes.shape]}."
            )


def _flat(layers: Sequence[Any]) -> Iterator[Any]:
    """The layers, and those within them."""
    for layer in layers:
        yield layer
        yield from _flat(getattr(layer, "layers", ()))


def _check(layer: Any) -> None:
    for name, fault in WRONG.items():
        if isinstance(layer, getattr(keras.layers, name, ())):
            raise ValueError(f"`augmentation` must move boxes with their objects; Keras' {name} {fault}.")
    format = getattr(layer, "bounding_box_format", "xyxy")
    if format != "xyxy":
        raise ValueError(
            f"`augmentation` must take boxes as (x1, y1, x2, y2); {type(layer).__name__} has "
            f"bounding_box_format={format!r}: give bounding_box_format='xyxy'."
        )
    if getattr(layer, "fill_mode", None) in MIRRORS:
        raise ValueError(
            f"`augmentation` must show each object once; {type(layer).__name__} has fill_mode={layer.fill_mode!r}, "
            "which shows those at the border again, without a box: give fill_mode='constant'."
        )


def _cleared(boxes: Array, labels: Array, image_size: tuple[int, ...]) -> tuple[Array, Array]:
    """Boxes within the image, those that are left first, and all others -1: layers move padding, too."""
    height, width = image_size
    boxes = np.clip(boxes.astype("float32"), 0, np.array([width, height, width, height], "float32"))
    there = (labels >= 0) & ((boxes[..., 2:] - boxes[..., :2]) >= LEAST).all(axis=-1)
    order = np.argsort(~there, axis=1, kind="stable")
    boxes = np.where(there[..., None], boxes, -1).astype("float32")
    labels = np.where(there, labels, -1).astype("int32")
    return np.take_along_axis(boxes, order[..., None], axis=1), np.take_along_axis(labels, order, axis=1)
