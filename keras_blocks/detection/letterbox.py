"""Images of any size brought to one, with their aspect kept; and the way back."""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

Array: TypeAlias = np.ndarray[Any, Any]


def sizes_within(sizes: Array, image_size: tuple[int, int]) -> Array:
    """The sizes (n, 2), height and width, that images take within `image_size`, rounded to whole pixels.

    The layer `Letterbox` rounds down, as models that were saved with it do; either says what it did.
    """
    scales = np.min(np.asarray(image_size) / sizes, axis=-1, keepdims=True)
    return np.asarray(np.clip(np.round(sizes * scales), 1, image_size).astype(int))


def letterbox(picture: "Image.Image", inner: Array, image_size: tuple[int, int]) -> Array:
    """Colours (height, width, 3) from 0 to 255 as float32: the picture at the left and top, black beside and below it.

    Args:
        picture: of any size.
        inner: height and width that it takes.
        image_size: height and width of the whole.
    """
    from PIL import Image

    height, width = (int(side) for side in inner)
    image = np.zeros((*image_size, 3), "float32")
    small = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    image[:height, :width] = np.asarray(small)
    return image


def move(boxes: Any, sizes: Any, to: Any) -> Array:
    """Boxes (..., 4) in an image of `sizes` (height, width) as they lie in it resized to `to`; padding of -1 stays."""
    boxes = np.asarray(boxes, "float64")
    scale = np.asarray(to)[..., ::-1] / np.asarray(sizes)[..., ::-1]
    moved = boxes * np.concatenate([scale, scale], axis=-1)
    return np.where((boxes == -1).all(axis=-1, keepdims=True), -1.0, moved)
