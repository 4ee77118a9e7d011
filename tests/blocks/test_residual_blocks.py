"""Residual blocks: what stands where in the main branch."""

import keras
import numpy as np
import pytest

import keras_blocks
from keras_blocks.core.chain import specs


def names(block, channels=8):
    return [spec.name for spec in specs(block.chain_for((None, 8, 8, channels)))]


@pytest.mark.parametrize(
    "kind, version, expected",
    [
        # Zagoruyko and Komodakis 2016, section 2.4: "between convolutions and after ReLU".
        ("basic", "v2", "pre_bn pre_activation conv1 conv1_bn conv1_activation conv1_dropout conv2 add"),
        ("basic", "v1", "conv1 conv1_bn conv1_activation conv1_dropout conv2 conv2_bn add out_activation"),
        (
            "bottleneck",
            "v2",
            "pre_bn pre_activation conv1 conv1_bn conv1_activation conv1_dropout conv2 conv2_bn conv2_activation "
            "conv2_dropout conv3 add",
        ),
    ],
)
def test_dropout_stands_between_the_convolutions_behind_the_activation(kind, version, expected):
    block = keras_blocks.ResidualBlock(8, kind, version, block_dropout=0.3)
    assert names(block, channels=32 if kind == "bottleneck" else 8) == expected.split()


def test_dropout_between_convolutions_is_there_in_training_alone():
    with_dropout, without = (keras_blocks.ResidualBlock(8, "basic", "v2", block_dropout=rate) for rate in (0.5, 0.0))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype("float32")
    with_dropout.build(images.shape)
    without.build(images.shape)
    without.set_weights(with_dropout.get_weights())
    found, expected = (keras.ops.convert_to_numpy(block(images)) for block in (with_dropout, without))
    np.testing.assert_array_equal(found, expected)
    one, other = (keras.ops.convert_to_numpy(with_dropout(images, training=True)) for _ in range(2))
    assert np.abs(one - other).max() > 1e-3
