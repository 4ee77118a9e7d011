"""Non-maximum suppression: of boxes that overlap, the one with the highest score stays.

What is chosen is what torchvision chooses: boxes in the order of falling score, those of equal scores in the order they
came, each unless its IoU with one chosen before is above the threshold. How, is up to the backend.
"""

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_blocks.ops import boxes as box_ops
from keras_blocks.ops.grouped_conv import in_xla
from keras_blocks.ops.written import is_for_openvino, is_written
from keras_blocks.typing import Tensor

BLOCK = 128
"""Boxes that are decided on at a time."""

HOST_BLOCK = 96
"""The same for NumPy, whose rows of float32 then stay in the cache."""

GRAPH_BLOCK = 64
"""The same in TensorFlow's graph."""


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, max_outputs: int) -> Tensor:
    """Indices of the boxes that stay.

    Args:
        boxes: (x1, y1, x2, y2), (n, 4), or (batch, n, 4) for images that have nothing to do with each other.
        scores: (n,) or (batch, n). One that is -inf or NaN marks padding, which is never chosen.
        iou_threshold: from 0 to 1: boxes with an IoU above it with a chosen one are left out.
        max_outputs: how many are chosen at most.

    Returns:
        int32, (max_outputs,) or (batch, max_outputs): indices in the order of falling score, then -1. No gradient flows
        through them.

    Raises:
        ValueError: where the shapes do not fit, or an argument is out of range.

    Reference:
        torchvision.ops.nms.

    Example:

    >>> boxes = [[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 8.0], [20.0, 0.0, 29.0, 9.0]]
    >>> found = keras_blocks.ops.nms(boxes, [0.5, 0.9, 0.7], iou_threshold=0.5, max_outputs=3)
    >>> keras.ops.convert_to_numpy(found).tolist()
    [1, 2, -1]
    """
    return _suppress(boxes, scores, None, iou_threshold, max_outputs)


def batched_nms(boxes: Tensor, scores: Tensor, classes: Tensor, iou_threshold: float, max_outputs: int) -> Tensor:
    """Indices of the boxes that stay where only boxes of the same class rival each other.

    torchvision moves the classes apart by offsets where there are up to 1,000 boxes, which rounds the boxes, and takes
    the classes one by one where there are more. Ours never moves a box.

    Args:
        boxes: (x1, y1, x2, y2), (n, 4) or (batch, n, 4).
        scores: (n,) or (batch, n); -inf or NaN marks padding.
        classes: integers, (n,) or (batch, n): classes of objects, or levels of a pyramid.
        iou_threshold: from 0 to 1, see `nms`.
        max_outputs: how many are chosen at most, of all classes together.

    Returns:
        int32, (max_outputs,) or (batch, max_outputs): indices in the order of falling score, then -1.

    Raises:
        ValueError: where the shapes do not fit, or an argument is out of range.

    Reference:
        torchvision.ops.batched_nms.

    Example:

    >>> boxes = [[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 8.0], [0.0, 0.0, 9.0, 9.0]]
    >>> found = keras_blocks.ops.batched_nms(boxes, [0.5, 0.9, 0.7], [0, 0, 1], iou_threshold=0.5, max_outputs=3)
    >>> keras.ops.convert_to_numpy(found).tolist()
    [1, 2, -1]
    """
    return _suppress(boxes, scores, classes, iou_threshold, max_outputs)


def _suppress(boxes: Any, scores: Any, classes: Any, iou_threshold: float, max_outputs: int) -> Tensor:
    boxes = ops.stop_gradient(box_ops.checked("boxes", boxes))
    rank = len(boxes.shape)
    scores = ops.stop_gradient(ops.cast(ops.convert_to_tensor(scores), boxes.dtype))
    classes = None if classes is None else ops.cast(ops.convert_to_tensor(classes), "int32")
    for name, values in {"scores": scores, "classes": classes}.items():
        if values is not None and not _fit(values.shape, boxes.shape[:-1]):
            raise ValueError(
                f"`{name}` must have the shape {tuple(boxes.shape[:-1])}, that of the boxes without their last axis; "
                f"received {tuple(values.shape)}."
            )
    if rank > 3:
        raise ValueError(f"`boxes` must have the shape (n, 4) or (batch, n, 4); received {tuple(boxes.shape)}.")
    threshold = _checked_threshold(iou_threshold)
    if isinstance(max_outputs, bool) or not isinstance(max_outputs, (int, np.integer)) or max_outputs < 1:
        raise ValueError(f"`max_outputs` must be an integer of at least 1; received {max_outputs!r}.")
    if rank == 2:
        boxes, scores, classes = (None if x is None else x[None] for x in (boxes, scores, classes))
    # What is never chosen, and is below all else; NaN is not above.
    scores = ops.where(scores > -float("inf"), scores, -float("inf"))
    chosen = ops.cast(_formulation()(boxes, scores, classes, threshold, int(max_outputs)), "int32")
    chosen = ops.reshape(chosen, (-1, int(max_outputs)))  # a shape that whatever comes after can rely on
    return chosen[0] if rank == 2 else chosen


