"""From a model's outputs to class names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_blocks.core import validation
from keras_blocks.core.arrays import as_float64
from keras_blocks.decode.detections import are_detections, decode_detections


def decode_predictions(
    predictions: Any,
    labels: Sequence[str] | Mapping[str, Sequence[str]],
    top: int | None = 5,
    threshold: float | None = None,
) -> list[Any]:
    """The best classes of each image, by name, as keras.applications' function of this name for classes of yours.

    Args:
        predictions: scores of shape `(images, classes)`, of a softmax, of sigmoids, or logits: array or tensor. Of a
            model with several outputs, a dict of them. Or detections, in either of two forms: for all images at once,
            as KerasHub's and KerasCV's detectors give them, a dict of "boxes" `(images, detections, 4)`, "confidence"
            (or "scores") and "labels" (or "classes") `(images, detections)`, where class -1 is padding, and maybe
            "num_detections" `(images,)`, beyond which all is padding; or as torchvision's, a list of such dicts, one an
            image, without the images' axis.
        labels: the classes' names; for a dict of outputs, a dict of lists of names with the same keys. torchvision's
            detectors count the background as class 0, and so do the names in their weights' `meta`.
        top: how many of the best, at most; `None` for all.
        threshold: least score of a class that is given; `None` for any. With `top=None`, the labels that sigmoids
            decide for: `threshold=0.5`.

    Returns:
        For each image a list of `(index, name, score)`, the best first; for a dict of outputs, a dict of such lists. Of
        detections, for each image a list of `(name, score, box)`, the best first, with the box as it came.

    Raises:
        TypeError: for names that are no strings.
        ValueError: for scores of another shape than `(images, number of names)`, or that are not numbers; for other
            keys; for `top` or `threshold` out of range; for detections of classes that have no name, or of boxes that
            are not finite.

    Example:

    >>> import keras_blocks
    >>> scores = [[0.1, 0.7, 0.2]]
    >>> keras_blocks.decode_predictions(scores, ["cat", "dog", "fox"], top=2)
    [[(1, 'dog', 0.7), (2, 'fox', 0.2)]]
    >>> keras_blocks.decode_predictions({"animal": scores}, {"animal": ["cat", "dog", "fox"]}, threshold=0.5)
    [{'animal': [(1, 'dog', 0.7)]}]
    >>> found = {"boxes": [[[8, 8, 24, 20], [-1] * 4]], "confidence": [[0.9, -1]], "labels": [[1, -1]]}
    >>> keras_blocks.decode_predictions(found, ["cat", "dog", "fox"])
    [[('dog', 0.9, (8.0, 8.0, 24.0, 20.0))]]
    """
    detected = are_detections(predictions)
    if isinstance(predictions, Mapping) and not detected:
        keys = tuple(predictions)
        validation.mapping("labels", labels, keys=keys, required=keys)
        decoded = {key: decode_predictions(predictions[key], labels[key], top, threshold) for key in keys}
        return [dict(zip(keys, found)) for found in zip(*decoded.values())]
    labels = validation.names("labels", labels)
    if top is not None:
        top = validation.integer("top", top)
    if threshold is not None:
        threshold = validation.number("threshold", threshold, least=-np.inf, most=np.inf)
    if detected:
        return decode_detections(predictions, labels, top, threshold)
    scores = as_float64(predictions)
    if scores.ndim != 2 or scores.shape[1] != len(labels):
        raise ValueError(
            f"`predictions` must have the shape (images, {len(labels)}), as there are {len(labels)} names in `labels`; "
            f"received the shape {scores.shape}."
        )
    if np.isnan(scores).any():
        raise ValueError("`predictions` must be numbers; received NaN.")
    return [
        [(int(i), labels[i], float(row[i])) for i in order[:top] if threshold is None or row[i] >= threshold]
        for row, order in zip(scores, np.argsort(-scores, axis=1, kind="stable"))
    ]


def decode_by_own(owner: str, labels: Any, predictions: Any, top: int | None, threshold: float | None) -> list[Any]:
    """`decode_predictions` by the names that a model or a layer has itself.

    Args:
        owner: what the error calls it.
        labels: its own, if it has any.
        predictions, top, threshold: see `decode_predictions`.

    Raises:
        ValueError: where it has none.
    """
    if labels is None:
        raise ValueError(
            f"{owner} has no `labels`: give them at construction, or use "
            "`keras_blocks.decode_predictions(predictions, labels)`."
        )
    return decode_predictions(predictions, labels, top, threshold)
