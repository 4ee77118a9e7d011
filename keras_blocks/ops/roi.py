"""The features in boxes, in one size: RoIAlign and RoIPool, equal to torchvision's.

Positions are computed in float32, or in float64 for features of float64, whatever 16-bit type the features have.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_blocks.ops import boxes as box_ops
from keras_blocks.ops import precise, roi_maxima, roi_means
from keras_blocks.ops.casting import wide
from keras_blocks.ops.written import is_for_openvino
from keras_blocks.typing import DataFormat, Pair, Tensor

CANONICAL_SIZE, CANONICAL_LEVEL = 224, 4
"""A box of 224x224 pixels, the size of ImageNet's images, is looked up in level P4 of a pyramid."""

TABLED = 512
"""Pixels of a map along a side, of boxes whose bins are read from a table where a file is for OpenVINO."""


def roi_align(
    features: Tensor | Mapping[str, Tensor],
    boxes: Tensor,
    output_size: Pair,
    spatial_scale: float | None = None,
    sampling_ratio: int = 2,
    aligned: bool = False,
    data_format: DataFormat = "channels_last",
) -> Tensor:
    """Each box cut into bins, and of each bin the mean of features interpolated at a grid of points.

    Args:
        features: a feature map for each image, (batch, height, width, channels); or levels of a pyramid, {"P2": map,
            "P3": map, ...}, where map Pi has a pixel for 2**i pixels of the image: of each box, the level is used that
            its size asks for.
        boxes: (x1, y1, x2, y2) in pixels of the image, (batch, n, 4). Rows of padding, such as of -1, give finite
            values, which nobody needs.
        output_size: bins of a box, (height, width), or an integer for both.
        spatial_scale: pixels of the map for a pixel of the image, 1/16 for VGG-16's last map; `None` is 1. With
            levels, always `None`: their names say it.
        sampling_ratio: points of a bin along each side. torchvision's -1, as many as there are pixels, has no shape
            that is known before.
        aligned: whether a pixel's value is at its center, 0.5 from its corner, as in Mask R-CNN's later versions;
            `False` as in torchvision's detectors, where a box is also at least one pixel of the map wide and high.
        data_format: "channels_last", or "channels_first" for maps of (batch, channels, height, width).

    Returns:
        (batch, n, output height, output width, channels), or with "channels_first" (batch, n, channels, output height,
        output width), in the dtype of the features. Gradients flow to the features, not to the boxes.

    Raises:
        ValueError: where the shapes do not fit, or an argument is out of range.

    Reference:
        He et al., "Mask R-CNN", 2017, section 3; levels: Lin et al., "Feature Pyramid Networks for Object Detection",
        2017, equation 1. torchvision.ops.roi_align, torchvision.ops.MultiScaleRoIAlign.

    Example:

    >>> features, boxes = keras.ops.ones((2, 37, 50, 8)), keras.ops.ones((2, 100, 4))
    >>> tuple(keras_blocks.ops.roi_align(features, boxes, 7, spatial_scale=1 / 16).shape)
    (2, 100, 7, 7, 8)
    """
    if isinstance(sampling_ratio, bool) or not isinstance(sampling_ratio, (int, np.integer)) or sampling_ratio < 1:
        raise ValueError(f"`sampling_ratio` must be an integer of at least 1; received {sampling_ratio!r}.")

    def align(level: Tensor, boxes: Tensor, size: tuple[int, int], scale: float) -> Tensor:
        return _align(level, boxes, size, scale, int(sampling_ratio), aligned)

    return _over_levels(align, features, boxes, output_size, spatial_scale, data_format)


