"""Where studies are stored: an SQLite file for one machine, PostgreSQL for many. The one door to Optuna's storages.

Private names of Optuna are in this file and in database.py; tests/tuning/test_optuna_doors.py has a list of them.
"""

import contextlib
import fcntl
import functools
import hashlib
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from keras_blocks.tuning.storage import postgres
from keras_blocks.tuning.storage.database import TABLES, Database
from keras_blocks.tuning.storage.sqlite_file import BUSY, check_ours, connected
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.trial import STATES
from keras_blocks.tuning.storage.watch import Watch

GRACE = 60
"""After so many seconds without a sign of life of a trial, another worker gets it."""

PASSWORDS = ("password", "sslpassword")
"""What of a URL's query is a password, too."""


def sqlite_url(path: str | Path) -> str:
    """The URL of an SQLite file.

    Example:

    >>> sqlite_url("/data/study.db")
    'sqlite:////data/study.db'
    """
    return f"sqlite:///{Path(path).absolute()}"


def read_url(url: str) -> sqlalchemy.URL:
    """A storage's URL.

    Raises:
        ValueError: for another text, saying why, without a password that is in it.
    """
    url = str(url)
    shown = re.sub(r"(?<=:).*@", "***@", url, flags=re.DOTALL)
    before = url.partition("?")[0]
    encoded = before.count("@") < 2 and not re.search(r"://[^@]*%(?![0-9A-Fa-f]{2})[^@]*@", before)
    if not encoded and not url.startswith("sqlite"):
        raise ValueError(
            f"`storage`: the special characters of a password in a URL must be percent-encoded, @ as %40, % as %25; "
            f"received {shown!r}. Or leave the password out, and give it in PGPASSWORD or the file of PGPASSFILE."
        )
    try:
        read = sqlalchemy.make_url(url)
        read.get_backend_name()
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise ValueError(
            f"`storage` must be a URL such as sqlite:///study.db or postgresql://user@host/name; received {shown!r}."
        ) from error
    return read


def without_password(url: str | sqlalchemy.URL) -> str:
    """A storage's URL as it may be kept and shown.

    Example:

    >>> without_password("postgresql://me:secret@db.example/searches?sslpassword=secret")
    'postgresql://me@db.example/searches'
    """
    read = read_url(url) if isinstance(url, str) else url
    read = sqlalchemy.URL.create(
        read.drivername, read.username, None, read.host, read.port, read.database, read.query
    ).difference_update_query(PASSWORDS)
    return read.render_as_string()


