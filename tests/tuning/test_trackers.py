"""Trainings are logged to TensorBoard and to MLflow, go on in their logs, and reach nothing that was not named."""

import os

import keras
import numpy as np
import pytest

from keras_blocks.tuning import SearchSettings
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.trials import tasks, trackers
from keras_blocks.tuning.trials.protocol import Setup, TrialRequest

pytestmark = pytest.mark.once

VALUES = {"units": 4, "rate": 0.1}


@pytest.fixture
def model():
    made = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse", run_eagerly=True)
    return made


def fit(model, callbacks, begin, end):
    x = np.ones((4, 2), "float32")
    model.fit(x, x[:, :1], initial_epoch=begin, epochs=end, verbose=0, callbacks=callbacks)


def no_note(text):
    raise AssertionError(text)


def test_tensorboard_has_a_folder_for_each_training(model, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = trackers.tracker_of("tensorboard", None, tmp_path / "run")
    trackers.check(tracker)
    for begin, end in ((0, 2), (2, 3)):  # interrupted after two epochs
        with trackers.tracked(tracker, "trial-3", VALUES, no_note) as callbacks:
            fit(model, callbacks, begin, end)
    found = tmp_path / "run" / "tracker" / "trial-3" / "train"
    steps = []
    for path in sorted(found.iterdir()):  # each process writes a file of its own; TensorBoard shows one curve
        events = EventAccumulator(str(path)).Reload()
        assert "epoch_loss" in events.Tags()["tensors"]
        steps += [event.step for event in events.Tensors("epoch_loss")]
    assert steps == [0, 1, 2]
    assert trackers.shown(tracker) == f"tensorboard --logdir {tmp_path / 'run' / 'tracker'}"


@pytest.mark.filterwarnings("ignore")  # those of MLflow's own modules
def test_mlflow_has_a_run_for_each_training(model, tmp_path, monkeypatch):
    for package in trackers.NEEDS["mlflow"]:
        pytest.importorskip(package, reason="the extra mlflow is not installed here")
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere.invalid:5000")  # not named to the search
    monkeypatch.chdir(tmp_path)
    tracker = trackers.tracker_of("mlflow", None, tmp_path / "run")
    for begin, end in ((0, 2), (2, 3)):
        with trackers.tracked(tracker, "trial-3", VALUES, no_note) as callbacks:
            fit(model, callbacks, begin, end)
    with pytest.raises(KeyError), trackers.tracked(tracker, "trial-4", VALUES, no_note):
        raise KeyError
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    client = mlflow.MlflowClient(tracker["at"])
    experiment = client.get_experiment_by_name("run")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in runs.items()} == {"trial-3": "FINISHED", "trial-4": "FAILED"}
    assert runs["trial-3"].data.params["units"] == "4"
    logged = client.get_metric_history(runs["trial-3"].info.run_id, "loss")
    assert sorted({metric.step for metric in logged}) == [0, 1, 2]
    assert trackers.shown(tracker).startswith("mlflow ui --backend-store-uri sqlite:///")


def test_a_log_that_cannot_be_written_takes_nothing_from_a_training(model, tmp_path, monkeypatch):
    notes = []

    def broken(*args):
        raise ConnectionError("no route")

    monkeypatch.setattr(trackers, "_callbacks", broken)
    tracker = trackers.tracker_of("tensorboard", None, tmp_path / "run")
    with trackers.tracked(tracker, "trial-3", VALUES, notes.append) as callbacks:
        fit(model, callbacks, 0, 1)
    assert callbacks == [] and notes == ["trial-3 is not logged: ConnectionError: no route"]


