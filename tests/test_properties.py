"""Random valid configurations of every block keep their promises."""

import keras
import numpy as np
import pytest
from checks import joined_shape, randomize
from hypothesis import given, settings
from reload import as_array
from strategies import BLOCKS, configurations

import keras_blocks
from keras_blocks.blocks.fire import FireBlock

# Of each of twenty blocks. JAX compiles every operation for every new shape.
FEW = settings(max_examples=2 if keras.backend.backend() == "jax" else 6)
each_block = pytest.mark.parametrize("name", BLOCKS)


def made(configuration):
    """(block with random weights, a batch of images)."""
    cls, arguments, image = configuration
    block = cls(**arguments)
    block.build((None, *image))
    randomize(block)
    return block, np.random.default_rng(2).normal(size=(2, *image)).astype("float32")


def for_each(name):
    """Runs `check(configuration)` on random configurations of the block `name`."""

    def run(check):
        FEW(given(configurations(name))(check))()

    return run


@each_block
def test_config_round_trip_keeps_the_outputs(name):
    def check(configuration):
        block, images = made(configuration)
        twin = type(block).from_config(block.get_config())
        twin.build((None, *images.shape[1:]))
        twin.set_weights(block.get_weights())
        np.testing.assert_array_equal(as_array(twin(images)), as_array(block(images)))

    for_each(name)(check)


@each_block
def test_expand_equals_call(name):
    def check(configuration):
        block, images = made(configuration)
        inputs = keras.Input(images.shape[1:])
        flat = keras.Model(inputs, block.expand(inputs))
        np.testing.assert_array_equal(as_array(flat(images)), as_array(block(images)))

    for_each(name)(check)


@each_block
def test_cost_equals_the_built_count(name):
    def check(configuration):
        cls, arguments, image = configuration
        counted = keras_blocks.cost(cls(**arguments), image)
        block, _ = made(configuration)
        assert counted.params == block.count_params()
        assert keras_blocks.cost(block, image) == counted

    for_each(name)(check)


@each_block
def test_output_shape_is_the_computed_one(name):
    def check(configuration):
        cls, arguments, _ = configuration
        block, images = made(configuration)
        shape = joined_shape(block(images))
        assert joined_shape(block.compute_output_shape(images.shape)) == shape
        assert joined_shape(cls(**arguments).compute_output_shape(images.shape)) == shape

    for_each(name)(check)


@each_block
def test_files_bring_back_the_same_bits(name, tmp_path):
    def check(configuration):
        block, images = made(configuration)
        inputs = keras.Input(images.shape[1:])
        model = keras.Model(inputs, block(inputs))
        expected = as_array(model(images))

        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(as_array(again(images)), expected)

        model.save_weights(tmp_path / "model.weights.h5")
        randomize(again)
        other = keras.models.clone_model(model)
        other.load_weights(tmp_path / "model.weights.h5")
        np.testing.assert_array_equal(as_array(other(images)), expected)

    for_each(name)(check)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModel is TensorFlow's format")
@each_block
def test_saved_model_brings_back_the_same_bits(name, tmp_path):
    import tensorflow as tf

    def check(configuration):
        block, images = made(configuration)
        inputs = keras.Input(images.shape[1:])
        model = keras.Model(inputs, block(inputs))
        # Of the same unknown batch size: with a known one, TensorFlow fuses other operations.
        signature = [tf.TensorSpec((None, *images.shape[1:]), "float32")]
        graph = tf.function(lambda x: model(x, training=False), input_signature=signature, jit_compile=False)
        model.export(tmp_path / "saved", verbose=False)
        served = tf.saved_model.load(str(tmp_path / "saved"))
        np.testing.assert_array_equal(as_array(served.serve(images)), as_array(graph(images)))

    settings(max_examples=4)(given(configurations(name))(check))()


def test_two_layers_of_one_seeded_block_have_different_kernels():
    """An initializer object gives the same draw each time; a block must not hand it to two layers of one shape."""
    block = FireBlock(4, expand_ratio=1, kernel_initializer=keras.initializers.HeNormal(seed=0))
    block.build((None, 8, 8, 4))
    squeeze, expand = as_array(block.squeeze.kernel.value), as_array(block.expand_1x1.kernel.value)
    assert squeeze.shape == expand.shape
    assert np.abs(squeeze - expand).max() > 0.01
    again = FireBlock(4, expand_ratio=1, kernel_initializer=keras.initializers.HeNormal(seed=0))
    again.build((None, 8, 8, 4))
    np.testing.assert_array_equal(as_array(again.squeeze.kernel.value), squeeze)
