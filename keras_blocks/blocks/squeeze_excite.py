"""Squeeze-excitation: channels weighted by what the whole feature map holds."""

from typing import Literal, Unpack

import keras

from keras_blocks.core import validation
from keras_blocks.core.block import Block, Chain, register
from keras_blocks.typing import BlockOptions

Gate = Literal["sigmoid", "hard_sigmoid"]


@register
class SqueezeExciteBlock(Block):
    """Scales every channel by a gate from 0 to 1, which two 1x1 convolutions compute of all channels' means.

    Args:
        ratio: the input's channels over those of the first convolution; must divide them, unless there is a `divisor`.
        gate: activation after the second convolution, "sigmoid" or "hard_sigmoid".
        filters: channels of the first convolution; `None` for those that `ratio` gives.
        divisor: of which these are a multiple, the nearest to what `ratio` gives, but no 0 and none below nine tenths
            of it; 8 in timm's SE-ResNet-18 and in MobileNetV3.
        **kwargs: the settings of `Block`: `activation` ("relu", of the first convolution), `use_bias` (`None` and True
            give both convolutions biases), `kernel_initializer`, `kernel_regularizer`, `data_format`, `name`, `dtype`,
            ... There is no normalization.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        The input's.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, at build where `ratio` exceeds the
            channels or does not divide them.

    Reference:
        Hu et al., "Squeeze-and-Excitation Networks", 2017, section 3 and figure 3.

    Example:

    >>> import keras, keras_blocks
    >>> block = keras_blocks.SqueezeExciteBlock(16)
    >>> block(keras.Input((56, 56, 256))).shape
    (None, 56, 56, 256)
    >>> block.count_params()
    8464
    """

    def __init__(
        self,
        ratio: int = 16,
        gate: Gate = "sigmoid",
        *,
        filters: int | None = None,
        divisor: int | None = None,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.ratio = validation.integer("ratio", ratio)
        self.gate = validation.choice("gate", gate, Gate)
        self.filters = validation.optional(validation.integer, "filters", filters)
        self.divisor = validation.optional(validation.integer, "divisor", divisor)

    def chain(self, channels: int) -> Chain:
        gate = [
            self.layer("squeeze", keras.layers.GlobalAveragePooling2D, keepdims=True),
            self.conv2d("reduce", self.filters or squeezed(channels, self.ratio, self.divisor), 1),
            self.activate("reduce_activation"),
            self.conv2d("restore", channels, 1),
            self.layer("gates", keras.layers.Activation, activation=self.gate),
        ]
        return [self.product_of("scale", [], gate)]


def squeezed(channels: int, ratio: int, divisor: int | None = None) -> int:
    """Channels over their ratio, or the nearest multiple of `divisor` to that, at least one and nine tenths of it.

    Raises:
        ValueError: without a divisor, for a ratio that exceeds the channels or does not divide them.
    """
    if divisor is not None:
        exact = channels / ratio
        nearest = max(divisor, int(exact + divisor / 2) // divisor * divisor)
        return nearest if nearest >= 0.9 * exact else nearest + divisor
    if ratio > channels:
        raise ValueError(f"`ratio` must be at most the input's {channels} channels; received {ratio}.")
    validation.divides("ratio", ratio, total_name="input channels", total=channels)
    return channels // ratio
