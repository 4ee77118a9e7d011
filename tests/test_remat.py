"""Rematerialized blocks train as the same blocks do that keep their activations."""

import keras
import numpy as np
import pytest
from calling import JIT
from checks import randomize
from gradients import gradients
from thorough import run_all

import keras_blocks

# With fewer channels than a vector has floats, the gradient of a strided 1x1 kernel is now and then garbage in PyTorch
# on a CPU, remat or not: https://github.com/uxlfoundation/oneDNN/issues/6035.
SHAPE = (8, 8, 16)

TRACED = "tensorflow" if run_all() else None
"""The backend on which a model is trained under XLA, too, which takes long and is tested on JAX."""

BLOCKS = {
    "residual": lambda **kwargs: keras_blocks.ResidualBlock(4, drop_rate=0.5, **kwargs),
    "pre-activated": lambda **kwargs: keras_blocks.ResidualBlock(4, "basic", "v2", strides=2, **kwargs),
    "dense": lambda **kwargs: keras_blocks.DenseBlock(3, layers=2, dropout=0.5, **kwargs),
    "fire": lambda **kwargs: keras_blocks.FireBlock(2, batch_norm=True, **kwargs),
}


def pair(make):
    """Twice the same block, with the same weights and random states; the second rematerializes."""
    twins = []
    for remat in (False, True):
        keras.utils.set_random_seed(1)
        block = make(remat=remat)
        block.build((None, *SHAPE))
        randomize(block)
        twins.append(block)
    for ours, theirs in zip(*(block.non_trainable_variables for block in twins)):
        theirs.assign(ours)
    return twins


@pytest.mark.parametrize("name", BLOCKS if run_all() or not JIT else ["residual", "dense"])  # XLA compiles
def test_gradients_and_statistics_are_the_same(name, rng):
    x = rng.normal(size=(4, *SHAPE)).astype("float32")
    plain, remat = pair(BLOCKS[name])
    found = []
    for block in (remat, plain):
        keras.utils.set_random_seed(3)  # PyTorch draws dropout from its global state
        found.append(gradients(block, x))
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    # The same state after the step as without: assigned once, and not again by the backward pass.
    for ours, theirs in zip(remat.non_trainable_variables, plain.non_trainable_variables):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        *(keras.ops.convert_to_numpy(block(x, training=False)) for block in (remat, plain)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("jit_compile", [False, True] if keras.backend.backend() == TRACED else [JIT])
def test_a_model_trains_as_without(jit_compile, rng):
    x = rng.normal(size=(8, 8, 8, 3)).astype("float32")
    y = rng.integers(0, 4, 8)
    losses, states = [], []
    for remat in (False, True):
        keras.utils.set_random_seed(2)
        model = keras_blocks.DenseNet(
            groups=[{"layers": 2}, {"layers": 1}], filters=4, stem="cifar", stem_filters=6, dropout=0.25,
            input_shape=(8, 8, 3), classes=4, remat=remat,
        )  # fmt: skip
        model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", jit_compile=jit_compile)
        losses.append(model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"])
        states.append([weight.numpy() for weight in model.weights])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    for ours, theirs in zip(*states):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_blocks_within_a_block_are_not_rematerialized_twice(rng):
    calls = []

    @keras.saving.register_keras_serializable(package="tests")
    class Counting(keras.layers.Activation):
        def call(self, inputs):
            calls.append(self.name)
            return super().call(inputs)

    @keras.saving.register_keras_serializable(package="tests")
    class Inner(keras_blocks.Block):
        def chain(self, channels):
            return [self.conv2d("conv", 4, 3), self.layer("counting", Counting, activation="relu")]

    @keras.saving.register_keras_serializable(package="tests")
    class Outer(keras_blocks.Block):
        def chain(self, channels):
            return [self.layer("inner", Inner), self.norm("bn")]

    block = Outer(remat=True)
    block.build((None, 8, 8, 3))
    assert block.inner.remat
    gradients(block, rng.normal(size=(2, 8, 8, 3)).astype("float32"))
    assert len(calls) == (1 if keras.backend.backend() == "jax" else 2)  # forward and again; JAX replays a trace
