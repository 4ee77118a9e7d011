"""Boxes (x1, y1, x2, y2) in pixels: how much they overlap, how a box is coded relative to another, clipping.

All of it is computed in float32, whatever the policy says: 16 bits cannot tell two pixels of a photograph apart. What
is float64 stays so. Rows of padding, whose area is zero, give finite values and finite gradients.

`keras.utils.bounding_boxes` has functions of the same purpose. `convert_format`, from and to other formats, is what we
use. The others are not what detectors are trained with, torchvision's operations, and are not used:

| Keras | where it differs |
|---|---|
| `compute_iou` | adds 1e-7 to the union: a box of 1e-3 pixels overlaps itself by 0.91; one axis of batch |
| `compute_ciou` | pairs, no matrix, and another measure than the generalized IoU |
| `encode_box_to_deltas`, `decode_deltas_to_boxes` | (y, x, h, w) unless told; no bound for dw, dh: `exp` overflows |
| `clip_to_image_size` | one size for all images of a batch; takes a dict and changes its labels |
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_blocks.ops import precise
from keras_blocks.typing import Tensor

LARGEST_LOG_SCALE = math.log(1000.0 / 16)
"""Largest dw and dh that are decoded: the factor from an anchor of 16 pixels to an image of 1,000."""

SMALLEST = 1e-12
"""Areas up to this count as zero."""


def as_coordinates(boxes: Any) -> Tensor:
    """Boxes as a tensor of float32, or of float64 where they are."""
    boxes = boxes if isinstance(boxes, keras.KerasTensor) else ops.convert_to_tensor(boxes)
    return boxes if keras.backend.standardize_dtype(boxes.dtype) == "float64" else ops.cast(boxes, "float32")


def checked(name: str, boxes: Any, *, least_rank: int = 2) -> Tensor:
    """`as_coordinates`; raises a ValueError for another shape than (..., n, 4)."""
    boxes = as_coordinates(boxes)
    if len(boxes.shape) < least_rank or boxes.shape[-1] != 4:
        shape = "(..., 4)" if least_rank == 1 else "(..., boxes, 4)"
        raise ValueError(
            f"`{name}` must have the shape {shape}, with (x1, y1, x2, y2) last; received {tuple(boxes.shape)}."
        )
    return boxes


def areas(boxes: Tensor) -> Tensor:
    """Area of each box, negative where one side is inverted."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def guarded_ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient; 0 where the denominator is no area to speak of, and so is the gradient."""
    positive = denominator > SMALLEST
    return ops.where(positive, numerator / ops.where(positive, denominator, 1.0), 0.0)


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Areas of intersection and union of all boxes of `a` with all of `b`."""
    columns, rows = a[..., :, None, :], b[..., None, :, :]
    width = precise.minimum(columns[..., 2], rows[..., 2]) - precise.maximum(columns[..., 0], rows[..., 0])
    height = precise.minimum(columns[..., 3], rows[..., 3]) - precise.maximum(columns[..., 1], rows[..., 1])
    intersection = precise.maximum(width, 0.0) * precise.maximum(height, 0.0)
    return intersection, areas(columns) + areas(rows) - intersection


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of all boxes of `a` with all boxes of `b`.

    Args:
        a: boxes (x1, y1, x2, y2), (..., n, 4).
        b: boxes, (..., m, 4), with the same leading axes, or some that broadcast.

    Returns:
        (..., n, m), from 0 to 1; 0 where neither box has an area, which is NaN in torchvision.

    Raises:
        ValueError: where the last axis is not of size 4.

    Reference:
        Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010, equation 4. torchvision.ops.box_iou.

    Example:

    >>> found = keras_blocks.ops.box_iou([[0.0, 0.0, 2.0, 2.0]], [[0.0, 0.0, 2.0, 1.0], [5.0, 5.0, 5.0, 5.0]])
    >>> keras.ops.convert_to_numpy(found).tolist()
    [[0.5, 0.0]]
    """
    return guarded_ratio(*_overlap(checked("a", a), checked("b", b)))


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalized intersection over union of all boxes of `a` with all boxes of `b`.

    It is the IoU, less the share of the smallest box round both that neither of them fills.

    Args:
        a: boxes (x1, y1, x2, y2), (..., n, 4).
        b: boxes, (..., m, 4), with the same leading axes, or some that broadcast.

    Returns:
        (..., n, m), from -1 to 1; 0 between two equal boxes without area.

    Raises:
        ValueError: where the last axis is not of size 4.

    Reference:
        Rezatofighi et al., "Generalized Intersection over Union", 2019, algorithm 1.
        torchvision.ops.generalized_box_iou.

    Example:

    >>> found = keras_blocks.ops.giou([[0.0, 0.0, 1.0, 1.0]], [[0.0, 0.0, 1.0, 1.0], [3.0, 0.0, 4.0, 1.0]])
    >>> keras.ops.convert_to_numpy(found).tolist()
    [[1.0, -0.5]]
    """
    a, b = checked("a", a), checked("b", b)
    intersection, union = _overlap(a, b)
    columns, rows = a[..., :, None, :], b[..., None, :, :]
    width = precise.maximum(columns[..., 2], rows[..., 2]) - precise.minimum(columns[..., 0], rows[..., 0])
    height = precise.maximum(columns[..., 3], rows[..., 3]) - precise.minimum(columns[..., 1], rows[..., 1])
    hull = precise.maximum(width, 0.0) * precise.maximum(height, 0.0)
    return guarded_ratio(intersection, union) - guarded_ratio(hull - union, hull)


def _center_and_size(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    return boxes[..., 0] + 0.5 * width, boxes[..., 1] + 0.5 * height, width, height


def _checked_weights(weights: Sequence[float]) -> list[float]:
    values = [float(weight) for weight in weights]
    if len(values) != 4 or not all(0 < value < math.inf for value in values):
        raise ValueError(f"`weights` must be four positive numbers, for dx, dy, dw and dh; received {weights!r}.")
    return values


def _positive(sizes: Tensor) -> Tensor:
    return ops.where(sizes > 0, sizes, 1.0)


def encode_boxes(boxes: Tensor, references: Tensor, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """Boxes relative to references, as a network is trained to give them.

    Of a box with the center (x, y) and the size (w, h), and a reference with the center (rx, ry) and the size (rw, rh):
    dx = (x - rx) / rw, dy = (y - ry) / rh, dw = log(w / rw), dh = log(h / rh), each times its weight. A side that is
    not positive, as in rows of padding, counts as one pixel.

    Args:
        boxes: what is coded, (x1, y1, x2, y2), (..., 4).
        references: anchors or proposals, (..., 4), a row for each box, or axes that broadcast.
        weights: factors of dx, dy, dw, dh. Fast R-CNN's heads have (10, 10, 5, 5).

    Returns:
        (dx, dy, dw, dh), (..., 4).

    Raises:
        ValueError: where the last axis is not of size 4, or the weights are not four positive numbers.

    Reference:
        Girshick et al., "Rich feature hierarchies for accurate object detection and semantic segmentation", 2014,
        appendix C. torchvision.models.detection._utils.BoxCoder.

    Example:

    >>> found = keras_blocks.ops.encode_boxes([[2.0, 2.0, 4.0, 4.0]], [[0.0, 0.0, 2.0, 2.0]], weights=(10, 10, 5, 5))
    >>> keras.ops.convert_to_numpy(found).tolist()
    [[10.0, 10.0, 0.0, 0.0]]
    """
    x, y, width, height = _center_and_size(checked("boxes", boxes, least_rank=1))
    rx, ry, rw, rh = _center_and_size(checked("references", references, least_rank=1))
    rw, rh = _positive(rw), _positive(rh)
    wx, wy, ww, wh = _checked_weights(weights)
    dx, dy = wx * (x - rx) / rw, wy * (y - ry) / rh
    return ops.stack([dx, dy, ww * ops.log(_positive(width) / rw), wh * ops.log(_positive(height) / rh)], axis=-1)


def decode_boxes(deltas: Tensor, references: Tensor, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """The boxes of what `encode_boxes` gave.

    Args:
        deltas: (dx, dy, dw, dh), (..., 4). dw and dh count up to log(1000 / 16) after the division by their weights.
        references: anchors or proposals, (x1, y1, x2, y2), (..., 4), a row for each of the deltas, or axes that
            broadcast: (batch, n, 1, 4) for the deltas of several classes, (batch, n, classes, 4).
        weights: as in `encode_boxes`.

    Returns:
        Boxes (x1, y1, x2, y2), (..., 4), not clipped.

    Raises:
        ValueError: where the last axis is not of size 4, or the weights are not four positive numbers.

    Reference:
        Girshick et al. 2014, appendix C. torchvision.models.detection._utils.BoxCoder.

    Example:

    >>> found = keras_blocks.ops.decode_boxes([[1.0, 1.0, 0.0, 0.0]], [[0.0, 0.0, 2.0, 2.0]])
    >>> keras.ops.convert_to_numpy(found).tolist()
    [[2.0, 2.0, 4.0, 4.0]]
    """
    deltas = checked("deltas", deltas, least_rank=1)
    rx, ry, rw, rh = _center_and_size(checked("references", references, least_rank=1))
    dx, dy, dw, dh = (deltas[..., i] / weight for i, weight in enumerate(_checked_weights(weights)))
    x, y = dx * rw + rx, dy * rh + ry
    half_width = 0.5 * ops.exp(precise.minimum(dw, LARGEST_LOG_SCALE)) * rw
    half_height = 0.5 * ops.exp(precise.minimum(dh, LARGEST_LOG_SCALE)) * rh
    return ops.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=-1)


def clip_boxes(boxes: Tensor, image_size: Any) -> Tensor:
    """Boxes moved into their image, each side for itself.

    Args:
        boxes: (x1, y1, x2, y2), (..., n, 4). Rows of -1 become rows of 0, as without area as before.
        image_size: (height, width), two numbers or a tensor (2,); or a size for each image, (batch, 2).

    Returns:
        Boxes of the same shape. One that lies outside has no area.

    Raises:
        ValueError: for other shapes.

    Reference:
        torchvision.ops.clip_boxes_to_image.

    Example:

    >>> found = keras_blocks.ops.clip_boxes([[-3.0, 5.0, 50.0, 20.0]], (10, 40))
    >>> keras.ops.convert_to_numpy(found).tolist()
    [[0.0, 5.0, 40.0, 10.0]]
    """
    boxes = checked("boxes", boxes)
    size = ops.cast(ops.convert_to_tensor(image_size), boxes.dtype)
    rank = len(size.shape)
    if rank not in (1, 2) or size.shape[-1] != 2 or (rank == 2 and len(boxes.shape) < 3):
        raise ValueError(
            "`image_size` must be (height, width), or (batch, 2) for boxes of the shape (batch, ..., 4); received the "
            f"shape {tuple(size.shape)} with boxes of {tuple(boxes.shape)}."
        )
    if rank == 2:
        size = ops.reshape(size, (-1, *[1] * (len(boxes.shape) - 2), 2))
    bound = ops.stack([size[..., 1], size[..., 0]] * 2, axis=-1)
    return precise.minimum(precise.maximum(boxes, 0.0), bound)
