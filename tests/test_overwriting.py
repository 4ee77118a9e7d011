"""On PyTorch activations and sums are computed in memory that is there, where nothing looks at what was in it."""

import keras
import numpy as np
import pytest

import keras_blocks
from keras_blocks.core.chain import LayerSpec
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.core.native_layers import NATIVE

layers = keras.layers
pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="nothing is overwritten but on PyTorch"),
]


def array(x):
    return np.asarray(keras.ops.convert_to_numpy(x))


def test_an_activation_that_others_see_overwrites_nothing():
    from keras_blocks.core.chain import BuiltChain, Split

    def spec(name, cls, **options):
        return LayerSpec(cls, name, FrozenDict(options), "float32")

    conv, add = spec("conv", layers.Conv2D, filters=1, kernel_size=1), spec("add", layers.Add)
    relu, again = (spec(name, layers.Activation, activation="relu") for name in ("relu", "again"))
    assert BuiltChain([conv, relu]).makers == {"relu": ("conv", None)}
    assert BuiltChain([conv, Split(([relu], []), add), again]).makers == {"again": ("add", None)}
    assert BuiltChain([conv, relu, again]).makers == {"relu": ("conv", None)}
    assert BuiltChain([Split(([], [conv]), add)]).makers == {"add": ("conv", 1)}
    assert BuiltChain([Split(([relu, conv], [again]), add)]).makers == {"add": ("conv", 0)}
    assert BuiltChain([Split(([conv],), add)]).makers == BuiltChain([Split(([], [conv], []), add)]).makers == {}
    assert BuiltChain([conv, relu, spec("pool", layers.MaxPooling2D), relu]).makers == {}
    active = spec("conv", layers.Conv2D, filters=1, kernel_size=1, activation="sigmoid")
    assert BuiltChain([active, relu]).makers == {}


def test_an_addition_of_one_is_what_it_was_given(rng):
    import torch

    @keras.saving.register_keras_serializable(package="test_native")
    class Alone(keras_blocks.Block):
        def chain(self, channels):
            relu = self.layer("relu", layers.Activation, activation="relu")
            return [self.sum_of("out", [self.sum_of("one", []), relu], [])]

    block, x = Alone(), torch.tensor(rng.normal(size=(2, 3, 3, 2)).astype("float32"))
    block.build(x.shape)
    with torch.no_grad():
        np.testing.assert_allclose(array(block(x.clone())), array(torch.relu(x) + x), rtol=1e-6)


def test_a_sum_of_two_sizes_overwrites_none(rng):
    """Keras' addition makes the smaller one larger; and what a gradient looks at is kept."""
    import torch

    add, conv = NATIVE[layers.Add](), NATIVE[layers.Conv2D](2, 1)
    conv.build((None, 3, 3, 2))
    add.build([(None, 3, 3, 2)] * 2)
    x = torch.tensor(rng.normal(size=(2, 3, 3, 2)).astype("float32"))
    with torch.no_grad():
        assert add.may_overwrite([conv(x), x], conv)
        assert not add.may_overwrite([conv(x), x[:, :1]], conv)
    assert add.may_overwrite([conv(x), x], conv)
    assert not add.may_overwrite([conv(x)[:, 1:], x[:, 1:]], conv)
    conv.activation = keras.activations.relu
    assert not add.may_overwrite([conv(x), x], conv)
    with torch.no_grad():
        assert add.may_overwrite([conv(x), x], conv)


IN_TRAINING = {
    "a bottleneck": (lambda: keras_blocks.ResidualBlock(16, "bottleneck"), [3, 2, 0, 0]),
    "a bottleneck, projected": (lambda: keras_blocks.ResidualBlock(32, "bottleneck", strides=2), [3, 2, 0, 0]),
    "without normalization": (lambda: keras_blocks.FireBlock(4), [3, 1, 0, 0]),
    "normalized before": (lambda: keras_blocks.DenseLayer(4), [2, 0, 0, 1]),
}


