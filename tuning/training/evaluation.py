"""Evaluation of a saved model on test images, here or in a new process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_blocks.tuning.data.load import ImageSize, load_dataset
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.training.fit import correct_of

FRESH_SCRIPT = """
import json, sys
import keras
import numpy
import keras_blocks

model = keras.saving.load_model(sys.argv[1])
with numpy.load(sys.argv[2], allow_pickle=False) as file:
    images, labels = file["x_test"], file["y_test"]
correct = int((model.predict(images, batch_size=256, verbose=0).argmax(axis=-1) == labels).sum())
print(json.dumps({"test_correct": correct, "test_images": len(labels), "test_accuracy": correct / len(labels)}))
"""
"""What a new process runs: it imports keras_blocks and nothing else of this project."""


class FreshProcessFailed(RuntimeError):
    """The new process could not load or evaluate the model."""


def evaluate_file(
    model: str | Path, data: str | Path | None = None, *, image_size: ImageSize | None = None
) -> dict[str, Any]:
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


def evaluate_in_fresh_process(
    model_path: str | Path, test_path: str | Path, *, timeout: float = 600, script: str = FRESH_SCRIPT
) -> dict[str, Any]:
    """Loads a `.keras` file and a run's test.npz in a new process, and evaluates there.

    Args:
        model_path: of the `.keras` file.
        test_path: of an `.npz` file with x_test and y_test.
        timeout: seconds that the process may take.
        script: what it runs, with the two paths as its arguments.

    Returns:
        `test_correct`, `test_images` and `test_accuracy`.

    Raises:
        FreshProcessFailed: with the last line that the process said, where it does not succeed.

    Example:

    >>> evaluate_in_fresh_process("runs/demo/best.keras", "runs/demo/test.npz")["test_images"]
    359
    """
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend(), "TF_CPP_MIN_LOG_LEVEL": "2"}
    # -P: a file named keras.py in the working directory is not imported.
    command = [sys.executable, "-P", "-c", script, str(model_path), str(test_path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, check=False)
    except subprocess.TimeoutExpired as error:
        raise FreshProcessFailed(f"the fresh process took longer than {timeout} seconds.") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise FreshProcessFailed(f"the fresh process failed: {said[-1] if said else done.returncode}")
    counts: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return counts


def _test_part(path: Path, data: str | Path | None, image_size: ImageSize | None) -> tuple[np.ndarray, np.ndarray, str]:
    """(images, labels, name) of the test part."""
    if data is not None and not RunFolder.holds_run(data):
        dataset = load_dataset(str(data), image_size=image_size)
        return dataset.x_test, dataset.y_test, dataset.name
    folder = RunFolder(path.resolve().parent if data is None else data)
    if not folder.test.is_file():
        raise ValueError(f"`data` must be given, as {folder.test} does not exist.")
    with np.load(folder.test, allow_pickle=False) as file:
        return file["x_test"], file["y_test"], str(folder.test)


def _takes(model_shape: tuple[int | None, ...], images_shape: tuple[int, ...]) -> bool:
    """Whether the model takes the images; None is any size."""
    return len(model_shape) == len(images_shape) and all(
        size in (None, given) for size, given in zip(model_shape[1:], images_shape[1:])
    )
