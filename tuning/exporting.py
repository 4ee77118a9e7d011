"""`keras-blocks export`: a model as a file of another runtime. Keras is imported when it is called."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_blocks.tuning.console import FAILED, INTERRUPTED, say, stop, usage_errors
from keras_blocks.tuning.options import size
from keras_blocks.tuning.search.settings import DATA_HELP

if TYPE_CHECKING:
    import keras
    import numpy as np

AT_MOST = 16
"""Images that outputs are compared on: all are in memory, and run at once."""

MOST_CALIBRATION = 300
"""Images that int8 is calibrated on."""

SUFFIXES = {"saved_model": "", "onnx": ".onnx", "litert": ".tflite", "openvino": ".xml", "torch": ".pt2"}
"""Format -> ending of its files; a test holds it to the runtimes'."""


def export_command(
    model: Annotated[str, typer.Argument(help="A .keras file, the folder of a run, or a model by its name.")],
    *,
    format: Annotated[str, typer.Option(help=f"Of the file: {', '.join(SUFFIXES)}.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option(help="Path of the file.", show_default="the model's name, with the format's ending")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help=f"Folder of images to compare on, the first {AT_MOST}.", show_default="random ones"),
    ] = None,
    image_size: Annotated[
        str | None, typer.Option(help="Height and width, of a model that takes any: 224 or 48x64.", show_default=False)
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Of a named model: a file of weights, or imagenet.", show_default="random ones")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest difference of an output, as a share of its largest.", show_default="1e-4"),
    ] = None,
    precision: Annotated[str, typer.Option(help="float32 or int8.")] = "float32",
    calibration: Annotated[
        Path | None, typer.Option(help=f"For int8, a folder of images to find ranges by, the first {MOST_CALIBRATION}.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help=f"For int8, of a classifier: whose test images must stay right. {DATA_HELP}")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(help="For int8, how much lower the accuracy on --data may be.", show_default="0.01, a point"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at the path.")] = False,
) -> None:
    """Write a model as a file of another runtime, run it there, and compare its outputs with the model's.

    Where they differ, nothing is written. Images are given as `evaluate` and `detect` give them: pixels from 0 to 255.
    In int8, the worst layers are left in float until --data or --tolerance holds.
    """
    options: dict[str, Any] = {
        "tolerance": tolerance,
        "overwrite": overwrite,
        "precision": precision,
        "max_drop": max_drop,
    }
    try:
        with usage_errors():
            exported(model, format, out, images, image_size, weights, calibration=calibration, data=data, **options)
    except OSError as error:
        stop(error, FAILED)
    except KeyboardInterrupt:
        stop("interrupted; nothing was written.", INTERRUPTED)


def exported(
    model: str,
    format: Any,
    out: Path | None,
    images: Path | None,
    image_size: str | None,
    weights: str | None,
    *,
    calibration: Path | None = None,
    data: str | None = None,
    **options: Any,
) -> None:
    """Writes the file, and says how far its outputs are from the model's.

    Args:
        model: a .keras file, the folder of a run, or the name of a variant.
        format, out: see `keras_blocks.export`; by default in the working directory, of the model's name.
        images: folder, or file, of what is compared on.
        image_size: as it was typed; the model's own by default.
        weights: of a named model.
        calibration: folder of images for int8.
        data: what `load_dataset` takes, of whose test images an accuracy is the goal.
        options: see `keras_blocks.export`.

    Raises:
        FileExistsError, ImportError, TypeError, ValueError: see `keras_blocks.export`; for a model that is neither, and
            for images that it does not take.
    """
    from keras_blocks import export
    from keras_blocks.core import validation

    validation.choice("format", format, SUFFIXES)
    path = out or Path(_stem(model) + (SUFFIXES[format] or f"_{format}"))  # not the folder of the run itself
    if path.exists() and not options.get("overwrite"):  # said before the model is loaded
        raise ValueError(f"--out: {path} is there already; --overwrite replaces it.")
    net = _model(model, weights)
    scale, names = _seen(model)
    inputs = None if images is None else pictures_for(net, images, image_size) * scale
    if inputs is None and image_size is not None:
        inputs = _random(net, size("--image-size", image_size))
    if calibration is not None:
        pictures = pictures_for(net, calibration, image_size, "--calibration", MOST_CALIBRATION)
        options["calibration"] = pictures * scale
    if data is not None:
        arrays, labels = _labelled(net, data, image_size, names)
        options["validation_data"] = arrays * scale, labels
    done = export(net, path, format, inputs=inputs, **options)
    if done.precision == "int8":
        say(done.table())
    said = "random images" if images is None else f"images of {images}"
    said = f"{2 if inputs is None else len(inputs)} {said}"
    say(f"{done}; compared on {'calibration images' if inputs is None and calibration else said}")
    say(f"inputs, outputs and classes: {path}.json")


