"""Compiling and fitting from plain hyperparameters."""

import keras
import keras_tuner
import numpy as np
import pytest

import keras_blocks
from keras_blocks.tuning import HyperSqueezeNet
from keras_blocks.tuning.data.batches import batched
from keras_blocks.tuning.data.tensorflow_batches import tensorflow_batches
from keras_blocks.tuning.training import fit as training
from keras_blocks.tuning.training.augmentation import augmentation_layers
from keras_blocks.tuning.training.moving_statistics import PreciseBatchNorm

SMALL = {
    "groups": [{"filters": [4]}],
    "stem": "tiny",
    "input_shape": (8, 8, 1),
    "classes": 10,
    "batch_norm": {"momentum": 0.9},
}
HOW = {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 0.0, "batch_size": 32, "augmentation": "none"}


def test_fit_applies_the_batch_size_and_the_falling_rate(digits):
    model = training.compiled(keras_blocks.SqueezeNet, SMALL, HOW, scale=1 / 16)
    rates, batches = [], []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: rates.append(float(model.optimizer.learning_rate)),
        on_train_batch_end=lambda batch, logs: batches.append(batch),
    )
    # the schedule sets the rate before callbacks that come after it, so it is read one epoch later
    training.fit(model, HOW, digits.x_train[:100], digits.y_train[:100], epochs=4, callbacks=[watch], verbose=0)
    assert len(batches) == 4 * 4  # 100 images in batches of 32
    end = float(model.optimizer.learning_rate)
    np.testing.assert_allclose([*rates[1:], end], 0.05 * 0.5 * (1 + np.cos(np.pi * np.arange(4) / 4)), rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_diverged_training_fails_in_every_tuner(digits, bad):
    hyper = HyperSqueezeNet((8, 8, 1), classes=10)
    hp = keras_tuner.HyperParameters()
    model = training.compiled(keras_blocks.SqueezeNet, SMALL, HOW)
    images = digits.x_train[:64].copy()
    images[3] = bad
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="diverged"):
        hyper.fit(hp, model, images, digits.y_train[:64], epochs=1, verbose=0)


def test_the_scale_and_the_augmentation_are_in_the_saved_file_and_idle_in_prediction(digits, tmp_path):
    how = {**HOW, "augmentation": "strong"}
    model = training.compiled(keras_blocks.SqueezeNet, SMALL, how, scale=1 / 16, flips=True)
    names = [layer.name for layer in model.layers]
    assert names[1:6] == ["rescale", "augment_shift", "augment_zoom", "augment_turn", "augment_flip"]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = digits.x_test[:16]
    expected = model.predict(images, verbose=0)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)
    np.testing.assert_array_equal(model.predict(images, verbose=0), expected)
    bare = training.compiled(keras_blocks.SqueezeNet, SMALL, HOW)
    bare.set_weights(model.get_weights())
    np.testing.assert_allclose(bare.predict(images / 16, verbose=0), expected, atol=1e-6)
    assert np.abs(loaded(images, training=True) - loaded(images, training=True)).max() > 0


def test_augmentation_grows_with_its_strength(digits):
    def change(augmentation):
        keras.utils.set_random_seed(0)
        images = digits.x_train[:200]
        x = images
        for layer in augmentation_layers(augmentation):
            x = layer(x, training=True)
        return float(np.abs(keras.ops.convert_to_numpy(x) - images).mean())

    assert augmentation_layers("none", flips=True) == []
    assert 0 < change("light") < change("strong")
    with pytest.raises(ValueError, match=r"`augmentation` must be one of .* received 'weak'"):
        augmentation_layers("weak")


def test_correct_of_counts(digits):
    class First:
        def predict(self, images, **kwargs):
            return np.eye(10)[np.zeros(len(images), int)]

    assert training.correct_of(First(), digits.x_test, digits.y_test) == int((digits.y_test == 0).sum())


