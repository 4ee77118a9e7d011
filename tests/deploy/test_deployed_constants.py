"""What a layer holds as tensors becomes numbers in its deployed form: ONNX would have them as inputs of their own."""

import keras
import numpy as np
import pytest
from thorough import run_alike

import keras_blocks

layers = keras.layers


def adapted():
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).normal([5, 900, -1], [1, 20, 3], (50, 4, 4, 3)).astype("float32"))
    return layer


NORMALIZATIONS = {
    "given": lambda: layers.Normalization(mean=[0.4, 2.0, -1.0], variance=[4.0, 0.5, 0.0]),
    "adapted": adapted,
    "inverted": lambda: layers.Normalization(mean=[0.4, 2.0, -1.0], variance=[4.0, 0.5, 9.0], invert=True),
    "of one number": lambda: layers.Normalization(axis=None, mean=3.0, variance=4.0),
    "of rows": lambda: layers.Normalization(axis=1, mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 4.0, 9.0, 16.0]),
}


@pytest.mark.parametrize("kind", NORMALIZATIONS if run_alike() else ["given"])
def test_a_normalization_of_given_numbers(kind, tmp_path):
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, NORMALIZATIONS[kind]()(inputs))
    small = keras_blocks.deploy(model)
    assert not small.weights
    assert not [layer for layer in small.layers if isinstance(layer, layers.Normalization)]
    images = np.random.default_rng(1).normal(2, 9, (2, 4, 4, 3)).astype("float32")
    expected = model.predict(images, verbose=0)
    small.save(tmp_path / "small.keras")  # arrays are in the configs
    for found in (small, keras.saving.load_model(tmp_path / "small.keras")):
        np.testing.assert_allclose(found.predict(images, verbose=0), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.once
def test_what_users_derive_of_it_stays():
    class Mine(layers.Normalization):
        def call(self, x):
            return super().call(x) * 2

    inputs = keras.Input((3,))
    model = keras.Model(inputs, Mine(mean=[0.0, 1.0, 2.0], variance=[1.0, 1.0, 1.0])(inputs))
    (layer,) = keras_blocks.deploy(model).layers[1:]
    assert type(layer) is Mine
