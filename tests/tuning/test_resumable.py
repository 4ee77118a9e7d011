"""A training that goes on in another process, after any epoch: as if it had not been interrupted."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.training import checkpoint, resumable, shared_weights

HOW = {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 0.0, "batch_size": 64, "augmentation": "none"}
NET = {"groups": [{"filters": [4]}], "stem": "tiny", "input_shape": (8, 8, 1), "classes": 10, "dropout": 0.1}


class Killed(BaseException):
    """Stands for kill -9."""


@pytest.fixture(scope="module")
def few(digits):
    images, labels = digits.x_train[:128], digits.y_train[:128]
    return Dataset.from_arrays("few", images, labels, digits.x_test[:20], digits.y_test[:20])


@pytest.fixture
def model(few):
    keras.utils.set_random_seed(3)
    return Candidate("SqueezeNet", NET, HOW).compiled(scale=few.scale)


def trained(model, few, path, *, epochs=4, signature="s", kill=None, watch=None):
    def watching(done, logs):
        if done == kill:
            raise Killed
        return watch and watch(done, logs)

    return resumable.fit(model, HOW, few, epochs=epochs, path=path, signature=signature, watch=watching)


def fresh(few):
    keras.utils.set_random_seed(9)
    return Candidate("SqueezeNet", NET, HOW).compiled(scale=few.scale)


def test_it_goes_on_after_the_last_epoch(model, few, tmp_path):
    path = tmp_path / "checkpoints" / "0.npz"
    with pytest.raises(Killed):
        trained(model, few, path, kill=2)
    rates = []
    again = fresh(few)
    states = [np.asarray(variable) for variable in model.optimizer.variables]

    def watch(done, logs):
        rates.append(float(again.optimizer.learning_rate))

    state, _ = checkpoint.load(path, again)
    assert len(state["history"]["loss"]) == 2
    for variable, value in zip(again.optimizer.variables, states):
        np.testing.assert_array_equal(variable, value)
    for variable, other in zip(again.variables, model.variables):
        np.testing.assert_array_equal(variable, other)
    found = trained(again, few, path, watch=watch)
    assert found.resumed == 2
    assert all(len(values) == 4 for values in found.history.values())
    assert found.history["loss"][:2] == state["history"]["loss"]
    assert rates == pytest.approx([0.05 * (1 + np.cos(np.pi * epoch / 4)) / 2 for epoch in (2, 3)], rel=0.35)
    assert found.best == int(np.argmin(found.history["val_loss"]))
    metrics = again.evaluate(few.x_val, few.y_val, verbose=0, return_dict=True)
    assert metrics["loss"] == pytest.approx(min(found.history["val_loss"]), rel=1e-4)


@pytest.mark.parametrize("damage", ["cut", "noise", "other"])
def test_a_damaged_checkpoint_is_set_aside_and_reported(damage, model, few, tmp_path):
    path = tmp_path / "0.npz"
    trained(model, few, path, epochs=2, signature="other" if damage == "other" else "s")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-500])
    elif damage == "noise":
        path.write_bytes(b"noise")
    damaged, again = path.read_bytes(), fresh(few)
    if damage != "other":
        before = again.get_weights()
        with pytest.raises(ValueError, match=r"0\.npz cannot be read"):
            checkpoint.load(path, again)
        for one, two in zip(before, again.get_weights()):
            np.testing.assert_array_equal(one, two)
    found = trained(again, few, path, epochs=2)
    (note,) = found.notes
    assert note.endswith("it was kept as 0.npz.damaged-1")
    assert (tmp_path / "0.npz.damaged-1").read_bytes() == damaged
    assert found.resumed == 0
    assert len(found.history["loss"]) == 2


def test_a_kill_while_it_writes_leaves_the_old_one(model, few, tmp_path, monkeypatch):
    path = tmp_path / "0.npz"
    trained(model, few, path, epochs=2)
    sound = path.read_bytes()

    def dying(file, **arrays):
        file.write(b"half")
        raise Killed

    monkeypatch.setattr(np, "savez", dying)
    with pytest.raises(Killed):
        checkpoint.save(path, model=model, best=[], state={})
    assert path.read_bytes() == sound


def test_a_trial_is_ended_early(model, few, tmp_path):
    found = trained(model, few, tmp_path / "0.npz", watch=lambda done, logs: done == 1)
    assert found.pruned
    assert len(found.history["loss"]) == 1


def test_weights_go_to_later_trials_of_the_same_architecture(model, few, tmp_path):
    path, other = tmp_path / "weights" / "a.npz", fresh(few)
    assert not shared_weights.take(other, path)
    shared_weights.leave(model, path)
    assert shared_weights.take(other, path)
    for one, two in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(one, two)
    wider = Candidate("SqueezeNet", {**NET, "groups": [{"filters": [8]}]}, HOW).compiled()
    assert not shared_weights.take(wider, path)
    path.write_bytes(path.read_bytes()[:-99])
    notes = []
    assert not shared_weights.take(other, path, note=notes.append)
    (note,) = notes
    assert "a.npz cannot be read" in note
    assert note.endswith("kept as a.npz.damaged-1")
    assert not path.exists()


def test_a_training_without_a_better_epoch_runs_out_of_patience(model, few, tmp_path):
    """Also one that is killed just then, and gone on with."""
    how, path = {**HOW, "learning_rate": 1e-12}, tmp_path / "0.npz"  # no epoch can be better by what it learned
    validation = dataclasses.replace(few, x_val=few.x_val * 0)  # nor by chance: all images are the same
    options = {"epochs": 9, "monitor": "val_accuracy", "patience": 2, "path": path, "signature": "s"}
    with pytest.raises(Killed):
        resumable.fit(model, how, validation, watch=lambda done, logs: _kill_at(3, done), **options)
    again = resumable.fit(fresh(few), how, validation, **options)
    assert (again.resumed, again.best, len(again.history["loss"]), again.pruned) == (3, 0, 3, False)
    whole = resumable.fit(fresh(few), how, validation, **{**options, "path": None})
    assert (whole.best, len(whole.history["loss"])) == (0, 3)
    assert (
        len(resumable.fit(fresh(few), how, validation, **{**options, "path": None, "patience": 8}).history["loss"]) == 9
    )


def _kill_at(epoch, done):
    if done == epoch:
        raise Killed
