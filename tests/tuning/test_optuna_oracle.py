"""OptunaOracle in KerasTuner's own tuners, as a user takes it: state in the storage, failures, changed spaces."""

import json

import keras_tuner
import optuna
import pytest
from thorough import run_all

from keras_blocks.tuning import Budget, HyperSqueezeNet, OptunaOracle
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.storage.store import sqlite_url

pytestmark = pytest.mark.usefixtures("eager")


class Scored(keras_tuner.Tuner):
    """Trains nothing: a trial's value follows from what was drawn."""

    def run_trial(self, trial, *args, **kwargs):
        hp = trial.hyperparameters
        value = hp.Int("depth", 1, 8) + (hp.Float("rate", 0.1, 1.0) if hp.Boolean("on") else 0)
        if self.bad is not None and value >= 4:
            if isinstance(self.bad, Exception):
                raise self.bad
            return {"value": self.bad}
        return {"value": value, "size": 10 * hp.get("depth"), "multi_objective": 0.0}

    bad = None


def tuner(oracle, folder, bad=None, **options):
    made = Scored(oracle, lambda hp: None, directory=folder, project_name="project", **options)
    made.bad = bad
    return made


def oracle(**options):
    return OptunaOracle(**{"objective": keras_tuner.Objective("value", "max"), "max_trials": 6, **options})


def declared():
    hp = keras_tuner.HyperParameters()
    hp.Int("depth", 1, 8)
    hp.Boolean("on")
    return hp


def values(made):
    return [trial.hyperparameters.values for trial in made.trials.values()]


@pytest.mark.parametrize(  # of a study itself, with each of them: test_study.py
    "sampler", ["tpe", "random"] + ["qmc", "nsgaii", "cmaes"] * run_all()
)
def test_the_same_seed_gives_the_same_trials_0_too(sampler, tmp_path):
    found = []
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        made = oracle(sampler=sampler, seed=seed, hyperparameters=declared())
        tuner(made, tmp_path / name).search(verbose=0)
        found.append(values(made))
    assert found[0] == found[1]
    assert found[0] != found[2] or sampler == "qmc"
    assert len(found[0]) == 6


def test_another_process_goes_on_with_the_project(tmp_path):
    whole = oracle(hyperparameters=declared())
    tuner(whole, tmp_path / "whole").search(verbose=0)
    first = oracle(max_trials=2, hyperparameters=declared())
    tuner(first, tmp_path / "parts").search(verbose=0)
    again = oracle(hyperparameters=declared())
    assert again.seed == 0
    reloaded = tuner(again, tmp_path / "parts")
    assert again.remaining_trials() == 4
    reloaded.search(verbose=0)
    assert values(again) == values(whole)
    best = again.get_best_trials(2)
    assert best[0].score >= best[1].score
    assert best[0].score == max(trial.score for trial in again.trials.values())
    assert {trial.status for trial in again.trials.values()} == {"COMPLETED"}
    assert again.get_trial("000001").trial_id == "000001"


def test_its_study_is_optunas(tmp_path):
    url = sqlite_url(tmp_path / "shared.db")
    made = oracle(storage=url, study_name="mine", hyperparameters=declared())
    tuner(made, tmp_path).search(verbose=0)
    study = optuna.load_study(study_name="mine", storage=url)
    assert study.best_value == made.get_best_trials()[0].score
    assert {trial.state.name for trial in study.trials} == {"COMPLETE"}


@pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning")  # KerasTuner's
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (float("nan"), "must be finite"),
        (float("inf"), "must be finite"),
        (ValueError("no such layer"), "no such layer"),
    ],
)
def test_nan_infinity_and_errors_are_failed_trials_that_no_sampler_believes(bad, message, tmp_path):
    made = oracle(max_trials=12, hyperparameters=declared(), max_consecutive_failed_trials=12)
    tuner(made, tmp_path, bad=bad).search(verbose=0)
    states = [trial.status for trial in made.trials.values()]
    assert states.count("FAILED") >= 1
    assert set(states) == {"FAILED", "COMPLETED"}
    assert all(trial.score < 4 for trial in made.get_best_trials(12))
    failed = [trial for trial in made.study.optuna.get_trials() if trial.state.name == "FAIL"]
    assert all(message in trial.user_attrs["error"] and trial.values is None for trial in failed)


