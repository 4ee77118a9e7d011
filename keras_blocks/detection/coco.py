"""COCO's files: one JSON for all images."""

import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Unpack

import numpy as np

from keras_blocks.core import validation
from keras_blocks.decode.detections import detections_of
from keras_blocks.detection.dataset import DetectionDataset, DetectionOptions, unique_names
from keras_blocks.detection.files import read_bytes

LISTS = ("images", "annotations", "categories")


class COCODetection(DetectionDataset):
    """Images with boxes in COCO's format: `instances_train2017.json` and a folder of images.

    The classes are the categories in the order of their ids; `category_ids` has the ids. Boxes that stand for a crowd
    (`iscrowd`) are in no batch, and detections within them count neither for nor against a detector, as in COCO's own
    evaluation.

    Args:
        annotations: path of the JSON file.
        images: the folder that holds the images by their `file_name`.
        labels: names of the categories that are detected, in the order of their places; boxes of others are left out.
            `None` for all of the file.
        **kwargs: what `DetectionDataset` takes: `image_size`, `batch_size`, `shuffle`, `augmentation` ...

    Output shape:
        As of `DetectionDataset`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, and for files that are missing, damaged, or
            of another format.
        ImportError: where Pillow is missing.

    Reference:
        Lin et al., "Microsoft COCO: Common Objects in Context", 2014; cocodataset.org, "Data format".

    Example:

    >>> keras_blocks.COCODetection("instances.json", "images")
    Traceback (most recent call last):
    ...
    ValueError: `annotations`: instances.json cannot be read: [Errno 2] No such file or directory: 'instances.json'
    """

    read_from = "images"

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str],
        *,
        labels: Sequence[str] | None = None,
        **kwargs: Unpack[DetectionOptions],
    ):
        self.annotations = Path(validation.text("annotations", annotations)).expanduser()
        self.folder = Path(validation.text("images", images)).expanduser()
        read = _Contents(self.annotations)
        if not self.folder.is_dir():
            raise ValueError(f"`images` must be a folder of images; {self.folder} is none.")
        names = list(read.categories.values()) if labels is None else list(unique_names("labels", labels))
        for name in names:
            validation.choice("labels", name, list(read.categories.values()))
        ids = {name: category for category, name in read.categories.items()}
        self.category_ids = [ids[name] for name in names]
        files, parts = read.parts({category: place for place, category in enumerate(self.category_ids)})
        super().__init__(self._found(files), parts, names, image_ids=list(read.images), **kwargs)

    def _found(self, names: Sequence[str]) -> list[Path]:
        missing = [name for name in names if not (self.folder / name).exists()]
        if missing:
            raise ValueError(
                f"`images`: {self.folder} must hold all images of {self.annotations}; {len(missing):,} are missing, "
                f"such as {missing[0]}."
            )
        return [self.folder / name for name in names]

    def _where(self, index: int) -> str:
        return f"{self.annotations}, image {self.image_ids[index]}"

    def results(self, predictions: Any) -> list[dict[str, Any]]:
        """Detections as COCO's servers and `pycocotools` take them: in the files' pixels, with the file's own ids.

        Args:
            predictions: what a model's `predict` gives on `in_order()`.
        """
        found = detections_of(predictions, len(self.labels))
        if len(found) != len(self.files):
            raise ValueError(f"`predictions` must be of the {len(self.files)} images; received {len(found)}.")
        rows = []
        for i, (boxes, scores, classes) in enumerate(found):
            boxes = self.to_original(i, boxes)
            boxes[:, 2:] -= boxes[:, :2]
            for box, score, place in zip(boxes.tolist(), scores.tolist(), classes.tolist()):
                about = {"image_id": self.image_ids[i], "category_id": self.category_ids[int(place)]}
                rows.append({**about, "bbox": box, "score": score})
        return rows


