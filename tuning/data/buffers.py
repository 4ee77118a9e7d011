"""Arrays that are filled again once nobody holds them."""

import sys
from collections.abc import Sequence

import numpy as np

MOST = 16
"""So many are kept: who trains holds fewer at a time, and whoever holds more lets them go for good."""


class Buffers:
    """Arrays of one shape, each given out again when whoever had it, and all that see its memory, have let it go.

    A new array of some megabytes comes page by page from the system, which takes as long as to fill it. Whatever sees
    an array's memory, a view or another library's tensor, holds the array: so it is counted who does.

    Args:
        shape: of each.
        dtype: of each.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._shape, self._dtype = shape, dtype
        self._made: list[np.ndarray] = []

    def __reduce__(self) -> tuple[type["Buffers"], tuple[tuple[int, ...], np.dtype]]:
        return Buffers, (self._shape, self._dtype)  # another process fills arrays of its own

    def one(self) -> np.ndarray:
        """An array that nobody holds, with whatever was in it."""
        for array in self._made:
            if sys.getrefcount(array) <= NOBODYS:
                return array
        array = np.empty(self._shape, self._dtype)
        if len(self._made) < MOST:
            self._made.append(array)
        return array


def _references(arrays: Sequence[np.ndarray]) -> int:
    for array in arrays:
        return sys.getrefcount(array)
    return 0


NOBODYS = _references([np.empty(0)])
"""References to an array that a list alone holds, counted in a loop: what Python itself adds differs by its version."""
