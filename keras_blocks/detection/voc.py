"""Pascal VOC's files: a folder with a text of XML for each image."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack
from xml.etree import ElementTree

from keras_blocks.core import validation
from keras_blocks.core.pictures import suffixes
from keras_blocks.detection.dataset import DetectionDataset, DetectionOptions
from keras_blocks.detection.files import read_bytes

FOLDERS = ANNOTATIONS, IMAGES = "Annotations", "JPEGImages"
SPLITS = Path("ImageSets", "Main")
MOST_BYTES = 2**24
"""No image has so many objects that its text is longer."""

SIDES = ("xmin", "ymin", "xmax", "ymax")


class VOCDetection(DetectionDataset):
    """Images with boxes in Pascal VOC's format, as torchvision's class of this name and LabelImg have it.

    The folder has `Annotations/NAME.xml` and `JPEGImages/NAME.jpg` (or .png, or what else Pillow reads), and
    `ImageSets/Main/SPLIT.txt` with the names of a split. Boxes are taken as they stand: VOC's own count pixels from 1.
    Objects marked as difficult are in no batch, and finding them counts neither for nor against a detector;
    `use_difficult=True` trains on them.

    Args:
        folder: that holds the three.
        split: name of a text in `ImageSets/Main`, such as "train"; `None` for all that have an annotation.
        labels: the classes' names in the order of their places; boxes of other classes are left out. `None` for all
            that occur in the folder, in any split, sorted: so that all splits have the same.
        **kwargs: what `DetectionDataset` takes: `image_size`, `batch_size`, `shuffle`, `augmentation` ...

    Output shape:
        As of `DetectionDataset`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range, and for files that are missing, damaged, or
            no annotations.
        ImportError: where Pillow is missing.

    Reference:
        Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", 2010.

    Example:

    >>> keras_blocks.VOCDetection("nowhere", split="train")
    Traceback (most recent call last):
    ...
    ValueError: `folder` must be a folder with Annotations and JPEGImages; nowhere is none.
    """

    read_from = "folder"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        split: str | None = "train",
        *,
        labels: Sequence[str] | None = None,
        **kwargs: Unpack[DetectionOptions],
    ):
        self.folder = _checked_folder(Path(validation.text("folder", folder)).expanduser())
        names = _names_in(self.folder, split)
        texts = {name: self.folder / ANNOTATIONS / f"{name}.xml" for name in names}
        parts = [read_annotation(file) for file in texts.values()]
        self._texts = list(texts.values())
        found = labels if labels is not None else _all_labels(self.folder, dict(zip(self._texts, parts)))
        super().__init__(_images_of(self.folder, names), parts, found, image_ids=names, **kwargs)

    def _where(self, index: int) -> str:
        return str(self._texts[index])


def read_annotation(file: Path) -> dict[str, Any]:
    """What an XML file says of its image, as `DetectionDataset` takes it.

    Raises:
        ValueError: for a file that is missing, damaged, or something else.
    """
    root = _root_of(file)
    objects = root.findall("object")
    size = root.find("size")
    return {
        "boxes": [_box(file, i, item) for i, item in enumerate(objects, 1)],
        "labels": [_text(file, i, item, "name") for i, item in enumerate(objects, 1)],
        "difficult": [_flag(file, i, item, "difficult") for i, item in enumerate(objects, 1)],
        **{side: None if size is None else _pixels(file, size, side) for side in ("height", "width")},
    }


class _Plain(ElementTree.TreeBuilder):
    """Refuses what texts of data have no use for: entities can make gigabytes of a few lines, or read other files."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("a document type (<!DOCTYPE ...>) is not read")


def _root_of(file: Path) -> Any:
    text = read_bytes("folder", file, MOST_BYTES)
    try:
        root = ElementTree.fromstring(text, ElementTree.XMLParser(target=_Plain()))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f"`folder`: {file} is no XML that can be read: {error}") from error
    if root.tag != "annotation":
        raise ValueError(f"`folder`: {file} must hold an <annotation>; it holds a <{root.tag}>.")
    return root


def _text(file: Path, number: int, item: Any, tag: str) -> str:
    text = (item.findtext(tag) or "").strip()
    if not text:
        raise ValueError(f"`folder`: {file}, object {number} has no <{tag}>.")
    return text


