"""Images may come as integers, which no convolution or padding takes."""

import keras

from keras_blocks.typing import Tensor


def as_float(images: Tensor, dtype: str) -> Tensor:
    """`images` itself where it holds floats, else cast to `dtype`."""
    if keras.backend.is_float_dtype(images.dtype):
        return images
    return keras.ops.cast(images, dtype)


def wide(dtype: str) -> str:
    """The type to compute sums of squares in, for which 16 bits are too few."""
    return "float32" if dtype in ("float16", "bfloat16") else dtype
