"""Cross-validation: what the folds are, what comes of them, and that a killed trial goes on in its fold."""

import keras
import numpy as np
import pytest

from keras_blocks.tuning import SearchSettings
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.training.checkpoint import state_of
from keras_blocks.tuning.trials import tasks
from keras_blocks.tuning.trials.protocol import TrialRequest
from keras_blocks.tuning.user_spaces import fold_training
from keras_blocks.tuning.user_spaces.folds import check_folds, fold_of
from keras_blocks.tuning.user_spaces.given_data import GivenData
from keras_blocks.tuning.user_spaces.hyper_model import HyperModelSpace


@pytest.fixture
def images():
    """Each image's grey is its number; the last two are the test part."""
    x = np.arange(26, dtype="uint8")[:, None, None, None] * np.ones((1, 2, 2, 1), "uint8")
    y = np.arange(26) % 2
    return Dataset.from_arrays("few", x[:18], y[:18], x[24:], y[24:], x_val=x[18:24], y_val=y[18:24])


def rows(inputs=None):
    """24 examples, of which the input is the number."""
    x = np.arange(24.0, dtype="float32")[:, None]
    x = x if inputs is None else dict.fromkeys(inputs, x)

    def part(begin, end):
        return keras.tree.map_structure(lambda leaf: leaf[begin:end], (x, np.arange(24) % 3))

    return GivenData("rows", part(0, 16), part(16, 24), part(0, 2))


def numbers(images_):
    return np.asarray(images_)[:, 0, 0, 0].tolist()


def test_each_image_validates_once_and_each_fold_has_its_share_of_each_class(images):
    found = [fold_of(images, number, 4, seed=1) for number in range(4)]
    assert sorted(number for fold in found for number in numbers(fold.x_val)) == list(range(24))
    for fold in found:
        assert sorted(numbers(fold.x_train) + numbers(fold.x_val)) == list(range(24))
        assert np.bincount(fold.y_val).tolist() == [3, 3]
        assert [number % 2 for number in numbers(fold.x_train)] == fold.y_train.tolist()
        assert fold.x_test is images.x_test
    assert numbers(fold_of(images, 0, 4, seed=2).x_val) != numbers(found[0].x_val)


@pytest.mark.parametrize("inputs", [None, ("a", "b")])
def test_arrays_of_ones_own_are_divided_too(inputs):
    data = rows(inputs)
    check_folds(data, 5)
    found = [fold_of(data, number, 5, seed=0) for number in range(5)]
    for fold in found:
        leaves = keras.tree.flatten(fold.validation)
        assert len({len(leaf) for leaf in leaves}) == 1 and leaves[0].ravel().tolist() == sorted(leaves[0].ravel())
        assert (leaves[0].ravel() % 3 == leaves[-1]).all()
    assert sorted(np.concatenate([keras.tree.flatten(fold.validation)[0].ravel() for fold in found])) == [*range(24)]
    assert max(len(keras.tree.flatten(fold.validation)[0]) for fold in found) == 5


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return np.zeros((2, 1)), np.zeros(2)


def test_what_cannot_be_divided_is_said(images, tmp_path):
    with pytest.raises(ValueError, match=r"`folds` .* received 13, and the class '0' has 12"):
        check_folds(images, 13)
    with pytest.raises(ValueError, match=r"`folds` must be None unless the data are arrays.*Batches"):
        check_folds(GivenData("own", Batches(), Batches()), 2)
    with pytest.raises(ValueError, match=r"`folds` .* received 25 for 24"):
        check_folds(rows(), 25)
    part = (np.zeros((4, 2)), np.zeros(4))
    with pytest.raises(ValueError, match="of the same arrays"):
        check_folds(GivenData("own", part, (np.zeros((4, 3)), np.zeros(4))), 2)
    with pytest.raises(ValueError, match=r"`pruner` must be 'none' with `folds`; received 'median' with 5 folds"):
        SearchSettings(folds=5, pruner="median")
    with pytest.raises(ValueError, match="`keep_weights` must be False with `folds`"):
        SearchSettings(folds=5, keep_weights=True)
    with pytest.raises(ValueError, match="`folds` must be"):
        SearchSettings(folds=1)
    settled, rungs = SearchSettings(folds=5, max_seconds=60).settled()
    # "auto" prunes nothing that is trained several times.
    assert (settled.pruner, rungs.prunes, rungs.deciding()) == ("none", False, [5])


def test_means_are_over_what_all_folds_have():
    found = fold_training.mean_of([{"loss": [1.0, 2.0, 9.0], "own": [1.0]}, {"loss": [3.0, 4.0]}])
    assert found == {"loss": [2.0, 3.0], "loss_spread": [pytest.approx(2**0.5)] * 2}


def build(hp):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(hp.Int("units", 1, 3)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    return model


class Killed(RuntimeError):
    pass


def test_a_killed_trial_goes_on_in_its_fold(tmp_path):
    space, data, told = HyperModelSpace.of(build), rows(), []
    space.example = data.example()
    request = TrialRequest(
        number=0,
        candidate={"hyperparameters": {"units": 2}},
        signature="s",
        epochs=2,
        monitor="val_loss:min",
        seed=5,
        checkpoint=str(tmp_path / "0.npz"),
        model="",
    )

    def begin(kill_at=None):
        job = tasks.GivenTask(space, data, tasks.UserSettings(folds=2)).job(request.candidate)

        def watch(done, logs):
            told.append(done)
            if done == kill_at:
                raise Killed

        keras.utils.set_random_seed(request.seed)
        model = job.build()
        return model, job, job.fit(model, request, watch=watch)

    for kill_at, resumed in ((2, 1), (3, 3)):  # after the last epoch of a fold nothing is written before its end
        (tmp_path / "0.npz").unlink(missing_ok=True)
        with pytest.raises(Killed):
            begin(kill_at)
        told.clear()
        model, job, again = begin()
        assert (again.resumed, again.notes, told) == (resumed, [], [*range(resumed + 1, 5)])
    assert {*again.history} == {"loss", "loss_spread", "val_loss", "val_loss_spread"}
    assert all(len(values) == 2 for values in again.history.values()) and min(again.history["val_loss_spread"]) > 0
    metrics = job.told(again)["metrics"]
    assert metrics["val_loss"] == min(again.history["val_loss"]) and metrics["val_loss_spread"] > 0
    assert len(state_of(tmp_path / "0.npz")["folds"]) == 1
    assert model.built
