"""The Inception modules that keep the size: v1 and v2, and v3's A, B and C."""

from typing import Any, Literal, Unpack

import keras

from keras_blocks.blocks.squeeze_excite import SqueezeExciteBlock
from keras_blocks.core import validation
from keras_blocks.core.block import Block, register
from keras_blocks.core.chain import Chain, LayerSpec, Split
from keras_blocks.typing import BlockOptions, Ints, Pair

Version = Literal["v1", "v2"]
Pooling = Literal["max", "avg"]


class BranchedBlock(Block):
    """What all Inception modules are: branches of convolutions, concatenated, and weighted if so wished.

    A subclass names its `filter_names`, what each number of `filters` stands for, and gives its `branches()`.
    """

    filter_names: tuple[str, ...] = ()

    default_settings = {"batch_norm": True}

    def __init__(self, filters: Ints, *, se_ratio: int | None = None, **kwargs: Unpack[BlockOptions]):
        super().__init__(**kwargs)
        self.filters = self._filters(filters)
        self.se_ratio = validation.optional(validation.integer, "se_ratio", se_ratio)

    @property
    def width(self) -> dict[str, int]:
        """Each of `filter_names` -> number of filters."""
        return dict(zip(self.filter_names, self.filters))

    def branches(self) -> list[Chain]:
        """The chains whose outputs are concatenated, in this order."""
        raise NotImplementedError

    def chain(self, channels: int) -> Chain:
        merged = self.concatenate("concat", *self.branches())
        if self.se_ratio is None:
            return [merged]
        return [merged, self.layer("se", SqueezeExciteBlock, ratio=self.se_ratio)]

    def conv_row(self, *units: tuple[str, int, Pair], **options: Any) -> tuple[LayerSpec, ...]:
        """Convolutions in a row, each `(name, filters, kernel_size)`; `options` are those of the last."""
        *before, last = units
        first = [spec for unit in before for spec in self.conv_unit(*unit)]
        return (*first, *self.conv_unit(*last, **options))

    def double_conv(self, reduce: int, filters: int, kernel_size: Pair = 3, **options: Any) -> tuple[LayerSpec, ...]:
        """A 1x1 convolution and two of `kernel_size`, which together see as much as one of nearly twice that."""
        units = [(name, filters, kernel_size) for name in ("double_1", "double_2")]
        return self.conv_row(("reduce_double", reduce, 1), *units, **options)

    def _filters(self, filters: Any) -> tuple[int, ...]:
        names = ", ".join(self.filter_names)
        filters = validation.sequence("filters", filters, of=f"numbers of filters, {names}")
        if len(filters) != len(self.filter_names):
            raise ValueError(f"`filters` must be {len(self.filter_names)} numbers: {names}; received {filters!r}.")
        return tuple(validation.integer(f"filters[{i}]", number) for i, number in enumerate(filters))


