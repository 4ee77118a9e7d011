"""Copies of layers: what their configs do not tell goes along."""

import pathlib

import keras
import numpy as np
import pytest
from keras import layers
from versions import needs_tensorflow

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


WORDS = np.array([["cat"], ["emu"], ["dog"]])


def adapted(layer, data):
    layer.adapt(data)
    return layer


def replaced():
    layer = layers.StringLookup(vocabulary=["emu", "dog"])
    layer.set_vocabulary(["dog", "cat"])
    return layer


def shout(texts):
    import tensorflow as tf

    return tf.strings.upper(texts)


LOOKUPS = {
    "words": (lambda: adapted(layers.StringLookup(), ["dog", "cat", "dog"]), [[2], [0], [1]]),
    "of another vocabulary": (replaced, [[2], [0], [1]]),
    "with a line's end": (lambda: adapted(layers.StringLookup(), ["a\nb", "a\nb", "cat"]), [[2], [0], [0]]),
    "of texts": (
        lambda: adapted(layers.TextVectorization(standardize=shout, output_sequence_length=2), ["Dog CAT", "dog"]),
        [[3, 0], [1, 0], [2, 0]],
    ),
    # ln(1 + 3 / (1 + n)) of a word in n of 3 texts; their mean for others; nothing for what is no word
    "weighed": (
        lambda: adapted(
            layers.StringLookup(output_mode="tf_idf", max_tokens=4, pad_to_max_tokens=True), [["dog"], ["cat"], ["dog"]]
        ),
        [[0, 0, np.log(2.5), 0], [np.log(2.0 * 2.5) / 2, 0, 0, 0], [0, np.log(2.0), 0, 0]],
    ),
}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="strings are TensorFlow's")
@pytest.mark.parametrize("kind", LOOKUPS)
def test_a_vocabulary_goes_along(kind):
    make, expected = LOOKUPS[kind]
    inputs = keras.Input((1,), dtype="string")
    model = keras.Model(inputs, make()(inputs))
    (copy,) = keras_blocks.deploy(model).layers[1:]
    given = keras.ops.convert_to_tensor(WORDS)
    for layer in (copy, model):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(given)), expected, rtol=1e-6)


class Named(layers.Layer):
    """A layer that knows names, as tokenizers do, which files of Keras keep beside weights."""

    names: list[str] = []

    def call(self, x):
        return x * len(self.names)

    def save_assets(self, dir_path):
        pathlib.Path(dir_path, "names.txt").write_text("\n".join(self.names))

    def load_assets(self, dir_path):
        self.names = pathlib.Path(dir_path, "names.txt").read_text().splitlines()


def test_what_a_file_keeps_beside_weights_goes_along():
    layer = Named()
    layer.names = ["hen", "egg"]
    with keras.saving.custom_object_scope({"Named": Named}):
        copy = like(layers.TimeDistributed(layer)).layer
    assert copy is not layer and copy.names == ["hen", "egg"]


@needs_tensorflow
def test_numbers_of_a_vocabulary_go_along():
    layer = adapted(layers.IntegerLookup(num_oov_indices=2), np.array([5, 5, 9]))
    copy = like(layer)
    assert [int(number) for number in copy.get_vocabulary()] == [-1, -1, 5, 9]
    assert copy.get_vocabulary() == layer.get_vocabulary()
