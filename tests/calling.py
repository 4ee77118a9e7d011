"""Layers called on arrays: on JAX as one compiled program, where an eager call compiles each operation by itself."""

import importlib.util
import os

import fast_xla
import keras
import numpy as np
from thorough import run_all

JIT = keras.backend.backend() == "jax"
"""For `compile(jit_compile=JIT)`: XLA compiles slowly, but without it Keras trains an operation at a time on JAX, which
has XLA compile each by itself."""

EAGERLY = not JIT and not run_all()
"""For `compile(run_eagerly=EAGERLY)` of what is trained for a step: TensorFlow traces for seconds."""


def light_environment():
    """For a process in which the backend is of no matter: JAX is imported in half the time, where it is installed."""
    if run_all() or importlib.util.find_spec("jax") is None:
        return dict(os.environ)
    return {"XLA_FLAGS": fast_xla.FLAGS, **os.environ, "KERAS_BACKEND": "jax"}


def stateless(layer, variables, values, inputs, **kwargs):
    """The outputs with these values of the variables, and a function from a variable to its value after the call."""
    with keras.StatelessScope(zip(variables, values, strict=True)) as scope:
        return layer(inputs, **kwargs), scope.get_current_value


def _program(layer, inputs, **kwargs):
    """A function of the layer's values and inputs, to its outputs and its state after the call; and these values."""
    if not layer.built:
        layer(keras.tree.map_structure(lambda array: keras.KerasTensor(array.shape, str(array.dtype)), inputs))
    variables, state = layer.variables, layer.non_trainable_variables

    def program(values, inputs):
        outputs, value_of = stateless(layer, variables, values, inputs, **kwargs)
        return outputs, [value_of(variable) for variable in state]

    return program, [variable.value for variable in variables]


def call(layer, inputs, **kwargs):
    """What `layer(inputs, **kwargs)` gives, and does to the layer's state."""
    if keras.backend.backend() != "jax":
        return layer(inputs, **kwargs)
    import jax

    program, values = _program(layer, inputs, **kwargs)
    outputs, after = jax.jit(program)(values, inputs)
    for variable, value in zip(layer.non_trainable_variables, after, strict=True):
        variable.assign(value)
    return outputs


def program(function):
    """The function of arrays, on JAX as one compiled program."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def traced(layer, inputs):
    """What has the shapes and dtypes of `layer(inputs)`, and on JAX no values, as those have to be compiled."""
    if keras.backend.backend() != "jax":
        return layer(inputs)
    import jax

    program, values = _program(layer, inputs)
    return jax.eval_shape(program, values, inputs)[0]


def as_array(outputs):
    """The outputs as one array: several, of a dict, are concatenated along the last axis."""
    found = [np.asarray(keras.ops.convert_to_numpy(output)) for output in keras.tree.flatten(outputs)]
    return found[0] if len(found) == 1 else np.concatenate(found, axis=-1)


def outputs_of(layer, inputs, **kwargs):
    """`as_array` of a `call`."""
    return as_array(call(layer, inputs, **kwargs))
