"""Operations that keep float64: those of Keras' PyTorch backend (3.15) give float32 for it."""

from typing import Any

import keras
from keras import ops

from keras_blocks.typing import Tensor


def minimum(a: Tensor, b: Any) -> Tensor:
    """The smaller of two, element by element, in the dtype of `a`."""
    return ops.where(a < b, a, b) if _is_double(a) else ops.minimum(a, b)


def maximum(a: Tensor, b: Any) -> Tensor:
    """The larger of two, element by element, in the dtype of `a`."""
    return ops.where(a > b, a, b) if _is_double(a) else ops.maximum(a, b)


def floor(a: Tensor) -> Tensor:
    """The next whole number below, for numbers of which int32 has the whole part."""
    if not _is_double(a):
        return ops.floor(a)
    whole = ops.cast(ops.cast(a, "int32"), a.dtype)
    return whole - ops.cast(whole > a, a.dtype)


def ceil(a: Tensor) -> Tensor:
    """The next whole number above, for numbers of which int32 has the whole part."""
    return -floor(-a) if _is_double(a) else ops.ceil(a)


def _is_double(a: Tensor) -> bool:
    return bool(keras.backend.standardize_dtype(a.dtype) == "float64")
