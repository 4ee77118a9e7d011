"""Validations that decide have BatchNormalization's statistics taken anew; the training goes on with its own."""

import keras
import numpy as np
import pytest

from keras_blocks import FireBlock
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.training import checkpoint, resumable
from keras_blocks.tuning.training.moving_statistics import PreciseBatchNorm, batches_of, trained_normalizations
from keras_blocks.tuning.trials.protocol import TrialRequest
from keras_blocks.tuning.trials.tasks import GivenTask, ImagesTask
from keras_blocks.tuning.user_spaces.given_data import GivenData
from keras_blocks.tuning.user_spaces.hyper_model import HyperModelSpace

layers = keras.layers
pytestmark = pytest.mark.usefixtures("eager")

SHAPE = (4, 4, 2)


class Own(keras.Model):
    """A subclassed one, whose normalizations lie within another model, and within a block of ours."""

    def __init__(self, frozen=False):
        super().__init__()
        self.begin = keras.Sequential([keras.Input(SHAPE), layers.BatchNormalization(name="first")])
        self.block = FireBlock(2, batch_norm=True)
        self.begin.get_layer("first").trainable = not frozen
        self.end = [layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(2)]

    def call(self, inputs, training=None):
        x = self.block(self.begin(inputs, training=training), training=training)
        for layer in self.end:
            x = layer(x)
        return x


def functional():
    inputs = keras.Input(SHAPE)
    x = layers.BatchNormalization(name="first")(inputs)
    x = layers.Conv2D(3, 3, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.Dropout(0.1)(layers.ReLU()(x)))))


def compiled(model):
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model(np.zeros((1, *SHAPE), "float32"))
    return model


@pytest.fixture
def data(rng):
    x = rng.normal(3.0, 2.0, (24, *SHAPE)).astype("float32")
    return x, rng.integers(0, 2, 24)


def first_of(model):
    return next(layer for layer in trained_normalizations(model) if layer.name == "first")


def value(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


@pytest.mark.parametrize("make", [functional, pytest.param(Own, marks=pytest.mark.once)])
def test_statistics_are_the_data_s_while_it_validates_and_the_training_s_after(make, data):
    x, y = data
    model, during = compiled(make()), {}
    precise = PreciseBatchNorm([2], lambda: batches_of(data, 8, 16))

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch + 1

        def on_test_begin(self, logs=None):
            during[self.epoch] = value(first_of(model).moving_mean), value(first_of(model).moving_variance)

        def on_epoch_end(self, epoch, logs=None):
            during[-self.epoch] = precise.weights(model), model.get_weights()

    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, validation_data=data, callbacks=[precise, Look()], verbose=0)
    parts = np.split(x, 3)
    assert during[1][0] == pytest.approx(x.mean((0, 1, 2)) * (1 - 0.99**3), rel=0.05)  # the lag that is meant
    assert during[2][0] == pytest.approx(x.mean((0, 1, 2)), rel=1e-4)
    # Batches were drawn: the mean of variances is that of any 3 parts to a few per cent.
    assert during[2][1] == pytest.approx(np.mean([part.var((0, 1, 2)) for part in parts], 0), rel=0.1)
    assert value(first_of(model).moving_mean) == pytest.approx(x.mean((0, 1, 2)) * (1 - 0.99**6), rel=0.05)
    precise_weights, own = during[-2]
    different = [i for i, (one, two) in enumerate(zip(precise_weights, own)) if not np.allclose(one, two)]
    moving = [i for i, variable in enumerate(model.weights) if "moving" in variable.path]
    assert different == moving and len(moving) >= 4
    for one, two in zip(*during[-1]):  # the first epoch decides nothing
        np.testing.assert_array_equal(one, two)
    assert all(layer.momentum > 0 for layer in trained_normalizations(model))
    assert not any(variable.path.count("in_training") for variable in model.variables)


@pytest.mark.once
def test_the_training_is_as_it_was_without(data):
    """Weights and statistics. What is random is drawn on; PyTorch has one state for all of it."""
    x, y = data
    ends = []
    for deciding in ([], [1, 2]):
        keras.utils.set_random_seed(1)
        model = compiled(functional())
        model.layers[-3].rate = 0.0
        callback = PreciseBatchNorm(deciding, lambda: batches_of(data, 8, 16))
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, validation_data=data, callbacks=[callback], verbose=0)
        ends.append([value(variable) for variable in model.variables])
    for one, two in zip(*ends):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.once
def test_one_that_is_frozen_stays(data):
    model = compiled(Own(frozen=True))
    assert [layer.name for layer in trained_normalizations(model) if layer.name == "first"] == []
    precise = PreciseBatchNorm([1], lambda: batches_of(data, 8, 16))
    model.fit(*data, batch_size=8, validation_data=data, callbacks=[precise], verbose=0)
    for variable, weight in zip(model.weights, precise.weights(model)):
        if "first" in variable.path and "moving" in variable.path:
            np.testing.assert_array_equal(weight, 1.0 if "variance" in variable.path else 0.0)


