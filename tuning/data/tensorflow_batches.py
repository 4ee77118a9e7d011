"""Batches of arrays for TensorFlow, made without its tuning of datasets.

Keras' own batches of arrays are tuned by a thread of tf.data's. An epoch's end waits for the round that this is in, on
one or two cores up to two seconds: as much as an epoch of a small network takes, and in four of ten epochs.
"""

from collections.abc import Sequence
from typing import Any

import keras


def tensorflow_batches(arrays: Sequence[Any], batch_size: int, *, shuffle: bool) -> Any:
    """A `tf.data.Dataset` of arrays, as `fit` makes it of them.

    Args:
        arrays: images and labels, and perhaps the samples' weights.
        batch_size: of each batch but the last.
        shuffle: whether each epoch has an order of its own, which follows from `keras.utils.set_random_seed`.
    """
    import tensorflow as tf

    is_float, floats = keras.backend.is_float_dtype, keras.config.floatx()  # as Keras casts arrays
    tensors = [tf.convert_to_tensor(x.astype(floats, copy=False) if is_float(x.dtype.name) else x) for x in arrays]
    rows = tf.data.Dataset.range(len(arrays[0]))
    if shuffle:
        rows = rows.shuffle(len(arrays[0]))
    batches = rows.batch(batch_size).map(lambda taken: tuple(tf.gather(tensor, taken) for tensor in tensors))
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)
