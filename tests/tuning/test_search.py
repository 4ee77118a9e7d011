"""Searches: the same seed gives the same trials, a killed search goes on, and failures are failures."""

import csv
import dataclasses
import errno
import functools
import json
import re
import signal
import subprocess
import sys
import time

import fake_child
import keras
import numpy as np
import psutil
import pytest
from thorough import run_all

import keras_blocks
from keras_blocks.tuning import HyperSqueezeNet, Search, SearchSettings, hp_range
from keras_blocks.tuning.run_folder import RunFolder, RunIsHeld
from keras_blocks.tuning.search.progress import NoProgress
from keras_blocks.tuning.search.search import SearchFailed
from keras_blocks.tuning.search.session import Session
from keras_blocks.tuning.spaces.budget import inspected
from keras_blocks.tuning.storage.trial import Trial, architectures
from keras_blocks.tuning.study.study import Study
from keras_blocks.tuning.training.evaluation import FRESH_SCRIPT, FreshProcessFailed, evaluate_in_fresh_process
from keras_blocks.tuning.trials.protocol import FinalRequest, TrialRequest
from keras_blocks.tuning.trials.supervisor import Supervisor

pytestmark = pytest.mark.usefixtures("unreported")


class Notes(NoProgress):
    """Progress that remembers."""

    def __init__(self):
        self.notes, self.most, self.limits = [], 0, []

    def note(self, text):
        self.notes.append(text)

    def update(self, trials, **limits):
        self.limits.append(limits)
        self.most = max(self.most, sum(trial.status == "running" for trial in trials))


def searched(run, data, *, space=None, progress=None, session=Session, **settings):
    """The result of a whole search, and its trials."""
    settings = SearchSettings(data=str(data), **{"sampler": "random", **settings})
    search = Search(settings, run, space=space, session=functools.partial(session, look_seconds=0.2))
    try:
        return search.run(progress), search.trials
    finally:
        search.close()


def told(trials):
    """What has to be equal in equal searches: all but times and workers."""
    return [
        dataclasses.replace(trial, seconds=0.0, began=0, ended=0, worker="", attempt=1, latency=None)
        for trial in trials
    ]


# -- a search that is really trained --------------------------------------------------------------------------------


def test_all_of_a_search_is_in_its_folder(finished, digits):
    best = finished.search.study.trials()[finished.result["trial"]]
    found = {str(path.relative_to(finished.folder.path)) for path in finished.folder.path.rglob("*") if path.is_file()}
    assert {name for name in found if not name.startswith("study.db")} == {
        "run.json",
        "final.npz.lock",
        "trials.csv",
        "report.html",
        "best.keras",
        "test.npz",
        "result.json",
        "logs/worker0.log",
        f"models/{best.number}.keras",
    }
    description = json.loads(finished.folder.description.read_text())
    assert description["settings"]["seed"] == 1
    assert description["versions"]["keras"] == keras.__version__
    assert json.loads(finished.folder.result.read_text()) == finished.result
    assert finished.result["trials"] == 2
    assert finished.result["ended"] == "all 2 trials are done"
    page = finished.folder.report.read_text(encoding="utf-8")
    assert "The training of the model that is kept" in page
    assert f"{finished.result['test_correct']} of 60 images" in page
    with np.load(finished.folder.test, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["x_test"], digits.x_test[:60])
        np.testing.assert_array_equal(file["y_test"], digits.y_test[:60])
        assert file["class_names"].tolist() == list("0123456789")


def test_the_kept_model_is_the_best_candidate(finished):
    best = finished.search.best
    model = keras.saving.load_model(finished.folder.best)
    assert isinstance(model, keras_blocks.SqueezeNet)
    assert model.count_params() == best.params == finished.result["params"] <= 12_000
    assert model.metaparameters.groups == keras_blocks.SqueezeNet.outline(**best.metaparameters).metaparameters.groups
    with np.load(finished.folder.test) as file:
        predicted = model.predict(file["x_test"], verbose=0).argmax(-1)
        assert (predicted == file["y_test"]).mean() == finished.result["test_accuracy"]


