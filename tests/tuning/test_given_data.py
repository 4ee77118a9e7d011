"""Data of a user's own: what Keras trains on, in parts, from a function that each trial's process calls."""

import keras
import numpy as np
import pytest
from published import getting_started
from thorough import run_all

from keras_blocks.tuning import SearchSettings, load_dataset
from keras_blocks.tuning.search.problem import problem_of
from keras_blocks.tuning.trials.tasks import GivenTask
from keras_blocks.tuning.user_spaces import given_training
from keras_blocks.tuning.user_spaces.given_data import GivenData
from keras_blocks.tuning.user_spaces.hyper_model import HyperModelSpace

pytestmark = pytest.mark.once

X, Y = np.arange(24, dtype="float32").reshape(12, 2) / 24, np.arange(12, dtype="float32").reshape(12, 1) / 12
NAMED = {"left": X, "right": X[:, :1]}


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X[4 * index : 4 * index + 4], Y[4 * index : 4 * index + 4]


def of_tensorflow():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)


def of_torch():
    if not run_all():
        pytest.skip("PyTorch is long to import; make test-all")
    torch = pytest.importorskip("torch")
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*map(torch.tensor, (X, Y))), batch_size=4)


def of_grain():
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(list(zip(X, Y))).batch(4)


PARTS = {
    "arrays": lambda: (X, Y),
    "weighted arrays": lambda: (X, Y, np.ones(12, "float32")),
    "several inputs and outputs": lambda: (NAMED, {"one": Y, "other": Y}),
    "tf.data": of_tensorflow,
    "PyDataset": Batches,
    "DataLoader": of_torch,
    "grain": of_grain,
}


def plain(hp):
    model = keras.Sequential([keras.layers.Dense(hp.Fixed("units", 1))])
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def branched(hp):
    left, right = keras.Input((2,), name="left"), keras.Input((1,), name="right")
    x = keras.layers.Concatenate()([left, right])
    outputs = {name: keras.layers.Dense(1, name=name)(x) for name in ("one", "other")}
    model = keras.Model({"left": left, "right": right}, outputs)
    model.compile("sgd", {"one": "mse", "other": "mae"}, run_eagerly=True)
    return model


def data_of(*parts, name="mine:data", identity=None):
    return GivenData.from_function(lambda: parts, name, identity)


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")  # by Keras itself, to what shuffles by itself
@pytest.mark.parametrize("name", PARTS)
def test_all_that_keras_trains_on_is_trained_on(name):
    part = PARTS[name]()
    data = data_of(part, part, part)
    space = HyperModelSpace.of(branched if "several" in name else plain)
    space.example = data.example()
    job = GivenTask(space, data).job({"hyperparameters": {}})
    model = job.build()
    trained = given_training.fit(job.candidate, model, data, epochs=1, monitor="val_loss")
    assert np.isfinite(trained.history["val_loss"]).all()
    assert given_training.tested(model, data)["loss"] == pytest.approx(trained.history["val_loss"][0], rel=1e-4)
    assert {leaf.shape[0] for leaf in keras.tree.flatten(data.example())} == {1}
    assert job.latency(model) > 0


def test_what_tells_data_apart():
    arrays = data_of((X, Y), (X, Y)).fingerprint()
    assert arrays == data_of((X.copy(), Y), (X, Y), name="elsewhere:data").fingerprint()
    changed = X.copy()
    changed[3, 1] += 1e-6
    assert len({arrays, data_of((changed, Y), (X, Y)).fingerprint(), data_of((Y, X), (X, Y)).fingerprint()}) == 3
    assert (
        data_of((NAMED, Y), (NAMED, Y)).fingerprint() != data_of((dict(NAMED, left=X + 1), Y), (NAMED, Y)).fingerprint()
    )
    assert data_of(Batches(), (X, Y)).fingerprint() == "mine:data"
    assert data_of(Batches(), (X, Y), identity="june").fingerprint() == "june"


def test_a_named_data_set_is_scaled():
    data = GivenData.from_dataset(load_dataset("digits"))
    assert data.train[0].max() == 1 and data.train[0].dtype == "float32"
    assert data.described() == "train of 1,222, validation of 216, test of 359"


