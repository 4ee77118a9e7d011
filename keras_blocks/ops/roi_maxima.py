"""Of each bin, the maximum of its pixels that RoIPool is.

Every bin is covered by four windows whose sides are powers of two. The maxima of all windows of a size are a map, made
of the maps of half the size; a bin is then the maximum of four pixels. There are maps for bins up to the size that
those of boxes within the image have; where one is larger, of a box that reaches far out of the image, there are more.
TensorFlow's graph leaves those empty that no bin needs.
"""

import functools
from typing import Any

import keras
from keras import ops

from keras_blocks.ops import roi_bags, roi_windows
from keras_blocks.ops.casting import wide
from keras_blocks.ops.grouped_conv import in_xla
from keras_blocks.ops.written import is_for_another_runtime, is_written
from keras_blocks.typing import Tensor

Bounds = tuple[Tensor, Tensor]
"""First pixel of each bin along an axis, and the one behind its last, int32, (batch, n, bins)."""

USUAL, MOST = 32, 256
"""Pixels of a bin along an axis for which there are maps where the size of the features is not known before: of most,
and under XLA, where a larger one makes the result NaN.
"""


def maxima(features: Tensor, rows: Bounds, columns: Bounds) -> Tensor:
    """The maximum of each bin, 0 for one without pixels.

    Args:
        features: (batch, height, width, channels).
        rows, columns: bounds along y and x, within the map.

    Returns:
        (batch, n, bins along y, bins along x, channels).
    """
    if isinstance(features, keras.KerasTensor):
        return _by_masks(features, rows, columns)
    if is_written():  # for boxes of any size, which are not known here
        return _by_tables(features, rows, columns, [_windows(size) for size in _shape(features)[1:3]])
    if keras.backend.backend() == "torch" and roi_bags.fits(features, rows, columns):
        return roi_bags.maxima(features, rows, columns)
    axes = [(size, of[0].shape[2]) for size, of in zip(features.shape[1:3], (rows, columns))]
    unknown = None in features.shape[1:3]
    if unknown and keras.backend.backend() == "tensorflow" and in_xla():
        # Maps of windows larger than the map are empty, which XLA knows; it does not know which of two ways is taken.
        some = [_windows(MOST)] * 2
        return ops.where(_fit((rows, columns), some), _by_tables(features, rows, columns, some), float("nan"))
    some = [_windows(USUAL if size is None else _largest(size, bins)) for size, bins in axes]
    every = [_windows(MOST if size is None else size) for size, _ in axes]
    if some == every:
        return _by_tables(features, rows, columns, every)
    return ops.cond(
        _fit((rows, columns), some),
        lambda: _by_tables(features, rows, columns, some),
        # Whatever is compiled has room for what both ways need, so that this one must not take much more.
        lambda: _box_by_box(features, rows, columns) if unknown else _by_tables(features, rows, columns, every),
    )


