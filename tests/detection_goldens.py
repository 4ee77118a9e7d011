"""The goldens of torchvision's detection operations, see make_detection_goldens.py."""

import functools
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).parent / "fixtures" / "torchvision" / "detection.npz"


@functools.cache
def _all():
    with np.load(FILE) as arrays:
        return {key: arrays[key] for key in arrays}


def golden(name):
    """The arrays of one golden by name."""
    found = {key.partition("/")[2]: value for key, value in _all().items() if key.startswith(f"{name}/")}
    assert found, f"no golden '{name}': make_detection_goldens.py"
    return found


def cases(found, prefix):
    """The rest of the names that begin so -> the arrays."""
    return {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
