"""Files that are either the old or the new one, whole, whenever the process dies."""

import contextlib
import json
import os
import re
import uuid
from pathlib import Path

PART = ".part-"
"""Beginning of the name of a file that is being written; what follows is each writer's own, and the file's name."""


@contextlib.contextmanager
def replacing(path):
    """Gives a path beside `path` to write to, with its suffix; on success the file takes the place of `path`.

    Example:

    >>> with replacing("model.keras") as part:
    ...     model.save(part)
    """
    path = Path(path)
    part = path.with_name(f"{PART}{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield part
        _sync(part)
        os.replace(part, path)
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def whole_name(name: str) -> str:
    """The name of a file, also where it is that of one that is being written.

    Example:

    >>> whole_name(".part-0123abcd-best.keras"), whole_name("best.keras")
    ('best.keras', 'best.keras')
    """
    return re.sub(rf"^{re.escape(PART)}([0-9a-f]{{8}}-)?", "", name)


def write_json(path, data):
    """Writes plain data, in which NaN and infinity are refused, since JSON has none.

    Returns:
        The data as they will be read back: tuples are lists, NumPy's numbers are Python's.
    """
    text = json.dumps(data, indent=2, allow_nan=False, default=_plain) + "\n"
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    return json.loads(text)


def _plain(value):
    """NumPy's scalars, which KerasTuner's oracles give, as Python's."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__} is no plain data")


def _sync(path) -> None:
    """Waits until the disk has it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
