"""Layers called on arrays: on JAX as one compiled program, where an eager call compiles each operation by itself."""

import inspect

import keras
import numpy as np


def stateless(layer, trainable, others, inputs, **kwargs):
    """`layer.stateless_call`, which by itself tells a layer even what its `call` does not take, such as `training`."""
    known = inspect.signature(layer.call).parameters
    told = {name: value for name, value in kwargs.items() if name in known or "kwargs" in known}
    return layer.stateless_call(trainable, others, inputs, **told)


def call(layer, inputs, **kwargs):
    """What `layer(inputs, **kwargs)` gives, and does to the layer's state."""
    if keras.backend.backend() != "jax" or not layer.built:
        return layer(inputs, **kwargs)
    import jax

    def program(trainable, others, inputs):
        return stateless(layer, trainable, others, inputs, **kwargs)

    trainable, others = (
        [one.value for one in kind] for kind in (layer.trainable_variables, layer.non_trainable_variables)
    )
    outputs, state = jax.jit(program)(trainable, others, inputs)
    for variable, value in zip(layer.non_trainable_variables, state, strict=True):
        variable.assign(value)
    return outputs


def as_array(outputs):
    """The outputs as one array: several, of a dict, are concatenated along the last axis."""
    found = [np.asarray(keras.ops.convert_to_numpy(output)) for output in keras.tree.flatten(outputs)]
    return found[0] if len(found) == 1 else np.concatenate(found, axis=-1)


def outputs_of(layer, inputs, **kwargs):
    """`as_array` of a `call`."""
    return as_array(call(layer, inputs, **kwargs))
