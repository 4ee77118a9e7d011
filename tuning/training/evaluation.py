"""Evaluation of a saved model on test images, here or in a new process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras

from keras_blocks.core import validation
from keras_blocks.models.detector import Detector
from keras_blocks.tuning.console import is_place, without_dump
from keras_blocks.tuning.data.arrays import MOST_PIXEL, as_images, check_expected, check_same_scale
from keras_blocks.tuning.data.folder import ImageSize
from keras_blocks.tuning.data.labels import as_places
from keras_blocks.tuning.data.load import data_path, load_dataset
from keras_blocks.tuning.data.npz import read_arrays
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.training.class_names import Labelled, labels_of, matched
from keras_blocks.tuning.training.detection import evaluate_detector
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

    Classes are matched by their names, which models that `search` and `train` keep have; see `matched`. Of a detector,
    see `evaluate_detector`.

    Args:
        model: path of a `.keras` file, or of a run folder for its best.keras.
        data: what `load_dataset` takes, of which the test part is used, or the path of a run folder. By default the
            run in whose folder the model is.
        image_size: for a folder of images, see `load_dataset`; by default that of the model's run.

    Returns:
        `model` and `data`, as text, `test_correct`, `test_images`, `test_accuracy`, and `notes`: what the user should
        know of it.

    Raises:
        TypeError, ValueError: for a path that is neither, a file that cannot be loaded, data that the model cannot
            take, that are on another scale, or whose classes it does not know.

    Example:

    >>> found = evaluate_file("runs/demo")
    """
    path = model_file(model)
    own = _test_of(path)
    kept = _test_part(own, None, None) if data is None else None
    loaded = _loaded(path)
    if isinstance(loaded, Detector) and data is not None:
        if image_size is not None:
            raise ValueError(f"`image_size` must be None for a detector, which has its own; received {image_size}.")
        return evaluate_detector(loaded, path, data)
    given = kept or _test_part(own, data, image_size)
    shape, outputs = loaded.input_shape, loaded.output_shape
    if not isinstance(outputs, tuple) or len(outputs) != 2:
        raise ValueError(f"`model` must give one score for each class; {path} gives outputs of the shape {outputs}.")
    if not _takes(shape, given.images.shape):
        raise ValueError(
            f"`data` must be images of {shape[1:]}, as the model takes; received images of {given.images.shape[1:]}."
        )
    of_model = labels_of(loaded)
    if own is not None and own.is_file():
        tested = given if data is None else _stored(own)
        check_same_scale("data", given.images, f"the images that the model was tested on, {own}", tested.images)
        of_model = of_model or tested.class_names
    elif seen := _seen_in_run(own):  # by a user's own model, which does not scale pixels itself
        scale, of_model = seen
        check_expected("data", given.images, 1 / scale)
        loaded = keras.Sequential([keras.layers.Rescaling(scale), loaded])
    elif expected := _expected_pixel(loaded):
        check_expected("data", given.images, expected)
    labels, notes = matched(given, of_model, outputs[-1])
    correct = correct_of(loaded, given.images, labels)
    return {
        "model": str(path),
        "data": given.name,
        "test_correct": correct,
        "test_images": len(labels),
        "test_accuracy": correct / len(labels),
        "notes": notes,
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


def model_file(model: str | Path) -> Path:
    """The `.keras` file of a path, or of the run in whose folder it is best.keras.

    Raises:
        TypeError, ValueError: where there is none.
    """
    path = data_path(model, name="model")
    if path.is_dir():
        folder = RunFolder(path)
        folder.describe()
        path = folder.best
    if not path.is_file() or path.suffix != ".keras":
        raise ValueError(f"`model` must be a .keras file or the folder of a finished run; received {str(model)!r}.")
    return path


def load_saved(model: str | Path) -> tuple[Path, keras.Model]:
    """A model with the path of its file, see `model_file`.

    Raises:
        TypeError, ValueError: where there is none, and for a file that cannot be loaded.
    """
    path = model_file(model)
    return path, _loaded(path)


def _loaded(path: Path) -> keras.Model:
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # a file that is none of ours can fail anywhere
        own = (
            " A class of your own is known once its module is imported, and no command imports what a file names: load "
            "the model in Python, after `import my_module`."
        )
        hint = own if "Could not locate class" in str(error) else ""
        raise ValueError(f"`model`: {path} cannot be loaded: {without_dump(error)}{hint}") from error


def _test_of(model: Path) -> Path | None:
    """The test part of the run in whose folder a model is, or in its folder of the trials' models; `None` for no run.

    What lies beside any other model, and happens to be called so, is not known to be the model's.
    """
    folder = model.resolve().parent
    run = folder.parent if folder.name == "models" else folder
    return RunFolder(run).test if RunFolder.holds_run(run) else None


def _test_part(own: Path | None, data: str | Path | None, image_size: ImageSize | None) -> Labelled:
    """The images that the model is evaluated on."""
    if data is not None and not RunFolder.holds_run(data_path(data)):
        dataset = load_dataset(data, image_size=image_size or _size_of_run(own, data))
        return Labelled.of(dataset, data)
    if data is not None:
        RunFolder(data_path(data)).describe()  # refuses links: what a folder says of others is not followed
    test = own if data is None else RunFolder(data_path(data)).test
    if test is None:
        raise ValueError("`data` must be given, as the model is in no run's folder, which would have its test images.")
    if not test.is_file():
        about = RunFolder(test.parent).describe().get("settings") or {}
        if is_place(about.get("data")):
            raise ValueError(f"`data` must be given again: --data {about['data']}, if it is yours.")
        raise ValueError(f"`data` must be given, as {test} does not exist.")
    return _stored(test)


def _size_of_run(own: Path | None, data: str | Path) -> Any:
    """To what size a run has brought its images, where these are not of one size as a data set by name is."""
    if own is None or not data_path(data).exists() or data_path(data).suffix == ".npz":
        return None
    return (RunFolder(own.parent).describe().get("settings") or {}).get("image_size")


def seen_by(model: str | Path) -> tuple[float, tuple[str, ...]] | None:
    """What a saved model of a user's own was trained on, if its run says so: the factor of its pixels, the classes.

    Args:
        model: see `model_file`.

    Raises:
        TypeError, ValueError: where there is no such file, and for a run that says something else.
    """
    return _seen_in_run(_test_of(model_file(model)))


def _seen_in_run(own: Path | None) -> tuple[float, tuple[str, ...]] | None:
    """What a run of a space of a user's own has multiplied its images' pixels by, and the classes' names."""
    said = {} if own is None else RunFolder(own.parent).results() or {}
    if "scale" not in said:
        return None
    scale = validation.number("result.json: scale", said["scale"], least=1 / MOST_PIXEL, most=MOST_PIXEL)
    return scale, validation.names("result.json: class_names", said.get("class_names"))


def _stored(test: Path) -> Labelled:
    """A run's test part."""
    arrays, _ = read_arrays(test, ("x_test", "y_test"))
    images = as_images("x_test", arrays["x_test"])
    places, names = as_places({"y_test": (arrays["y_test"], len(images))}, arrays.get("class_names"))
    return Labelled(images, places["y_test"], names, str(test), numbered=True)


def _expected_pixel(model: keras.Model) -> float | None:
    """The largest pixel that the model was trained on, by the `Rescaling` in front of it; `None` where none is."""
    for layer in getattr(model, "metaparameters", {}).get("preprocess", ())[:1]:
        if isinstance(layer, keras.layers.Rescaling) and all(
            isinstance(number, (int, float)) for number in (layer.scale, layer.offset)
        ):
            return (1 - layer.offset) / layer.scale if layer.scale > 0 else None
    return None


def _takes(model_shape: tuple[int | None, ...], images_shape: tuple[int, ...]) -> bool:
    """Whether the model takes the images; None is any size."""
    return len(model_shape) == len(images_shape) and all(
        size in (None, given) for size, given in zip(model_shape[1:], images_shape[1:])
    )
