"""What a detector is trained to give: which boxes are objects, which are none, and a fair sample of both.

Everything has a static shape: what is not chosen is masked, and a row of padding is none of anything.
"""

from typing import Any

import keras
from keras import ops

from keras_blocks.ops.boxes import box_iou
from keras_blocks.typing import Tensor

OBJECT, NOTHING, IGNORED = 1, 0, -1
"""What a box is to a detector in training: an object, background, or neither."""


def clean(boxes: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Boxes and labels of ground truth, in which what is no object of a class is a row of padding, -1.

    That is what is padding already, has coordinates that are not finite, no area, or a label out of range.
    """
    boxes, labels = ops.cast(boxes, "float32"), ops.cast(labels, "int32")
    there = ops.all(ops.isfinite(boxes), axis=-1) & (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    there = there & (labels >= 0) & (labels < classes)
    return ops.where(there[..., None], boxes, -1.0), ops.where(there, labels, -1)


def match(
    truth: Tensor, boxes: Tensor, object_iou: float, nothing_iou: float, low_quality: bool
) -> tuple[Tensor, Tensor]:
    """For each box the object that it overlaps most, and what it counts as.

    Args:
        truth: `(batch, objects, 4)`, padded with -1.
        boxes: `(boxes, 4)`, or `(batch, boxes, 4)`.
        object_iou: from so much overlap on, the box counts as the object.
        nothing_iou: below so much, as background; between the two it is ignored.
        low_quality: whether the boxes that overlap an object most count as objects, too, however little that is.

    Returns:
        Indices into the objects, and of `OBJECT`, `NOTHING`, `IGNORED`, both `(batch, boxes)`.

    Reference:
        Ren et al., "Faster R-CNN", 2015, section 3.1.2; torchvision's `Matcher`.
    """
    overlaps = box_iou(truth, boxes if len(boxes.shape) == 3 else boxes[None])
    there = truth[..., 2] > truth[..., 0]
    overlaps = ops.where(there[..., None], overlaps, -1.0)
    best = ops.max(overlaps, axis=1)
    kind = ops.where(best >= object_iou, OBJECT, ops.where(best < nothing_iou, NOTHING, IGNORED))
    if low_quality:
        most = ops.max(overlaps, axis=2, keepdims=True)
        chosen = ops.any((overlaps == most) & there[..., None], axis=1)
        kind = ops.where(chosen, OBJECT, kind)
    return ops.argmax(overlaps, axis=1), ops.where(ops.any(there, axis=1)[:, None], kind, NOTHING)


def sample(kind: Tensor, count: int, objects: float, seed: Any) -> tuple[Tensor, Tensor]:
    """A random choice of boxes: up to a share of objects, and background for the rest.

    Args:
        kind: what each box counts as, `(batch, boxes)`.
        count: how many to choose of each image.
        objects: the largest share of objects among them.
        seed: a `keras.random.SeedGenerator`.

    Returns:
        Indices `(batch, chosen)`, objects first, and which of them were chosen indeed, `(batch, chosen)`.

    Reference:
        Girshick, "Fast R-CNN", 2015, section 2.3; torchvision's `BalancedPositiveNegativeSampler`.
    """
    total = kind.shape[1]
    most = min(int(count * objects), total)
    count = min(count, total)
    luck = keras.random.uniform(ops.shape(kind), seed=seed)
    # Objects in random order before everything else, but for those beyond the share.
    key = ops.where(kind == OBJECT, 1.0 + luck, -1.0)
    first, index = ops.top_k(key, most) if most else (luck[:, :0], ops.cast(luck[:, :0], "int32"))
    found = first > 0
    rest, other = ops.top_k(ops.where(kind == NOTHING, luck, -1.0), count)
    # As much background as objects have left room for.
    room = count - ops.sum(ops.cast(found, "int32"), axis=1, keepdims=True)
    free = (rest >= 0) & (ops.arange(count, dtype="int32")[None] < room)
    index, there = ops.concatenate([index, other], axis=1), ops.concatenate([found, free], axis=1)
    # The chosen ones to the front: a head computes all that it is given.
    order = ops.cast(there, "float32") * 2.0 * (most + count) - ops.arange(most + count, dtype="float32")
    _, front = ops.top_k(order, count)
    return ops.take_along_axis(index, front, axis=1), ops.take_along_axis(there, front, axis=1)
