"""The three ways in which published networks want their pixels, as a layer."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, Unpack

import keras
import numpy as np

from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.block import register
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.typing import Config, DataFormat, LayerOptions, Tensor

Mode = Literal["tf", "caffe", "torch"]

TORCH_MEAN, TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN = (103.939, 116.779, 123.68)  # of blue, green, red


# `Rescaling` is the public layer that also works within tf.data and grain under every backend, and has no weights.
@register
class ImageNormalization(NamedArguments, keras.layers.Rescaling):
    """Pixels from 0 to 255, in the order red, green, blue, as networks with ImageNet weights were trained to see them.

    Computed in float32 also under a policy of 16 bits, and then cast.

    Args:
        mode: "tf": from -1 to 1 (MobileNet, ResNetV2, Inception); "torch": from 0 to 1, less ImageNet's mean, over
            its standard deviation (DenseNet, and all of torchvision); "caffe": blue, green, red, less ImageNet's
            mean, not scaled (VGG, ResNet v1).
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or one image, `(height, width, channels)`; 3 channels, but for "tf", which
        takes any number. Integers or floats.

    Output shape:
        The input's.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build for another number of channels.

    Reference:
        `keras.applications.imagenet_utils.preprocess_input`.

    Example:

    >>> import keras, keras_blocks, numpy as np
    >>> pixels = keras_blocks.ImageNormalization("tf")(np.array([[[[0, 127.5, 255]]]]))
    >>> keras.ops.convert_to_numpy(pixels).tolist()
    [[[[-1.0, 0.0, 1.0]]]]
    """

    def __init__(self, mode: Mode = "tf", data_format: DataFormat | None = None, **kwargs: Unpack[LayerOptions]):
        super().__init__(scale=1.0, **kwargs)
        self.mode = validation.choice("mode", mode, Mode)
        self.data_format = keras_arguments.data_format("data_format", data_format)

    def build(self, input_shape: Any) -> None:
        channels = input_shape and input_shape[self._axis]  # None within tf.data under another backend
        if self.mode != "tf" and channels not in (3, None):
            raise ValueError(
                f"`mode='{self.mode}'` of {type(self).__name__} '{self.name}' takes images of 3 channels; received the "
                f"shape {tuple(input_shape)}."
            )

    def call(self, inputs: Tensor) -> Tensor:
        wide = self.compute_dtype if self.compute_dtype == "float64" else "float32"
        x = self.backend.cast(inputs, wide)
        if self.mode == "tf":
            x = x / 127.5 - 1.0
        elif self.mode == "torch":
            x = (x / 255.0 - self._each(TORCH_MEAN, wide)) / self._each(TORCH_STD, wide)
        else:
            x = self.backend.numpy.flip(x, axis=self._axis) - self._each(CAFFE_MEAN, wide)
        return self.backend.cast(x, self.compute_dtype)

    def get_config(self) -> Config:
        config = keras.layers.Layer.get_config(self)
        return {**config, "mode": self.mode, "data_format": self.data_format}

    @classmethod
    def from_config(cls, config: Config, custom_objects: Mapping[str, Any] | None = None) -> Self:
        return cls(**config)

    @property
    def _axis(self) -> int:
        return -1 if self.data_format == "channels_last" else -3

    def _each(self, values: Sequence[float], dtype: str) -> Tensor:
        """One number a channel, shaped to meet the images."""
        shape = (3,) if self.data_format == "channels_last" else (3, 1, 1)
        return self.backend.convert_to_tensor(np.reshape(np.array(values, dtype), shape))
