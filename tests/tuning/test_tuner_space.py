"""A tuner of KerasTuner is a search space as it has tailored its hypermodel; a `fit` of its own may change the data."""

import random

import keras
import keras_tuner
import numpy as np
import pytest

from keras_blocks.tuning.spaces.budget import Budget
from keras_blocks.tuning.spaces.counting import Misfit
from keras_blocks.tuning.study.sources import RandomSource
from keras_blocks.tuning.user_spaces import given_training
from keras_blocks.tuning.user_spaces.given_data import GivenData
from keras_blocks.tuning.user_spaces.given_hypermodel import as_hypermodel
from keras_blocks.tuning.user_spaces.hyper_model import HyperModelSpace

pytestmark = pytest.mark.once


def build(hp):
    layers = [keras.layers.Dense(hp.Int(f"units_{i}", 2, 4, default=3)) for i in range(hp.Int("layers", 1, 2))]
    model = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(1)])
    with hp.name_scope("training"):
        rate = hp.Choice("rate", [0.1, 0.2])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


class Cropping(keras_tuner.HyperModel):
    """As KerasTuner's guide does it: what `build` draws, `fit` crops the data to."""

    def build(self, hp):
        columns = hp.Int("columns", 2, 4)
        begun = [keras.Input((columns,))] if hp.Boolean("begun", default=True) else []
        model = keras.Sequential([*begun, keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        return model

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        columns = hp.get("columns")
        x_val, y_val = validation_data
        return model.fit(x[:, :columns], y, validation_data=(x_val[:, :columns], y_val), **kwargs)


def rows(columns=6):
    rng = np.random.default_rng(0)
    return tuple((rng.random((n, columns), "float32"), rng.random((n, 1), "float32")) for n in (8, 4, 4))


def tuner(folder, hypermodel=build, cls=keras_tuner.RandomSearch, **options):
    return cls(hypermodel, objective="val_loss", max_trials=2, directory=folder, **options)


def tailoring(*declared):
    hp = keras_tuner.HyperParameters()
    for kind, *arguments in declared:
        getattr(hp, kind)(*arguments)
    return hp


def space_of(given, data=None):
    space = HyperModelSpace(as_hypermodel(given, "t"), {"at": {}}, "m:t")
    space.check(Budget(), None if data is None else data.example())
    return space


def draws(space, count=20):
    sources = (RandomSource(random.Random(seed)) for seed in range(count))
    return [space.draw(source) for source in sources]


def test_its_ranges_stand_for_the_hypermodels(tmp_path):
    hp = tailoring(("Float", "training/rate", 0.5, 0.9), ("Fixed", "units_0", 7))
    space = space_of(tuner(tmp_path, hyperparameters=hp))
    found = draws(space)
    assert all(0.5 <= values["training/rate"] <= 0.9 and values["units_0"] == 7 for values in found)
    assert {values["layers"] for values in found} == {1, 2}
    assert all(
        ("units_1" in values) == (values["layers"] == 2) for values in found
    )  # what is not asked for is not drawn
    assert space.inspected(found[0], Budget(max_params=1))["refused"].endswith("parameters are more than 1")
    assert space.candidate({**found[0], "units_0": 2}).build().count_params() < 30


def test_what_is_not_to_be_tuned_has_its_default(tmp_path):
    one = space_of(tuner(tmp_path, hyperparameters=tailoring(("Choice", "layers", [1])), tune_new_entries=False))
    assert draws(one, 3) == [{"layers": 1, "units_0": 3, "training/rate": 0.1}] * 3
    other = space_of(tuner(tmp_path / "other", hyperparameters=tailoring(("Choice", "layers", [1]))))
    assert one.identity()["hyperparameters"] != other.identity()["hyperparameters"]  # they are no one search


def test_its_loss_and_optimizer_and_size_are_kept(tmp_path):
    space = space_of(tuner(tmp_path, loss="mae", optimizer=keras.optimizers.Adam(0.3), max_model_size=20))
    model = space.candidate({"layers": 1, "units_0": 2}).build()
    assert (model.loss, model.optimizer.name) == ("mae", "adam")
    assert float(model.optimizer.learning_rate) == pytest.approx(0.3)
    assert space.inspected({"units_0": 4}, Budget(max_params=90))["refused"].endswith("parameters are more than 20")


def test_several_executions_are_one_trial_of_their_mean(tmp_path):
    data = GivenData.from_function(rows, "rows")
    space = space_of(tuner(tmp_path, Cropping(), executions_per_trial=2), data)
    values = {"columns": 2, "begun": True}
    trained = trained_of(space, values, data, epochs=2)
    losses = trained.history["val_loss"]
    assert len(losses) == 4  # the best one's place has the mean of what each execution came to at its best
    assert min(losses) < given_training.at_best(trained)["val_loss"] < max(losses)


class Own(keras_tuner.RandomSearch):
    def run_trial(self, trial, *args, **kwargs):
        return 0.0


@pytest.mark.parametrize("given", [lambda where: tuner(where, cls=Own), lambda where: Own(directory=where)])
def test_a_tuner_with_trials_of_its_own_is_refused(given, tmp_path):
    with pytest.raises(TypeError, match=r"`space`: t.* Give .*keras_tuner\.HyperModel"):
        space_of(given(tmp_path))


def trained_of(space, values, data, **options):
    candidate = space.candidate(values)
    model = candidate.build()
    return given_training.fit(candidate, model, data, monitor="val_loss", **options)


@pytest.mark.parametrize("begun", [True, False])
def test_a_fit_that_changes_the_data_is_not_refused_and_goes_on(begun, tmp_path):
    data = GivenData.from_function(rows, "rows")
    space = space_of(Cropping(), data)  # which takes 2 columns, and the data have 6
    values, path = {"columns": 2, "begun": begun}, tmp_path / "checkpoint.npz"

    class Killed(Exception): ...

    def killed(done, logs):
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        trained_of(space, values, data, epochs=4, path=path, watch=killed)
    trained = trained_of(space, values, data, epochs=4, path=path)
    assert (trained.resumed, len(trained.history["val_loss"]), trained.notes) == (2, 4, [])


def test_its_test_part_may_not_fit_the_model(tmp_path):
    from keras_blocks.tuning.run_folder import RunFolder

    data, told = GivenData.from_function(rows, "rows"), []
    (tmp_path / "run").mkdir()
    result = given_training.train_and_keep(
        RunFolder(tmp_path / "run"),
        data,
        space_of(Cropping(), data).candidate({"columns": 2, "begun": True}),
        about={},
        monitor="val_loss",
        epochs=1,
        seed=0,
        note=told.append,
    )
    assert result["test_metrics"] is None and "its `fit` prepares the data" in told[0]


def test_a_hypermodel_without_such_a_fit_is_refused_before_the_search():
    with pytest.raises(Misfit, match=r"takes inputs of \(6,\)"):
        space_of(build, GivenData.from_function(lambda: rows(5), "rows"))
