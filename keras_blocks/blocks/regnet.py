"""RegNet's block: a bottleneck that is as wide within as without, in groups of so many channels."""

from typing import Any, Unpack

from keras_blocks.blocks.residual import Convolution, GroupedVersion, ResidualBlockOptions, ResidualUnit, Shortcut
from keras_blocks.blocks.squeeze_excite import SqueezeExciteBlock
from keras_blocks.core import validation
from keras_blocks.core.block import register
from keras_blocks.core.chain import LayerSpec


@register
class RegNetBlock(ResidualUnit):
    """Convolutions 1x1, 3x3 in groups, 1x1, all of one width, to whose output the input is added (X and Y blocks).

    Args:
        filters: number of channels of all three convolutions.
        group_width: channels of each group of the 3x3 convolution; must divide `filters`.
        strides: step in pixels of the 3x3 convolution, an integer.
        shortcut, version: as in `ResNeXtBlock`.
        se_ratio: `None` for an X block; 4 for a Y block: the input's channels over those of a squeeze-excitation behind
            the 3x3 convolution.
        drop_rate, dilation_rate, atrous, se_use_bias, block_dropout, attention, convolution: as in `ResidualBlock`, but
            that the attention stands where the squeeze-excitation does.
        batch_norm: True by default; use_bias: False by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer` ("he_normal"),
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, ceil(height / strides), ceil(width / strides), filters)`; with `atrous` the input's height and width.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build where the shortcut cannot be
            added.

    Reference:
        Radosavovic et al., "Designing Network Design Spaces", 2020, figure 4 and section 3.3 with a bottleneck ratio of
        1 (section 4); timm's and the authors' code for the squeeze-excitation.

    Example: the first of RegNetY-400MF.

    >>> import keras, keras_blocks
    >>> block = keras_blocks.RegNetBlock(48, group_width=8, strides=2, se_ratio=4)
    >>> block(keras.Input((112, 112, 32))).shape
    (None, 56, 56, 48)
    """

    attended = "conv2"

    def __init__(
        self,
        filters: int,
        *,
        group_width: int = 8,
        strides: int = 1,
        shortcut: Shortcut = "auto",
        version: GroupedVersion = "v1.5",
        **kwargs: Unpack[ResidualBlockOptions],
    ):
        validation.choice("version", version, GroupedVersion)
        super().__init__(filters, version=version, strides=strides, shortcut=shortcut, **kwargs)
        self.group_width = validation.integer("group_width", group_width)
        validation.divides("group_width", self.group_width, total_name="filters", total=self.filters)

    @property
    def output_channels(self) -> int:
        return self.filters

    def _convolutions(self, strided: dict[str, Any], dilated: dict[str, Any]) -> list[Convolution]:
        plain = {"padding": "symmetric"}
        return [
            ("conv1", self.filters, 1, plain),
            ("conv2", self.filters, 3, {**strided, "groups": self.filters // self.group_width}),
            ("conv3", self.filters, 1, plain),
        ]

    def _squeezed(self, channels: int) -> tuple[LayerSpec, ...]:
        if self.se_ratio is None:
            return ()
        filters = max(1, round(channels / self.se_ratio))
        return (self.layer("se", SqueezeExciteBlock, filters=filters, use_bias=self.se_use_bias),)
