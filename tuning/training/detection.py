"""Figures of detectors on folders of images with boxes."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_blocks.detection.dataset import DetectionDataset
from keras_blocks.detection.evaluation import evaluate_detections
from keras_blocks.models.detector import Detector
from keras_blocks.models.given_proposals import GivenProposals
from keras_blocks.tuning.boxed_data import read_boxed, taken
from keras_blocks.tuning.training.class_names import matched_by_place, not_matched

AT_A_TIME = 2
"""Images that are predicted at once: memory goes by the thousands of regions of each."""


def check_detector(name: str, detector: Any, what: str) -> None:
    """Refuses what is no detector that finds regions by itself in colour images.

    Args:
        name: of the argument, for errors.
        detector: a model, or a class.
        what: it is called, for errors.

    Raises:
        ValueError: for another model.
    """
    cls = detector if isinstance(detector, type) else type(detector)
    if not issubclass(cls, Detector):
        raise ValueError(f"`{name}` must be a detector, such as a FasterRCNN; {what} is a {cls.__name__}.")
    if issubclass(cls, GivenProposals):
        raise ValueError(
            f"`{name}`: {what} is a {cls.__name__}, which must be told by proposals where to look: train and use it "
            "from Python, with `keras_blocks.region_proposals`, see docs/detection.md; or take a FasterRCNN."
        )
    if detector is not cls and (detector.data_format != "channels_last" or detector.input_shape[-1] != 3):
        raise ValueError(
            f"`{name}` must take colour images, channels last; {what} takes {detector.input_shape[1:]}, "
            f"{detector.data_format}."
        )


def canvas_of(model: Detector) -> tuple[int, int]:
    """(height, width) of the images that a detector is given, so that all have one size."""
    height, width = model.input_shape[1:3]
    if height is None or width is None:
        height, width = model.metaparameters.image_size
    return height, width


def evaluate_detector(model: Any, path: Path, data: str | os.PathLike[str]) -> dict[str, Any]:
    """COCO's figures of a detector on the test part of a folder; where there is none, on another part.

    Classes are matched by their names.

    Args:
        model: the detector.
        path: of its file, to be told.
        data: what `read_boxed` takes.

    Returns:
        `model` and `data`, as text; `part`, `images`, `figures`, see `coco_metrics`; and `notes`: what the user should
        know of it.

    Raises:
        TypeError, ValueError: for data that cannot be read, and for classes that the model does not know.
        ImportError: where pycocotools is missing.
    """
    check_detector("model", model, str(path))
    images = read_boxed(data, first_of=("test", "val", "train"))
    ((part, read),) = images.parts.items()
    labels, notes = _matched(images.labels, model.metaparameters.labels, model.metaparameters.classes)
    places = range(len(read.files))
    tested = taken(read, places, labels, image_size=canvas_of(model), batch_size=AT_A_TIME)
    return {
        "model": str(path),
        "data": images.name,
        "part": part,
        "images": len(places),
        "figures": evaluate_detections(model, tested),
        "notes": (*images.notes, *notes),
    }


def plain_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as JSON has them: `None` where there is nothing to find."""
    return {
        name: plain_figures(value) if isinstance(value, Mapping) else None if math.isnan(value) else value
        for name, value in figures.items()
    }


def figures_on(model: Any, dataset: DetectionDataset) -> dict[str, Any]:
    """`plain_figures` of a detector on a dataset."""
    return plain_figures(evaluate_detections(model, dataset))


def _matched(
    of_data: tuple[str, ...], of_model: tuple[str, ...] | None, classes: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes' names in the model's order, and what is to be said of it."""
    if of_model is None and len(of_data) == classes:
        return of_data, (matched_by_place(of_data),)
    if of_model is None or not set(of_data) <= set(of_model):
        raise ValueError(not_matched(of_data, of_model, f"{classes} classes"))
    return tuple(of_model), ()
