"""A PostgreSQL server that has no connection left is waited for, and what to do is said."""

import contextlib

import postgres
import pytest
from thorough import run_all

from keras_blocks.tuning.storage.postgres import patiently
from keras_blocks.tuning.storage.store import StudyStorage

pytestmark = pytest.mark.once

SAID = [
    "FATAL:  sorry, too many clients already",
    'FATAL:  too many connections for role "worker"',
    'FATAL:  too many connections for database "searches"',
    "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
]


class Refused(Exception): ...


def refusing(said, times):
    calls = iter([said] * times)

    def connect():
        for text in calls:
            raise Refused(text)
        return "a connection"

    return connect


@pytest.mark.parametrize("said", SAID)
def test_one_is_waited_for(said):
    assert patiently(refusing(said, 3), pause=0) == "a connection"
    with pytest.raises(Refused, match=r"FATAL.* The server has no connection left\. .*fewer workers.* max_connections"):
        patiently(refusing(said, 3), seconds=0, pause=0)


@pytest.mark.parametrize("said", ["connection refused", 'password authentication failed for user "tester"'])
def test_what_else_is_wrong_is_said_at_once(said):
    with pytest.raises(Refused, match=f"^{said}$"):
        patiently(refusing(said, 1), seconds=100)


@pytest.mark.skipif(not run_all() or postgres.binaries() is None, reason="make test-all, with a PostgreSQL server")
def test_on_a_server(monkeypatch):
    import psycopg

    with postgres.server() as database:
        url = database("limited")
        StudyStorage(url).close()  # the tables
        with contextlib.closing(psycopg.connect(url, autocommit=True)) as owner:
            owner.execute("CREATE ROLE worker LOGIN CONNECTION LIMIT 3")
            owner.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO worker")
        limited = url.replace("tester@", "worker@")
        message = r"too many connections for role.* The server has no connection left"
        with contextlib.ExitStack() as held, monkeypatch.context() as patched:
            for _ in range(3):
                held.enter_context(contextlib.closing(psycopg.connect(limited)))
            patched.setattr(patiently, "__kwdefaults__", {"seconds": 0.1, "pause": 0.05})
            with pytest.raises(ValueError, match=message):
                StudyStorage(limited, reads=True)
        with contextlib.closing(StudyStorage(limited, reads=True)) as storage:  # the server may let them go later
            assert storage.names() == []