def roi_pool(
    features: Tensor | Mapping[str, Tensor],
    boxes: Tensor,
    output_size: Pair,
    spatial_scale: float | None = None,
    data_format: DataFormat = "channels_last",
) -> Tensor:
    """Each box, rounded to whole pixels of the map, cut into bins of whole pixels, and of each bin the maximum.

    Args:
        features: a feature map for each image, (batch, height, width, channels); or levels of a pyramid, as in
            `roi_align`.
        boxes: (x1, y1, x2, y2) in pixels of the image, (batch, n, 4). Halves are rounded away from zero, and both ends
            belong to the box.
        output_size: bins of a box, (height, width), or an integer for both.
        spatial_scale: pixels of the map for a pixel of the image, 1/16 for VGG-16's last map; `None` is 1.
        data_format: "channels_last", or "channels_first" for maps of (batch, channels, height, width).

    Returns:
        (batch, n, output height, output width, channels), or with "channels_first" (batch, n, channels, output height,
        output width), in the dtype of the features. A bin outside of the map is 0.

    Raises:
        ValueError: where the shapes do not fit, or an argument is out of range.

    Reference:
        Girshick, "Fast R-CNN", 2015, section 2.1. torchvision.ops.roi_pool.

    Example:

    >>> features = keras.ops.reshape(keras.ops.arange(16.0), (1, 4, 4, 1))
    >>> found = keras_blocks.ops.roi_pool(features, [[[0.0, 0.0, 3.0, 3.0]]], 2)
    >>> keras.ops.convert_to_numpy(found)[0, 0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    return _over_levels(_pool, features, boxes, output_size, spatial_scale, data_format)


def _over_levels(
    operation: Callable[[Tensor, Tensor, tuple[int, int], float], Tensor],
    features: Any,
    boxes: Any,
    output_size: Any,
    spatial_scale: float | None,
    data_format: str,
) -> Tensor:
    """Checks the arguments, and calls the operation with maps of channels_last."""
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"`data_format` must be 'channels_last' or 'channels_first'; received {data_format!r}.")
    first = data_format == "channels_first"
    size = _checked_size(output_size)
    boxes = ops.stop_gradient(box_ops.checked("boxes", boxes))
    levels = _checked_levels(features, spatial_scale)
    maps = {}
    for level, values in levels.items():
        values = values if isinstance(values, keras.KerasTensor) else ops.convert_to_tensor(values)
        _check_shapes(values, boxes, data_format)
        maps[level] = ops.transpose(values, (0, 2, 3, 1)) if first else values
    if not isinstance(features, Mapping):
        outputs = operation(maps[0], boxes, size, 1.0 if spatial_scale is None else float(spatial_scale))
    else:
        level_of_box = levels_of(boxes, list(maps))[:, :, None, None, None]
        outputs = None
        for level, values in maps.items():
            found = operation(values, boxes, size, 0.5**level)
            outputs = found if outputs is None else ops.where(level_of_box == level, found, outputs)
    return ops.transpose(outputs, (0, 1, 4, 2, 3)) if first else outputs


def levels_of(boxes: Tensor, levels: Sequence[int]) -> Tensor:
    """The level of a pyramid, as int32, that each box is looked up in: equation 1 of Lin et al. 2017.

    floor(4 + log2(sqrt(area) / 224) + 1e-6), kept within the levels that are there, written as comparisons: logarithms
    differ in the last bit from backend to backend, and boxes of 112 or 224 pixels are common.
    """
    side = ops.sqrt(precise.maximum(box_ops.areas(boxes), 0.0))
    found = ops.full_like(ops.cast(side, "int32"), min(levels))
    for level in range(min(levels) + 1, max(levels) + 1):
        least = CANONICAL_SIZE * 2.0 ** (level - CANONICAL_LEVEL - 1e-6)
        found = ops.where(side >= least, level, found)
    return found


def _checked_size(output_size: Any) -> tuple[int, int]:
    size = (output_size, output_size) if isinstance(output_size, (int, np.integer)) else output_size
    if (
        not isinstance(size, Sequence)
        or len(size) != 2
        or not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 1 for n in size)
    ):
        raise ValueError(
            f"`output_size` must be an integer of at least 1, or two, (height, width); received {output_size!r}."
        )
    return int(size[0]), int(size[1])


def _checked_levels(features: Any, spatial_scale: Any) -> dict[int, Any]:
    """Number of each level -> map, the finest first; a map alone has the number 0."""
    if not isinstance(features, Mapping):
        if spatial_scale is not None and not 0 < float(spatial_scale) < math.inf:
            raise ValueError(f"`spatial_scale` must be a positive number; received {spatial_scale!r}.")
        return {0: features}
    if spatial_scale is not None:
        raise ValueError(
            f"`spatial_scale` follows from the names of the levels, {list(features)}: leave it out; received "
            f"{spatial_scale!r}."
        )
    if not features or not all(isinstance(name, str) and re.fullmatch(r"P\d\d?", name) for name in features):
        raise ValueError(
            "`features` must be a feature map, or a dict of levels with names such as 'P2', for a pixel of 2**2 pixels "
            f"of the image; received a dict with the keys {list(features)}."
        )
    numbers = sorted((int(name[1:]), name) for name in features)
    if [number for number, _ in numbers] != list(range(numbers[0][0], numbers[-1][0] + 1)):
        raise ValueError(f"`features` must have levels without a gap; received {list(features)}.")
    return {number: features[name] for number, name in numbers}


def _check_shapes(features: Tensor, boxes: Tensor, data_format: str) -> None:
    axes = "(batch, height, width, channels)" if data_format == "channels_last" else "(batch, channels, height, width)"
    if len(features.shape) != 4:
        raise ValueError(f"`features` must have the shape {axes}; received {tuple(features.shape)}.")
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(features.dtype)):
        raise ValueError(f"`features` must be floats; received {keras.backend.standardize_dtype(features.dtype)}.")
    known = boxes.shape[0] is not None and features.shape[0] is not None
    if len(boxes.shape) != 3 or (known and boxes.shape[0] != features.shape[0]):
        raise ValueError(
            "`boxes` must have the shape (batch, n, 4), with the batch of the features; received "
            f"{tuple(boxes.shape)} with features of {tuple(features.shape)}."
        )


# -- RoIAlign ---------------------------------------------------------------------------------------------------------


def _align(
    features: Tensor, boxes: Tensor, size: tuple[int, int], scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    dtype = _name(features)
    boxes = ops.cast(boxes, wide(dtype))
    points_y = sampling_points(boxes[..., 1], boxes[..., 3], size[0], scale, sampling_ratio, aligned)
    points_x = sampling_points(boxes[..., 0], boxes[..., 2], size[1], scale, sampling_ratio, aligned)
    found = roi_means.means(ops.cast(features, wide(dtype)), (points_y, points_x), sampling_ratio)
    return ops.cast(found, dtype)


def sampling_points(
    starts: Tensor, ends: Tensor, bins: int, scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Positions in pixels of the map along one axis, (batch, n, bins * sampling_ratio)."""
    offset = 0.5 if aligned else 0.0
    starts, ends = starts * scale - offset, ends * scale - offset
    length = ends - starts
    if not aligned:
        length = precise.maximum(length, 1.0)
    step = length / bins
    number = np.repeat(np.arange(bins), sampling_ratio)
    within = (np.tile(np.arange(sampling_ratio), bins) + 0.5) / sampling_ratio
    number, within = (ops.convert_to_tensor(x.astype(_name(starts))) for x in (number, within))
    return starts[..., None] + number * step[..., None] + within * step[..., None]


