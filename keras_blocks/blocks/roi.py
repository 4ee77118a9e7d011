"""The features, or the pixels, in boxes, in one size."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import keras

from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.core.registration import register
from keras_blocks.ops.boxes import as_coordinates
from keras_blocks.ops.casting import wide
from keras_blocks.ops.roi import roi_align, roi_pool
from keras_blocks.typing import Config, DataFormat, LayerOptions, Pair, Shape, Tensor


class _OfBoxes(NamedArguments, keras.layers.Layer):
    """Base of layers on [maps, boxes]: boxes stay float32 whatever the policy says, and each becomes a small map."""

    maps = "features"
    """What the first input is called."""
    takes_levels = True

    def __init__(self, output_size: Pair, *, data_format: DataFormat | None = None, **kwargs: Unpack[LayerOptions]):
        super().__init__(autocast=False, **kwargs)
        self.output_size = validation.pair("output_size", output_size)
        self.data_format = keras_arguments.data_format("data_format", data_format)

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Tensor:
        maps, boxes = inputs
        maps = keras.tree.map_structure(lambda x: keras.ops.cast(x, self.compute_dtype), maps)
        return self.sample(maps, boxes)

    def sample(self, maps: Any, boxes: Tensor) -> Tensor:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Shape:
        maps, boxes = self._shapes_of(input_shape)
        batch = boxes[0] if maps[0][0] is None else maps[0][0]
        if self.data_format == "channels_first":
            return (batch, boxes[1], maps[0][1], *self.output_size)
        return (batch, boxes[1], *self.output_size, maps[0][3])

    def get_config(self) -> Config:
        return {**super().get_config(), "output_size": self.output_size, "data_format": self.data_format}

    def _shapes_of(self, input_shape: Any) -> tuple[list[Shape], Shape]:
        """The shapes of the maps and of the boxes."""
        fits = isinstance(input_shape, Sequence) and len(input_shape) == 2
        first: Any = input_shape[0] if fits else None
        boxes: Any = input_shape[1] if fits else None
        levels = list(first.values()) if isinstance(first, Mapping) and self.takes_levels else [first]
        channel = 1 if self.data_format == "channels_first" else 3
        if (
            not levels
            or not all(_has_rank(shape, 4) for shape in levels)
            or len({shape[channel] for shape in levels}) != 1
            or not _has_rank(boxes, 3)
            or boxes[2] != 4
        ):
            axes = "channels, height, width" if channel == 1 else "height, width, channels"
            raise ValueError(
                f"{type(self).__name__} '{self.name}' takes a list of {self.maps}, (batch, {axes})"
                f"{' or a dict of levels of such' if self.takes_levels else ''}, and boxes, (batch, n, 4); received "
                f"{input_shape}."
            )
        return [tuple(shape) for shape in levels], tuple(boxes)


def _has_rank(shape: Any, rank: int) -> bool:
    return isinstance(shape, (list, tuple)) and len(shape) == rank


@register
class RoIAlign(_OfBoxes):
    """Each box cut into bins, and of each bin the mean of features interpolated at a grid of points.

    It has no weights. Boxes are (x1, y1, x2, y2) in pixels of the image, float32 also under mixed precision; rows of
    padding give finite values, which nobody needs. See `keras_blocks.ops.roi_align`, which it is.

    Args:
        output_size: bins of a box, (height, width), or an integer for both.
        spatial_scale: pixels of the map for a pixel of the image, 1/16 for VGG-16's last map; `None` is 1, and for
            levels of a pyramid what their names say.
        sampling_ratio: points of a bin along each side.
        aligned: whether a pixel's value is at its center. `False` as in torchvision's detectors.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        A list of features, `(batch, height, width, channels)` or a dict of levels `{"P2": features, ...}`, where Pi has
        a pixel for 2**i pixels of the image; and of boxes, `(batch, n, 4)`.

    Output shape:
        `(batch, n, output height, output width, channels)`; with "channels_first" `(batch, n, channels, output height,
        output width)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build for other inputs.

    Reference:
        He et al., "Mask R-CNN", 2017, section 3; levels: Lin et al., "Feature Pyramid Networks for Object Detection",
        2017, equation 1. torchvision.ops.RoIAlign, torchvision.ops.MultiScaleRoIAlign.

    Example:

    >>> import keras, keras_blocks
    >>> features, boxes = keras.Input((37, 50, 512)), keras.Input((300, 4))
    >>> keras_blocks.RoIAlign(7, spatial_scale=1 / 16)([features, boxes]).shape
    (None, 300, 7, 7, 512)
    """

    def __init__(
        self,
        output_size: Pair,
        spatial_scale: float | None = None,
        sampling_ratio: int = 2,
        *,
        aligned: bool = False,
        data_format: DataFormat | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(output_size, data_format=data_format, **kwargs)
        self.spatial_scale = _checked_scale(spatial_scale)
        self.sampling_ratio = validation.integer("sampling_ratio", sampling_ratio, most=64)
        self.aligned = validation.boolean("aligned", aligned)

    def sample(self, maps: Any, boxes: Tensor) -> Tensor:
        return roi_align(
            maps, boxes, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned, self.data_format
        )

    def get_config(self) -> Config:
        names = ("spatial_scale", "sampling_ratio", "aligned")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@register
class RoIPool(_OfBoxes):
    """Each box, rounded to whole pixels of the map, cut into bins, and of each bin the maximum.

    It has no weights. Boxes are (x1, y1, x2, y2) in pixels of the image, float32 also under mixed precision. See
    `keras_blocks.ops.roi_pool`, which it is.

    Args:
        output_size: bins of a box, (height, width), or an integer for both; Fast R-CNN's is 7 with VGG-16.
        spatial_scale: pixels of the map for a pixel of the image, 1/16 for VGG-16's last map; `None` is 1, and for
            levels of a pyramid what their names say.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        A list of features, `(batch, height, width, channels)` or a dict of levels, as of `RoIAlign`; and of boxes,
        `(batch, n, 4)`.

    Output shape:
        `(batch, n, output height, output width, channels)`; with "channels_first" `(batch, n, channels, output height,
        output width)`. Bins outside of the map are 0.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build for other inputs.

    Reference:
        Girshick, "Fast R-CNN", 2015, section 2.1. torchvision.ops.RoIPool.

    Example:

    >>> import keras, keras_blocks
    >>> features, boxes = keras.Input((37, 50, 512)), keras.Input((2000, 4))
    >>> keras_blocks.RoIPool(7, spatial_scale=1 / 16)([features, boxes]).shape
    (None, 2000, 7, 7, 512)
    """

    def __init__(
        self,
        output_size: Pair,
        spatial_scale: float | None = None,
        *,
        data_format: DataFormat | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(output_size, data_format=data_format, **kwargs)
        self.spatial_scale = _checked_scale(spatial_scale)

    def sample(self, maps: Any, boxes: Tensor) -> Tensor:
        return roi_pool(maps, boxes, self.output_size, self.spatial_scale, self.data_format)

    def get_config(self) -> Config:
        return {**super().get_config(), "spatial_scale": self.spatial_scale}


@register
class WarpRegions(_OfBoxes):
    """The pixels of each box and of some of its surroundings, stretched to one size, as R-CNN's network takes them.

    Boxes are (x1, y1, x2, y2) in pixels of the image. Each is made so much larger that its own pixels are stretched to
    what the context leaves of the output: its proportions are not kept, as in the paper's "warp". Pixels are
    interpolated bilinearly.

    Args:
        output_size: pixels of an output, (height, width), or an integer for both; R-CNN's is 227 with AlexNet.
        context: pixels of the output on each side that show what is round the box.
        fill: what stands where the box reaches out of the image, a number or one for each channel: the mean image's
            pixel, or 0 for images whose mean has been subtracted.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        A list of images, `(batch, height, width, channels)`, and of boxes, `(batch, n, 4)`.

    Output shape:
        `(batch, n, output height, output width, channels)`; with "channels_first" `(batch, n, channels, output height,
        output width)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build for other inputs.

    Reference:
        Girshick et al., "Rich feature hierarchies for accurate object detection and semantic segmentation", 2014,
        appendix A, figure 7 (D), bottom row: a context of 16 pixels.

    Example:

    >>> import keras, keras_blocks
    >>> images, boxes = keras.Input((600, 800, 3)), keras.Input((2000, 4))
    >>> keras_blocks.WarpRegions(227, context=16)([images, boxes]).shape
    (None, 2000, 227, 227, 3)
    """

    maps = "images"
    takes_levels = False

    def __init__(
        self,
        output_size: Pair,
        context: int = 16,
        *,
        fill: float | Sequence[float] = 0.0,
        data_format: DataFormat | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(output_size, data_format=data_format, **kwargs)
        self.context = validation.integer("context", context, least=0)
        if 2 * self.context >= min(self.output_size):
            raise ValueError(
                f"`context` must leave pixels of the output for the box, 2 * context < {min(self.output_size)}; "
                f"received context={context} with output_size={output_size}."
            )
        self.fill = _checked_fill(fill)

    def build(self, input_shape: Any) -> None:
        (images,), _ = self._shapes_of(input_shape)
        channels = images[1 if self.data_format == "channels_first" else 3]
        if isinstance(self.fill, list) and len(self.fill) != channels:
            raise ValueError(
                f"`fill` must be a number, or one for each of the {channels} channels; received {self.fill}."
            )

    def sample(self, maps: Any, boxes: Tensor) -> Tensor:
        boxes = as_coordinates(boxes)
        height, width = (size / (size - 2 * self.context) for size in self.output_size)
        larger = keras.ops.convert_to_tensor([width, height], dtype=boxes.dtype)
        half = 0.5 * larger * (boxes[..., 2:] - boxes[..., :2])
        center = 0.5 * (boxes[..., :2] + boxes[..., 2:])
        boxes = keras.ops.concatenate([center - half, center + half], axis=-1)
        fill = keras.ops.cast(self.fill, wide(self.compute_dtype))
        if isinstance(self.fill, list) and self.data_format == "channels_first":
            fill = keras.ops.reshape(fill, (-1, 1, 1))
        maps = keras.ops.cast(maps, fill.dtype) - fill
        found = roi_align(maps, boxes, self.output_size, sampling_ratio=1, aligned=True, data_format=self.data_format)
        return keras.ops.cast(found + fill, self.compute_dtype)

    def get_config(self) -> Config:
        return {**super().get_config(), "context": self.context, "fill": self.fill}


def _checked_scale(value: Any) -> float | None:
    return validation.optional(validation.number, "spatial_scale", value, least=1e-6, most=1e6)


def _checked_fill(value: Any) -> float | list[float]:
    if isinstance(value, Sequence):
        items = validation.sequence("fill", value, of="numbers")
        return [validation.number(f"fill[{i}]", item, least=-1e6, most=1e6) for i, item in enumerate(items)]
    return validation.number("fill", value, least=-1e6, most=1e6)
