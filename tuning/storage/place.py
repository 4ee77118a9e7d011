"""Where the study of a run lies, and which run it belongs to."""

import contextlib
import dataclasses
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_blocks.tuning.storage.store import StudyStorage, sqlite_url, without_password


@dataclasses.dataclass(frozen=True)
class Place:
    """A study's name and storage.

    Attributes:
        study: its name, which it keeps, whatever the run's folder is called later.
        url: of its storage.
        run: what tells its run from all others, kept by both; `None` where the run was begun by version 0.1.0.
    """

    study: str
    url: str = dataclasses.field(repr=False)  # it may have a password
    run: str | None = None

    @classmethod
    def begun(cls, name: str, own: Path, storage: str | None) -> "Place":
        """That of a new run.

        Args:
            name: of its folder.
            own: path of the study's file in the folder.
            storage: URL that is given in its stead, or `None`.
        """
        return cls(name, storage or sqlite_url(own), uuid.uuid4().hex)

    @classmethod
    def before(cls, said: Mapping[str, Any], name: str, own: Path, storage: str | None) -> "Place":
        """That of a run that is there.

        Args:
            said: what its run.json says, which may come from anyone: no storage is opened because it says so.
            name, own, storage: as above.

        Raises:
            ValueError: where the study cannot be found, or its storage is not in the folder and was not given again.
        """
        study, kept, run = (said.get(key) for key in ("study", "storage", "run"))
        if any(not isinstance(item, str | None) for item in (study, kept, run)):
            raise ValueError(f"`run`: run.json must name its study by texts; it says {study!r}, {kept!r}, {run!r}.")
        if kept is not None and storage is None:
            raise ValueError(
                f"`storage` must be given again for a run whose study is not in its folder: {own.parent} says that it "
                f"lies in {without_password(kept)}. Give --storage with that URL, if it is yours."
            )
        if storage is None:
            return cls(study or _only_study(own, name), sqlite_url(own), run)
        if study is None or kept is None or without_password(kept) != without_password(storage):
            # Begun under another name, by version 0.1.0, or moved: a new study must not take its place.
            cls._find(study or name, storage, run)
        return cls(study or name, storage, run)

    def folder_before(self) -> str | None:
        """Where the run's folder was before, as its study says, see `StudyStorage.folder_of`."""
        with contextlib.closing(StudyStorage(self.url, reads=True)) as stored:
            return stored.folder_of(self.study)

    def __str__(self) -> str:
        """The storage, without its password."""
        return without_password(self.url)

    @staticmethod
    def _find(study: str, storage: str, run: str | None) -> None:
        stored = StudyStorage(storage, reads=True)
        try:
            if study not in stored.names() or stored.run_of(study) != run:
                raise ValueError(
                    f"`storage`: {stored} has no study {study!r} of this run; there are {stored.names() or 'none'}. "
                    "Give the URL that the search was begun with, and a folder of version 0.1.0 its old name; or "
                    "replace the run (--fresh)."
                )
        finally:
            stored.close()


def _only_study(own: Path, name: str) -> str:
    """The name of the study in a folder of version 0.1.0, which it does not say: the folder may have another by now."""
    if not own.is_file() or not own.stat().st_size:
        return name
    stored = StudyStorage(sqlite_url(own), reads=True)
    try:
        names = stored.names()
    finally:
        stored.close()
    if not names or name in names:
        return name
    if len(names) > 1:
        raise ValueError(
            f"`run`: {own} has several studies, {names}. Give the folder the name of the one to go on with."
        )
    return names[0]
