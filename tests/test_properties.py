"""Random valid configurations of every block keep their promises."""

import keras
import numpy as np
import pytest
from calling import as_array, outputs_of
from catalog import LAYERS
from checks import joined_shape, randomize
from hypothesis import given, settings
from strategies import BLOCKS, configurations
from thorough import run_all

import keras_blocks
from keras_blocks.blocks.fire import FireBlock

EACH = 20 if run_all() else 2
"""Configurations of each of twenty blocks."""

EXPORTED = [
    "ConvBlock",
    "DecoderBlock",
    "InceptionBlock",
    "MultiLabelHead",
    "ResidualBlock",
    "ResNeXtBlock",
    "ResNetStem",
]
"""Between them, all kinds of layers that are not Keras' own; the others are exported where KERAS_BLOCKS_ALL is set."""


@pytest.mark.once
@pytest.mark.parametrize("name", BLOCKS)
def test_promises(name, tmp_path):
    """All on one block: most of the time goes into building it."""

    def check(configuration):
        cls, arguments, image = configuration
        block = cls(**arguments)
        block.build((None, *image))
        randomize(block)
        images = np.random.default_rng(2).normal(size=(2, *image)).astype("float32")
        outputs = outputs_of(block, images)
        check_shape_is_the_computed_one(block, cls(**arguments), images, outputs)
        check_cost_is_the_built_count(block, cls(**arguments), image)
        check_config_brings_back_the_outputs(block, images, outputs)
        check_expand_equals_call(block, images, outputs)
        check_files_bring_back_the_same_bits(block, images, tmp_path)

    settings(max_examples=EACH)(given(configurations(name))(check))()


def check_shape_is_the_computed_one(block, unbuilt, images, outputs):
    assert joined_shape(block.compute_output_shape(images.shape)) == outputs.shape
    assert joined_shape(unbuilt.compute_output_shape(images.shape)) == outputs.shape


def check_cost_is_the_built_count(block, unbuilt, image):
    counted = keras_blocks.cost(unbuilt, image)
    assert counted.params == block.count_params()
    assert keras_blocks.cost(block, image) == counted


def check_config_brings_back_the_outputs(block, images, outputs):
    twin = type(block).from_config(block.get_config())
    twin.build((None, *images.shape[1:]))
    twin.set_weights(block.get_weights())
    np.testing.assert_array_equal(outputs_of(twin, images), outputs)


def check_expand_equals_call(block, images, outputs):
    inputs = keras.Input(images.shape[1:])
    flat = keras.Model(inputs, block.expand(inputs))
    np.testing.assert_array_equal(outputs_of(flat, images), outputs)


def check_files_bring_back_the_same_bits(block, images, folder):
    inputs = keras.Input(images.shape[1:])
    model = keras.Model(inputs, block(inputs))
    expected = outputs_of(model, images)

    model.save(folder / "model.keras")
    again = keras.saving.load_model(folder / "model.keras")
    np.testing.assert_array_equal(outputs_of(again, images), expected)

    model.save_weights(folder / "model.weights.h5")
    randomize(again)
    other = keras.models.clone_model(model)
    other.load_weights(folder / "model.weights.h5")
    np.testing.assert_array_equal(outputs_of(other, images), expected)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModel is TensorFlow's format")
@pytest.mark.parametrize("name", BLOCKS if run_all() else EXPORTED)
def test_saved_model_brings_back_the_same_bits(name, tmp_path):
    import tensorflow as tf

    def check(configuration):
        cls, arguments, image = configuration
        inputs = keras.Input(image)
        model = keras.Model(inputs, cls(**arguments)(inputs))
        randomize(model)
        images = np.random.default_rng(2).normal(size=(2, *image)).astype("float32")
        # Of the same unknown batch size: with a known one, TensorFlow fuses other operations.
        signature = [tf.TensorSpec((None, *images.shape[1:]), "float32")]
        graph = tf.function(lambda x: model(x, training=False), input_signature=signature, jit_compile=False)
        model.export(tmp_path / "saved", verbose=False)
        served = tf.saved_model.load(str(tmp_path / "saved"))
        np.testing.assert_array_equal(as_array(served.serve(images)), as_array(graph(images)))

    if run_all():
        settings(max_examples=10)(given(configurations(name))(check))()
    else:  # every argument is another than its default there
        row = next(row for row in LAYERS if row.name == name)
        check((row.cls, row.arguments, row.input_shape))


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
