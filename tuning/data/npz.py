"""Datasets as .npz files, whose arrays are only read when it is known how large they are."""

import math
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.data.stored import Images, array_header, chunks
from keras_blocks.tuning.memory import check_fits

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""What an .npz file holds."""

NAMES = "class_names"
"""What it may hold, too."""


def read_npz(path: Path, seed: int) -> Dataset:
    """An .npz file with `ARRAYS`, and `NAMES` if there are any.

    Raises:
        ValueError: for other files, with what is wrong.
    """
    arrays, others = read_arrays(path, ARRAYS)
    notes = []
    if others:
        also = ": the validation part is drawn from x_train" if {"x_val", "y_val"} & set(others) else ""
        notes.append(f"left out of {path.name}: the arrays {', '.join(others)}{also}")
    try:
        return Dataset.from_arrays(path.stem, **arrays, seed=seed, notes=notes)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`data`, the file {path}: {error}") from error


def read_arrays(path: Path, wanted: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """The arrays of an .npz file.

    Args:
        path: of the file.
        wanted: names of arrays that must be there; `NAMES` are read where they are.

    Returns:
        (name -> array, the names of what else is in the file).

    Raises:
        ValueError: for another file, one that is torn, and arrays that do not fit into the memory.
    """
    try:
        # Of a file that is no archive, nothing is read into memory.
        loaded = np.load(path, allow_pickle=False, mmap_mode="r")
        if isinstance(loaded, np.ndarray):
            raise ValueError(f"must be an archive of the arrays {list(wanted)}; it holds one array without a name.")
        with loaded as file:
            if missing := [name for name in wanted if name not in file.files]:
                raise ValueError(f"must have the arrays {list(wanted)}; {missing} are missing, it has {file.files}.")
            found = [*wanted, *({NAMES} & set(file.files))]
            assert isinstance(file.zip, zipfile.ZipFile)
            needed = sum(_size(file.zip, name) for name in found)
            check_fits("its arrays", needed, "Keep fewer images in it, or smaller ones.")
            return {name: file[name] for name in found}, [name for name in file.files if name not in found]
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise ValueError(f"`data`, the file {path}: {error}") from error


def write_arrays(path: Path, images: Mapping[str, Images], others: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file, compressed; of images that are in a file, a few at a time.

    Args:
        path: of the file.
        images, others: arrays by their names.
    """
    np.savez_compressed(path, **others)  # type: ignore[arg-type]  # none is named allow_pickle
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, array in images.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
                np.lib.format.write_array_header_1_0(file, header)
                for some in chunks(array):
                    file.write(np.ascontiguousarray(some).data)


def _size(archive: zipfile.ZipFile, name: str) -> int:
    """The bytes of an array, by its header."""
    member = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
    with archive.open(member) as file:
        shape, dtype = array_header(file)
    size = math.prod(shape) * dtype.itemsize
    held = archive.getinfo(member).file_size
    if size > held:
        raise ValueError(
            f"its array {name} is torn: by its header it has the shape {shape} of {dtype}, {size:,} bytes, and there "
            f"are {held:,}."
        )
    return size
