"""Detecting: a saved detector on files of images."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_blocks.core import validation
from keras_blocks.core.pictures import header_of, read_picture
from keras_blocks.decode.predictions import decode_predictions
from keras_blocks.detection.boxes import clip
from keras_blocks.detection.drawing import draw_detections
from keras_blocks.detection.letterbox import letterbox, move, sizes_within
from keras_blocks.tuning.data.listing import LeftOut, images_in
from keras_blocks.tuning.data.load import data_path
from keras_blocks.tuning.files import replacing, write_json
from keras_blocks.tuning.training.detection import canvas_of, check_detector
from keras_blocks.tuning.training.evaluation import load_saved

DETECTIONS = "detections.json"


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found in an image.

    Attributes:
        image: its path.
        size: (height, width), in whose pixels boxes are.
        detections: (name, score, (x1, y1, x2, y2)), the best first.
        why: it could not be read; "" where it was.
    """

    image: Path
    size: tuple[int, int] = (0, 0)
    detections: tuple[tuple[str, float, tuple[float, ...]], ...] = ()
    why: str = ""

    def plain(self) -> dict[str, Any]:
        """As detections.json has it."""
        found = [{"name": name, "score": score, "box": box} for name, score, box in self.detections]
        return {"image": str(self.image), "height": self.size[0], "width": self.size[1], "detections": found}


class Detecting:
    """A saved detector on files of images. Creating it checks everything but the images; `run` does the work.

    Args:
        model: path of a `.keras` file, or of a run folder for its best.keras.
        images: paths of files, or of folders for the images in them and in the folders within.
        out: a folder, new or empty, for a picture of each image with what was found, and detections.json: a list of
            `{"image", "height", "width", "detections": [{"name", "score", "box": [x1, y1, x2, y2]}]}`, boxes in pixels
            of the image. `None` for none.
        threshold: least score of what is told.

    Raises:
        TypeError, ValueError: for what is no detector, for a folder that is not empty, and for another threshold.
        ImportError: where Pillow is missing.

    Example:

    >>> Detecting("nothing.keras", ["photos"])
    Traceback (most recent call last):
    ...
    ValueError: `model` must be a .keras file or the folder of a finished run; received 'nothing.keras'.
    """

    def __init__(
        self,
        model: str | Path,
        images: Sequence[str | Path],
        *,
        out: str | Path | None = None,
        threshold: float = 0.5,
    ) -> None:
        self.threshold = validation.number("threshold", threshold, least=0, most=1)
        self.out = None if out is None else data_path(out, name="out")
        if self.out is not None and (os.path.lexists(self.out) and not _is_empty_folder(self.out)):
            raise ValueError(
                f"`out` must be a new folder or an empty one, as nothing is replaced; received {self.out}."
            )
        self.notes: list[str] = []
        self._paths = [data_path(path, name="images") for path in images]
        path, self.model = load_saved(model)
        check_detector("model", self.model, str(path))
        self.image_size = canvas_of(self.model)
        classes = self.model.metaparameters.classes
        self.labels = self.model.metaparameters.labels or tuple(map(str, range(classes)))

    def run(self) -> Iterator[Found]:
        """What was found, image after image; of those that cannot be read, why. Then detections.json is written."""
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
        told = []
        for path in self._paths:
            for found in self._in(path):
                told += [found.plain()] if not found.why else []
                yield found
        if self.out is not None:
            write_json(self.out / DETECTIONS, told)

    def _in(self, path: Path) -> Iterator[Found]:
        if not path.is_dir():
            yield self._found(path)
            return
        left = LeftOut(path)
        files = images_in(path, left)
        self.notes += left.notes()
        if not files:
            yield Found(path, why=f"`images`: {path} holds no image.")
        yield from map(self._found, files)

    def _found(self, file: Path) -> Found:
        try:
            header_of("images", file)  # refuses what is too large
            picture = read_picture("images", file)
        except ValueError as error:
            return Found(file, why=str(error))
        size = np.array(picture.size[::-1])
        (inner,) = sizes_within(size[None], self.image_size)
        image = letterbox(picture, inner, self.image_size)
        found = {name: value[0] for name, value in self.model.predict(image[None], verbose=0).items()}
        boxes = move(found["boxes"], inner, size)
        there = found["labels"] >= 0
        found["boxes"] = np.where(there[:, None], clip(boxes, size), -1.0)
        (decoded,) = decode_predictions([found], self.labels, None, self.threshold)
        if self.out is not None:
            drawn = draw_detections(picture, found, self.labels, self.threshold)
            with replacing(_free_path(self.out, file.stem)) as part:
                drawn.save(part)
        height, width = size.tolist()
        detections = tuple(
            (name, float(score), tuple(round(float(side), 2) for side in box)) for name, score, box in decoded
        )
        return Found(file, (height, width), detections)


def _free_path(folder: Path, stem: str) -> Path:
    """Where a picture goes: images of several folders may have one name."""
    path, number = folder / f"{stem}.png", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.png"
    return path


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
