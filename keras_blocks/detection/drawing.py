"""Pictures of detections."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_blocks.core import validation
from keras_blocks.core.extras import require
from keras_blocks.decode.detections import detections_of
from keras_blocks.detection.annotations import annotation_of
from keras_blocks.detection.pixels import as_pixels

if TYPE_CHECKING:
    from PIL import Image

COLOURS = (
    *((230, 60, 50), (50, 110, 230), (40, 160, 70), (240, 150, 20), (150, 70, 200), (0, 170, 180)),
    *((220, 60, 150), (130, 100, 60), (120, 150, 30), (90, 90, 200), (200, 120, 100), (60, 130, 130)),
)
"""One for each class, then from the beginning."""

READABLE = 640
"""Smaller images are enlarged so that their longer side is about so long."""

MOST_SCALE = 16

TEXT, LINE = 40, 320
"""Of the longer side, one part in so many is the height of a text, and the width of a line."""


def draw_detections(
    image: Any,
    predictions: Mapping[str, Any],
    labels: Sequence[str] | None = None,
    threshold: float = 0.5,
    *,
    scale: int | None = None,
) -> "Image.Image":
    """A picture of an image with boxes, and the names and scores of what is in them, in a colour for each class.

    Args:
        image: one image, `(height, width, 1 or 3)` or `(height, width)` from 0 to 255, or an image of Pillow's.
        predictions: of this image, in its pixels: a dict of "boxes" `(detections, 4)`, "scores" and "labels"
            `(detections,)`, padded with -1; or what there is to find, without "scores". Of all images of a `predict`,
            take the i-th: `{key: value[i] for key, value in predictions.items()}`.
        labels: the classes' names; `None` for their numbers.
        threshold: least score of what is drawn. What has no score is.
        scale: by how much the picture is enlarged; `None` for so much that a small image can be read.

    Returns:
        An image of Pillow's, in colour; `numpy.asarray` makes an array of it, `save` a file.

    Raises:
        TypeError, ValueError: for what is no image, for boxes of other shapes, and for classes that have no name.
        ImportError: where Pillow is missing.

    Example:

    >>> found = {"boxes": [[8, 6, 40, 30]], "scores": [0.9], "labels": [1]}
    >>> picture = keras_blocks.draw_detections(np.zeros((60, 80, 3)), found, ["cat", "dog"])
    >>> picture.size  # eight times as large
    (640, 480)
    """
    require("PIL", "detection")
    from PIL import Image, ImageDraw, ImageFont

    threshold = validation.number("threshold", threshold, least=-np.inf, most=np.inf)
    names = None if labels is None else validation.names("labels", labels)
    picture = Image.fromarray(as_pixels(image))
    found = _found(predictions, names, threshold)
    if scale is None:
        scale = min(MOST_SCALE, max(1, round(READABLE / max(picture.size))))
    scale = validation.integer("scale", scale, most=MOST_SCALE)
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BILINEAR)
    longer = max(picture.size)
    font, line = ImageFont.load_default(max(11, longer // TEXT)), max(1, longer // LINE)
    draw = ImageDraw.Draw(picture)
    for box, _, place in found:
        draw.rectangle(_corners(box, scale), outline=_colour(place), width=line)
    taken: list[tuple[float, float, float, float]] = []
    for box, score, place in found:  # above all boxes
        name = names[place] if names else str(place)
        text = name if score is None else f"{name} {score:.2f}"
        _write(draw, text, _corners(box, scale), _colour(place), font, taken)
    return picture


def _found(predictions: Any, names: Sequence[str] | None, threshold: float) -> list[tuple[Any, float | None, int]]:
    """(box, score, class) of what is drawn, the best last, so that it lies above the others."""
    if not isinstance(predictions, Mapping):
        raise TypeError(f"`predictions` must be a dict of one image; received {type(predictions).__name__}.")
    parts = {
        key: value
        for key, value in predictions.items()
        if key in ("boxes", "scores", "confidence", "labels", "classes")
    }
    if any(key in parts for key in ("scores", "confidence")):
        count = predictions.get("num_detections")
        if count is not None:
            parts = {key: value[: int(count)] for key, value in parts.items()}
        boxes, scores, classes = detections_of([parts], len(names) if names else 2**31)[0]
        above = scores >= threshold
        found = zip(boxes[above].tolist(), scores[above].tolist(), classes[above].tolist())
        return [(box, score, int(place)) for box, score, place in found][::-1]
    array = {key: np.asarray(keras.ops.convert_to_numpy(value)) for key, value in parts.items()}
    validation.mapping("predictions", array, required=("boxes", "labels"))
    boxes, classes = array["boxes"].reshape(-1, 4), array["labels"].reshape(-1)
    there = classes != -1 if classes.dtype.kind in "iuf" else np.ones(len(classes), bool)
    known = names or tuple(map(str, range(int(classes[there].max(initial=0)) + 1)))
    one = annotation_of("`predictions`", {"boxes": boxes[there], "labels": classes[there]}, known)
    if not np.isfinite(one.boxes).all():
        raise ValueError("`predictions` must have finite boxes; received NaN or infinity.")
    if (one.classes < 0).any():
        raise ValueError(f"`predictions` must have classes among {list(known)[:20]}; received {classes.tolist()[:20]}.")
    return [(box, None, place) for box, place in zip(one.boxes.tolist(), one.classes.tolist())]


def _corners(box: Sequence[float], scale: int) -> tuple[float, float, float, float]:
    """Of a box in pixels of the picture, in order, as Pillow wants them."""
    x1, y1, x2, y2 = (side * scale for side in box)
    return min(x1, x2), min(y1, y2), max(x1, x2 - 1), max(y1, y2 - 1)


def _colour(place: int) -> tuple[int, int, int]:
    return COLOURS[place % len(COLOURS)]


def _write(draw: Any, text: str, box: Any, colour: Any, font: Any, taken: list[Any]) -> None:
    """A text on its colour, above its box or, where there is no room or another text, within, below or beneath that."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 6, bottom - top + 6
    lowest = max(0, draw.im.size[1] - height)
    x = max(0, min(box[0], draw.im.size[0] - width))
    around = [y for y in (box[1] - height, box[1], box[3] - height, box[3]) if 0 <= y <= lowest]
    first = max(0, min(box[1], lowest))
    rows = [*around, *range(int(first), lowest + 1, height), first]
    places = [(x, y, x + width, y + height) for y in rows]
    chosen = next((place for place in places if not any(_overlap(place, other) for other in taken)), places[0])
    taken.append(chosen)
    draw.rectangle((*chosen[:2], chosen[2] - 1, chosen[3] - 1), fill=colour)
    draw.text((chosen[0] + 3 - left, chosen[1] + 3 - top), text, fill=(255, 255, 255), font=font)


def _overlap(one: Any, other: Any) -> bool:
    return bool(one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3])
