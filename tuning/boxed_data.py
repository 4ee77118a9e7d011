"""Finds the parts of a folder of images with boxes, of Pascal VOC's layout or of COCO's."""

import dataclasses
import functools
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_blocks.detection.coco import COCODetection
from keras_blocks.detection.dataset import DetectionDataset
from keras_blocks.detection.voc import ANNOTATIONS, IMAGES, SPLITS, VOCDetection
from keras_blocks.tuning.data.load import data_path
from keras_blocks.tuning.seeds import SPLIT, derived_seed

PARTS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training", "trainval", "default"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What the parts are called; of several names, the first that is there counts. "dev" is none, unlike with folders of
classes: COCO's test-dev is to test."""

LAYOUTS = (
    f"a folder of Pascal VOC's layout ({ANNOTATIONS}, {IMAGES}, and {SPLITS} with train.txt or trainval.txt, val.txt, "
    "test.txt; without these, all images are to train), or of COCO's (annotations/instances_train.json or "
    "instances_train2017.json, val and test likewise, with the images in train2017, images/train2017 or images)"
)

SHARE = 0.1
"""Of the images to train, so many are validated on where there is no part for it."""

Reader = Callable[..., DetectionDataset]


@dataclasses.dataclass(frozen=True)
class BoxedImages:
    """Images with boxes, as they were read.

    Attributes:
        name: of the folder.
        parts: "train", "val", "test", those that there are.
        labels: the classes' names.
        notes: what the user should know of how they were read.
    """

    name: str
    parts: Mapping[str, DetectionDataset]
    labels: tuple[str, ...]
    notes: tuple[str, ...]


def read_boxed(data: str | os.PathLike[str], *, first_of: Sequence[str] = ()) -> BoxedImages:
    """Reads a folder of images with boxes.

    Args:
        data: path of the folder, see `LAYOUTS`. "~" is the home.
        first_of: parts, of which the first that is there is read alone; by default all are.

    Raises:
        TypeError, ValueError: for a folder of another layout, and for files that are malformed.
        ImportError: where Pillow is missing.

    Example:

    >>> read_boxed("nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: `data` must be a folder; nowhere is none. It takes a folder of Pascal VOC's layout (...
    """
    folder = data_path(data)
    readers = _readers(folder)
    if first_of:
        part = next(part for part in first_of if part in readers)
        readers = {part: readers[part]}
    parts: dict[str, DetectionDataset] = {}
    labels = None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        for part, read in readers.items():
            parts[part] = read(labels=labels)
            labels = list(parts[part].labels)
    _check_apart(parts)
    notes = [str(one.message) for one in told if issubclass(one.category, UserWarning)]
    return BoxedImages(folder.resolve().name, parts, tuple(labels or ()), tuple(dict.fromkeys(notes)))


def taken(
    dataset: DetectionDataset, places: Sequence[int], labels: Sequence[str] | None = None, **options: Any
) -> DetectionDataset:
    """Some images of a dataset, in batches as they are asked for.

    Args:
        dataset: whose images they are.
        places: of the images in its `files`.
        labels: the classes' names in the order of their places, by which they are matched; `None` for the dataset's.
        **options: see `DetectionDataset`.
    """
    truth = dataset.ground_truth()
    names = np.array(dataset.labels, dtype=object)
    return DetectionDataset(
        [dataset.files[i] for i in places],
        [{**truth[i], "labels": names[truth[i]["labels"]].tolist()} for i in places],
        dataset.labels if labels is None else labels,
        image_ids=[dataset.image_ids[i] for i in places],
        **options,
    )


def divided(dataset: DetectionDataset, seed: int) -> tuple[list[int], list[int]]:
    """The places of the images to train on and of those to validate on, where there is no part for it.

    Of images with objects and of those without a share each is drawn.

    Raises:
        ValueError: where there are less than two with objects.
    """
    counts = np.array([objects_in(one) for one in dataset.ground_truth()])
    if (counts > 0).sum() < 2:
        raise ValueError(
            f"`data` must have two images with objects to train on, as one is to validate; received "
            f"{int((counts > 0).sum())}."
        )
    random = np.random.default_rng(derived_seed(seed, SPLIT))
    drawn: list[int] = []
    for members, least in ((np.flatnonzero(counts > 0), 1), (np.flatnonzero(counts == 0), 0)):
        drawn += random.permutation(members)[: max(least, round(SHARE * len(members)))].tolist()
    return sorted({*range(len(counts))} - {*drawn}), sorted(drawn)


