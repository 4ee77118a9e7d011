"""A table of images: a CSV file with a column of paths, one of labels and, if there is one, of the parts."""

import collections
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.data.folder import COUNTS, PARTS, ImageSize, Picture, dataset_of
from keras_blocks.tuning.data.listing import LeftOut

PATH = ("path", "file", "filename", "file_name", "filepath", "image", "image_path")
LABEL = ("label", "class", "class_name", "category", "target")
SPLIT = ("split", "part", "set", "subset")
"""What the columns may be called, in small letters."""

SUFFIXES = (".csv", ".tsv")


def read_table(path: Path, seed: int, image_size: ImageSize | None, memory: int) -> Dataset:
    """A CSV file with a line for each image. Its paths are absolute, or begin at the file's folder.

    Raises:
        ValueError: for other tables, and images that cannot be read.
    """
    try:
        rows = list(_rows(path))
        names = sorted({label for _, label, part in rows if part in ("", "train")}, key=_order)
        _check(path, rows, names)
        pictures = [Picture(file, names.index(label), part) for file, label, part in rows]
        return dataset_of(path.stem, names, pictures, seed, image_size, LeftOut(path.parent), memory)
    except (OSError, csv.Error) as error:
        raise ValueError(f"`data`, the table {path}: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"`data`, the table {path}, must be text in UTF-8: {error}. Save it so.") from error


def _rows(path: Path) -> Iterator[tuple[Path, str, str]]:
    """The file, the label and the part of each line."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        separator = max(",;\t", key=header.count)
        columns = [name.strip().lower() for name in next(csv.reader([header], delimiter=separator), [])]
        found = [next((i for i, name in enumerate(columns) if name in names), None) for names in (PATH, LABEL, SPLIT)]
        at, label, split = found
        if at is None or label is None:
            raise ValueError(
                f"`data`, the table {path}: its first line must name a column of paths, {', '.join(PATH)}, one of "
                f"labels, {', '.join(LABEL)}, and, if there is one, of parts, {', '.join(SPLIT)}; it has {columns}."
            )
        for number, row in enumerate(csv.reader(file, delimiter=separator), start=2):
            if not any(map(str.strip, row)):
                continue
            if len(row) != len(columns):
                raise ValueError(
                    f"`data`, the table {path}, line {number}: must have {len(columns)} columns; it has {len(row)}."
                )
            part = "" if split is None else PARTS.get(row[split].strip().lower())
            if part is None or not row[label].strip():
                raise ValueError(
                    f"`data`, the table {path}, line {number}: must have a label, and a part among {', '.join(PARTS)}; "
                    f"received {row}."
                )
            yield path.parent / row[at].strip(), row[label].strip(), part


def _check(path: Path, rows: Sequence[tuple[Path, str, str]], names: Sequence[str]) -> None:
    if twice := [file for file, count in collections.Counter(file for file, *_ in rows).items() if count > 1]:
        raise ValueError(f"`data`, the table {path}: each image must have one line; {twice[0]} has several.")
    parts = {part for *_, part in rows}
    if len(names) < 2:
        raise ValueError(f"`data`, the table {path}: there must be two classes or more to train on; it has {names}.")
    if strange := sorted({label for _, label, _ in rows} - {*names}):
        raise ValueError(f"`data`, the table {path}: of {strange[:5]} there is no image to train on.")
    least = 3 - len(parts & {"val", "test"})
    for name, count in collections.Counter(label for _, label, part in rows if part in ("", "train")).items():
        if count < least:
            raise ValueError(
                f"`data`, the table {path}: a class must have {COUNTS[least]} or more, one each to train, to validate "
                f"and to test where no lines are of that part; {name!r} has {count} to train on."
            )


def _order(label: str) -> tuple[bool, int, str]:
    """Numbers by their size, then texts."""
    is_number = label.isdecimal() and label.isascii()
    return not is_number, int(label) if is_number else 0, label