def test_the_best_trials_own_model_is_kept(finished, few_digits):
    best = finished.search.best
    model = keras.saving.load_model(finished.folder.model(best.number))
    data = finished.search.dataset
    accuracy = (model.predict(data.x_val, verbose=0).argmax(-1) == data.y_val).mean()
    assert accuracy == pytest.approx(best.val_accuracy, abs=1e-6)


@pytest.mark.skipif(not run_all(), reason="a search evaluates what it keeps in a fresh process itself")
def test_a_fresh_process_agrees(finished):
    found = evaluate_in_fresh_process(finished.folder.best, finished.folder.test)
    assert found == {name: finished.result[name] for name in ("test_correct", "test_images", "test_accuracy")}


def test_a_fresh_process_that_fails_says_why(finished):
    paths = finished.folder.best, finished.folder.test
    fails = "import sys; print('first', file=sys.stderr); sys.exit('no such layer')"
    with pytest.raises(FreshProcessFailed, match="the fresh process failed: no such layer"):
        evaluate_in_fresh_process(*paths, script=fails)
    with pytest.raises(FreshProcessFailed, match=r"longer than 0\.1 seconds"):
        evaluate_in_fresh_process(*paths, timeout=0.1, script="import time; time.sleep(60)")


def test_a_fresh_process_imports_the_library_alone():
    imported = [line for line in FRESH_SCRIPT.splitlines() if "import" in line]
    assert imported == ["import json, sys", "import keras", "import numpy", "import keras_blocks"]


def test_the_table_has_each_trial(finished):
    with finished.folder.trials_csv.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["params"]) for row in rows] == [trial.params for trial in finished.search.trials]
    assert all(row["status"] in ("completed", "refused", "duplicate") for row in rows)


def test_a_finished_search_tells_its_result_again(finished, untrained):
    again = Search(finished.settings, finished.folder.path)
    assert again.run() == finished.result
    assert again.trials == finished.search.trials
    again.close()


# -- what a search does around its trainings, which take no time here -----------------------------------------------


def test_same_seed_same_trials_and_another_seed_others(untrained, few_digits, tmp_path):
    one = searched(tmp_path / "one", few_digits, trials=5, seed=0)[1]
    same = searched(tmp_path / "same", few_digits, trials=5, seed=0)[1]
    other = searched(tmp_path / "other", few_digits, trials=5, seed=2)[1]
    assert told(one) == told(same)
    assert [trial.values for trial in other] != [trial.values for trial in one]
    assert architectures(one) >= 3


def test_two_workers_find_what_one_finds(untrained, few_digits, tmp_path):
    progress = Notes()
    alone, ours = searched(tmp_path / "alone", few_digits, trials=6, seed=3)
    shared, theirs = searched(tmp_path / "shared", few_digits, trials=6, seed=3, workers=2, progress=progress)
    assert told(ours) == told(theirs)
    assert alone == shared
    assert len({trial.worker for trial in theirs}) == 2


def test_a_search_that_is_given_more_trials_goes_on(untrained, few_digits, tmp_path):
    whole = searched(tmp_path / "whole", few_digits, trials=7)[1]
    first = searched(tmp_path / "parts", few_digits, trials=3)
    more = searched(tmp_path / "parts", few_digits, trials=7)
    assert first[0]["trials"] == 3
    assert told(more[1]) == told(whole)
    assert json.loads((tmp_path / "parts" / "run.json").read_text())["settings"]["trials"] == 7


SEARCHING = """
import sys, pathlib
from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.trials import supervisor
supervisor.COMMAND = sys.argv[3:]
search = Search(SearchSettings(data=sys.argv[2], trials=6, sampler="random", seed=5, workers=2), sys.argv[1])
pathlib.Path(sys.argv[1], "logs").mkdir(exist_ok=True)
pathlib.Path(sys.argv[1], "logs", "started.log").touch()
search.run()
"""


