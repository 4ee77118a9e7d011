"""Batch normalization in training by one operation, where the backend has one that is faster than Keras' formulation.

Keras takes the moments, then scales and shifts: a dozen operations over the whole batch of images, with as many
temporary tensors. TensorFlow's fused operation computes the same, and so does its gradient, in less time and memory.
"""

import keras

from keras_blocks.typing import Tensor


def is_fused(inputs: Tensor, axis: int) -> bool:
    """Whether `fused_batch_norm` can take these inputs."""
    return (
        keras.backend.backend() == "tensorflow"
        and len(inputs.shape) == 4
        and axis in (-1, 3)  # the CPU has no other order
        and keras.backend.standardize_dtype(inputs.dtype) != "float64"
    )


def fused_batch_norm(inputs: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalizes each channel over the batch, the height and the width.

    Args:
        inputs: images, (batch, height, width, channels), for which `is_fused` holds.
        gamma, beta: float32 scale and shift of each channel.
        epsilon: added to the variance.

    Returns:
        Images; mean and variance of each channel, through which no gradient flows; all float32.
    """
    import tensorflow as tf

    inputs = tf.cast(inputs, "float32")
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
