"""Files of weights as name -> array: `.npz` and `.safetensors`, neither of which can run code. Never a pickle."""

import os
import zipfile
import zlib
from typing import Any

import numpy as np

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")


def read_arrays(path: str | os.PathLike[str], most_bytes: int) -> dict[str, Any]:
    """The arrays of an `.npz` or `.safetensors` file; those of 16 bits as float32, as Keras' variables take them.

    Args:
        path: the file's path, a string or `os.PathLike`.
        most_bytes: size of the arrays above which the file is refused before it is read.

    Raises:
        ImportError: where a `.safetensors` file is read without the library.
        ValueError: for another kind of file, one that is damaged, and one that is too large.
    """
    name = os.fspath(path)
    refuse_pickle(name)
    if name.endswith(".safetensors"):
        arrays = _read_safetensors(name, most_bytes)
    elif name.endswith(".npz"):
        arrays = _read_npz(name, most_bytes)
    else:
        raise ValueError(f"a file of weights must end with '.npz' or '.safetensors'; received {name!r}.")
    return {key: value.astype("float32") if _is_short(value.dtype) else value for key, value in arrays.items()}


def refuse_pickle(path: str) -> None:
    """Raises a ValueError for a file that is one by its name."""
    if path.endswith(PICKLES):
        raise ValueError(f"{path} is a pickle, which can run any code when it is read. {way_round(path)}.")


def way_round(pickle: str) -> str:
    """How a pickle comes in: a sentence without its end."""
    return (
        f"Where you trust it, convert it with PyTorch: state = torch.load({pickle!r}, weights_only=True); "
        "safetensors.torch.save_file(state, 'weights.safetensors'), and give weights='weights.safetensors'"
    )


UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),  # the last two: compression, password
    *(EOFError, KeyError, ValueError, MemoryError),  # the last: an array whose header claims more than any memory
)
"""What zipfile and numpy raise for a damaged file."""


def _is_short(dtype: Any) -> bool:
    return dtype.name in ("float16", "bfloat16")


def _check_size(path: str, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise ValueError(f"{path} unpacks to {size} bytes; weights of this model take {most_bytes} at most.")


def _read_npz(path: str, most_bytes: int) -> dict[str, Any]:
    """Refused before it is unpacked where that would take far more than the model does."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        arrays = _unpacked(path) if size <= most_bytes else {}
    except UNREADABLE as error:
        raise ValueError(f"{path} is damaged or no .npz file of numbers: {error or type(error).__name__}.") from error
    _check_size(path, size, most_bytes)
    for name, value in arrays.items():
        if not isinstance(value, np.ndarray):
            raise ValueError(f"{path} has '{name}', which is no array: an .npz file is what numpy.savez writes.")
    return arrays


def _unpacked(path: str) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _read_safetensors(path: str, most_bytes: int) -> dict[str, Any]:
    """The format has no compression, and the library refuses a header that does not agree with the file's size."""
    try:
        import safetensors
    except ImportError as error:
        raise ImportError(f"{path} needs the safetensors library: pip install 'keras-blocks[safetensors]'.") from error
    _check_size(path, os.path.getsize(path), most_bytes)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: _tensor(file, name, path) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}.") from error


def _tensor(file: Any, name: str, path: str) -> Any:
    try:
        return file.get_tensor(name)
    except AttributeError as error:  # numpy has no such type
        kind = file.get_slice(name).get_dtype()
        raise ValueError(f"{path} has '{name}' as {kind}, which numpy cannot hold: save it as float32.") from error
