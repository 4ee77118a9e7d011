"""Depthwise and separable convolutions, and the blocks made of them, against torch's and Keras' own operations."""

import keras
import numpy as np
import pytest
from calling import outputs_of
from checks import randomize

import keras_blocks
from keras_blocks.core.chain import specs

pytestmark = pytest.mark.once


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="the reference is computed by torch")


def built(block, *shape):
    block.build((None, *shape))
    randomize(block)
    return block, np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")


def weights_of(torch, layer):
    return [torch.from_numpy(value) for value in layer.get_weights()]


def torch_conv(torch, x, layer, **options):
    axes = (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (3, 2, 0, 1)
    kernel, *_ = weights_of(torch, layer)
    return torch.nn.functional.conv2d(x, kernel.permute(axes), **options)


def torch_norm(torch, x, layer):
    gamma, beta, mean, variance = weights_of(torch, layer)
    return torch.nn.functional.batch_norm(x, mean, variance, gamma, beta, eps=layer.epsilon)


def as_torch(torch, images):
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def assert_alike(outputs, expected):
    expected = expected.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(outputs, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("strides, size", [(1, 7), (2, 7), (2, 8)])
def test_inverted_residual_is_torchs(torch, strides, size):
    block, images = built(keras_blocks.InvertedResidualBlock(6, 2, strides=strides), size, size, 6)
    x = as_torch(torch, images)
    wide = torch.clamp(torch_norm(torch, torch_conv(torch, x, block.widen), block.widen_bn), 0, 6)
    y = torch_conv(torch, wide, block.depthwise, stride=strides, padding=1, groups=12)
    y = torch.clamp(torch_norm(torch, y, block.depthwise_bn), 0, 6)
    y = torch_norm(torch, torch_conv(torch, y, block.project), block.project_bn)
    assert_alike(outputs_of(block, images), y if strides > 1 else x + y)


def test_a_depthwise_convolution_may_have_strides_and_dilation(torch):
    class Skipping(keras_blocks.Block):
        def chain(self, channels):
            options = {"strides": 2, "dilation_rate": 2, "padding": "symmetric", "activated": False}
            return self.conv_unit("conv", None, 3, depthwise=True, use_bias=False, **options)

    for size in (8, 9):
        block, images = built(Skipping(), size, size, 4)
        x = as_torch(torch, images)
        expected = torch_conv(torch, x, block.conv, stride=2, padding=2, dilation=2, groups=4)
        assert_alike(outputs_of(block, images), expected)


def test_strides_that_do_not_divide_the_dilation(torch):
    class Skipping(keras_blocks.Block):
        def chain(self, channels):
            return self.padded_conv2d("conv", 5, 3, strides=2, dilation_rate=3, padding="symmetric", use_bias=False)

    block, images = built(Skipping(), 9, 9, 4)
    expected = torch_conv(torch, as_torch(torch, images), block.conv, stride=2, padding=3, dilation=3)
    assert_alike(outputs_of(block, images), expected)


@pytest.mark.parametrize("filters, strides, activated", [((6, 8), 2, False), ((4, 4, 4), 1, True)])
def test_xception_is_of_keras_separable_convolutions(filters, strides, activated):
    block, images = built(keras_blocks.XceptionBlock(filters, strides, activated=activated), 7, 7, 4)
    x = y = images

    def applied(layer, weights, x):
        layer.build(x.shape)
        layer.set_weights(weights)
        return layer(x)

    for i, width in enumerate(filters, start=1):
        y = keras.ops.relu(y) if i > 1 or activated else y
        kernels = [getattr(block, f"conv{i}{part}").get_weights()[0] for part in ("_depthwise", "")]
        y = applied(keras.layers.SeparableConv2D(width, 3, padding="same", use_bias=False), kernels, y)
        y = applied(keras.layers.BatchNormalization(), getattr(block, f"conv{i}_bn").get_weights(), y)
    if strides > 1:
        y = keras.layers.MaxPooling2D(3, 2, padding="same")(y)
        x = applied(keras.layers.Conv2D(filters[-1], 1, strides=2, use_bias=False), block.projection.get_weights(), x)
        x = applied(keras.layers.BatchNormalization(), block.projection_bn.get_weights(), x)
    expected = keras.ops.convert_to_numpy(keras.ops.add(x, y))
    np.testing.assert_allclose(outputs_of(block, images), expected, atol=1e-4 * np.abs(expected).max())


def test_mobilenet_v3s_gates_have_multiples_of_8_channels():
    """Howard et al. 2019, as in timm's mobilenetv3_large_100: 72 channels over 4 are 24, 120 are 32, 672 are 168."""
    for channels, wide, squeezed in ((24, 3, 24), (40, 3, 32), (112, 6, 168)):
        block = keras_blocks.InvertedResidualBlock(40, wide, se_ratio=4, activation="hard_silu")
        block.build((None, 8, 8, channels))
        assert block.se.reduce.filters == squeezed
        assert [spec.name for spec in specs(block.chain_for(None))][:7] == (
            ["widen", "widen_bn", "widen_activation", "depthwise", "depthwise_bn", "depthwise_activation", "se"]
        )


def test_a_convolution_without_filters_is_refused():
    class Slip(keras_blocks.Block):
        def chain(self, channels):
            return self.conv_unit("conv", None, 3)

    with pytest.raises(TypeError, match="'conv' must have `filters`"):
        Slip().build((None, 8, 8, 4))
