"""The residual blocks and the stem of ResNet, in all versions."""

import keras

from keras_blocks import validation
from keras_blocks.block import Block, register
from keras_blocks.blocks.channel_padding import ChannelPadding

EXPANSION = {"basic": 1, "bottleneck": 4}
"""Output channels over `filters`."""


@register
class ResidualBlock(Block):
    """Two or three convolutions, to whose output the input is added.

    The main branch is, for "basic", 3x3 and 3x3; for "bottleneck", 1x1, 3x3 and 1x1 to four times the filters. Version
    "v1" has the strides in the first convolution and the activation after the addition; "v1.5" has the bottleneck's
    strides in the 3x3; "v2" normalizes and activates before each convolution, and leaves the sum as it is.

    Args:
        filters: channels of the main branch's 3x3 convolutions, the paper's width.
        kind: "basic" or "bottleneck".
        version: "v1", "v1.5" or "v2".
        strides: step in pixels of the block, an integer.
        shortcut: "auto", the input itself where it has the output's shape, else a projection; "projection", a 1x1
            convolution always; "identity", the input, which must have as many channels as the output, and which
            strides subsample; "pad", the input subsampled, with zero channels added on both sides (option A).
        width: channels of the 3x3 convolution over `filters`, 2 for the wide ResNets.
        drop_rate: share of the images for which the main branch is dropped while training (stochastic depth).
        dilation_rate: distance between the taps of the 3x3 convolutions in pixels; not with strides over 1, unless
            `atrous`.
        atrous: whether the size is kept, and the convolutions after the one that would have the strides are dilated
            by as much instead: with the same weights, every pixel that strides would keep comes out the same.
        batch_norm: True by default.
        use_bias: False by default; `None` gives the biases of keras.applications' v2: those of the convolutions that
            no BatchNormalization of the block follows.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer` ("he_normal"),
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, ceil(height / strides), ceil(width / strides), filters)`, for bottlenecks `4 * filters`; with `atrous`
        the input's height and width.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build where the shortcut cannot be
            added.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", 2015, figure 5 and section 3.3 (options A, B);
        "Identity Mappings in Deep Residual Networks", 2016, figure 4(e) (v2); torchvision (v1.5); Huang et al., "Deep
        Networks with Stochastic Depth", 2016; Zagoruyko and Komodakis, "Wide Residual Networks", 2016; Chen et al.,
        "DeepLab", 2016, section 3.1 (atrous convolution).

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.ResidualBlock(128, strides=2)(keras.Input((56, 56, 256))).shape
    (None, 28, 28, 512)
    """

    def __init__(
        self,
        filters,
        kind="bottleneck",
        version="v1.5",
        strides=1,
        shortcut="auto",
        width=1,
        drop_rate=0.0,
        dilation_rate=1,
        atrous=False,
        *,
        batch_norm=True,
        use_bias=False,
        kernel_initializer="he_normal",
        **kwargs,
    ):
        super().__init__(batch_norm=batch_norm, use_bias=use_bias, kernel_initializer=kernel_initializer, **kwargs)
        self.filters = validation.integer("filters", filters)
        self.kind = validation.choice("kind", kind, tuple(EXPANSION))
        self.version = validation.choice("version", version, ("v1", "v1.5", "v2"))
        self.strides = validation.integer("strides", strides, most=64)
        self.shortcut = validation.choice("shortcut", shortcut, ("auto", "projection", "identity", "pad"))
        self.width = validation.integer("width", width, most=64)
        self.drop_rate = validation.number("drop_rate", drop_rate, least=0, most=1, open_end=True)
        self.dilation_rate = validation.integer("dilation_rate", dilation_rate, most=1024)
        self.atrous = validation.boolean("atrous", atrous)
        if self.dilation_rate > 1 and self._step > 1:
            raise ValueError(
                "`strides` over 1 and `dilation_rate` over 1 cannot be combined without `atrous`; received "
                f"strides={strides!r}, dilation_rate={dilation_rate!r}."
            )

    @property
    def output_channels(self) -> int:
        return self.filters * EXPANSION[self.kind]

    @property
    def _step(self) -> int:
        """The strides that are taken."""
        return 1 if self.atrous else self.strides

    def chain(self, channels):
        shortcut, main = self._shortcut(channels), self._main()
        if self.drop_rate:
            # A draw for each image, kept through all of its pixels and channels.
            drop = self.layer("drop", keras.layers.Dropout, rate=self.drop_rate, noise_shape=(None, 1, 1, 1))
            main = (*main, drop)
        if self.version != "v2":
            return [self.sum_of("add", shortcut, main), self.activate("out_activation")]
        before = (*self.normalized("pre"), self.activate("pre_activation"))
        if self._projects(channels):
            return [*before, self.sum_of("add", shortcut, main)]  # the projection sees the activated input, too
        return [self.sum_of("add", shortcut, (*before, *main))]

    def _main(self):
        after = self.dilation_rate * (self.strides if self.atrous else 1)
        step, options = {"padding": "symmetric", "strides": self._step}, {"padding": "symmetric"}
        strided, dilated = {**step, "dilation_rate": self.dilation_rate}, {**options, "dilation_rate": after}
        middle = self.filters * self.width
        if self.kind == "basic":
            convs = [("conv1", middle, 3, strided), ("conv2", self.filters, 3, dilated)]
        else:
            first, second = (step, dilated) if self.version == "v1" else (options, strided)
            convs = [
                ("conv1", middle, 1, first),
                ("conv2", middle, 3, second),
                ("conv3", self.output_channels, 1, options),
            ]
        *units, (last, filters, kernel_size, more) = convs
        main = [spec for name, width, size, more in units for spec in self.unit(name, width, size, **more)]
        if self.version == "v2":
            return (*main, *self.padded_conv2d(last, filters, kernel_size, **more))
        return (*main, *self.unit(last, filters, kernel_size, activated=False, **more))

    def _shortcut(self, channels):
        if self._projects(channels):
            if self.version == "v2":
                return (self.conv2d("projection", self.output_channels, 1, strides=self._step),)
            return self.unit("projection", self.output_channels, 1, activated=False, strides=self._step)
        missing = self.output_channels - channels
        if self.shortcut == "identity" and missing:
            raise ValueError(
                f"`shortcut='identity'` adds the input to the output, so it must have {self.output_channels} channels; "
                f"received {channels}. `shortcut='auto'` projects where they differ."
            )
        if missing < 0 or missing % 2:
            raise ValueError(
                f"`shortcut='pad'` adds as many zero channels on both sides; the output's {self.output_channels} "
                f"channels must be an even number more than the input's; received {channels}."
            )
        every = self.layer("subsample", keras.layers.MaxPooling2D, pool_size=1, strides=self._step)
        pad = self.layer("zero_channels", ChannelPadding, channels=missing // 2)
        return (*((every,) if self._step > 1 else ()), *((pad,) if missing else ()))

    def _projects(self, channels) -> bool:
        same = channels == self.output_channels and self.strides == 1
        return self.shortcut == "projection" or (self.shortcut == "auto" and not same)


@register
class ResNetStem(Block):
    """A 7x7 convolution of stride 2 and a 3x3 max pooling of stride 2, both padded symmetrically.

    Args:
        filters: number of output channels.
        pre_activated: whether the blocks that follow normalize first (v2): then the stem does not.
        border: of the pooling. "zero", as in keras.applications; or "lowest", which loses against any pixel, as in
            PyTorch. Outputs differ only where there is no ReLU before it: if `pre_activated`.
        batch_norm: True by default.
        use_bias: False by default; `None` gives the biases of keras.applications' v2: those of the convolutions that
            no BatchNormalization of the block follows.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer` ("he_normal"),
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, ceil(ceil(height / 2) / 2), ceil(ceil(width / 2) / 2), filters)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", 2015, table 1; padding as in torchvision and
        keras.applications.

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.ResNetStem(64)(keras.Input((224, 224, 3))).shape
    (None, 56, 56, 64)
    """

    def __init__(
        self,
        filters=64,
        pre_activated=False,
        border="zero",
        *,
        batch_norm=True,
        use_bias=False,
        kernel_initializer="he_normal",
        **kwargs,
    ):
        super().__init__(batch_norm=batch_norm, use_bias=use_bias, kernel_initializer=kernel_initializer, **kwargs)
        self.filters = validation.integer("filters", filters)
        self.pre_activated = validation.boolean("pre_activated", pre_activated)
        self.border = validation.choice("border", border, ("zero", "lowest"))

    def chain(self, channels):
        make = self.padded_conv2d if self.pre_activated else self.unit
        conv = make("conv", self.filters, 7, strides=2, padding="symmetric")
        if self.border == "lowest":  # "same" is symmetric with a step of 1 only
            pool = self.layer("pool", keras.layers.MaxPooling2D, pool_size=3, strides=1, padding="same")
            return [*conv, pool, self.layer("subsample", keras.layers.MaxPooling2D, pool_size=1, strides=2)]
        return [
            *conv,
            self.layer("pool_pad", keras.layers.ZeroPadding2D, padding=1),
            self.layer("pool", keras.layers.MaxPooling2D, pool_size=3, strides=2),
        ]