def _name(values: Tensor) -> str:
    return str(keras.backend.standardize_dtype(values.dtype))


# -- RoIPool ----------------------------------------------------------------------------------------------------------


def _pool(features: Tensor, boxes: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    shape = ops.shape(features)
    boxes = ops.cast(boxes, wide(_name(features)))
    top, bottom = _bins(boxes[..., 1], boxes[..., 3], size[0], scale, shape[1])
    left, right = _bins(boxes[..., 0], boxes[..., 2], size[1], scale, shape[2])
    return roi_maxima.maxima(features, (top, bottom), (left, right))


def _bins(starts: Tensor, ends: Tensor, bins: int, scale: float, pixels: Any) -> tuple[Tensor, Tensor]:
    """First pixel of each bin along an axis, and the one behind its last, as int32, (batch, n, bins)."""
    starts, ends = _rounded(starts * scale), _rounded(ends * scale)
    length = precise.maximum(ends - starts + 1.0, 1.0)
    first, behind = _within_tabled(length, bins) if is_for_openvino() else _within(length, bins)
    most = ops.cast(pixels, length.dtype)
    return tuple(
        ops.cast(precise.minimum(precise.maximum(place + starts[..., None], 0.0), most), "int32")
        for place in (first, behind)
    )


def _within(length: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """The same of a box of so many pixels, from its own first one."""
    # A divisor that is not known before: XLA would else multiply by the reciprocal, which is rounded, and 14 / 7 is 2.
    divisor = ops.where(length > 0, ops.full_like(length, bins), 1.0)
    step = (length / divisor)[..., None]
    number = ops.arange(bins, dtype=step.dtype)
    return precise.floor(number * step), precise.ceil((number + 1.0) * step)


def _within_tabled(length: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """As `_within`, by a table where nothing divides as it should; of longer boxes the bins may be a pixel off."""
    lengths = np.arange(TABLED + 1, dtype="float32")[:, None]
    step, number = lengths / np.float32(bins), np.arange(bins, dtype="float32")
    table = np.concatenate([np.floor(number * step), np.ceil((number + 1) * step)], axis=-1)
    tabled = ops.take(ops.convert_to_tensor(table), ops.cast(ops.minimum(length, TABLED), "int32"), axis=0)
    short = (length <= TABLED)[..., None]
    ends = (tabled[..., :bins], tabled[..., bins:])
    first, behind = (ops.where(short, of, long) for of, long in zip(ends, _within(length, bins)))
    return first, behind


def _rounded(values: Tensor) -> Tensor:
    """To the nearest whole number, halves away from zero, as C rounds."""
    size = ops.abs(values)
    whole = precise.floor(size)
    return ops.sign(values) * (whole + ops.cast(size - whole >= 0.5, values.dtype))
