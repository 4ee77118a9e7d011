"""SQLite's files as files: whose they are, whether they are sound; what reads them changes nothing."""

import contextlib
import sqlite3
import urllib.parse
from collections.abc import Collection
from pathlib import Path

from keras_blocks.tuning.files import set_aside

BUSY = 120
"""SQLite waits so many seconds for another process to finish writing."""

JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
"""Ends a journal of SQLite that names another one: of a transaction over several databases."""


class StorageDamaged(ValueError):
    """The file is no database, or a torn one; it was set aside."""


def connected(path: Path, mode: str | None = None) -> sqlite3.Connection:
    """A connection that reads.

    Args:
        path: of the file.
        mode: of SQLite. By default nothing is written, not even the files that SQLite has beside one that is written
            to: where anybody writes, these are there.
    """
    if mode is None:
        mode = "ro" if path.with_name(f"{path.name}-wal").exists() else "ro&immutable=1"
    url = f"file:{urllib.parse.quote(str(path.absolute()))}?mode={mode}"
    return sqlite3.connect(url, uri=True, timeout=BUSY, check_same_thread=False)


def _mode(path: Path) -> str:
    """How a file is looked at before it is written: where a kill left a journal, SQLite must take that back first.

    Raises:
        ValueError: for a journal that names another one, which SQLite would remove, whatever file that is. Ours do not.
    """
    journal = path.with_name(f"{path.name}-journal")
    if not journal.is_file() or not journal.stat().st_size:
        return "ro"
    with journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - len(JOURNAL_MAGIC)))
        if file.read() == JOURNAL_MAGIC:
            raise ValueError(
                f"`storage`: {journal} names another file, which SQLite would remove, as ours never do; nothing was "
                f"changed. Remove {journal.name}, if it is not yours."
            )
    return "rw"


def check_ours(path: Path, tables: Collection[str], *, must_exist: bool) -> None:
    """Refuses a file in which another program keeps what it has.

    Args:
        path: of the file.
        tables: names of those that a study's file may have.
        must_exist: whether it is to be read only.

    Raises:
        ValueError: saying what it is. Nothing was changed.
    """
    if str(path) == ":memory:" or not path.exists() or (path.is_file() and not path.stat().st_size):
        if must_exist:
            raise ValueError(f"`storage`: there is no study in {path}.")
        return
    if not path.is_file():
        raise ValueError(f"`storage`: {path} is no file.")
    try:
        with contextlib.closing(connected(path, None if must_exist else _mode(path))) as connection:
            found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise ValueError(
            f"`storage`: {path} cannot be read as an SQLite file: {error}. Nothing was changed."
        ) from error
    if found - {*tables, "alembic_version", "sqlite_sequence"} and "trial_heartbeats" not in found:
        raise ValueError(
            f"`storage`: {path} is another program's, with the tables {sorted(found)[:5]}; give another file. Nothing "
            "was changed."
        )


def set_aside_if_damaged(path: Path) -> None:
    """Renames a study's file that is no sound SQLite database: one that is our own, in our own folder.

    Raises:
        StorageDamaged: where it was.
    """
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        with contextlib.closing(connected(path, _mode(path))) as connection:
            state = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked or full: not the file's fault
            raise ValueError(f"`storage`: {path} cannot be opened: {error}") from error
        state = str(error)
    if state == "ok":
        return
    aside = set_aside(path)
    for ending in ("-wal", "-shm"):
        beside = path.with_name(path.name + ending)
        if beside.exists():
            beside.replace(aside.with_name(aside.name + ending))
    raise StorageDamaged(
        f"`storage`: {path} is damaged ({' '.join(state.split())}). It was kept as {aside}; the same command again "
        "begins a new study."
    )
