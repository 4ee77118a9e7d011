"""Attention of residual blocks: channels, pixels and kernels weighted by what the feature map holds."""

import math
from typing import Any, Unpack

import keras

from keras_blocks.blocks.squeeze_excite import Gate, squeezed
from keras_blocks.core import validation
from keras_blocks.core.block import Block, Chain, register
from keras_blocks.core.chain import Assign, LayerSpec, Take
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.core.layers import own_initializer
from keras_blocks.typing import BlockOptions, Shape


def odd(number: int) -> int:
    return number if number % 2 else number + 1


@register
class EfficientChannelAttention(Block):
    """Scales every channel by a gate from 0 to 1, computed of the means of the channels next to it (ECA).

    Args:
        kernel_size: so many channels, an odd number; `None` for one that grows with their logarithm: 3 of 64, 5 of 256.
        gate: "sigmoid" or "hard_sigmoid".
        **kwargs: the settings of `Block`: `use_bias` (True gives the convolution one), `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ... There is no activation and no normalization.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        The input's.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Wang et al., "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks", 2020, section 3.2
        and figure 2; the kernel size by equation 12.

    Example:

    >>> import keras, keras_blocks
    >>> block = keras_blocks.EfficientChannelAttention()
    >>> block(keras.Input((56, 56, 256))).shape, block.count_params()
    ((None, 56, 56, 256), 5)
    >>> attended = keras_blocks.ResidualBlock(64, attention=keras_blocks.EfficientChannelAttention)
    """

    def __init__(self, kernel_size: int | None = None, gate: Gate = "sigmoid", **kwargs: Unpack[BlockOptions]):
        super().__init__(**kwargs)
        self.kernel_size = validation.optional(validation.integer, "kernel_size", kernel_size, most=1023)
        self.gate = validation.choice("gate", gate, Gate)
        if self.kernel_size is not None and self.kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd, as many channels on both sides; received {kernel_size!r}.")

    def chain(self, channels: int) -> Chain:
        conv = self.layer(
            "conv",
            keras.layers.Conv1D,
            filters=1,
            kernel_size=self.kernel_size or max(3, odd(int((math.log2(channels) + 1) / 2))),
            padding="same",
            use_bias=bool(self.use_bias),
            kernel_initializer=own_initializer(self.kernel_initializer, "conv"),
            kernel_regularizer=self.kernel_regularizer,
            data_format="channels_last",
        )
        gate = [
            self.layer("squeeze", keras.layers.GlobalAveragePooling2D, keepdims=True),
            self.layer("as_sequence", keras.layers.Reshape, target_shape=(channels, 1)),
            conv,
            self.layer("as_map", keras.layers.Reshape, target_shape=_one_pixel(self, channels)),
            self.layer("gates", keras.layers.Activation, activation=self.gate),
        ]
        return [self.product_of("scale", [], gate)]


@register
class ConvolutionalBlockAttention(Block):
    """Scales channels by a gate computed of their means and maxima, then pixels by one of theirs (CBAM).

    Two 1x1 convolutions are applied to the channels' means and, the same two, to their maxima; the gate is of the sum.
    A convolution of the means and maxima over the channels, with normalization, gives the pixels' gate.

    Args:
        ratio: the input's channels over those of the first 1x1 convolution; must divide them.
        kernel_size: of the convolution that gives the pixels' gate.
        gate: "sigmoid" or "hard_sigmoid", of both.
        batch_norm: True by default, behind the last convolution.
        **kwargs: the settings of `Block`: `activation` ("relu", of the first 1x1 convolution), `use_bias` (`None` gives
            the 1x1 convolutions biases, as in the authors' code; timm's have none), `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        The input's.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, at build where `ratio` exceeds the
            channels or does not divide them.

    Reference:
        Woo et al., "CBAM: Convolutional Block Attention Module", 2018, section 3 and figure 2.

    Example:

    >>> import keras, keras_blocks
    >>> block = keras_blocks.ConvolutionalBlockAttention(16)
    >>> block(keras.Input((56, 56, 64))).shape
    (None, 56, 56, 64)
    """

    default_settings = FrozenDict({"batch_norm": True})

    def __init__(self, ratio: int = 16, kernel_size: int = 7, gate: Gate = "sigmoid", **kwargs: Unpack[BlockOptions]):
        super().__init__(**kwargs)
        self.ratio = validation.integer("ratio", ratio)
        self.kernel_size = validation.integer("kernel_size", kernel_size, most=1023)
        self.gate = validation.choice("gate", gate, Gate)

    def chain(self, channels: int) -> Chain:
        shared = [
            self.conv2d("reduce", squeezed(channels, self.ratio), 1),
            self.activate("reduce_activation"),
            self.conv2d("restore", channels, 1),
        ]
        means = self.layer("means", keras.layers.GlobalAveragePooling2D, keepdims=True)
        maxima = self.layer("maxima", keras.layers.GlobalMaxPooling2D, keepdims=True)
        of_channels: Chain = [self.sum_of("add", [means, *shared], [maxima, *shared]), self._gates("channel_gates")]
        of_pixels: Chain = [
            self.concatenate(
                "concat", [self.pooled_channels("mean", "mean")], [self.pooled_channels("largest", "max")]
            ),
            *self.conv_unit("spatial", 1, self.kernel_size, activated=False),
            self._gates("pixel_gates"),
        ]
        return [self.product_of("scale_channels", [], of_channels), self.product_of("scale_pixels", [], of_pixels)]

    def _gates(self, name: str) -> LayerSpec:
        return self.layer(name, keras.layers.Activation, activation=self.gate)


