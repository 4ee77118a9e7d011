"""Connections to a PostgreSQL server, whose number it limits: one more is waited for, and what to do is said."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy

WAIT_SECONDS = 60.0
"""So long a connection is waited for. The lease of a running trial outlasts it: its signs of life have open ones."""

NONE_LEFT = ("too many clients", "too many connections", "remaining connection slots", "53300")
"""What a server says that has none left, altogether or for a role or a database."""

ADVICE = (
    "The server has no connection left. A worker needs up to three: run fewer workers, or raise max_connections, or "
    "the limit of this role or database"
)


def connected(url: sqlalchemy.URL, options: Mapping[str, Any]) -> Any:
    """A new connection.

    Args:
        url: of the database.
        options: further arguments of the driver's `connect`.
    """
    dialect = url.get_dialect()()
    args, named = dialect.create_connect_args(url)
    connect: Any = dialect.import_dbapi().connect
    return patiently(lambda: connect(*args, **{**named, **options}))


def patiently(connect: Callable[[], Any], *, seconds: float = WAIT_SECONDS, pause: float = 1.0) -> Any:
    """What `connect` gives, called again while the server has no connection left.

    Raises:
        Exception: that of `connect`, with what to do where none was to be had in this time.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            return connect()
        except Exception as error:  # the driver is an extra, and its errors with it
            if not any(text in str(error) for text in NONE_LEFT):
                raise
            if time.monotonic() >= until:
                said = str(error).splitlines()[0]
                raise type(error)(f"{said}. {ADVICE}; waited for {seconds:g} seconds") from error
        time.sleep(pause)