def test_outputs_that_are_nan_are_of_no_class():
    """NumPy's largest of them would be class 0."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.layers[0].kernel.assign(np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match=r"`model`: its outputs are NaN for 4 of 4 images"):
        training.correct_of(model, np.ones((4, 2)), np.zeros(4, int))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data's batches are TensorFlow's")
def test_tensorflow_s_batches_have_each_image_once_with_what_belongs_to_it():
    images = np.arange(70.0).reshape(70, 1)
    parts = (images, np.arange(70) * 2, np.arange(70) / 2)
    keras.utils.set_random_seed(1)
    batches = tensorflow_batches(parts, 32, shuffle=True)
    epochs = [[[np.asarray(part) for part in batch] for batch in batches] for _ in range(2)]
    for epoch in epochs:
        assert [len(batch[0]) for batch in epoch] == [32, 32, 6]
        x, y, weights = (np.concatenate(part) for part in zip(*epoch))
        assert (x.dtype, weights.dtype, y.dtype) == ("float32", "float32", "int64")
        np.testing.assert_array_equal(y, 2 * x[:, 0])
        np.testing.assert_array_equal(weights, x[:, 0] / 2)
        np.testing.assert_array_equal(np.sort(x[:, 0]), images[:, 0])
    assert (epochs[0][0][1] != epochs[1][0][1]).any()
    keras.utils.set_random_seed(1)
    again = next(iter(tensorflow_batches(parts, 32, shuffle=True)))
    np.testing.assert_array_equal(again[1], epochs[0][0][1])
    in_order = [np.asarray(y) for _, y, _ in tensorflow_batches(parts, 32, shuffle=False)]
    np.testing.assert_array_equal(np.concatenate(in_order), parts[1])


def test_weights_of_samples_and_classes_come_through_fit(digits):
    """As in Keras' own fit of arrays: with a weight of 0 for all nothing is learned."""
    x, y = digits.x_train[:40], digits.y_train[:40]
    for weights in ({"sample_weight": np.zeros(40)}, {"class_weight": dict.fromkeys(range(10), 0.0)}):
        model = training.compiled(keras_blocks.SqueezeNet, SMALL, {**HOW, "optimizer": "sgd", "weight_decay": 0.0})
        before = [np.array(value) for value in map(keras.ops.convert_to_numpy, model.trainable_variables)]
        training.fit(model, HOW, x, y, validation_data=(x, y), epochs=1, verbose=0, **weights)
        for variable, value in zip(model.trainable_variables, before):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)


def test_precise_statistics_are_of_the_model_and_the_layers_that_are_trained_now(rng):
    """A `fit` of a user's own may train a second model, or unfreeze a layer, with the same callbacks."""
    x, y = rng.normal(3.0, 2.0, (32, 4)).astype("float32"), np.zeros(32)
    precise, seen = PreciseBatchNorm([1], lambda: [x], note=pytest.fail), []

    def made():
        layers = [
            keras.layers.BatchNormalization(name="first"),
            keras.layers.Dense(3),
            keras.layers.BatchNormalization(),
        ]
        return keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])

    def fitted(model):
        model.compile("sgd", "mse")
        look = keras.callbacks.LambdaCallback()
        look.on_test_begin = lambda logs=None: seen.append(np.array(model.get_layer("first").moving_mean))
        model.fit(x, y, validation_data=(x, y), callbacks=[precise, look], verbose=0)

    one, other = made(), made()
    one.get_layer("first").trainable = False
    fitted(one)
    one.get_layer("first").trainable = True
    fitted(one)
    own = [np.array(weight) for weight in one.get_weights()]
    fitted(other)
    np.testing.assert_array_equal(seen[0], 0)
    np.testing.assert_allclose(seen[1:], [x.mean(0)] * 2, rtol=1e-4)
    for before, after in zip(own, one.get_weights()):
        np.testing.assert_array_equal(before, after)


def test_what_is_not_plain_is_left_to_keras_own_fit():
    class Own(keras.Sequential):
        def evaluate(self, x, y, **kwargs):
            return super().evaluate(x, y, **kwargs)

    x, y = np.zeros((8, 2)), np.zeros(8)
    plain, given = keras.Sequential([keras.layers.Dense(1)]), {"x": x, "y": y, "validation_data": (x, y)}
    assert (batched(plain, given)["x"] is x) == (keras.backend.backend() != "tensorflow")
    for model, changed in ((Own(), {}), (plain, {"class_weight": {1: 5.0}}), (plain, {"y": np.zeros(4)})):
        assert batched(model, {**given, **changed})["x"] is x
    assert batched(plain, {**given, "batch_size": 4, "validation_data": ([x], y)})["validation_batch_size"] == 4