class _Contents:
    """What a JSON file holds, checked.

    Args:
        file: its path.

    Raises:
        ValueError: for what is not of COCO's format.
    """

    def __init__(self, file: Path):
        self.file = file
        whole = self._parsed()
        if not isinstance(whole, dict):
            raise self._wrong("", f"must hold a dict; it holds a {type(whole).__name__}")
        for key in LISTS:
            if not isinstance(whole.get(key), list):
                raise self._wrong("", f"must have a list of '{key}'; it has {sorted(map(str, whole))[:10]}")
        self.images = self._by_id("images", whole["images"])
        categories = self._by_id("categories", whole["categories"])
        for number, one in categories.items():
            if not isinstance(one.get("name"), str) or not one["name"]:
                raise self._wrong(f"category {number}", f"must have a name; received {one.get('name')!r}")
        self.categories: dict[int, str] = {number: categories[number]["name"] for number in sorted(categories)}
        names = list(self.categories.values())
        if twice := {name for name in names if names.count(name) > 1}:
            raise self._wrong("", f"must have categories of different names; {sorted(twice)[0]!r} has several")
        self.of_image: dict[int, list[Any]] = {number: [] for number in self.images}
        for place, one in enumerate(whole["annotations"]):
            self._put(place, one)

    def _parsed(self) -> Any:
        text = read_bytes("annotations", self.file)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"`annotations`: {self.file} is no JSON that can be read: {error}") from error

    def _wrong(self, where: str, what: str) -> ValueError:
        return ValueError(f"`annotations`: {self.file}{where and ', '}{where} {what}.")

    def _by_id(self, key: str, items: list[Any]) -> dict[int, Any]:
        """The items by their ids."""
        found: dict[int, Any] = {}
        for place, item in enumerate(items):
            number = item.get("id") if isinstance(item, dict) else None
            if type(number) is not int:
                raise self._wrong(f"{key}[{place}]", f"must be a dict with an integer 'id'; received {_short(item)}")
            if number in found:
                raise self._wrong(f"{key}[{place}]", f"must have an id of its own; {number} is there twice")
            found[number] = item
        if not found:
            raise self._wrong("", f"must have {key}; there are none")
        return found

    def _put(self, place: int, one: Any) -> None:
        where = f"annotations[{place}]"
        if not isinstance(one, dict):
            raise self._wrong(where, f"must be a dict; received {_short(one)}")
        image, category, box = (one.get(key) for key in ("image_id", "category_id", "bbox"))
        if type(image) is not int or image not in self.images:
            raise self._wrong(where, f"must have the 'image_id' of an image; received {image!r}")
        if type(category) is not int:
            raise self._wrong(where, f"must have an integer 'category_id'; received {category!r}")
        if not isinstance(box, list) or len(box) != 4 or any(type(side) not in (int, float) for side in box):
            raise self._wrong(
                where, f"must have a 'bbox' of four numbers, (x, y, width, height); received {_short(box)}"
            )
        if one.get("iscrowd", 0) not in (0, 1):
            raise self._wrong(where, f"must have an 'iscrowd' of 0 or 1; received {_short(one['iscrowd'])}")
        area = one.get("area")
        if type(area) not in (int, float, type(None)):
            raise self._wrong(where, f"must have a number as 'area'; received {_short(area)}")
        self.of_image[image].append(one)

    def parts(self, places: dict[int, int]) -> tuple[list[str], list[dict[str, Any]]]:
        """The images' names, and what is annotated, as `DetectionDataset` takes it.

        Args:
            places: of the categories that are detected, by their ids.
        """
        files, parts = [], []
        for number, image in self.images.items():
            files.append(self._file_of(number, image))
            found = self.of_image[number]
            boxes = np.array([[_float(side) for side in one["bbox"]] for one in found]).reshape(-1, 4)
            with np.errstate(invalid="ignore", over="ignore"):
                boxes[:, 2:] += boxes[:, :2]
            parts.append(
                {
                    "boxes": boxes,
                    "labels": [places.get(one["category_id"], -1) for one in found],
                    "iscrowd": [one.get("iscrowd", 0) for one in found],
                    "area": [np.nan if one.get("area") is None else _float(one["area"]) for one in found],
                    **{side: self._side(number, image, side) for side in ("height", "width")},
                }
            )
        return files, parts

    def _file_of(self, number: int, image: Any) -> str:
        """The image's name, which a stranger's file gives: it stays within the folder."""
        name = image.get("file_name")
        if not isinstance(name, str) or not name or "\0" in name:
            raise self._wrong(f"image {number}", f"must have a 'file_name'; received {_short(name)}")
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise self._wrong(
                f"image {number}", f"must have a 'file_name' within the folder of images; received {name!r}"
            )
        return str(path)

    def _side(self, number: int, image: Any, side: str) -> int | None:
        value = image.get(side)
        if value is not None and (type(value) is not int or value < 0):
            raise self._wrong(f"image {number}", f"must have an integer as {side!r}; received {_short(value)}")
        return value


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return float("inf")


def _short(value: Any) -> str:
    return repr(value)[:80]
