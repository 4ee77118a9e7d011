"""Files that are either the old or the new one, whole, whenever the process dies; and a disk that is full."""

import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import socket
import time
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

PART_PREFIX = ".part-"
"""Beginning of the name of a file that is being written; what follows is each writer's own, and the file's name."""

PART = re.compile(rf"{re.escape(PART_PREFIX)}((?P<pid>\d+)\.(?P<machine>[0-9a-f]{{8}})-)?([0-9a-f]{{8}}-)?")
"""That beginning: the process that writes, on its machine, where a version before 0.2 wrote neither; and a number."""

LEFT_SECONDS = 3600
"""After so long, nobody is still writing a file, whoever that was."""

FULL_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
FULL_WORDS = ("disk is full", "No space left on device")
"""How errors say that the disk is full: by the system's number, or in the words of SQLite and of libraries that give no
number."""


class DiskFull(RuntimeError):
    """Nothing can be written any more."""


def is_full(error: BaseException | None) -> bool:
    """Whether an error, of whatever library, or one that it came from, says that the disk is full."""
    while error is not None:
        if getattr(error, "errno", None) in FULL_NUMBERS or any(words in str(error) for words in FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, with its suffix; on success the file takes the place of `path`.

    Example:

    >>> with replacing("model.keras") as part:
    ...     model.save(part)
    """
    path = Path(path)
    part = path.with_name(f"{PART_PREFIX}{os.getpid()}.{this_machine()}-{uuid.uuid4().hex[:8]}-{path.name}")
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
    return PART.sub("", name, count=1) if name.startswith(PART_PREFIX) else name


def is_left(part: Path) -> bool:
    """Whether nobody writes a half-written file any more: its process has ended, or it is old.

    Another machine's processes, and those of containers with their own numbers, are not known here.
    """
    named = PART.match(part.name)
    if named is not None and named["machine"] == this_machine() and not psutil.pid_exists(int(named["pid"])):
        return True
    return changed(part) < time.time() - LEFT_SECONDS


def changed(path: Path) -> float:
    """When a file was changed; 0 where another process has removed it."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


@functools.cache
def this_machine() -> str:
    """Tells from others the machine, since it was started, and the container: among whom processes have numbers."""
    about = socket.gethostname()
    try:
        about += Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        about += f" {int(psutil.boot_time())}"  # which changes when somebody sets the clock
    with contextlib.suppress(OSError):
        about += os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(about.encode()).hexdigest()[:8]


def is_whole_archive(path: str | Path) -> bool:
    """Whether a .keras or .npz file is there, and each byte of what is in it is as it was written."""
    try:
        with zipfile.ZipFile(path) as file:
            return bool(file.namelist()) and file.testzip() is None
    except (OSError, ValueError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile):
        return False


def set_aside(path: str | Path) -> Path:
    """Renames a damaged file.

    Returns:
        Its new path.
    """
    path = Path(path)
    aside = next(name for n in range(1, 10_000) if not (name := path.with_name(f"{path.name}.damaged-{n}")).exists())
    path.replace(aside)
    return aside


def write_json(path: str | Path, data: Any) -> Any:
    """Writes plain data, in which NaN and infinity are refused, since JSON has none.

    Returns:
        The data as they will be read back: tuples are lists, NumPy's numbers are Python's.
    """
    text = json.dumps(data, indent=2, allow_nan=False, default=_plain) + "\n"
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    return json.loads(text)


def _plain(value: Any) -> Any:
    """NumPy's scalars, which KerasTuner's oracles give, as Python's."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__} is no plain data")


def _sync(path: Path) -> None:
    """Waits until the disk has it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
