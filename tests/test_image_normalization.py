"""ImageNormalization is keras.applications' preprocess_input: to the bit, but where XLA divides by multiplying."""

import keras
import numpy as np
import pytest
from keras.applications.imagenet_utils import preprocess_input

import keras_blocks
from keras_blocks.weights.published import IN_KERAS

MODES = ("tf", "caffe", "torch")


def as_array(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("mode", MODES)
def test_is_that_of_keras_applications(mode, data_format, dtype):
    shape = (2, 5, 4, 3) if data_format == "channels_last" else (2, 3, 5, 4)
    images = np.random.default_rng(0).uniform(0, 256, shape).astype(dtype)
    expected = as_array(preprocess_input(keras.ops.cast(images, "float32"), data_format, mode))
    np.testing.assert_allclose(expected, preprocess_input(images.astype("float32"), data_format, mode), atol=1e-6)
    layer = keras_blocks.ImageNormalization(mode, data_format)
    np.testing.assert_array_equal(as_array(layer(images)), expected)
    np.testing.assert_array_equal(as_array(layer(images[0])), expected[0])
    again = keras_blocks.ImageNormalization.from_config(layer.get_config())
    np.testing.assert_array_equal(as_array(again(images)), expected)


@pytest.mark.once
@pytest.mark.parametrize("function", IN_KERAS)
def test_published_weights_want_what_keras_applications_prepares(function):
    modules = [one for one in vars(keras.applications).values() if hasattr(one, "preprocess_input")]
    module = next(one for one in modules if hasattr(one, function))
    images = np.random.default_rng(0).uniform(0, 256, (1, 4, 5, 3)).astype("float32")
    ours = as_array(keras_blocks.ImageNormalization(IN_KERAS[function])(images))
    np.testing.assert_allclose(ours, module.preprocess_input(images.copy()), atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_in_tf_data_under_every_backend(mode):
    tf = pytest.importorskip("tensorflow")
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 4, 3)).astype("uint8")
    dataset = tf.data.Dataset.from_tensor_slices(images).map(keras_blocks.ImageNormalization(mode)).batch(4)
    expected = preprocess_input(images.astype("float32"), "channels_last", mode)
    np.testing.assert_allclose(next(iter(dataset)).numpy(), expected, rtol=0, atol=1e-6)


def test_low_precision_loses_only_the_last_step():
    """In bfloat16, 201 / 127.5 - 1 would be wrong by more than the rounding of its result."""
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype("float32")
    exact = preprocess_input(images.copy(), "channels_last", "torch")
    layer = keras_blocks.ImageNormalization("torch", dtype="mixed_bfloat16")
    np.testing.assert_allclose(as_array(keras.ops.cast(layer(images), "float32")), exact, rtol=2**-8)
