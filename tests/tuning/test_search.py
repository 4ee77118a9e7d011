"""Searches: the same seed gives the same trials, a killed search goes on, and failures are failures."""

import csv
import dataclasses
import json
import math

import keras
import numpy as np
import pytest

import keras_blocks
from keras_blocks.tuning import HyperArchitecture, Search, SearchSettings, final, fresh, oracles
from keras_blocks.tuning.search import SearchFailed
from keras_blocks.tuning.settings import TUNERS
from keras_blocks.tuning.trials import Trial, TrialRecord, architectures, best_of


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def searched(run, data, *, resume=False, **settings):
    """The trials of a whole search, and what it did last."""
    search = Search(SearchSettings(data=str(data), **settings), run, resume=resume)
    return search.run(), search.record.trials


def told(trials):
    """What has to be equal in equal searches: all but the time."""
    return [dataclasses.replace(trial, seconds=0.0) for trial in trials]


# -- a search that is really trained --------------------------------------------------------------------------------


def test_all_of_a_search_is_in_its_folder(finished, digits):
    names = {path.name for path in finished.folder.path.iterdir()}
    assert names == {
        "run.json",
        "trials.json",
        "trials.csv",
        "trials.png",
        "best.keras",
        "test.npz",
        "result.json",
        "curves.png",
        "keras_tuner",
    }
    assert not list(finished.folder.path.rglob("*.h5"))  # no weights of trials
    description = json.loads(finished.folder.description.read_text())
    assert description["settings"]["seed"] == 47
    assert description["versions"]["keras"] == keras.__version__
    assert json.loads(finished.folder.result.read_text()) == finished.result
    assert finished.result["trials"] == 2
    for picture in (finished.folder.trials_png, finished.folder.curves_png):
        assert picture.read_bytes().startswith(b"\x89PNG")
    with np.load(finished.folder.test, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["x_test"], digits.x_test[:60])
        np.testing.assert_array_equal(file["y_test"], digits.y_test[:60])
        assert file["class_names"].tolist() == list("0123456789")


def test_the_kept_model_is_the_best_candidate(finished):
    best = finished.search.record.best()
    model = keras.saving.load_model(finished.folder.best)
    assert isinstance(model, keras_blocks.SqueezeNet)
    assert model.count_params() == best.params == finished.result["params"] <= 12_000
    assert model.metaparameters.groups == keras_blocks.SqueezeNet.outline(**best.metaparameters).metaparameters.groups
    with np.load(finished.folder.test) as file:
        predicted = model.predict(file["x_test"], verbose=0).argmax(-1)
        assert (predicted == file["y_test"]).mean() == finished.result["test_accuracy"]


def test_a_fresh_process_agrees(finished):
    found = fresh.evaluate_in_fresh_process(finished.folder.best, finished.folder.test)
    assert found == {name: finished.result[name] for name in ("test_correct", "test_images", "test_accuracy")}


def test_a_fresh_process_that_fails_says_why(finished, monkeypatch):
    monkeypatch.setattr(fresh, "SCRIPT", "import sys; print('first', file=sys.stderr); sys.exit('no such layer')")
    with pytest.raises(fresh.FreshProcessFailed, match="the fresh process failed: no such layer"):
        fresh.evaluate_in_fresh_process(finished.folder.best, finished.folder.test)
    monkeypatch.setattr(fresh, "SCRIPT", "import time; time.sleep(60)")
    with pytest.raises(fresh.FreshProcessFailed, match=r"longer than 0\.1 seconds"):
        fresh.evaluate_in_fresh_process(finished.folder.best, finished.folder.test, timeout=0.1)


def test_a_fresh_process_imports_the_library_alone():
    imported = [line for line in fresh.SCRIPT.splitlines() if "import" in line]
    assert imported == ["import json, sys", "import keras", "import numpy", "import keras_blocks"]


