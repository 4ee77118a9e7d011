"""Where studies are stored: an SQLite file for one machine, PostgreSQL for many."""

import contextlib
import fcntl
import hashlib
import warnings
from pathlib import Path

import optuna
import sqlalchemy.orm

HEARTBEAT, GRACE = 10, 60
"""Seconds between two signs of life of a trial, and without one until it is given to another worker."""

BUSY = 120
"""Seconds that SQLite waits for another process to finish writing."""


class StorageDamaged(ValueError):
    """The file is no database, or a torn one; it was set aside."""


def sqlite_url(path) -> str:
    """The URL of an SQLite file.

    Example:

    >>> sqlite_url("/data/study.db")
    'sqlite:////data/study.db'
    """
    return f"sqlite:///{Path(path).absolute()}"


class _Database(optuna.storages.RDBStorage):
    """Optuna's, which can write what belongs together in one transaction: each of its own takes milliseconds."""

    def __init__(self, *args, **kwargs):
        self._held = None
        super().__init__(*args, **kwargs)

    @contextlib.contextmanager
    def together(self):
        """What one thread writes of a trial in this context is written at its end: all, or where it fails nothing."""
        self._held = held = []
        try:
            yield
        finally:
            self._held = None
        with sqlalchemy.orm.Session(self.engine) as session, session.begin():
            for write, *arguments in held:
                write(session, *arguments)

    def _set_trial_param(self, *arguments) -> None:
        if self._held is None:
            super()._set_trial_param(*arguments)
        else:
            self._held.append((self._set_trial_param_without_commit, *arguments))

    def set_trial_user_attr(self, trial_id, key, value) -> None:
        if self._held is None:
            super().set_trial_user_attr(trial_id, key, value)
        else:
            attribute = optuna.storages._rdb.models.TrialUserAttributeModel
            self._held.append((self._set_trial_attr_without_commit, attribute, trial_id, key, value))


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

    def __init__(self, url: str, *, heartbeat: int = HEARTBEAT, grace: int = GRACE):
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
                self.rdb = _Database(
                    self.url.render_as_string(hide_password=False),
                    heartbeat_interval=heartbeat,
                    grace_period=grace,
                    engine_kwargs={"connect_args": arguments, "pool_pre_ping": True},
                )
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"`storage`: {self} cannot be opened: {reason}") from error
        if self.path is not None:
            sqlalchemy.event.listen(self.rdb.engine, "connect", _write_ahead)
            self.rdb.engine.dispose()  # the connections that were made before

    @contextlib.contextmanager
    def exclusive(self, study: str):
        """One process at a time, over all machines. The lock ends with the process that holds it."""
        if self.path is not None:
            with self.path.with_name(self.path.name + ".lock").open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        else:
            key = int.from_bytes(hashlib.sha256(study.encode()).digest()[:8], "big", signed=True)
            with self.rdb.engine.connect() as connection:
                connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": key})
                try:
                    yield
                finally:
                    connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:key)"), {"key": key})

    def close(self) -> None:
        """Closes the connections."""
        self.rdb.remove_session()
        self.rdb.engine.dispose()

    def __str__(self):
        return self.url.render_as_string(hide_password=True)


def _write_ahead(connection, record):
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")  # whole after a kill and a power cut
    cursor.close()


def _set_aside_if_damaged(path: Path) -> None:
    """Renames a file that is no sound SQLite database."""
    import sqlite3

    if not path.exists() or not path.stat().st_size:
        return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked or full: not the file's fault
            raise ValueError(f"`storage`: {path} cannot be opened: {error}") from error
        found = str(error)
    if found == "ok":
        return
    aside = next(name for n in range(1, 10_000) if not (name := path.with_name(f"{path.name}.damaged-{n}")).exists())
    path.replace(aside)
    for ending in ("-wal", "-shm"):
        beside = path.with_name(path.name + ending)
        if beside.exists():
            beside.replace(aside.with_name(aside.name + ending))
    raise StorageDamaged(
        f"`storage`: {path} is damaged ({' '.join(found.split())}). It was kept as {aside}; the same command again "
        "begins a new study."
    )
