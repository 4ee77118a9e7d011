"""Inception's blocks against their definitions, written out in Keras' operations, and against PyTorch's layers."""

import keras
import numpy as np
import pytest
from calling import JIT
from checks import randomize
from thorough import run_all

import keras_blocks
from keras_blocks import (
    AuxiliaryClassifier,
    GridReductionA,
    GridReductionB,
    InceptionA,
    InceptionB,
    InceptionBlock,
    InceptionC,
    LocalResponseNormalization,
    PassThroughReduction,
)

ops = keras.ops


def as_array(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def conv(layer, x, strides=1, padding="same"):
    return ops.relu(ops.conv(x, layer.kernel.value, strides, padding) + layer.bias.value)


def reference(block, x):
    """The block's output by the figures of the papers, from its own weights."""

    def chain(x, *names, **last):
        for name in names[:-1]:
            x = conv(getattr(block, name), x)
        return conv(getattr(block, names[-1]), x, **last)

    averaged = ops.average_pool(x, 3, 1, "same")
    pooled = ops.max_pool(x, 3, 1, "same")
    halved = ops.max_pool(x, 3, 2, "valid")
    cls, half = type(block), {"strides": 2, "padding": "valid"}
    if cls is InceptionBlock and block.version == "v1":
        parts = [
            chain(x, "conv_1x1"),
            chain(x, "reduce_3x3", "conv_3x3"),
            chain(x, "reduce_5x5", "conv_5x5"),
            chain(pooled, "pool_proj"),
        ]
    elif cls is InceptionBlock:
        parts = [
            chain(x, "conv_1x1"),
            chain(x, "reduce_3x3", "conv_3x3"),
            chain(x, "reduce_double", "double_1", "double_2"),
            chain(averaged, "pool_proj"),
        ]
    elif cls is InceptionA:
        parts = [
            chain(x, "conv_1x1"),
            chain(x, "reduce_5x5", "conv_5x5"),
            chain(x, "reduce_double", "double_1", "double_2"),
            chain(averaged, "pool_proj"),
        ]
    elif cls is InceptionB:
        parts = [
            chain(x, "conv_1x1"),
            chain(x, "reduce_nxn", "conv_1xn", "conv_nx1"),
            chain(x, "reduce_double", "double_1", "double_2", "double_3", "double_4"),
            chain(averaged, "pool_proj"),
        ]
    elif cls is InceptionC:
        single, double = chain(x, "reduce_3x3"), chain(x, "reduce_double", "double_3x3")
        parts = [
            chain(x, "conv_1x1"),
            chain(single, "expand_1x3"),
            chain(single, "expand_3x1"),
            chain(double, "double_1x3"),
            chain(double, "double_3x1"),
            chain(averaged, "pool_proj"),
        ]
    elif cls is GridReductionA:
        parts = [chain(x, "conv_3x3", **half), chain(x, "reduce_double", "double_1", "double_2", **half), halved]
    elif cls is GridReductionB:
        parts = [
            chain(x, "reduce_3x3", "conv_3x3", **half),
            chain(x, "reduce_nxn", "conv_1xn", "conv_nx1", "last_3x3", **half),
            halved,
        ]
    else:
        parts = [
            chain(x, "reduce_3x3", "conv_3x3", **half),
            chain(x, "reduce_double", "double_1", "double_2", **half),
            halved,
        ]
    return ops.concatenate(parts, -1)


BLOCKS = {
    "v1": lambda: InceptionBlock((2, 3, 4, 5, 6, 7)),
    "v2": lambda: InceptionBlock((2, 3, 4, 5, 6, 7), "v2", pooling="avg"),
    "A": lambda: InceptionA((2, 3, 4, 5, 6, 7), batch_norm=False),
    "B": lambda: InceptionB((2, 3, 4, 5, 6, 7), batch_norm=False),
    "C": lambda: InceptionC((2, 3, 4, 5, 6, 7), batch_norm=False),
    "reduction A": lambda: GridReductionA((2, 3, 4), batch_norm=False),
    "reduction B": lambda: GridReductionB((2, 3, 4, 5), batch_norm=False),
    "pass through": lambda: PassThroughReduction((2, 3, 4, 5), padding="valid", batch_norm=False),
}


COMPILED = ["v2", "C", "pass through"]
"""On JAX, which compiles each block and each of its branches; the others run there where KERAS_BLOCKS_ALL is set."""


@pytest.mark.parametrize("name", COMPILED if JIT and not run_all() else BLOCKS)
def test_outputs_are_the_papers_branches_concatenated(name, rng):
    block = BLOCKS[name]()
    x = ops.convert_to_tensor(rng.normal(size=(2, 9, 9, 3)).astype("float32"))
    block(x)
    randomize(block)
    np.testing.assert_allclose(as_array(block(x)), as_array(reference(block, x)), rtol=1e-4, atol=1e-5)


@pytest.mark.once
def test_kernels_are_those_of_the_papers():
    def kernel(block, name, channels=8):
        block.build((None, 17, 17, channels))
        return tuple(getattr(block, name).kernel.shape[:2])

    six = (2, 3, 4, 5, 6, 7)
    assert kernel(InceptionBlock(six), "conv_5x5") == (5, 5)
    assert kernel(InceptionBlock(six, kernel_size=3), "conv_5x5") == (3, 3)
    assert kernel(InceptionBlock(six, "v2"), "double_2") == (3, 3)
    assert [kernel(InceptionB(six), f"double_{i}") for i in (1, 2, 3, 4)] == [(7, 1), (1, 7), (7, 1), (1, 7)]
    assert kernel(InceptionB(six, n=5), "conv_1xn") == (1, 5)
    assert [kernel(InceptionC(six), f"expand_{k}") for k in ("1x3", "3x1")] == [(1, 3), (3, 1)]
    assert kernel(GridReductionB((2, 3, 4, 5)), "conv_nx1") == (7, 1)


@pytest.mark.once
@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("size", [7, 8])
def test_reductions_of_any_size_can_be_concatenated(padding, size):
    for block in (
        GridReductionA((2, 3, 4), padding),
        GridReductionB((2, 3, 4, 5), padding=padding),
        PassThroughReduction((2, 3, 4, 5), padding),
    ):
        assert block(np.zeros((1, size, size + 1, 3), "float32")).shape[1:3] == ((size + 1) // 2, (size + 2) // 2)


def test_excited_block_scales_its_own_channels(rng):
    """Gates of one half: without weights and biases, the sigmoid is that everywhere."""
    excited, plain = (InceptionBlock((2, 3, 4, 5, 6, 4), se_ratio=ratio) for ratio in (4, None))
    x = rng.normal(size=(2, 6, 6, 3)).astype("float32")
    plain(x), excited(x)
    randomize(plain)
    rest = [np.zeros(weight.shape) for weight in excited.se.weights]
    excited.set_weights([*plain.get_weights(), *rest])
    np.testing.assert_allclose(as_array(excited(x)), 0.5 * as_array(plain(x)), rtol=1e-6)
    assert excited.se.reduce.kernel.shape == (1, 1, 16, 4)


def test_average_pooling_counts_the_border_or_not(rng):
    """PyTorch's F.avg_pool2d with a padding counts it; Keras' "same" does not. They differ at the border alone."""
    torch = pytest.importorskip("torch", reason="the reference is PyTorch's pooling")
    x = rng.normal(size=(1, 6, 5, 1)).astype("float32")
    outputs = {}
    for counted in (False, True):
        block = InceptionA((1,) * 6, count_include_pad=counted, batch_norm=False, activation=None)
        block(x)
        block.pool_proj.kernel.assign(np.ones((1, 1, 1, 1)))
        outputs[counted] = as_array(block(x))[..., -1]
    theirs = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    for counted in (False, True):
        expected = torch.nn.functional.avg_pool2d(theirs, 3, 1, padding=1, count_include_pad=counted)
        np.testing.assert_allclose(outputs[counted], expected.numpy()[:, 0], atol=1e-6)
    np.testing.assert_allclose(outputs[True][:, 1:-1, 1:-1], outputs[False][:, 1:-1, 1:-1], atol=1e-6)
    assert np.abs(outputs[True] - outputs[False]).max() > 0.1


@pytest.mark.parametrize("channels", [3, 8])
@pytest.mark.parametrize("options", [(5, 1e-4, 0.75, 1.0), (4, 0.7, 0.5, 2.0), (1, 1.0, 1.0, 0.5)])
def test_local_response_normalization_is_torchs(channels, options, rng):
    torch = pytest.importorskip("torch", reason="the reference is PyTorch's layer")
    x = rng.normal(scale=3, size=(2, 5, 4, channels)).astype("float32")
    theirs = torch.nn.LocalResponseNorm(*options)(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    expected = theirs.numpy().transpose(0, 2, 3, 1)
    layer = LocalResponseNormalization(*options)
    np.testing.assert_allclose(as_array(layer(x)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", ["strided", "adaptive"])
def test_auxiliary_classifier_pools_as_torch(pooling, rng):
    torch = pytest.importorskip("torch", reason="the reference is PyTorch's pooling")
    x = rng.normal(size=(2, 14, 14, 2)).astype("float32")
    block = AuxiliaryClassifier(3, pooling=pooling)
    block(x)
    randomize(block)
    channels_first = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    if pooling == "strided":
        pooled = torch.nn.functional.avg_pool2d(channels_first, 5, 3)
    else:
        pooled = torch.nn.functional.adaptive_avg_pool2d(channels_first, 4)
    y = np.maximum(
        pooled.numpy().transpose(0, 2, 3, 1) @ as_array(block.conv.kernel)[0, 0] + as_array(block.conv.bias), 0
    )
    y = np.maximum(y.reshape(2, -1) @ as_array(block.dense1.kernel) + as_array(block.dense1.bias), 0)
    expected = y @ as_array(block.scores.kernel) + as_array(block.scores.bias)
    np.testing.assert_allclose(as_array(block(x)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.once
def test_auxiliary_classifier_drops_70_percent_of_its_hidden_layer():
    """GoogLeNet's; v3's, in its published code, drops none."""
    for version, size, rate in (("v1", 14, 0.7), ("v3", 17, None)):
        block = AuxiliaryClassifier(3, version)
        block.build((None, size, size, 8))
        assert (block.drop.rate if hasattr(block, "drop") else None) == rate


@pytest.mark.once
def test_cost_needs_no_hand_written_formula():
    """Mixed_7b of Inception v3: 5,044,608 trained, 6,528 statistics; its multiply-adds by the kernels' own sizes."""
    block = InceptionC((320, 384, 384, 448, 384, 192))
    counted = keras_blocks.cost(block, (8, 8, 1280))
    block.build((None, 8, 8, 1280))
    assert counted.params == block.count_params() == 5_044_608 + 6_528
    kernels = sum(int(np.prod(weight.shape)) for weight in block.weights if weight.name == "kernel")
    assert counted.macs == kernels * 8 * 8
