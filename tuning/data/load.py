"""Finds a dataset by a name or a path: in scikit-learn, keras.datasets, a folder of images, an .npz file."""

import os
from pathlib import Path

from keras_blocks.core import validation
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.data.decoding import DATA_MEMORY
from keras_blocks.tuning.data.folder import ImageSize, read_folder
from keras_blocks.tuning.data.npz import read_npz
from keras_blocks.tuning.data.table import SUFFIXES, read_table

KERAS_DATASETS = {"mnist": False, "fashion_mnist": True, "cifar10": True, "cifar100": True}
"""Name of a module of keras.datasets that holds images -> whether a mirrored image keeps its class."""


def load_dataset(
    data: str | os.PathLike[str] = "digits",
    *,
    seed: int = 0,
    image_size: ImageSize | None = None,
    memory: int = DATA_MEMORY,
) -> Dataset:
    """Finds a dataset by its name or path.

    Args:
        data: "digits" (scikit-learn's 1,797 real images of 8x8 pixels); "mnist", "fashion_mnist", "cifar10" or
            "cifar100" (downloaded by Keras); a folder with a folder of images for each class, or with folders train,
            val and test that hold such; a table of images, a CSV file with columns of paths, labels and, if there is
            one, split; or an `.npz` file with x_train, y_train, x_test, y_test. "~" is the home.
        seed: of the division into training and validation part. The test part is the source's own or, for digits and
            folders, the same for every seed.
        image_size: (height, width) or one number for both, to which a folder's images are resized.
        memory: bytes that the images of a folder may take. More of them are decoded once into a file in the folder
            KERAS_BLOCKS_IMAGES, by default ~/.keras/keras_blocks/images, and read from it as they are needed.

    Returns:
        A `Dataset`: images and labels in three parts.

    Raises:
        TypeError, ValueError: for an unknown name, and for data that cannot be used, saying why.

    Example:

    >>> load_dataset("digits", seed=1).x_val.shape
    (216, 8, 8, 1)
    """
    path = data_path(data)
    data = os.fspath(data)
    validation.seed("seed", seed)
    memory = validation.integer("memory", memory, least=0, most=2**60)
    is_table = path.is_file() and path.suffix.lower() in SUFFIXES
    if image_size is not None and not path.is_dir() and not is_table:
        raise ValueError(f"`image_size` is for a folder of images; received {image_size!r} with data={data!r}.")
    if data == "digits":
        return _digits(seed)
    if data in KERAS_DATASETS:
        return _keras_dataset(data, seed)
    if path.is_dir():
        return read_folder(path, seed, image_size, memory)
    if is_table:
        return read_table(path, seed, image_size, memory)
    if path.is_file() and path.suffix == ".npz":
        return read_npz(path, seed)
    if path.exists():
        raise ValueError(
            f"`data` must be a folder of images by class, a table of them (.csv) or an .npz file; received the file "
            f"{data!r}."
        )
    names = ("digits", *KERAS_DATASETS, "the path of a folder of images by class", "of a .csv or an .npz file")
    validation.choice("data", data, names)
    raise AssertionError("`data` is none of these names, so `choice` has raised")


def data_path(data: object, *, name: str = "data") -> Path:
    """What a user gave as data, or as something else, as the path that it is, if it is one. "~" is the home.

    Raises:
        TypeError, ValueError: for what can be no path.
    """
    if not isinstance(data, (str, os.PathLike)) or not isinstance(os.fspath(data), str):
        raise TypeError(f"`{name}` must be a name or a path; received {data!r} of type {type(data).__name__}.")
    try:
        path = Path(data).expanduser()
        path.exists()  # fails for what no system takes
        if os.fspath(data):
            return path
        why = "it is empty"
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: there is no such home
        why = str(error)
    raise ValueError(f"`{name}` must be a name or a path; received {os.fspath(data)[:100]!r}: {why}.")


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
