"""Weights of a named network: from a file, from the hub, or those that keras.applications publishes."""

import os
import tempfile
import zipfile
from collections.abc import Iterable
from typing import Any

import h5py  # type: ignore[import-untyped, unused-ignore]
import keras
import numpy as np

from keras_blocks.weights.adapting import Adapting
from keras_blocks.weights.convert import adapted_weights, top_advice
from keras_blocks.weights.files import refuse_pickle
from keras_blocks.weights.hub import SCHEME, check_hub, fetch, is_on_hub
from keras_blocks.weights.published import FREE, HUB, who_publishes

SUFFIXES = (".npz", ".safetensors", ".weights.h5", ".keras")


def check_path(path: Any) -> str:
    """The path of a file of weights that is there, before a model is built for it.

    Raises:
        FileNotFoundError: where there is none.
        TypeError, ValueError: for what is no path of a file of weights.
    """
    allowed = f"None, 'imagenet', {SCHEME}owner/name, or a path that ends with one of {list(SUFFIXES)}"
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`weights` must be {allowed}; received {path!r} of type {type(path).__name__}.")
    name = os.fspath(path)
    if is_on_hub(name):
        check_hub(name)
        return name
    refuse_pickle(name)
    if not name.endswith(SUFFIXES):
        raise ValueError(f"`weights` must be {allowed}; received {name!r}.")
    if not os.path.isfile(name):
        raise FileNotFoundError(f"`weights` must be {allowed}; there is no file {name!r}.")
    return name


def load_weights(model: keras.Model, path: str | os.PathLike[str], adapting: Adapting | None = None) -> None:
    """Loads a file's weights into a model.

    `.npz` and `.safetensors` by `convert_weights`, `.weights.h5`, or a whole `.keras` model's; `hf://owner/name` from
    the hub.

    Args:
        model: a built model.
        path: the file's, or where it is on the hub.
        adapting: how far the model may differ from the source; not at all by default.

    Raises:
        OSError: for a file that is not there, or cannot be fetched.
        ValueError: for a file that is damaged or does not fit.
    """
    adapting = adapting or Adapting()
    name = check_path(path)
    if is_on_hub(name):
        adapted_weights(fetch(name), model, adapting)
    elif name.endswith(".weights.h5"):
        _load_own(model, name, adapting)
    elif name.endswith(".keras"):
        adapted_weights(_whole_model(name), model, adapting)
    else:
        adapted_weights(name, model, adapting)


DAMAGED = (OSError, KeyError, zipfile.BadZipFile)
"""What h5py and zipfile raise for a damaged file, beside ValueError."""


def _whole_model(path: str) -> keras.Model:
    try:
        return keras.saving.load_model(path, compile=False)
    except DAMAGED as error:
        raise ValueError(f"{path} is damaged or no model that Keras has saved: {error}") from error


def _load_own(model: keras.Model, path: str, adapting: Adapting) -> None:
    """Keras' own format, all or none: Keras has assigned what comes before the first weight that does not fit."""
    before = model.get_weights()
    try:
        model.load_weights(path)
    except (ValueError, *DAMAGED) as error:
        model.set_weights(before)
        if isinstance(error, ValueError) and adapting.allows and (twin := _as_in(path, model)) is not None:
            adapted_weights(twin, model, adapting)
            return
        advice = top_advice(model) if isinstance(error, ValueError) else ""
        raise ValueError(f"{path} is damaged or does not fit '{model.name}': {error}{advice}") from error
    for weight, value in zip(model.weights, model.get_weights(), strict=True):
        if keras.backend.is_float_dtype(weight.dtype) and not np.isfinite(value.astype("float32")).all():
            model.set_weights(before)
            raise ValueError(f"{path}: '{weight.path}' has values that are not finite; nothing was loaded.")


