"""What a model that is compiled hands on to the one that it grows into."""

import keras
import numpy as np
import pytest

import keras_blocks

pytestmark = pytest.mark.once
several = pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="Keras 3.15 has it")


def trained(optimizer):
    """Two dense layers, "a" of three units, after four steps."""
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2, name="b")(keras.layers.Dense(3, "relu", name="a")(x)))
    model.compile(optimizer, "mse")
    model.fit(np.random.default_rng(0).normal(size=(8, 4)), np.ones((8, 2)), batch_size=4, epochs=2, verbose=0)
    return model


def slots(optimizer, ending):
    """What an optimizer has of variables whose names end so, in its order."""
    return [keras.ops.convert_to_numpy(one) for one in optimizer.variables if one.path.endswith(ending)]


def test_a_loss_that_is_known_here_alone_is_left_out():
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Dense(3, "relu", name="a")(x)))

    def of_ours(y, p):
        return keras.ops.mean((y - p) ** 2, axis=-1)

    model.compile("sgd", of_ours)
    with pytest.warns(UserWarning, match="not compiled"):
        child = keras_blocks.grow(model, {"a": {"units": 6}})
    assert model.compiled and not child.compiled


def test_an_optimizer_that_is_known_here_alone_is_named_as_a_reason():
    class OfOurs(keras.optimizers.SGD):
        pass

    with pytest.warns(UserWarning, match="cannot make its optimizer, losses or metrics anew"):
        assert not keras_blocks.grow(trained(OfOurs()), {"a": {"units": 6}}).compiled


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


def test_layers_of_one_name_have_their_own_moments():
    def tower():
        x = keras.Input((5,))
        return keras.Model(x, keras.layers.Dense(3, "relu", name="a")(x))

    inputs = [keras.Input((5,)) for _ in range(2)]
    both = keras.layers.Concatenate()([tower()(x) for x in inputs])
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(4, "relu", name="b")(both)))
    model.compile(keras.optimizers.Adam(), "mse")
    rng = np.random.default_rng(0)
    model.fit([rng.normal(size=(8, 5)) for _ in inputs], np.ones((8, 2)), verbose=0)
    theirs = slots(model.optimizer, "a_kernel_velocity")
    assert len(theirs) == 2 and not np.allclose(*theirs, rtol=0.1, atol=0)
    mine = slots(keras_blocks.grow(model, {"b": {"units": 8}}).optimizer, "a_kernel_velocity")
    np.testing.assert_allclose(mine, theirs, rtol=1e-6)


def test_a_layers_name_may_begin_as_anothers_weight():
    x = keras.Input((4,))
    hidden = keras.layers.Dense(3, "relu", name="a_bias")(keras.layers.Dense(3, "relu", name="a")(x))
    model = keras.Model(x, keras.layers.Dense(2)(hidden))
    model.compile(keras.optimizers.Adam(), "mse")
    model.fit(np.random.default_rng(0).normal(size=(8, 4)), np.ones((8, 2)), verbose=0)
    (theirs,), (mine,) = (
        slots(one.optimizer, "a_bias_kernel_velocity") for one in (model, keras_blocks.grow(model, {"a": {"units": 6}}))
    )
    assert theirs.any()
    np.testing.assert_allclose(mine, np.tile(theirs, (2, 1)), rtol=1e-6)


@several
def test_each_of_several_optimizers_has_its_state():
    of_a = {".*a/.*": keras.optimizers.Adam(0.02)}
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.Adafactor(use_ema=True), of_a)
    model = trained(keras.optimizers.MultiOptimizer(optimizers))
    child = keras_blocks.grow(model, {"a": {"units": 6}})
    assert [int(one.iterations) for one in (child.optimizer, *child.optimizer.optimizers)] == [4, 4, 4]
    (theirs,), (mine,) = (slots(one.optimizer, "a_kernel_velocity") for one in (model, child))
    assert theirs.any()
    np.testing.assert_allclose(mine, np.tile(theirs, (1, 2)), rtol=1e-6)
    (theirs, _), (mine, _) = (slots(one.optimizer, "/kernel") for one in (model, child))
    np.testing.assert_allclose(mine, np.tile(theirs, 2), rtol=1e-5)  # of "b": its means over outputs, for each input
    (average,) = slots(child.optimizer, "b_kernel_average")
    np.testing.assert_array_equal(average, keras.ops.convert_to_numpy(child.get_layer("b").kernel))


