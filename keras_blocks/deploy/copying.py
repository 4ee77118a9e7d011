"""A flat model of new layers with the same weights, or of what takes their place."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_blocks.core.freeing import functional
from keras_blocks.core.graphs import replay
from keras_blocks.core.native_layers import natively
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


def config_of(layer: keras.layers.Layer) -> dict[str, Any]:
    """What makes a layer like this one.

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
    return config


def _copied(layer: Any, made: dict[int, Any], *args: Any, **kwargs: Any) -> Any:
    """What a copy of the layer gives, the same one at each of its calls."""
    new = made.get(id(layer))
    if new is None:
        new = made[id(layer)] = natively(type(layer)).from_config(config_of(layer))
        outputs = new(*args, **kwargs)
        if layer.weights:
            new.set_weights(layer.get_weights())
        return outputs
    return new(*args, **kwargs)
