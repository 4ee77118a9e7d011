"""Which files of a folder are read as images, and which are left out, and why."""

import dataclasses
import os
import stat
from collections.abc import Collection
from pathlib import Path

from keras_blocks.core.pictures import suffixes

LEFT_ASIDE = ("$RECYCLE.BIN", "@eaDir", "System Volume Information", "__MACOSX", "lost+found")
"""Folders that systems make for themselves."""

LITTER = (".ds_store", "desktop.ini", "thumbs.db")
"""Files that systems make in every folder: nobody misses them."""

HIDDEN = "hidden"
NO_IMAGES = "not read as images"
NO_FILES = "links to nothing, pipes and the like"
NAMED_SO = "folders named as an image"
LOOPS = "links to a folder around them"
BESIDE = "beside the classes' folders"


@dataclasses.dataclass
class LeftOut:
    """What was left out of a folder.

    Args:
        folder: below which it lies.
    """

    folder: Path
    found: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def add(self, why: str, path: Path) -> None:
        if path.name.lower() not in LITTER:
            self.found.setdefault(why, []).append(path.relative_to(self.folder).as_posix())

    def notes(self) -> tuple[str, ...]:
        """One line, or none: how much was left out for which reason, with the first of each."""
        if not self.found:
            return ()
        said = (
            f"{len(names)} {why} ({', '.join(sorted(names)[:2])}{' ...'[: 4 * (len(names) > 2)]})"
            for why, names in self.found.items()
        )
        return (f"left out of {self.folder}: {', '.join(said)}",)


def folders_in(folder: Path, left: LeftOut) -> list[Path]:
    """The folders that may be classes or parts, in order; what else there is, is noted as left out."""
    found = []
    for item in sorted(folder.iterdir()):
        if is_hidden(item):
            left.add(HIDDEN, item)
        elif item.is_dir():
            found.append(item)
        else:
            left.add(BESIDE, item)
    return found


def images_in(folder: Path, left: LeftOut) -> list[Path]:
    """The images in a class' folder and in the folders within, in order; what else there is, is noted as left out."""
    found: list[Path] = []
    real = Path(os.path.realpath(folder))
    around = {os.fspath(folder): {os.fspath(path) for path in (real, *real.parents)}}
    for base, names, files in os.walk(folder, followlinks=True, onerror=_raised):
        for name in list(names):
            inner = Path(base, name)
            if why := _why_not_into(inner, around[base]):
                left.add(why, inner)
                names.remove(name)
            else:
                around[os.path.join(base, name)] = {*around[base], os.path.realpath(inner)}
        for file in (Path(base, name) for name in files):
            if why := _why_not(file):
                left.add(why, file)
            else:
                found.append(file)
    return sorted(found)


def holds_images(folder: Path) -> bool:
    """Whether images lie in the folder itself."""
    return any(not item.is_dir() and _why_not(item) is None for item in folder.iterdir())


def is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name in LEFT_ASIDE


def _why_not_into(folder: Path, around: Collection[str]) -> str | None:
    """Why a folder is left out; `None` where it is gone into."""
    if is_hidden(folder):
        return HIDDEN
    if folder.suffix.lower() in suffixes():
        return NAMED_SO
    return LOOPS if os.path.realpath(folder) in around else None


def _why_not(file: Path) -> str | None:
    """Why a file is left out; `None` where it is read."""
    if is_hidden(file):
        return HIDDEN
    if file.suffix.lower() not in suffixes():
        return NO_IMAGES
    try:
        return None if stat.S_ISREG(file.stat().st_mode) else NO_FILES
    except OSError:
        return NO_FILES


def _raised(error: OSError) -> None:
    raise error
