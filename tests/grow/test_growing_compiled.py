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


def test_of_adafactor_the_steps_go_along():
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Dense(3, "relu", name="a")(x)))
    model.compile("adafactor", "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 2)), batch_size=4, epochs=2, verbose=0)
    assert int(keras_blocks.grow(model, {"a": {"units": 6}}).optimizer.iterations) == 4
