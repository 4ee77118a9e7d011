"""One image, as users have them."""

from typing import Any

import keras
import numpy as np

from keras_blocks.detection.letterbox import Array


def as_pixels(image: Any) -> Array:
    """uint8 `(height, width, 3)` of an array, a tensor or an image of Pillow's, in colour or grey, from 0 to 255.

    Raises:
        ValueError: for what is no image, and for pixels on another scale.
    """
    if hasattr(image, "convert"):  # Pillow's
        return np.asarray(image.convert("RGB"))
    array = np.asarray(keras.ops.convert_to_numpy(image))
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3) or 0 in array.shape or array.dtype.kind not in "uif":
        raise ValueError(
            f"`image` must be one image, (height, width, 1 or 3); received the shape {array.shape} of {array.dtype}."
        )
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 255:
        raise ValueError(f"`image` must have pixels from 0 to 255; received {array.min():g} to {array.max():g}.")
    if array.dtype.kind == "f" and 0 < array.max() <= 1:
        raise ValueError("`image` must have pixels from 0 to 255; received 0 to 1 at most: give image * 255.")
    return np.broadcast_to(np.round(array), (*array.shape[:2], 3)).astype("uint8")
