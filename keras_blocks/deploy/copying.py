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

HALF = ("float16", "bfloat16")


def in_float32(model: keras.Model) -> keras.Model:
    """The flat model, or where layers compute in 16 bits, one of the same weights in which they do in 32."""
    return rebuilt(model, {}, model.name, widened=True) if any(map(_is_half, model.layers)) else model


def _is_half(layer: Any) -> bool:
    """Whether a layer with weights in 32 bits, as of mixed precision, computes in 16."""
    policy = layer.dtype_policy
    return policy.compute_dtype in HALF and policy.variable_dtype == "float32"


def rebuilt(graph: keras.Model, changes: Mapping[int, Change], name: str, widened: bool = False) -> keras.Model:
    """The graph of copies of its layers, but for those by whose identity there is a change; see `in_float32`."""
    made: dict[int, Any] = {}

    def each(operation: Any) -> Any:
        if id(operation) in changes:
            return changes[id(operation)]
        if isinstance(operation, keras.layers.Layer):
            own = {"dtype": "float32"} if widened and _is_half(operation) else {}
            return lambda *args, **kwargs: _copied(operation, own, made, *args, **kwargs)
        return operation

    inputs = inputs_of(graph)
    return functional(inputs, replay(graph, keras.tree.flatten(inputs), each), name)


def _copied(layer: Any, own: Mapping[str, Any], made: dict[int, Any], *args: Any, **kwargs: Any) -> Any:
    """What a copy of the layer, but for these arguments, gives, the same one at each of its calls."""
    new = made.get(id(layer))
    if new is None:
        new = made[id(layer)] = like(layer, **own)
        outputs = new(*args, **kwargs)
        if layer.weights:
            new.set_weights(layer.get_weights())
            finalized(new)
        return outputs
    return new(*args, **kwargs)
