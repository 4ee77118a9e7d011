"""Where studies lie: URLs, damaged files, the lock."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time

import psutil
import pytest

from keras_blocks.tuning.files import is_full, this_machine
from keras_blocks.tuning.storage.processes import is_gone, this_process
from keras_blocks.tuning.storage.sqlite_file import StorageDamaged, set_aside_if_damaged
from keras_blocks.tuning.storage.store import StudyStorage, sqlite_url


def test_an_sqlite_file_is_written_ahead(tmp_path):
    storage = StudyStorage(sqlite_url(tmp_path / "study.db"))
    storage.names()
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    storage.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("study.db", "`storage` must be a URL such as sqlite:///study.db"),
        ("mysql://host/name", "`storage` must be sqlite or postgresql; received 'mysql'"),
        ("sqlite:////nonexistent/folder/study.db", "cannot be opened: .*unable to open"),
        ("postgresql://user:secret@127.0.0.1:1/name", r"postgresql\+psycopg://user@127.* cannot be opened"),
    ],
)
def test_storages_that_are_refused(url, message):
    with pytest.raises(ValueError, match=message) as error:
        StudyStorage(url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("damage", ["cut", "other", "flipped"])
def test_a_damaged_file_is_set_aside_and_kept(damage, tmp_path):
    path = tmp_path / "study.db"
    StudyStorage(sqlite_url(path)).close()
    sound = path.read_bytes()
    if damage == "flipped":
        torn = sound[:4096] + bytes(4096) + sound[8192:]
    else:
        torn = sound[:9000] if damage == "cut" else b"no database at all" * 100
    path.write_bytes(torn)
    if damage != "flipped":  # whoever is given it by its URL leaves it as it is
        with pytest.raises(ValueError, match=r"cannot be (read|opened)"):
            StudyStorage(sqlite_url(path)).names()
    assert path.read_bytes() == torn
    with pytest.raises(
        StorageDamaged, match=r"study\.db is damaged .*kept as .*study\.db\.damaged-1; the same command"
    ):
        set_aside_if_damaged(path)
    assert not path.exists()
    assert (tmp_path / "study.db.damaged-1").read_bytes() == torn
    StudyStorage(sqlite_url(path)).close()
    assert path.exists()


@pytest.mark.parametrize(("version", "message"), [("v3.0.0.c", "optuna storage upgrade"), ("v99", "updating optuna")])
def test_tables_of_another_optuna_are_refused(version, message, tmp_path):
    path = tmp_path / "study.db"
    StudyStorage(sqlite_url(path)).close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update alembic_version set version_num = ?", (version,))
    for reads in (False, True):
        with pytest.raises(ValueError, match=rf"`storage`: .* cannot be opened: .*{message}"):
            StudyStorage(sqlite_url(path), reads=reads)


def test_an_empty_file_is_taken(tmp_path):
    (tmp_path / "study.db").touch()
    StudyStorage(sqlite_url(tmp_path / "study.db")).close()


def test_one_at_a_time_has_the_lock(tmp_path):
    storage, inside, most = StudyStorage(sqlite_url(tmp_path / "study.db")), [], []

    def work():
        with storage.exclusive("one"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8
    storage.close()


HOLDING = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_process_leaves_no_lock(tmp_path):
    storage = StudyStorage(sqlite_url(tmp_path / "study.db"))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path / "study.db.lock")], stdout=subprocess.PIPE, text=True
    )
    with holder.stdout:
        assert holder.stdout.readline() == "held\n"
    got = threading.Event()

    def work():
        with storage.exclusive("one"):
            got.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert not got.wait(0.3)
    holder.kill()
    holder.wait()
    assert got.wait(10)
    thread.join()
    storage.close()


def test_what_a_full_disk_looks_like():
    assert is_full(OSError(28, "No space left on device"))
    assert is_full(RuntimeError("sqlite3.OperationalError: database or disk is full"))
    try:
        try:
            raise OSError(28, "No space left on device")
        except OSError as inner:
            raise ValueError("could not save") from inner
    except ValueError as error:
        assert is_full(error)
    assert is_full(RuntimeError("Unable to write: No space left on device"))  # h5py, without a number
    assert not is_full(ValueError("the label is full"))
    assert not is_full(OSError(2, "No such file"))


def test_a_study_is_made_once_where_a_kill_left_out_the_index_of_names(tmp_path):
    """Found by benchmarks/kill_every_write.py: Optuna's tables and their indices are no transaction on SQLite."""
    url = sqlite_url(tmp_path / "study.db")
    StudyStorage(url).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        (index,) = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE '%study_name'"
        ).fetchone()
        connection.execute(f"DROP INDEX {index}")
        connection.commit()
    for _ in range(2):
        with contextlib.closing(StudyStorage(url)) as storage:
            storage.study("first", directions=["maximize"], sampler=None, pruner=None)
            assert len(storage.names()) == 1


def test_a_process_of_another_container_is_not_one_of_this(monkeypatch):
    """Which may have the same host's name, and its own numbers of processes."""
    here = this_process()
    assert not is_gone(here) and is_gone({**here, "pid": 2**22})
    monkeypatch.setattr("os.readlink", lambda path: "pid:[1]")
    assert not is_gone({**here, "host": this_machine.__wrapped__(), "pid": 2**22})


def test_a_process_that_lives_is_not_gone_where_somebody_sets_the_clock(monkeypatch):
    """psutil says when a process and the machine began by the clock of the moment."""
    here, machine = this_process(), this_machine()
    began, booted = psutil.Process.create_time, psutil.boot_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: began(process) + 3600)
    monkeypatch.setattr(psutil, "boot_time", lambda: booted() + 3600)
    assert this_machine.__wrapped__() == machine
    assert this_process() == here and not is_gone(here)
    assert is_gone({**here, "since": here["since"] - 2})  # another one that had its number
