"""A run on a user's own data: evaluated on them when they are named again, and told without what it has not."""

import json
import sys

import keras
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from keras_blocks.tuning.cli import app
from keras_blocks.tuning.objectives import objective_named
from keras_blocks.tuning.report.terminal import trials_table
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.trial import Trial

HERE = __name__


def numbers():
    part = np.ones((4, 3), "float32"), np.full((4, 1), 2.0, "float32")
    return part, part, part


def without_test():
    return numbers()[:2]


def other_shapes():
    part = np.ones((4, 5), "float32"), np.ones((4, 1), "float32")
    return part, part, part


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "own")
    folder.create({"kind": "search", "settings": {"data": f"{HERE}:numbers"}})
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    folder.save_model(model)
    uncompiled = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    uncompiled.save(folder.path.parent / "uncompiled.keras")
    return folder.path


def told(*command):
    result = CliRunner().invoke(app, ["evaluate", *map(str, command)])
    return result.exit_code, " ".join(result.output.split())


def test_it_is_evaluated_on_data_that_are_named_again(run):
    code, text = told(run, "--data", f"{HERE}:numbers")
    assert code == 0, text
    assert "loss 1" in text and "mae 1" in text and text.endswith("mae 1")  # 3 for 2
    assert f"on {HERE}:numbers:" in text


def test_no_code_runs_because_a_file_says_so(run, monkeypatch):
    monkeypatch.delitem(sys.modules, HERE)
    code, text = told(run)
    assert code == 2 and f"`data` must be given again: --data {HERE}:numbers, if it is yours" in text
    assert HERE not in sys.modules


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("without_test", "must return a test part, (train, validation, test)"),
        ("other_shapes", "cannot be evaluated on the test part"),
        ("gone", "has no 'gone'"),
        ("HERE", "must be a function that returns the data; it is str"),
    ],
)
def test_data_that_it_cannot_be_evaluated_on(run, data, message):
    code, text = told(run, "--data", f"{HERE}:{data}")
    assert code == 2 and message in text and "Arguments received" not in text


def test_a_model_without_metrics(run):
    code, text = told(run.parent / "uncompiled.keras", "--data", f"{HERE}:numbers")
    assert code == 2 and "was saved without `compile`" in text


@pytest.mark.parametrize(
    ("name", "value"), [("data", f"{HERE}:numbers"), ("callbacks", f"{HERE}:numbers"), ("tracker_at", "http://host")]
)
def test_own_functions_and_places_are_named_again_to_go_on(name, value, run, tmp_path):
    folder = RunFolder(tmp_path / "begun")
    about = {"run": "0" * 32, "study": "begun", "storage": None, "backend": "tensorflow", "versions": {}}
    folder.create({"kind": "search", "settings": {name: value}, **about})
    result = CliRunner().invoke(app, ["search", "--run", str(folder), "--resume"])
    text = " ".join(result.output.split())
    assert result.exit_code == 2 and f"`{name}` must be given again: --{name.replace('_', '-')} {value}" in text


def test_a_table_has_no_column_that_would_be_empty():
    def shown(**about):
        trial = Trial(0, Status.COMPLETED, {}, objectives=(0.5,), **about)
        console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        console.print(trials_table([trial], trial, [objective_named("val_mae:min")]))
        console.file.close()
        return console.export_text()

    assert "accuracy" not in shown() and "mae" in shown()
    assert "accuracy" in shown(val_accuracy=0.5)


def test_json_of_the_run_is_as_it_was(run):
    assert json.loads((run / "run.json").read_text())["kind"] == "search"
