"""Convolution in groups of channels, which trains on a CPU."""

from typing import Any

import keras

from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.core.native_layers import Direct, own_class
from keras_blocks.core.registration import register
from keras_blocks.ops.casting import as_float
from keras_blocks.ops.grouped_conv import grouped_conv2d
from keras_blocks.typing import DataFormat, KerasPadding, Pair, Shape, Tensor


@register
class GroupedConv2D(NamedArguments, Direct, keras.layers.Conv2D):
    """Convolution whose output channels of a group see the input channels of the same group alone.

    It computes what `keras.layers.Conv2D(groups=...)` does, from the same weights, but trains on CPUs, where that one
    takes hundreds of times longer: `keras_blocks/ops/grouped_conv.py` tells by which formulation. Either's config makes
    the other, `GroupedConv2D.from_config(conv.get_config())`, and `set_weights` moves the weights; `in_place_of` helps
    to do so for a whole model. Where a formulation puts groups together (on JAX, under XLA, and in 16 or 64 bits
    without a kernel for them) a value that is not finite spreads to neighbouring groups.

    Args:
        filters: number of output channels.
        kernel_size: height and width of the kernel, an integer or two.
        groups: number of groups; must divide `filters` and the input's channels.
        strides: step of the kernel in pixels, an integer or two.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        dilation_rate: distance between the kernel's taps in pixels, an integer or two; not with strides over 1.
        use_bias: whether a bias is added to each output channel.
        **kwargs: as of `keras.layers.Conv2D`: `activation` (`None`), the initializers, regularizers and constraints of
            kernel and bias, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, new_height, new_width, filters)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build where `groups` does not divide
            the channels; at build or call where an image is smaller than the kernel and padding is "valid" (but in a
            graph of unknown sizes).

    Reference:
        Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012, section 3.5; Xie et
        al., "Aggregated Residual Transformations for Deep Neural Networks", 2017, figure 3(c).

    Example:

    >>> import keras, keras_blocks
    >>> layer = keras_blocks.GroupedConv2D(128, 3, groups=32, padding="same")
    >>> layer(keras.Input((56, 56, 128))).shape
    (None, 56, 56, 128)
    >>> tuple(layer.kernel.shape)
    (3, 3, 4, 128)
    """

    gives_anew = True

    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        *,
        groups: int,
        strides: Pair = 1,
        padding: KerasPadding = "valid",
        data_format: DataFormat | None = None,
        dilation_rate: Pair = 1,
        use_bias: bool = True,
        **kwargs: Any,
    ):
        filters = validation.integer("filters", filters)
        groups = validation.integer("groups", groups)
        validation.divides("groups", groups, total_name="filters", total=filters)
        super().__init__(
            filters,
            validation.pair("kernel_size", kernel_size),
            strides=validation.pair("strides", strides),
            padding=validation.choice("padding", padding, KerasPadding),
            data_format=keras_arguments.data_format("data_format", data_format),
            dilation_rate=validation.pair("dilation_rate", dilation_rate),
            groups=groups,
            use_bias=validation.boolean("use_bias", use_bias),
            **kwargs,
        )
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Shape) -> None:
        axis = -1 if self.data_format == "channels_last" else 1
        channels = input_shape[axis] if len(input_shape) == 4 else None
        if channels is None:
            raise ValueError(
                f"'{self.name}' takes image batches of 4 axes, whose number of channels is known; received the shape "
                f"{tuple(input_shape)}."
            )
        validation.divides("groups", self.groups, total_name="input channels", total=channels)
        super().build(input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={axis: channels})

    def call(self, inputs: Tensor) -> Tensor:
        # Refuses an image that is too small, for which oneDNN gives uninitialized memory.
        self.compute_output_shape(tuple(size if isinstance(size, int) else None for size in inputs.shape))
        return super().call(as_float(inputs, self.compute_dtype))

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return grouped_conv2d(
            inputs, kernel, self.groups, self.strides, self.padding, self.dilation_rate, self.data_format
        )

    @classmethod
    def in_place_of(cls, layer: keras.layers.Layer) -> keras.layers.Layer:
        """For `keras.models.clone_model`: a layer of ours for a grouped `keras.layers.Conv2D`, a copy of any other.

        A convolution that another layer wraps, such as `keras.layers.TimeDistributed`, stays Keras'.

        Example:

        >>> theirs = keras.Sequential([keras.Input((8, 8, 16)), keras.layers.Conv2D(16, 3, groups=4)])
        >>> replace = keras_blocks.GroupedConv2D.in_place_of
        >>> ours = keras.models.clone_model(theirs, clone_function=replace, recursive=True)
        >>> ours.set_weights(theirs.get_weights())
        >>> type(ours.layers[0]).__name__
        'GroupedConv2D'
        """
        grouped = own_class(layer) is keras.layers.Conv2D and layer.groups > 1
        return (cls if grouped else type(layer)).from_config(layer.get_config())
