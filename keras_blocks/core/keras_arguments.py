"""Checks of arguments that Keras interprets: activations, initializers, regularizers, the data format."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras

from keras_blocks.core.validation import choice
from keras_blocks.typing import DataFormat


def activation(name: str, value: Any) -> Callable[..., Any]:
    """A Keras activation: a function that can be saved by its name, as Keras' own and registered ones can."""
    if isinstance(value, keras.layers.Layer):
        raise TypeError(f"`{name}` must be an activation's name or function, not a layer; received {value!r}.")
    function: Callable[..., Any] = _from_keras(name, value, keras.activations)
    if not _comes_back(function):
        raise ValueError(
            f"`{name}` must be a Keras activation or a function registered with "
            f"keras.saving.register_keras_serializable, or the saved model could not be loaded; received {value!r}."
        )
    return function


def _comes_back(function: Any) -> bool:
    """Whether a config that names the function leads back to it."""
    if getattr(function, "__name__", "<lambda>") == "<lambda>":
        return False
    try:
        return keras.activations.get(keras.activations.serialize(function)) is function
    except (ValueError, TypeError, AttributeError):
        return False


def initializer(name: str, value: Any) -> keras.initializers.Initializer:
    found = _from_keras(name, value, keras.initializers)
    if not isinstance(found, keras.initializers.Initializer):
        raise TypeError(f"`{name}` must be a Keras initializer or its name; received {value!r}.")
    return found


def regularizer(name: str, value: Any) -> keras.regularizers.Regularizer | None:
    if value is None:
        return None
    found = _from_keras(name, value, keras.regularizers)
    if not isinstance(found, keras.regularizers.Regularizer):
        raise TypeError(f"`{name}` must be a Keras regularizer, its name, or None; received {value!r}.")
    return found


def _from_keras(name: str, value: Any, module: ModuleType) -> Any:
    """`module.get(value)`, with an error that names the argument and the nearest names."""
    try:
        return module.get(value)
    except (ValueError, TypeError) as error:
        names = [key for key in dir(module) if key.islower() and key not in ("get", "serialize", "deserialize")]
        if isinstance(value, str):
            choice(name, value, [key for key in names if not key.startswith("_")])
        raise TypeError(f"`{name}` must be a name or an object of {module.__name__}; received {value!r}.") from error


def data_format(name: str, value: Any) -> DataFormat:
    """'channels_last' or 'channels_first'; None means Keras' setting."""
    given = keras.config.image_data_format() if value is None else value
    found: DataFormat = choice(name, given, DataFormat)
    return found
