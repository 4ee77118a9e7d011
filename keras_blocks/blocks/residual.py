"""The residual blocks of ResNet, in all versions, of ResNeXt and of SENet."""

from typing import Any, Literal, TypedDict, Unpack

import keras

from keras_blocks.blocks.channel_padding import ChannelPadding
from keras_blocks.blocks.squeeze_excite import SqueezeExciteBlock
from keras_blocks.core import validation
from keras_blocks.core.block import Block, register
from keras_blocks.core.chain import LayerSpec, Split
from keras_blocks.core.declaration import Declaration, layer_declaration
from keras_blocks.core.layers import NORMALIZED
from keras_blocks.core.sizes import DilatedMeanPooling
from keras_blocks.typing import BlockOptions

Version = Literal["v1", "v1.5", "v2"]
Kind = Literal["basic", "bottleneck"]
GroupedVersion = Literal["v1.5", "v2"]  # of "v1", the stride would leave the groups
Shortcut = Literal["auto", "projection", "identity", "pad", "pooled"]
ProjectionSize = Literal[1, 3]
Convolution = tuple[str, int, int, dict[str, Any]]

EXPANSIONS = {"basic": 1, "bottleneck": 4}
"""Kind of a residual block -> its output channels over its `filters`."""


class ResidualOptions(TypedDict, total=False):
    """What residual blocks, and networks of them, hand on by name, see `ResidualBlock`."""

    drop_rate: float
    se_use_bias: bool
    block_dropout: float
    attention: Declaration
    convolution: Declaration


class ResidualBlockOptions(ResidualOptions, BlockOptions, total=False):
    """What `ResidualBlock` and `ResNeXtBlock` take by name beside their own."""

    dilation_rate: int
    atrous: bool
    se_ratio: int | None


