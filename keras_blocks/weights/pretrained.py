"""Weights of a named network: from a file, or those that keras.applications publishes."""

import os
import zipfile
from typing import Any

import keras

from keras_blocks.weights.convert import convert_weights, top_advice
from keras_blocks.weights.files import refuse_pickle

SUFFIXES = (".npz", ".safetensors", ".weights.h5", ".keras")


def check_path(path: Any) -> str:
    """The path of a file of weights that is there, before a model is built for it.

    Raises:
        FileNotFoundError: where there is none.
        TypeError, ValueError: for what is no path of a file of weights.
    """
    allowed = f"None, 'imagenet', or a path that ends with one of {list(SUFFIXES)}"
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`weights` must be {allowed}; received {path!r} of type {type(path).__name__}.")
    name = os.fspath(path)
    refuse_pickle(name)
    if not name.endswith(SUFFIXES):
        raise ValueError(f"`weights` must be {allowed}; received {name!r}.")
    if not os.path.isfile(name):
        raise FileNotFoundError(f"`weights` must be {allowed}; there is no file {name!r}.")
    return name


def load_weights(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Loads a file's weights into a model.

    `.npz` and `.safetensors` by `convert_weights`, `.weights.h5`, or a whole `.keras` model's.

    Raises:
        ValueError: for a file that is damaged or does not fit.
    """
    name = check_path(path)
    if name.endswith(".weights.h5"):
        _load_own(model, name)
    elif name.endswith(".keras"):
        convert_weights(_whole_model(name), model)
    else:
        convert_weights(name, model)


DAMAGED = (OSError, KeyError, zipfile.BadZipFile)
"""What h5py and zipfile raise for a damaged file, beside ValueError."""


def _whole_model(path: str) -> keras.Model:
    try:
        return keras.saving.load_model(path, compile=False)
    except DAMAGED as error:
        raise ValueError(f"{path} is damaged or no model that Keras has saved: {error}") from error


def _load_own(model: keras.Model, path: str) -> None:
    """Keras' own format, all or none: Keras has assigned what comes before the first weight that does not fit."""
    before = model.get_weights()
    try:
        model.load_weights(path)
    except (ValueError, *DAMAGED) as error:
        model.set_weights(before)
        advice = top_advice(model) if isinstance(error, ValueError) else ""
        raise ValueError(f"{path} is damaged or does not fit '{model.name}': {error}{advice}") from error


def load_imagenet(model: Any, variant: str) -> None:
    """Moves the weights that keras.applications publishes for this variant into a model of ours.

    The file comes by `keras.utils.get_file`, which checks its hash and keeps it in Keras' cache.

    Raises:
        OSError: where the file cannot be fetched.
        ValueError: where none is published, or the model cannot take it.
    """
    published = type(model).published
    m = model.metaparameters
    if m.include_top and m.classes != 1000:
        raise ValueError(
            f"`classes` must be 1000 with `weights='imagenet'` and the top; received {m.classes}. "
            "`include_top=False` takes the features alone."
        )
    channels = model.channels((None, *m.input_shape))
    if channels != 3 and not m.preprocess:
        raise ValueError(f"`input_shape` must have 3 channels with `weights='imagenet'`; received {channels}.")
    function = getattr(keras.applications, published[variant])
    try:
        theirs = function(weights="imagenet", include_top=m.include_top, classifier_activation=None)
    except Exception as error:  # get_file raises a bare Exception
        raise OSError(
            f"`weights='imagenet'`: keras.applications.{published[variant]} could not load its published file: {error}"
        ) from error
    convert_weights(theirs, model.without_auxiliary())
