"""Supervisor: whatever happens to the process that trains is an outcome, and the next trial runs."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from keras_blocks.tuning.files import DiskFull
from keras_blocks.tuning.search import supervisor as module
from keras_blocks.tuning.search.supervisor import Supervisor

FAKE = (sys.executable, str(pathlib.Path(__file__).with_name("fake_child.py")))


@pytest.fixture
def notes():
    return []


@pytest.fixture
def trains(tmp_path, notes, monkeypatch):
    monkeypatch.setattr(Supervisor, "command", FAKE)
    supervisor = Supervisor({}, tmp_path / "log", max_seconds=20, note=notes.append)
    yield supervisor
    supervisor.stop()


def asked(tmp_path, act="train", *, epochs=3, asks=False, **more):
    return {
        "what": "trial",
        "candidate": {"metaparameters": {"act": act, **more}},
        "epochs": epochs,
        "asks": asks,
        "checkpoint": str(tmp_path / "checkpoints" / "0.npz"),
        "keep": str(tmp_path / "models" / "0.keras"),
    }


def test_a_trial_is_trained_and_its_model_kept_where_it_is_good(trains, tmp_path):
    epochs = []
    outcome = trains.run(
        asked(tmp_path), epoch=lambda done, logs: epochs.append((done, logs)), keep=lambda result: True
    )
    assert outcome.status == "trained"
    score = outcome.result["val_accuracy"]
    assert epochs == [(done, {"val_accuracy": score}) for done in (1, 2, 3)]
    assert (tmp_path / "models" / "0.keras").exists()
    (tmp_path / "models" / "0.keras").unlink()
    trains.run(asked(tmp_path), epoch=lambda *_: None)
    assert not (tmp_path / "models" / "0.keras").exists()
    assert trains.started == 1  # the process was used again


def test_each_worker_has_its_device(trains, tmp_path):
    trains._environment = {"CUDA_VISIBLE_DEVICES": "3"}
    assert trains.run(asked(tmp_path), epoch=lambda *_: None).result["device"] == "3"


def test_a_trial_is_ended_early(trains, tmp_path):
    outcome = trains.run(asked(tmp_path, epochs=9, asks=True), epoch=lambda done, logs: done == 2)
    assert (outcome.status, outcome.result["epochs"]) == ("pruned", 2)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("fail", "ValueError: bad"),
        ("segfault", "the process that trains it was ended by SIGSEGV"),
        ("die", "the process that trains it was ended by SIGKILL, as the system does when memory runs out"),
        ("exit", "the process that trains it ended with code 3: the last words"),
    ],
)
def test_what_ends_the_process_fails_the_trial_alone(trains, tmp_path, notes, act, reason):
    outcome = trains.run(asked(tmp_path, act), epoch=lambda *_: None)
    assert (outcome.status, outcome.reason) == ("failed", reason)
    assert trains.run(asked(tmp_path, epochs=3), epoch=lambda *_: None).status == "trained"
    if act != "fail":
        assert notes == [f"{reason}; it goes on from its last epoch", reason]


def test_a_killed_trial_goes_on_from_its_last_epoch(trains, tmp_path):
    epochs = []
    outcome = trains.run(asked(tmp_path, "die once"), epoch=lambda done, logs: epochs.append(done))
    assert (outcome.status, outcome.result["resumed"]) == ("trained", 1)
    assert epochs == [1, 2, 3]
    assert trains.started == 2


def test_a_trial_that_hangs_is_ended(trains, tmp_path, monkeypatch):
    monkeypatch.setattr(trains, "_max_seconds", 1)
    began = time.monotonic()
    outcome = trains.run(asked(tmp_path, "hang"), epoch=lambda *_: None)
    assert (outcome.status, outcome.reason) == ("failed", "hung: not done after 1 seconds")
    assert time.monotonic() - began < 15


def test_a_trial_that_stands_still_is_ended(trains, tmp_path, monkeypatch):
    """Also where the process is stopped, and hears no signal but the last."""
    monkeypatch.setattr(trains, "_max_seconds", 2)
    stop = threading.Timer(0.7, lambda: os.kill(trains._process.pid, signal.SIGSTOP))
    stop.start()
    assert trains.run(asked(tmp_path, "hang"), epoch=lambda *_: None).reason.startswith("hung")
    stop.join()


def test_a_trial_that_takes_too_much_memory_is_ended(trains, tmp_path, monkeypatch):
    monkeypatch.setattr(trains, "_max_memory", 2**28)
    outcome = trains.run(asked(tmp_path, "eat"), epoch=lambda *_: None)
    assert outcome.status == "failed"
    assert outcome.reason.startswith("out of memory: took ")
    assert outcome.reason.endswith(" MB of 256 MB")


def test_a_process_that_has_grown_is_replaced(trains, tmp_path, notes):
    for act in ("train", "grow", "train"):
        assert trains.run(asked(tmp_path, act), epoch=lambda *_: None).status == "trained"
        (tmp_path / "checkpoints" / "0.npz").unlink()
    assert trains.started == 2
    assert len(notes) == 1
    assert "had grown from" in notes[0]


def test_a_full_disk_ends_more_than_the_trial(trains, tmp_path):
    with pytest.raises(DiskFull):
        trains.run(asked(tmp_path, "full"), epoch=lambda *_: None)
    assert trains.memory() == 0


PARENT = """
import sys
from keras_blocks.tuning.search.supervisor import Supervisor
Supervisor.command = (sys.executable, "-P", "-c", sys.argv[2])
supervisor = Supervisor({}, sys.argv[1], max_seconds=60)
supervisor._ensure_started(lambda: None)
print(supervisor._process.pid, flush=True)
supervisor._hear(lambda: None, 1e12, 60)
"""
BUSY = """
import json, sys
from keras_blocks.tuning.search.trial_process import Line, _die_with_parent
from multiprocessing.connection import Connection
_die_with_parent()
line = Line(Connection(int(sys.argv[1])))
line.hear(); line.say("ready")
while True: pass
"""


def test_the_process_does_not_outlive_a_killed_search(tmp_path):
    """Also while it computes and hears nothing."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log"), BUSY], stdout=subprocess.PIPE, text=True
    )
    with parent.stdout:
        child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs([child], timeout=20)
    for process in alive:
        process.kill()
    assert not alive


def test_memory_is_the_machines_or_the_containers():
    assert 2**28 < module.memory_of_machine() <= psutil.virtual_memory().total
