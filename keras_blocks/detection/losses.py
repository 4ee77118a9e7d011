"""The losses of region proposal networks and of box heads."""

from typing import Any

from keras import ops

from keras_blocks.detection.targets import OBJECT, match, sample
from keras_blocks.ops.boxes import encode_boxes
from keras_blocks.typing import Numbers, Tensor

BETA = 1.0 / 9
"""Where the loss of a coordinate goes from square to linear, as in torchvision and the authors' Python code."""


def smooth_l1(difference: Tensor) -> Tensor:
    """Square near 0, linear beyond `BETA`. Reference: Girshick, "Fast R-CNN", 2015, equation 3."""
    size = ops.abs(difference)
    return ops.where(size < BETA, 0.5 * ops.square(size) / BETA, size - 0.5 * BETA)


def proposal_losses(outputs: Any, truth: Tensor, *, samples: int, seed: Any) -> dict[str, Tensor]:
    """The two losses of a region proposal network, over a sample of its anchors.

    Args:
        outputs: "anchors", "objectness" and "deltas", as `RegionProposalNetwork` gives.
        truth: boxes of the objects, `(batch, objects, 4)`, padded with -1.
        samples: anchors of each image, at most half of which are objects.
        seed: a `keras.random.SeedGenerator`.

    Reference:
        Ren et al., "Faster R-CNN", 2015, equation 1 and section 3.1.3; torchvision's `RegionProposalNetwork`.
    """
    anchors = outputs["anchors"]
    of, kind = match(truth, anchors, 0.7, 0.3, low_quality=True)
    index, there = sample(kind, samples, 0.5, seed)
    weight = ops.cast(there, "float32")
    positive = ops.cast(there & (ops.take_along_axis(kind, index, axis=1) == OBJECT), "float32")
    total = ops.maximum(ops.sum(weight), 1.0)
    logits = ops.take_along_axis(outputs["objectness"], index, axis=1)
    # log(1 + exp(-|x|)) + max(x, 0) - x * y, finite for all x
    cross_entropy = ops.softplus(-ops.abs(logits)) + ops.maximum(logits, 0.0) - logits * positive
    chosen = ops.take(anchors, index, axis=0)
    object_of = ops.take_along_axis(of, index, axis=1)
    wanted = encode_boxes(ops.take_along_axis(truth, object_of[..., None], axis=1), chosen)
    deltas = ops.take_along_axis(outputs["deltas"], index[..., None], axis=1)
    distance = ops.sum(smooth_l1(_where(positive, deltas - wanted)), axis=-1)
    return {
        "rpn_objectness_loss": ops.sum(cross_entropy * weight) / total,
        "rpn_box_loss": ops.sum(distance) / total,
    }


def chosen_regions(
    proposals: Tensor, truth: Tensor, labels: Tensor, *, samples: int, seed: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The regions that a head is trained on: a sample of proposals and of the objects' own boxes.

    Args:
        proposals: `(batch, proposals, 4)`, padded with -1.
        truth, labels: `(batch, objects, 4)` and `(batch, objects)`, padded with -1.
        samples: regions of each image, at most a quarter of which are objects.
        seed: a `keras.random.SeedGenerator`.

    Returns:
        `(regions, classes, boxes, there)`: regions `(batch, samples, 4)`; of each the class, 0 for the background, and
        the box of its object; and whether it was chosen indeed.
    """
    regions = ops.concatenate([proposals, truth], axis=1)
    of, kind = match(truth, regions, 0.5, 0.5, low_quality=False)
    kind = ops.where(regions[..., 2] > regions[..., 0], kind, -1)
    index, there = sample(kind, samples, 0.25, seed)
    regions = ops.take_along_axis(regions, index[..., None], axis=1)
    object_of = ops.take_along_axis(of, index, axis=1)
    is_object = there & (ops.take_along_axis(kind, index, axis=1) == OBJECT)
    classes = ops.where(is_object, ops.take_along_axis(labels, object_of, axis=1) + 1, 0)
    boxes = ops.take_along_axis(truth, object_of[..., None], axis=1)
    return ops.where(there[..., None], regions, -1.0), classes, boxes, there


def head_losses(
    outputs: Any, regions: Tensor, classes: Tensor, boxes: Tensor, there: Tensor, weights: Numbers
) -> dict[str, Tensor]:
    """The two losses of a box head, over the regions that it was given.

    Args:
        outputs: "scores" and "deltas", as `BoxHead` gives.
        regions, classes, boxes, there: as `chosen_regions` gives.
        weights: what the moves are multiplied by, of x, y, width, height.

    Reference:
        Girshick, "Fast R-CNN", 2015, equations 1 to 3; torchvision's `fastrcnn_loss`.
    """
    total = ops.maximum(ops.sum(ops.cast(there, "float32")), 1.0)
    batch, count = ops.shape(classes)[:2]
    deltas = ops.reshape(outputs["deltas"], (batch, count, -1, 4))
    deltas = ops.take_along_axis(deltas, classes[..., None, None], axis=2)[:, :, 0]
    distance = ops.sum(smooth_l1(_where(classes > 0, deltas - encode_boxes(boxes, regions, weights))), axis=-1)
    return {
        "class_loss": class_loss(outputs["scores"], classes, there),
        "box_loss": ops.sum(distance) / total,
    }


def class_loss(scores: Tensor, classes: Tensor, there: Tensor) -> Tensor:
    """The mean cross entropy of the regions that are there."""
    weight = ops.cast(there, "float32")
    cross_entropy = -ops.take_along_axis(ops.log_softmax(scores, axis=-1), classes[..., None], axis=-1)[..., 0]
    return ops.sum(cross_entropy * weight) / ops.maximum(ops.sum(weight), 1.0)


def _where(there: Tensor, values: Tensor) -> Tensor:
    """The rows that are there, and exactly 0 for others, whatever they hold."""
    return ops.where(ops.cast(there, "bool")[..., None], values, 0.0)