WRONG = {
    "no parts": ((X,), TypeError, r"must return \(train, validation\) or \(train, validation, test\)"),
    "a generator": (
        ((item for item in ()), (X, Y)),
        TypeError,
        "mine:data .train. must be what can be gone through again",
    ),
    "unequal lengths": (((X, Y[:5]), (X, Y)), ValueError, r"must have as many x as y, .* received \[5, 12\]"),
    "lists of numbers": ((([1, 2], [3, 4]), (X, Y)), TypeError, r"must be \(x, y\) of arrays, or what makes batches"),
    "empty": (((X[:0], Y[:0]), (X, Y)), ValueError, "at least one"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_are_no_data_is_refused(name):
    parts, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        data_of(*parts)


def test_what_needs_arguments_is_refused():
    with pytest.raises(TypeError, match=r"must be a function without arguments; it wants \['path'\]"):
        GivenData.from_function(lambda path: None, "mine:data")


def problem(space=plain, data=getting_started.digits, **settings):
    return problem_of(SearchSettings(**settings), space, data)


REFUSED = {
    "arrays": (lambda: problem(data=(X, Y)), TypeError, "`data` must be a function that returns .*; received a tuple"),
    "a lambda": (lambda: problem(data=lambda: None), ValueError, "`data`: .*<lambda> was made within a function"),
    "a lambda as space": (lambda: problem(space=lambda hp: None), ValueError, "`space`: .* was made within a function"),
    "no module": (
        lambda: problem(data="no_such_module:data"),
        ValueError,
        "there is no module 'no_such_module' in the",
    ),
    "no such name": (
        lambda: problem(data="published.getting_started:digit"),
        ValueError,
        r"has no 'digit'; it has \[.*'digits'",
    ),
    "a number": (
        lambda: problem(space=3),
        TypeError,
        "`space` must be a keras_tuner.HyperModel, a keras_tuner.Tuner with one, or a",
    ),
    "a model": (lambda: problem(space=keras.Sequential()), TypeError, "`space` must be a keras_tuner.HyperModel"),
    "several arguments": (lambda: problem(space=two), TypeError, r"wants \['filters', 'blocks'\].*take HyperFunction"),
    "no space": (lambda: problem(space=None), ValueError, "`space` must be given with data of your own"),
    "parts": (lambda: problem(parts={"groups": 1}), ValueError, "`parts` are of this library's spaces"),
    "sizes": (
        lambda: problem(begin="sizes"),
        ValueError,
        "`begin` must be none, largest or defaults with a space of your own",
    ),
    "shared weights": (lambda: problem(keep_weights=True), ValueError, "`keep_weights` must be False"),
    "no model": (lambda: problem(space=nothing), ValueError, "must build a keras.Model; it gave None"),
    "a budget": (lambda: problem(space=lazy, max_macs=10), ValueError, "`max_macs` cannot hold for .*:lazy"),
    "a direction": (lambda: SearchSettings(objectives="val_auc"), ValueError, "needs its direction: 'val_auc:max' or"),
    "a misspelled one": (lambda: SearchSettings(objectives="val_acuracy"), ValueError, "Did you mean 'val_accuracy'"),
    "a wrong way": (lambda: SearchSettings(objectives="val_loss:max"), ValueError, "'val_loss' is to minimize"),
    "no direction": (lambda: SearchSettings(objectives="val_auc:up"), ValueError, "`objectives` must be one of"),
}


def two(filters, blocks):
    return None


def nothing(hp):
    return None


class Lazy(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, inputs):
        return self.dense(keras.ops.reshape(inputs["image"], (-1, 4)))


def lazy(hp):
    return Lazy()


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_no_search_is_refused(name):
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        make()


def test_objectives_are_taken_as_keras_tuner_has_them():
    import keras_tuner

    given = SearchSettings(objectives=[keras_tuner.Objective("val_auc", "max"), "params", "val_loss:min"])
    assert given.objectives == ("val_auc:max", "params", "val_loss")
    assert [objective.direction for objective in given.judged_by] == ["maximize", "minimize", "minimize"]
    assert given.monitor == "val_auc:max"
    assert SearchSettings(objectives=("params", "val_loss")).monitor == "val_loss"
    assert SearchSettings(objectives=keras_tuner.Objective("f1", "min"), pruner="median").objectives == ("f1:min",)