def test_a_search_that_is_killed_goes_on_as_if_it_had_not_been(untrained, few_digits, tmp_path):
    """kill -9, while two trials run."""
    slow = (*fake_child.COMMAND, "--sleep", "0.3")
    killed = subprocess.Popen([sys.executable, "-c", SEARCHING, str(tmp_path / "killed"), str(few_digits), *slow])
    for _ in range(1200):
        if len(list((tmp_path / "killed" / "checkpoints").glob("*.npz"))) == 2:
            break
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    result, trials = searched(tmp_path / "killed", few_digits, trials=6, seed=5, workers=2)
    whole, ours = searched(tmp_path / "whole", few_digits, trials=6, seed=5)
    assert [trial.status for trial in trials] == ["completed"] * 6
    assert [trial.attempt for trial in trials].count(2) == 2
    assert told(trials) == told(ours)
    assert result == whole
    assert not list((tmp_path / "killed" / "checkpoints").glob("*"))


def test_a_search_that_runs_is_not_replaced(untrained, few_digits, tmp_path):
    """Others may join it; its study and its files are not taken away under it."""
    settings, found = SearchSettings(data=str(few_digits), trials=2, sampler="random"), []

    class Meanwhile(NoProgress):
        def update(self, *args, **kwargs):
            if not found:
                found.append((tmp_path / "run" / "study.db").read_bytes())
                with pytest.raises(RunIsHeld, match="another process works in"):
                    Search(settings, tmp_path / "run", replace=True)
                found.append((tmp_path / "run" / "study.db").exists())
                with RunFolder(tmp_path / "run").held(together=True):
                    pass

    search = Search(settings, tmp_path / "run")
    assert search.run(Meanwhile())["trials_completed"] == 2 and found[1]
    search.close()
    Search(settings, tmp_path / "run", replace=True).close()


def test_only_the_best_models_are_kept(untrained, few_digits, tmp_path):
    _, trials = searched(tmp_path / "run", few_digits, trials=8, keep=3)
    best = sorted(trials, key=lambda trial: -trial.val_accuracy)[:3]
    kept = {int(path.stem) for path in (tmp_path / "run" / "models").iterdir()}
    assert kept == {trial.number for trial in best}
    assert searched(tmp_path / "run", few_digits, trials=8, keep=2)[1] == trials  # fewer now, and none is trained
    assert {int(path.stem) for path in (tmp_path / "run" / "models").iterdir()} == {trial.number for trial in best[:2]}


def test_a_model_that_is_written_but_not_yet_told_of_stays():
    running = Trial(3, "running", {})
    trials = [trial(0, 0.5), trial(1, 0.9), trial(2, 0.7), running]
    assert SearchSettings(data="digits", keep=2).kept_numbers(trials) == [1, 2, 3]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_candidates_above_the_budget_are_never_built(sampler, untrained, few_digits, tmp_path):
    _, free = searched(tmp_path / "free", few_digits, trials=6, sampler=sampler)
    limits = {"max_params": sorted(trial.params for trial in free)[2], "max_macs": sorted(t.macs for t in free)[3]}
    _, bound = searched(tmp_path / "bound", few_digits, trials=6, sampler=sampler, **limits)
    counted = [trial for trial in bound if trial.counted]
    assert len(counted) == 6
    assert all(trial.params <= limits["max_params"] and trial.macs <= limits["max_macs"] for trial in counted)
    refused = [trial for trial in bound if trial.status == "refused"]
    assert refused
    assert all("are more than" in trial.error and trial.worker is None for trial in refused)
    for trial in counted:
        assert keras_blocks.cost(keras_blocks.SqueezeNet, **trial.metaparameters).params == trial.params


def test_a_budget_that_nothing_meets_is_named(untrained, few_digits, tmp_path):
    session = functools.partial(Session, study=functools.partial(Study, random_draws=20))
    with pytest.raises(SearchFailed, match=r"no candidate within the budget .* parameters are more than 100"):
        searched(tmp_path / "run", few_digits, session=session, max_params=100)


