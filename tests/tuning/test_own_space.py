"""Any hypermodel of KerasTuner is a search space: drawn, counted without its variables, trained by its own `fit`."""

import functools
import math
import random

import keras
import keras_tuner
import numpy as np
import pytest
from published import custom_training_loop, getting_started
from thorough import run_all

import keras_blocks
from keras_blocks.core.graphs import unallocated_and_compiled
from keras_blocks.tuning import HyperFunction, HyperResNet, hp_range
from keras_blocks.tuning.spaces.budget import Budget
from keras_blocks.tuning.study.sources import RandomSource
from keras_blocks.tuning.training.hyperparameters import TrainingDiverged
from keras_blocks.tuning.training.resumable import WrongObjective
from keras_blocks.tuning.trials.tasks import GivenTask
from keras_blocks.tuning.user_spaces import given_training
from keras_blocks.tuning.user_spaces.given_data import GivenData
from keras_blocks.tuning.user_spaces.hyper_model import HyperModelSpace

pytestmark = pytest.mark.once


def never(shape, dtype=None):
    raise AssertionError("a variable was made")


def of_blocks(filters, blocks):
    layers = [keras_blocks.FireBlock(filters, kernel_initializer="zeros") for _ in range(blocks)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers, keras_blocks.ClassifierHead(10)])


def unborn(hp):
    """Its variables can only be counted."""
    units = hp.Int("units", 1, 100)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, kernel_initializer=never)])
    model.compile(
        keras.optimizers.SGD(hp.Float("rate", 0.1, 0.2), momentum=0.9), "mse", metrics=[keras.metrics.R2Score()]
    )
    return model


def conditional(hp):
    kind = hp.Choice("kind", ["wide", "deep"])
    with hp.conditional_scope("kind", ["wide"]):
        wide = hp.Int("units", 8, 16)
    with hp.conditional_scope("kind", ["deep"]):
        deep = hp.Int("units", 1, 4)
    hp.Choice("skip", [1, 2], parent_name="kind", parent_values=["deep"])
    hp.Fixed("seed", 3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(wide if kind == "wide" else deep)])
    model.compile("sgd", "mse")
    return model


def dependent(hp):
    """The choices of one depend on the value of another, as no sampler of Optuna takes them by one name."""
    many = hp.Boolean("many")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(hp.Choice("units", [4, 5] if many else [1, 2]))])
    model.compile("sgd", "mse")
    return model


def taken(given, data=None):
    space = HyperModelSpace.of(given)
    space.check(Budget(), None if data is None else data.example())
    return space


def draws(space, count=12):
    source = RandomSource(random.Random(0))
    return [space.draw(source) for _ in range(count)]


def work(given, function, values=None, **arguments):
    """The training of one candidate, in this process: the job, its model and what it came to."""
    data = GivenData.from_function(function, "data")
    space = taken(given, data)
    values = space.draw(RandomSource(random.Random(0))) if values is None else values
    job = GivenTask(space, data).job({"hyperparameters": values})
    model = job.build()
    request = functools.partial(given_training.fit, job.candidate, model, data, epochs=2)
    return job, model, request(**arguments)


# -- drawn and counted -------------------------------------------------------------------------------------------------

PUBLISHED = {
    "build_model": (getting_started.build_model, getting_started.digits),
    "MyHyperModel": (getting_started.MyHyperModel(), getting_started.digits),
    "HyperRegressor": (getting_started.HyperRegressor, getting_started.numbers),
    "custom loop": (custom_training_loop.MyHyperModel(), custom_training_loop.images),
    "HyperResNet": (keras_tuner.applications.HyperResNet(input_shape=(32, 32, 3), classes=10), None),
    "HyperXception": (keras_tuner.applications.HyperXception(input_shape=(71, 71, 3), classes=10), None),
    "ours": (HyperResNet((8, 8, 1), classes=10), None),
}


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "HyperResNet" or run_all()])
def test_published_spaces_are_drawn_and_counted_without_a_variable(name):
    given, function = PUBLISHED[name]
    space = taken(given, function and GivenData.from_function(function, "data"))
    values = space.draw(RandomSource(random.Random(1)))
    inspected = space.inspected(values, Budget(max_params=1))
    assert inspected["refused"].endswith("parameters are more than 1")
    allowed = space.inspected(values, Budget(max_params=10**9))
    assert "refused" not in allowed and allowed["params"] > 0
    elsewhere = HyperModelSpace.from_config(space.get_config())
    elsewhere.example = space.example
    if name not in ("HyperResNet", "HyperXception"):  # to build those takes seconds
        model = elsewhere.candidate(values).build()
        if not model.built:
            model.build((None, *space.example.shape[1:]))
        assert model.count_params() == allowed["params"]
    assert elsewhere.inspected(values, Budget())["signature"] == allowed["signature"]


