"""Moments of a batch that lies on several devices."""

import functools
from collections.abc import Sequence
from typing import Any

import keras

from keras_blocks.typing import Tensor


def moments_across_devices(inputs: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and variance over these axes, and over all devices that a batch is divided among; gradients flow through.

    On TensorFlow under its strategies; on JAX by a `keras.distribution`, under which an array is the whole batch; on
    PyTorch by the default group of `torch.distributed`, in whose every process this must be called. Keras 3.15 has it
    on TensorFlow alone.

    Args:
        inputs: of any shape.
        axes: that are reduced.

    Example:

    >>> mean, variance = moments_across_devices(keras.ops.array([[1.0], [3.0]]), [0])
    >>> float(mean[0]), float(variance[0])
    (2.0, 1.0)
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        found: tuple[Tensor, Tensor] = keras.ops.moments(inputs, axes, synchronized=True)
        return found
    if backend == "torch":
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            return _of_all_processes(inputs, axes)
    plain: tuple[Tensor, Tensor] = keras.ops.moments(inputs, axes)
    return plain


def _of_all_processes(inputs: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    import torch

    sums = inputs.sum(dim=tuple(axes)), inputs.square().sum(dim=tuple(axes))
    size = sums[0].numel()
    count = inputs.new_full((1,), inputs.numel() / size)
    whole = _summed()(torch.cat([*(part.reshape(-1) for part in sums), count]))
    mean = (whole[:size] / whole[-1]).reshape(sums[0].shape)
    squares = (whole[size : 2 * size] / whole[-1]).reshape(sums[0].shape)
    return mean, squares - mean.square()


@functools.cache
def _summed() -> Any:
    """A function that adds a tensor of all processes, and in its gradient the gradients of all.

    PyTorch's own, in `torch.distributed.nn`, is deprecated.
    """
    import torch
    import torch.distributed as dist

    def added(tensor: Any) -> Any:
        whole = tensor.clone()
        dist.all_reduce(whole)
        return whole

    class Summed(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, tensor: Any) -> Any:
            return added(tensor)

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            return added(gradient)

    return Summed.apply