@pytest.mark.once
def test_a_model_that_cannot_be_called_is_validated_as_before_and_says_so(data):
    model, notes = compiled(functional()), []

    def fails():
        raise OSError("these data are gone through once")
        yield

    precise = PreciseBatchNorm([1, 2], fails, notes.append)
    history = model.fit(*data, epochs=2, validation_data=data, callbacks=[precise], verbose=0).history
    assert len(history["val_loss"]) == 2
    (note,) = notes
    assert note == (
        "its BatchNormalization is validated with moving averages: OSError: these data are gone through once"
    )
    for one, two in zip(precise.weights(model), model.get_weights()):
        np.testing.assert_array_equal(one, two)


class Parts(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return np.full((2, 1), index), np.zeros(2)


@pytest.mark.parametrize(
    ("part", "size", "sizes"),
    [
        ((np.arange(10.0)[:, None], np.arange(10)), 4, [4, 4]),
        ((np.arange(3.0)[:, None], np.arange(3)), 4, [3]),
        (({"a": np.arange(40), "b": np.arange(80).reshape(40, 2)}, np.arange(40)), None, [32]),
        (([np.arange(5), np.arange(5)], np.arange(5), np.ones(5)), 1, [1, 1]),
        (Parts(), None, [2, 2]),
        ([(np.zeros((3, 1)), np.zeros(3))] * 5, None, [3, 3]),
        ([np.zeros((3, 1))], None, [3]),
    ],
)
@pytest.mark.once
def test_batches_are_those_of_the_data(part, size, sizes):
    found = list(batches_of(part, size, count=2))
    assert [len(keras.tree.flatten(batch)[0]) for batch in found] == sizes
    if isinstance(part, tuple) and isinstance(part[0], dict):
        assert all(np.array_equal(batch["b"][:, 0], 2 * batch["a"]) for batch in found)


def by_eights(hp):
    hp.Fixed("batch_size", 8)
    return compiled(functional())


@pytest.mark.once
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kind", [ImagesTask, GivenTask])
def test_as_many_batches_are_taken_as_the_request_says(kind, count, data, tmp_path):
    """A study may have been begun with another number than that of today."""
    drawn = {"hyperparameters": {"batch_size": 8, "learning_rate": 0.01}}
    if kind is ImagesTask:
        task = ImagesTask(Dataset("few", *data, *data, *data, class_names=["0", "1"], scale=1.0))
        drawn |= {"architecture": "ResNet", "metaparameters": {}}
    else:
        space = HyperModelSpace.of(by_eights)
        task = GivenTask(space, GivenData.from_function(lambda: (data, data, data), "mine:data", None))
    model = compiled(functional())
    model.optimizer.build(model.trainable_variables)
    path = str(tmp_path / "0.npz")
    request = TrialRequest(0, drawn, "s", 1, "val_loss", 0, path, path, deciding=[1], batches=count)
    trained = task.job(drawn).fit(model, request, watch=lambda done, logs: None)
    rows = np.random.default_rng(0).permutation(24)[: 8 * count]
    assert value(first_of(model).moving_mean) == pytest.approx(data[0][rows].mean((0, 1, 2)), rel=1e-4)
    assert trained.notes == []


def test_a_checkpoint_has_the_training_s_own_statistics_and_the_best_epoch_those_it_was_judged_with(data, tmp_path):
    class Killed(BaseException):
        pass

    def watch(done, logs):
        if done == 1:
            raise Killed

    dataset = Dataset("few", *data, *data, *data, class_names=["0", "1"], scale=1.0)
    how = {"learning_rate": 0.01, "batch_size": 8}
    options = {"epochs": 2, "path": tmp_path / "0.npz", "signature": "s", "deciding": [1, 2], "batches": 16}
    model = compiled(functional())
    model.optimizer.build(model.trainable_variables)
    with pytest.raises(Killed):
        resumable.fit(model, how, dataset, watch=watch, **options)
    again = compiled(functional())
    again.optimizer.build(again.trainable_variables)
    state, best = checkpoint.load(tmp_path / "0.npz", again)
    lagging = value(first_of(again).moving_mean)
    place = next(i for i, variable in enumerate(again.weights) if "first/moving_mean" in variable.path)
    assert lagging == pytest.approx(data[0].mean((0, 1, 2)) * (1 - 0.99**3), rel=0.1)
    assert best[place] == pytest.approx(data[0].mean((0, 1, 2)), rel=1e-4)
    found = resumable.fit(again, how, dataset, **options)
    loss = again.evaluate(*data, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(min(found.history["val_loss"]), rel=1e-4)
    assert found.history["val_loss"][0] == state["history"]["val_loss"][0]
    assert found.notes == []
