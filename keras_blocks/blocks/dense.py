"""DenseNet's dense layer, dense block and transition."""

from collections.abc import Sequence
from typing import Unpack

import keras

from keras_blocks.core import validation
from keras_blocks.core.block import Block, register
from keras_blocks.core.chain import Chain, LayerSpec, specs
from keras_blocks.core.layers import NORMALIZED
from keras_blocks.core.remat import rematerialized
from keras_blocks.ops.casting import as_float
from keras_blocks.typing import BlockOptions, Tensor


@register
class DenseLayer(Block):
    """The "residual dense block": a pre-activated bottleneck whose output is concatenated to the input.

    Args:
        filters: channels that the layer adds, the paper's growth rate k.
        bottleneck: channels of the 1x1 convolution over `filters`; 0 for none (DenseNet without B).
        dropout: share of the new features dropped while training.
        dilation_rate: distance between the taps of the 3x3 convolution in pixels.
        batch_norm, use_bias: True and False by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer` ("he_normal"),
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, channels + filters)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Huang et al., "Densely Connected Convolutional Networks", 2016, section 3 (DenseNet-B).

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.DenseLayer(32)(keras.Input((56, 56, 64))).shape
    (None, 56, 56, 96)
    """

    default_settings = NORMALIZED

    def __init__(
        self,
        filters: int,
        *,
        bottleneck: int = 4,
        dropout: float = 0.0,
        dilation_rate: int = 1,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.bottleneck = validation.integer("bottleneck", bottleneck, least=0, most=64)
        self.dropout = validation.share("dropout", dropout)
        self.dilation_rate = validation.integer("dilation_rate", dilation_rate, most=1024)

    def chain(self, channels: int) -> Chain:
        narrow: tuple[LayerSpec, ...] = ()
        if self.bottleneck:
            narrow = self.conv_unit("conv1", self.filters * self.bottleneck, 1, pre_activation=True)
        wide = self.conv_unit("conv2", self.filters, 3, pre_activation=True, dilation_rate=self.dilation_rate)
        new = (*narrow, *wide)
        if self.dropout:
            new = (*new, self.layer("drop", keras.layers.Dropout, rate=self.dropout))
        return [self.concatenate("concat", [], new)]

    def new_features(self, features: Sequence[Tensor], training: bool) -> Tensor:
        """What the layer adds to the feature maps so far, given as a list, while training with `remat`.

        The backward pass keeps these and computes the rest again, but for the last convolution, whose output it does
        not need. Keeping the layer's input instead would keep every feature map once for each layer after it.
        """
        *new, _ = specs(self.chain_for(None))  # the last is the concatenation
        layers = [getattr(self, spec.name) for spec in new]

        def run(*tensors: Tensor) -> Tensor:
            x = keras.ops.concatenate(tensors, self.channel_axis) if len(tensors) > 1 else tensors[0]
            for layer in layers:
                x = layer(x, training=training)
            return x

        return rematerialized(layers, run, *features)


@register
class DenseBlock(Block):
    """Several dense layers in a row: each sees all features before it.

    Args:
        filters: channels that each layer adds, the paper's growth rate k.
        layers: number of dense layers.
        bottleneck, dropout, dilation_rate: see `DenseLayer`.
        remat: False by default; with it, training keeps what each layer adds, and computes the rest again: above all
            the concatenations, which otherwise take most of a DenseNet's memory, and the 1x1 convolutions.
        batch_norm, use_bias: True and False by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer` ("he_normal"),
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, channels + layers * filters)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Huang et al., "Densely Connected Convolutional Networks", 2016, figure 1.

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.DenseBlock(32, layers=6)(keras.Input((56, 56, 64))).shape
    (None, 56, 56, 256)
    """

    default_settings = NORMALIZED

    def __init__(
        self,
        filters: int,
        *,
        layers: int,
        bottleneck: int = 4,
        dropout: float = 0.0,
        dilation_rate: int = 1,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.layers = validation.integer("layers", layers, most=512)
        self.bottleneck = validation.integer("bottleneck", bottleneck, least=0, most=64)
        self.dropout = validation.share("dropout", dropout)
        self.dilation_rate = validation.integer("dilation_rate", dilation_rate, most=1024)

    def chain(self, channels: int) -> Chain:
        names = ("filters", "bottleneck", "dropout", "dilation_rate")
        options = {name: getattr(self, name) for name in names}
        return [self.layer(f"layer{i}", DenseLayer, **options) for i in range(1, self.layers + 1)]

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if not (self.remat and training):
            return super().call(inputs, training=training)
        self._check_size(inputs)
        features = [as_float(inputs, self.compute_dtype)]
        for spec in specs(self.chain_for(None)):
            features.append(getattr(self, spec.name).new_features(features, training))
        return keras.ops.concatenate(features, self.channel_axis)


@register
class TransitionBlock(Block):
    """Between two dense blocks: fewer channels by a pre-activated 1x1 convolution, half the size by average pooling.

    Args:
        compression: the paper's theta, by which the channels are multiplied, rounded down.
        atrous: whether the size is kept: every pixel is averaged with those right of it and below. With the same
            weights, the pixels that pooling would keep come out the same.
        batch_norm, use_bias: True and False by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer` ("he_normal"),
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`, at least 2x2 pixels.

    Output shape:
        `(batch, height // 2, width // 2, int(channels * compression))`; with `atrous` the input's height and width.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, at build where no channel would be left.

    Reference:
        Huang et al., "Densely Connected Convolutional Networks", 2016, section 3 (DenseNet-C).

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.TransitionBlock()(keras.Input((56, 56, 256))).shape
    (None, 28, 28, 128)
    """

    default_settings = NORMALIZED

    def __init__(self, compression: float = 0.5, *, atrous: bool = False, **kwargs: Unpack[BlockOptions]):
        super().__init__(**kwargs)
        self.compression = validation.number("compression", compression, least=0, most=1)
        self.atrous = validation.boolean("atrous", atrous)

    def chain(self, channels: int) -> Chain:
        filters = int(channels * self.compression)
        if filters < 1:
            raise ValueError(
                f"`compression` must leave a channel of the input's {channels}; received {self.compression!r}."
            )
        step = {"strides": 1, "padding": "same"} if self.atrous else {"strides": 2}
        return [
            *self.conv_unit("conv", filters, 1, pre_activation=True),
            self.layer("pool", keras.layers.AveragePooling2D, pool_size=2, **step),
        ]
