"""COCO's figures of detections, by pycocotools: never a mean average precision of our own."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_blocks.core import validation
from keras_blocks.core.extras import require
from keras_blocks.decode.detections import are_detections, detections_of
from keras_blocks.detection.annotations import Annotation, annotation_of
from keras_blocks.detection.boxes import KINDS, kinds_of, shown
from keras_blocks.detection.dataset import DetectionDataset

FIGURES = (
    *("mAP", "mAP@0.5", "mAP@0.75", "mAP_small", "mAP_medium", "mAP_large"),
    *("AR@1", "AR@10", "AR@100", "AR_small", "AR_medium", "AR_large"),
)
"""COCO's twelve, in its order."""


def evaluate_detections(model: Any, dataset: DetectionDataset, *, verbose: int | str = 0) -> dict[str, Any]:
    """COCO's figures of a detector on a dataset, in the pixels of its files.

    Args:
        model: a detector, whose `predict` is called; or what it gave on `dataset.in_order()`: a dict of "boxes",
            "scores", "labels" and maybe "num_detections", or a list of a dict for each image.
        dataset: a `DetectionDataset`; order and augmentation are left aside.
        verbose: of `predict`.

    Returns:
        What `coco_metrics` gives.

    Raises:
        TypeError: for another dataset.
        ValueError: for predictions of other images than the dataset's, and for what `coco_metrics` refuses.
        ImportError: where pycocotools is missing.

    Example:

    >>> import os
    >>> keras.utils.save_img("boxed.png", np.zeros((60, 80, 3)), scale=False)
    >>> truth = {"boxes": [[8, 6, 40, 30]], "labels": ["cat"]}
    >>> dataset = keras_blocks.DetectionDataset(["boxed.png"], [truth], ["cat", "dog"], image_size=(120, 160))
    >>> found = {"boxes": [[[16, 12, 80, 60]]], "scores": [[0.9]], "labels": [[0]]}
    >>> f"{keras_blocks.evaluate_detections(found, dataset)['mAP']:.2f}"
    '1.00'
    >>> os.remove("boxed.png")
    """
    if not isinstance(dataset, DetectionDataset):
        raise TypeError(f"`dataset` must be a DetectionDataset; received {dataset!r} of type {type(dataset).__name__}.")
    predictions = model
    if hasattr(model, "predict"):
        predictions = model.predict(dataset.in_order(), verbose=verbose)
    elif not are_detections(model):
        raise TypeError(
            "`model` must be a detector, or a dict of 'boxes', 'scores' and 'labels' as its `predict` gives; received "
            f"{type(model).__name__}."
        )
    elif dataset.shuffle:
        raise ValueError(
            "`dataset` must have the order in which was predicted, and this one is shuffled: predict on "
            "dataset.in_order(), and give it here, too."
        )
    detections = detections_of(predictions, len(dataset.labels))
    _check_count(len(detections), len(dataset.files))
    found = [
        {"boxes": dataset.to_original(i, boxes), "scores": scores, "labels": classes}
        for i, (boxes, scores, classes) in enumerate(detections)
    ]
    return coco_metrics(dataset.ground_truth(), found, dataset.labels)


def coco_metrics(ground_truth: Sequence[Mapping[str, Any]], predictions: Any, labels: Sequence[str]) -> dict[str, Any]:
    """COCO's figures of detections, by pycocotools.

    Args:
        ground_truth: for each image a dict of "boxes", (x1, y1, x2, y2) in pixels, and "labels", places in `labels` or
            names; maybe "iscrowd", within which detections count neither for nor against a detector; "difficult", whose
            detection counts neither way; and "area", that sorts objects by size.
        predictions: of the same images, in their pixels: a dict of "boxes" `(images, most, 4)`, "scores" and "labels"
            `(images, most)`, padded with -1; or a list of a dict for each image. COCO counts the best 100 of an image.
        labels: the classes' names.

    Returns:
        The twelve figures: "mAP" (the mean over classes and over ten IoU from 0.5 to 0.95), "mAP@0.5", "mAP@0.75",
        "mAP_small", "mAP_medium", "mAP_large" (objects below 32 x 32 pixels, to 96 x 96, above), "AR@1", "AR@10",
        "AR@100" (average recall with so many detections an image), "AR_small", "AR_medium", "AR_large"; and "AP" and
        "AP@0.5", dicts of the average precision for each class by its name. NaN where there is nothing to find: such a
        class is in no mean.

    Raises:
        TypeError, ValueError: for what does not belong together, for boxes that are none, and for classes without a
            name.
        ImportError: where pycocotools is missing.

    Reference:
        Lin et al., "Microsoft COCO: Common Objects in Context", 2014; cocodataset.org, "Detection evaluation".

    Example:

    >>> truth = [{"boxes": [[0, 0, 50, 50]], "labels": ["cat"]}]
    >>> found = [{"boxes": [[0, 0, 50, 40]], "scores": [0.9], "labels": [0]}]
    >>> figures = keras_blocks.coco_metrics(truth, found, ["cat", "dog"])
    >>> f"{figures['mAP']:.2f}", f"{figures['mAP@0.5']:.2f}", figures["AP"]["dog"]  # its IoU is 0.8
    ('0.70', '1.00', nan)
    """
    names = validation.names("labels", labels)
    require("pycocotools", "detection")
    truth = [_truth(i, one, names) for i, one in enumerate(ground_truth)]
    found = detections_of(predictions, len(names)) if len(predictions) else []
    _check_count(len(found), len(truth))
    if not truth:
        raise ValueError("`ground_truth` must be of one image or more; received none.")
    return _figures(_annotations(truth), _results(found), len(truth), names)


