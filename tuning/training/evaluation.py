"""Evaluation of a saved model on test images."""

from pathlib import Path

import keras
import numpy as np

from keras_blocks.tuning.data.load import load_dataset
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.training.fit import correct_of


def evaluate_file(model, data=None, *, image_size=None) -> dict:
    """Loads a model and counts the test images to which it gives their own class.

    Args:
        model: path of a `.keras` file, or of a run folder for its best.keras.
        data: what `load_dataset` takes, of which the test part is used, or the path of a run folder. By default the
            run in whose folder the model is.
        image_size: for a folder of images, see `load_dataset`.

    Returns:
        `model` and `data`, as text, `test_correct`, `test_images` and `test_accuracy`.

    Raises:
        ValueError: for a path that is neither, a file that cannot be loaded, data that the model cannot take.

    Example:

    >>> found = evaluate_file("runs/demo")
    """
    path = Path(model)
    if path.is_dir():
        folder = RunFolder(path)
        folder.describe()
        path = folder.best
    if not path.is_file() or path.suffix != ".keras":
        raise ValueError(f"`model` must be a .keras file or the folder of a finished run; received {str(model)!r}.")
    images, labels, name = _test_part(path, data, image_size)
    try:
        loaded = keras.saving.load_model(path, compile=False)
    except Exception as error:  # a file that is none of ours can fail anywhere
        raise ValueError(f"`model`: {path} cannot be loaded: {error}") from error
    shape, classes = loaded.input_shape, loaded.output_shape[-1]
    if not _takes(shape, images.shape) or labels.max() >= classes:
        raise ValueError(
            f"`data` must be images of {shape[1:]} with labels below {classes}, as the model takes; received images of "
            f"{images.shape[1:]} with labels up to {labels.max()}."
        )
    correct = correct_of(loaded, images, labels)
    return {
        "model": str(path),
        "data": name,
        "test_correct": correct,
        "test_images": len(labels),
        "test_accuracy": correct / len(labels),
    }


def _test_part(path, data, image_size):
    """(images, labels, name) of the test part."""
    if data is not None and not RunFolder.holds_run(data):
        dataset = load_dataset(data, image_size=image_size)
        return dataset.x_test, dataset.y_test, dataset.name
    folder = RunFolder(path.resolve().parent if data is None else data)
    if not folder.test.is_file():
        raise ValueError(f"`data` must be given, as {folder.test} does not exist.")
    with np.load(folder.test, allow_pickle=False) as file:
        return file["x_test"], file["y_test"], str(folder.test)


def _takes(model_shape, images_shape) -> bool:
    """Whether the model takes the images; None is any size."""
    return len(model_shape) == len(images_shape) and all(
        size in (None, given) for size, given in zip(model_shape[1:], images_shape[1:])
    )
