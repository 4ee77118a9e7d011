"""What of a model is trained: each call says so of all its layers, whatever was set before."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_blocks.core import validation
from keras_blocks.core.trainable import set_trainable


def train_all_but(model: keras.Model, frozen: Iterable[keras.layers.Layer]) -> None:
    """Thaws the model, but for these layers, which are frozen."""
    set_trainable(model, True)
    for layer in frozen:
        set_trainable(layer, False)


def feature_name(argument: str, value: Any, names: tuple[str, ...], model: keras.Model) -> str:
    """One of the feature maps' names, checked; `None` is the last."""
    if not names:
        raise ValueError(
            f"`{argument}` names a feature map, and the model '{model.name}' has none: note them in its parts by "
            "`self.feature(name, x)`, or set `trainable` of its layers, `model.get_layer(name).trainable = False`."
        )
    return names[-1] if value is None else str(validation.choice(argument, value, names))