def _check_count(received: int, images: int) -> None:
    if received != images:
        raise ValueError(f"`predictions` must be of the {images} images of the ground truth; received {received}.")


def _truth(index: int, value: Any, names: Sequence[str]) -> Annotation:
    """One image's objects, all of them boxes of known classes."""
    where = f"`ground_truth[{index}]`"
    one = annotation_of(where, value, names)
    sizes = np.broadcast_to(one.size or (np.inf, np.inf), (len(one.boxes), 2))
    kinds = kinds_of(one.boxes, sizes, one.classes)
    if len(wrong := np.flatnonzero(kinds >= 0)):
        first = wrong[0]
        raise ValueError(f"{where}: the box {shown(one.boxes[first])} is {KINDS[kinds[first]]}.")
    return one.taken(kinds == -1, one.boxes)


def _annotations(truth: Sequence[Annotation]) -> list[dict[str, Any]]:
    """As pycocotools takes them; its ids begin at 1, as it takes 0 for "not found".

    It leaves aside what is in no range of areas, which difficult objects are by an area below 0.
    """
    rows: list[dict[str, Any]] = []
    for image, one in enumerate(truth, 1):
        areas = np.where(one.difficult, -1.0, one.areas)
        for box, place, crowd, area in zip(_wide(one.boxes), one.classes.tolist(), one.crowd.tolist(), areas.tolist()):
            about = {"image_id": image, "category_id": place + 1, "iscrowd": int(crowd), "area": area}
            rows.append({"id": len(rows) + 1, "bbox": box, **about})
    return rows


def _results(found: Sequence[tuple[Any, Any, Any]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for image, (boxes, scores, classes) in enumerate(found, 1):
        for box, score, place in zip(_wide(boxes), scores.tolist(), classes.tolist()):
            about = {"image_id": image, "category_id": int(place) + 1, "iscrowd": 0, "area": box[2] * box[3]}
            rows.append({"id": len(rows) + 1, "bbox": box, "score": score, **about})
    return rows


def _wide(boxes: Any) -> Any:
    """(x, y, width, height)."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()


def _figures(annotations: list[Any], results: list[Any], images: int, names: Sequence[str]) -> dict[str, Any]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval as Run

    sides = []
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        for rows in (annotations, results):
            side = COCO()
            side.dataset = {
                "images": [{"id": i} for i in range(1, images + 1)],
                "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
                "annotations": rows,
            }
            side.createIndex()
            sides.append(side)
        run = Run(*sides, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    precision = run.eval["precision"][..., 0, 2]  # (IoU, recall, class) of all areas, and 100 detections an image
    return {
        **{name: _known(figure) for name, figure in zip(FIGURES, run.stats.tolist())},
        "AP": {name: _mean(precision[:, :, i]) for i, name in enumerate(names)},
        "AP@0.5": {name: _mean(precision[0, :, i]) for i, name in enumerate(names)},
    }


def _known(figure: float) -> float:
    """NaN for what pycocotools gives as -1."""
    return figure if figure > -1 else float("nan")


def _mean(precision: Any) -> float:
    there = precision[precision > -1]
    return float(there.mean()) if there.size else float("nan")
