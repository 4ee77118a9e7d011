"""A flat model of new layers with the same weights, or of what takes their place."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_blocks.core.copies import finalized, like
from keras_blocks.core.freeing import functional
from keras_blocks.core.graphs import replay
from keras_blocks.look.expanding import inputs_of

Change = Callable[..., Any]
"""What is called in place of a layer."""


def rebuilt(graph: keras.Model, changes: Mapping[int, Change], name: str) -> keras.Model:
    """The graph of copies of its layers, but for those by whose identity there is a change."""
    made: dict[int, Any] = {}

    def each(operation: Any) -> Any:
        if id(operation) in changes:
            return changes[id(operation)]
        if isinstance(operation, keras.layers.Layer):
            return lambda *args, **kwargs: _copied(operation, made, *args, **kwargs)
        return operation

    inputs = inputs_of(graph)
    return functional(inputs, replay(graph, keras.tree.flatten(inputs), each), name)


def _copied(layer: Any, made: dict[int, Any], *args: Any, **kwargs: Any) -> Any:
    """What a copy of the layer gives, the same one at each of its calls."""
    new = made.get(id(layer))
    if new is None:
        new = made[id(layer)] = like(layer)
        outputs = new(*args, **kwargs)
        if layer.weights:
            new.set_weights(layer.get_weights())
            finalized(new)
        return outputs
    return new(*args, **kwargs)
