"""Copies of layers: what their configs do not tell goes along."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_blocks
from keras_blocks.core.copies import config_of, finalized, like

pytestmark = pytest.mark.filterwarnings("ignore:.*includes a `lambda`")  # Keras', though nothing is saved here

IMAGES = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype("float32") * 5 + 7


def relu(x):
    """Not Keras' activation of this name."""
    return keras.ops.minimum(x, 1.0)


def ones(shape, dtype=None):
    return keras.ops.ones(shape, dtype)


@pytest.mark.parametrize("function", [relu, keras.ops.gelu, lambda x: keras.ops.sin(x)])
def test_a_function_is_itself_and_not_keras_of_its_name(function):
    layer = layers.Dense(3, activation=function, kernel_initializer=ones)
    copy = like(layer)
    assert copy.activation is function and copy.kernel_initializer is ones and copy.name == layer.name


def test_what_keras_finds_by_its_name_is_told_by_it():
    assert config_of(layers.Dense(3, activation="gelu"))["activation"] == "gelu"


def network():
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(8, 3, activation=relu, name="first"),
            layers.BatchNormalization(),
            layers.Conv2D(8, 1, activation=keras.ops.gelu),
            layers.Activation(lambda x: keras.ops.sin(x)),
            layers.Lambda(lambda x: x * 2),
            layers.Dense(3, kernel_initializer=ones),
        ]
    )


def test_models_of_functions_are_deployed_and_grown():
    model = network()
    wanted = model.predict(IMAGES, verbose=0)
    found = keras_blocks.deploy(model).predict(IMAGES, verbose=0)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    child = keras_blocks.grow(model, {"first": {"trainable": False}})
    np.testing.assert_allclose(child.predict(IMAGES, verbose=0), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", ["deploy", "grow", "prune"])
def test_what_an_adapted_normalization_makes_of_its_weights_goes_along(make):
    normalization = layers.Normalization(name="n")
    normalization.adapt(IMAGES)
    rest = [layers.Conv2D(8, 3, activation="relu", name="c"), layers.Conv2D(3, 3)]
    model = keras.Sequential([keras.Input((6, 6, 3)), normalization, *rest])
    if make == "deploy":
        made = keras_blocks.deploy(model)
    else:
        made = keras_blocks.grow(model, {"c": {"filters": 12}}) if make == "grow" else keras_blocks.prune(model, 0.6)
    inner = keras.Model(made.inputs, made.get_layer("n").output)
    wanted = (IMAGES - IMAGES.mean((0, 1, 2))) / IMAGES.std((0, 1, 2))
    np.testing.assert_allclose(inner.predict(IMAGES, verbose=0), wanted, atol=1e-4)


def test_a_normalization_within_models_follows_its_weights():
    normalization = layers.Normalization()
    normalization.adapt(IMAGES)
    model = keras.Sequential([keras.Input((6, 6, 3)), keras.Sequential([keras.Input((6, 6, 3)), normalization])])
    copy = keras.Sequential.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    finalized(copy)
    np.testing.assert_allclose(copy.predict(IMAGES, verbose=0).mean((0, 1, 2)), 0, atol=1e-4)


def test_code_goes_along_in_another_precision():
    layer = layers.Lambda(lambda x: x / 3, dtype="mixed_float16", name="third")
    copy = like(layer, dtype="float32")
    assert (copy.name, copy.compute_dtype, layer.compute_dtype) == ("third", "float32", "float16")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(copy(np.ones((1, 2), "float32"))), np.float32(1) / 3)


class Doubled(keras.Model):
    """A functional model whose own `call` does more than its graph."""

    def call(self, x, training=None):
        return 2 * super().call(x, training=training)


def test_the_call_of_what_is_derived_of_a_functional_model_counts():
    image = keras.Input((6, 6, 3))
    model = Doubled(image, layers.Conv2D(4, 3)(image))
    for whole in (model, keras.Sequential([keras.Input((6, 6, 3)), model])):
        wanted = whole.predict(IMAGES, verbose=0)
        for made in (keras_blocks.deploy(whole), keras_blocks.expand(whole)):
            np.testing.assert_allclose(made.predict(IMAGES, verbose=0), wanted, rtol=1e-5, atol=1e-5)


class Sized(keras.Model):
    def __init__(self, filters):
        image = keras.Input((6, 6, 3))
        super().__init__(image, layers.Conv2D(filters, 3, name="conv")(image))


def test_a_child_that_would_lose_its_class_is_refused():
    with pytest.raises(TypeError, match=r"'sized.*' is a Sized, derived of one"):
        keras_blocks.grow(Sized(4), {"conv": {"filters": 6}})
