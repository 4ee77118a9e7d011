"""Layers called on arrays: on JAX as one compiled program, where an eager call compiles each operation by itself."""

import keras
import numpy as np
from thorough import run_all

JIT = keras.backend.backend() == "jax"
"""For `compile(jit_compile=JIT)`: XLA compiles slowly, but without it Keras trains an operation at a time on JAX, which
has XLA compile each by itself."""

EAGERLY = not JIT and not run_all()
"""For `compile(run_eagerly=EAGERLY)` of what is trained for a step: TensorFlow traces for seconds."""


def stateless(layer, variables, values, inputs, **kwargs):
    """The outputs with these values of the variables, and a function from a variable to its value after the call."""
    with keras.StatelessScope(zip(variables, values, strict=True)) as scope:
        return layer(inputs, **kwargs), scope.get_current_value


def call(layer, inputs, **kwargs):
    """What `layer(inputs, **kwargs)` gives, and does to the layer's state."""
    if keras.backend.backend() != "jax":
        return layer(inputs, **kwargs)
    import jax

    if not layer.built:
        layer(keras.tree.map_structure(lambda array: keras.KerasTensor(array.shape, str(array.dtype)), inputs))
    variables, state = layer.variables, layer.non_trainable_variables

    def program(values, inputs):
        outputs, value_of = stateless(layer, variables, values, inputs, **kwargs)
        return outputs, [value_of(variable) for variable in state]

    outputs, after = jax.jit(program)([variable.value for variable in variables], inputs)
    for variable, value in zip(state, after, strict=True):
        variable.assign(value)
    return outputs


def program(function):
    """The function of arrays, on JAX as one compiled program."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def as_array(outputs):
    """The outputs as one array: several, of a dict, are concatenated along the last axis."""
    found = [np.asarray(keras.ops.convert_to_numpy(output)) for output in keras.tree.flatten(outputs)]
    return found[0] if len(found) == 1 else np.concatenate(found, axis=-1)


def outputs_of(layer, inputs, **kwargs):
    """`as_array` of a `call`."""
    return as_array(call(layer, inputs, **kwargs))
