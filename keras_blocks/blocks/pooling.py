"""Max pooling as Caffe and PyTorch's ceil_mode do it."""

from collections.abc import Iterable, Sequence
from typing import Unpack

import keras

from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.block import register
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.core.native_layers import MaxPooling2D
from keras_blocks.ops.casting import as_float
from keras_blocks.typing import Config, DataFormat, LayerOptions, Pair, Shape, Tensor


@register
class CeilMaxPooling2D(NamedArguments, MaxPooling2D):
    """Max pooling whose output size is rounded up: a last window that hangs over the edge counts too.

    What Caffe does always and PyTorch with `ceil_mode=True`. Keras' "valid" leaves that window out, and its "same"
    shifts all windows for odd sizes, so weights trained with either give other outputs there.

    Args:
        pool_size: window in pixels, an integer or two.
        strides: step in pixels, an integer or two, none above `pool_size`; `None` means `pool_size`.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, ceil((height - pool_size) / strides) + 1, likewise for the width, channels)`.

    Raises:
        ValueError: at construction where strides exceed the window; at build or call where the image is too small.

    Reference:
        torch.nn.MaxPool2d(ceil_mode=True), as in torchvision's SqueezeNet.

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.CeilMaxPooling2D(3, 2)(keras.Input((56, 56, 8))).shape
    (None, 28, 28, 8)
    """

    def __init__(
        self,
        pool_size: Pair = 2,
        strides: Pair | None = None,
        *,
        data_format: DataFormat | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        pool_size = validation.pair("pool_size", pool_size)
        strides = pool_size if strides is None else validation.pair("strides", strides)
        data_format = keras_arguments.data_format("data_format", data_format)
        super().__init__(pool_size, strides, padding="valid", data_format=data_format, **kwargs)
        if any(step > size for step, size in zip(self.strides, self.pool_size)):
            raise ValueError(
                f"`strides` must be from 1 to `pool_size`, {self.pool_size}; received strides={self.strides}."
            )

    def call(self, inputs: Tensor) -> Tensor:
        self.compute_output_shape(inputs.shape)  # refuses an image that is too small
        inputs = as_float(inputs, self.compute_dtype)
        # A border of strides - 1 pixels that lose against any other makes rounding down rounding up.
        border = [(0, step - 1) for step in self.strides]
        first = 1 if self.data_format == "channels_last" else 2
        sizes = inputs.shape[first : first + 2]
        fits = [isinstance(size, int) and (size - pool) % step == 0 for size, pool, step in self._windows(sizes)]
        if not all(fits):
            width = [(0, 0)] * 4
            width[first : first + 2] = border
            inputs = keras.ops.pad(inputs, width, constant_values=float("-inf"))
        return super().call(inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        first = 1 if self.data_format == "channels_last" else 2
        shape = list(input_shape)
        for axis, (size, pool, step) in enumerate(self._windows(input_shape[first : first + 2]), start=first):
            shape[axis] = after = None if not isinstance(size, int) else -((pool - size) // step) + 1
            if after is not None and after < 1:
                raise ValueError(
                    f"images of the shape {tuple(input_shape)} are too small for `pool_size` {self.pool_size}."
                )
        return tuple(shape)

    def get_config(self) -> Config:
        config: Config = super().get_config()
        del config["padding"]
        return config

    def _windows(self, sizes: Sequence[int | None]) -> Iterable[tuple[int | None, int, int]]:
        return zip(sizes, self.pool_size, self.strides)
