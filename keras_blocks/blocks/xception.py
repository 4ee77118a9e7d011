"""Xception's block: separable convolutions, to whose output the input is added."""

from typing import Unpack

import keras

from keras_blocks.core import validation
from keras_blocks.core.block import Block, Chain, register
from keras_blocks.core.chain import LayerSpec
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.typing import BlockOptions, Ints


@register
class XceptionBlock(Block):
    """Separable 3x3 convolutions, each with the activation before and normalization behind it, and a shortcut.

    A separable convolution is one of each channel by itself and a 1x1 convolution, with nothing between. The shortcut
    is the input, or a 1x1 convolution where the shape changes; strides are those of a 3x3 max pooling at the end.

    Args:
        filters: numbers of output channels of the separable convolutions.
        strides: step in pixels of the pooling and of the shortcut; 1 for no pooling.
        activated: whether the first separable convolution is activated, too: not in the network's first block.
        batch_norm: True by default; use_bias: False by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer`, `kernel_regularizer`,
            `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, ceil(height / strides), ceil(width / strides), filters[-1])`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", 2017, figure 5; keras.applications'
        Xception.

    Example: the first of the entry flow, and one of the middle flow.

    >>> import keras, keras_blocks
    >>> keras_blocks.XceptionBlock((128, 128), strides=2, activated=False)(keras.Input((109, 109, 64))).shape
    (None, 55, 55, 128)
    >>> block = keras_blocks.XceptionBlock((728, 728, 728))
    """

    default_settings = FrozenDict({"batch_norm": True, "use_bias": False})

    def __init__(self, filters: Ints, strides: int = 1, *, activated: bool = True, **kwargs: Unpack[BlockOptions]):
        super().__init__(**kwargs)
        numbers = validation.sequence("filters", filters, of="numbers of filters")
        self.filters = tuple(validation.integer(f"filters[{i}]", number) for i, number in enumerate(numbers))
        self.strides = validation.integer("strides", strides, most=64)
        self.activated = validation.boolean("activated", activated)

    def chain(self, channels: int) -> Chain:
        main: list[LayerSpec] = []
        for i, filters in enumerate(self.filters, start=1):
            if i > 1 or self.activated:
                main.append(self.activate(f"activation{i}"))
            main += self.conv_unit(f"conv{i}", filters, 3, separable=True, activated=False)
        if self.strides > 1:
            pool = {"pool_size": 3, "strides": self.strides, "padding": "same"}
            main.append(self.layer("pool", keras.layers.MaxPooling2D, **pool))
        shortcut: Chain = []
        if self.strides > 1 or channels != self.filters[-1]:
            shortcut = self.conv_unit("projection", self.filters[-1], 1, strides=self.strides, activated=False)
        return [self.sum_of("add", shortcut, main)]