def _box(file: Path, number: int, item: Any) -> list[float]:
    box = item.find("bndbox")
    if box is None:
        raise ValueError(f"`folder`: {file}, object {number} has no <bndbox>.")
    texts = [_text(file, number, box, side) for side in SIDES]
    try:
        return [float(text) for text in texts]
    except ValueError as error:
        raise ValueError(
            f"`folder`: {file}, object {number} must have a box of numbers; received {dict(zip(SIDES, texts))}."
        ) from error


def _flag(file: Path, number: int, item: Any, tag: str) -> int:
    text = (item.findtext(tag) or "0").strip()
    if text not in ("0", "1"):
        raise ValueError(f"`folder`: {file}, object {number}: <{tag}> must be 0 or 1; received {text!r}.")
    return int(text)


def _pixels(file: Path, size: Any, side: str) -> int | None:
    text = (size.findtext(side) or "").strip()
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"`folder`: {file}: the image's <{side}> must be a whole number; received {text[:20]!r}.")
    return int(text) if text else None


def _checked_folder(folder: Path) -> Path:
    if all((folder / name).is_dir() for name in FOLDERS):
        return folder
    hint = ""
    if folder.is_dir():
        inner = [item for item in sorted(folder.iterdir()) if all((item / name).is_dir() for name in FOLDERS)]
        hint = f" Did you mean {' or '.join(map(str, inner[:3]))}?" if inner else ""
    raise ValueError(f"`folder` must be a folder with {ANNOTATIONS} and {IMAGES}; {folder} is none.{hint}")


def _names_in(folder: Path, split: str | None) -> list[str]:
    """The images' names."""
    if split is None:
        names = sorted(file.stem for file in (folder / ANNOTATIONS).iterdir() if file.suffix.lower() == ".xml")
        if not names:
            raise ValueError(f"`folder`: {folder / ANNOTATIONS} must hold an .xml for each image; it has none.")
        return names
    there = sorted(file.stem for file in (folder / SPLITS).glob("*.txt"))
    if not there:
        raise ValueError(f"`split` must be None where there is no {folder / SPLITS} with texts; received {split!r}.")
    validation.choice("split", split, there)
    file = folder / SPLITS / f"{split}.txt"
    try:
        rows = [line.split() for line in read_bytes("split", file, MOST_BYTES).decode("utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"`split`: {file} must be a text of names; {error}.") from error
    rows = [row for row in rows if row]
    if wrong := [row for row in rows if len(row) != 1 or row[0] in (".", "..") or "/" in row[0] or "\\" in row[0]]:
        raise ValueError(
            f"`split`: {file} must have the name of an image in each line; received {' '.join(wrong[0])!r}. Texts of "
            "one class, such as cat_train, are none: give split='train' and labels=['cat']."
        )
    names = [row[0] for row in rows]
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"`split`: {file} must have names, each of them once; it has {len(names)}.")
    return names


def _images_of(folder: Path, names: list[str]) -> list[Path]:
    """The image of each name."""
    known = suffixes()
    there: dict[str, list[Path]] = {}
    for file in sorted((folder / IMAGES).iterdir()):
        if file.suffix.lower() in known and not file.name.startswith("."):
            there.setdefault(file.stem, []).append(file)
    missing = [name for name in names if name not in there]
    if missing:
        raise ValueError(
            f"`folder`: {folder / IMAGES} must hold an image for each annotation; {len(missing):,} are missing, such "
            f"as {missing[0]}."
        )
    if several := [name for name in names if len(there[name]) > 1]:
        raise ValueError(
            f"`folder`: one image must have a name; {several[0]} have {list(map(str, there[several[0]]))}."
        )
    return [there[name][0] for name in names]


def _all_labels(folder: Path, read: dict[Path, dict[str, Any]]) -> list[str]:
    """All classes of the folder, sorted; of what is not read already, the texts are read for their names."""
    found: set[str] = set()
    for file in sorted((folder / ANNOTATIONS).iterdir()):
        if file.suffix.lower() == ".xml":
            found.update((read.get(file) or read_annotation(file))["labels"])
    if not found:
        raise ValueError(f"`labels` must be given where no image has an object; {folder / ANNOTATIONS} has none.")
    return sorted(found)
