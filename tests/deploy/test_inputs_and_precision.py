"""What `export` is given to compare on, and models that compute in 16 bits."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_blocks
from keras_blocks.deploy.copying import in_float32
from keras_blocks.deploy.exporting import _random_inputs
from keras_blocks.deploy.quantizing import checked_inputs
from keras_blocks.deploy.runtimes import run_onnx

pytestmark = pytest.mark.once
IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3))


def network(dtype=None):
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 255, dtype=dtype),
            layers.Conv2D(8, 3, activation="relu", use_bias=False, dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            keras_blocks.FireBlock(4, dtype=dtype),
            layers.GlobalAveragePooling2D(dtype=dtype),
            layers.Dense(3, dtype=dtype),
        ]
    )


@pytest.mark.parametrize("given", [IMAGES.astype("uint8"), IMAGES, [IMAGES]])
def test_inputs_are_of_the_models_type(given, tmp_path):
    done = keras_blocks.export(network(), tmp_path / "net.onnx", inputs=given)
    assert done.difference < 1e-4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[1.0] * 12, [2.0] * 12], "`inputs` must have the structure"),
        (IMAGES[:, :4], r"`inputs` must be inputs of the shape \(None, 8, 8, 3\)"),
        (IMAGES[:0], "one or more"),
    ],
)
def test_what_the_model_does_not_take_is_told(given, message):
    with pytest.raises(ValueError, match=message):
        checked_inputs("inputs", given, keras_blocks.deploy(network()))


def test_of_several_inputs_there_are_as_many():
    pair = [keras.Input((3,)), keras.Input((2,))]
    model = keras.Model(pair, layers.Concatenate()(pair))
    with pytest.raises(ValueError, match=r"`calibration` must have as many of each input; received \[9, 10\]"):
        checked_inputs("calibration", [np.ones((10, 3)), np.ones((9, 2))], model)


def test_random_numbers_are_those_that_an_embedding_has():
    words = keras.Input((50,), dtype="int32", batch_size=4)
    model = keras.Model(words, layers.Embedding(20, 4)(words))
    drawn = _random_inputs(model, model)
    assert drawn.shape == (4, 50) and 10 < drawn.max() < 20


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_exported_in_float32(dtype, tmp_path):
    keras.utils.set_random_seed(0)
    model = network(dtype)
    path = tmp_path / "net.onnx"
    done = keras_blocks.export(model, path, inputs=IMAGES)
    alike = network()
    alike.set_weights(model.get_weights())
    wanted = alike.predict(IMAGES, verbose=0)
    (found,) = run_onnx(str(path), IMAGES.astype("float32")).values()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert done.difference < 1e-4
    assert in_float32(alike) is alike
