"""The halves of autoencoders: blocks that make images smaller, and their mirror images that make them larger."""

from typing import Any, Literal, Unpack

import keras

from keras_blocks.blocks.residual import ResidualBlock
from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.block import Block, register
from keras_blocks.core.chain import Chain, LayerSpec
from keras_blocks.typing import BlockOptions, Config, DataFormat, Ints, LayerOptions, Pair, Shape, Tensor

Kind = Literal["plain", "residual"]


class CodingBlock(Block):
    """What encoders and decoders have in common: the metaparameters."""

    default_settings = {"batch_norm": True}

    def __init__(
        self,
        filters: int,
        *,
        blocks: int = 1,
        kernel_size: Pair = 3,
        strides: Pair = 2,
        kind: Kind = "plain",
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.blocks = validation.integer("blocks", blocks, most=64)
        self.kernel_size = validation.pair("kernel_size", kernel_size)
        self.strides = validation.pair("strides", strides, most=64)
        self.kind = validation.choice("kind", kind, Kind)
        if any(size < step for size, step in zip(self.kernel_size, self.strides)):
            raise ValueError(
                f"`kernel_size` must be at least `strides`, or pixels are left out; received "
                f"kernel_size={kernel_size!r}, strides={strides!r}."
            )

    def _residual_blocks(self, channels: int) -> list[LayerSpec]:
        options = {"kind": "basic", "version": "v2", "shortcut": "identity", "use_bias": self.use_bias}
        return [self.layer(f"block{i}", ResidualBlock, filters=channels, **options) for i in range(1, self.blocks + 1)]


@register
class EncoderBlock(CodingBlock):
    """A strided convolution that makes the image smaller, and more layers at the new size.

    The "plain" kind has `blocks` convolutions, the first of them strided, each with normalization and activation. The
    "residual" kind has a strided convolution alone, and then `blocks` pre-activated `ResidualBlock`s: from its input
    to its output there is a way that is linear.

    Args:
        filters: number of output channels.
        blocks: number of convolutions ("plain") or of residual blocks ("residual").
        kernel_size: of the convolutions, or of the strided one; an integer or two, not smaller than `strides`.
        strides: by how much the image becomes smaller, an integer or two.
        kind: "plain" or "residual".
        batch_norm: True by default; see `Block` for this and the other settings that all blocks share.
        **kwargs: the settings of `Block`: `activation` ("relu"), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, ceil(height / strides), ceil(width / strides), filters)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Masci et al., "Stacked Convolutional Auto-Encoders for Hierarchical Feature Extraction", 2011; Ferlitsch, "Deep
        Learning Design Patterns", 2021, and the accompanying zoo/autoencoder (plain); He et al., "Identity Mappings in
        Deep Residual Networks", 2016, figure 4(e) (residual).

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.EncoderBlock(32)(keras.Input((13, 13, 3))).shape
    (None, 7, 7, 32)
    """

    def chain(self, channels: int) -> Chain:
        if self.kind == "residual":
            first = self.conv2d("down", self.filters, self.kernel_size, strides=self.strides)
            return [first, *self._residual_blocks(self.filters)]
        down = self.conv_unit("down", self.filters, self.kernel_size, strides=self.strides)
        convs = [self.conv_unit(f"conv{i}", self.filters, self.kernel_size) for i in range(2, self.blocks + 1)]
        return [*down, *(spec for unit in convs for spec in unit)]


@register
class DecoderBlock(CodingBlock):
    """The mirror image of `EncoderBlock`: its layers in reverse, with a transposed convolution for the strided.

    The transposed convolution is the exact adjoint of the encoder's, whatever the size: what Keras' "same" padding adds
    to an image on either side is cut off again.

    Args:
        filters: number of output channels: those of the encoder's input.
        blocks, kernel_size, strides, kind: those of the `EncoderBlock`.
        trim: (rows, columns) by which the output is smaller than the input times `strides`, an integer or two, less
            than `strides`: with strides of 2, 1 where the encoder's input had an odd size.
        activated: whether normalization and activation follow the transposed convolution of the "plain" kind; not
            where its output is an image.
        batch_norm: True by default; see `Block` for this and the other settings that all blocks share.
        **kwargs: the settings of `Block`: `activation` ("relu"), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height * strides - trim, width * strides - trim, filters)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        As of `EncoderBlock`; Zeiler et al., "Deconvolutional Networks", 2010; Dumoulin and Visin, "A guide to
        convolution arithmetic for deep learning", 2016, section 4 (transposed convolution).

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.DecoderBlock(3, trim=1)(keras.Input((7, 7, 32))).shape
    (None, 13, 13, 3)
    """

    def __init__(
        self,
        filters: int,
        *,
        blocks: int = 1,
        kernel_size: Pair = 3,
        strides: Pair = 2,
        kind: Kind = "plain",
        trim: Pair = 0,
        activated: bool = True,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(filters, blocks=blocks, kernel_size=kernel_size, strides=strides, kind=kind, **kwargs)
        self.trim = validation.pair("trim", trim, least=0)
        self.activated = validation.boolean("activated", activated)
        if any(size >= step for size, step in zip(self.trim, self.strides)):
            raise ValueError(f"`trim` must be less than `strides`; received trim={trim!r}, strides={self.strides!r}.")

    def chain(self, channels: int) -> Chain:
        norm = self.norm_if_any("up") if self.kind == "plain" and self.activated else ()
        bias = {"use_bias": bool(self.use_bias)} if norm else {}
        up = self.conv2d(
            "up", self.filters, self.kernel_size, transposed=True, strides=self.strides, padding="valid", **bias
        )
        borders = [before_and_after(*sizes) for sizes in zip(self.kernel_size, self.strides, self.trim)]
        crop = [self.layer("crop", keras.layers.Cropping2D, cropping=borders)] if any(map(any, borders)) else []
        if self.kind == "residual":
            return [*self._residual_blocks(channels), up, *crop]
        convs = [self.conv_unit(f"conv{i}", channels, self.kernel_size) for i in range(2, self.blocks + 1)]
        after = (*norm, self.activate("up_activation")) if self.activated else ()
        return [*(spec for unit in convs for spec in unit), up, *crop, *after]


def before_and_after(kernel: Any, step: Any, trim: Any) -> tuple[Any, Any]:
    """How much a strided convolution with "same" padding pads on either side, which is what its adjoint cuts off.

    Where `trim` pixels are missing to a size that `step` divides.
    """
    padded = kernel - step + trim
    return padded // 2, padded - padded // 2


@register
class TrimLike(keras.layers.Layer):
    """Cuts decoded images to the size of those that were encoded, where that size is known in the call alone.

    Args:
        kernel_size, strides: of the encoder's convolution, pairs: they tell on which side it padded.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Inputs: the decoded images, and a feature map of the size wanted.
    """

    def __init__(
        self, kernel_size: Ints, strides: Ints, data_format: DataFormat | None = None, **kwargs: Unpack[LayerOptions]
    ):
        super().__init__(**kwargs)
        self.kernel_size, self.strides = tuple(kernel_size), tuple(strides)
        self.data_format = keras_arguments.data_format("data_format", data_format)

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        x, wanted = inputs
        sizes, after = keras.ops.shape(x), keras.ops.shape(wanted)
        start, shape = [0] * 4, list(sizes)
        for axis, kernel, step in zip(self._axes, self.kernel_size, self.strides):
            trim = sizes[axis] - after[axis]
            start[axis] = before_and_after(kernel, step, trim)[0] - before_and_after(kernel, step, 0)[0]
            shape[axis] = after[axis]
        parts = tuple(slice(first, first + size) for first, size in zip(start, shape))
        return x[parts]

    def compute_output_shape(self, input_shape: Any) -> Shape:
        x, wanted = input_shape
        after = list(x)
        for axis in self._axes:
            after[axis] = wanted[axis]
        return tuple(after)

    def get_config(self) -> Config:
        own = {"kernel_size": list(self.kernel_size), "strides": list(self.strides), "data_format": self.data_format}
        return {**super().get_config(), **own}

    @property
    def _axes(self) -> tuple[int, int]:
        return (1, 2) if self.data_format == "channels_last" else (2, 3)
