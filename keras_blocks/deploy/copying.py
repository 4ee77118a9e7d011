"""A flat model of new layers with the same weights, or of what takes their place."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_blocks.core.copies import finalized, like
from keras_blocks.core.freeing import functional
from keras_blocks.core.graphs import all_layers, replay
from keras_blocks.look.expanding import inputs_of

Change = Callable[..., Any]
"""What is called in place of a layer."""

HALF = ("float16", "bfloat16")


def in_float32(model: keras.Model) -> keras.Model:
    """The flat model, or where layers compute in 16 bits, one of the same weights in which they do in 32."""
    parts = [part for layer in model.layers for part in all_layers(layer)]
    return rebuilt(model, {}, model.name, widened=True) if any(map(_is_half, parts)) else model


def _is_half(layer: Any) -> bool:
    """Whether a layer with weights in 32 bits, as of mixed precision, computes in 16."""
    policy = layer.dtype_policy
    return policy.compute_dtype in HALF and policy.variable_dtype == "float32"


def _in_32_bits(layer: Any) -> str:
    """The policy of a layer like this one in 32 bits, quantized as it is: "int8_from_mixed_float16" tells of both."""
    quantized, *_ = layer.dtype_policy.name.rpartition("_from_")
    return f"{quantized}_from_float32" if quantized else "float32"


def rebuilt(graph: keras.Model, changes: Mapping[int, Change], name: str, widened: bool = False) -> keras.Model:
    """The graph of copies of its layers, but for those by whose identity there is a change; see `in_float32`."""
    made: dict[int, Any] = {}

    def each(operation: Any) -> Any:
        if id(operation) in changes:
            return changes[id(operation)]
        if isinstance(operation, keras.layers.Layer):
            return lambda *args, **kwargs: _copied(operation, widened, made, *args, **kwargs)
        return operation

    inputs = inputs_of(graph)
    return functional(inputs, replay(graph, keras.tree.flatten(inputs), each), name)


def _copied(layer: Any, widened: bool, made: dict[int, Any], *args: Any, **kwargs: Any) -> Any:
    """What a copy of the layer gives, the same one at each of its calls; see `in_float32`."""
    new = made.get(id(layer))
    if new is None:
        own = {"dtype": _in_32_bits(layer)} if widened and _is_half(layer) else {}
        new = made[id(layer)] = like(layer, **own)
        for part in filter(_is_half, all_layers(new)) if widened else ():  # such as the layer in a wrapper
            part.dtype_policy = _in_32_bits(part)
        outputs = new(*args, **kwargs)
        for part, old in zip(all_layers(new), all_layers(layer)):  # what `quantize` has changed in attention
            if old.quantization_mode and not part.quantization_mode:
                part.quantize(old.quantization_mode)
        if layer.weights:
            new.set_weights(layer.get_weights())
            finalized(new)
        return outputs
    return new(*args, **kwargs)