def test_what_goes_wrong_in_a_trial_ends_that_trial_alone(untrained, few_digits, tmp_path):
    acts = ("train", "die once", "fail", "segfault", "nan", "die", "exit", "invalid")

    def acting(candidate, *args):
        act = acts[candidate.metaparameters["groups"][0]["filters"][0] % 8]
        if act == "invalid":
            return inspected(dataclasses.replace(candidate, metaparameters={"groups": []}), *args)
        found = inspected(candidate, *args)
        return {**found, "metaparameters": {**found["metaparameters"], "act": act}}

    drawn = {"filters": list(range(8, 16)), "dropout": [0.0, 0.2]}
    fixed = {"groups": 1, "group1_blocks": 1, "growth": 1.0, "bypass": None, "expand_ratio": 2, "activation": "relu"}
    how = {"weight_decay": 0.0, "batch_size": 32, "augmentation": "none", "optimizer": "sgd", "learning_rate": 0.1}
    space = HyperSqueezeNet((8, 8, 1), 10, **drawn, **fixed, **how)
    session = functools.partial(Session, inspect=acting, study=functools.partial(Study, most_failures=100))
    _, trials = searched(tmp_path / "run", few_digits, space=space, trials=99, sampler="grid", session=session)
    ended = {}
    for trial in trials:
        if trial.status != "duplicate":
            act = acts[trial.values["filters"] % 8]
            ended.setdefault(act, []).append((trial.status, trial.error))
    killed = "the process that trains it was ended by SIGKILL, as the system does when memory runs out"
    assert ended["train"] == ended["die once"] == [("completed", None)] * 2
    assert ended["fail"] == [("failed", "ValueError: bad")] * 2
    assert ended["segfault"] == [("failed", "the process that trains it was ended by SIGSEGV")] * 2
    assert ended["nan"] == [("failed", "`objectives`: this trial's 'val_accuracy' must be finite; it came to nan.")] * 2
    assert ended["die"] == [("failed", killed)] * 2
    assert ended["exit"] == [("failed", "the process that trains it ended with code 3: the last words")] * 2
    assert all(status == "refused" and error.startswith("invalid: `groups`") for status, error in ended["invalid"])
    assert sum(trial.counted for trial in trials) == 14


