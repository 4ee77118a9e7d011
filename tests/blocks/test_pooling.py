"""Rounding-up pooling against torch's ceil_mode."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_blocks


@settings(max_examples=25)
@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([7, 8, 9]), st.sampled_from([8, 10]), st.booleans())
def test_equals_torchs_ceil_mode(pool, strides, height, width, known):
    torch = pytest.importorskip("torch", reason="the reference is torch.nn.MaxPool2d")
    strides = min(strides, pool)
    images = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype("float32") - 5
    pooled = torch.nn.MaxPool2d(pool, strides, ceil_mode=True)(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    layer = keras_blocks.CeilMaxPooling2D(pool, strides)
    inputs = keras.Input((height, width, 3) if known else (None, None, 3))
    outputs = keras.ops.convert_to_numpy(keras.Model(inputs, layer(inputs))(images))
    np.testing.assert_array_equal(outputs, pooled.numpy().transpose(0, 2, 3, 1))
