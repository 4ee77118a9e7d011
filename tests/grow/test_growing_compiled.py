"""What a model that is compiled hands on to the one that it grows into."""

import keras
import numpy as np
import pytest

import keras_blocks

pytestmark = pytest.mark.once


def test_a_loss_that_is_known_here_alone_is_left_out():
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Dense(3, "relu", name="a")(x)))

    def of_ours(y, p):
        return keras.ops.mean((y - p) ** 2, axis=-1)

    model.compile("sgd", of_ours)
    with pytest.warns(UserWarning, match="not compiled"):
        child = keras_blocks.grow(model, {"a": {"units": 6}})
    assert model.compiled and not child.compiled


@pytest.mark.parametrize("wrapped", [True, False])
def test_what_an_optimizer_averages_and_scales_goes_along(wrapped):
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Dense(3, "relu", name="a")(x)))
    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9, use_ema=True, ema_momentum=0.9)
    model.compile(keras.optimizers.LossScaleOptimizer(optimizer) if wrapped else optimizer, "mse")
    images, wanted = np.random.default_rng(0).normal(size=(8, 4)), np.zeros((8, 2))
    model.fit(images, wanted, batch_size=4, epochs=2, verbose=0)
    child = keras_blocks.grow(model, {"a": {"units": 6}})
    before = child.predict(images, verbose=0)
    inner = getattr(child.optimizer, "inner_optimizer", child.optimizer)
    assert int(inner.iterations) == 4
    child.fit(images, wanted, batch_size=4, epochs=1, verbose=0)  # whose end takes the averages as weights
    np.testing.assert_allclose(child.predict(images, verbose=0), before, atol=0.1)


@pytest.mark.parametrize("averaged", [False, True])
def test_adafactors_factors_go_along(averaged):
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Dense(3, "relu", name="a")(x)))
    model.compile(keras.optimizers.Adafactor(use_ema=averaged), "mse")
    images = np.random.default_rng(0).normal(size=(8, 4))
    model.fit(images, np.ones((8, 2)), batch_size=4, epochs=2, verbose=0)
    child = keras_blocks.grow(model, {"a": {"units": 6}})
    assert int(child.optimizer.iterations) == 4

    def factors(of):
        """Means of a squared gradient of "a" over its outputs, and over its inputs."""
        arrays = [keras.ops.convert_to_numpy(v) for v in of.optimizer.variables]
        units = of.get_layer("a").units
        place = next(i for i, v in enumerate(arrays) if v.shape == (4,) and arrays[i + 1].shape == (units,))
        return arrays[place : place + 2]

    (over_outputs, over_inputs), mine = factors(model), factors(child)
    assert np.all(over_outputs > 0)
    np.testing.assert_allclose(mine[0], over_outputs, rtol=1e-5)  # each output stands twice in the mean
    np.testing.assert_allclose(mine[1], np.tile(over_inputs, 2), rtol=1e-5)
    child.fit(images, np.ones((8, 2)), batch_size=4, epochs=1, verbose=0)
    assert all(np.all(np.isfinite(weight)) for weight in child.get_weights())