def pictures_for(
    model: "keras.Model", folder: Path, image_size: str | None = None, option: str = "--images", most: int = AT_MOST
) -> "np.ndarray":
    """The first images of a folder as a model takes them; what is left out of the folder is said.

    Args:
        model: of one image.
        folder: or one file.
        image_size: as it was typed, for a model that takes any.
        option: by which they are given.
        most: how many are taken.

    Raises:
        ValueError: for a model of several inputs or of any size, and for a folder without images.
    """
    import numpy as np

    from keras_blocks.core.pictures import header_of, read_picture
    from keras_blocks.detection.letterbox import letterbox, sizes_within
    from keras_blocks.models.detector import Detector
    from keras_blocks.tuning.data.listing import LeftOut, images_in

    height, width, channels, first = _image_of(model, image_size, option)
    left = LeftOut(folder)
    files = images_in(folder, left) if folder.is_dir() else [folder] * folder.is_file()
    for note in left.notes():
        say(note)
    if not files:
        raise ValueError(f"{option}: {folder} {'holds no image' if folder.is_dir() else 'does not exist'}.")
    arrays = []
    for file in files[:most]:
        header_of("images", file)  # refuses what is too large
        picture = read_picture("images", file)
        if isinstance(model, Detector):
            (inner,) = sizes_within(np.array([picture.size[::-1]]), (height, width))
            array = letterbox(picture, inner, (height, width))
        else:
            small = picture.convert("L" if channels == 1 else "RGB").resize((width, height))
            array = np.asarray(small).reshape(height, width, channels)
        arrays.append(np.moveaxis(array, -1, 0) if first else array)
    return np.stack(arrays).astype(model.inputs[0].dtype)


def _image_of(model: "keras.Model", image_size: str | None, option: str = "--images") -> tuple[int, int, int, bool]:
    """Height, width and channels of the image that a model takes, and whether the channels come first."""
    from keras_blocks.models.detector import Detector
    from keras_blocks.tuning.training.detection import canvas_of

    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise ValueError(f"{option} is for models that take one image; '{model.name}' takes {shape}: leave it out.")
    data_format = getattr(getattr(model, "metaparameters", None), "data_format", None)
    first = data_format == "channels_first" or (data_format is None and shape[1] in (1, 3) and shape[3] not in (1, 3))
    channels, *own = shape[1:] if first else (shape[3], *shape[1:3])
    if image_size is not None:
        own = list(size("--image-size", image_size))
    elif None in own and isinstance(model, Detector):
        own = list(canvas_of(model))
    if None in own:
        raise ValueError(f"--image-size must be given for '{model.name}', which takes any: {shape}.")
    if channels not in (1, 3):
        raise ValueError(f"{option} is for models of grey or colour images; '{model.name}' takes {channels} channels.")
    return own[0], own[1], channels, first


def _seen(model: str) -> tuple[float, tuple[str, ...] | None]:
    """By what pixels are multiplied for a model of a user's own, which does not scale them itself, and its classes."""
    from keras_blocks.models.registry import list_models
    from keras_blocks.tuning.training.evaluation import seen_by

    return (os.path.exists(model) and model not in list_models() and seen_by(model)) or (1, None)


def _labelled(
    model: "keras.Model", data: str, image_size: str | None, names: tuple[str, ...] | None
) -> tuple[Any, Any]:
    """The test images of data, and the places of their classes in the model, whose names may be told besides."""
    import numpy as np

    from keras_blocks.tuning.data.load import load_dataset
    from keras_blocks.tuning.training.class_names import Labelled, labels_of, matched

    given = load_dataset(data, image_size=size("--image-size", image_size) if image_size else None)
    if model.input_shape[1:] != given.x_test.shape[1:] and None not in model.input_shape[1:]:
        raise ValueError(
            f"--data must be images of {model.input_shape[1:]}, as the model takes; received {given.x_test.shape[1:]}: "
            "--image-size brings a folder's to it."
        )
    labels, notes = matched(Labelled.of(given, data), labels_of(model) or names, model.output_shape[-1])
    for note in notes:
        say(note)
    return np.asarray(given.x_test).astype(model.inputs[0].dtype), labels


def _random(model: "keras.Model", image_size: tuple[int, int]) -> "np.ndarray":
    import numpy as np

    height, width, channels, first = _image_of(model, "{}x{}".format(*image_size))
    shape = (2, channels, height, width) if first else (2, height, width, channels)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(model.inputs[0].dtype)


def _model(text: str, weights: str | None) -> "keras.Model":
    """What the text names; a file or folder of the name of a variant is taken for the variant."""
    from keras_blocks.models.registry import create_model, list_models
    from keras_blocks.tuning.training.evaluation import load_saved

    if text in list_models() or not (text.endswith(".keras") or os.sep in text or os.path.isdir(text)):
        if weights is None:
            say(f"{text} has random weights: --weights gives it others")
        return create_model(text, weights=weights)
    if weights is not None:
        raise ValueError(f"--weights is for models by their names; {text} has its own.")
    return load_saved(text)[1]


def _stem(model: str) -> str:
    return Path(model).resolve().stem if model.endswith(".keras") or os.path.isdir(model) else model
