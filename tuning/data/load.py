"""Finds a dataset by a name or a path: in scikit-learn, keras.datasets, a folder of images, an .npz file."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_blocks.core import validation
from keras_blocks.tuning.data.dataset import Dataset

if TYPE_CHECKING:
    from PIL import Image

KERAS_DATASETS = {"mnist": False, "fashion_mnist": True, "cifar10": True, "cifar100": True}
"""Name of a module of keras.datasets that holds images -> whether a mirrored image keeps its class."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
"""Endings of the files that are read as images."""

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes of 8 bits a channel or fewer. Converting wider ones would clip them."""

ImageSize = int | tuple[int, int]
"""(height, width), or one number for both."""

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""What an .npz file holds."""


def load_dataset(data: str = "digits", *, seed: int = 0, image_size: ImageSize | None = None) -> Dataset:
    """Finds a dataset by its name or path.

    Args:
        data: "digits" (scikit-learn's 1,797 real images of 8x8 pixels); "mnist", "fashion_mnist", "cifar10" or
            "cifar100" (downloaded by Keras); a folder with a folder of images for each class; or an `.npz` file with
            x_train, y_train, x_test, y_test.
        seed: of the division into training and validation part. The test part is the source's own or, for digits and
            folders, the same for every seed.
        image_size: (height, width) or one number for both, to which a folder's images are resized.

    Raises:
        ValueError: for an unknown name, and for data that cannot be used, saying why.

    Example:

    >>> load_dataset("digits", seed=1).x_val.shape
    (216, 8, 8, 1)
    """
    path = Path(data)
    validation.integer("seed", seed, least=0, most=2**32 - 1)
    if image_size is not None and not path.is_dir():
        raise ValueError(f"`image_size` is for a folder of images; received {image_size!r} with data={data!r}.")
    if data == "digits":
        return _digits(seed)
    if data in KERAS_DATASETS:
        return _keras_dataset(data, seed)
    if path.is_dir():
        return _folder(path, seed, image_size)
    if path.is_file() and path.suffix == ".npz":
        return _npz(path, seed)
    if path.exists():
        raise ValueError(f"`data` must be a folder of images by class or an .npz file; received the file {data!r}.")
    names = ("digits", *KERAS_DATASETS, "the path of a folder of images by class", "or of an .npz file")
    validation.choice("data", data, names)
    raise AssertionError("`data` is none of these names, so `choice` has raised")


def _digits(seed: int) -> Dataset:
    """scikit-learn's handwritten digits, which are part of its package."""
    from sklearn.datasets import load_digits

    images = load_digits()
    return Dataset.from_images("digits", images.images, images.target, seed=seed, scale=1 / 16)


def _keras_dataset(name: str, seed: int) -> Dataset:
    """One of keras.datasets, from Keras' cache or downloaded to it."""
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:  # keras.utils.get_file raises a plain Exception
        raise ValueError(
            f"`data`: Keras could not load {name!r}, which it downloads at first use into ~/.keras/datasets: {error}"
        ) from error
    return Dataset.from_arrays(name, x_train, y_train, x_test, y_test, seed=seed, flips=KERAS_DATASETS[name])


def _npz(path: Path, seed: int) -> Dataset:
    """An .npz file with `ARRAYS`, and `class_names` if there are any."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError(f"must be an archive of the arrays {list(ARRAYS)}; it holds one array without a name.")
        with loaded as file:
            if missing := [name for name in ARRAYS if name not in file.files]:
                raise ValueError(f"must have the arrays {list(ARRAYS)}; {missing} are missing, it has {file.files}.")
            arrays = [file[name] for name in ARRAYS]
            class_names = file["class_names"].tolist() if "class_names" in file.files else None
        return Dataset.from_arrays(path.stem, *arrays, seed=seed, class_names=class_names)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"`data`, the file {path}: {error}") from error


def _folder(path: Path, seed: int, image_size: ImageSize | None) -> Dataset:
    """A folder with a folder for each class. Files that do not end with one of `SUFFIXES` are left aside."""
    size = None if image_size is None else validation.pair("image_size", image_size)
    names = sorted(item.name for item in path.iterdir() if item.is_dir() and not item.name.startswith("."))
    if len(names) < 2:
        raise ValueError(
            f"`data`, the folder {path}: must hold a folder for each of two classes or more; it has {names}."
        )
    files = []
    for label, name in enumerate(names):
        pictures = sorted(file for file in (path / name).iterdir() if file.suffix.lower() in SUFFIXES)
        if len(pictures) < 3:
            raise ValueError(
                f"`data`, the folder {path / name}: a class must have three images or more, one each to train, to "
                f"validate and to test; it has {len(pictures)} that end with one of {list(SUFFIXES)}."
            )
        files += [(file, label) for file in pictures]
    images = _read([file for file, _ in files], size)
    labels = np.array([label for _, label in files])
    return Dataset.from_images(path.resolve().name, images, labels, seed=seed, class_names=names)


def _read(files: Sequence[Path], size: tuple[int, int] | None) -> np.ndarray:
    """All images as one uint8 array, in colour unless all are grey."""
    pictures = [_open(file, size) for file in files]
    if size is None and (sizes := {picture.size for picture in pictures}) - {pictures[0].size}:
        shown = sorted(f"{height}x{width}" for width, height in sizes)
        raise ValueError(f"`image_size` must be given, as the images are of several sizes: {', '.join(shown[:5])} ...")
    mode = "L" if all(picture.mode == "L" for picture in pictures) else "RGB"
    return np.stack([np.asarray(picture.convert(mode)) for picture in pictures])


def _open(file: Path, size: tuple[int, int] | None) -> "Image.Image":
    """One image upright, grey or in colour, resized to (height, width)."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            picture: Image.Image = ImageOps.exif_transpose(opened)
            if picture.mode not in MODES:
                raise ValueError(f"its pixels, of the mode {picture.mode!r}, are not of 8 bits")
            picture = picture.convert("L" if picture.mode in ("1", "L") else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"`data`: {file} is not an image that can be read: {error}") from error
    return picture if size is None else picture.resize(size[::-1])