@pytest.mark.parametrize("most", [3, 8])
def test_failures_in_a_row_end_the_search(most, tmp_path):
    class Failing(Scored):
        def run_trial(self, trial, *args, **kwargs):
            raise ValueError("always")

    made = oracle(max_trials=50, hyperparameters=declared(), max_consecutive_failed_trials=most)
    with pytest.raises(RuntimeError, match=f"consecutive failures exceeded the limit of {most}"):
        Failing(made, lambda hp: None, directory=tmp_path, project_name="p").search(verbose=0)
    assert len(made.trials) == most


def test_several_objectives_have_a_pareto_front(tmp_path):
    objectives = [keras_tuner.Objective("value", "max"), keras_tuner.Objective("size", "min")]
    made = oracle(objective=objectives, sampler="nsgaii", hyperparameters=declared())
    tuner(made, tmp_path).search(verbose=0)
    assert [direction.name for direction in made.study.optuna.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert made.study.pareto()
    best = made.get_best_trials()[0]
    assert best.score == min(trial.score for trial in made.trials.values())  # KerasTuner's sum


def test_a_changed_space_is_an_error(tmp_path):
    space = HyperSqueezeNet((8, 8, 1), classes=10)
    made = oracle(hypermodel=space, max_trials=1)
    Scored(made, space, directory=tmp_path, project_name="project").search(verbose=0)
    for changed, message in (
        (HyperSqueezeNet((8, 8, 1), classes=10, filters=[8, 16]), "begun with another 'filters': values="),
        (HyperSqueezeNet((8, 8, 1), classes=10, filters=8), r"begun with \['filters'.*\], which are gone"),
    ):
        with pytest.raises(ValueError, match=message):
            Scored(oracle(hypermodel=changed), changed, directory=tmp_path, project_name="project")


def test_candidates_above_the_budget_are_drawn_again(tmp_path):
    space = HyperSqueezeNet((8, 8, 1), classes=10)
    made = oracle(hypermodel=space, budget=Budget(max_params=40_000), sampler="random")

    class Counted(Scored):
        def run_trial(self, trial, *args, **kwargs):
            return {"value": space.cost(trial.hyperparameters).params}

    Counted(made, space, directory=tmp_path, project_name="project").search(verbose=0)
    assert len(made.trials) == 6
    assert all(trial.score <= 40_000 for trial in made.trials.values())
    refused = [trial for trial in made.study.trials() if trial.status == "refused"]
    assert all("more than 40,000" in trial.error for trial in refused)


def test_real_training_by_a_stock_tuner(digits, tmp_path):
    few = Dataset.from_arrays("few", digits.x_train[:96], digits.y_train[:96], digits.x_test[:20], digits.y_test[:20])
    space = HyperSqueezeNet.from_dataset(few, groups=1, optimizer="sgd", augmentation="none", bypass=None)
    made = OptunaOracle("val_accuracy", max_trials=1, hypermodel=space)
    searching = keras_tuner.Tuner(made, space, directory=tmp_path, project_name="project")
    searching.search(few.x_train, few.y_train, validation_data=(few.x_val, few.y_val), epochs=1, verbose=0)
    (trial,) = made.trials.values()
    assert 0 <= trial.score <= 1
    assert searching.get_best_models()[0].predict(few.x_test, verbose=0).shape == (20, 10)
    assert json.loads(json.dumps(trial.hyperparameters.values)) == trial.hyperparameters.values


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_trials": 0}, "`max_trials`"),
        ({"seed": -1}, "`seed`"),
        ({"sampler": "tpee"}, "`sampler` .*Did you mean 'tpe'"),
        ({"budget": 5}, "`budget` must be a Budget"),
        ({"budget": Budget(max_params=5)}, "`hypermodel` must be given with `budget`"),
        ({"grace": 0}, "`grace`"),
        ({"hypermodel": lambda hp: None}, "`hypermodel` must be a search space"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        oracle(**options)