def _fit(found: Any, wanted: Any) -> bool:
    return len(found) == len(wanted) and all(a == b or a is None or b is None for a, b in zip(found, wanted))


def _checked_threshold(iou_threshold: Any) -> float:
    """The largest float32 that is not above: IoUs are float32, the threshold that torchvision compares with is not."""
    try:
        value = float(iou_threshold)
    except (TypeError, ValueError):
        value = float("nan")
    if not 0 <= value <= 1:
        raise ValueError(f"`iou_threshold` must be a number from 0 to 1; received {iou_threshold!r}.")
    rounded = np.float32(value)
    return float(rounded if float(rounded) <= value else np.nextafter(rounded, np.float32(-1)))


def _formulation() -> Any:
    if keras.backend.backend() == "tensorflow" and not in_xla() and not is_for_openvino():
        return _by_tensorflow
    if keras.backend.backend() == "torch":
        return _by_choices if is_written() else _by_torch
    return _by_blocks


def _by_tensorflow(boxes: Tensor, scores: Tensor, classes: Tensor | None, threshold: float, max_outputs: int) -> Tensor:
    """For each image, and for each class of it, in shapes that follow from values.

    TensorFlow's own operation, which takes box by box, needs twice the time.
    """
    import tensorflow as tf

    of = functools.partial(_of_class_in_graph, threshold=threshold, max_outputs=max_outputs)

    def of_image(image: tuple[Tensor, ...]) -> Tensor:
        chosen = of(*image) if len(image) == 2 else of_classes(*image)
        return tf.pad(chosen, [[0, max_outputs - tf.size(chosen)]], constant_values=-1)

    def of_classes(boxes: Tensor, scores: Tensor, classes: Tensor) -> Tensor:
        present = tf.unique(classes).y

        def add(i: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
            members = tf.where(classes == present[i])
            places = tf.gather(members, of(tf.gather_nd(boxes, members), tf.gather_nd(scores, members)))
            return i + 1, tf.tensor_scatter_nd_update(kept, places, tf.ones_like(places[:, 0], "bool"))

        start = (0, tf.zeros_like(scores, "bool"))
        kept = tf.while_loop(lambda i, kept: i < tf.size(present), add, start)[1]
        places = tf.where(kept)[:, 0]
        order = tf.argsort(tf.gather(scores, places), direction="DESCENDING", stable=True)
        return tf.cast(tf.gather(places, order)[:max_outputs], "int32")

    images = (boxes, scores) if classes is None else (boxes, scores, classes)
    if boxes.shape[0] == 1:
        return of_image(tuple(values[0] for values in images))[None]
    return tf.map_fn(of_image, images, fn_output_signature=tf.TensorSpec((max_outputs,), "int32"))


def _of_class_in_graph(boxes: Tensor, scores: Tensor, threshold: float, max_outputs: int) -> Tensor:
    """As `_of_class`."""
    import tensorflow as tf

    order = tf.argsort(scores, direction="DESCENDING", stable=True)
    order = tf.boolean_mask(order, tf.gather(scores, order) > -float("inf"))
    sides = _sides_in_graph(tf.gather(boxes, order))

    def going_on(order: Tensor, sides: Tensor, kept: Tensor) -> Tensor:
        return tf.logical_and(tf.size(order) > 0, tf.size(kept) < max_outputs)

    def decide(order: Tensor, sides: Tensor, kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        block, rest = sides[:, :GRAPH_BLOCK], sides[:, GRAPH_BLOCK:]
        place = tf.range(tf.shape(block)[1])
        rivals = tf.logical_and(_overlaps_in_graph(block, block) > threshold, place[:, None] < place)
        stay = _rounds(tf.ones_like(place, "bool")[None], rivals[None])[0]
        kept = tf.concat([kept, tf.boolean_mask(order[:GRAPH_BLOCK], stay)], axis=0)
        most = tf.reduce_max(_overlaps_in_graph(tf.boolean_mask(block, stay, axis=1), rest), axis=0)
        alive = most <= threshold
        return tf.boolean_mask(order[GRAPH_BLOCK:], alive), tf.boolean_mask(rest, alive, axis=1), kept

    start = (order, sides, order[:0])
    shapes = (tf.TensorShape([None]), tf.TensorShape([5, None]), tf.TensorShape([None]))
    return tf.while_loop(going_on, decide, start, shape_invariants=shapes)[2][:max_outputs]


def _sides_in_graph(boxes: Tensor) -> Tensor:
    """Sides and area, (5, boxes), such that no IoU is NaN: 0 where area or coordinates are not finite."""
    import tensorflow as tf

    left, top, right, bottom = tf.unstack(tf.transpose(boxes))
    area = (right - left) * (bottom - top)
    smallest = float(np.finfo("float32").tiny)  # or two boxes without area had one of 0 / 0
    sides = tf.stack([left, top, right, bottom, tf.maximum(area, smallest)])
    return tf.where(tf.math.is_finite(area), sides, tf.constant([[0.0], [0.0], [0.0], [0.0], [smallest]], sides.dtype))


def _overlaps_in_graph(a: Tensor, b: Tensor) -> Tensor:
    """IoUs of all boxes of `a` with all of `b`, see `_sides_in_graph`."""
    import tensorflow as tf

    left, top, right, bottom, area = tf.unstack(a[..., None])
    x1, y1, x2, y2, other = tf.unstack(b)
    width = tf.nn.relu(tf.minimum(right, x2) - tf.maximum(left, x1))
    common = width * tf.nn.relu(tf.minimum(bottom, y2) - tf.maximum(top, y1))
    return common / (area + other - common)


def _by_torch(boxes: Tensor, scores: Tensor, classes: Tensor | None, threshold: float, max_outputs: int) -> Tensor:
    """By NumPy, on the host, where so many small operations cost a tenth of PyTorch's."""
    import torch

    labels = torch.zeros_like(scores) if classes is None else classes
    images = zip(*(x.detach().cpu().numpy() for x in (boxes, scores, labels)))
    chosen = np.full((len(boxes), max_outputs), -1, "int32")
    for i, (image, values, of_box) in enumerate(images):
        members = [np.flatnonzero(of_box == label) for label in np.unique(of_box)]
        kept = [rows[_of_class(image[rows], values[rows], threshold, max_outputs)] for rows in members]
        places = np.sort(np.concatenate(kept)) if kept else np.zeros(0, "int32")
        places = places[np.argsort(-values[places], kind="stable")][:max_outputs]
        chosen[i, : len(places)] = places
    return torch.from_numpy(chosen).to(boxes.device)


# Of boxes without area, or with one that is no number, what is NaN is not above the threshold.
@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _of_class(boxes: Any, scores: Any, threshold: float, max_outputs: int) -> Any:
    """As `_by_blocks`, but what is struck out is left out of all that follows."""
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > -np.inf]
    sides = np.ascontiguousarray(boxes[order].T)  # whole rows of numbers to compute with
    left, top, right, bottom = sides
    sides = np.stack([*sides, (right - left) * (bottom - top)])
    kept, count = [order[:0]], 0
    while len(order) and count < max_outputs:
        block, sides = sides[:, :HOST_BLOCK], sides[:, HOST_BLOCK:]
        rivals = np.triu(_rivals(block, block, threshold), 1)
        before, stay = None, np.ones(block.shape[1], bool)
        while before is None or (before != stay).any():
            before, stay = stay, ~rivals[stay].any(axis=0)
        kept.append(order[:HOST_BLOCK][stay])
        count += len(kept[-1])
        alive = ~_rivals(block[:, stay], sides, threshold).any(axis=0)
        order, sides = order[HOST_BLOCK:][alive], sides[:, alive]
    return np.concatenate(kept)[:max_outputs]


def _rivals(a: Any, b: Any, threshold: float) -> Any:
    """Which boxes of `a` overlap which of `b` by more than the threshold; both are sides and area, (5, boxes)."""
    (left, top, right, bottom, area), (x1, y1, x2, y2, other) = a[..., None], b
    common = np.minimum(right, x2)
    common -= np.maximum(left, x1)
    height = np.minimum(bottom, y2)
    height -= np.maximum(top, y1)
    np.maximum(common, 0, out=common)
    np.maximum(height, 0, out=height)
    common *= height
    union = area + other
    union -= common
    common /= union
    return common > threshold


def _by_choices(boxes: Tensor, scores: Tensor, classes: Tensor | None, threshold: float, max_outputs: int) -> Tensor:
    """One box chosen after another, in a graph without loops: what PyTorch's exporters can write."""
    import torch

    # One more, that is never chosen: of no boxes, too, something can be chosen.
    scores = torch.nn.functional.pad(scores, (0, 1), value=-float("inf"))
    left, top, right, bottom = sides = torch.nn.functional.pad(boxes, (0, 0, 0, 1)).unbind(-1)
    sides = (*sides, (right - left) * (bottom - top))
    place = torch.ones_like(scores, dtype=torch.int64).cumsum(-1) - 1
    labels = None if classes is None else torch.nn.functional.pad(classes, (0, 1))
    chosen = []
    for _ in range(max_outputs):
        best = scores.amax(-1, keepdim=True)
        index = torch.where(scores == best, place, place[:, -1:]).amin(-1, keepdim=True)  # the first of equals
        chosen.append(torch.where(best > -float("inf"), index, -1))
        x1, y1, x2, y2, area = (side.gather(1, index) for side in sides)
        width = torch.relu(torch.minimum(right, x2) - torch.maximum(left, x1))
        common = width * torch.relu(torch.minimum(bottom, y2) - torch.maximum(top, y1))
        out = common / (area + sides[4] - common) > threshold
        if labels is not None:
            out = out & (labels == labels.gather(1, index))
        scores = scores.masked_fill(out | (place == index), -float("inf"))
    return torch.cat(chosen, -1)


def _by_blocks(boxes: Tensor, scores: Tensor, classes: Tensor | None, threshold: float, max_outputs: int) -> Tensor:
    """For batches of images, in shapes that are known before: what XLA compiles.

    Sorted boxes are decided on block by block: within a block by rounds, see `_rounds`; those that stay strike out
    boxes of later blocks.
    """
    order = ops.argsort(-scores, axis=-1)
    count = ops.shape(scores)[-1]
    blocks = (count + BLOCK - 1) // BLOCK
    missing = blocks * BLOCK - count
    alive = ops.pad(ops.take_along_axis(scores, order, axis=-1) > -float("inf"), ((0, 0), (0, missing)))
    boxes = ops.pad(ops.take_along_axis(boxes, order[..., None], axis=1), ((0, 0), (0, missing), (0, 0)))
    if classes is not None:
        classes = ops.pad(ops.take_along_axis(classes, order, axis=-1), ((0, 0), (0, missing)))
    place = ops.arange(blocks * BLOCK, dtype="int32")
    batch = ops.shape(scores)[0]

    def block_of(values: Tensor, start: Tensor) -> Tensor:
        rest = ops.shape(values)[2:]
        zero = start * 0
        return ops.slice(values, [zero, start] + [zero] * len(rest), (batch, BLOCK, *rest))

    def going_on(i: Tensor, alive: Tensor, found: Tensor) -> Tensor:
        return ops.logical_and(i < blocks, ops.any(found < max_outputs))

    def decide(i: Tensor, alive: Tensor, found: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        start = i * BLOCK
        block = block_of(boxes, start)
        rivals = box_ops.box_iou(block, boxes) > threshold  # (batch, BLOCK, all)
        if classes is not None:
            rivals = ops.logical_and(rivals, block_of(classes, start)[:, :, None] == classes[:, None, :])
        before = (start + ops.arange(BLOCK, dtype="int32"))[:, None] < place
        rivals = ops.logical_and(rivals, before)
        zero = start * 0
        inside = ops.slice(rivals, [zero, zero, start], (batch, BLOCK, BLOCK))
        stay = _rounds(block_of(alive, start), inside)
        struck = ops.any(ops.logical_and(rivals, stay[:, :, None]), axis=1)
        alive = ops.logical_and(alive, ops.logical_not(struck))
        found = found + ops.cast(ops.sum(stay, axis=-1), "int32")  # with JAX's x64, sums are int64
        return i + 1, alive, found

    start = (ops.zeros((), "int32"), alive, ops.zeros((batch,), "int32"))
    after, alive, _ = ops.while_loop(going_on, decide, start)
    # Blocks behind the last one that was decided on are out.
    alive = ops.logical_and(alive, place < after * BLOCK)[:, :count]
    return _first(alive, order, max_outputs)


def _rounds(alive: Tensor, rivals: Tensor) -> Tensor:
    """Which boxes stay, of those `alive`, where box i strikes out those j of rivals[:, i, j] if it stays itself.

    Each round asks for all boxes at once: who stays if those stay who did in the round before? After k rounds the
    first k are decided, and none changes any more once a round changes none.
    """

    def going_on(stay: Tensor, changed: Tensor) -> Tensor:
        return changed

    def ask(stay: Tensor, changed: Tensor) -> tuple[Tensor, Tensor]:
        struck = ops.any(ops.logical_and(rivals, stay[:, :, None]), axis=1)
        now = ops.logical_and(alive, ops.logical_not(struck))
        return now, ops.any(ops.not_equal(now, stay))

    return ops.while_loop(going_on, ask, (alive, ops.any(alive)))[0]


def _first(alive: Tensor, order: Tensor, max_outputs: int) -> Tensor:
    """The indices in `order` of the first so many that are alive, then -1."""
    places = ops.argsort(ops.cast(ops.logical_not(alive), "int32"), axis=-1)[:, :max_outputs]
    alive = ops.take_along_axis(alive, places, axis=-1)
    chosen = ops.where(alive, ops.take_along_axis(order, places, axis=-1), -1)
    missing = max_outputs - ops.shape(chosen)[-1]
    return ops.pad(chosen, ((0, 0), (0, missing)), constant_values=-1)
