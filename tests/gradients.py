"""The gradient of a mean of squares with respect to a layer's trainable weights, on any backend."""

import keras
import numpy as np
from calling import as_array, stateless


def mean_of_squares(outputs):
    return sum(keras.ops.mean(keras.ops.square(output)) for output in keras.tree.flatten(outputs))


def gradients(layer, inputs, training=True, of=mean_of_squares):
    """A list of arrays, one for each trainable weight; `None` for a weight that the output does not depend on.

    `of` makes a number of the outputs.
    """
    return outputs_and_gradients(layer, inputs, training, of)[1] if layer.trainable_weights else []


def outputs_and_gradients(layer, inputs, training=True, of=mean_of_squares):
    """The outputs of a call, which does to the layer's state what calls do, and the gradients as of `gradients`."""
    backend, weights = keras.backend.backend(), layer.trainable_weights
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            outputs = layer(inputs, training=training)
            loss = of(outputs)
        found = tape.gradient(loss, [weight.value for weight in weights])
    elif backend == "jax":
        import jax

        state = layer.non_trainable_variables

        def loss_of(values):
            outputs, value_of = stateless(layer, weights, values, inputs, training=training)
            return of(outputs), (outputs, [after_call(value_of, variable) for variable in state])

        found, (outputs, after) = jax.jit(jax.grad(loss_of, has_aux=True))([weight.value for weight in weights])
        for variable, value in zip(state, after, strict=True):
            variable.assign(value)
    else:
        import torch

        outputs = layer(inputs, training=training)
        loss = of(outputs)
        found = torch.autograd.grad(loss, [weight.value for weight in weights], allow_unused=True) if weights else []
    return outputs, [None if one is None else np.asarray(keras.ops.convert_to_numpy(one)) for one in found]


def after_call(value_of, variable):
    """The variable's value after a call, which may have left it as it was."""
    value = value_of(variable)
    return variable.value if value is None else value


def input_gradients(layer, inputs):
    """The gradient of the same mean with respect to the inputs."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        inputs = tf.constant(inputs)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = mean_of_squares(layer(inputs))
        found = tape.gradient(loss, inputs)
    elif backend == "jax":
        import jax

        found = jax.jit(jax.grad(lambda x: mean_of_squares(layer(x))))(inputs)
    else:
        import torch

        inputs = torch.tensor(inputs, requires_grad=True)
        loss = mean_of_squares(layer(inputs))
        (found,) = torch.autograd.grad(loss, [inputs])
    return np.asarray(keras.ops.convert_to_numpy(found))


def value_gradient(function, features):
    """The gradient of the sum of what the function gives for the features."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        features = tf.constant(features)
        with tf.GradientTape() as tape:
            tape.watch(features)
            total = tf.reduce_sum(function(features))
        return as_array(tape.gradient(total, features))
    if keras.backend.backend() == "jax":
        import jax

        return as_array(jax.jit(jax.grad(lambda x: function(x).sum()))(features))
    import torch

    features = torch.tensor(features, requires_grad=True)
    return as_array(torch.autograd.grad(function(features).sum(), [features])[0])
