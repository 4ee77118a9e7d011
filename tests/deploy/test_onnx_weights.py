"""Large models as ONNX from TensorFlow: their kernels are put into the file when the converter is done."""

import os

import keras
import numpy as np
import pytest

import keras_blocks
from keras_blocks.deploy import onnx_weights

layers = keras.layers
pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="another converter writes it")


def images():
    inputs = keras.Input((8, 8, 16), name="kernel_0")
    twice = layers.Conv2D(16, 3, padding="same")  # called twice
    x = keras_blocks.ResNeXtBlock(16, cardinality=2)(twice(twice(inputs)))
    x = layers.Conv2DTranspose(16, 3, strides=2)(x)
    x = layers.SeparableConv2D(24, 3)(x)
    return keras.Model(inputs, {"map": x, "scores": layers.Dense(3)(layers.GlobalAveragePooling2D()(x))})


def sequences():
    inputs = [keras.Input((6, 16), name="first"), keras.Input((6,), dtype="int32", name="second")]
    x = layers.MultiHeadAttention(2, 8)(inputs[0], layers.Embedding(50, 16)(inputs[1]))
    return keras.Model(inputs, layers.LSTM(16)(x))


@pytest.mark.filterwarnings("ignore")  # from inside of the converter
@pytest.mark.parametrize("make", [images, sequences])
def test_kernels_are_inputs_of_the_converter_alone(make, tmp_path, monkeypatch):
    import onnx

    model = make()
    sizes = []
    close = onnx_weights._close
    monkeypatch.setattr(onnx_weights, "LARGE", 0)
    monkeypatch.setattr(onnx_weights, "KERNEL", 100)
    monkeypatch.setattr(
        onnx_weights, "_close", lambda path, kernels: (sizes.append(os.path.getsize(path)), close(path, kernels))
    )
    done = keras_blocks.export(model, tmp_path / "model.onnx")
    assert done.difference < 1e-5
    (before,) = sizes
    of_kernels = sum(4 * np.prod(one.shape) for one in model.weights if np.prod(one.shape) >= 100)
    assert os.path.getsize(tmp_path / "model.onnx") - before > 0.9 * of_kernels
    graph = onnx.load(tmp_path / "model.onnx").graph
    onnx.checker.check_model(str(tmp_path / "model.onnx"))
    assert [each.name for each in graph.input] == [each.name for each in keras.tree.flatten(model.input)]
    constants = {each.name for each in graph.initializer}
    convolutions = [node.input[1] for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert sum(name in constants for name in convolutions) >= len(convolutions) - 1  # but the depthwise one
    transposed = [node.input[0] for node in graph.node if node.op_type == "Transpose"]
    assert not any(name.startswith("keras_blocks_kernel_") for name in transposed)


def test_what_is_small_is_written_by_the_converter_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_weights, "_close", lambda *arguments: pytest.fail("its kernels were inputs"))
    keras_blocks.export(keras.Sequential([keras.Input((4, 4, 3)), layers.Conv2D(2, 3)]), tmp_path / "small.onnx")


@pytest.mark.filterwarnings("ignore")
def test_grouped_convolutions_of_keras_own(tmp_path):
    """TensorFlow has none on a CPU, and Keras has XLA compile them."""
    inputs = keras.Input((8, 8, 6))
    twice = layers.Conv2D(6, 3, groups=3, padding="same", activation="relu")
    x = layers.Conv2D(4, (1, 3), groups=2, strides=2, use_bias=False)(twice(twice(inputs)))
    model = keras.Model(inputs, x)
    before = [np.array(weight) for weight in model.weights]
    assert keras_blocks.export(model, tmp_path / "groups.onnx").difference < 1e-5
    assert [type(layer) for layer in model.layers[1:]] == [layers.Conv2D] * 2
    for weight, value in zip(model.weights, before):
        np.testing.assert_array_equal(weight, value)