def _as_in(path: str, model: keras.Model) -> keras.Model | None:
    """The model with the classes and channels that a file of Keras' own format has, and its weights; or `None`.

    The format has no names but those of layers' attributes, which only a model of the same form has.
    """
    config = model.get_config()
    differing = _differing_shapes(path, model)
    scores = {theirs[-1] for ours, theirs in differing if ours[:-1] == theirs[:-1]}
    channels = {theirs[2] for ours, theirs in differing if len(ours) == len(theirs) == 4 and ours[2] != theirs[2]}
    if len(scores) > 1 or len(channels) > 1:
        return None
    if scores:
        config |= {"classes": int(scores.pop()), "labels": None}
    if channels:
        axis = 2 if model.data_format == "channels_last" else 0
        shape = list(config["input_shape"])
        shape[axis] = int(channels.pop())
        config["input_shape"] = shape
    twin: keras.Model = type(model).from_config(config)
    try:
        twin.load_weights(path)
    except (ValueError, *DAMAGED):
        return None
    return twin


def _differing_shapes(path: str, model: keras.Model) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(shape in the model, shape in the file) of each weight of one name and two shapes."""
    with tempfile.TemporaryDirectory() as folder:
        own = os.path.join(folder, "model.weights.h5")
        model.save_weights(own)
        ours, theirs = _shapes(own), _shapes(path)
    return [(shape, theirs[name]) for name, shape in ours.items() if theirs.get(name, shape) != shape]


def _shapes(path: str) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = tuple(item.shape)

    with h5py.File(path) as file:
        file.visititems(note)
    return found


def load_imagenet(model: Any, variant: str, adapting: Adapting) -> None:
    """Moves the published weights of ImageNet into a model of ours.

    They are those of keras.applications where it has this variant, else those of the table in published.py, from the
    hub. The first come by `keras.utils.get_file`, which checks their hash and keeps them in Keras' cache; see `fetch`
    for the others.

    Raises:
        OSError: where the file cannot be fetched.
        ValueError: where the model cannot take it.
    """
    if variant not in type(model).published:
        load_weights(model, hub_weights(model, variant), adapting)
        return
    m = model.metaparameters
    name = type(model).published[variant]
    function = getattr(keras.applications, name)
    try:
        theirs = function(weights="imagenet", include_top=m.include_top, classifier_activation=None)
    except Exception as error:  # get_file raises a bare Exception
        raise OSError(
            f"`weights='imagenet'`: keras.applications.{name} could not load its published file: {error}"
        ) from error
    adapted_weights(theirs, model.without_auxiliary(), adapting)


def check_imagenet(variant: str, in_keras: Iterable[str]) -> None:
    """Refuses a variant whose weights none publishes in a form that is safe to read and free to use.

    Args:
        variant: its name.
        in_keras: names of those that keras.applications publishes weights of.

    Raises:
        ImportError: without the extra `hub`, for those that are fetched from there.
        ValueError: says who publishes what.
    """
    in_keras = set(in_keras)
    row = HUB.get(variant)
    if variant in in_keras:
        return
    if row is not None and row.licence in FREE:
        check_hub(f"{SCHEME}{row.repository}")
        return
    if row is not None:
        why = (
            f"{SCHEME}{row.repository} has them under the licence {row.licence}, and by this name come "
            f"those alone under {list(FREE)}: weights='{SCHEME}{row.repository}' takes them"
        )
    else:
        why = who_publishes(variant)
    free = {*in_keras, *(name for name, row in HUB.items() if row.licence in FREE)}
    raise ValueError(
        f"`weights='imagenet'` is published for {len(free)} variants, which docs/weights.md names; received the "
        f"variant '{variant}': {why}."
    )


def hub_weights(model: Any, variant: str) -> str:
    """Where the variant's weights of ImageNet are on the hub.

    Raises:
        ValueError: for a model that differs from the published network where that changes the outputs.
    """
    row = HUB[variant]
    other = {name: value for name, value in row.options.items() if model.metaparameters[name] != value}
    if other:
        change = ", ".join(f"{name}={value!r}" for name, value in other.items())
        raise ValueError(
            f"`weights='imagenet'`: {SCHEME}{row.repository} has weights of '{variant}' for `{change}`, and with them "
            "this model would give other outputs: give that, too."
        )
    return f"{SCHEME}{row.repository}"
