"""How a model is trained, by name: optimizers, schedules, smoothing, class weights, patience, one's own callbacks."""

import dataclasses
import typing

import keras
import numpy as np
import pytest
from thorough import run_all
from typer.testing import CliRunner

from keras_blocks.tuning import HyperSqueezeNet, Search, SearchSettings
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.search import settings as names
from keras_blocks.tuning.search.settings import TrainingSettings
from keras_blocks.tuning.single_training import SingleTraining
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.spaces.table import GivenSource
from keras_blocks.tuning.training import hyperparameters as how
from keras_blocks.tuning.training import resumable
from keras_blocks.tuning.training.fit import SmoothedCrossentropy, class_weights, rate_at, without_smoothing
from keras_blocks.tuning.trials.callbacks import callbacks_at, place_of_callbacks

HERE = __name__

BASIC = {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.0, "batch_size": 32, "augmentation": "none"}
TINY = {"groups": [{"filters": [4]}], "input_shape": (4, 4, 1), "classes": 2, "stem": "tiny"}


@pytest.fixture
def few():
    """Twelve images of the class 0, three of the class 1."""
    images = np.random.default_rng(0).integers(0, 255, (30, 4, 4, 1), "uint8")
    labels = np.array(([0] * 4 + [1]) * 6)
    return Dataset.from_arrays("few", images, labels, images[:10], labels[:10], x_val=images[:10], y_val=labels[:10])


def candidate(**hyperparameters):
    return Candidate("SqueezeNet", TINY, {**BASIC, **hyperparameters})


def test_names_of_settings_are_those_that_there_are():
    assert set(typing.get_args(names.OptimizerName)) == {*how.OPTIMIZERS}
    assert set(typing.get_args(names.ScheduleName)) == {*how.SCHEDULES}
    assert typing.get_args(names.ClassWeight) == how.CLASS_WEIGHTS
    there = {name for name, value in vars(keras.optimizers).items() if isinstance(value, type)}
    none = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"}
    assert {name.lower() for name in there - none} == {*how.OPTIMIZERS}


@pytest.mark.parametrize("name", how.OPTIMIZERS)
def test_each_optimizer_is_made(name):
    made = how.OPTIMIZERS[name](0.5, 0.25)
    assert type(made).__name__.lower() == name
    assert (float(made.learning_rate), made.weight_decay) == (0.5, 0.25)
    assert how.OPTIMIZERS[name](0.5, 0.0).weight_decay in (None, 0.0)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("cosine", [1, 0.853553, 0.5, 0.146447, 0]),
        ("constant", [1, 1, 1, 1, 1]),
        ("cosine_restarts", [1, 0.146447, 0.853553, 0.308658, 0]),
        ("exponential", [1, 0.316228, 0.1, 0.0316228, 0.01]),
        ("inverse_time", [1, 0.307692, 0.181818, 0.129032, 0.1]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("piecewise", [1, 1, 0.1, 0.01, 0.01]),
        ("polynomial", [1, 0.5625, 0.25, 0.0625, 0]),
    ],
)
def test_schedules_are_what_their_names_say(schedule, rates):
    told = {"learning_rate": 1.0, "schedule": schedule}
    np.testing.assert_allclose([rate_at(epoch, told, 4) for epoch in range(5)], rates, atol=1e-6)
    warmed = {**told, "warmup": 0.5}
    np.testing.assert_allclose([rate_at(epoch, warmed, 8) for epoch in (2, *range(4, 9))], [0.5, *rates], atol=1e-6)
    assert set(how.SCHEDULES) >= {schedule}


def test_digests_of_0_1_0_stay_and_others_are_others():
    plain = candidate()
    assert plain.signature() == candidate(**how.LATER).signature()
    assert how.told_apart_by({"warmup": 0.0}) == {"warmup": 0.0, "lottery": 1}
    others = [{"schedule": "linear"}, {"label_smoothing": 0.1}, {"class_weight": "balanced"}, {"optimizer": "lion"}]
    assert len({plain.signature(), *(candidate(**other).signature() for other in others)}) == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"optimizer": "adamm"}, "`optimizer` must be .*adam"),
        ({"schedule": "cosin"}, "`schedule` must be .*cosine"),
        ({"label_smoothing": 1.0}, "`label_smoothing` must be"),
        ({"class_weight": "equal"}, "`class_weight` must be .*balanced"),
    ],
)
def test_wrong_ones_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        how.checked({**BASIC, **wrong})
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingSettings(**wrong)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HyperSqueezeNet((8, 8, 1), classes=2, **wrong)


def test_spaces_draw_them():
    space = HyperSqueezeNet(
        *((8, 8, 1), 2), optimizer=["lion", "sgd"], schedule=["linear", "constant"], label_smoothing=[0.0, 0.1]
    )
    drawn = space.hyperparameters(GivenSource({"optimizer": "lion", "schedule": "constant", "label_smoothing": 0.1}))
    assert (drawn["optimizer"], drawn["schedule"], drawn["label_smoothing"]) == ("lion", "constant", 0.1)
    assert 1e-4 < drawn["learning_rate"] < 1e-3
    assert {"lion_learning_rate", "sgd_learning_rate"} <= {*space.grid()}
    fixed = HyperSqueezeNet((8, 8, 1), classes=2, optimizer="rmsprop").hyperparameters(GivenSource({}))
    assert fixed["optimizer"] == "rmsprop" and fixed["learning_rate"] == pytest.approx(9.4868e-4, rel=1e-3)