@pytest.mark.parametrize(
    ("name", "at", "error", "message"),
    [
        (None, "logs", ValueError, "`tracker_at` must be left out without a `tracker`"),
        ("tensorboard", "http://host", ValueError, "`tracker_at` must be a folder"),
        ("mlflow", "https://me:secret@host", ValueError, "must hold no password"),
        (
            "tensorboard",
            None,
            ImportError,
            r"tensorboard needs gone, .* pip install 'keras-blocks\[tensorflow,tuning\]'",
        ),
        ("mlflow", None, ImportError, r"mlflow needs gone, .* pip install 'keras-blocks\[mlflow\]'"),
    ],
)
def test_what_cannot_be_logged_to(name, at, error, message, tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "NEEDS", {"tensorboard": ("gone",), "mlflow": ("gone",)})
    with pytest.raises(error, match=message):
        trackers.tracker_of(name, at, tmp_path / "run")


def test_a_folder_gets_a_database_of_mlflows_unless_it_has_plain_files(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "NEEDS", {"mlflow": ()})
    logs = tmp_path / "logs"
    assert trackers.tracker_of("mlflow", str(logs), tmp_path / "run")["at"] == f"sqlite:///{logs / 'mlflow.db'}"
    (logs / "0").mkdir(parents=True)
    (logs / "0" / "meta.yaml").write_text("")
    assert trackers.tracker_of("mlflow", str(logs), tmp_path / "run")["at"] == str(logs)


@pytest.mark.filterwarnings("ignore")  # those of MLflow's own modules
def test_mlflow_logs_to_a_folder_that_is_named(model, tmp_path):
    for package in trackers.NEEDS["mlflow"]:
        pytest.importorskip(package, reason="the extra mlflow is not installed here")
    tracker = trackers.tracker_of("mlflow", str(tmp_path / "logs"), tmp_path / "run")
    trackers.check(tracker)
    with trackers.tracked(tracker, "trial-3", VALUES, no_note) as callbacks:
        fit(model, callbacks, 0, 1)
    assert (tmp_path / "logs" / "mlflow.db").is_file() and not (tmp_path / "mlruns").exists()


def test_what_a_trial_is_told_has_its_own_log(tmp_path):
    tracker = trackers.tracker_of("tensorboard", str(tmp_path / "logs"), tmp_path / "run")
    own = tasks.UserSettings.of(Setup("digits", 0, None, "", [], tracker=tracker))
    request = TrialRequest(7, {"metaparameters": {"units": 4}, "hyperparameters": {}}, "", 1, "", 0, "", "")
    for folds, name in ((None, "trial-7"), ([{}], "trial-7-fold-1")):
        with tasks._trial_options(request, own, folds, None, no_note) as options:
            assert [callback.log_dir for callback in options["callbacks"]] == [str(tmp_path / "logs" / name)]


def test_a_run_with_logs_is_replaced_whole(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create({"kind": "search"})
    inner = tmp_path / "run" / "tracker" / "trial-0" / "train"
    inner.mkdir(parents=True)
    (inner / "events").write_text("")
    folder.create({"kind": "search"}, replace=True)
    assert [path.name for path in folder.path.iterdir()] == ["run.json"]
    (tmp_path / "elsewhere").mkdir()
    (folder.path / "tracker").mkdir()
    for link in ("tracker/trial-0", "tracker"):
        (folder.path / link).symlink_to(tmp_path / "elsewhere")
        for touch in (folder.describe, lambda: folder.replaceable(replace=True)):
            with pytest.raises(ValueError, match="tracker"):
                touch()
        (folder.path / link).unlink()
        (folder.path / "tracker").rmdir() if (folder.path / "tracker").exists() else None


def test_a_server_that_is_lost_at_the_end_takes_nothing_from_a_search(monkeypatch):
    monkeypatch.setattr(trackers, "_experiment", lambda tracker: (_ for _ in ()).throw(ConnectionError("refused")))
    assert trackers.shown({"name": "mlflow", "at": "http://host:5000"}) == "http://host:5000"


def test_what_a_study_says_is_logged_to_nowhere():
    stored = {**vars(SearchSettings(tracker="mlflow", tracker_at="https://somebody")), "objectives": ["val_loss"]}
    assert SearchSettings.of(stored, tracker=None, tracker_at=None).tracker is None
    assert "tracker" not in SearchSettings().identity()  # a search that goes on may have another
