"""The Inception modules that halve the size: convolutions of stride 2 beside a pooling of stride 2."""

from typing import Any, Unpack

import keras

from keras_blocks.blocks.inception import BranchedBlock
from keras_blocks.core import validation
from keras_blocks.core.block import register
from keras_blocks.core.chain import Chain, LayerSpec
from keras_blocks.typing import BlockOptions, Ints, Padding


class GridReduction(BranchedBlock):
    """A module of stride 2, whose last branch is the input itself, max pooled."""

    def __init__(
        self,
        filters: Ints,
        padding: Padding = "valid",
        *,
        se_ratio: int | None = None,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(filters, se_ratio=se_ratio, **kwargs)
        self.padding = validation.choice("padding", padding, Padding)

    @property
    def halving(self) -> dict[str, Any]:
        """Options of the last convolution of a branch."""
        return {"strides": 2, "padding": self.padding}

    def pooled(self) -> list[LayerSpec]:
        # As large as a symmetrically padded convolution for any size, and for even sizes what Caffe rounds up to.
        padding = "valid" if self.padding == "valid" else "same"
        return [self.layer("pool", keras.layers.MaxPooling2D, pool_size=3, strides=2, padding=padding)]


@register
class GridReductionA(GridReduction):
    """Inception v3's module from 35x35 to 17x17: branches 3x3, double 3x3, max pooling, all of stride 2.

    Args:
        filters: three numbers: 3x3, double 3x3 reduce, double 3x3. The pooling keeps the input's channels.
        padding: "valid", as in the paper; "same" or "symmetric" for small images.
        se_ratio: channels over those that a `SqueezeExciteBlock` at the end squeezes them to; `None` for none.
        batch_norm: True by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, (height - 3) // 2 + 1, (width - 3) // 2 + 1, channels + filters[0] + filters[2])`; with another
        padding, half the height and width, rounded up.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build for an image too small, and where
            `se_ratio` does not divide the output's channels.

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015, figure 10.

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.GridReductionA((384, 64, 96))(keras.Input((35, 35, 288))).shape
    (None, 17, 17, 768)
    """

    filter_names = ("3x3", "double 3x3 reduce", "double 3x3")

    def branches(self) -> list[Chain]:
        width = self.width
        return [
            self.conv_row(("conv_3x3", width["3x3"], 3), **self.halving),
            self.double_conv(width["double 3x3 reduce"], width["double 3x3"], **self.halving),
            self.pooled(),
        ]


@register
class GridReductionB(GridReduction):
    """Inception v3's module from 17x17 to 8x8: branches 3x3, factorized nxn and 3x3, max pooling, all of stride 2.

    Args:
        filters: four numbers: 3x3 reduce, 3x3, nxn reduce, nxn. The 1x1, 1xn and nx1 convolutions of the second branch
            have as many filters as its reduction. The pooling keeps the input's channels.
        n: size of the factorized kernels.
        padding: "valid", as in the paper; "same" or "symmetric" for small images.
        se_ratio: channels over those that a `SqueezeExciteBlock` at the end squeezes them to; `None` for none.
        batch_norm: True by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, (height - 3) // 2 + 1, (width - 3) // 2 + 1, channels + filters[1] + filters[3])`; with another
        padding, half the height and width, rounded up.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build for an image too small, and where
            `se_ratio` does not divide the output's channels.

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015, section 6 and its published
        code, as in keras.applications and torchvision.

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.GridReductionB((192, 320, 192, 192))(keras.Input((17, 17, 768))).shape
    (None, 8, 8, 1280)
    """

    filter_names = ("3x3 reduce", "3x3", "nxn reduce", "nxn")

    def __init__(
        self,
        filters: Ints,
        *,
        n: int = 7,
        padding: Padding = "valid",
        se_ratio: int | None = None,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(filters, padding, se_ratio=se_ratio, **kwargs)
        self.n = validation.integer("n", n, most=1024)

    def branches(self) -> list[Chain]:
        width = self.width
        reduce = width["nxn reduce"]
        return [
            self.conv_row(("reduce_3x3", width["3x3 reduce"], 1), ("conv_3x3", width["3x3"], 3), **self.halving),
            self.conv_row(
                ("reduce_nxn", reduce, 1),
                ("conv_1xn", reduce, (1, self.n)),
                ("conv_nx1", reduce, (self.n, 1)),
                ("last_3x3", width["nxn"], 3),
                **self.halving,
            ),
            self.pooled(),
        ]


@register
class PassThroughReduction(GridReduction):
    """BN-Inception's module of stride 2: branches 3x3, double 3x3, and the input's channels passed through, max pooled.

    Args:
        filters: four numbers in the order of the paper's table: 3x3 reduce, 3x3, double 3x3 reduce, double 3x3.
        padding: "symmetric", as Caffe and PyTorch pad the convolutions; "same"; or "valid".
        se_ratio: channels over those that a `SqueezeExciteBlock` at the end squeezes them to; `None` for none.
        batch_norm: True by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, ceil(height / 2), ceil(width / 2), channels + filters[1] + filters[3])`. Of odd sizes, which Caffe's
        poolings and convolutions would make unequal, the pooling's border is as wide as the convolutions'.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build where `se_ratio` does not divide
            the output's channels.

    Reference:
        Ioffe and Szegedy, "Batch Normalization", 2015, figure 5: inception (3c) and (4e), "max + pass through".

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.PassThroughReduction((128, 160, 64, 96))(keras.Input((28, 28, 320))).shape
    (None, 14, 14, 576)
    """

    filter_names = ("3x3 reduce", "3x3", "double 3x3 reduce", "double 3x3")

    def __init__(
        self,
        filters: Ints,
        padding: Padding = "symmetric",
        *,
        se_ratio: int | None = None,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(filters, padding, se_ratio=se_ratio, **kwargs)

    def branches(self) -> list[Chain]:
        width = self.width
        return [
            self.conv_row(("reduce_3x3", width["3x3 reduce"], 1), ("conv_3x3", width["3x3"], 3), **self.halving),
            self.double_conv(width["double 3x3 reduce"], width["double 3x3"], **self.halving),
            self.pooled(),
        ]