class ResidualUnit(Block):
    """What all residual blocks have in common: a shortcut and a main branch, which are added.

    A subclass gives its convolutions by `_convolutions`, and the settings of the projection by `projection_size`. It
    passes the options that it does not name itself on to this constructor, by name.
    """

    projection_size = 1

    attended: str | None = None
    """The convolution behind which the attention stands; `None` for the end of the main branch."""

    default_settings = NORMALIZED

    def __init__(
        self,
        filters: int,
        *,
        version: Version = "v1.5",
        strides: int = 1,
        shortcut: Shortcut = "auto",
        drop_rate: float = 0.0,
        dilation_rate: int = 1,
        atrous: bool = False,
        se_ratio: int | None = None,
        se_use_bias: bool = True,
        block_dropout: float = 0.0,
        attention: Declaration = None,
        convolution: Declaration = None,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.version = validation.choice("version", version, Version)
        self.strides = validation.integer("strides", strides, most=64)
        self.shortcut = validation.choice("shortcut", shortcut, Shortcut)
        self.drop_rate = validation.share("drop_rate", drop_rate)
        self.dilation_rate = validation.integer("dilation_rate", dilation_rate, most=1024)
        self.atrous = validation.boolean("atrous", atrous)
        self.se_ratio = validation.optional(validation.integer, "se_ratio", se_ratio)
        self.se_use_bias = validation.boolean("se_use_bias", se_use_bias)
        self.block_dropout = validation.share("block_dropout", block_dropout)
        self.attention = layer_declaration("attention", attention)
        self.convolution = layer_declaration("convolution", convolution, given=["filters"])
        if self.dilation_rate > 1 and self._step > 1:
            raise ValueError(
                "`strides` over 1 and `dilation_rate` over 1 cannot be combined without `atrous`; received "
                f"strides={strides!r}, dilation_rate={dilation_rate!r}."
            )

    @property
    def output_channels(self) -> int:
        raise NotImplementedError

    def _convolutions(self, strided: dict[str, Any], dilated: dict[str, Any]) -> list[Convolution]:
        """(name, filters, kernel size, options) of the main branch's convolutions.

        `strided` are the options of the one that has the strides, `dilated` those of a 3x3 after it.
        """
        raise NotImplementedError

    @property
    def _step(self) -> int:
        """The strides that are taken."""
        return 1 if self.atrous else self.strides

    def chain(self, channels: int) -> list[LayerSpec | Split]:
        shortcut, main = self._shortcut(channels), self._main(channels)
        if self.drop_rate:
            # A draw for each image, kept through all of its pixels and channels.
            drop = self.layer("drop", keras.layers.Dropout, rate=self.drop_rate, noise_shape=(None, 1, 1, 1))
            main = (*main, drop)
        if self.version != "v2":
            return [self.sum_of("add", shortcut, main), self.activate("out_activation")]
        before = (*self.norm_if_any("pre"), self.activate("pre_activation"))
        if self._projects(channels):
            return [*before, self.sum_of("add", shortcut, main)]  # the projection sees the activated input, too
        return [self.sum_of("add", shortcut, (*before, *main))]

    def _attention(self, channels: int) -> tuple[LayerSpec, ...]:
        """The attention of a block with so many input channels, or nothing."""
        squeezed = self._squeezed(channels)
        return squeezed if self.attention is None else (*squeezed, self.declared("attend", self.attention))

    def _squeezed(self, channels: int) -> tuple[LayerSpec, ...]:
        if self.se_ratio is None:
            return ()
        return (self.layer("se", SqueezeExciteBlock, ratio=self.se_ratio, use_bias=self.se_use_bias),)

    def _main(self, channels: int) -> tuple[LayerSpec, ...]:
        after = self.dilation_rate * (self.strides if self.atrous else 1)
        symmetric = {"padding": "symmetric"}
        *units, (last, filters, kernel_size, options) = self._convolutions(
            {**symmetric, "strides": self._step, "dilation_rate": self.dilation_rate},
            {**symmetric, "dilation_rate": after},
        )
        main: list[LayerSpec] = []
        attention = self._attention(channels)
        for name, width, size, more in units:
            if self.convolution is not None and size > 1:
                main.append(self.declared(name, self.convolution, **{**more, "filters": width}))
            else:
                main += self.conv_unit(name, width, size, **more)
            if name == self.attended:
                main += attention
            if self.block_dropout:
                main.append(self.layer(f"{name}_dropout", keras.layers.Dropout, rate=self.block_dropout))
        if self.version == "v2":
            main += self.padded_conv2d(last, filters, kernel_size, **options)
        else:
            main += self.conv_unit(last, filters, kernel_size, activated=False, **options)
        return (*main, *(attention if self.attended is None else ()))

    def _shortcut(self, channels: int) -> tuple[LayerSpec, ...]:
        if self._projects(channels):
            options: dict[str, Any] = {"strides": self._step, "padding": "symmetric"}
            pool = self._pooling() if self.shortcut == "pooled" and self.strides > 1 else ()
            if pool:
                options["strides"] = 1
            if self.projection_size > 1:
                options["dilation_rate"] = self.dilation_rate
            if self.version == "v2":
                return (*pool, *self.padded_conv2d("projection", self.output_channels, self.projection_size, **options))
            unit = self.conv_unit("projection", self.output_channels, self.projection_size, activated=False, **options)
            return (*pool, *unit)
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

    def _projects(self, channels: int) -> bool:
        same = channels == self.output_channels and self.strides == 1
        return self.shortcut == "projection" or (self.shortcut in ("auto", "pooled") and not same)

    def _pooling(self) -> tuple[LayerSpec, ...]:
        """What has the strides of a pooled projection: of a window over the edge, the pixels inside count."""
        if not self.atrous:
            options = {"pool_size": self.strides, "strides": self.strides, "padding": "same"}
            return (self.layer("projection_pool", keras.layers.AveragePooling2D, **options),)
        return (self.layer("projection_pool", DilatedMeanPooling, dilation_rate=self.dilation_rate),)


@register
class ResidualBlock(ResidualUnit):
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
            strides subsample; "pad", the input subsampled, with zero channels added on both sides (option A);
            "pooled", as "auto", but that an average pooling has the projection's strides (ResNet-D).
        width: channels of the 3x3 convolution over `filters`, 2 for the wide ResNets.
        drop_rate: share of the images for which the main branch is dropped while training (stochastic depth).
        dilation_rate: distance between the taps of the 3x3 convolutions in pixels; not with strides over 1, unless
            `atrous`.
        atrous: whether the size is kept, and the convolutions after the one that would have the strides are dilated
            by as much instead: with the same weights, every pixel that strides would keep comes out the same (nearly
            so with squeeze-excitation, whose means are then of more pixels).
        se_ratio: `None`, or the ratio of a `SqueezeExciteBlock` at the end of the main branch, before the addition.
        se_use_bias: whether that block's convolutions have biases.
        block_dropout: share of the values dropped between each two convolutions of the main branch, behind the
            activation, while training.
        attention: a layer that weighs what it is given, at the end of the main branch, before the addition: its class,
            such as `keras_blocks.EfficientChannelAttention` or one of yours, one that is not built as a pattern, its
            registered name, or a dict of "layer" and its arguments. Settings that it is not told are the block's.
            `se_ratio` is the case of a `SqueezeExciteBlock`; with both, that comes first.
        convolution: likewise a layer that stands for the first 3x3 convolution, with its normalization and activation,
            such as `keras_blocks.SelectiveKernelBlock`; it is given those of `filters`, `strides`, `dilation_rate`,
            `padding` and `groups` that its class takes.
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
        Networks with Stochastic Depth", 2016; Zagoruyko and Komodakis, "Wide Residual Networks", 2016, section 2.4 for
        `block_dropout`; Chen et al., "DeepLab", 2016, section 3.1 (atrous convolution); He et al., "Bag of Tricks for
        Image Classification with Convolutional Neural Networks", 2018, figure 2(c) ("pooled").

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.ResidualBlock(128, strides=2)(keras.Input((56, 56, 256))).shape
    (None, 28, 28, 512)
    """

    def __init__(
        self,
        filters: int,
        kind: Kind = "bottleneck",
        version: Version = "v1.5",
        *,
        strides: int = 1,
        shortcut: Shortcut = "auto",
        width: int = 1,
        **kwargs: Unpack[ResidualBlockOptions],
    ):
        super().__init__(filters, version=version, strides=strides, shortcut=shortcut, **kwargs)
        self.kind = validation.choice("kind", kind, Kind)
        self.width = validation.integer("width", width, most=64)

    @property
    def output_channels(self) -> int:
        return self.filters * EXPANSIONS[self.kind]

    def _convolutions(self, strided: dict[str, Any], dilated: dict[str, Any]) -> list[Convolution]:
        middle, plain = self.filters * self.width, {"padding": "symmetric"}
        if self.kind == "basic":
            return [("conv1", middle, 3, strided), ("conv2", self.filters, 3, dilated)]
        first, second = ({**strided, "dilation_rate": 1}, dilated) if self.version == "v1" else (plain, strided)
        return [("conv1", middle, 1, first), ("conv2", middle, 3, second), ("conv3", self.output_channels, 1, plain)]


@register
class ResNeXtBlock(ResidualUnit):
    """A bottleneck whose 3x3 convolution works in groups, "cardinality" many, to whose output the input is added.

    Args:
        filters: the width of the ResNet's bottleneck that the block stands for; the output has four times as many
            channels.
        cardinality: number of groups of the 3x3 convolution, the paper's C.
        base_width: channels of each group where `filters` is 64, in proportion elsewhere; the paper's d.
        strides: step in pixels of the 3x3 convolution, an integer.
        shortcut: as in `ResidualBlock`.
        narrow_entry: whether the first 1x1 convolution has half of the grouped convolution's channels (SENet-154).
        projection_size: kernel size of the projection; 3 in SENet-154 where it strides.
        drop_rate, dilation_rate, atrous, se_ratio, se_use_bias, block_dropout, attention, convolution: as in
            `ResidualBlock`.
        version: "v1.5", normalized after each convolution, as in the paper; or "v2", before each.
        batch_norm: True by default; use_bias: False by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer` ("he_normal"),
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, ceil(height / strides), ceil(width / strides), 4 * filters)`; with `atrous` the input's height and
        width.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, or a group without a channel; at build
            where the shortcut cannot be added.

    Reference:
        Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", 2017, figure 3(c) and table 1; Hu et
        al., "Squeeze-and-Excitation Networks", 2017, section 6.1 (SENet-154).

    Example: the first of ResNeXt-50 (32x4d).

    >>> import keras, keras_blocks
    >>> block = keras_blocks.ResNeXtBlock(64, cardinality=32, base_width=4)
    >>> block(keras.Input((56, 56, 64))).shape
    (None, 56, 56, 256)
    """

    def __init__(
        self,
        filters: int,
        *,
        cardinality: int = 32,
        base_width: int = 4,
        strides: int = 1,
        shortcut: Shortcut = "auto",
        narrow_entry: bool = False,
        projection_size: ProjectionSize = 1,
        version: GroupedVersion = "v1.5",
        **kwargs: Unpack[ResidualBlockOptions],
    ):
        validation.choice("version", version, GroupedVersion)
        super().__init__(filters, version=version, strides=strides, shortcut=shortcut, **kwargs)
        self.cardinality = validation.integer("cardinality", cardinality)
        self.base_width = validation.integer("base_width", base_width)
        self.narrow_entry = validation.boolean("narrow_entry", narrow_entry)
        self.projection_size = validation.choice("projection_size", projection_size, ProjectionSize)
        if not self._group_width:
            raise ValueError(
                f"`base_width` must leave each group a channel, so filters * base_width must be at least 64; received "
                f"filters={filters!r}, base_width={base_width!r}."
            )
        if narrow_entry and self._group_width % 2:
            raise ValueError(
                "`narrow_entry` halves each group's filters * base_width // 64 channels, which must be even; received "
                f"filters={filters!r}, base_width={base_width!r}."
            )

    @property
    def _group_width(self) -> int:
        return self.filters * self.base_width // 64

    @property
    def output_channels(self) -> int:
        return 4 * self.filters

    def _convolutions(self, strided: dict[str, Any], dilated: dict[str, Any]) -> list[Convolution]:
        middle, plain = self._group_width * self.cardinality, {"padding": "symmetric"}
        entry = middle // 2 if self.narrow_entry else middle
        return [
            ("conv1", entry, 1, plain),
            ("conv2", middle, 3, {**strided, "groups": self.cardinality}),
            ("conv3", self.output_channels, 1, plain),
        ]
