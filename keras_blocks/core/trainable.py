"""`trainable`, said of a layer and of all inside of it, whatever was set there before."""

from typing import Any, TypeVar

import keras

from keras_blocks.core.graphs import sublayers

L = TypeVar("L", bound=type)


def set_trainable(layer: keras.layers.Layer, value: bool) -> None:
    """Sets `trainable` of a layer and of all inside of it.

    TensorFlow does not set an attribute that has the value already, and so Keras does not reach what is inside: a
    model's frozen layers would stay frozen where the model itself is not.
    """
    kind: Any = type(layer)
    kind.trainable.fset(layer, bool(value))
    for part in sublayers(layer):
        set_trainable(part, value)


def trained_whole(cls: L) -> L:
    """Decorates a class of layers: to set its `trainable` is `set_trainable`.

    It is no base: few classes stand between an architecture and Keras.
    """
    owner: Any = cls

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if name == "trainable":
            set_trainable(self, value)
        else:
            super(owner, self).__setattr__(name, value)

    owner.__setattr__ = __setattr__
    return cls
