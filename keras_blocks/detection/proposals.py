"""Regions that may hold an object: R-CNN's and Fast R-CNN's proposals, by selective search."""

import ctypes
import hashlib
import os
import threading
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np

from keras_blocks.core import validation
from keras_blocks.core.extras import require
from keras_blocks.detection.dataset import DetectionDataset
from keras_blocks.detection.letterbox import Array
from keras_blocks.detection.pixels import as_pixels

Mode = Literal["fast", "quality", "single"]

LEAST_SIDE = 4
"""Smaller images have no regions that OpenCV could find."""

_lock = threading.Lock()


def selective_search(image: Any, mode: Mode = "fast", max_regions: int = 2000) -> Array:
    """Regions of an image that may hold an object, by selective search; the same for the same image.

    Their order is OpenCV's, which draws it by the C library's `rand`: it differs where another thread of the process
    draws from that meanwhile.

    Args:
        image: `(height, width, 3)` or `(height, width, 1)`, from 0 to 255.
        mode: "fast" groups by two colour spaces and four similarities, "quality" by more, "single" by one of each:
            about 600, 1,200 and 150 regions of 320 x 240 pixels, in 3, 8 and 0.4 seconds.
        max_regions: the most that are given, the first of the search's own order.

    Returns:
        float32 `(regions, 4)`, (x1, y1, x2, y2) in pixels, no two of them equal.

    Raises:
        TypeError, ValueError: for what is no image, and for arguments out of range.
        ImportError: where OpenCV with its further modules is missing.

    Reference:
        Uijlings et al., "Selective Search for Object Recognition", 2013; OpenCV's implementation.

    Example:

    >>> image = np.zeros((40, 60, 3)); image[10:30, 20:50] = 255
    >>> [20, 10, 50, 30] in keras_blocks.selective_search(image).tolist()
    True
    """
    validation.choice("mode", mode, Mode)
    most = validation.integer("max_regions", max_regions)
    pixels = as_pixels(image)
    if min(pixels.shape[:2]) < LEAST_SIDE:
        raise ValueError(f"`image` must have {LEAST_SIDE} pixels or more on each side; received {pixels.shape[:2]}.")
    require("cv2", "proposals")
    import cv2

    if not hasattr(cv2, "ximgproc"):
        raise ImportError(
            "this needs OpenCV's further modules, which its package opencv-contrib-python-headless has: pip uninstall "
            "other packages of OpenCV, then pip install 'keras-blocks[proposals]'."
        )
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(pixels[..., ::-1]))
    prepare: dict[str, Callable[[], None]] = {
        "fast": search.switchToSelectiveSearchFast,
        "quality": search.switchToSelectiveSearchQuality,
        "single": search.switchToSingleStrategy,
    }
    prepare[mode]()
    with _lock:
        # OpenCV draws the order of its regions by the C library's `rand`, which only that library seeds.
        library: Any = ctypes.CDLL(None)
        library.srand(0)
        found = np.asarray(search.process(), "float32").reshape(-1, 4)[:most]
    found[:, 2:] += found[:, :2]
    return found


def region_proposals(
    dataset: DetectionDataset,
    path: str | os.PathLike[str] | None = None,
    *,
    mode: Mode = "fast",
    max_regions: int = 2000,
    verbose: bool = False,
) -> Array:
    """Selective search on all images of a dataset, once: what a file keeps is not searched again.

    Args:
        dataset: whose images are searched, as they are in a batch.
        path: an `.npz` file that keeps the regions, made or gone on with; `None` for none. An image is known again by
            the bytes of its file, so that several datasets may share one.
        mode, max_regions: of `selective_search`.
        verbose: whether progress is shown.

    Returns:
        float32 `(images, max_regions, 4)`: for each image in the order of `dataset.files` its regions, (x1, y1, x2, y2)
        in pixels of a batch's image, padded with -1.

    Raises:
        TypeError, ValueError: for arguments out of range, and for a file that was made otherwise, or is damaged.
        ImportError: where OpenCV with its further modules is missing.

    Example:

    >>> keras.utils.save_img("boxed.png", np.zeros((60, 80, 3)), scale=False)
    >>> truth = {"boxes": [[8, 6, 40, 30]], "labels": ["cat"]}
    >>> dataset = keras_blocks.DetectionDataset(["boxed.png"], [truth], ["cat", "dog"], image_size=(40, 60))
    >>> keras_blocks.region_proposals(dataset, "regions.npz", max_regions=50).shape
    (1, 50, 4)
    >>> os.remove("boxed.png"), os.remove("regions.npz")
    (None, None)
    """
    if not isinstance(dataset, DetectionDataset):
        raise TypeError(f"`dataset` must be a DetectionDataset; received {dataset!r} of type {type(dataset).__name__}.")
    validation.choice("mode", mode, get_args(Mode))
    most = validation.integer("max_regions", max_regions)
    file = None if path is None else Path(validation.text("path", path)).expanduser()
    if file is not None and file.suffix != ".npz":
        raise ValueError(f"`path` must end with '.npz'; received {str(file)!r}.")
    settings = f"{mode} {most} {dataset.image_size[0]}x{dataset.image_size[1]}"
    kept = _read(file, settings, most) if file is not None and file.exists() else {}
    keys = [hashlib.sha256(image.read_bytes()).hexdigest() for image in dataset.files]
    missing = [i for i, key in enumerate(keys) if key not in kept]
    progress = keras.utils.Progbar(len(missing), verbose=int(validation.boolean("verbose", verbose)))
    for i in missing:
        height, width = dataset.inner_size(i)
        kept[keys[i]] = selective_search(dataset.image(i)[:height, :width], mode, most)
        progress.add(1)
    if file is not None and missing:
        _write(file, settings, kept)
    regions = np.full((len(keys), most, 4), -1, "float32")
    for i, key in enumerate(keys):
        regions[i, : len(kept[key])] = kept[key]
    return regions


def _read(file: Path, settings: str, most: int) -> dict[str, Array]:
    """The regions that a file keeps, by the digests of their images."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            made = str(arrays["settings"])
            counts, keys, regions = (arrays[name] for name in ("counts", "images", "regions"))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"`path`: {file} keeps no regions that can be read: {error}. Remove it, or give another."
        ) from error
    if made != settings:
        raise ValueError(
            f"`path`: {file} was made with other settings ({made}, and not {settings}): give another path."
        )
    whole = counts.ndim == 1 and keys.shape == counts.shape and regions.shape == (counts.sum(), 4)
    if not whole or regions.dtype != "float32" or (counts > most).any() or not np.isfinite(regions).all():
        raise ValueError(f"`path`: {file} is damaged: its parts do not belong together. Remove it, or give another.")
    return dict(zip(keys.tolist(), np.split(regions, np.cumsum(counts)[:-1])))


def _write(file: Path, settings: str, kept: dict[str, Array]) -> None:
    """The old file or the new one, whole, whenever the process dies."""
    part = file.with_name(f".part-{uuid.uuid4().hex[:8]}-{file.name}")
    try:
        with open(part, "wb") as stream:
            np.savez_compressed(
                stream,
                settings=np.array(settings),
                images=np.array(list(kept)),
                counts=np.array([len(regions) for regions in kept.values()]),
                regions=np.concatenate(list(kept.values())),
            )
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)
