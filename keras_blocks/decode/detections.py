"""From a detector's outputs to names, scores and boxes."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from keras_blocks.core.arrays import as_float64

Detection: TypeAlias = tuple[str, float, tuple[float, ...]]
"""Name, score and box."""

PADDING = -1
"""The class of a row that holds no detection, in outputs of equal length for all images."""

SCORES, CLASSES = ("scores", "confidence"), ("labels", "classes")
"""Keys of torchvision and of KerasHub or KerasCV, and of KerasHub or torchvision and of KerasCV."""


def are_detections(predictions: Any) -> bool:
    """Whether predictions are a detector's: a dict of all images', or a list of a dict for each image."""
    one = predictions[0] if isinstance(predictions, (list, tuple)) and len(predictions) else predictions
    return isinstance(one, Mapping) and "boxes" in one and any(key in one for key in SCORES)


def decode_detections(
    predictions: Any, labels: Sequence[str], top: int | None, threshold: float | None
) -> list[list[Detection]]:
    """For each image a list of `(name, score, box)`, the best first; see `keras_blocks.decode_predictions`."""
    least = -np.inf if threshold is None else threshold
    return [
        [
            (labels[int(place)], float(score), tuple(float(side) for side in box))
            for box, score, place in zip(*image)
            if score >= least
        ][:top]
        for image in detections_of(predictions, len(labels))
    ]


def detections_of(predictions: Any, classes: int) -> list[tuple[Any, Any, Any]]:
    """For each image its boxes, scores and classes, without the padding, the best first.

    Args:
        predictions: a detector's, in either form of `keras_blocks.decode_predictions`.
        classes: how many there are.

    Raises:
        ValueError: for arrays that do not belong together, what is not finite, and classes that are not among them.
    """
    if isinstance(predictions, Mapping):
        parts = _parts("predictions", predictions)
        images, most = parts[1].shape
        counts = as_float64(predictions.get("num_detections", np.full(images, most))).reshape(images).astype(int)
        return [_of_image(classes, *(part[i][:count] for part in parts)) for i, count in enumerate(counts)]
    found = []
    for i, one in enumerate(predictions):
        if not are_detections(one):
            raise ValueError(f"`predictions[{i}]` must be a dict like the first; received {one!r}.")
        found.append(_of_image(classes, *(part[0] for part in _parts(f"predictions[{i}]", one, batch=False))))
    return found


def _parts(name: str, predictions: Any, batch: bool = True) -> tuple[Any, Any, Any]:
    """(boxes, scores, classes), of the shapes (images, detections, 4) and twice (images, detections)."""
    boxes = as_float64(predictions["boxes"])
    scores, classes = (as_float64(_one_of(name, predictions, keys)) for keys in (SCORES, CLASSES))
    if not batch:
        boxes, scores, classes = (
            boxes.reshape(1, -1, 4) if boxes.size == 0 else boxes[None],
            scores[None],
            classes[None],
        )
    if boxes.ndim != 3 or boxes.shape[2] != 4 or not boxes.shape[:2] == scores.shape == classes.shape:
        skipped = 0 if batch else 1
        raise ValueError(
            f"`{name}` must have boxes of the shape {'(images, detections, 4)' if batch else '(detections, 4)'} and as "
            f"many scores and classes; received the shapes {boxes.shape[skipped:]}, {scores.shape[skipped:]} and "
            f"{classes.shape[skipped:]}."
        )
    return boxes, scores, classes


def _one_of(name: str, predictions: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        if key in predictions:
            return predictions[key]
    raise ValueError(f"`{name}` must have one of the keys {list(keys)}; received {sorted(predictions)}.")


def _of_image(count: int, boxes: Any, scores: Any, classes: Any) -> tuple[Any, Any, Any]:
    """The detections of one image, without the padding, the best first."""
    there = classes != PADDING
    boxes, scores, classes = boxes[there], scores[there], classes[there]
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("`predictions` must have finite boxes and scores; received NaN or infinity.")
    wrong = classes[(classes < 0) | (classes >= count) | (classes != np.floor(classes))]
    if wrong.size:
        raise ValueError(
            f"`predictions` must have classes from 0 to {count - 1}, as there are {count} names in `labels`, or "
            f"{PADDING} for no detection; received {wrong[0]:g}."
        )
    best = np.argsort(-scores, kind="stable")
    return boxes[best], scores[best], classes[best]
