"""Of each bin, the weighted sum of pixels that RoIAlign is, by the formulation that is fastest.

| backend | where | formulation |
|---|---|---|
| TensorFlow | outside of XLA, but for float64 | `crop_and_resize` of a map with a border, and a pooling |
| PyTorch | but in exported files | `embedding_bag` |
| JAX | everywhere; TensorFlow in XLA and in float64; files from PyTorch | a gather for each of a bin's pixels, summed |
| JAX | gradients on a CPU, of maps of up to 4,096 pixels | products of matrices |

XLA scatters rows one by one on a CPU, which is what the gradient of a gather is: 100 times slower than the products.
"""

from typing import Any

import keras
from keras import ops

from keras_blocks.ops import precise
from keras_blocks.ops.grouped_conv import in_xla, on_accelerator
from keras_blocks.ops.written import is_written
from keras_blocks.typing import Tensor

FEW_PIXELS = 4096
"""Products of matrices look at all pixels of the map for each bin."""

Points = tuple[Tensor, Tensor]
"""Positions in pixels of the map along y and x, (batch, n, bins * sampling_ratio)."""


def means(features: Tensor, points: Points, sampling_ratio: int) -> Tensor:
    """The mean of each bin's points, interpolated.

    Args:
        features: (batch, height, width, channels), float32 or float64.
        points: in the same dtype.
        sampling_ratio: points of a bin along each side.

    Returns:
        (batch, n, bins along y, bins along x, channels).
    """
    backend = keras.backend.backend()
    symbolic = isinstance(features, keras.KerasTensor)
    if backend == "tensorflow" and not symbolic and features.dtype != "float64" and not in_xla():
        return _by_crops(features, points, sampling_ratio)
    if backend == "torch" and not symbolic and not is_written():
        return _by_bags(features, points, sampling_ratio)
    if backend == "jax" and not symbolic and not on_accelerator() and _pixels(features) <= FEW_PIXELS:
        return _with_gradient_by_products(features, points, sampling_ratio)
    return _by_gathers(features, points, sampling_ratio)


def _pixels(features: Tensor) -> int:
    return int(features.shape[1] * features.shape[2])


def _inside(points: Tensor, pixels: Any) -> tuple[Tensor, Tensor]:
    """The points moved into the map, and which of them count: those at most a pixel outside. NaN is outside."""
    inside = ops.logical_and(points >= -1.0, points <= ops.cast(pixels, points.dtype))
    points = ops.where(inside, points, ops.zeros_like(points))
    return precise.minimum(precise.maximum(points, 0.0), ops.cast(pixels - 1, points.dtype)), inside