@pytest.mark.parametrize("name", IN_TRAINING)
def test_what_is_overwritten_in_training_changes_no_gradient(name, rng):
    """As Keras runs the same layers one by one; images and their gradients are added in memory that is there.

    Counted are ReLUs and sums in place, and others: of what the block was given, and of a part of a gradient.
    """
    import torch
    from torch.profiler import profile

    make, wanted = IN_TRAINING[name]
    keras.utils.set_random_seed(0)
    block, inputs = make(), keras.Input((12, 12, 64))
    flat = keras.Model(inputs, block.expand(inputs))
    sizes = (4, *inputs.shape[1:]), (4, *flat.output.shape[1:])
    images, way = (torch.tensor(rng.normal(size=size).astype("float32")) for size in sizes)

    def gradients(call):
        for variable in block.non_trainable_variables:
            variable.assign(keras.ops.ones_like(variable))
        x = images.clone().requires_grad_()
        y = call(x * 1.0)
        found = torch.autograd.grad(y, [x, *(variable.value for variable in block.trainable_variables)], way)
        return [array(one) for one in (y.detach(), *found, *(one.value for one in block.non_trainable_variables))]

    expected = gradients(lambda x: flat(x, training=True))
    with profile(record_shapes=True) as profiled:
        found = gradients(lambda x: block(x, training=True))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())
    counts = dict.fromkeys(("aten::relu_", "aten::add_", "aten::relu", "aten::add"), 0)
    for event in profiled.key_averages(group_by_input_shape=True):
        if event.key in counts and event.input_shapes and len(event.input_shapes[0]) == 4:
            counts[event.key] += event.count
    assert list(counts.values()) == wanted


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_what_is_rematerialized_keeps_the_same_tensors(policy, rng):
    """PyTorch compares what it keeps in both runs; the second is outside of Keras' own casting."""
    import torch

    images = torch.tensor(rng.normal(size=(2, 8, 8, 4)).astype("float32"))
    plain = keras_blocks.FireBlock(4, dtype=policy)
    again = keras_blocks.FireBlock(4, dtype=policy, remat=True)
    found = []
    for block in (plain, again):
        block.build(images.shape)
        block.set_weights(plain.get_weights())
        loss = block(images, training=True).float().square().sum()
        found.append(torch.autograd.grad(loss, [variable.value for variable in block.trainable_variables]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(array(one), array(other), rtol=2e-2, atol=2e-2 * float(other.abs().max()))


def test_what_somebody_has_put_in_a_layers_place_keeps_what_it_gives(rng):
    import torch

    images = torch.tensor(rng.normal(size=(2, 8, 8, 4)).astype("float32"))

    def made():
        block = keras_blocks.ConvBlock(4, batch_norm=True)
        block.build(images.shape)
        return block

    seen, given = [], images.clone()
    block = made()
    block.conv_bn.call = lambda inputs, training=None, mask=None: inputs
    block.conv.call = lambda inputs: inputs
    for training in (True, False):
        block(given, training=training)
    np.testing.assert_array_equal(array(given), array(images))
    block = made()
    normalize = block.conv_bn.call
    block.conv_bn.call = lambda *args, **kwargs: seen.append(normalize(*args, **kwargs)) or seen[-1]
    block(images, training=True)
    assert float(seen[0].detach().min()) < 0
    block = keras_blocks.ConvBlock(4, batch_norm=False)
    block.build(images.shape)
    block.conv.activation = keras.activations.tanh  # whose gradient looks at what it gave
    block(images, training=True).sum().backward()
    assert block.conv.kernel.value.grad is not None


@pytest.mark.parametrize("training", [True, False])
def test_a_sum_of_one_in_a_graph_is_that_one(training, rng):
    import torch

    from keras_blocks.core.freeing import functional

    inputs = keras.Input((4, 4, 3))
    conv, add = NATIVE[layers.Conv2D](3, 1), NATIVE[layers.Add]()
    model, x = functional(inputs, add([conv(inputs)])), torch.tensor(rng.normal(size=(2, 4, 4, 3)).astype("float32"))
    np.testing.assert_array_equal(array(model(x, training=training).detach()), array(conv(x).detach()))
