"""Folders of images, a folder for each class, maybe within folders for the parts."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_blocks.core import validation
from keras_blocks.tuning.data import listing
from keras_blocks.tuning.data.dataset import TEST_SEED, TEST_SHARE, Dataset
from keras_blocks.tuning.data.decoding import DATA_MEMORY, read_images
from keras_blocks.tuning.data.listing import LeftOut
from keras_blocks.tuning.data.split import stratified
from keras_blocks.tuning.data.stored import taken
from keras_blocks.tuning.seeds import SPLIT, derived_seed

ImageSize = int | tuple[int, int]
"""(height, width), or one number for both."""

COUNTS = ("none", "one image", "two images", "three images")

PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Name of a folder, in small letters -> the part that it is."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A file, the place of its class, and the part that its folder is; "" where there are no parts."""

    file: Path
    label: int
    part: str


def read_folder(path: Path, seed: int, image_size: ImageSize | None, memory: int = DATA_MEMORY) -> Dataset:
    """A folder with a folder for each class; or with the folders train and val or test, which hold those.

    Raises:
        ValueError: for other folders, and images that cannot be read.
    """
    left = LeftOut(path)
    try:
        names, pictures = _found(path, left)
        return dataset_of(path.resolve().name or "images", names, pictures, seed, image_size, left, memory)
    except OSError as error:
        raise ValueError(f"`data`, the folder {path}: {error}") from error


def dataset_of(
    name: str,
    names: Sequence[str],
    pictures: Sequence[Picture],
    seed: int,
    image_size: ImageSize | None,
    left: LeftOut,
    memory: int,
) -> Dataset:
    """The images of files, with the parts that are not there drawn.

    Args:
        name: of the data.
        names: of the classes.
        pictures: the files, a training part among their parts, or none of any part.
        seed: of the validation part.
        image_size, memory: see `load_dataset`.
        left: is told what is not read.

    Raises:
        ValueError: for images that cannot be read.
    """
    size = None if image_size is None else validation.pair("image_size", image_size)
    images, where = read_images([picture.file for picture in pictures], size, left, memory)
    labels, parts = (np.array(column) for column in zip(*((item.label, item.part) for item in pictures)))
    about: dict[str, Any] = {"class_names": names, "notes": [*left.notes(), *([where] if where else [])]}
    places = {part: np.flatnonzero(parts == part) for part in np.unique(parts).tolist()}
    if len(places) == 1:
        return Dataset.from_images(name, images, labels, seed=seed, **about)
    if "test" not in places:
        rest, held_out = stratified(labels[places["train"]], TEST_SHARE, derived_seed(TEST_SEED, SPLIT))
        places |= {"train": places["train"][rest], "test": places["train"][held_out]}
    for part, of in places.items():
        about |= {f"x_{part}": taken(images, of), f"y_{part}": labels[of]}
    return Dataset.from_arrays(name, seed=seed, **about)


def _found(path: Path, left: LeftOut) -> tuple[list[str], list[Picture]]:
    """The classes' names, and all images."""
    folders = listing.folders_in(path, left)
    parts = _parts(path, folders, left)
    if not parts:
        names = [folder.name for folder in folders]
        return names, _of_part(path, folders, names, "", left, least=3)
    classes = {part: listing.folders_in(folder, left) for part, folder in parts.items()}
    names = [folder.name for folder in classes["train"]]
    pictures = []
    for part, folder in parts.items():
        if strange := [item.name for item in classes[part] if item.name not in names]:
            raise ValueError(
                f"`data`, the folder {folder}: must hold folders of the classes that {parts['train']} has, {names}; "
                f"{strange} are others."
            )
        least = 3 - len(parts.keys() & {"val", "test"}) if part == "train" else 0
        pictures += _of_part(folder, classes[part], names, part, left, least=least)
    return names, pictures


def _of_part(
    path: Path, folders: Sequence[Path], names: Sequence[str], part: str, left: LeftOut, *, least: int
) -> list[Picture]:
    """The images of the classes' folders."""
    if least and len(folders) < 2:
        raise ValueError(
            f"`data`, the folder {path}: must hold a folder for each of two classes or more; it has {list(names)}."
        )
    pictures = []
    for folder in folders:
        files = listing.images_in(folder, left)
        if len(files) < least:
            raise ValueError(
                f"`data`, the folder {folder}: a class must have {COUNTS[least]} or more, "
                f"one each to train, to validate and to test where there is no folder for that; it has "
                f"{len(files)} that end as images do, such as .png, .jpg or .tif."
            )
        pictures += [Picture(file, names.index(folder.name), part) for file in files]
    return pictures


def _parts(path: Path, folders: Sequence[Path], left: LeftOut) -> dict[str, Path]:
    """Part -> its folder, where the folders are parts that hold the classes' folders; else nothing."""
    found: dict[str, list[Path]] = {}
    for folder in folders:
        if folder.name.lower() in PARTS and _holds_classes(folder):
            found.setdefault(PARTS[folder.name.lower()], []).append(folder)
    named_so = all(folder.name.lower() in PARTS for folder in folders)
    if not found:
        return {}
    if not named_so and len(found) == 1:
        ((part,),) = found.values()
        others = [folder.name for folder in folders if folder != part]
        raise ValueError(
            f"`data`, the folder {path}: {part.name!r} holds folders alone, as a part with its classes does, and "
            f"beside it are {others[:5]}, which are no parts. Move those away, if {part.name!r} is a part; or give it "
            "another name, if it is a class as they are."
        )
    if "train" not in found or (twice := [part for part, several in found.items() if len(several) > 1]):
        wrong = f"two are for {twice}" if "train" in found else "there is none to train on"
        raise ValueError(
            f"`data`, the folder {path}: of folders for parts there must be train, and one each of val and test at "
            f"most; {wrong}: {[folder.name for folder in folders]}."
        )
    for folder in folders:
        if [folder] not in found.values():
            left.add("folders that are no part with folders of classes", folder)
    return {part: found[part][0] for part in ("train", "val", "test") if part in found}


def _holds_classes(folder: Path) -> bool:
    inner = listing.folders_in(folder, LeftOut(folder))
    return bool(inner) and not listing.holds_images(folder)
