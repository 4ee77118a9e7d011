"""Pictures in files as pixels: in memory where they fit into what they may take, else in a file of their own."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_blocks.core.pictures import GREY, header_of, read_picture
from keras_blocks.tuning.data.listing import LeftOut
from keras_blocks.tuning.data.stored import Images, StoredImages, remembered, stored, write
from keras_blocks.tuning.memory import in_units, memory_of_machine

if TYPE_CHECKING:
    from PIL import Image

DATA_MEMORY = 2**30
"""Bytes that images may take in each process, by default."""

SHARE = 0.5
"""Of the machine's memory, that they take at most."""

AT_A_TIME = 256
"""Pictures that are decoded before they are put where they belong."""

FRAMES = "images' later frames"


def read_images(files: Sequence[Path], size: tuple[int, int] | None, left: LeftOut, memory: int) -> tuple[Images, str]:
    """All images, in colour unless all are grey.

    Args:
        files: their paths.
        size: (height, width) to which they are resized; `None`: all have one.
        left: is told what is not read.
        memory: bytes that they may take; what would take more is decoded once into a file, from which it is read.

    Returns:
        (uint8 images, what the user should know of where they are; "" where they are in memory).

    Raises:
        ValueError: for what is no image, and images of several sizes.
    """
    key, held = _key(files, size), int(min(memory, SHARE * memory_of_machine()))
    before = stored(key)
    if before is None:
        shape, frames = _shape_of(files, size)
        pictures = _decoded(files, size, shape[1:])
        if np.prod(shape, dtype="int64") <= held:
            images = np.empty(shape, "uint8")
            for i, some in enumerate(pictures):
                images[i * AT_A_TIME : (i + 1) * AT_A_TIME] = some
            _note(frames, files, left)
            return images, ""
        before = write(key, shape, pictures)
        remembered(before, "frames", lambda: json.dumps(frames))
    _note(json.loads(remembered(before, "frames", lambda: "[]")), files, left)
    needed = int(np.prod(before.shape, dtype="int64"))
    if needed <= held:
        return np.asarray(before), ""
    return before, _where(before, needed, held)


def _where(images: StoredImages, needed: int, held: int) -> str:
    return (
        f"{len(images):,} images would take {in_units(needed)} of memory, of {in_units(held)} that data may take "
        f"(--data-memory): they are read as they are needed from {images.path}, where further runs find them, too"
    )


def _key(files: Sequence[Path], size: tuple[int, int] | None) -> str:
    """Of these files as they are now."""
    digest = hashlib.sha256(f"1 {size}".encode())
    for file in files:
        about = os.stat(file)
        digest.update(
            f"\n{os.path.abspath(file)}\0{about.st_size} {about.st_mtime_ns}".encode(errors="surrogateescape")
        )
    return digest.hexdigest()[:32]


def _note(frames: Iterable[int], files: Sequence[Path], left: LeftOut) -> None:
    for i in frames:
        left.add(FRAMES, files[i])


def _shape_of(files: Sequence[Path], size: tuple[int, int] | None) -> tuple[tuple[int, ...], list[int]]:
    """The shape of all, by what the files say of themselves, before pixels are read; and which have later frames."""
    sizes: dict[tuple[int, ...], tuple[int, int]] = {}
    frames, grey = [], True
    for i, file in enumerate(files):
        header = header_of("data", file)
        sizes.setdefault(tuple(sorted(header.size)), header.size)  # a photo may lie on its side
        grey = grey and header.mode in GREY
        if header.frames:
            frames.append(i)
    if size is None:
        if len(sizes) > 1:
            raise _several(sizes.values())
        size = _open(files[0], None).size[::-1]
    return (len(files), *size, 1 if grey else 3), frames


def _decoded(files: Sequence[Path], size: tuple[int, int] | None, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """All images, some at a time."""
    height, width, channels = shape

    def one(file: Path) -> np.ndarray:
        picture = _open(file, size)
        if picture.size != (width, height):
            raise _several({picture.size, (width, height)})
        return np.asarray(picture.convert("L" if channels == 1 else "RGB")).reshape(shape)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for begin in range(0, len(files), AT_A_TIME):
            yield np.stack(list(pool.map(one, files[begin : begin + AT_A_TIME])))


def _open(file: Path, size: tuple[int, int] | None) -> "Image.Image":
    """One image upright, grey or in colour, resized to (height, width)."""
    picture = read_picture("data", file)
    return picture if size is None else picture.resize(size[::-1])


def _several(sizes: Iterable[tuple[int, int]]) -> ValueError:
    shown = sorted(f"{height}x{width}" for width, height in sizes)
    return ValueError(f"`image_size` must be given, as the images are of several sizes: {', '.join(shown[:5])} ...")
