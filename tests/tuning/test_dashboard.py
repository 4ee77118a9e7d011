"""optuna-dashboard reads our studies: the real server, on loopback."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import keras_tuner
import pytest

from keras_blocks.tuning.storage.store import StudyStorage, sqlite_url
from keras_blocks.tuning.study.pruners import make_pruner
from keras_blocks.tuning.study.samplers import make_sampler
from keras_blocks.tuning.study.study import Study
from keras_blocks.tuning.user_spaces.keras_tuner_space import KerasTunerSpace

PATIENCE = 60
"""Seconds for the server to start."""


@pytest.fixture
def url(tmp_path):
    """The storage of a study with a completed, a failed, a pruned and a running trial."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("filters", [8, 16, 24])
    study = Study(
        StudyStorage(sqlite_url(tmp_path / "study.db")),
        "squeezenets",
        space=KerasTunerSpace(hp.space),
        sampler=make_sampler("random", 0),
        pruner=make_pruner("none", 2),
        directions=["maximize"],
        identity={"data": "digits"},
        inspect=lambda values: {"params": 100 * values["filters"], "metaparameters": values},
    )
    lease = study.next("worker")
    study.report(lease, 1, 0.5)
    study.complete(lease, [0.75], {"val_accuracy": 0.75, "val_loss": 0.5})
    study.fail(study.next("worker"), "it burst")
    study.prune(study.next("worker"), {"epochs": 1})
    study.next("worker")
    study.close()
    return sqlite_url(tmp_path / "study.db")


@pytest.fixture
def server(url):
    """The address of optuna-dashboard's server for that storage."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), url, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    address, until = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    try:
        while True:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < until, "optuna-dashboard did not answer"
            try:
                asked(f"{address}/api/studies")
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        yield address
    finally:
        process.kill()
        process.communicate()


def asked(address):
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)


def test_the_dashboard_shows_a_study(server):
    (summary,) = asked(f"{server}/api/studies")["study_summaries"]
    assert summary["study_name"] == "squeezenets"
    assert summary["directions"] == ["maximize"]
    trials = asked(f"{server}/api/studies/{summary['study_id']}?after=0")["trials"]
    assert [trial["state"] for trial in trials] == ["Complete", "Fail", "Pruned", "Running"]
    assert trials[0]["values"] == [0.75]
    assert trials[0]["intermediate_values"] == [{"step": 1, "value": 0.5}]
    assert trials[0]["params"][0]["name"] == "filters"
    told = {attribute["key"]: attribute["value"] for attribute in trials[1]["user_attrs"]}
    assert "it burst" in told["error"]
    assert json.loads(told["candidate"])["params"] in (800, 1600, 2400)