def test_a_search_in_which_all_fails_ends_early(untrained, few_digits, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_blocks.tuning.trials.supervisor.COMMAND", (*fake_child.COMMAND, "--act", "fail"))
    with pytest.raises(SearchFailed, match="the last 5 trials failed, the last one: ValueError: bad"):
        searched(tmp_path / "run", few_digits, trials=20)


def test_a_full_disk_ends_the_search_with_what_it_has(untrained, few_digits, tmp_path, monkeypatch):
    full = tmp_path / "full"
    command = (*fake_child.COMMAND, "--full-where", str(full))
    monkeypatch.setattr("keras_blocks.tuning.trials.supervisor.COMMAND", command)
    searched(tmp_path / "run", few_digits, trials=2)
    full.touch()
    with pytest.raises(SearchFailed, match=r"the disk is full\. .*the best of its trials so far is \d.*start the same"):
        searched(tmp_path / "run", few_digits, trials=4)
    full.unlink()
    _, trials = searched(tmp_path / "run", few_digits, trials=4)
    assert [trial.status for trial in trials] == ["completed"] * 4


@pytest.mark.parametrize("save_seconds", [0.05, 1000])
def test_the_seconds_of_a_search_end_it(untrained, few_digits, tmp_path, save_seconds):
    session = functools.partial(Session, save_seconds=save_seconds)
    progress = Notes()
    result, trials = searched(
        tmp_path / "run", few_digits, trials=100_000, max_seconds=2.0, progress=progress, session=session
    )
    assert {limits["max_seconds"] for limits in progress.limits} == {2.0}
    spent = [limits["now"] for limits in progress.limits]
    assert spent == sorted(spent)
    assert spent[0] < 1 < spent[-1]
    assert result["ended"] == "its 2 seconds are spent"
    assert 1 <= result["trials_completed"] <= len(trials) < 1000


def test_several_objectives(untrained, few_digits, tmp_path):
    result, trials = searched(
        tmp_path / "run", few_digits, trials=8, objectives=("val_accuracy", "macs"), sampler="nsgaii"
    )
    front = [trials[number] for number in result["pareto"]]
    for trial in trials:
        assert trial.objectives == (trial.val_accuracy, trial.macs)
        dominated = any(
            other.val_accuracy >= trial.val_accuracy
            and other.macs <= trial.macs
            and other.objectives != trial.objectives
            for other in trials
        )
        assert (trial in front) != dominated


def test_parts_of_the_space_are_narrowed_by_the_settings(untrained, few_digits, tmp_path):
    parts = {"filters": hp_range(8, 12), "bypass": {"fixed": "simple"}, "augmentation": "none", "optimizer": "adamw"}
    _, trials = searched(tmp_path / "run", few_digits, trials=4, parts=parts)
    assert {trial.metaparameters["bypass"] for trial in trials} == {"simple"}
    assert {trial.hyperparameters["augmentation"] for trial in trials} == {"none"}  # in the text's other sense, None
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["parts"]
    assert kept["augmentation"] == {"fixed": "none"}  # as it is read, so that the same texts go on with the search
    _, again = searched(tmp_path / "run", few_digits, trials=4, parts=parts)
    assert again == trials
    assert all(8 <= trial.metaparameters["groups"][0]["filters"][0] <= 12 for trial in trials)


def test_going_on_refuses_what_would_not_compare(untrained, few_digits, tmp_path):
    run = tmp_path / "run"
    options = {"trials": 2, "epochs": 2, "seed": 4}
    searched(run, few_digits, **options)
    for change, message in (
        ({"epochs": 3}, r"settings\.epochs=2 there and 3 here"),
        ({"seed": 0}, r"settings\.seed=4 there and 0 here"),
        ({"max_params": 10**9}, r"settings\.max_params=None there and 1000000000 here"),
        ({"parts": {"filters": {"fixed": 8}}}, "space was otherwise there"),
    ):
        with pytest.raises(ValueError, match=message):
            searched(run, few_digits, **{**options, **change})
    with np.load(few_digits) as file:
        arrays = dict(file)
    changed = tmp_path / few_digits.name
    np.savez(changed, **{**arrays, "x_train": arrays["x_train"][::-1], "y_train": arrays["y_train"][::-1]})
    with pytest.raises(ValueError, match="data_sha256"):
        searched(run, changed, **options)


def test_the_last_training_is_not_repeated_but_where_it_is_another(untrained, few_digits, tmp_path):
    options, path = {"trials": 2, "final_epochs": 3}, tmp_path / "run" / "result.json"
    result, _ = searched(tmp_path / "run", few_digits, **options)
    path.write_text(json.dumps({**result, "kept": "as it was"}))
    assert searched(tmp_path / "run", few_digits, **options)[0]["kept"] == "as it was"
    longer, _ = searched(tmp_path / "run", few_digits, **{**options, "final_epochs": 7})
    assert longer["epochs"] == 7
    path.write_text(path.read_text()[:20])
    progress = Notes()
    again, _ = searched(tmp_path / "run", few_digits, progress=progress, **options)
    assert again == result
    assert any("result.json cannot be read" in note and "result.json.damaged-1" in note for note in progress.notes)
    assert path.with_name("result.json.damaged-1").exists()


def test_a_full_disk_after_the_trials_is_said_too(untrained, few_digits, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("keras_blocks.tuning.search.search.write_csv", full)
    with pytest.raises(SearchFailed, match=r"No space left on device.*the best of its trials so far is"):
        searched(tmp_path / "run", few_digits, trials=2)


def test_a_report_that_fails_takes_nothing_from_the_search(untrained, few_digits, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no plotly")

    monkeypatch.setattr("keras_blocks.tuning.report.run_report.write_run_report", broken)
    progress = Notes()
    result, _ = searched(tmp_path / "run", few_digits, trials=2, progress=progress)
    assert result["trials"] == 2 and json.loads((tmp_path / "run" / "result.json").read_text()) == result
    assert any("the report could not be written: RuntimeError('no plotly')" in note for note in progress.notes)


def test_a_torn_study_is_set_aside(untrained, few_digits, tmp_path):
    _, trials = searched(tmp_path / "run", few_digits, trials=2)
    study = tmp_path / "run" / "study.db"
    study.write_bytes(study.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"study\.db is damaged .*kept as .*study\.db\.damaged-1"):
        searched(tmp_path / "run", few_digits, trials=2)
    assert told(searched(tmp_path / "run", few_digits, trials=2)[1]) == told(trials)  # begun anew


def test_the_last_training_may_take_longer_than_a_trial(untrained, few_digits, tmp_path):
    settings = SearchSettings(
        data=str(few_digits), trials=2, epochs=2, final_epochs=20, max_trial_seconds=10, workers=2
    )
    ran = []

    class Recording(Supervisor):
        def run(self, request, *, max_seconds=None, max_memory=None, **kwargs):
            ran.append((type(request), max_seconds or self.max_seconds))
            if isinstance(request, FinalRequest):  # alone on the machine
                assert max_memory == pytest.approx(2 * self.max_memory, abs=2)
            return super().run(request, max_seconds=max_seconds, max_memory=max_memory, **kwargs)

    search = Search(settings, tmp_path / "run", session=functools.partial(Session, supervisor=Recording))
    search.run()
    search.close()
    assert ran == [(TrialRequest, 10), (TrialRequest, 10), (FinalRequest, 100)]
    assert psutil.Process().children() == []  # in one process, which has ended


def test_patience_reaches_the_training_and_is_no_obstacle_to_older_searches(untrained, few_digits, tmp_path):
    asked = []

    class Recording(Supervisor):
        def run(self, request, **kwargs):
            asked.append(getattr(request, "patience", "final"))
            return super().run(request, **kwargs)

    session = functools.partial(Session, supervisor=Recording)
    searched(tmp_path / "run", few_digits, trials=1, patience=3, session=session)
    assert asked == [3, "final"]
    with pytest.raises(ValueError, match=r"settings\.patience=3 there and None here"):
        searched(tmp_path / "run", few_digits, trials=2)

    class Older(SearchSettings):
        def identity(self):
            return {name: value for name, value in super().identity().items() if name != "patience"}

    older = Search(Older(data=str(few_digits), trials=1), tmp_path / "older")
    older.close()
    Search(SearchSettings(data=str(few_digits), trials=2), tmp_path / "older").close()
    with pytest.raises(ValueError, match=r"settings\.patience=None there and 4 here"):
        Search(SearchSettings(data=str(few_digits), trials=2, patience=4), tmp_path / "older")


@pytest.mark.parametrize(("space", "error"), [("resnet", ValueError), (3, TypeError), (["resnet"], TypeError)])
def test_a_space_that_is_none_is_named(few_digits, tmp_path, space, error):
    with pytest.raises(error, match=f"`space` must be .*; received {re.escape(repr(space))}"):
        Search(SearchSettings(data=str(few_digits)), tmp_path / "run", space=space)
    assert not (tmp_path / "run").exists()


def test_nothing_is_left_where_the_settings_are_wrong(tmp_path):
    with pytest.raises(ValueError, match="`data`"):
        Search(SearchSettings(data="digts"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "squezenet"}, r"`model` .*'squezenet'.*Did you mean 'squeezenet'"),
        ({"sampler": "randm"}, r"`sampler` .*Did you mean 'random'"),
        ({"pruner": "hyperbnd"}, r"`pruner` .*Did you mean 'hyperband'"),
        ({"pruner": "median", "objectives": ("val_accuracy", "macs")}, "`pruner` must be 'none' with 2 objectives"),
        ({"pruner": "median", "objectives": ("params",)}, "`pruner` must be 'none'"),
        ({"sampler": "cmaes", "objectives": ("val_accuracy", "macs")}, "`sampler` must take 2 objectives"),
        ({"objectives": ("acuracy",)}, "`objectives`"),
        ({"objectives": ()}, "`objectives`"),
        ({"objectives": ("macs", "macs")}, "`objectives`"),
        ({"trials": 0}, "`trials`"),
        ({"trials": 2.0}, "`trials`"),
        ({"epochs": None}, "`epochs`"),
        ({"final_epochs": 0}, "`final_epochs`"),
        ({"max_params": -1}, "`max_params`"),
        ({"max_latency": 0}, "`max_latency`"),
        ({"max_seconds": float("nan")}, "`max_seconds`"),
        ({"max_memory": 5}, "`max_memory`"),
        ({"keep": 0}, "`keep`"),
        ({"keep_weights": 1}, "`keep_weights`"),
        ({"workers": 0}, "`workers`"),
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
    return Trial(number, status, {}, params=params, val_accuracy=accuracy, val_loss=loss)
