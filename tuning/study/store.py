"""Where studies are stored: an SQLite file for one machine, PostgreSQL for many. The one door to Optuna's storages.

All private names of Optuna that we use are in this file; tests/tuning/test_doors.py has a list of them.
"""

import contextlib
import fcntl
import hashlib
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.orm
from optuna.storages._rdb.models import TrialUserAttributeModel
from optuna.trial import FrozenTrial, TrialState

from keras_blocks.tuning.study.status import Status
from keras_blocks.tuning.study.trial import STATES

HEARTBEAT, GRACE = 10, 60
"""There are so many seconds between two signs of life of a trial; after so many without one, another worker gets it."""

BUSY = 120
"""SQLite waits so many seconds for another process to finish writing."""


class StorageDamaged(ValueError):
    """The file is no database, or a torn one; it was set aside."""


def sqlite_url(path: str | Path) -> str:
    """The URL of an SQLite file.

    Example:

    >>> sqlite_url("/data/study.db")
    'sqlite:////data/study.db'
    """
    return f"sqlite:///{Path(path).absolute()}"


class _Database(optuna.storages.RDBStorage):
    """Optuna's, which can write what belongs together in one transaction: each of its own takes milliseconds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._held: list[tuple[Any, ...]] | None = None
        super().__init__(*args, **kwargs)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What one thread writes of a trial in this context is written at its end: all, or where it fails nothing."""
        self._held = held = []
        try:
            yield
        finally:
            self._held = None
        with sqlalchemy.orm.Session(self.engine) as session, session.begin():
            for write, *arguments in held:
                write(session, *arguments)

    def _set_trial_param(self, *arguments: Any) -> None:
        if self._held is None:
            super()._set_trial_param(*arguments)
        else:
            self._held.append((self._set_trial_param_without_commit, *arguments))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        if self._held is None:
            super().set_trial_user_attr(trial_id, key, value)
        else:
            self._held.append((self._set_trial_attr_without_commit, TrialUserAttributeModel, trial_id, key, value))


class StudyStorage:
    """Optuna's database storage with heartbeats, and a lock for what must not happen twice at a time.

    SQLite writes ahead (WAL), so that readers do not block and a kill never tears the file.

    Args:
        url: "sqlite:///file" or "postgresql://user:password@host/database".
        heartbeat: seconds between two signs of life.
        grace: seconds without one after which a trial counts as left.

    Raises:
        ValueError: for a URL that cannot be opened, saying why, without its password.
        StorageDamaged: for an SQLite file that is torn. It is renamed, and so kept.
    """

    def __init__(self, url: str, *, heartbeat: int = HEARTBEAT, grace: int = GRACE) -> None:
        try:
            self.url = sqlalchemy.make_url(str(url))
        except sqlalchemy.exc.ArgumentError as error:
            raise ValueError(
                f"`storage` must be a URL such as sqlite:///study.db or postgresql://user@host/name; received {url!r}."
            ) from error
        kind = self.url.get_backend_name()
        if kind not in ("sqlite", "postgresql"):
            raise ValueError(f"`storage` must be sqlite or postgresql; received {kind!r}.")
        if kind == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.path = Path(self.url.database) if kind == "sqlite" else None
        if self.path is not None:
            _set_aside_if_damaged(self.path)
        arguments = {"timeout": BUSY} if self.path is not None else {}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._database = _Database(
                    self.url.render_as_string(hide_password=False),
                    heartbeat_interval=heartbeat,
                    grace_period=grace,
                    engine_kwargs={"connect_args": arguments, "pool_pre_ping": True},
                )
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"`storage`: {self} cannot be opened: {reason}") from error
        if self.path is not None:
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
        with quiet_optuna():
            return optuna.create_study(study_name=name, storage=self._database, load_if_exists=True, **options)

    def delete(self, name: str) -> None:
        """Removes a study, if it is there."""
        if name in self.names():
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

    def silent(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> set[int]:
        """The numbers of those running trials that have given no sign of life for too long."""
        ids = self._database._get_stale_trial_ids(study._study_id) if trials else ()
        return {trial.number for trial in trials if trial._trial_id in ids}

    def close(self) -> None:
        """Closes the connections."""
        self._database.remove_session()
        self._database.engine.dispose()

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)


@contextlib.contextmanager
def stored_study(name: str, url: str) -> Iterator[optuna.Study]:
    """Optuna's study of a search, to be read by whoever takes no part in it.

    Args:
        name: of the study.
        url: of its storage.

    Returns:
        The study, with the attribute "search" that `Session.publish` wrote.

    Raises:
        ValueError: where the storage has no such search.
    """
    with contextlib.closing(StudyStorage(url)) as storage:
        names = storage.names()
        study = storage.study(name) if name in names else None
        if study is None or "search" not in study.user_attrs:
            raise ValueError(f"`study`: {storage} has no search {name!r}; there are {names or 'none'}.")
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


def _set_aside_if_damaged(path: Path) -> None:
    """Renames a file that is no sound SQLite database."""
    if not path.exists() or not path.stat().st_size:
        return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY)) as connection:
            state = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked or full: not the file's fault
            raise ValueError(f"`storage`: {path} cannot be opened: {error}") from error
        state = str(error)
    if state == "ok":
        return
    aside = next(name for n in range(1, 10_000) if not (name := path.with_name(f"{path.name}.damaged-{n}")).exists())
    path.replace(aside)
    for ending in ("-wal", "-shm"):
        beside = path.with_name(path.name + ending)
        if beside.exists():
            beside.replace(aside.with_name(aside.name + ending))
    raise StorageDamaged(
        f"`storage`: {path} is damaged ({' '.join(state.split())}). It was kept as {aside}; the same command again "
        "begins a new study."
    )