class PoolingBranch(BranchedBlock):
    """A module of stride 1 that also has a pooling branch: a pooling, then a 1x1 convolution."""

    def __init__(
        self,
        filters: Ints,
        *,
        count_include_pad: bool = False,
        se_ratio: int | None = None,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(filters, se_ratio=se_ratio, **kwargs)
        self.count_include_pad = validation.boolean("count_include_pad", count_include_pad)

    def pooling_branch(self, kind: Pooling = "avg") -> Chain:
        if kind == "max":
            pool = [self.layer("pool", keras.layers.MaxPooling2D, pool_size=3, strides=1, padding="same")]
        elif self.count_include_pad:
            pool = [
                self.layer("pool_pad", keras.layers.ZeroPadding2D, padding=1),
                self.layer("pool", keras.layers.AveragePooling2D, pool_size=3, strides=1),
            ]
        else:
            pool = [self.layer("pool", keras.layers.AveragePooling2D, pool_size=3, strides=1, padding="same")]
        return [*pool, *self.conv_unit("pool_proj", self.width["pool proj"], 1)]


@register
class InceptionBlock(PoolingBranch):
    """The Inception module of GoogLeNet (v1) and BN-Inception (v2): branches 1x1, 3x3, 5x5, pooling, concatenated.

    Args:
        filters: six numbers in the order of the papers' tables: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj; in
            v2, double 3x3 reduce and double 3x3 are the fourth and fifth.
        version: "v1", the third branch has one convolution, `conv_5x5`; "v2", it has two, `double_1`, `double_2`.
        kernel_size: of the third branch's convolutions; `None` is 5 in v1 and 3 in v2. torchvision's v1 has 3.
        pooling: of the fourth branch, "max" or "avg".
        count_include_pad: whether an average pooling counts the zeros of its border, as Caffe and PyTorch do and
            TensorFlow does not.
        se_ratio: channels over those that a `SqueezeExciteBlock` at the end squeezes them to; `None` for none.
        batch_norm: False by default, as in GoogLeNet's paper.
        **kwargs: the settings of `Block`: `activation` ("relu"), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, filters[0] + filters[2] + filters[4] + filters[5])`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build where `se_ratio` does not divide
            the output's channels.

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", 2014, figure 2(b) and table 1; Ioffe and Szegedy, "Batch
        Normalization", 2015, section 4.2.1 and figure 5 (v2).

    Example:

    >>> import keras, keras_blocks
    >>> block = keras_blocks.InceptionBlock((64, 96, 128, 16, 32, 32))
    >>> block(keras.Input((28, 28, 192))).shape
    (None, 28, 28, 256)
    >>> block.count_params()
    163696
    """

    default_settings = {"batch_norm": False}
    filter_names = ("1x1", "3x3 reduce", "3x3", "5x5 reduce", "5x5", "pool proj")

    def __init__(
        self,
        filters: Ints,
        version: Version = "v1",
        *,
        kernel_size: Pair | None = None,
        pooling: Pooling = "max",
        count_include_pad: bool = False,
        se_ratio: int | None = None,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(filters, count_include_pad=count_include_pad, se_ratio=se_ratio, **kwargs)
        self.version = validation.choice("version", version, Version)
        self.kernel_size = validation.optional(validation.pair, "kernel_size", kernel_size)
        self.pooling = validation.choice("pooling", pooling, Pooling)

    def branches(self) -> list[Chain]:
        width = self.width
        reduce, wide, kernel = width["5x5 reduce"], width["5x5"], self.kernel_size
        if self.version == "v1":
            third = self.conv_row(("reduce_5x5", reduce, 1), ("conv_5x5", wide, kernel or 5))
        else:
            third = self.double_conv(reduce, wide, kernel or 3)
        return [
            self.conv_row(("conv_1x1", width["1x1"], 1)),
            self.conv_row(("reduce_3x3", width["3x3 reduce"], 1), ("conv_3x3", width["3x3"], 3)),
            third,
            self.pooling_branch(self.pooling),
        ]


@register
class InceptionA(PoolingBranch):
    """Inception v3's module for 35x35: branches 1x1, 5x5, double 3x3, average pooling, concatenated.

    Args:
        filters: six numbers: 1x1, 5x5 reduce, 5x5, double 3x3 reduce, double 3x3, pool proj.
        count_include_pad: whether the average pooling counts the zeros of its border, as PyTorch does and Keras not.
        se_ratio: channels over those that a `SqueezeExciteBlock` at the end squeezes them to; `None` for none.
        batch_norm: True by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, filters[0] + filters[2] + filters[4] + filters[5])`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build where `se_ratio` does not divide
            the output's channels.

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015, figure 5 and table 1, with
        the 5x5 branch of its published code, as in keras.applications and torchvision.

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.InceptionA((64, 48, 64, 64, 96, 32))(keras.Input((35, 35, 192))).shape
    (None, 35, 35, 256)
    """

    filter_names = ("1x1", "5x5 reduce", "5x5", "double 3x3 reduce", "double 3x3", "pool proj")

    def branches(self) -> list[Chain]:
        width = self.width
        return [
            self.conv_row(("conv_1x1", width["1x1"], 1)),
            self.conv_row(("reduce_5x5", width["5x5 reduce"], 1), ("conv_5x5", width["5x5"], 5)),
            self.double_conv(width["double 3x3 reduce"], width["double 3x3"]),
            self.pooling_branch(),
        ]


@register
class InceptionB(PoolingBranch):
    """Inception v3's module for 17x17: nxn convolutions factorized into 1xn and nx1.

    Args:
        filters: six numbers: 1x1, nxn reduce, nxn, double nxn reduce, double nxn, pool proj. All convolutions of a
            branch but its last have as many filters as its reduction.
        n: size of the factorized kernels.
        count_include_pad: whether the average pooling counts the zeros of its border, as PyTorch does and Keras not.
        se_ratio: channels over those that a `SqueezeExciteBlock` at the end squeezes them to; `None` for none.
        batch_norm: True by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, filters[0] + filters[2] + filters[4] + filters[5])`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build where `se_ratio` does not divide
            the output's channels.

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015, figure 6 (n = 7).

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.InceptionB((192, 128, 192, 128, 192, 192))(keras.Input((17, 17, 768))).shape
    (None, 17, 17, 768)
    """

    filter_names = ("1x1", "nxn reduce", "nxn", "double nxn reduce", "double nxn", "pool proj")

    def __init__(
        self,
        filters: Ints,
        *,
        n: int = 7,
        count_include_pad: bool = False,
        se_ratio: int | None = None,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(filters, count_include_pad=count_include_pad, se_ratio=se_ratio, **kwargs)
        self.n = validation.integer("n", n, most=1024)

    def branches(self) -> list[Chain]:
        width = self.width
        reduce, double = width["nxn reduce"], width["double nxn reduce"]
        row, column = (1, self.n), (self.n, 1)
        return [
            self.conv_row(("conv_1x1", width["1x1"], 1)),
            self.conv_row(("reduce_nxn", reduce, 1), ("conv_1xn", reduce, row), ("conv_nx1", width["nxn"], column)),
            self.conv_row(
                ("reduce_double", double, 1),
                ("double_1", double, column),
                ("double_2", double, row),
                ("double_3", double, column),
                ("double_4", width["double nxn"], row),
            ),
            self.pooling_branch(),
        ]


@register
class InceptionC(PoolingBranch):
    """Inception v3's module for 8x8: the 3x3 branches end in parallel 1x3 and 3x1 convolutions.

    Args:
        filters: six numbers: 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, pool proj. The 1x3 and the 3x1 of a
            branch have as many filters each.
        count_include_pad: whether the average pooling counts the zeros of its border, as PyTorch does and Keras not.
        se_ratio: channels over those that a `SqueezeExciteBlock` at the end squeezes them to; `None` for none.
        batch_norm: True by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, filters[0] + 2 * filters[2] + 2 * filters[4] + filters[5])`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build where `se_ratio` does not divide
            the output's channels.

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015, figure 7.

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.InceptionC((320, 384, 384, 448, 384, 192))(keras.Input((8, 8, 1280))).shape
    (None, 8, 8, 2048)
    """

    filter_names = ("1x1", "3x3 reduce", "3x3", "double 3x3 reduce", "double 3x3", "pool proj")

    def branches(self) -> list[Chain]:
        width = self.width
        double = width["double 3x3"]
        return [
            self.conv_row(("conv_1x1", width["1x1"], 1)),
            [*self.conv_row(("reduce_3x3", width["3x3 reduce"], 1)), self._expanded("expand", width["3x3"])],
            [
                *self.conv_row(("reduce_double", width["double 3x3 reduce"], 1), ("double_3x3", double, 3)),
                self._expanded("double", double),
            ],
            self.pooling_branch(),
        ]

    def _expanded(self, name: str, filters: int) -> Split:
        row, column = self.conv_unit(f"{name}_1x3", filters, (1, 3)), self.conv_unit(f"{name}_3x1", filters, (3, 1))
        return self.concatenate(f"{name}_concat", row, column)