def test_the_same_seed_trains_the_same(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(final, "train_and_keep", lambda *args, **kwargs: kwargs["notes"])
    again = Search(finished.settings, tmp_path / "again")
    again.run()
    assert [trial.values for trial in again.record.trials] == [trial.values for trial in finished.search.record.trials]
    for ours, theirs in zip(again.record.trials, finished.search.record.trials):
        assert ours.val_accuracy == theirs.val_accuracy
        assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-5)


def test_the_table_has_each_trial(finished):
    with finished.folder.trials_csv.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["params"]) for row in rows] == [trial.params for trial in finished.search.record.trials]
    assert {row["drawn: optimizer"] for row in rows} <= {"adamw", "sgd"}


def test_a_finished_search_is_resumed_by_telling_its_result(finished, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(HyperArchitecture, "fit", never)
    again = Search(finished.settings, finished.folder.path, resume=True)
    assert again.run() == finished.result
    assert again.record.trials == finished.search.record.trials


# -- what a search does around its trainings, which take no time here -----------------------------------------------


@pytest.mark.parametrize("tuner", TUNERS)
def test_same_seed_same_trials_and_another_seed_others(tuner, untrained, few_digits, tmp_path):
    # 0 is a seed, not "no seed". KerasTuner's Gaussian process can take half a minute over a trial, and does with 0.
    trials, seed = (4, 1) if tuner == "bayesian" else (7, 0)
    options = {"tuner": tuner, "trials": trials, "epochs": 9}
    one = searched(tmp_path / "one", few_digits, seed=seed, **options)[1]
    same = searched(tmp_path / "same", few_digits, seed=seed, **options)[1]
    assert len(one) == trials
    assert told(one) == told(same)
    if tuner != "grid":  # which draws nothing
        other = searched(tmp_path / "other", few_digits, seed=2, **options)[1]
        assert [trial.values for trial in other] != [trial.values for trial in one]
        assert architectures(one) >= 3


@pytest.mark.parametrize("tuner", TUNERS)
@pytest.mark.parametrize("killed_in", [0, 3, 6])
def test_a_killed_search_goes_on_as_if_it_had_not_been(tuner, killed_in, untrained, few_digits, tmp_path, monkeypatch):
    if tuner == "bayesian":  # whose Gaussian process takes a second for a trial, after the first three
        options, killed_in = {"tuner": tuner, "trials": 4, "seed": 2}, killed_in // 2
    else:
        options = {"tuner": tuner, "trials": 7, "epochs": 9, "seed": 5}
    whole = searched(tmp_path / "whole", few_digits, **options)
    fit = HyperArchitecture.fit
    untrained.clear()

    def dying(self, *args, **kwargs):
        if len(untrained) == killed_in:
            raise Killed
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(HyperArchitecture, "fit", dying)
    with pytest.raises(Killed):
        searched(tmp_path / "killed", few_digits, **options)
    # What a kill leaves: a trial that runs for ever, a torn state of KerasTuner, and a half-written file.
    statuses = [json.loads(path.read_text())["status"] for path in (tmp_path / "killed").rglob("trial.json")]
    assert statuses.count("RUNNING") == 1
    oracle = tmp_path / "killed" / "keras_tuner" / "oracle.json"
    oracle.write_text(oracle.read_text()[:100])
    (tmp_path / "killed" / ".part-trials.json").write_text("[")
    monkeypatch.setattr(HyperArchitecture, "fit", fit)
    resumed = searched(tmp_path / "killed", few_digits, resume=True, **options)
    assert resumed[0] == whole[0]
    assert told(resumed[1]) == told(whole[1])
    assert len(untrained) == options["trials"]  # each trial was trained once


def test_hyperband_gives_the_better_ones_more_epochs(untrained, few_digits, tmp_path):
    _, trials = searched(tmp_path / "run", few_digits, tuner="hyperband", epochs=9, seed=2)
    promoted = [trial for trial in trials if "tuner/trial_id" in trial.values]
    assert {trial.epochs for trial in trials} == {1, 3, 9}
    assert promoted
    for trial in promoted:
        parent = trials[int(trial.values["tuner/trial_id"])]
        assert trial.epochs > parent.epochs
        assert trial.metaparameters == parent.metaparameters


@pytest.mark.parametrize("tuner", TUNERS)
def test_candidates_above_the_limit_are_drawn_again(tuner, untrained, few_digits, tmp_path):
    # A grid begins with the smallest models, and comes to larger ones after 24 trials.
    trials = {"grid": 30, "bayesian": 4}.get(tuner, 8)
    options = {"tuner": tuner, "trials": trials, "epochs": 9, "seed": 1}
    _, free = searched(tmp_path / "free", few_digits, **options)
    limit = sorted(trial.params for trial in free)[1]
    _, bound = searched(tmp_path / "bound", few_digits, max_params=limit, **options)
    assert len(bound) == trials
    assert max(trial.params for trial in bound) <= limit < max(trial.params for trial in free)
    for trial in bound:
        assert keras_blocks.cost(keras_blocks.SqueezeNet, **trial.metaparameters).params == trial.params


@pytest.mark.parametrize("tuner", ["random", "grid"])
def test_a_limit_that_nothing_meets_is_named(tuner, untrained, few_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(oracles, "MOST_DRAWS", 100)
    with pytest.raises(SearchFailed, match=r"no candidate has 100 parameters or fewer; the smallest one drawn has \d+"):
        searched(tmp_path / "run", few_digits, tuner=tuner, max_params=100)
    assert not untrained


@pytest.mark.parametrize("error", [MemoryError("no memory"), ValueError("bad")])
def test_a_trial_that_raises_fails_and_the_search_goes_on(error, untrained, few_digits, tmp_path, monkeypatch, capsys):
    fit = HyperArchitecture.fit
    calls = []

    def sometimes(self, *args, **kwargs):
        calls.append(1)
        if len(calls) in (2, 3):
            raise error
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(HyperArchitecture, "fit", sometimes)
    _, trials = searched(tmp_path / "run", few_digits, trials=5)
    assert [trial.status for trial in trials] == ["completed", "failed", "failed", "completed", "completed"]
    assert trials[1].error == f"{type(error).__name__}: {error}"
    assert trials[1].val_accuracy is None
    assert "Traceback" not in capsys.readouterr().out
    json.loads((tmp_path / "run" / "trials.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_diverged_trial_is_never_the_best(bad, few_digits, tmp_path, monkeypatch):
    """Its accuracy is as good as any, only its loss tells."""
    from keras_blocks.tuning import training

    histories = []

    class Model:
        def fit(self, *args, **kwargs):
            loss = bad if len(histories) % 2 else 0.5
            history = keras.callbacks.History()
            history.history = {"loss": [loss], "val_loss": [loss], "val_accuracy": [0.9 if loss == bad else 0.1]}
            histories.append(history)
            return history

    monkeypatch.setattr(training, "compiled", lambda *args, **kwargs: Model())
    monkeypatch.setattr(final, "train_and_keep", lambda *args, **kwargs: kwargs["notes"])
    result, trials = searched(tmp_path / "run", few_digits, trials=4, epochs=1)
    assert [trial.status for trial in trials] == ["completed", "failed"] * 2
    assert "diverged" in trials[1].error
    assert result["trial"] in (0, 2)


def test_a_search_in_which_all_fails_ends_early(untrained, few_digits, tmp_path, monkeypatch):
    def failing(self, *args, **kwargs):
        untrained.append(1)
        raise ValueError("the data are odd")

    monkeypatch.setattr(HyperArchitecture, "fit", failing)
    with pytest.raises(SearchFailed, match="5 trials failed, the last ones in a row: ValueError: the data are odd"):
        searched(tmp_path / "run", few_digits, trials=20)
    assert len(untrained) == 5


def test_resume_refuses_what_would_not_compare(untrained, few_digits, tmp_path, monkeypatch):
    run = tmp_path / "run"
    options = {"trials": 3, "epochs": 2, "seed": 4}
    searched(run, few_digits, **options)
    for change, message in (
        ({"epochs": 3}, "epochs=2 there and 3 here"),
        ({"seed": 0}, "seed=4 there and 0 here"),
        ({"max_params": 10**9}, "max_params=None there and 1000000000 here"),
    ):
        with pytest.raises(ValueError, match=message):
            searched(run, few_digits, resume=True, **{**options, **change})
    monkeypatch.setattr(HyperArchitecture, "activations", ("relu",))
    with pytest.raises(ValueError, match="the search space"):
        searched(run, few_digits, resume=True, **options)
    monkeypatch.undo()
    with np.load(few_digits) as file:
        arrays = dict(file)
    changed = tmp_path / few_digits.name
    np.savez(changed, **{**arrays, "x_train": arrays["x_train"][::-1], "y_train": arrays["y_train"][::-1]})
    description = json.loads((run / "run.json").read_text())
    description["settings"]["data"] = str(changed)
    (run / "run.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="the images or labels"):
        searched(run, changed, resume=True, **options)


def test_resume_refuses_a_torn_record(untrained, few_digits, tmp_path):
    searched(tmp_path / "run", few_digits, trials=2)
    (tmp_path / "run" / "trials.json").write_text("[{")
    with pytest.raises(ValueError, match=r"trials\.json cannot be read"):
        searched(tmp_path / "run", few_digits, trials=2, resume=True)


def test_nothing_is_left_where_the_settings_are_wrong(tmp_path):
    with pytest.raises(ValueError, match="`data`"):
        Search(SearchSettings(data="digts"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "squezenet"}, r"`model` .*'squezenet'.*Did you mean 'squeezenet'"),
        ({"tuner": "randm"}, r"`tuner` .*Did you mean 'random'"),
        ({"trials": 0}, "`trials`"),
        ({"trials": 2.0}, "`trials`"),
        ({"epochs": None}, "`epochs`"),
        ({"final_epochs": 0}, "`final_epochs`"),
        ({"max_params": -1}, "`max_params`"),
        ({"seed": -1}, "`seed`"),
        ({"seed": True}, "`seed`"),
        ({"image_size": (1, 2, 3)}, "`image_size`"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SearchSettings(**settings)


def trial(number, accuracy, loss=0.5, params=10):
    status = "failed" if accuracy is None else "completed"
    return Trial(number, status, {}, {"params": params}, {}, params, 1, 1, 0.1, accuracy, accuracy and loss)


def test_the_best_trial():
    assert best_of([]) is None
    assert best_of([trial(0, None)]) is None
    assert best_of([trial(0, 0.5), trial(1, 0.9), trial(2, None), trial(3, 0.7)]).number == 1
    assert best_of([trial(0, 0.9, loss=0.4), trial(1, 0.9, loss=0.3), trial(2, 0.9, loss=0.3)]).number == 1
    assert architectures([trial(0, 0.1, params=1), trial(1, 0.2, params=1), trial(2, 0.2, params=2)]) == 2


def test_a_record_takes_numpy_values_and_finds_its_trials(tmp_path):
    record = TrialRecord(tmp_path / "trials.json", tmp_path / "trials.csv")
    values = {"filters": np.int64(8), "rate": np.float64(0.1), "bypass": "none"}
    record.add(dataclasses.replace(trial(1, 0.5), values=values))
    record.add(trial(0, 0.4))
    again = TrialRecord(tmp_path / "trials.json", tmp_path / "trials.csv")
    assert [item.number for item in again.trials] == [0, 1]
    assert again.find(1, values).val_accuracy == 0.5
    assert again.find(0, values) is None
    assert again.find(1, {**values, "filters": 16}) is None
