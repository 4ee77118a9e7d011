"""Checks of arguments that Keras interprets: activations, initializers, regularizers, the data format."""

import keras

from keras_blocks.core import validation


def activation(name, value):
    """A Keras activation: a function that can be saved by its name, as Keras' own and registered ones can."""
    if isinstance(value, keras.layers.Layer):
        raise TypeError(f"`{name}` must be an activation's name or function, not a layer; received {value!r}.")
    function = _from_keras(name, value, keras.activations)
    if not _comes_back(function):
        raise ValueError(
            f"`{name}` must be a Keras activation or a function registered with "
            f"keras.saving.register_keras_serializable, or the saved model could not be loaded; received {value!r}."
        )
    return function


def _comes_back(function):
    """Whether a config that names the function leads back to it."""
    if getattr(function, "__name__", "<lambda>") == "<lambda>":
        return False
    try:
        return keras.activations.get(keras.activations.serialize(function)) is function
    except (ValueError, TypeError, AttributeError):
        return False


def initializer(name, value):
    found = _from_keras(name, value, keras.initializers)
    if not isinstance(found, keras.initializers.Initializer):
        raise TypeError(f"`{name}` must be a Keras initializer or its name; received {value!r}.")
    return found


def regularizer(name, value):
    if value is None:
        return None
    found = _from_keras(name, value, keras.regularizers)
    if not isinstance(found, keras.regularizers.Regularizer):
        raise TypeError(f"`{name}` must be a Keras regularizer, its name, or None; received {value!r}.")
    return found


def _from_keras(name, value, module):
    """`module.get(value)`, with an error that names the argument and the nearest names."""
    try:
        return module.get(value)
    except (ValueError, TypeError) as error:
        names = [key for key in dir(module) if key.islower() and key not in ("get", "serialize", "deserialize")]
        if isinstance(value, str):
            validation.choice(name, value, [key for key in names if not key.startswith("_")])
        raise TypeError(f"`{name}` must be a name or an object of {module.__name__}; received {value!r}.") from error


def data_format(name, value):
    """'channels_last' or 'channels_first'; None means Keras' setting."""
    if value is None:
        return keras.config.image_data_format()
    return validation.choice(name, value, ("channels_last", "channels_first"))
