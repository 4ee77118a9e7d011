"""Zero channels on both sides: the parameter-free shortcut of the CIFAR ResNets."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.block import register
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.typing import Config, DataFormat, LayerOptions, Shape, Tensor


@register
class ChannelPadding(NamedArguments, keras.layers.Layer):
    """Adds channels of zeros before the first and after the last.

    Args:
        channels: number of channels added on each side; or two numbers, (before, after), as in pruned networks.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, height, width, channels + before + after)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", 2015, section 3.3, option A.

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.ChannelPadding(8)(keras.Input((16, 16, 16))).shape
    (None, 16, 16, 32)
    """

    def __init__(
        self, channels: int | Sequence[int], data_format: DataFormat | None = None, **kwargs: Unpack[LayerOptions]
    ):
        super().__init__(**kwargs)
        self.channels = _checked(channels)
        self.data_format = keras_arguments.data_format("data_format", data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Shape) -> None:
        """There is nothing to build."""

    def call(self, inputs: Tensor) -> Tensor:
        width = [(0, 0)] * 4
        width[self._axis] = self.added
        return keras.ops.pad(inputs, width)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape: list[Any] = list(input_shape)
        shape[self._axis] += sum(self.added)
        return tuple(shape)

    def get_config(self) -> Config:
        return {**super().get_config(), "channels": self.channels, "data_format": self.data_format}

    @property
    def added(self) -> tuple[int, int]:
        """Numbers of channels before the first and after the last."""
        return (self.channels, self.channels) if isinstance(self.channels, int) else self.channels

    @property
    def _axis(self) -> int:
        return 3 if self.data_format == "channels_last" else 1


def _checked(channels: Any) -> int | tuple[int, int]:
    if isinstance(channels, Sequence) and not isinstance(channels, validation.NO_LIST):
        return validation.pair("channels", channels, least=0, most=validation.MOST_CHANNELS)
    return validation.integer("channels", channels)
