"""A published hypermodel is searched unchanged, by the command line, and survives kill -9."""

import contextlib
import csv
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time

import keras
import psutil
import pytest
from thorough import run_all
from typer.testing import CliRunner

from keras_blocks.tuning.storage.store import quiet_optuna, sqlite_url, stored_study
from keras_blocks.tuning.storage.trial import Trial

pytestmark = pytest.mark.once

HERE = str(pathlib.Path(__file__).parent)


def arguments(run, module, space, data, objective, **options):
    options = {"trials": 3, "epochs": 2, "final-epochs": 1, "sampler": "random", **options}
    told = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    places = ("--space", f"published.{module}:{space}", "--data", f"published.{module}:{data}")
    return ["search", *places, "--objective", objective, "--run", str(run), *told]


def completed_in(run):
    """How many trials are done, as the study's file says, which is only read."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{run / 'study.db'}?mode=ro", uri=True)) as study:
            return study.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0]
    except sqlite3.OperationalError:
        return 0  # there is no study yet


def trials_of(run):
    with quiet_optuna(), stored_study(run.name, sqlite_url(run / "study.db")) as study:
        return [Trial.of(frozen) for frozen in study.get_trials(deepcopy=False)]


def killed(command, run, done=1):
    """Starts a search, and ends it and all that it has started by kill -9 when so many trials are done."""
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}"}
    started = subprocess.Popen([sys.executable, "-m", "keras_blocks.tuning.cli", *command], env=environment)
    try:
        for _ in range(6000):
            time.sleep(0.1)
            if started.poll() is not None or completed_in(run) >= done:
                break
    finally:
        family = [psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)]
        for process in family:
            process.send_signal(signal.SIGKILL)
        started.wait()
    assert started.returncode == -signal.SIGKILL


SEARCHES = [
    ("getting_started", "MyHyperModel", "digits", "val_accuracy", {"max-params": 9000}),
    ("getting_started", "build_model", "digits", "val_loss:min", {"max-params": 9000}),
    ("getting_started", "HyperRegressor", "numbers", "mean_absolute_error:min", {}),
    ("custom_training_loop", "MyHyperModel", "images", "my_metric:min", {}),
]
SEARCHES = SEARCHES if run_all() else SEARCHES[2:3]  # half a minute each; the one whose objective is a user's own
KILLED = run_all()
"""Whether it is: two processes more that import Keras. That a search goes on is in test_search.py, too."""


@pytest.mark.parametrize(("module", "space", "data", "objective", "options"), SEARCHES, ids=lambda item: str(item)[:20])
def test_a_published_search_runs_and_goes_on_where_it_was_killed(
    module, space, data, objective, options, tmp_path, eager
):
    from keras_blocks.tuning.cli import app

    run = tmp_path / "published"
    command = arguments(run, module, space, data, objective, **options)
    before = []
    if KILLED:
        killed(command, run)
        before = [trial for trial in trials_of(run) if trial.completed]
        assert before
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    result = json.loads((run / "result.json").read_text())
    trials = {trial.number: trial for trial in trials_of(run)}
    for trial in before:  # nothing is done twice
        assert trials[trial.number] == trial
    completed = [trial for trial in trials.values() if trial.completed]
    assert len(completed) == result["trials_completed"] == 3
    assert len({str(sorted(trial.values.items())) for trial in completed}) == 3
    assert all(trial.params <= 9000 for trial in completed if "max-params" in options)
    name = objective.partition(":")[0]
    assert name in result["metrics"] and result["objective"] == name
    assert keras.saving.load_model(run / "best.keras").count_params() == result["params"]
    with (run / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(row[name] for row in rows if row["status"] == "completed")
    assert "drawn: units" in rows[0] or "drawn: units_0" in rows[0]
    assert name.replace("val_", "validation ").replace("_", " ")[:10] in (run / "report.html").read_text().replace(
        "_", " "
    )
    if space == "MyHyperModel":  # what `fit` alone asks for is drawn after the first trial
        assert all({"normalize", "shuffle"} <= {*trial.values} for trial in completed if module == "getting_started")