@register
class SelectiveKernelBlock(Block):
    """Convolutions of several reaches, weighted channel by channel by what all of them found (SK convolution).

    The paths are 3x3 convolutions of dilation 1, 2, ..., each with normalization and activation. Of the means of their
    sum, two 1x1 convolutions, the first normalized and activated, compute each path's score for each channel; the
    output is the paths' mean, weighted by the scores' softmax.

    Args:
        filters: number of output channels.
        strides: step in pixels of the paths.
        dilation_rate: of the first path; the others have multiples of it.
        paths: how many there are.
        groups: of channels, of each path's convolution.
        ratio: the output's channels over those of the first 1x1 convolution, the paper's r.
        divisor: of which these are a multiple, the nearest one to what `ratio` gives; the paper's L, its least number.
        split: whether each path sees its part of the input's channels alone, as in timm's SKNets.
        batch_norm: True by default; use_bias: False by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer`, `kernel_regularizer`,
            `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, ceil(height / strides), ceil(width / strides), filters)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, at build where `paths` or `groups` does not
            divide the channels.

    Reference:
        Li et al., "Selective Kernel Networks", 2019, section 3.1 and figure 1; timm's `SelectiveKernel` for `split`.

    Example: the 3x3 convolution of a bottleneck, and a block that has one.

    >>> import keras, keras_blocks
    >>> keras_blocks.SelectiveKernelBlock(128, groups=32)(keras.Input((56, 56, 128))).shape
    (None, 56, 56, 128)
    >>> block = keras_blocks.ResidualBlock(64, convolution=keras_blocks.SelectiveKernelBlock(64, groups=32))
    """

    default_settings = FrozenDict({"batch_norm": True, "use_bias": False})

    def __init__(
        self,
        filters: int,
        strides: int = 1,
        *,
        dilation_rate: int = 1,
        paths: int = 2,
        groups: int = 1,
        ratio: int = 16,
        divisor: int = 32,
        split: bool = False,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.strides = validation.integer("strides", strides, most=64)
        self.dilation_rate = validation.integer("dilation_rate", dilation_rate, most=1024)
        self.paths = validation.integer("paths", paths, least=2, most=16)
        self.groups = validation.integer("groups", groups)
        self.ratio = validation.integer("ratio", ratio)
        self.divisor = validation.integer("divisor", divisor)
        self.split = validation.boolean("split", split)
        validation.divides("groups", self.groups, total_name="filters", total=self.filters)

    def chain(self, channels: int) -> Chain:
        numbers = range(1, self.paths + 1)
        if self.split:
            validation.divides("paths", self.paths, total_name="input channels", total=channels)
        inside = channels // self.paths if self.split else channels
        validation.divides("groups", self.groups, total_name="input channels", total=inside)
        found = [[Take(f"path{i}")] for i in numbers]
        width = self.filters * self.paths
        scores: Chain = [
            self.sum_of("sum", *found),
            self.layer("squeeze", keras.layers.GlobalAveragePooling2D, keepdims=True),
            *self.conv_unit("reduce", squeezed(self.filters, self.ratio, self.divisor), 1),
            self.conv2d("select", width, 1, use_bias=bool(self.use_bias)),
            self.layer("by_path", keras.layers.Reshape, target_shape=self._by_path()),
            self.layer("shares", keras.layers.Softmax, axis=-2 if self.data_format == "channels_last" else 1),
            self.layer("as_map", keras.layers.Reshape, target_shape=_one_pixel(self, width)),
        ]
        weighted = [
            [
                self.product_of(
                    f"scale{i}", path, [Take("shares"), self.part_of_channels(f"share{i}", i - 1, self.paths)]
                )
            ]
            for i, path in zip(numbers, found)
        ]
        return [
            self.fork(**{f"path{i}": self._of_reach(i) for i in numbers}),
            Assign("shares", scores),
            self.sum_of("add", *weighted),
        ]

    def _of_reach(self, i: int) -> Chain:
        part = (self.part_of_channels(f"part{i}", i - 1, self.paths),) if self.split else ()
        options: dict[str, Any] = {
            "strides": self.strides,
            "dilation_rate": i * self.dilation_rate,
            "groups": self.groups,
        }
        return (*part, *self.conv_unit(f"path{i}", self.filters, 3, padding="symmetric", **options))

    def _by_path(self) -> Shape:
        sizes = (self.paths, self.filters)
        return (1, 1, *sizes) if self.data_format == "channels_last" else (*sizes, 1, 1)


def _one_pixel(block: Block, channels: int) -> Shape:
    """The shape of a map of one pixel, without the batch."""
    return (1, 1, channels) if block.data_format == "channels_last" else (channels, 1, 1)
