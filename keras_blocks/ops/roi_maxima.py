"""Of each bin, the maximum of its pixels that RoIPool is.

Every bin is covered by four windows whose sides are powers of two. The maxima of all windows of a size are a map, made
of the maps of half the size; a bin is then the maximum of four pixels. There are tables for bins up to the size that
those of boxes within the image have; where one is larger, of a box that reaches far out of the image, all pixels are
looked at.
"""

from typing import Any

import keras
from keras import ops

from keras_blocks.ops import precise
from keras_blocks.typing import Tensor

Bounds = tuple[Tensor, Tensor]
"""First pixel of each bin along an axis, and the one behind its last, int32, (batch, n, bins)."""


def maxima(features: Tensor, rows: Bounds, columns: Bounds) -> Tensor:
    """The maximum of each bin, 0 for one without pixels.

    Args:
        features: (batch, height, width, channels).
        rows, columns: bounds along y and x, within the map.

    Returns:
        (batch, n, bins along y, bins along x, channels).
    """
    height, width = features.shape[1:3]
    if height is None or width is None or isinstance(features, keras.KerasTensor):
        return _by_masks(features, rows, columns)
    down, across = _windows(height, rows[0].shape[2]), _windows(width, columns[0].shape[2])
    fits = ops.logical_and(
        ops.all(rows[1] - rows[0] <= 2 * down[-1]), ops.all(columns[1] - columns[0] <= 2 * across[-1])
    )
    return ops.cond(
        fits,
        lambda: _by_tables(features, rows, columns, down, across),
        lambda: _by_masks(features, rows, columns),
    )


def _windows(pixels: int, bins: int) -> list[int]:
    """Powers of two up to the largest that a bin of a box as large as the map needs."""
    largest = min(-(-(pixels + 2) // bins) + 1, pixels)
    return [2**k for k in range(largest.bit_length()) if 2**k < largest or k == 0]


def _by_tables(features: Tensor, rows: Bounds, columns: Bounds, down: list[int], across: list[int]) -> Tensor:
    batch, height, width, channels = ops.shape(features)
    tables = []
    table = features
    for i, size in enumerate(down):
        if i:
            table = _doubled(table, size // 2, axis=1)
        wide = table
        for j, span in enumerate(across):
            if j:
                wide = _doubled(wide, span // 2, axis=2)
            tables.append(wide)
    pixels = ops.reshape(ops.stack(tables, axis=0), (-1, channels))
    level_y, starts_y = _cover(rows, down)
    level_x, starts_x = _cover(columns, across)
    image = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1, 1, 1))
    table_of_bin = (level_y[:, :, :, None] * len(across) + level_x[:, :, None, :]) * batch + image
    found = None
    for y in starts_y:
        for x in starts_x:
            place = (table_of_bin * height + y[:, :, :, None]) * width + x[:, :, None, :]
            values = ops.take(pixels, place, axis=0)
            found = values if found is None else precise.maximum(found, values)
    empty = ops.logical_or((rows[1] <= rows[0])[:, :, :, None], (columns[1] <= columns[0])[:, :, None, :])
    return ops.where(empty[..., None], ops.zeros_like(found), found)


def _doubled(table: Tensor, size: int, axis: int) -> Tensor:
    """Maxima of windows twice as long as the table's, which are of `size`; those that reach out stay as they are."""
    length = table.shape[axis]
    index: list[Any] = [slice(None)] * 4
    here, there, rest = list(index), list(index), list(index)
    here[axis], there[axis], rest[axis] = slice(0, length - size), slice(size, length), slice(length - size, length)
    both = precise.maximum(table[tuple(here)], table[tuple(there)])
    return ops.concatenate([both, table[tuple(rest)]], axis=axis)


def _cover(bounds: Bounds, windows: list[int]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The number of the largest window within each bin, and the first pixels of the two that cover it."""
    first, behind = bounds
    length = behind - first
    level = ops.zeros_like(length)
    size = ops.ones_like(length)
    for k, window in enumerate(windows[1:], start=1):
        level = ops.where(length >= window, k, level)
        size = ops.where(length >= window, window, size)
    last = ops.maximum(behind - size, 0)
    return level, (ops.minimum(first, last), last)


def _by_masks(features: Tensor, rows: Bounds, columns: Bounds) -> Tensor:
    """All pixels of the map for each bin: first of its rows, then of what is left its columns."""
    height, width = ops.shape(features)[1:3]
    lowest = ops.full_like(features[:, None], -float("inf"))

    def inside(bounds: Bounds, pixels: Any) -> Tensor:
        place = ops.arange(pixels, dtype="int32")
        return ops.logical_and(place >= bounds[0][..., None], place < bounds[1][..., None])

    in_row, in_column = inside(rows, height), inside(columns, width)
    found = []
    for i in range(rows[0].shape[2]):
        strip = ops.max(ops.where(in_row[:, :, i, :, None, None], features[:, None], lowest), axis=2)
        bins = [
            ops.max(ops.where(in_column[:, :, j, :, None], strip, lowest[:, :, 0]), axis=2)
            for j in range(columns[0].shape[2])
        ]
        found.append(ops.stack(bins, axis=2))
    outputs = ops.stack(found, axis=2)
    return ops.where(outputs == -float("inf"), ops.zeros_like(outputs), outputs)
