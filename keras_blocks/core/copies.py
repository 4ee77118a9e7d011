"""Layers made like others: of what their configs tell, and of what these cannot."""

import inspect
from typing import Any

import keras

from keras_blocks.core.graphs import renamed, sublayers
from keras_blocks.core.layer_kinds import OF_CODE
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
    """A layer like this one, but for some arguments, without its weights.

    Of what one that is code tells, Keras makes none: without weights, what it is goes along as it is.
    """
    if isinstance(layer, OF_CODE) and not layer.weights and arguments.keys() <= {"dtype"}:
        alike = renamed(layer, layer.name)
        alike.dtype_policy = arguments.get("dtype", layer.dtype_policy)
        return alike
    return natively(type(layer)).from_config({**config_of(layer), **arguments})


def finalized(layer: Any) -> None:
    """Called once a layer or a model has other weights: `Normalization` within keeps what follows from its own."""
    if layer.weights and hasattr(layer, "finalize_state"):  # without weights, from what its `adapt` has counted
        layer.finalize_state()
    for part in sublayers(layer):
        finalized(part)
