"""What stands in each section of the report of a detector's training, see `sections`."""

import base64
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_blocks.core.pictures import header_of, read_picture
from keras_blocks.tuning.objectives import measure
from keras_blocks.tuning.report import figures
from keras_blocks.tuning.report.page import Data, Plot

LOSSES = {
    "loss": ("all together", figures.ORANGE, "circle"),
    "rpn_objectness_loss": ("proposals: object or not", figures.BLUE, "square"),
    "rpn_box_loss": ("proposals: boxes", figures.GREEN, "diamond"),
    "class_loss": ("regions: classes", figures.PURPLE, "triangle-up"),
    "box_loss": ("regions: boxes", figures.RED, "cross"),
}
PRECISIONS = {
    "val_mAP": ("mAP", figures.ORANGE, "circle"),
    "val_mAP@0.5": ("mAP@0.5", figures.BLUE, "square"),
}
"""What is logged -> its words, colour and symbol."""

OVER_IOUS, AT_HALF = "AP", "AP@0.5"
"""Figures that are there for each class."""

PARTS = {"test": "test images", "val": "validation images"}

LARGEST = 1000
"""Pixels of the longer side of a picture on the page."""


def losses(result: Mapping[str, Any]) -> Data:
    """The losses and the average precision after each epoch."""
    history, kept = result["history"], result["kept_epoch"]
    words = {
        "losses": "the losses on the training images after each epoch, with the kept epoch",
        "precisions": "mAP on the validation images after each epoch, with the kept epoch",
    }
    shown = {
        "losses": (LOSSES, dataclasses.replace(measure("loss"), label="loss")),
        "precisions": (PRECISIONS, measure("average precision")),
    }
    plots = []
    for name, (known, of) in shown.items():
        if lines := [(key, *about) for key, about in known.items() if key in history]:
            plots.append(Plot(name, figures.by_epoch(history, kept, lines, of), words[name], tall=True))
    return {"plots": plots, "result": result}


def coco(result: Mapping[str, Any]) -> Data:
    """COCO's figures, on the test and on the validation images, and those of each class."""
    parts = {words: result[part] for part, words in PARTS.items() if result.get(part)}
    names = dict.fromkeys(name for of in parts.values() for name, value in of.items() if not isinstance(value, Mapping))
    return {
        "parts": list(parts),
        "figures": [(name, [of.get(name) for of in parts.values()]) for name in names],
        "classes": [
            (name, [of[kind].get(name) for of in parts.values() for kind in (OVER_IOUS, AT_HALF)])
            for name in result["class_names"]
        ],
        "heads": [f"{kind}, {words}" for words in parts for kind in (OVER_IOUS, AT_HALF)],
    }


def detections(result: Mapping[str, Any], pictures: Sequence[Path]) -> Data:
    """Pictures of what was found, in the page itself."""
    names = result.get("pictures") or [f"image {i + 1}" for i in range(len(pictures))]
    return {
        "part": PARTS["test" if result.get("test") else "val"],
        "pictures": [(name, _embedded(picture)) for name, picture in zip(names, pictures)],
    }


def _embedded(file: Path) -> str:
    """A picture as a URL that holds it; written anew, whatever the file was."""
    header_of("run", file)  # an error where it is too large
    picture = read_picture("run", file)
    picture.thumbnail((LARGEST, LARGEST))
    written = io.BytesIO()
    picture.save(written, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(written.getvalue()).decode()}"