def test_no_variable_gets_a_value():
    space = taken(unborn)
    values = draws(space, 1)[0]
    assert space.inspected(values, Budget())["params"] == 4 * values["units"]
    with pytest.raises(AssertionError, match="a variable was made"):
        space.candidate(values).build()
    assert keras.Variable(1.0).shape == ()  # outside, as ever


def test_values_are_those_that_are_asked_for():
    found = draws(taken(getting_started.build_model, GivenData.from_function(getting_started.digits, "d")))
    assert {values["num_layers"] for values in found} == {1, 2, 3}
    for values in found:
        assert sum(name.startswith("units_") for name in values) == values["num_layers"]


def test_conditions_are_those_of_keras_tuner():
    space = taken(conditional)
    found = draws(space)
    assert {values["kind"] for values in found} == {"wide", "deep"}
    for values in found:
        low, high = (8, 16) if values["kind"] == "wide" else (1, 4)
        assert low <= values["units"] <= high and values["seed"] == 3
        assert ("skip" in values) == (values["kind"] == "deep")
    assert space.grid()["kind"] == ["wide", "deep"]
    assert sorted(map(len, space.grid().values())) == [1, 2, 2, 4, 9]


def test_choices_may_depend_on_others():
    import optuna

    from keras_blocks.tuning.study.sources import TrialSource

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, study = taken(dependent), optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = [space.draw(TrialSource(study.ask())) for _ in range(12)]
    assert {(values["many"], values["units"]) for values in found} == {(True, 4), (True, 5), (False, 1), (False, 2)}


def test_what_fit_alone_asks_for_is_drawn_once_it_is_known():
    job, _, trained = work(getting_started.MyHyperModel(), getting_started.digits, {"units": 4}, monitor="val_loss")
    told = job.told(trained)
    assert told["values"] == {"units": 4, "normalize": False, "shuffle": False}
    space = taken(getting_started.MyHyperModel(), GivenData.from_function(getting_started.digits, "d"))
    space.found = lambda: told["found"]
    assert {(values["normalize"], values["shuffle"]) for values in draws(space, 16)} == {
        (one, other) for one in (True, False) for other in (True, False)
    }


def test_a_function_of_metaparameters_has_a_space():
    space = taken(
        HyperFunction(of_blocks, filters=[2, 4], blocks=hp_range(1, 2), loss="sparse_categorical_crossentropy")
    )
    assert {(values["filters"], values["blocks"]) for values in draws(space, 16)} == {(2, 1), (2, 2), (4, 1), (4, 2)}
    again = HyperModelSpace.from_config(space.get_config())
    assert (again.label, again.name) == ("test_own_space:of_blocks", "of_blocks")
    assert 1e-4 <= draws(again, 1)[0]["learning_rate"] <= 1e-2
    model = again.candidate({"filters": 2, "blocks": 1, "learning_rate": 1e-3}).build()
    assert model.compiled and model.count_params() == again.inspected({"filters": 2, "blocks": 1}, Budget())["params"]


def test_what_tells_spaces_apart():
    """Also where all that they draw is alike: the arguments of their constructors, wherever their files lie."""

    def identity(**arguments):
        return HyperModelSpace.of(keras_tuner.applications.HyperResNet(input_shape=(32, 32, 3), **arguments)).identity()

    assert identity(classes=10) == identity(classes=10) != identity(classes=20)
    one, other = (HyperFunction(of_blocks, filters=2, blocks=blocks, loss="mse") for blocks in (1, 2))
    assert HyperModelSpace.of(one).identity() != HyperModelSpace.of(other).identity()


def test_what_is_no_plain_data_is_told():
    held = custom_training_loop.MyHyperModel()
    held.layer = keras.layers.Dense(1)
    with pytest.raises(
        TypeError, match=r"the attribute 'layer' of this MyHyperModel is not plain data, .* 'my_module:make'"
    ):
        HyperModelSpace.of(held)
    assert HyperModelSpace.of(HELD).label == "test_own_space:HELD"


HELD = custom_training_loop.MyHyperModel()
HELD.loss = keras.losses.MeanSquaredError()


@pytest.mark.parametrize("optimizer", ["adam", "lion", "rmsprop"])
def test_every_optimizer_is_known_by_its_name(optimizer):
    space = HyperFunction(of_blocks, filters=2, blocks=1, optimizer=optimizer, learning_rate=0.5, loss="mse")
    model = space.build(keras_tuner.HyperParameters())
    assert type(model.optimizer).__name__.lower() == optimizer and float(model.optimizer.learning_rate) == 0.5


