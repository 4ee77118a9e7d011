"""What `export` is given to compare on, and models that compute in 16 bits."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_blocks
from keras_blocks.core.graphs import all_layers
from keras_blocks.deploy.copying import in_float32
from keras_blocks.deploy.exporting import _random_inputs
from keras_blocks.deploy.quantizing import Calibration, checked_inputs, goal_of
from keras_blocks.deploy.runtimes import RUNTIMES, WRITTEN_BY, batch_of, run_onnx

pytestmark = pytest.mark.once
of_onnx = pytest.mark.skipif(keras.backend.backend() not in WRITTEN_BY["onnx"], reason="another backend writes it")
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


@of_onnx
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


def by_fours():
    """A network whose graph has the number of images in it."""
    image = keras.Input(batch_shape=(4, 8, 8, 3))
    scores = layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(image)))
    return keras.Model(image, keras.ops.softmax(keras.ops.reshape(scores, (4, 3))), name="fours")


@of_onnx
@pytest.mark.parametrize("given", [IMAGES[:1], IMAGES[:3], np.tile(IMAGES, (2, 1, 1, 1))])
def test_of_a_fixed_batch_another_number_is_refused(given, tmp_path):
    with pytest.raises(ValueError, match=rf"`inputs` must be 4 in number, as 'fours' .*; received {len(given)}\."):
        keras_blocks.export(by_fours(), tmp_path / "net.onnx", inputs=given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_a_fixed_batch_is_exported(format, tmp_path):
    if keras.backend.backend() not in WRITTEN_BY[format]:
        pytest.skip("another backend writes it")
    path = tmp_path / f"net{RUNTIMES[format].suffix}"
    assert keras_blocks.export(by_fours(), path, format, inputs=IMAGES).difference < 1e-4
    assert keras_blocks.export(by_fours(), path, format, overwrite=True).difference < 1e-4


@of_onnx
def test_of_a_fixed_batch_int8_takes_several(tmp_path):
    options = {"precision": "int8", "validation_data": (np.tile(IMAGES, (3, 1, 1, 1)), [0] * 12), "max_drop": 1.0}
    few, many = IMAGES[:3], np.tile(IMAGES, (2, 1, 1, 1))
    message = r"`{}` must be 4 in number, or a multiple of it, as 'fours' has .*; received {}\."
    with pytest.raises(ValueError, match=message.format("calibration", 3)):
        keras_blocks.export(by_fours(), tmp_path / "net.onnx", calibration=few, **options)
    with pytest.raises(ValueError, match=message.format("validation_data", 3)):
        keras_blocks.export(
            by_fours(), tmp_path / "net.onnx", calibration=many, **options | {"validation_data": (few, [0] * 3)}
        )
    assert not list(tmp_path.iterdir())
    model = by_fours()
    goal = goal_of(options["validation_data"], 1.0, None, lambda run: 0.0, batch_of(model))
    assert goal.score(lambda images: [model.predict(images, verbose=0)]) <= 1.0


@of_onnx
@pytest.mark.filterwarnings("ignore")  # from inside of the converters
def test_of_a_fixed_batch_all_is_run_by_so_many(tmp_path):
    many = np.random.default_rng(0).uniform(0, 1, (20, 8, 8, 3)).astype("float32")
    model = by_fours()
    labels = model.predict(many, batch_size=4, verbose=0).argmax(axis=-1)
    done = keras_blocks.export(
        model, tmp_path / "net.onnx", precision="int8", calibration=many, validation_data=(many, labels), max_drop=0.2
    )
    assert done.precision == "int8" and [layer.precision for layer in done.layers] == ["int8", "int8"]


def test_calibration_comes_in_batches_that_the_model_takes():
    free, fixed = Calibration(np.arange(20)), Calibration(np.arange(20), own=4)
    assert [list(free.some(3)), list(fixed.some(3))] == [[0, 1, 2], [0, 1, 2, 3]]
    assert [len(part) for part in free.batches(16)] == [16, 4]
    assert [len(part) for part in free.even_batches(8)] == [7, 7, 6]
    assert [len(part) for part in fixed.batches(16)] == [len(part) for part in fixed.even_batches(8)] == [4] * 5


@of_onnx
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


@of_onnx
def test_code_in_mixed_precision_is_exported_in_float32(tmp_path):
    image = keras.Input((8, 8, 3))
    rest = [layers.Lambda(lambda x: x / 3, dtype="mixed_float16"), layers.Conv2D(2, 3, dtype="mixed_float16")]
    model = keras.Model(image, rest[1](rest[0](image)))
    keras_blocks.export(model, tmp_path / "net.onnx", inputs=IMAGES)
    (found,) = run_onnx(str(tmp_path / "net.onnx"), IMAGES.astype("float32")).values()
    kernel = keras.ops.convert_to_numpy(rest[1].kernel)
    first = np.einsum("hwio,hwi->o", kernel, IMAGES[0, :3, :3] / 3)
    np.testing.assert_allclose(found[0, 0, 0], first, rtol=1e-5)


@of_onnx
def test_what_overflows_in_16_bits_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Rescaling(1e6, dtype="mixed_float16")])
    with pytest.raises(ValueError, match="computes in 16 bits, and its outputs in 32, as in a file, differ"):
        keras_blocks.export(model, tmp_path / "net.onnx", inputs=IMAGES)
    assert not list(tmp_path.iterdir())


@of_onnx
def test_without_a_layer_that_has_int8_there_is_none(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.GlobalAveragePooling2D(name="mean")])
    with pytest.raises(ValueError, match="there is nothing to quantize"):
        keras_blocks.export(model, tmp_path / "net.onnx", precision="int8", calibration=IMAGES, tolerance=0.1)


WRAPPED = {
    "layer": lambda dtype: layers.TimeDistributed(layers.Dense(3, dtype=dtype)),
    "both": lambda dtype: layers.TimeDistributed(layers.Dense(3, dtype=dtype), dtype=dtype),
    "ways": lambda dtype: layers.Bidirectional(layers.LSTM(3, dtype=dtype, return_sequences=True)),
    "cells": lambda dtype: layers.RNN([layers.GRUCell(4, dtype=dtype), layers.LSTMCell(3, dtype=dtype)]),
    "wrapped twice": lambda dtype: layers.TimeDistributed(layers.Bidirectional(layers.LSTM(3, dtype=dtype))),
    "block": lambda dtype: layers.TimeDistributed(keras_blocks.FireBlock(2, dtype=dtype)),
}
SHAPES = {"wrapped twice": (2, 6, 4), "block": (2, 6, 6, 4)}


@pytest.mark.parametrize("kind", WRAPPED)
def test_what_is_wrapped_computes_in_float32_too(kind):
    shape = SHAPES.get(kind, (6, 4))
    inputs = keras.Input(shape)
    half, full = (keras.Model(inputs, WRAPPED[kind](dtype)(inputs)) for dtype in ("mixed_bfloat16", "float32"))
    full.set_weights(half.get_weights())
    given = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    widened = in_float32(half)
    assert {layer.compute_dtype for layer in all_layers(widened)} == {"float32"}
    assert "bfloat16" in {layer.compute_dtype for layer in all_layers(half)}  # which stays as it was
    wanted = full.predict(given, verbose=0)
    np.testing.assert_allclose(widened.predict(given, verbose=0), wanted, rtol=1e-5, atol=1e-6)
    assert in_float32(full) is full
