"""The convolutional unit that nearly every network is made of."""

from typing import Unpack

from keras_blocks.core import validation
from keras_blocks.core.block import Block, Chain, register
from keras_blocks.typing import BlockOptions, Padding, Pair


@register
class ConvBlock(Block):
    """Convolution, BatchNormalization, activation; or pre-activated: BatchNormalization, activation, convolution.

    Args:
        filters: number of output channels.
        kernel_size: height and width of the kernel, an integer or two.
        strides: step of the kernel in pixels, an integer or two.
        padding: "same", "valid", or "symmetric": as much on every side, as PyTorch and keras.applications pad; it
            differs from "same" only with strides over 1.
        groups: number of groups the channels are split into; must divide `filters` and the input's channels.
        dilation_rate: distance between the kernel's taps in pixels, an integer or two; not with strides over 1.
        pre_activation: whether the convolution comes last.
        batch_norm: True by default; see `Block` for this and the other settings that all blocks share.
        **kwargs: the settings of `Block`: `activation` (`None` for none), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, new_height, new_width, filters)`, the size divided by the strides, rounded up, for padding "same".

    Raises:
        TypeError, ValueError: at construction for an argument out of range, at build where `groups` does not divide
            the channels or the image is too small for the kernel.

    Reference:
        Ioffe and Szegedy, "Batch Normalization", 2015, section 3.2 (the order convolution, normalization,
        activation); He et al., "Identity Mappings in Deep Residual Networks", 2016, figure 4(e) (pre-activation).

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.ConvBlock(64, 7, strides=2)(keras.Input((224, 224, 3))).shape
    (None, 112, 112, 64)
    """

    default_settings = {"batch_norm": True}

    def __init__(
        self,
        filters: int,
        kernel_size: Pair = 3,
        strides: Pair = 1,
        padding: Padding = "same",
        *,
        groups: int = 1,
        dilation_rate: Pair = 1,
        pre_activation: bool = False,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.kernel_size = validation.pair("kernel_size", kernel_size)
        self.strides = validation.pair("strides", strides)
        self.padding = validation.choice("padding", padding, Padding)
        self.groups = validation.integer("groups", groups)
        self.dilation_rate = validation.pair("dilation_rate", dilation_rate)
        self.pre_activation = validation.boolean("pre_activation", pre_activation)
        validation.divides("groups", self.groups, total_name="filters", total=self.filters)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`strides` over 1 and `dilation_rate` over 1 cannot be combined; received "
                f"strides={strides!r}, dilation_rate={dilation_rate!r}."
            )

    def chain(self, channels: int) -> Chain:
        validation.divides("groups", self.groups, total_name="input channels", total=channels)
        return self.conv_unit(
            "conv",
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            groups=self.groups,
            dilation_rate=self.dilation_rate,
            pre_activation=self.pre_activation,
        )
