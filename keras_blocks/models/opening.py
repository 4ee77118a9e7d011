"""A model's graph with its blocks opened: every layer in it is Keras' own."""

from typing import Any

import keras

from keras_blocks.core.block import Block
from keras_blocks.core.graphs import replay
from keras_blocks.typing import Tensor


def opened(model: keras.Model, x: Tensor, training: bool | None = None) -> Tensor:
    """The model's graph applied to `x`, a tensor or several, with blocks, and models within the model, opened.

    `training` is what the graph around it has told the model: it tells its layers.
    """
    told = {} if training is None else {"training": training}

    def open_operation(operation: Any) -> Any:
        if isinstance(operation, Block):
            return lambda inner, **own: operation.expanded(inner, **{**own, **told})
        if isinstance(operation, keras.Sequential | keras.Function):
            return lambda inner, **own: opened(operation, inner, training=told.get("training", own.get("training")))
        if isinstance(operation, keras.layers.Layer):
            return lambda *inner, **own: operation(*inner, **{**own, **told})
        return operation

    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            x = open_operation(layer)(x)
        return x
    return replay(model, keras.tree.flatten(x), open_operation)
