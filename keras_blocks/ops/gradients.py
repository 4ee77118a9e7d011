"""The gradient of a function of one tensor, or of variables, on every backend."""

from collections.abc import Callable, Sequence
from typing import Any

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


def gradients_of(number: Callable[..., Tensor], variables: Sequence[keras.Variable]) -> Callable[..., list[Any]]:
    """A function of what `number` takes, that gives that number's gradient with respect to each variable.

    Args:
        number: of tensors, to a number, which depends on the variables.
        variables: trainable or not.

    Returns:
        A function to a list of gradients; of a variable on which the number does not depend it is `None`, or zeros.
    """

    def of_values(values: Sequence[Tensor], *args: Tensor) -> Tensor:
        with keras.StatelessScope(state_mapping=list(zip(variables, values))):
            return number(*args)

    def values() -> list[Tensor]:
        return [variable.value for variable in variables]

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def found(*args: Tensor) -> list[Any]:
            given = [tf.convert_to_tensor(value) for value in values()]
            with tf.GradientTape() as tape:
                tape.watch(given)
                result = of_values(given, *args)
            return list(tape.gradient(result, given))

    elif backend == "jax":
        import jax

        compiled = jax.jit(jax.grad(of_values))

        def found(*args: Tensor) -> list[Any]:
            return list(compiled(values(), *args))

    else:
        import torch

        def found(*args: Tensor) -> list[Any]:
            with torch.enable_grad():
                given = [value.detach().requires_grad_() for value in values()]
                return list(torch.autograd.grad(of_values(given, *args), given, allow_unused=True))

    return found
