"""What people give to `tuner.search`: taken and used, or refused at once with the fix, trial by trial never."""

import keras
import keras_tuner
import numpy as np
import pytest

import keras_blocks
from keras_blocks.tuning import HyperSqueezeNet, OptunaOracle
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.spaces.families import space_for
from keras_blocks.tuning.training.fit import fit

pytestmark = pytest.mark.usefixtures("eager")

IMAGES = np.random.default_rng(0).integers(0, 17, (48, 8, 8, 1)).astype("uint8")
LABELS = np.arange(48) % 3


class HyperOne(HyperSqueezeNet):
    """One architecture: how it is trained is drawn."""

    def table(self):
        return {"groups": 1, "filters": 4, "growth": 1.0, "blocks": 1, "stem": "tiny"}


class Batches(keras.utils.PyDataset):
    """16 images a step."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return IMAGES[16 * i : 16 * i + 16], LABELS[16 * i : 16 * i + 16]


def space(**overrides):
    fixed = {"activation": "relu", "optimizer": "sgd", "augmentation": "none", "weight_decay": 0.0}
    return HyperOne((8, 8, 1), classes=3, scale=1 / 16, **fixed, **overrides)


def searched(folder, hyper, *args, oracle=keras_tuner.RandomSearch, **kwargs):
    tuner = oracle(hyper, objective="loss", max_trials=1, seed=1, directory=folder, project_name="calls")
    tuner.search(*args, verbose=0, **kwargs)
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "COMPLETED", trial.message
    return trial.hyperparameters.values


class Steps(keras.callbacks.Callback):
    """Counts them in a list, which a tuner's copy of the callback shares."""

    seen: list = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(batch)


@pytest.fixture
def steps():
    Steps.seen = []
    return Steps.seen


def test_data_with_batches_of_their_own_are_trained_on_as_they_are(tmp_path, steps):
    """No batch size is drawn, recorded or shown."""
    given = searched(tmp_path, space(batch_size=None), Batches(1), validation_data=Batches(1), callbacks=[Steps()])
    assert "batch_size" not in given
    assert steps == [0, 1, 2]


@pytest.mark.once
def test_what_fit_takes_is_taken(tmp_path, steps):
    """By place too; a batch size that the space was given may be given again."""
    options = {"validation_split": 0.25, "shuffle": False, "sample_weight": np.ones(48), "callbacks": [Steps()]}
    given = searched(tmp_path, space(batch_size=12), IMAGES, LABELS, 12, 2, **options)
    assert "batch_size" not in given
    assert steps == [0, 1, 2, 0, 1, 2]


def endless():
    while True:
        yield IMAGES[:16], LABELS[:16]


RATES = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)
PLATEAU = keras.callbacks.ReduceLROnPlateau()


@pytest.mark.once
@pytest.mark.parametrize(
    ("overrides", "args", "kwargs", "message"),
    [
        ({}, (IMAGES, LABELS), {"batch_size": 16}, r"`batch_size` .*received 16.*HyperOne\(..., batch_size=16\)"),
        ({}, (IMAGES, LABELS, 16), {}, r"`batch_size` .*from \[32, 64\]; received 16.*HyperOne\(..., batch_size=16\)"),
        ({"batch_size": 32}, (IMAGES, LABELS), {"batch_size": 16}, "`batch_size` .*received 16 where that has 32"),
        ({}, (Batches(1),), {}, "`batch_size` must be None for Batches.*`batch_size=None`: then it is not drawn"),
        ({"batch_size": 16}, (Batches(1),), {}, "`batch_size` must be None for Batches.*has 16"),
        ({"batch_size": None}, (IMAGES, LABELS), {}, "`batch_size` must be a number for arrays"),
        ({}, (IMAGES, LABELS), {"epoch": 3}, "`argument of fit` must be one of.*'epoch'. Did you mean 'epochs'"),
        ({}, (IMAGES, LABELS), {"epochs": 0}, "`epochs` must be an integer from 1.*received 0"),
        ({}, (IMAGES, LABELS), {"epochs": None}, "`epochs` must be an integer from 1.*None"),
        ({}, (IMAGES, LABELS), {"y": LABELS}, "multiple values for argument 'y'"),
        ({}, (IMAGES, LABELS), {"class_weight": {0: 2.0}, "sample_weight": LABELS}, "`class_weight` must be None"),
    ],
)
def test_what_no_trial_could_use_ends_a_search_at_once(overrides, args, kwargs, message, model):
    """KerasTuner lets this error through."""
    with pytest.raises(keras_tuner.errors.FatalValueError, match=message):
        space(**overrides).fit(keras_tuner.HyperParameters(), model, *args, **kwargs)


@pytest.fixture(scope="module")
def model():
    made = keras_blocks.SqueezeNet([{"filters": [4]}], stem="tiny", input_shape=(8, 8, 1), classes=3)
    made.compile("sgd", "sparse_categorical_crossentropy")
    return made


@pytest.fixture
def untrained(monkeypatch, model):
    """A space whose models are one: what is refused is refused before they train."""
    monkeypatch.setattr(HyperOne, "build", lambda self, hp: (self.declare_hyperparameters(hp), model)[1])
    return model


@pytest.mark.once
def test_tuners_and_oracles_end_and_plain_fits_say_it(untrained, tmp_path):
    with pytest.raises(keras_tuner.errors.FatalValueError, match="`batch_size`"):
        searched(tmp_path, space(), IMAGES, LABELS, batch_size=16)
    hyper = space()
    tuner = keras_tuner.Tuner(OptunaOracle("loss", max_trials=2), hyper, directory=tmp_path, project_name="ours")
    with pytest.raises(keras_tuner.errors.FatalValueError, match="`batch_size`"):
        tuner.search(IMAGES, LABELS, batch_size=16, verbose=0)
    with pytest.raises(ValueError, match=r"`batch_size` must be left out.*received 16 where that has 8"):
        fit(untrained, {"learning_rate": 0.1, "batch_size": 8}, IMAGES, LABELS, batch_size=16)


@pytest.mark.once
def test_a_tuner_does_not_draw_what_the_space_has_fixed(untrained, tmp_path):
    """Of a project that was begun with another space, or as `hyperparameters` of its own."""
    options = {"objective": "loss", "max_trials": 2, "directory": tmp_path, "project_name": "calls"}
    keras_tuner.RandomSearch(space(), **options).save()
    tuner = keras_tuner.RandomSearch(space(batch_size=16), **options)
    with pytest.raises(
        keras_tuner.errors.FatalValueError, match=r"`batch_size` must not be drawn.* fixed to 16.*project"
    ):
        tuner.search(IMAGES, LABELS, verbose=0)
    hp = keras_tuner.HyperParameters()
    hp.Choice("optimizer", ["adamw", "sgd"])
    with pytest.raises(keras_tuner.errors.FatalValueError, match=r"`optimizer` must not be drawn.* fixed to 'sgd'"):
        keras_tuner.RandomSearch(space(), "loss", directory=tmp_path, project_name="own", hyperparameters=hp)


@pytest.mark.once
def test_a_search_of_ours_needs_a_batch_size():
    """Its images are arrays."""
    data = Dataset.from_arrays("few", IMAGES, LABELS, IMAGES, LABELS)
    for text in ("none", "none,16"):
        with pytest.raises(ValueError, match=r"`batch_size` must be numbers.*received None"):
            space_for("squeezenet", data, {"batch_size": text})