# -- trained -----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def eagerly(eager):
    """TensorFlow traces for seconds."""


def test_a_history_is_told_by_its_best_epoch():
    job, model, trained = work(getting_started.build_model, getting_started.digits, monitor="accuracy:max")
    assert trained.best == int(np.argmax(trained.history["accuracy"]))
    assert job.told(trained)["metrics"]["accuracy"] == max(trained.history["accuracy"])
    assert given_training.tested(model, GivenData.from_function(getting_started.digits, "d")).keys() == {
        "loss",
        "accuracy",
    }


def test_a_number_is_the_objective():
    job, model, trained = work(getting_started.HyperRegressor, getting_started.numbers, monitor="mae:min")
    (x, y) = getting_started.numbers()[1]
    mine = float(np.mean(np.abs(model.predict(x, verbose=0) - y)))
    assert job.told(trained)["metrics"]["mae"] == pytest.approx(mine, rel=1e-5)
    assert (trained.best, len(trained.history["loss"])) == (1, 2)
    with pytest.raises(WrongObjective, match=r"returned a number alone, .* as 'default_objective:min'"):
        work(getting_started.HyperRegressor, getting_started.numbers, monitor="val_accuracy")


def test_a_dict_has_the_metrics():
    job, _, trained = work(getting_started.HyperRegressorOfMetrics, getting_started.numbers, monitor="metric_a:max")
    assert {"metric_a", "metric_b", "loss"} <= {*job.told(trained)["metrics"]}
    with pytest.raises(WrongObjective, match="has logged no 'val_auc'; it has logged loss, metric_a, metric_b"):
        work(getting_started.HyperRegressorOfMetrics, getting_started.numbers, monitor="val_auc:max")


def test_a_training_loop_of_its_own_reports_its_epochs(capsys):
    seen = []
    job, _, trained = work(
        custom_training_loop.MyHyperModel(),
        custom_training_loop.images,
        monitor="my_metric:min",
        watch=lambda done, logs: seen.append((done, *logs)),
    )
    assert seen == [(1, "my_metric"), (2, "my_metric")]
    told = job.told(trained)
    assert told["metrics"]["my_metric"] == min(trained.history["my_metric"])
    assert {*told["values"]} == {"units", "batch_size", "learning_rate"}


def test_a_metric_that_is_missing_ends_the_first_epoch():
    with pytest.raises(WrongObjective, match="no 'val_auc'; it has logged accuracy, loss, val_accuracy, val_loss"):
        work(getting_started.build_model, getting_started.digits, monitor="val_auc:max")


def test_what_diverges_has_failed():
    with pytest.raises(TrainingDiverged, match=r"its (val_)?loss became nan in epoch 1"):
        work(diverging, getting_started.numbers, monitor="val_loss")


def diverging(hp):
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1)])
    model.compile("sgd", loss=lambda y, p: keras.ops.mean(y - p) * math.nan)
    return model


def test_an_interrupted_training_goes_on(tmp_path):
    """Also where the hypermodel has a `fit` of its own, which calls `model.fit`: it is as one training."""

    class Stop(Exception):
        pass

    def stop(done, logs):
        if done == 2:
            raise Stop

    def trained(path, watch=None):
        keras.utils.set_random_seed(1)
        values = {"units": 4, "shuffle": False, "normalize": False}
        data = GivenData.from_function(getting_started.digits, "data")
        candidate = taken(getting_started.MyHyperModel(), data).candidate(values)
        model = candidate.build()
        how = {"epochs": 4, "monitor": "loss:min", "path": path, "signature": "one", "watch": watch}
        return model, given_training.fit(candidate, model, data, **how)

    model, whole = trained(None)
    with pytest.raises(Stop):
        trained(tmp_path / "0.npz", stop)
    other, parts = trained(tmp_path / "0.npz")
    assert (whole.resumed, parts.resumed) == (0, 2)
    for name, values in whole.history.items():
        np.testing.assert_allclose(parts.history[name], values, rtol=1e-4)
    for mine, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


def test_counting_leaves_keras_as_it_was():
    made_by = keras.Variable.__init__
    with unallocated_and_compiled(), unallocated_and_compiled():
        assert keras.Variable.__init__ is not made_by
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).compile("adam", "mse")
    assert keras.Variable.__init__ is made_by
    with pytest.raises(KeyError), unallocated_and_compiled():
        raise KeyError
    assert keras.Variable.__init__ is made_by
