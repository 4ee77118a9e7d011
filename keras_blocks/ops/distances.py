"""Distances between vectors, with gradients that stay finite where two vectors are equal, or one is zero."""

from keras import ops

from keras_blocks.typing import Tensor

SMALLEST = 1e-12
"""Squared lengths below this count as zero."""


def l1_distance(a: Tensor, b: Tensor) -> Tensor:
    """Sum of the components' absolute differences, over the last axis, which is kept with size 1."""
    return ops.sum(ops.abs(a - b), axis=-1, keepdims=True)


def l2_distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distance over the last axis, which is kept with size 1. Between equal vectors its gradient is 0."""
    return root(ops.sum(ops.square(a - b), axis=-1, keepdims=True))


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 minus the cosine of the angle, over the last axis, which is kept with size 1; 1 where a vector is zero."""
    return 1.0 - ops.sum(direction(a) * direction(b), axis=-1, keepdims=True)


def squared_distances(x: Tensor) -> Tensor:
    """Squared Euclidean distances of all rows to all: (rows, rows), zero on the diagonal, never below zero."""
    lengths = ops.sum(ops.square(x), axis=-1)
    squared = lengths[:, None] + lengths[None, :] - 2.0 * ops.matmul(x, ops.transpose(x))
    return ops.maximum(squared, 0.0)


def root(squared: Tensor) -> Tensor:
    """The square root, with a gradient of 0 instead of infinity at 0."""
    positive = squared > SMALLEST
    return ops.where(positive, ops.sqrt(ops.where(positive, squared, 1.0)), 0.0)


def direction(x: Tensor) -> Tensor:
    """Vectors scaled to length 1; the zero vector stays zero, with a gradient of 0."""
    squared = ops.sum(ops.square(x), axis=-1, keepdims=True)
    positive = squared > SMALLEST
    return ops.where(positive, x * ops.rsqrt(ops.where(positive, squared, 1.0)), 0.0)


DISTANCE_FUNCTIONS = {"l1": l1_distance, "l2": l2_distance, "cosine": cosine_distance}