def objects_in(truth: Mapping[str, Any]) -> int:
    """How many objects of an image are trained on, and looked for in it."""
    return int((~truth["difficult"] & ~truth["iscrowd"]).sum())


def usual_size(dataset: DetectionDataset) -> tuple[int, int]:
    """(height, width) of most of the images; of several, of the largest."""
    sizes, counts = np.unique(dataset.original_sizes, axis=0, return_counts=True)
    height, width = max(zip(counts.tolist(), sizes.tolist()), key=lambda item: (item[0], item[1][0] * item[1][1]))[1]
    return height, width


def _readers(folder: Path) -> dict[str, Reader]:
    """What reads each part, by its name."""
    if not folder.is_dir():
        raise ValueError(f"`data` must be a folder; {folder} is none. It takes {LAYOUTS}.")
    if (folder / IMAGES).is_dir() or (folder / SPLITS).is_dir():
        found = _of_voc(folder)
    elif (folder / "annotations").is_dir():
        found = _of_coco(folder)
    else:
        inner = [
            item for item in sorted(folder.iterdir()) if (item / IMAGES).is_dir() or (item / "annotations").is_dir()
        ]
        hint = f" Did you mean {' or '.join(map(str, inner[:3]))}?" if inner else ""
        raise ValueError(f"`data` must be {LAYOUTS}; {folder} is neither.{hint}")
    return {part: found[part] for part in PARTS if part in found}


def _of_voc(folder: Path) -> dict[str, Reader]:
    there = {file.stem for file in (folder / SPLITS).glob("*.txt")}
    if not there:
        return {"train": functools.partial(VOCDetection, folder, None)}
    named = {part: next((name for name in names if name in there), None) for part, names in PARTS.items()}
    if named["train"] == "trainval":
        named["val"] = None  # which is part of it
    found: dict[str, Reader] = {
        part: functools.partial(VOCDetection, folder, name) for part, name in named.items() if name
    }
    if not found:
        raise ValueError(
            f"`data`: {folder / SPLITS} must have train.txt or trainval.txt, val.txt or test.txt; it has "
            f"{sorted(there)[:10]}."
        )
    return found


def _of_coco(folder: Path) -> dict[str, Reader]:
    files = sorted((folder / "annotations").glob("instances_*.json"))
    part_of = {name: part for part, names in PARTS.items() for name in names}
    found: dict[str, list[Path]] = {}
    for file in files:
        name = re.sub(r"[_-]?\d*$", "", file.stem.removeprefix("instances_"))
        if name in part_of:
            found.setdefault(part_of[name], []).append(file)
    if not found:
        raise ValueError(
            f"`data`: {folder / 'annotations'} must have instances_train.json, instances_train2017.json or likewise; "
            f"it has {[file.name for file in sorted((folder / 'annotations').iterdir())][:10]}."
        )
    for part, several in found.items():
        if len(several) > 1:
            raise ValueError(
                f"`data`: {folder / 'annotations'} must have one file for each part; for {part} it has "
                f"{[file.name for file in several]}."
            )
    return {part: functools.partial(COCODetection, file, _images_of(folder, file)) for part, (file,) in found.items()}


def _images_of(folder: Path, file: Path) -> Path:
    """The folder of the images that a COCO file speaks of."""
    name = file.stem.removeprefix("instances_")
    tried = [folder / name, folder / "images" / name, folder / "images"]
    found = next((path for path in tried if path.is_dir()), None)
    if found is None:
        raise ValueError(
            f"`data`: the images of {file} must be in {tried[0]}, {tried[1]} or {tried[2]}; there is none."
        )
    return found


def _check_apart(parts: Mapping[str, DetectionDataset]) -> None:
    """Refuses images that are in two parts: what is measured on them would say nothing."""
    seen: dict[Path, str] = {}
    for part, dataset in parts.items():
        twice = [file for file in dataset.files if file in seen]
        if twice:
            raise ValueError(
                f"`data`: each image must be in one part; {len(twice):,} are in {seen[twice[0]]} and in {part}, such "
                f"as {twice[0]}."
            )
        seen |= dict.fromkeys(dataset.files, part)
