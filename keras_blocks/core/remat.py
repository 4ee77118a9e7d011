"""Rematerialization: inner activations are computed again in the backward pass, rather than kept."""

import contextvars
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_blocks.typing import Tensor

_ACTIVE = contextvars.ContextVar("rematerializing", default=False)


def rematerialized(layers: Sequence[keras.layers.Layer], function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """`function(*inputs)`, of whose computation the backward pass keeps `inputs` alone.

    Whatever the computation assigns, such as BatchNormalization's moving statistics and the state of random draws, is
    assigned once a step, and the second run sees the state that the first one saw. Inside of another rematerialized
    computation, which is run again as a whole, it is just `function(*inputs)`.

    Args:
        layers: the layers whose weights, and no others, `function` uses.
        function: takes tensors and returns one.
        *inputs: tensors.
    """
    if _ACTIVE.get():
        return function(*inputs)
    trainable = [variable for layer in layers for variable in layer.trainable_variables]
    state = [variable for layer in layers for variable in layer.non_trainable_variables]
    before = [keras.ops.copy(_tensor(variable)) for variable in state]  # PyTorch assigns in place
    assigned: list[Any] = []

    # Backends know what to differentiate by the arguments, so trainable variables are passed as tensors.
    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        values = tensors[len(inputs) :]
        token = _ACTIVE.set(True)
        try:
            with keras.StatelessScope(state_mapping=[*zip(trainable, values), *zip(state, before)]) as scope:
                output = function(*tensors[: len(inputs)])
        finally:
            _ACTIVE.reset(token)
        after = [(variable, scope.get_current_value(variable)) for variable in state]
        changed = [(variable, new) for (variable, new), old in zip(after, before) if new is not old]
        assigned[:] = [variable for variable, _ in changed]
        return output, *(keras.ops.stop_gradient(new) for _, new in changed)

    output, *updates = keras.remat(run)(*inputs, *map(_tensor, trainable))
    for variable, new in zip(assigned, updates):
        variable.assign(new)
    return output


def is_rematerializing() -> bool:
    """Whether what is computed now is computed again in the backward pass, which must keep the same tensors."""
    return _ACTIVE.get()


def _tensor(variable: Any) -> Tensor:
    """The variable's value. TensorFlow's `convert_to_tensor` would give the variable itself."""
    return keras.ops.reshape(variable, variable.shape)