def _taps(points: Tensor, pixels: Any, sampling_ratio: int) -> tuple[Tensor, Tensor]:
    """The pixels along an axis that a bin looks at, two for each point, and their weights: (batch, n, bins, taps)."""
    points, inside = _inside(points, pixels)
    low = precise.floor(points)
    share = points - low
    high = precise.minimum(low + 1.0, ops.cast(pixels - 1, points.dtype))
    weights = ops.stack([1.0 - share, share], axis=-1) / sampling_ratio
    weights = ops.where(inside[..., None], weights, ops.zeros_like(weights))
    places = ops.cast(ops.stack([low, high], axis=-1), "int32")
    batch, n, count = ops.shape(points)
    shape = (batch, n, count // sampling_ratio, 2 * sampling_ratio)
    return ops.reshape(places, shape), ops.reshape(weights, shape)


def _places_and_weights(features: Tensor, points: Points, sampling_ratio: int) -> tuple[Tensor, Tensor]:
    """For each bin, the rows of all images' pixels, (batch * height * width, channels), that it looks at, and weights.

    Both are (batch * n * bins along y * bins along x, pixels of a bin).
    """
    batch, height, width, _ = ops.shape(features)
    rows, row_weights = _taps(points[0], height, sampling_ratio)
    columns, column_weights = _taps(points[1], width, sampling_ratio)
    image = ops.reshape(ops.arange(batch, dtype="int32") * (height * width), (-1, 1, 1, 1, 1, 1))
    places = image + rows[:, :, :, None, :, None] * width + columns[:, :, None, :, None, :]
    weights = row_weights[:, :, :, None, :, None] * column_weights[:, :, None, :, None, :]
    taps = (2 * sampling_ratio) ** 2
    return ops.reshape(places, (-1, taps)), ops.reshape(weights, (-1, taps))


def _as_bins(rows: Tensor, features: Tensor, points: Points, sampling_ratio: int) -> Tensor:
    batch, n, down = ops.shape(points[0])
    across = points[1].shape[2]
    return ops.reshape(rows, (batch, n, down // sampling_ratio, across // sampling_ratio, features.shape[3]))


def _by_gathers(features: Tensor, points: Points, sampling_ratio: int) -> Tensor:
    places, weights = _places_and_weights(features, points, sampling_ratio)
    pixels = ops.reshape(features, (-1, features.shape[3]))
    total: Any = 0.0
    for tap in range((2 * sampling_ratio) ** 2):
        total = total + weights[:, tap, None] * ops.take(pixels, places[:, tap], axis=0)
    return _as_bins(total, features, points, sampling_ratio)


def _by_bags(features: Tensor, points: Points, sampling_ratio: int) -> Tensor:
    import torch

    places, weights = _places_and_weights(features, points, sampling_ratio)
    pixels = features.reshape(-1, features.shape[3])
    rows = torch.nn.functional.embedding_bag(places, pixels, per_sample_weights=weights, mode="sum")
    return _as_bins(rows, features, points, sampling_ratio)


def _by_crops(features: Tensor, points: Points, sampling_ratio: int) -> Tensor:
    """All points of a box are a crop of the map, with a border of one pixel that repeats its outermost ones."""
    import tensorflow as tf

    size = tf.shape(features)[1:3]
    # What is outside by more than a pixel is outside of the padded map, too, and 0.
    padded = tf.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    corners = []
    for end in (0, -1):
        for axis in (0, 1):
            corners.append((points[axis][..., end] + 1.0) / tf.cast(size[axis] + 1, "float32"))
    batch, n = tf.shape(points[0])[0], tf.shape(points[0])[1]
    down, across = points[0].shape[2], points[1].shape[2]
    crops = tf.image.crop_and_resize(
        padded, tf.reshape(tf.stack(corners, axis=-1), (-1, 4)), tf.repeat(tf.range(batch), n), (down, across)
    )
    bins = tf.nn.avg_pool2d(crops, sampling_ratio, sampling_ratio, "VALID") if sampling_ratio > 1 else crops
    return _as_bins(bins, features, points, sampling_ratio)


def _with_gradient_by_products(features: Tensor, points: Points, sampling_ratio: int) -> Tensor:
    import jax

    @jax.custom_vjp
    def sample(features: Tensor) -> Tensor:
        return _by_gathers(features, points, sampling_ratio)

    def forward(features: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        # The weights are residuals, which a transformation finds; what is closed over it does not.
        return sample(features), (
            _interpolation(points[0], features.shape[1], sampling_ratio),
            _interpolation(points[1], features.shape[2], sampling_ratio),
        )

    def backward(weights: tuple[Tensor, ...], gradient: Tensor) -> tuple[Tensor]:
        rows, columns = weights
        along_x = ops.einsum("bnpqc,bnph->bnqhc", gradient, rows)
        return (ops.einsum("bnqhc,bnqw->bhwc", along_x, columns),)

    sample.defvjp(forward, backward)
    return sample(features)


def _interpolation(points: Tensor, pixels: Any, sampling_ratio: int) -> Tensor:
    """How much each pixel along an axis counts in each bin, (batch, n, bins, pixels)."""
    points, inside = _inside(points, pixels)
    distance = ops.abs(points[..., None] - ops.arange(pixels, dtype=points.dtype))
    weights = ops.where(inside[..., None], precise.maximum(1.0 - distance, 0.0), 0.0)
    batch, n, count, pixels = ops.shape(weights)
    weights = ops.reshape(weights, (batch, n, count // sampling_ratio, sampling_ratio, pixels))
    return ops.sum(weights, axis=3) / sampling_ratio
