"""Classifier heads: from a feature map to one score a class."""

import keras

from keras_blocks import validation
from keras_blocks.block import Block, register

POOLINGS = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}


def hidden_units(hidden) -> tuple:
    """The argument `hidden`, checked; it may be empty."""
    hidden = () if hidden in ((), []) else validation.sequence("hidden", hidden, of="numbers of units")
    return tuple(validation.integer(f"hidden[{i}]", units) for i, units in enumerate(hidden))


@register
class ClassifierHead(Block):
    """Pools or flattens a feature map, then dense layers; the last gives the classes' scores, without activation.

    Args:
        filters: number of classes.
        pooling: "avg" or "max", over the whole map; or "flatten".
        hidden: units of the dense layers before the last, each with an activation and a dropout.
        dropout: share dropped after each hidden layer, or without them before the last layer, while training.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer`, `kernel_regularizer`,
            `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`; to flatten, height and width must be known.

    Output shape:
        `(batch, filters)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks", 2014, table 1 (flatten and two of 4096); Lin et al.,
        "Network In Network", 2013, section 3.2 (global average pooling).

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.ClassifierHead(10, pooling="flatten", hidden=(4096, 4096))(keras.Input((7, 7, 512))).shape
    (None, 10)
    """

    def __init__(self, filters, pooling="avg", hidden=(), dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.pooling = validation.choice("pooling", pooling, ("avg", "max", "flatten"))
        self.hidden = hidden_units(hidden)
        self.dropout = validation.number("dropout", dropout, least=0, most=1, open_end=True)

    def chain(self, channels):
        steps = [self.layer("pool", POOLINGS.get(self.pooling, keras.layers.Flatten))]
        for i, units in enumerate(self.hidden, start=1):
            steps += [self.dense(f"dense{i}", units), self.activate(f"dense{i}_activation"), *self._drop(f"drop{i}")]
        return [*steps, *(() if self.hidden else self._drop("drop")), self.dense("scores", self.filters)]

    def _drop(self, name):
        return (self.layer(name, keras.layers.Dropout, rate=self.dropout),) if self.dropout else ()