class StudyStorage:
    """Optuna's database storage with signs of life, and a lock for what must not happen twice at a time.

    SQLite writes ahead (WAL), so that readers do not block and a kill never tears the file.

    Args:
        url: "sqlite:///file" or "postgresql://user:password@host/database".
        grace: seconds without a sign of life after which a trial counts as left.
        reads: whether nothing is to be written, no tables either: they must be there.
        clock: see `Watch`.

    Raises:
        ValueError: for a URL that cannot be opened, and for a file that is no database or another program's, saying
            why, without its password. Nothing was changed then.
    """

    def __init__(
        self, url: str, *, grace: int = GRACE, reads: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._watch = Watch(grace, clock)
        self.url = read_url(url)
        kind = self.url.get_backend_name()
        if kind not in ("sqlite", "postgresql"):
            raise ValueError(f"`storage` must be sqlite or postgresql; received {kind!r}.")
        if kind == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.path = Path(self.url.database or ":memory:") if kind == "sqlite" else None
        options: dict[str, Any] = {"connect_args": {}, "pool_pre_ping": True}
        if self.path is not None:
            check_ours(self.path, TABLES, must_exist=reads)
            options["connect_args"] = {"timeout": BUSY}
        if reads and self.path is not None:
            options["creator"] = functools.partial(connected, self.path)
        elif self.path is None:
            only_reads = {"options": "-c default_transaction_read_only=on"} if reads else {}
            options["creator"] = functools.partial(postgres.connected, self.url, only_reads)
        try:
            self._database = Database(
                self.url.render_as_string(hide_password=False), skip_table_creation=reads, engine_kwargs=options
            )
        except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError) as error:
            raise ValueError(f"`storage`: {self} cannot be opened: {reason(error, self.url)}") from error
        except RuntimeError as error:  # Optuna's, for tables of another of its versions
            raise ValueError(f"`storage`: {self} cannot be opened: {error}") from error
        if self.path is not None and not reads:
            sqlalchemy.event.listen(self._database.engine, "connect", _write_ahead)
            self._database.engine.dispose()  # the connections that were made before

    @contextlib.contextmanager
    def exclusive(self, study: str) -> Iterator[None]:
        """Lets one process at a time in, over all machines. The lock ends with the process that holds it."""
        if self.path is not None:
            with self.path.with_name(self.path.name + ".lock").open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        else:
            key = int.from_bytes(hashlib.sha256(study.encode()).digest()[:8], "big", signed=True)
            with self._database.engine.connect() as connection:
                connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": key})
                try:
                    yield
                finally:
                    connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:key)"), {"key": key})

    def together(self) -> contextlib.AbstractContextManager[None]:
        """What one thread writes of a trial in this context is written at its end: all, or where it fails nothing."""
        return self._database.together()

    def names(self) -> list[str]:
        """The names of all studies."""
        return sorted(optuna.study.get_all_study_names(self._database))

    def study(self, name: str, **options: Any) -> optuna.Study:
        """Optuna's study of a name, made where there is none.

        Args:
            name: of the study.
            **options: "sampler", "pruner" and "directions" of `optuna.create_study`; without them it must be there.
        """
        if not options:
            return optuna.load_study(study_name=name, storage=self._database)
        # Optuna would find out by the index of names, which a kill while the tables were made can have left out.
        if name in self.names():
            options.pop("directions", None)
            return optuna.load_study(study_name=name, storage=self._database, **options)
        with quiet_optuna():
            return optuna.create_study(study_name=name, storage=self._database, load_if_exists=True, **options)

    def run_of(self, name: str) -> str | None:
        """What tells the run to which a study belongs; `None` where it does not say, as of version 0.1.0."""
        identity = self.identity_of(name)
        return identity.get("run") if isinstance(identity, dict) else None

    def identity_of(self, name: str) -> Any:
        """What a study was begun with, as it says itself; `None` where there is no such study, or it does not say."""
        return self.study(name).user_attrs.get("identity") if name in self.names() else None

    def folder_of(self, name: str) -> str | None:
        """Where the folder of the study's run was when its search last began; see `folder_here`.

        If that was on this machine, and with this storage.
        """
        said = self.study(name).user_attrs.get("folder") if name in self.names() else None
        if not isinstance(said, dict) or said != self.folder_here(said.get("path", "")):
            return None
        return str(said["path"])

    def folder_here(self, path: str | Path) -> dict[str, str]:
        """What a study in a storage of several keeps of its run's folder, by which a copy of that is known."""
        return {"path": str(path), "host": socket.gethostname(), "storage": str(self)}

    def make_room(self, name: str, run: str | None) -> None:
        """Lets a run have a study of this name: removes the one that it had, and no other run's.

        Args:
            name: of the study.
            run: that is replaced, or `None`.

        Raises:
            ValueError: where another run has a study of this name.
        """
        if name not in self.names():
            return
        if run is None or self.run_of(name) != run:
            raise ValueError(another_runs(name, self))
        optuna.delete_study(study_name=name, storage=self._database)

    def current(self, trial: optuna.Trial | FrozenTrial) -> FrozenTrial:
        """A trial as it is stored now."""
        return self._database.get_trial(trial._trial_id)

    def write(self, trial: optuna.Trial | FrozenTrial, status: Status, **attributes: Any) -> None:
        """Writes attributes and the status of a trial, whoever runs it."""
        for name, value in attributes.items():
            self._database.set_trial_user_attr(trial._trial_id, name, value)
        self._database.set_trial_state_values(trial._trial_id, state_of(status))

    def beat(self, trial: optuna.Trial) -> None:
        """Records a sign of life."""
        self._database.record_heartbeat(trial._trial_id)

    def silent(self, study: optuna.Study, trials: Sequence[FrozenTrial] = ()) -> set[int]:
        """The numbers of those trials that run and have given no sign of life for too long.

        Of all that run it is heard whether they give one, see `Watch`: whoever asks seldom hears little.
        """
        ids = self._watch.silent(self._database.signs_of_life(study._study_id))
        return {trial.number for trial in trials if trial._trial_id in ids}

    def close(self) -> None:
        """Closes the connections."""
        self._database.remove_session()
        self._database.engine.dispose()

    def __str__(self) -> str:
        return without_password(self.url)


def reason(error: Exception, url: sqlalchemy.URL) -> str:
    """Why a storage cannot be opened, in a line."""
    known = isinstance(error.__cause__, sqlalchemy.exc.SQLAlchemyError)  # beneath Optuna's, which says little
    line = str(error.__cause__ if known else error).splitlines()[0]
    if url.password is None and "password" in line:
        line += ". A password is read from PGPASSWORD, the file of PGPASSFILE, or the URL"
    return line


def another_runs(name: str, storage: StudyStorage) -> str:
    """What is said where a run finds another run's study."""
    return (
        f"`storage`: {storage} has a study {name!r} that belongs to another run. Give this run's folder another name, "
        f"or help with that one: keras-blocks worker --study {name} --storage URL. Nothing was changed."
    )


@contextlib.contextmanager
def _said(storage: StudyStorage) -> Iterator[None]:
    """A database that is not as Optuna's are is the reader's to hear of, in a line."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise ValueError(f"`storage`: {storage} cannot be read: {reason(error, storage.url)}") from error


@contextlib.contextmanager
def stored_study(name: str, url: str) -> Iterator[optuna.Study]:
    """Optuna's study of a search, to be read by whoever takes no part in it. Nothing of the storage is changed.

    Args:
        name: of the study.
        url: of its storage.

    Returns:
        The study, with the attribute "search" that `Session.publish` wrote.

    Raises:
        ValueError: where the storage has no such search.
    """
    with contextlib.closing(StudyStorage(url, reads=True)) as storage, _said(storage):
        names = storage.names()
        study = storage.study(name) if name in names else None
        about, identity = (study.user_attrs.get(key) if study is not None else None for key in ("search", "identity"))
        if study is None or about is None:
            raise ValueError(f"`study`: {storage} has no search {name!r}; there are {names or 'none'}.")
        known = isinstance(about, dict) and isinstance(identity, dict)
        if not known or not {"settings", "space", "backend", "data_sha256"} <= about.keys():
            raise ValueError(f"`study`: {name!r} in {storage} does not say what it searched; it says {about!r}.")
        yield study


def state_of(status: Status) -> TrialState:
    """Optuna's state of a trial of this status."""
    return TrialState[STATES[status]]


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna's notes of each trial are not shown in this context."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _write_ahead(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")  # whole after a kill and a power cut
    cursor.close()