@several
def test_several_optimizers_that_cannot_be_told_apart_begin_anew():
    one = keras.optimizers.Adam()
    shared = keras.optimizers.OptimizerMap(keras.optimizers.SGD(), {".*a/.*": one, ".*b/.*": one})
    model = trained(keras.optimizers.MultiOptimizer(shared))
    with pytest.warns(UserWarning, match="begins anew: it is made of 3 others, and the model's of 2"):
        child = keras_blocks.grow(model, {"a": {"units": 6}})
    assert int(child.optimizer.iterations) == 0


def test_the_scale_of_a_loss_goes_along():
    model = trained(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(momentum=0.9)))
    model.optimizer.dynamic_scale.assign(8.0)
    child = keras_blocks.grow(model, {"a": {"units": 6}})
    assert float(child.optimizer.dynamic_scale) == 8
    assert int(child.optimizer.step_counter) == int(child.optimizer.iterations) == 4
    for one in (child, model):  # JAX deletes what a step is given, so that they may share nothing
        one.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
        assert int(one.optimizer.iterations) == 5


def test_nadams_product_goes_along():
    child = keras_blocks.grow(trained(keras.optimizers.Nadam(beta_1=0.9)), {"a": {"units": 6}})
    steps = np.arange(1, 5)
    product = np.prod(0.9 * (1 - 0.5 * 0.96**steps))  # Dozat, 2016: of the momentum's schedule
    scalars = [float(keras.ops.convert_to_numpy(one)) for one in child.optimizer.variables if not len(one.shape)]
    assert scalars == [4, pytest.approx(0.001), pytest.approx(product, rel=1e-5)]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ScheduleFreeAdamW", {}),
        ("Ftrl", {}),
        ("Ftrl", {"l1_regularization_strength": 0.01, "l2_regularization_strength": 0.02}),
        ("Ftrl", {"beta": 0.1, "learning_rate_power": -0.7}),
    ],
)
def test_an_optimizer_that_makes_weights_of_its_own_makes_the_childs(name, arguments):
    """Where the gradients are zeros, a step leaves all as it is."""
    child = keras_blocks.grow(trained(getattr(keras.optimizers, name)(0.05, **arguments)), {"a": {"units": 6}})
    assert int(child.optimizer.iterations) == 4
    before = child.get_weights()
    child.optimizer.apply([keras.ops.zeros(weight.shape) for weight in child.trainable_variables])
    for mine, weight in zip(child.get_weights(), before, strict=True):
        np.testing.assert_allclose(mine, weight, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", [keras.optimizers.Adagrad, keras.optimizers.Ftrl])
def test_new_taps_have_what_an_optimizer_begins_with(optimizer):
    layers = [keras.layers.Conv2D(2, 1, padding="same", name="a"), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((6, 6, 3)), *layers])
    model.compile(optimizer(initial_accumulator_value=0.25), "mse")
    model.fit(np.random.default_rng(0).normal(size=(8, 6, 6, 3)), np.ones((8, 2)), verbose=0)
    (theirs,), (mine,) = (
        slots(one.optimizer, "a_kernel_accumulator")
        for one in (model, keras_blocks.grow(model, {"a": {"kernel_size": 3}}))
    )
    assert np.all(theirs > 0.25)
    expected = np.full((3, 3, 3, 2), 0.25, "float32")
    expected[1, 1] = theirs[0, 0]
    np.testing.assert_allclose(mine, expected, rtol=1e-6)
