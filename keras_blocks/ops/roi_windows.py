"""RoIPool in TensorFlow's graph: the maximum of windows of tables, with a gradient that is put together by hand.

TensorFlow's own goes four times through all bins, and for each table five times through the map. Here bins are sorted
by how many windows cover them, one, two or four, and the gradient goes to where the maximum is, to the first of equals.
"""

from collections.abc import Callable, Sequence

from keras_blocks.ops.casting import wide
from keras_blocks.typing import Tensor


def maxima(
    tables_of: Callable[[Tensor], list[list[Tensor]]],
    joined: Callable[[list[list[Tensor]]], Tensor],
    features: Tensor,
    places: Sequence[Tensor],
) -> Tensor:
    """The maximum of four windows for each bin.

    Args:
        tables_of: from features to tables, of which those of a row have windows as high, and are made each of the one
            before it; and the first of a row of the first of the row before.
        joined: from tables to their pixels one below the other, and one of zeros.
        features: (batch, height, width, channels).
        places: of each bin, the rows of these pixels that hold its windows: above to the left, above to the right,
            below to the left, below to the right; int32, (bins,).

    Returns:
        (bins, channels).
    """
    import tensorflow as tf

    one, right, below, _ = places
    kinds = tf.cast(one != right, "int32") + 2 * tf.cast(one != below, "int32")
    of_kind = [tf.cast(tf.where(kinds == kind)[:, 0], "int32") for kind in range(4)]
    # Which windows the bins of a kind have.
    looked_up = [
        [tf.gather(places[window], bins) for window in windows]
        for bins, windows in zip(of_kind, ((0,), (0, 1), (0, 2), (0, 1, 2, 3)))
    ]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def found(features: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        tables = tables_of(features)
        pixels = joined(tables)
        values = [[tf.gather(pixels, rows) for rows in windows] for windows in looked_up]
        outputs = tf.dynamic_stitch(of_kind, [_largest(of) for of in values])

        def gradient(of_outputs: Tensor) -> Tensor:
            shares: list[Tensor] = []
            for bins, of in zip(of_kind, values):
                shares.extend(_shares(tf.gather(of_outputs, bins), of))
            total = wide(features.dtype.name)  # sums of many, also of 16 bits
            rows = tf.concat([rows for windows in looked_up for rows in windows], axis=0)
            sums = tf.math.unsorted_segment_sum(tf.cast(tf.concat(shares, axis=0), total), rows, tf.shape(pixels)[0])
            return tf.cast(_down_the_tables(sums, tables), features.dtype)

        return outputs, gradient

    return found(features)


def _largest(values: list[Tensor]) -> Tensor:
    import tensorflow as tf

    if len(values) == 1:
        return values[0]
    half = len(values) // 2
    return tf.maximum(_largest(values[:half]), _largest(values[half:]))


def _shares(gradient: Tensor, values: list[Tensor]) -> list[Tensor]:
    """What each of the windows has of the gradient."""
    import tensorflow as tf

    if len(values) == 1:
        return [gradient]
    first, second = values[: len(values) // 2], values[len(values) // 2 :]
    above = _largest(first) >= _largest(second)
    zeros = tf.zeros_like(gradient)
    return _shares(tf.where(above, gradient, zeros), first) + _shares(tf.where(above, zeros, gradient), second)


def _down_the_tables(sums: Tensor, tables: list[list[Tensor]]) -> Tensor:
    """The gradient of the features from those of all rows of the tables."""
    import tensorflow as tf

    sizes = [tf.size(table) // tf.shape(table)[3] for row in tables for table in row]
    parts = iter(tf.split(sums, [*sizes, 1], num=len(sizes) + 1))
    gradients = [[tf.reshape(next(parts), tf.shape(table)) for table in row] for row in tables]
    for i in reversed(range(len(tables))):
        for j in reversed(range(1, len(tables[i]))):
            gradients[i][j - 1] += _of_halves(gradients[i][j], tables[i][j - 1], axis=2)
        if i:
            gradients[i - 1][0] += _of_halves(gradients[i][0], tables[i - 1][0], axis=1)
    return gradients[0][0]


def _of_halves(gradient: Tensor, table: Tensor, axis: int) -> Tensor:
    """The gradient of a table from that of the maxima of its windows two by two."""
    import tensorflow as tf

    pixels = tf.shape(table)[axis]
    length = tf.shape(gradient)[axis]
    here, there = [slice(None)] * 4, [slice(None)] * 4
    here[axis], there[axis] = slice(0, length), slice(pixels - length, None)
    first = table[tuple(here)] >= table[tuple(there)]
    zeros = tf.zeros_like(gradient)
    before, behind = [[0, 0] for _ in range(4)], [[0, 0] for _ in range(4)]
    before[axis][0] = behind[axis][1] = pixels - length
    return tf.pad(tf.where(first, gradient, zeros), behind) + tf.pad(tf.where(first, zeros, gradient), before)
