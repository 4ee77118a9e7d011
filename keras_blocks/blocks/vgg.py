"""The groups of VGG."""

from typing import Self, Unpack

import keras

from keras_blocks.core import validation
from keras_blocks.core.block import Block, Chain, register
from keras_blocks.typing import BlockOptions, Config


@register
class VGGGroup(Block):
    """Several 3x3 convolutions of one width, then a 2x2 max pooling.

    Args:
        filters: number of output channels of each convolution.
        depth: number of convolutions.
        pooled: whether the pooling follows; detectors leave out the last one.
        **kwargs: the settings of `Block`: `activation` ("relu"), `batch_norm` (False, as in the paper), `use_bias`,
            `kernel_initializer`, `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`, at least 2x2 pixels.

    Output shape:
        `(batch, height // 2, width // 2, filters)`; without pooling as high and wide as the input.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, at build for an image too small to pool.

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014, table 1.

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.VGGGroup(64, depth=2)(keras.Input((224, 224, 3))).shape
    (None, 112, 112, 64)
    """

    def __init__(self, filters: int, *, depth: int = 2, pooled: bool = True, **kwargs: Unpack[BlockOptions]):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.depth = validation.integer("depth", depth, most=64)
        self.pooled = validation.boolean("pooled", pooled)

    @classmethod
    def from_config(cls, config: Config) -> Self:
        if "layers" in config:  # as files of version 0.1 call the depth
            config = {**{key: value for key, value in config.items() if key != "layers"}, "depth": config["layers"]}
        block: Self = super().from_config(config)
        return block

    def chain(self, channels: int) -> Chain:
        convs = [spec for i in range(1, self.depth + 1) for spec in self.conv_unit(f"conv{i}", self.filters, 3)]
        pool = self.layer("pool", keras.layers.MaxPooling2D, pool_size=2, strides=2)
        return [*convs, pool] if self.pooled else convs
