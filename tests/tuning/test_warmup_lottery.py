"""The sources' practice: warm-up, and a lottery of initializations."""

import keras
import numpy as np
import pytest

import keras_blocks
from keras_blocks.tuning.training import fit as training
from keras_blocks.tuning.training.fit_arguments import WrongCall
from keras_blocks.tuning.training.hyperparameters import TrainingDiverged, checked
from keras_blocks.tuning.training.lottery import lottery

SMALL = {"groups": [{"filters": [4]}], "stem": "tiny", "input_shape": (8, 8, 1), "classes": 10, "batch_norm": True}
HOW = {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 0.0, "batch_size": 32, "augmentation": "none"}


class Rates(keras.callbacks.Callback):
    """The learning rate of each step, by (epoch, batch)."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.found[self.epoch, batch] = float(self.model.optimizer.learning_rate)


def rates(model, how, data, **options):
    watch = Rates()
    training.fit(model, how, data.x_train[:128], data.y_train[:128], callbacks=[watch], verbose=0, **options)
    return watch.found


@pytest.fixture(scope="module")
def model():
    """Any will do for its learning rates."""
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", run_eagerly=True)
    return model


def test_the_rate_rises_with_each_step_then_falls(model, digits):
    found = rates(model, {**HOW, "warmup": 0.3}, digits, epochs=5)  # 1.5 of 5 epochs, of 4 steps
    rising = [found[epoch, batch] for epoch in (0, 1) for batch in range(4)]
    np.testing.assert_allclose(rising[:6], 0.05 * np.arange(1, 7) / 6, rtol=1e-5)
    assert rising[6] < rising[5]
    cosine = 0.05 * 0.5 * (1 + np.cos(np.pi * (np.arange(2, 5) - 1.5) / 3.5))
    for epoch in (2, 3, 4):
        np.testing.assert_allclose([found[epoch, batch] for batch in range(4)], cosine[epoch - 2], rtol=1e-5)


@pytest.mark.parametrize("warmup", [0.0, 0.3])
def test_a_continued_training_has_the_same_rates(model, digits, warmup):
    how = {**HOW, "warmup": warmup}
    whole = rates(model, how, digits, epochs=5)
    for begin in (1, 2, 4):
        rest = rates(model, how, digits, epochs=5, initial_epoch=begin)
        assert rest == {step: rate for step, rate in whole.items() if step[0] >= begin}


def test_the_lottery_keeps_the_draw_that_learns_fastest(digits):
    how = {**HOW, "optimizer": "adamw", "learning_rate": 3e-3, "augmentation": "light"}
    ends = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        model = training.compiled(keras_blocks.SqueezeNet, SMALL, how, scale=1 / 16)
        own = model.get_weights()
        random = [np.array(variable) for variable in model.non_trainable_variables]
        images, labels = digits.x_train[:200], digits.y_train[:200]
        losses = lottery(model, images, labels, draws=4, hyperparameters=how, steps=4)
        kept = model.get_weights()
        ends.append((losses, kept))
        assert len(set(losses)) == 4
        # untrained: moving averages, the optimizer and random layers are as they were
        assert int(model.optimizer.iterations) == 0
        assert all((np.array(now) == old).all() for now, old in zip(model.non_trainable_variables, random))
        same = all((a == b).all() for a, b in zip(own, kept))
        assert same == (losses.index(min(losses)) == 0)
        model.fit(images[:128], labels[:128], batch_size=32, shuffle=False, verbose=0)
    (losses, kept), (again, kept_again) = ends
    assert losses == again
    assert all((a == b).all() for a, b in zip(kept, kept_again))


def test_the_best_draw_is_the_one_with_the_lowest_loss_when_trained_again(digits):
    keras.utils.set_random_seed(5)
    model = training.compiled(keras_blocks.SqueezeNet, SMALL, HOW, scale=1 / 16)
    images, labels = digits.x_train[:128], digits.y_train[:128]
    losses = lottery(model, images, labels, draws=3, hyperparameters=HOW, steps=4)
    order = np.random.default_rng(0).permutation(128)  # in which the lottery has them
    model.fit(images[order], labels[order], batch_size=32, shuffle=False, verbose=0)
    found = model.evaluate(images, labels, batch_size=256, verbose=0, return_dict=True)["loss"]
    assert found == pytest.approx(min(losses), rel=1e-4)


def test_fit_holds_the_lottery_once(digits, monkeypatch, model):
    held = []
    monkeypatch.setattr(training, "lottery", lambda *args, draws, **kwargs: held.append(draws))
    images, labels = digits.x_train[:32], digits.y_train[:32]
    how = {**HOW, "lottery": 3}
    training.fit(model, how, images, labels, epochs=1, verbose=0)
    training.fit(model, how, x=images, y=labels, epochs=1, verbose=0)
    assert held == [3, 3]
    training.fit(model, how, images, labels, epochs=2, initial_epoch=1, verbose=0)
    training.fit(model, HOW, images, labels, epochs=1, verbose=0)
    assert held == [3, 3]


def test_a_lottery_that_diverges_is_told(digits):
    model = training.compiled(keras_blocks.SqueezeNet, SMALL, HOW)
    images = np.full((32, 8, 8, 1), np.inf, "float32")
    with pytest.raises(TrainingDiverged, match="all 2 initializations"):
        lottery(model, images, digits.y_train[:32], draws=2, hyperparameters=HOW, steps=1)
    with pytest.raises(WrongCall, match="`y` must be a NumPy array"):
        training.fit(model, {**HOW, "lottery": 2}, images)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"warmup": 1.0}, "warmup"),
        ({"warmup": -0.1}, "warmup"),
        ({"lottery": 0}, "lottery"),
        ({"lottery": 2.0}, "lottery"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"optimizer": "sdg"}, "optimizer"),
        ({"wramup": 0.1}, "warmup"),
    ],
)
def test_bad_hyperparameters_are_named(change, named):
    with pytest.raises((ValueError, TypeError), match=named):
        training.compiled(keras_blocks.SqueezeNet, SMALL, {**HOW, **change})
    with pytest.raises(ValueError, match="must have the key 'batch_size'"):
        checked({name: value for name, value in HOW.items() if name != "batch_size"})
