"""Layers made like others: of what their configs tell, and of what these cannot."""

import inspect
import os
import tempfile
from typing import Any

import keras

from keras_blocks.core.graphs import renamed, sublayers
from keras_blocks.core.layer_kinds import LOOKUPS, OF_CODE
from keras_blocks.core.native_layers import natively


def config_of(layer: keras.layers.Layer) -> dict[str, Any]:
    """What makes a layer like this one. Of functions that Keras finds another one for by their name, themselves.

    Raises:
        ValueError: for one that does not tell.
    """
    try:
        config: dict[str, Any] = layer.get_config()
    except NotImplementedError as error:
        raise ValueError(
            f"the layer '{layer.name}' cannot be copied, as {type(layer).__name__} has no `get_config` that tells its "
            "arguments."
        ) from error
    own_values = vars(layer)  # without methods, one of which may be called as an argument is
    functions = {key: own_values.get(key) for key, value in config.items() if isinstance(value, str | dict)}
    lost = {key: own for key, own in functions.items() if inspect.isroutine(own) and not _is_found(config[key], own)}
    return {**config, **lost}


def _is_found(told: Any, function: Any) -> bool:
    """Whether Keras gives this function for what a config tells of it."""
    try:
        return keras.activations.get(told) is function
    except (TypeError, ValueError):
        return False


def like(layer: Any, **arguments: Any) -> Any:
    """A layer like this one, but for some arguments, without its weights; with what it has learned besides them.

    Of what one that is code tells, Keras makes none: without weights, what it is goes along as it is.
    """
    if isinstance(layer, OF_CODE) and not layer.weights and arguments.keys() <= {"dtype"}:
        alike = renamed(layer, layer.name)
        alike.dtype_policy = arguments.get("dtype", layer.dtype_policy)
        return alike
    config = {**config_of(layer), **arguments}
    # In this one's config functions are themselves, and its `from_config` takes them as saved files have them.
    direct = type(layer) is keras.layers.TextVectorization
    made = type(layer)(**config) if direct else natively(type(layer)).from_config(config)
    if isinstance(layer, keras.layers.Layer):  # and no function of `keras.ops`, which a graph has, too
        _taught(made, layer)
    return made


def _taught(copy: Any, layer: Any) -> None:
    """Gives a copy what a layer, or one within, keeps neither in its config nor as weights: vocabularies, assets."""
    if isinstance(layer, LOOKUPS):
        if layer.get_vocabulary(include_special_tokens=False):
            words = layer.get_vocabulary()
            store: dict[str, Any] = {}
            layer.save_own_variables(store)  # what each word weighs in `tf_idf`, with zeros behind for no words
            copy.set_vocabulary(words, *(weights[: len(words)] for weights in store.values()))
    elif hasattr(layer, "save_assets") and not isinstance(layer, keras.layers.TextVectorization):  # it holds a lookup
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            if os.listdir(folder):
                copy.load_assets(folder)
    parts, copies = sublayers(layer), sublayers(copy)
    for part, new in zip(parts, copies) if len(parts) == len(copies) else ():  # else some are made when it is built
        if type(part) is type(new):
            _taught(new, part)


def finalized(layer: Any) -> None:
    """Called once a layer or a model has other weights: `Normalization` within keeps what follows from its own."""
    if layer.weights and hasattr(layer, "finalize_state"):  # without weights, from what its `adapt` has counted
        layer.finalize_state()
    for part in sublayers(layer):
        finalized(part)
