"""The space in KerasTuner's own tuners, as a user takes it."""

import keras_tuner
import pytest
import scipy.optimize
from thorough import run_all

from keras_blocks.tuning import HyperAny, HyperSqueezeNet
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.spaces.families import FAMILIES

pytestmark = pytest.mark.usefixtures("eager")


class HyperOneBlock(HyperSqueezeNet):
    """The smallest SqueezeNets, which take least time to trace."""

    def table(self):
        return {"groups": 1, "filters": [4, 8, 12, 16], "growth": 1.0, "blocks": 1, "stem": "tiny"}


@pytest.fixture(scope="module")
def few(digits):
    images, labels = digits.x_train[:96], digits.y_train[:96]
    return Dataset.from_arrays("few", images, labels, digits.x_test[:20], digits.y_test[:20])


@pytest.fixture
def options(tmp_path):
    """Two hyperparameters are fixed, in KerasTuner's way, to those that are traced in least time."""
    hp = keras_tuner.HyperParameters()
    hp.Fixed("optimizer", "sgd")
    hp.Fixed("augmentation", "none")
    return {"objective": "val_accuracy", "seed": 1, "directory": tmp_path, "hyperparameters": hp}


def searched(tuner, data):
    tuner.search(data.x_train, data.y_train, validation_data=(data.x_val, data.y_val), epochs=1, verbose=0)
    trials = list(tuner.oracle.trials.values())
    assert {trial.status for trial in trials} == {"COMPLETED"}
    assert {trial.hyperparameters.values["optimizer"] for trial in trials} == {"sgd"}
    assert all(0 <= trial.score <= 1 for trial in trials)
    best = tuner.get_best_models()[0]
    assert best.predict(data.x_test, verbose=0).shape == (20, 10)
    return trials


@pytest.mark.skipif(not run_all(), reason="as in docs/spaces.md; make test-all")
def test_random_search(few, options):
    """Of the whole space, with its conditions."""
    hyper = HyperSqueezeNet.from_dataset(few)
    tuner = keras_tuner.RandomSearch(hyper, max_trials=1, **options)
    (trial,) = searched(tuner, few)
    values = trial.hyperparameters.values
    groups = values["groups"]
    assert (f"group{groups}_blocks" in values, f"group{groups + 1}_blocks" in values) == (True, False)


@pytest.mark.skipif(not run_all(), reason="trains as by random search; its oracle is tested below; make test-all")
def test_bayesian_optimization(few, options):
    hyper = HyperOneBlock.from_dataset(few)
    tuner = keras_tuner.BayesianOptimization(hyper, max_trials=2, num_initial_points=1, **options)
    one, other = searched(tuner, few)
    assert one.hyperparameters.values != other.hyperparameters.values


def test_hyperband(few, options):
    """It goes on from the weights of a promoted candidate."""
    hyper = HyperOneBlock.from_dataset(few)
    tuner = keras_tuner.Hyperband(hyper, max_epochs=2, factor=2, **options)
    tuner.oracle.max_trials = 3
    trials = searched(tuner, few)
    assert [trial.hyperparameters.values["tuner/epochs"] for trial in trials] == [1, 1, 2]


MINIMIZE = scipy.optimize.minimize


def one_step(*args, **kwargs):
    """SciPy's, ended after a step where the gradients are numerical."""
    return MINIMIZE(*args, **kwargs, **({} if "jac" in kwargs else {"options": {"maxiter": 1}}))


ORACLES = {
    "random": (keras_tuner.oracles.RandomSearchOracle, {"max_trials": 6}),
    "bayesian": (keras_tuner.oracles.BayesianOptimizationOracle, {"max_trials": 6, "num_initial_points": 5}),
    "hyperband": (keras_tuner.oracles.HyperbandOracle, {"max_epochs": 4, "factor": 2}),
    "grid": (keras_tuner.oracles.GridSearchOracle, {"max_trials": 6}),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of a Gaussian process on few trials
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in (*FAMILIES, "any")
        for kind in ORACLES
        if kind != "bayesian" or name in ("squeezenet", "any") or run_all()
    ],
)
def test_every_oracle_chooses_from_every_space(kind, name, few, tmp_path, monkeypatch):
    """With conditions within conditions: six trials, none trained, scored by their number of parameters."""
    # The Bayesian one climbs from 50 points by numerical gradients, which takes minutes for 85 hyperparameters. Two
    # spaces are enough for it, but for `make test-all`: conditions are all that it does not have from the random one.
    monkeypatch.setattr(scipy.optimize, "minimize", one_step)
    space = {**FAMILIES, "any": HyperAny}[name].from_dataset(few)
    cls, options = ORACLES[kind]
    oracle = cls(objective=keras_tuner.Objective("params", "min"), seed=1, **options)
    oracle._set_project_dir(tmp_path, "mine")
    oracle.verbose = 0
    hp = oracle.get_space()
    space.declare_hyperparameters(hp)
    oracle.update_space(hp)
    seen = []
    for _ in range(6):
        trial = oracle.create_trial("tuner0")
        assert trial.status == "RUNNING"
        values = {name: value for name, value in trial.hyperparameters.values.items() if not name.startswith("tuner/")}
        candidate = space.candidate(trial.hyperparameters)
        assert {name: trial.hyperparameters.values[name] for name in values} == values  # all was chosen by the oracle
        seen.append(candidate.signature())
        oracle.update_trial(trial.trial_id, {"params": candidate.cost().params})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert len(set(seen)) > 1