def test_smoothing_is_that_of_keras_and_not_in_the_file():
    labels = np.array([0, 2, 1])
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]], "float32")
    theirs = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)(np.eye(3, dtype="float32")[labels], scores)
    for given in (labels, labels[:, None]):
        np.testing.assert_allclose(SmoothedCrossentropy(0.1)(given, scores), theirs, rtol=1e-6)
    model = candidate(label_smoothing=0.1).compiled()
    assert isinstance(model.loss, SmoothedCrossentropy)
    without_smoothing(model)
    assert model.loss == "sparse_categorical_crossentropy"


def test_balanced_classes_weigh_as_much():
    weights = class_weights({"class_weight": "balanced"}, np.array([0, 0, 0, 1]))
    assert weights == {0: pytest.approx(2 / 3), 1: 2.0}
    assert class_weights({}, np.array([0, 1])) is None


class Seen(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["val_seen"] = float(-epoch)
        logs["weight_loss"] = logs["loss"]


def seen():
    return [Seen()]


def none():
    return "none"


def wants(x):
    return [x]


def test_all_of_it_trains(few, eager):
    made = candidate(optimizer="lion", schedule="linear", label_smoothing=0.1, class_weight="balanced")
    trained = resumable.fit(
        made.compiled(), made.hyperparameters, few, epochs=2, monitor="val_seen:max", callbacks=seen()
    )
    assert (trained.best, trained.history["val_seen"]) == (0, [0.0, -1.0])  # what a callback logs can be the objective


@pytest.mark.parametrize("given", [seen, f"{HERE}:seen"])
def test_callbacks_are_made_where_a_training_is(given):
    where = place_of_callbacks(given)
    assert [type(one).__name__ for one in callbacks_at(where)] == ["Seen"]
    assert where["label"].endswith(":seen") and callbacks_at(None) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (none, "must return a list of keras.callbacks.Callback; it returned 'none'"),
        (wants, r"must be a function without arguments; it wants \['x'\]"),
        (lambda: [], "was made within a function"),
        ([Seen()], "must be a function that returns a list of callbacks"),
        ("seen", "must be such as 'my_module:my_callbacks'"),
        (f"{HERE}:gone", "has no 'gone'"),
        (f"{HERE}:BASIC", "must be a function without arguments; it is none"),
    ],
)
def test_what_makes_no_callbacks(given, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        place_of_callbacks(given)
    assert "`callbacks`" in str(caught.value)


def test_a_search_hands_them_to_its_trials_and_is_another_with_others(tmp_path):
    settings = SearchSettings(data="digits", trials=1, epochs=1)
    search = Search(settings, tmp_path / "run", callbacks=seen)
    assert search.settings.callbacks.endswith(":seen")
    assert callbacks_at(search.session._setup.callbacks)
    search.close()
    with pytest.raises(ValueError, match="callbacks="):
        Search(settings, tmp_path / "run")
    again = Search(dataclasses.replace(settings, callbacks=f"{HERE}:seen"), tmp_path / "run")
    again.close()


def test_a_named_model_is_trained_so(tmp_path):
    settings = TrainingSettings(optimizer="sgd", schedule="linear", weight_decay=0.5, callbacks=f"{HERE}:seen")
    training = SingleTraining("squeezenet_1.1", settings, tmp_path / "run")
    told = {"optimizer": "sgd", "schedule": "linear", "weight_decay": 0.5, "label_smoothing": 0.0}
    assert training.candidate.hyperparameters.items() >= told.items()
    before = SingleTraining("squeezenet_1.1", TrainingSettings(), tmp_path / "before").candidate
    plain = {**BASIC, "learning_rate": 3e-3, "weight_decay": 1e-4, "batch_size": 32, "augmentation": "light"}
    assert before.signature() == dataclasses.replace(before, hyperparameters=plain).signature()


@pytest.mark.parametrize("option", ["--optimizer", "--class-weight", "--batch-norm"])
def test_detectors_take_none_of_it(option, tmp_path):
    from keras_blocks.tuning.cli import app

    value = {"--optimizer": ["sgd"], "--class-weight": ["balanced"], "--batch-norm": []}[option]
    command = ["train", "faster_rcnn_squeezenet", "--data", str(tmp_path), option, *value]
    told = CliRunner().invoke(app, [*command, "--run", str(tmp_path / "run")])
    assert told.exit_code == 2 and f"{option} is for classifiers" in " ".join(told.output.split())


if run_all():

    @pytest.mark.parametrize("name", how.OPTIMIZERS)
    def test_each_optimizer_trains(name, few, eager):
        made = candidate(optimizer=name)
        assert len(resumable.fit(made.compiled(), made.hyperparameters, few, epochs=1).history["loss"]) == 1
