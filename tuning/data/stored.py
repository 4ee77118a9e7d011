"""Images that are not held in memory: their pixels in a file, of which no more is read than is asked for."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from keras_blocks.tuning.files import replacing
from keras_blocks.tuning.memory import in_units

KEPT_DAYS = 30
"""Files that nothing has used for so long are removed when another one is written."""

CHUNK = 2**24
"""Bytes that are read at a time where all images are gone through."""


class StoredImages:
    """Images (number, height, width, channels) of 8 bits in an `.npy` file, or some of them.

    Indexing reads what is asked for, as an array: `images[7]`, `images[:100]`, `images[[3, 1]]`. `np.asarray(images)`
    reads all. They take none of the process' memory: what the system has cached of the file, it gives back when others
    need it.

    Args:
        path: of the file.
        places: of these images in the file, in their order; by default all.

    Raises:
        ValueError: for a file that does not hold such images, or is torn.
    """

    ndim = 4
    dtype = np.dtype("uint8")

    def __init__(self, path: str | os.PathLike[str], places: np.ndarray | None = None) -> None:
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                shape, dtype = array_header(file)
                self._offset, size = file.tell(), os.fstat(file.fileno()).st_size
        except (OSError, ValueError) as error:
            raise ValueError(f"`path`: {path} cannot be read: {error}") from error
        if dtype != self.dtype or len(shape) != 4 or size != self._offset + int(np.prod(shape, dtype="int64")):
            raise ValueError(
                f"`path`: {path} must hold images of 8 bits, all of them; it has {size:,} bytes, of {dtype} {shape}."
            )
        self._each = shape[1:]
        self.places = np.arange(shape[0]) if places is None else np.asarray(places, "int64")
        if self.places.size and not 0 <= self.places.min() <= self.places.max() < shape[0]:
            raise ValueError(f"`places` must be from 0 to {shape[0] - 1}; received {self.places.max()}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return (len(self.places), *self._each)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, wanted: Any) -> np.ndarray:
        """Reads images, as an array's index takes them."""
        places = self.places[wanted]
        found = np.empty((places.size, *self._each), self.dtype)
        self.read(places.reshape(-1), found)
        return found.reshape(*places.shape, *self._each)

    def read(self, places: np.ndarray, into: np.ndarray) -> None:
        """Reads images into an array that is there.

        Args:
            places: of the images in the file.
            into: an image for each of them.
        """
        size = int(np.prod(self._each))
        with self.path.open("rb", buffering=0) as file:
            for place, image in zip(places.tolist(), into):
                file.seek(self._offset + place * size)
                if file.readinto(image) != size:
                    raise ValueError(f"{self.path} is torn: image {place} is not there. Remove the file.")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def taken(self, places: np.ndarray) -> "StoredImages":
        """Some of these images, of which nothing is read yet."""
        return StoredImages(self.path, self.places[places])

    def chunks(self) -> Iterator[np.ndarray]:
        """All images in their order, a few megabytes at a time."""
        step = max(1, CHUNK // int(np.prod(self._each)))
        for begin in range(0, len(self), step):
            yield self[begin : begin + step]


Images = np.ndarray | StoredImages
"""Images of a part, in memory or in a file."""


def taken(images: Images, places: np.ndarray) -> Images:
    """Some of the images: of an array a copy."""
    return images.taken(places) if isinstance(images, StoredImages) else images[places]


def chunks(images: Images) -> Iterable[np.ndarray]:
    """All images, in as many arrays as it takes."""
    return images.chunks() if isinstance(images, StoredImages) else (images,)


def bytes_held(images: Images) -> int:
    """Bytes of memory that they take."""
    return images.nbytes if isinstance(images, np.ndarray) else 0


def store() -> Path:
    """The folder of such files: KERAS_BLOCKS_IMAGES, or one beside those that Keras downloads."""
    keras_home = os.environ.get("KERAS_HOME") or "~/.keras"
    return Path(os.environ.get("KERAS_BLOCKS_IMAGES") or Path(keras_home) / "keras_blocks" / "images").expanduser()


def stored(key: str) -> StoredImages | None:
    """The images that were written under a key, and how often they were used is noted; `None` where there are none."""
    path = store() / f"{key}.npy"
    with contextlib.suppress(ValueError, OSError):
        found = StoredImages(path)
        os.utime(path)
        return found
    return None


def write(key: str, shape: tuple[int, ...], images: Iterable[np.ndarray]) -> StoredImages:
    """Writes images under a key, a few at a time, and removes what nothing has used for `KEPT_DAYS`.

    Args:
        key: of these images and no others.
        shape: of all.
        images: arrays of several, which make up all.

    Raises:
        ValueError: where the disk has no room for them.
    """
    folder = store()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.npy"):
        with contextlib.suppress(OSError):
            if old.stat().st_mtime < time.time() - KEPT_DAYS * 86_400:
                old.unlink()
                old.with_suffix(".txt").unlink(missing_ok=True)
    size, free = int(np.prod(shape, dtype="int64")), shutil.disk_usage(folder).free
    if size > free:
        raise ValueError(
            f"`data`: {shape[0]:,} images of {shape[1]}x{shape[2]} do not fit into the memory that data may take, and "
            f"their pixels, {in_units(size)}, not into {folder}, where {in_units(free)} are free. Give a smaller "
            "`image_size`, or set KERAS_BLOCKS_IMAGES to a folder with room."
        )
    path = folder / f"{key}.npy"
    with replacing(path) as part, part.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for some in images:
            file.write(np.ascontiguousarray(some).data)
    return StoredImages(path)


def remembered(images: StoredImages, what: str, compute: Callable[[], str]) -> str:
    """A text that follows from a file's contents, which takes long to compute: it is kept beside the file.

    Args:
        images: in the file.
        what: it is, in a word.
        compute: function that gives it.
    """
    path = images.path.with_suffix(".txt")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    known = dict(line.split(" ", 1) for line in lines if " " in line)
    if what not in known:
        known[what] = compute()
        with contextlib.suppress(OSError), replacing(path) as part:
            part.write_text("".join(f"{name} {value}\n" for name, value in known.items()), encoding="utf-8")
    return known[what]


def array_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that an `.npy` file says at its beginning.

    Raises:
        ValueError: for another file.
    """
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise ValueError(f"its format {version} is of arrays with named fields, which are no images.")
    shape, _, dtype = read[version](file)
    return shape, dtype
