"""Anchors: the boxes that a region proposal network starts from."""

import itertools
from typing import Any, Unpack

import keras
import numpy as np

from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.core.registration import register
from keras_blocks.ops.casting import wide
from keras_blocks.typing import Config, DataFormat, LayerOptions, Numbers, Shape, Tensor


@register
class AnchorGenerator(NamedArguments, keras.layers.Layer):
    """The anchors of a feature map: boxes of every size and aspect ratio, centred on each of its pixels.

    Args:
        sizes: square roots of the boxes' areas, in pixels of the image.
        aspect_ratios: heights divided by widths.
        stride: pixels of the image between two pixels of the map, an integer or two, (height, width).
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`: only the size counts.

    Output shape:
        `(height * width * len(aspect_ratios) * len(sizes), 4)`, the same for all images: (x1, y1, x2, y2) in pixels,
        rounded as in torchvision, row by row, at each pixel all sizes of the first ratio, then of the second. They may
        lie partly outside of the image.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", 2015, section
        3.1.1: three sizes and three ratios; torchvision's `AnchorGenerator`.

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.AnchorGenerator(sizes=(128, 256, 512), stride=16)(keras.Input((37, 50, 512))).shape
    (16650, 4)
    """

    def __init__(
        self,
        sizes: Numbers,
        aspect_ratios: Numbers = (0.5, 1.0, 2.0),
        stride: Any = 16,
        *,
        data_format: DataFormat | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.sizes = anchor_sizes("sizes", sizes)
        self.aspect_ratios = anchor_ratios("aspect_ratios", aspect_ratios)
        self.stride = validation.pair("stride", stride)
        self.data_format = keras_arguments.data_format("data_format", data_format)

    @property
    def anchors_per_pixel(self) -> int:
        return len(self.sizes) * len(self.aspect_ratios)

    def call(self, inputs: Tensor) -> Tensor:
        dtype = wide(self.compute_dtype)
        height, width = self._size(keras.ops.shape(inputs))
        y = keras.ops.arange(height, dtype="int32")[:, None, None] * self.stride[0]
        x = keras.ops.arange(width, dtype="int32")[None, :, None] * self.stride[1]
        base = keras.ops.convert_to_tensor(self._base().T, dtype)
        grid = keras.ops.zeros((height, width, 1), dtype)
        sides = [grid + keras.ops.cast(shift, dtype) + base[i] for i, shift in enumerate((x, y, x, y))]
        return keras.ops.reshape(keras.ops.stack(sides, axis=-1), (-1, 4))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 4:
            raise ValueError(f"{type(self).__name__} takes feature maps of 4 axes; received the shape {input_shape}.")
        height, width = self._size(input_shape)
        return (None if None in (height, width) else height * width * self.anchors_per_pixel, 4)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), wide(self.compute_dtype))

    def get_config(self) -> Config:
        own = {name: getattr(self, name) for name in ("sizes", "aspect_ratios", "stride", "data_format")}
        return {**super().get_config(), **own}

    def _size(self, shape: Any) -> Any:
        return shape[1:3] if self.data_format == "channels_last" else shape[2:4]

    def _base(self) -> np.ndarray:
        """The anchors around the point (0, 0), as (anchors, 4)."""
        boxes = []
        for ratio, size in itertools.product(self.aspect_ratios, self.sizes):
            height, width = size * np.sqrt(ratio), size / np.sqrt(ratio)
            boxes.append((-width / 2, -height / 2, width / 2, height / 2))
        return np.round(np.asarray(boxes, "float32"))


def anchor_sizes(name: str, value: Any) -> tuple[float, ...]:
    """Sizes of anchors, checked."""
    items = validation.sequence(name, value, of="sizes in pixels")
    return tuple(validation.number(f"{name}[{i}]", item, least=1.0, most=2.0**15) for i, item in enumerate(items))


def anchor_ratios(name: str, value: Any) -> tuple[float, ...]:
    """Aspect ratios of anchors, checked."""
    items = validation.sequence(name, value, of="heights divided by widths")
    return tuple(validation.number(f"{name}[{i}]", item, least=0.01, most=100.0) for i, item in enumerate(items))
