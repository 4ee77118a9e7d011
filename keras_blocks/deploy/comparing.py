"""How far the outputs of a file are from those of its model."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_blocks.deploy.runtimes import Outputs


def named(outputs: Any) -> dict[str, np.ndarray]:
    """Name -> output; of a list its numbers, of one alone ""."""
    if isinstance(outputs, Mapping):
        return {name: np.asarray(outputs[name]) for name in outputs}
    if isinstance(outputs, (list, tuple)):
        return {str(i): np.asarray(output) for i, output in enumerate(outputs)}
    return {"": np.asarray(outputs)}


def compared(theirs: Mapping[str, np.ndarray], found: Outputs) -> tuple[tuple[str, ...], float]:
    """The names in the order of the file's outputs, and the largest difference."""
    if isinstance(found, Mapping) and set(found) == set(theirs):
        return tuple(found), max(difference_of(theirs[name], found[name]) for name in found)
    arrays = arrays_of(found)
    if len(arrays) != len(theirs):
        raise ValueError(f"the file has {len(arrays)} outputs, and the model {len(theirs)}.")
    left, order, worst = dict(theirs), [], 0.0
    for array in arrays:  # the file keeps no names: each is the one that it is nearest to
        differences = {name: difference_of(value, array) for name, value in left.items()}
        name = min(differences, key=differences.__getitem__)
        worst = max(worst, differences[name])
        order.append(name)
        del left[name]
    return tuple(order), worst


def arrays_of(found: Outputs) -> list[np.ndarray]:
    """In order, without names."""
    return list(found.values()) if isinstance(found, Mapping) else list(found)


def difference_of_first(together: np.ndarray, alone: np.ndarray) -> float:
    """How far the outputs of the first of some inputs are from those that it has alone; see `difference_of`."""
    if alone.shape != together[:1].shape:
        return float("inf")
    return difference_of(together, np.concatenate([alone, together[1:]]))


def difference_of(theirs: np.ndarray, found: np.ndarray) -> float:
    """As a share of the largest value; infinite for other shapes, and for what is not a number, or infinite, in one.

    What rounding makes of 1 is not counted: a sigmoid of 1e-6 is exact to that, and not to a share of itself.
    """
    theirs, found = theirs.astype("float64"), found.astype("float64")
    finite = np.isfinite(theirs)
    if theirs.shape != found.shape or not np.array_equal(theirs[~finite], found[~finite], equal_nan=True):
        return float("inf")
    apart = np.abs(theirs[finite] - found[finite]).max(initial=0.0) - 4 * np.finfo("float32").eps
    return float(max(0.0, apart) / (np.abs(theirs[finite]).max(initial=0.0) or 1.0))
