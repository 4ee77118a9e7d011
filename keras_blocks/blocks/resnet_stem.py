"""The stem of ResNet and its relatives."""

from typing import Any, Literal, Unpack

import keras

from keras_blocks.blocks.pooling import CeilMaxPooling2D
from keras_blocks.core import validation
from keras_blocks.core.block import Block, Chain, register
from keras_blocks.core.layers import NORMALIZED
from keras_blocks.typing import BlockOptions

Border = Literal["zero", "lowest", "ceil"]


@register
class ResNetStem(Block):
    """A 7x7 convolution of stride 2 and a 3x3 max pooling of stride 2, both padded symmetrically.

    Args:
        filters: number of output channels.
        deep: whether three 3x3 convolutions stand for the 7x7, the first of stride 2, the first two of half as many
            channels (SENet-154).
        pre_activated: whether the blocks that follow normalize first (v2): then the stem does not.
        border: of the pooling. "zero", as in keras.applications; or "lowest", which loses against any pixel, as in
            PyTorch. Outputs differ only where there is no ReLU before it: if `pre_activated`. Or "ceil": none, and the
            last window may hang over the edge, as in Caffe and SENet-154.
        batch_norm: True by default.
        use_bias: False by default; `None` gives the biases of keras.applications' v2: those of the convolutions that
            no BatchNormalization of the block follows.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer` ("he_normal"),
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, ceil(ceil(height / 2) / 2), ceil(ceil(width / 2) / 2), filters)`; with the border "ceil"
        `floor(ceil(height / 2) / 2)`, likewise for the width.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", 2015, table 1; padding as in torchvision and
        keras.applications. Hu et al., "Squeeze-and-Excitation Networks", 2017, section 6.1 (`deep`).

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.ResNetStem(64)(keras.Input((224, 224, 3))).shape
    (None, 56, 56, 64)
    """

    default_settings = NORMALIZED

    def __init__(
        self,
        filters: int = 64,
        *,
        pre_activated: bool = False,
        border: Border = "zero",
        deep: bool = False,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.pre_activated = validation.boolean("pre_activated", pre_activated)
        self.border = validation.choice("border", border, Border)
        self.deep = validation.boolean("deep", deep)

    def chain(self, channels: int) -> Chain:
        make = self.padded_conv2d if self.pre_activated else self.conv_unit
        strided: dict[str, Any] = {"strides": 2, "padding": "symmetric"}
        if self.deep:
            half = max(1, self.filters // 2)
            first, second = self.conv_unit("conv1", half, 3, **strided), self.conv_unit("conv2", half, 3)
            conv = (*first, *second, *make("conv3", self.filters, 3))
        else:
            conv = make("conv", self.filters, 7, **strided)
        if self.border == "ceil":
            return [*conv, self.layer("pool", CeilMaxPooling2D, pool_size=3, strides=2)]
        if self.border == "lowest":  # "same" is symmetric with a step of 1 only
            pool = self.layer("pool", keras.layers.MaxPooling2D, pool_size=3, strides=1, padding="same")
            return [*conv, pool, self.layer("subsample", keras.layers.MaxPooling2D, pool_size=1, strides=2)]
        return [
            *conv,
            self.layer("pool_pad", keras.layers.ZeroPadding2D, padding=1),
            self.layer("pool", keras.layers.MaxPooling2D, pool_size=3, strides=2),
        ]
