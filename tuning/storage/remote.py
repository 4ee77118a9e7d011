"""A database that does not answer for a while, and is asked again: a server that starts again ends no search."""

import functools
import sqlite3
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import optuna
import sqlalchemy

from keras_blocks.tuning.files import DiskFull, is_full

P = ParamSpec("P")
R = TypeVar("R")

PASSING = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL", "SQLITE_INTERRUPT")
"""How the names of SQLite's errors begin that say nothing of what was asked: another process writes, a disk is away."""

FOR_GOOD = ("authentication failed", "does not exist", "no password supplied", "permission denied")
"""What a server that answers says to whom it lets in at no time."""


def retry_while_away(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Repeats a method of a study while its database does not answer, for `patience` seconds."""

    @functools.wraps(method)
    def asked(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        until, pause = time.monotonic() + self.patience, 0.2
        while True:
            try:
                return method(self, *args, **kwargs)
            except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
                if is_full(error):
                    raise DiskFull(f"{self._storage}: the disk is full") from error
                if not is_away(error) or time.monotonic() + pause > until:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 10)

    return asked


def is_away(error: BaseException) -> bool:
    """Whether a database may answer to the same question later: what was asked is not at fault, nor who asks."""
    if isinstance(error, optuna.exceptions.StorageInternalError):  # which says little of what is beneath
        return error.__cause__ is None or is_away(error.__cause__)
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        beneath = error.orig
        if isinstance(beneath, sqlite3.Error):  # to SQLite, a table that is not there is operational, too
            return getattr(beneath, "sqlite_errorname", "SQLITE_BUSY").startswith(PASSING)
        lost = error.connection_invalidated or isinstance(
            error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError
        )
        return lost and not any(words in str(beneath) for words in FOR_GOOD)
    # The pool has no connection to give, or a transaction was open on the one that was lost.
    return isinstance(error, sqlalchemy.exc.TimeoutError | sqlalchemy.exc.PendingRollbackError)
