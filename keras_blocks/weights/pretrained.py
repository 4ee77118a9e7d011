"""Weights of a named network: from a file, or those that keras.applications publishes."""

import os
from typing import Any

import keras

from keras_blocks.weights.convert import convert_weights

SUFFIXES = (".npz", ".safetensors", ".weights.h5", ".keras")


def load_weights(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Loads a file's weights into a model: `.npz` and `.safetensors` by `convert_weights`, `.weights.h5`, or a whole
    `.keras` model's."""
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(
            f"`weights` must be None, 'imagenet', or a path that ends with one of {list(SUFFIXES)}; received {path!r}."
        )
    name = os.fspath(path)
    if name.endswith(".weights.h5"):
        model.load_weights(name)
    elif name.endswith(".keras"):
        convert_weights(keras.saving.load_model(name, compile=False), model)
    else:
        convert_weights(name, model)


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
