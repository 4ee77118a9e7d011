"""Batch normalization by one operation, where the backend has one that is faster than Keras' formulation.

Keras takes the moments, then scales and shifts: a dozen operations over the whole batch of images, with as many
temporary tensors. TensorFlow's and PyTorch's fused operations compute the same, and so do their gradients, in less time
and memory. In inference Keras' formulation is fast on TensorFlow and JAX, whose compilers fuse it.
"""

import keras

from keras_blocks.ops import torch_images
from keras_blocks.typing import Tensor


def is_fused(inputs: Tensor, axis: int) -> bool:
    """Whether `fused_batch_norm` can take these inputs."""
    if keras.backend.standardize_dtype(inputs.dtype) == "float64":
        return False
    if torch_images.takes(inputs):
        return axis in (-1, 1, 3) and inputs.numel() > inputs.shape[axis]  # PyTorch has no variance of one pixel
    # TensorFlow's CPU has no other order of axes.
    return keras.backend.backend() == "tensorflow" and len(inputs.shape) == 4 and axis in (-1, 3)


def is_fused_in_inference(inputs: Tensor, axis: int) -> bool:
    """Whether `fused_inference` can take these inputs."""
    return (
        torch_images.takes(inputs) and axis in (-1, 1, 3) and keras.backend.standardize_dtype(inputs.dtype) != "float64"
    )


def fused_batch_norm(
    inputs: Tensor, gamma: Tensor | None, beta: Tensor | None, epsilon: float, axis: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalizes each channel over the batch, the height and the width.

    Args:
        inputs: images, for which `is_fused` holds.
        gamma, beta: float32 scale and shift of each channel; `None` for 1 and 0.
        epsilon: added to the variance.
        axis: of the channels.

    Returns:
        Images; mean and variance of each channel, through which no gradient flows; all float32.
    """
    inputs = keras.ops.cast(inputs, "float32")
    return (_of_torch if torch_images.is_backend() else _of_tensorflow)(inputs, gamma, beta, epsilon, axis)


def fused_inference(
    inputs: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor | None, beta: Tensor | None, epsilon: float, axis: int
) -> Tensor:
    """Images normalized by a given mean and variance of each channel; all float32."""
    import torch

    images = _channels_second(keras.ops.cast(inputs, "float32"), axis)
    # A gradient looks at them later, when a step of training may have moved them. What is traced does not train, and is
    # traced once with gradients and once without, to see that both are the same.
    if torch.is_grad_enabled() and not torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        mean, variance = mean.clone(), variance.clone()
    outputs = torch.nn.functional.batch_norm(images, mean, variance, gamma, beta, eps=epsilon)
    return outputs if axis == 1 else outputs.permute(0, 2, 3, 1)


def _of_torch(
    inputs: Tensor, gamma: Tensor | None, beta: Tensor | None, epsilon: float, axis: int
) -> tuple[Tensor, Tensor, Tensor]:
    import torch

    images = _channels_second(inputs, axis)
    mean, variance = inputs.new_zeros(2, images.shape[1]).unbind()
    # With the momentum 1, what it is given becomes the batch's own.
    outputs = torch.nn.functional.batch_norm(images, mean, variance, gamma, beta, True, 1.0, epsilon)
    count = images.numel() // images.shape[1]
    return outputs if axis == 1 else outputs.permute(0, 2, 3, 1), mean, variance * ((count - 1) / count)


def _channels_second(inputs: Tensor, axis: int) -> Tensor:
    """Images as PyTorch takes them: by a view, which is of its memory format channels_last."""
    return inputs if axis == 1 else torch_images.channels_second(inputs)


def _of_tensorflow(
    inputs: Tensor, gamma: Tensor | None, beta: Tensor | None, epsilon: float, axis: int
) -> tuple[Tensor, Tensor, Tensor]:
    import tensorflow as tf

    shape = (inputs.shape[axis],)
    gamma = tf.ones(shape) if gamma is None else gamma
    beta = tf.zeros(shape) if beta is None else beta
    outputs = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    # It gives the unbiased variance; Keras keeps the mean of the squares.
    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), "float32")
    variance = outputs.batch_variance * (tf.maximum(count - 1, 1) / tf.maximum(count, 1))
    # An operation that does nothing and stays: TensorFlow would else merge this one with the ReLU behind it, and the
    # merged one makes 0 of NaN, so that a training that diverges would not show.
    y = tf.ensure_shape(outputs.y, outputs.y.shape)
    return y, tf.stop_gradient(outputs.batch_mean), tf.stop_gradient(variance)
