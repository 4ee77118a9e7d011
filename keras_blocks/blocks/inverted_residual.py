"""The inverted residual of MobileNetV2 and V3: narrow between blocks, wide within, with depthwise convolutions."""

from typing import Any, Unpack

import keras

from keras_blocks.blocks.squeeze_excite import SqueezeExciteBlock
from keras_blocks.core import validation
from keras_blocks.core.block import Block, Chain, register
from keras_blocks.core.declaration import Declaration, layer_declaration
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.core.layers import NORMALIZED
from keras_blocks.typing import BlockOptions, Padding, Pair


@register
class InvertedResidualBlock(Block):
    """A 1x1 convolution to more channels, a depthwise one, a 1x1 convolution to few, to which the input is added.

    The last convolution is followed by no activation. The input is added where it has the output's shape.

    Args:
        filters: number of output channels.
        expand_ratio: channels of the depthwise convolution over the input's; 1 leaves out the first convolution.
        kernel_size: of the depthwise convolution, an integer or two.
        strides: its step in pixels, an integer.
        padding: "symmetric", as PyTorch pads; "same" or "valid".
        se_ratio: `None`, or the ratio of MobileNetV3's squeeze-excitation behind the depthwise convolution: to
            multiples of 8 channels, with biases, ReLU, and "hard_sigmoid" for a gate.
        attention: another attention in that place, see `ResidualBlock`.
        drop_rate: share of the images for which the block is left out while training, where its input is added.
        batch_norm: True by default; use_bias: False by default.
        **kwargs: the settings of `Block`: `activation` ("relu6"; MobileNetV3's is "hard_silu" in its deeper blocks),
            `kernel_initializer` ("he_normal"), `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, ceil(height / strides), ceil(width / strides), filters)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, section 3.3 and table 1; Howard
        et al., "Searching for MobileNetV3", 2019, figure 4 and section 5.3.

    Example: a block of MobileNetV2, one of MobileNetV3.

    >>> import keras, keras_blocks
    >>> keras_blocks.InvertedResidualBlock(24, strides=2)(keras.Input((112, 112, 16))).shape
    (None, 56, 56, 24)
    >>> block = keras_blocks.InvertedResidualBlock(40, 3, kernel_size=5, se_ratio=4, activation="hard_silu")
    """

    default_settings = FrozenDict({**NORMALIZED, "activation": "relu6"})

    def __init__(
        self,
        filters: int,
        expand_ratio: int = 6,
        *,
        kernel_size: Pair = 3,
        strides: int = 1,
        padding: Padding = "symmetric",
        se_ratio: int | None = None,
        attention: Declaration = None,
        drop_rate: float = 0.0,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.expand_ratio = validation.integer("expand_ratio", expand_ratio, most=1024)
        self.kernel_size = validation.pair("kernel_size", kernel_size)
        self.strides = validation.integer("strides", strides, most=64)
        self.padding = validation.choice("padding", padding, Padding)
        self.se_ratio = validation.optional(validation.integer, "se_ratio", se_ratio)
        self.attention = layer_declaration("attention", attention)
        self.drop_rate = validation.share("drop_rate", drop_rate)

    def chain(self, channels: int) -> Chain:
        options: dict[str, Any] = {"depthwise": True, "strides": self.strides, "padding": self.padding}
        main = [
            *(self.conv_unit("widen", channels * self.expand_ratio, 1) if self.expand_ratio > 1 else ()),
            *self.conv_unit("depthwise", None, self.kernel_size, **options),
            *self._attention(),
            *self.conv_unit("project", self.filters, 1, activated=False),
        ]
        kept = self.padding != "valid" or self.kernel_size == (1, 1)
        if self.strides > 1 or channels != self.filters or not kept:
            return main
        if self.drop_rate:  # a draw for each image
            main.append(self.layer("drop", keras.layers.Dropout, rate=self.drop_rate, noise_shape=(None, 1, 1, 1)))
        return [self.sum_of("add", [], main)]

    def _attention(self) -> Chain:
        options = {"ratio": self.se_ratio, "divisor": 8, "gate": "hard_sigmoid", "activation": "relu", "use_bias": True}
        squeezed = () if self.se_ratio is None else (self.layer("se", SqueezeExciteBlock, **options),)
        return squeezed if self.attention is None else (*squeezed, self.declared("attend", self.attention))
