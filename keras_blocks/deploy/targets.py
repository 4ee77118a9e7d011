"""Where an exported file goes, and what may be replaced there."""

import os
import pathlib
import shutil

CARD = ".json"
"""What is behind the path of the file that tells of an exported one."""

GRAPH = "saved_model.pb"
"""The file by which a folder is a SavedModel."""

FILES = {GRAPH, "fingerprint.pb", "keras_metadata.pb"}
"""What TensorFlow, and Keras, write into one, beside the files in its two folders: the weights, and vocabularies."""

WEIGHTS, ASSETS = "variables", "assets"


def checked_target(path: str | os.PathLike[str], suffix: str, format: str, overwrite: bool) -> pathlib.Path:
    """The path, once it is known that all that is written beside it has a place.

    Raises:
        FileExistsError: where there is something, and it is not to be replaced; for a folder that is no SavedModel,
            which never is.
        ValueError: for a path that ends otherwise, or names nothing.
    """
    target = pathlib.Path(path)
    if target.name in ("", ".."):
        raise ValueError(
            f"`path` must have the name of a new file or folder, such as 'model{suffix}'; received {path!r}."
        )
    if suffix and target.suffix != suffix:
        raise ValueError(f"`path` must end with '{suffix}' for format='{format}'; received {str(path)!r}.")
    if not suffix and target.is_file():
        raise FileExistsError(f"`path`: {path} is a file, and a SavedModel is a folder. Give another path.")
    weights = [target.with_suffix(".bin")] if format == "openvino" else []
    for place in (target, target.with_name(target.name + CARD), *weights):
        check_free(place, overwrite)
    return target


def check_free(place: pathlib.Path, overwrite: bool) -> None:
    """Refuses what must not be replaced."""
    if place.exists() and not overwrite:
        raise FileExistsError(f"`path`: {place} is there already. `overwrite=True` replaces it.")
    if _is_folder(place) and not _is_saved_model(place):
        raise FileExistsError(
            f"`path`: {place} is a folder, and no SavedModel alone, so it is not replaced. Give another path."
        )


def move(folder: str, target: pathlib.Path, overwrite: bool) -> None:
    """All that was written takes its place in the target: weights in a file of their own, too."""
    names = sorted(os.listdir(folder))
    for name in names:
        check_free(target / name, overwrite)
    for name in names:
        place = target / name
        if _is_folder(place):
            shutil.rmtree(place)
        os.replace(os.path.join(folder, name), place)


def _is_saved_model(folder: pathlib.Path) -> bool:
    """Whether a folder is one, and holds nothing else: what has the place of a weight or an asset is one."""
    return (folder / GRAPH).is_file() and all(_is_written(place, folder) for place in folder.rglob("*"))


def _is_written(place: pathlib.Path, folder: pathlib.Path) -> bool:
    """Whether what lies in a SavedModel's folder is of those that TensorFlow writes there."""
    within = place.parent.relative_to(folder)
    if place.is_symlink():
        return False
    if place.is_dir():
        return place.parent == folder and place.name in (WEIGHTS, ASSETS)
    if within.name == WEIGHTS:
        return place.name.startswith("variables.")
    if within.name == ASSETS:
        return place.name.encode() in (folder / GRAPH).read_bytes()  # which names each
    return place.parent == folder and place.name in FILES


def _is_folder(place: pathlib.Path) -> bool:
    return place.is_dir() and not place.is_symlink()
