"""The gradient of a mean of squares with respect to a layer's trainable weights, on any backend."""

import keras
import numpy as np
from calling import stateless


def mean_of_squares(outputs):
    return sum(keras.ops.mean(keras.ops.square(output)) for output in keras.tree.flatten(outputs))


def gradients(layer, inputs, training=True, of=mean_of_squares):
    """A list of arrays, one for each trainable weight; `None` for a weight that the output does not depend on.

    `of` makes a number of the outputs.
    """
    if not layer.trainable_weights:
        return []
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = of(layer(inputs, training=training))
        found = tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
    elif backend == "jax":
        import jax

        def loss_of(values):
            outputs, _ = stateless(layer, layer.trainable_weights, values, inputs, training=training)
            return of(outputs)

        found = jax.jit(jax.grad(loss_of))([weight.value for weight in layer.trainable_weights])
    else:
        import torch

        loss = of(layer(inputs, training=training))
        found = torch.autograd.grad(loss, [weight.value for weight in layer.trainable_weights], allow_unused=True)
    return [None if one is None else np.asarray(keras.ops.convert_to_numpy(one)) for one in found]


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
