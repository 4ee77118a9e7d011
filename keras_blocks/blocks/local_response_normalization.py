"""Local response normalization: what AlexNet and the first GoogLeNet had before BatchNormalization."""

from typing import Unpack

import keras

from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.core.registration import register
from keras_blocks.ops.casting import as_float
from keras_blocks.typing import Config, DataFormat, LayerOptions, Shape, Tensor


@register
class LocalResponseNormalization(NamedArguments, keras.layers.Layer):
    """Divides each value by a power of the mean square of the values of nearby channels at the same pixel.

    `x / (bias + alpha * mean) ** beta`, where the mean is that of the squares of `size` channels around x's, with zeros
    beyond the first and the last.

    Args:
        size: number of channels, x's own among them; of an even number one more lies before it than after.
        alpha: factor of the mean square, as in Caffe and PyTorch (TensorFlow's is `alpha / size`).
        beta: exponent.
        bias: what is added, above 0.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        The input's.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012, section 3.3;
        torch.nn.LocalResponseNorm; Caffe's LRN layer, as in bvlc_googlenet.

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.LocalResponseNormalization()(keras.Input((56, 56, 64))).shape
    (None, 56, 56, 64)
    """

    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        bias: float = 1.0,
        data_format: DataFormat | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.size = validation.integer("size", size)
        self.alpha = validation.number("alpha", alpha, least=0, most=1e6)
        self.beta = validation.number("beta", beta, least=0, most=1e3)
        self.bias = validation.number("bias", bias, least=1e-6, most=1e6)
        self.data_format = keras_arguments.data_format("data_format", data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Shape) -> None:
        """There is nothing to build."""

    def call(self, inputs: Tensor) -> Tensor:
        inputs = as_float(inputs, self.compute_dtype)
        axis = 3 if self.data_format == "channels_last" else 1
        channels = inputs.shape[axis]
        border = [(0, 0)] * 4
        border[axis] = (self.size // 2, (self.size - 1) // 2)
        squares = keras.ops.pad(keras.ops.square(inputs), border)

        def shifted(start: int) -> Tensor:
            window = [slice(None)] * 4
            window[axis] = slice(start, start + channels)
            return squares[tuple(window)]

        total = shifted(0)
        for start in range(1, self.size):
            total = total + shifted(start)
        return inputs / keras.ops.power(self.bias + self.alpha / self.size * total, self.beta)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> Config:
        names = ("size", "alpha", "beta", "bias", "data_format")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
