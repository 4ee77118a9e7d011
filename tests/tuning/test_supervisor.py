"""Supervisor: whatever happens to the process that trains is an outcome, and the next trial runs."""

import os
import signal
import subprocess
import sys
import threading
import time

import fake_child
import psutil
import pytest

from keras_blocks.tuning.files import DiskFull
from keras_blocks.tuning.trials import supervisor as module
from keras_blocks.tuning.trials.protocol import Setup, TrialRequest
from keras_blocks.tuning.trials.supervisor import Supervisor

SETUP = Setup(data="digits", seed=0, image_size=None, data_sha256="", imports=[])


@pytest.fixture
def notes():
    return []


@pytest.fixture
def made(tmp_path, notes):
    """Makes supervisors of the fake child."""
    supervisors = []

    def make(**options):
        options = {"max_seconds": 20, "note": notes.append, "command": fake_child.COMMAND, **options}
        supervisors.append(Supervisor(SETUP, tmp_path / "log", **options))
        return supervisors[-1]

    yield make
    for supervisor in supervisors:
        supervisor.stop()


@pytest.fixture
def trains(made):
    return made()


def asked(tmp_path, act="train", *, epochs=3, asks=False, **more):
    return TrialRequest(
        number=0,
        candidate={"metaparameters": {"act": act, **more}},
        signature="",
        epochs=epochs,
        monitor="val_accuracy",
        seed=0,
        checkpoint=str(tmp_path / "checkpoints" / "0.npz"),
        model=str(tmp_path / "models" / "0.keras"),
        asks=asks,
    )


def test_a_trial_is_trained_and_its_model_kept_where_it_is_good(trains, tmp_path):
    epochs = []
    outcome = trains.run(
        asked(tmp_path), epoch=lambda done, logs: epochs.append((done, logs)), keep=lambda result: True
    )
    assert outcome.status == "completed"
    score = outcome.result["val_accuracy"]
    assert epochs == [(done, {"val_accuracy": score}) for done in (1, 2, 3)]
    assert (tmp_path / "models" / "0.keras").exists()
    (tmp_path / "models" / "0.keras").unlink()
    trains.run(asked(tmp_path), epoch=lambda *_: None)
    assert not (tmp_path / "models" / "0.keras").exists()
    assert trains.started == 1  # the process was used again


def test_each_worker_has_its_device(made, tmp_path):
    trains = made(environment={"CUDA_VISIBLE_DEVICES": "3"})
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
    assert trains.run(asked(tmp_path, epochs=3), epoch=lambda *_: None).status == "completed"
    if act != "fail":
        assert notes == [f"trial 0: {reason}; it goes on from its last epoch", f"trial 0: {reason}"]


def test_a_killed_trial_goes_on_from_its_last_epoch(trains, tmp_path):
    epochs = []
    outcome = trains.run(asked(tmp_path, "die once"), epoch=lambda done, logs: epochs.append(done))
    assert (outcome.status, outcome.result["resumed"]) == ("completed", 1)
    assert epochs == [1, 2, 3]
    assert trains.started == 2


def test_a_trial_that_hangs_is_ended(made, tmp_path):
    trains = made(max_seconds=1)
    began = time.monotonic()
    outcome = trains.run(asked(tmp_path, "hang"), epoch=lambda *_: None)
    assert (outcome.status, outcome.reason) == ("failed", "hung: not done after 1 seconds")
    assert time.monotonic() - began < 15


def test_a_trial_that_stands_still_is_ended(made, tmp_path):
    """Also where the process is stopped, and hears no signal but the last."""
    trains = made(max_seconds=2)
    stop = threading.Timer(0.7, lambda: os.kill(trains.process.pid, signal.SIGSTOP))
    stop.start()
    assert trains.run(asked(tmp_path, "hang"), epoch=lambda *_: None).reason.startswith("hung")
    stop.join()


def test_a_trial_that_takes_too_much_memory_is_ended(made, tmp_path):
    trains = made(max_memory=2**28)
    outcome = trains.run(asked(tmp_path, "eat"), epoch=lambda *_: None)
    assert outcome.status == "failed"
    assert outcome.reason.startswith("out of memory: took ")
    assert outcome.reason.endswith(" MB of 256 MB")


def test_a_model_that_is_too_slow_is_refused(trains, tmp_path):
    outcome = trains.run(asked(tmp_path, "slow"), epoch=lambda *_: None)
    assert (outcome.status, outcome.reason) == ("refused", "0.5 seconds for one image")
    assert trains.started == 1


def test_a_process_that_has_grown_is_replaced(trains, tmp_path, notes):
    for act in ("train", "grow", "train"):
        assert trains.run(asked(tmp_path, act), epoch=lambda *_: None).status == "completed"
        (tmp_path / "checkpoints" / "0.npz").unlink()
    assert trains.started == 2
    assert len(notes) == 1
    assert "had grown from" in notes[0]


def test_a_full_disk_ends_more_than_the_trial(trains, tmp_path):
    with pytest.raises(DiskFull):
        trains.run(asked(tmp_path, "full"), epoch=lambda *_: None)
    assert trains.memory() == 0


PARENT = """
import sys, time
import keras_blocks_cli
keras_blocks_cli.hold_back()
from keras_blocks.tuning.trials.protocol import Setup
from keras_blocks.tuning.trials.supervisor import Supervisor

setup, command = Setup("", 0, None, "", []), (sys.executable, "-c", sys.argv[2])
supervisor = Supervisor(setup, sys.argv[1], max_seconds=60, command=command)
supervisor.start()
print(supervisor.process.pid, flush=True)
time.sleep(600)
"""
BUSY = """
import sys
import keras_blocks_cli
keras_blocks_cli.hold_back()
from multiprocessing.connection import Connection
from keras_blocks.tuning.trials.protocol import Line, Ready
from keras_blocks.tuning.trials.trial_process import die_with_parent

die_with_parent()
line = Line(Connection(int(sys.argv[1])))
line.hear()
line.say(Ready())
while True:
    pass
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
