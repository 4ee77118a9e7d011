"""Auxiliary classifiers: they feed gradients to the middle of a network in training, and leave with it."""

from typing import Literal, Unpack

import keras

from keras_blocks.core import validation
from keras_blocks.core.block import Block, Chain, register
from keras_blocks.typing import BlockOptions

Version = Literal["v1", "v3"]

Pooling = Literal["strided", "adaptive"]

# version: pixels of the pooled map, units of the hidden layer, dropout, as published
PUBLISHED = {"v1": (4, 1024, 0.7), "v3": (5, 768, 0.0)}


@register
class AuxiliaryClassifier(Block):
    """Pools a feature map to a few pixels, then a 1x1 convolution, a hidden layer, and the classes' scores.

    Args:
        filters: number of classes.
        version: "v1", pooled to 4x4, the hidden layer is dense; "v3", pooled to 5x5, it is a convolution over all 25
            pixels, and its maps, should there be more than one pixel, are averaged.
        pooling: "strided", 5x5 averages of stride 3, as in the papers, for the maps of 14x14 (v1) and 17x17 (v3);
            "adaptive", averages over as many parts as wanted of a map of any size, as in torchvision's GoogLeNet.
        width: filters of the 1x1 convolution.
        hidden: units of the hidden layer; `None` is 1024 in v1, 768 in v3.
        dropout: share of the hidden layer dropped while training; `None` is 0.7 in v1, 0 in v3.
        batch_norm: False by default, as in GoogLeNet's paper; it follows the convolutions, not the dense layer.
        **kwargs: the settings of `Block`: `activation` ("relu"), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`; in v1 with "strided" pooling, height and width must be known.

    Output shape:
        `(batch, filters)`, without activation.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build for a map too small for the
            "strided" pooling, or for the convolution after it.

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", 2014, section 5 (v1); "Rethinking the Inception Architecture
        for Computer Vision", 2015, section 4 and figure 8 (v3, which has BatchNormalization); torchvision.

    Example:

    >>> import keras, keras_blocks
    >>> block = keras_blocks.AuxiliaryClassifier(1000)
    >>> block(keras.Input((14, 14, 512))).shape
    (None, 1000)
    >>> block.count_params()
    3188840
    """

    def __init__(
        self,
        filters: int,
        version: Version = "v1",
        pooling: Pooling = "strided",
        *,
        width: int = 128,
        hidden: int | None = None,
        dropout: float | None = None,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.version = validation.choice("version", version, Version)
        self.pooling = validation.choice("pooling", pooling, Pooling)
        self.width = validation.integer("width", width)
        self.hidden = validation.optional(validation.integer, "hidden", hidden)
        self.dropout = validation.optional(validation.share, "dropout", dropout)

    def chain(self, channels: int) -> Chain:
        pixels, hidden, dropout = PUBLISHED[self.version]
        hidden = hidden if self.hidden is None else self.hidden
        dropout = dropout if self.dropout is None else self.dropout
        if self.pooling == "strided":
            pool = self.layer("pool", keras.layers.AveragePooling2D, pool_size=5, strides=3)
        else:
            pool = self.layer("pool", keras.layers.AdaptiveAveragePooling2D, output_size=(pixels, pixels))
        if self.version == "v1":
            dense = [self.dense("dense1", hidden), self.activate("dense1_activation")]
            middle = [self.layer("flatten", keras.layers.Flatten), *dense]
        else:
            average = self.layer("average", keras.layers.GlobalAveragePooling2D)
            middle = [*self.conv_unit("conv2", hidden, pixels, padding="valid"), average]
        drop = [self.layer("drop", keras.layers.Dropout, rate=dropout)] if dropout else []
        return [pool, *self.conv_unit("conv", self.width, 1), *middle, *drop, self.dense("scores", self.filters)]
