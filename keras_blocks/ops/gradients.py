"""The gradient of a function of one tensor, on every backend."""

from collections.abc import Callable

import keras

from keras_blocks.typing import Tensor


def value_and_gradient(function: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor) -> tuple[Tensor, Tensor]:
    """What a function gives beside a number, and that number's gradient with respect to its argument.

    Args:
        function: of a tensor, to (a number, a tensor beside it).
        x: the tensor.

    Returns:
        `(beside, gradient)`.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            number, beside = function(x)
        return beside, tape.gradient(number, x)
    if backend == "jax":
        import jax

        gradient, beside = jax.jit(jax.grad(function, has_aux=True))(x)
        return beside, gradient
    import torch

    with torch.enable_grad():
        x = x.detach().requires_grad_()
        number, beside = function(x)
        (gradient,) = torch.autograd.grad(number, [x])
    return beside.detach(), gradient
