"""SqueezeNet's fire module."""

from typing import Literal, Unpack

from keras_blocks.core import validation
from keras_blocks.core.block import Block, Chain, register
from keras_blocks.typing import BlockOptions

Bypass = Literal[None, "simple", "complex"]


@register
class FireBlock(Block):
    """Squeeze to few channels by a 1x1 convolution, expand by parallel 1x1 and 3x3 convolutions, concatenate.

    Args:
        filters: channels of the squeeze convolution, the paper's `s1x1`.
        expand_ratio: each expand convolution has `filters * expand_ratio` channels, so the output has twice that.
        bypass: `None`; "simple", the input added to the output, which must have as many channels; "complex", the
            same, through a 1x1 convolution where the channels differ (one without activation).
        **kwargs: the settings of `Block`: `activation` ("relu"), `batch_norm` (False, as in the paper), `use_bias`,
            `kernel_initializer`, `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, 2 * filters * expand_ratio)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, at build where a simple bypass cannot be
            added since the channels differ.

    Reference:
        Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016, section 3.2 and
        figure 1; section 6 and figure 2 for the bypasses.

    Example:

    >>> import keras, keras_blocks
    >>> block = keras_blocks.FireBlock(16)
    >>> block(keras.Input((55, 55, 96))).shape
    (None, 55, 55, 128)
    >>> block.count_params()
    11920
    """

    def __init__(self, filters: int, *, expand_ratio: int = 4, bypass: Bypass = None, **kwargs: Unpack[BlockOptions]):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.expand_ratio = validation.integer("expand_ratio", expand_ratio, most=256)
        self.bypass = validation.choice("bypass", bypass, Bypass)

    @property
    def output_channels(self) -> int:
        return 2 * self.filters * self.expand_ratio

    def chain(self, channels: int) -> Chain:
        width = self.filters * self.expand_ratio
        fire: Chain = [
            *self.conv_unit("squeeze", self.filters, 1),
            self.concatenate("concat", self.conv_unit("expand_1x1", width, 1), self.conv_unit("expand_3x3", width, 3)),
        ]
        if self.bypass is None:
            return fire
        if channels == self.output_channels:
            return [self.sum_of("add", [], fire)]
        if self.bypass == "simple":
            raise ValueError(
                f"`bypass='simple'` adds the input to the output, so the input must have 2 * filters * expand_ratio = "
                f"{self.output_channels} channels; received {channels}. `bypass='complex'` takes any number."
            )
        return [self.sum_of("add", [self.conv2d("bypass_conv", self.output_channels, 1)], fire)]
