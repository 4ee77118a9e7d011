"""Tensors as arrays of NumPy."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt


def as_float64(value: Any) -> npt.NDArray[np.float64]:
    """A copy of a variable, a tensor or an array of any backend and type, for what is computed outside of it."""
    return np.asarray(keras.ops.convert_to_numpy(value)).astype("float64")