def _largest(pixels: int, bins: int) -> int:
    """Pixels of the largest bin of a box that lies within the map."""
    return int(min(-(-(pixels + 2) // bins) + 1, pixels))


def _fit(bounds: tuple[Bounds, Bounds], windows: list[list[int]]) -> Tensor:
    """Whether two windows cover each bin."""
    return ops.logical_and(*(ops.all(of[1] - of[0] <= 2 * sizes[-1]) for of, sizes in zip(bounds, windows)))


def _windows(pixels: int) -> list[int]:
    """Powers of two, of which two cover every bin of up to so many pixels."""
    return [2**k for k in range(pixels.bit_length()) if 2**k < pixels or k == 0]


def _as_needed() -> bool:
    """Whether shapes may follow from values."""
    return keras.backend.backend() == "tensorflow" and not in_xla()


def _by_tables(features: Tensor, rows: Bounds, columns: Bounds, windows: list[list[int]]) -> Tensor:
    sizes = _shape(features)
    counts = [_counts(*axis) for axis in zip(sizes[1:3], (rows, columns), windows)]
    places = _places(sizes, rows, columns, windows, counts)
    shape = (*ops.shape(places[0]), ops.shape(features)[3])
    if _as_needed() and not is_for_another_runtime():  # onnxruntime puts rows in order number by number
        flat = [ops.reshape(place, (-1,)) for place in places]
        found = roi_windows.maxima(lambda x: _tables(x, counts), _joined, features, flat)
        return ops.reshape(found, shape)
    pixels = _joined(_tables(features, counts))
    if keras.backend.backend() == "jax":
        return _largest_in_jax(pixels, places)
    return functools.reduce(_larger, [ops.take(pixels, place, axis=0) for place in places])


def _largest_in_jax(pixels: Tensor, places: list[Tensor]) -> Tensor:
    """The largest of the rows at four places, with a gradient of which one at a time is added to a single sum.

    JAX's own makes a sum of each, and halves what it sends to two that are equal; here the first has all of it.
    """
    import jax

    shape, dtype = pixels.shape, pixels.dtype

    def largest(values: list[Tensor]) -> Tensor:
        return functools.reduce(jax.numpy.maximum, values)

    @jax.custom_vjp
    def look_up(pixels: Tensor, places: list[Tensor]) -> Tensor:
        return largest([pixels[place] for place in places])

    def forward(pixels: Tensor, places: list[Tensor]) -> tuple[Tensor, tuple[Tensor, list[Tensor]]]:
        values = [pixels[place] for place in places]
        which = jax.numpy.argmax(jax.numpy.stack(values), axis=0).astype("int8")
        return largest(values), (which, places)

    def backward(found: tuple[Tensor, list[Tensor]], gradient: Tensor) -> tuple[Tensor, list[None]]:
        which, places = found
        total = jax.numpy.zeros(shape, wide(str(dtype)))  # sums of many, also of 16 bits
        for i, place in enumerate(places):
            total = total.at[place].add(jax.numpy.where(which == i, gradient, 0))
        return total.astype(dtype), [None] * len(places)

    look_up.defvjp(forward, backward)
    return look_up(pixels, places)


def _shape(features: Tensor) -> tuple[Any, ...]:
    """What is known of the shape by numbers, that of maps in PyTorch's traces, too, where all sizes are tensors."""
    batch, height, width, channels = ops.shape(features)
    return (batch, int(height), int(width), channels) if is_written() else (batch, height, width, channels)


def _counts(pixels: Any, bounds: Bounds, windows: list[int]) -> list[Any]:
    """How many windows of each size there are along an axis: of those that no bin needs none, where that may be."""
    counts = [_left(pixels, size) for size in windows]
    if not _as_needed():
        return counts
    longest = ops.max(bounds[1] - bounds[0])
    return [counts[0], *(ops.where(longest > size, count, 0) for size, count in zip(windows[1:], counts[1:]))]


def _tables(features: Tensor, counts: list[list[Any]]) -> list[list[Tensor]]:
    """Maxima of all windows of each size: a row for each height, in which there is one for each width."""
    rows: list[list[Tensor]] = []
    for i, down in enumerate(counts[0]):
        row = [_doubled(rows[-1][0], down, axis=1) if i else features]
        for across in counts[1][1:]:
            row.append(_doubled(row[-1], across, axis=2))
        rows.append(row)
    return rows


def _joined(tables: list[list[Tensor]]) -> Tensor:
    """The pixels of all tables, and one of zeros: what is no bin is 0."""
    channels = ops.shape(tables[0][0])[3]
    pixels = [ops.reshape(table, (-1, channels)) for row in tables for table in row]
    # Reshaped, TensorFlow's gradient is summed up once, and not for each part by itself.
    return ops.reshape(ops.concatenate([*pixels, ops.zeros_like(pixels[0][:1])], axis=0), (-1, channels))


def _places(
    shape: Any, rows: Bounds, columns: Bounds, windows: list[list[int]], counts: list[list[Any]]
) -> list[Tensor]:
    """Which rows of the joined tables hold the four windows of each bin, from above left to below right."""
    batch, height, width, _ = shape
    image = ops.arange(batch, dtype="int32")
    images = ops.sum(ops.ones_like(image)) if is_written() else batch  # of a size, `torch.export` makes one number
    starts, end = [], 0
    for down in counts[0]:
        for across in counts[1]:
            starts.append(ops.cast(end, "int32"))
            end = end + images * down * across
    level_y, size_y, places_y = _cover(rows, windows[0], counts[0])
    level_x, size_x, places_x = _cover(columns, windows[1], counts[1])
    tables = level_y[:, :, :, None] * len(windows[1]) + level_x[:, :, None, :]
    heights, widths = (height - size_y + 1)[:, :, :, None], (width - size_x + 1)[:, :, None, :]
    # As rows, as no file from PyTorch has what Keras makes of places in a vector.
    begun = ops.take(ops.stack(starts)[:, None], tables, axis=0)[..., 0]
    begun = begun + ops.reshape(image, (-1, 1, 1, 1)) * heights * widths
    empty = ops.logical_or((rows[1] <= rows[0])[:, :, :, None], (columns[1] <= columns[0])[:, :, None, :])
    return [
        ops.where(empty, end, begun + y[:, :, :, None] * widths + x[:, :, None, :]) for y in places_y for x in places_x
    ]


def _left(pixels: Any, size: int) -> Any:
    """Windows of a size along an axis."""
    left = pixels - size + 1
    return max(left, 0) if isinstance(left, int) else ops.maximum(left, 0)


def _doubled(table: Tensor, count: Any, axis: int) -> Tensor:
    """Maxima of `count` windows twice as long as the table's, which are the first and the last so many."""
    here, there = [slice(None)] * 4, [slice(None)] * 4
    here[axis], there[axis] = slice(0, count), slice(ops.shape(table)[axis] - count, None)
    return _larger(table[tuple(here)], table[tuple(there)])


def _larger(a: Tensor, b: Tensor) -> Tensor:
    """The larger of two, and the first of equals, to which all of the gradient goes, as TensorFlow's own does it."""
    if keras.backend.backend() == "tensorflow":
        return ops.maximum(a, b)
    return ops.where(ops.logical_or(a >= b, a != a), a, b)


def _cover(bounds: Bounds, windows: list[int], counts: list[Any]) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """The number and size of the largest window within each bin, and the first pixels of the two that cover it."""
    first, behind = bounds
    length = behind - first
    level = ops.zeros_like(length)
    size = ops.ones_like(length)
    for k, (window, count) in enumerate(zip(windows[1:], counts[1:]), start=1):
        within = ops.logical_and(length >= window, count > 0)
        level, size = ops.where(within, k, level), ops.where(within, window, size)
    last = ops.maximum(behind - size, 0)
    return level, size, (ops.minimum(first, last), last)


def _box_by_box(features: Tensor, rows: Bounds, columns: Bounds) -> Tensor:
    def of_box(bounds: list[Tensor]) -> Tensor:
        top, bottom, left, right = (of[:, None] for of in bounds)
        return _by_masks(features, (top, bottom), (left, right))[:, 0]

    found = ops.map(of_box, [ops.swapaxes(of, 0, 1) for of in (*rows, *columns)])
    return ops.swapaxes(found, 0, 1)


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
