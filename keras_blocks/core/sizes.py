"""Layers that chains need and Keras lacks: means and maxima over channels, some of the channels, a sibling's size."""

from collections.abc import Sequence
from typing import Any, Literal, Unpack

import keras

from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.core.registration import register
from keras_blocks.core.shapes import known_sizes
from keras_blocks.ops.casting import as_float
from keras_blocks.typing import Config, DataFormat, LayerOptions, Shape, Tensor

ChannelKind = Literal["mean", "max"]
SizeHow = Literal["crop", "resize"]
Interpolation = Literal["nearest", "bilinear"]


class MapLayer(NamedArguments, keras.layers.Layer):
    """A layer of feature maps in one of the data formats, without weights."""

    def __init__(self, *, data_format: DataFormat | None = None, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.data_format = keras_arguments.data_format("data_format", data_format)

    def build(self, input_shape: Any) -> None:
        """There is nothing to build."""

    def get_config(self) -> Config:
        return {**super().get_config(), "data_format": self.data_format}

    @property
    def _channel_axis(self) -> int:
        return 3 if self.data_format == "channels_last" else 1

    @property
    def _first_axis(self) -> int:
        return 1 if self.data_format == "channels_last" else 2


@register
class ChannelPooling(MapLayer):
    """The mean of each pixel's channels, or the largest of them: a map of one channel.

    Args:
        kind: "mean" or "max".
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.
    """

    def __init__(
        self, kind: ChannelKind = "mean", *, data_format: DataFormat | None = None, **kwargs: Unpack[LayerOptions]
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.kind = validation.choice("kind", kind, ChannelKind)

    def call(self, inputs: Tensor) -> Tensor:
        pool = keras.ops.mean if self.kind == "mean" else keras.ops.max
        return pool(as_float(inputs, self.compute_dtype), axis=self._channel_axis, keepdims=True)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = list(input_shape)
        shape[self._channel_axis] = 1
        return tuple(shape)

    def get_config(self) -> Config:
        return {**super().get_config(), "kind": self.kind}


@register
class ChannelSlice(MapLayer):
    """One of several equal parts of the channels.

    Args:
        part: number of the part, from 0.
        parts: how many there are; must divide the input's channels.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.
    """

    def __init__(
        self, part: int, parts: int = 2, *, data_format: DataFormat | None = None, **kwargs: Unpack[LayerOptions]
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.parts = validation.integer("parts", parts)
        self.part = validation.integer("part", part, least=0, most=self.parts - 1)

    def call(self, inputs: Tensor) -> Tensor:
        size = self.compute_output_shape(inputs.shape)[self._channel_axis] or 0
        return inputs[(slice(None),) * self._channel_axis + (slice(self.part * size, (self.part + 1) * size),)]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape: list[Any] = list(input_shape)
        validation.divides("parts", self.parts, total_name="input channels", total=shape[self._channel_axis])
        shape[self._channel_axis] //= self.parts
        return tuple(shape)

    def get_config(self) -> Config:
        return {**super().get_config(), "part": self.part, "parts": self.parts}


@register
class SizeLike(MapLayer):
    """A feature map with the height and width of another; called on a list of both.

    Args:
        how: "crop", its middle, of a map that is at least as large; "resize", by interpolation.
        interpolation: of a resizing, "nearest" or "bilinear".
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.
    """

    def __init__(
        self,
        how: SizeHow = "crop",
        interpolation: Interpolation = "nearest",
        *,
        data_format: DataFormat | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.how = validation.choice("how", how, SizeHow)
        self.interpolation = validation.choice("interpolation", interpolation, Interpolation)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x, like = inputs
        self.compute_output_shape([known_sizes(x), known_sizes(like)])  # refuses a map that is too small, if that shows
        first = self._first_axis
        sizes = keras.ops.shape(like)[first : first + 2]
        if self.how == "resize":
            options = {"interpolation": self.interpolation, "data_format": self.data_format}
            return keras.ops.image.resize(x, tuple(sizes), **options)
        for axis, (mine, size) in enumerate(zip(keras.ops.shape(x)[first : first + 2], sizes), start=first):
            start = (mine - size) // 2
            x = x[(slice(None),) * axis + (slice(start, start + size),)]
        return x

    def compute_output_shape(self, input_shape: Any) -> Shape:
        x, like = map(tuple, input_shape)
        first = self._first_axis
        sizes = like[first : first + 2]
        small = [mine for mine, size in zip(x[first : first + 2], sizes) if None not in (mine, size) and mine < size]
        if self.how == "crop" and small:
            raise ValueError(
                f"a map of the shape {x} cannot be cropped to the size of one of {like}; `how='resize'` makes it so."
            )
        return (*x[:first], *sizes, *x[first + 2 :])

    def get_config(self) -> Config:
        return {**super().get_config(), "how": self.how, "interpolation": self.interpolation}


@register
class DilatedMeanPooling(MapLayer):
    """The mean of each pixel and those `dilation_rate` to the right, below, and both; beyond the border none count.

    What a 2x2 average pooling of stride 2 gives at every second pixel, and so it is where strides became dilation.

    Args:
        dilation_rate: distance of the pixels.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.
    """

    def __init__(
        self, dilation_rate: int = 1, *, data_format: DataFormat | None = None, **kwargs: Unpack[LayerOptions]
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.dilation_rate = validation.integer("dilation_rate", dilation_rate)

    def call(self, inputs: Tensor) -> Tensor:
        x, step = inputs, self.dilation_rate
        for axis in (self._first_axis, self._first_axis + 1):
            every = (slice(None),) * axis
            beyond = x[(*every, slice(-step, None))]  # alone, as there is no pixel so far on
            x = (x + keras.ops.concatenate([x[(*every, slice(step, None))], beyond], axis=axis)) / 2
        return x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> Config:
        return {**super().get_config(), "dilation_rate": self.dilation_rate}
