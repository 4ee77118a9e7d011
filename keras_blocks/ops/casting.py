"""Images may come as integers, which no convolution or padding takes."""

import keras


def as_float(images, dtype):
    """`images` itself where it holds floats, else cast to `dtype`."""
    if keras.backend.is_float_dtype(images.dtype):
        return images
    return keras.ops.cast(images, dtype)
