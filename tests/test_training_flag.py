"""Who says whether a layer trains: the call, or its own `trainable`; a flag bound into a graph holds in no `fit`."""

import keras
import numpy as np
import pytest

import keras_blocks

IMAGES = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype("float32")


def as_array(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


@pytest.mark.once
@pytest.mark.parametrize("training", [True, False])
def test_expand_refuses_a_flag_that_it_cannot_bind(training):
    for block in (keras_blocks.ConvBlock(4), keras_blocks.DenseBlock(2, layers=1)):
        for args, kwargs in (((training,), {}), ((), {"training": training})):
            with pytest.raises(TypeError, match=rf"training={training}.*`trainable = False`"):
                block.expand(keras.Input((6, 6, 3)), *args, **kwargs)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("kind", ["called", "expanded", "rematerialized"])
def test_fit_keeps_the_statistics_of_a_frozen_block(kind, frozen):
    block = keras_blocks.DenseBlock(2, layers=1, remat=kind == "rematerialized")
    inputs = keras.Input((6, 6, 3))
    x = block.expand(inputs) if kind == "expanded" else block(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(x)))
    block.trainable = not frozen
    before = [weight.numpy() for weight in block.weights]
    model.compile("sgd", "mse")
    model.fit(IMAGES, np.ones((4, 1)), epochs=1, verbose=0)
    moved = [np.any(weight.numpy() != old) for weight, old in zip(block.weights, before)]
    assert not any(moved) if frozen else all(moved)


class Told(keras_blocks.Architecture):
    """Parts that are told in the graph to work as in training: a block, and models that hold blocks."""

    def stem(self, x):
        x = keras_blocks.ConvBlock(4)(x, training=True)
        functional = keras.Input(x.shape[1:])
        functional = keras.Model(functional, keras_blocks.ConvBlock(3)(functional))
        sequential = keras.Sequential([keras.Input((6, 6, 3)), keras_blocks.ConvBlock(2)])
        return self.feature("stem", sequential(functional(x, training=True), training=True))

    def learner(self, x):
        return x


def test_expanded_networks_keep_what_their_parts_are_told():
    model = Told({}, input_shape=(6, 6, 3), include_top=False)
    flat = model.expand()
    for flags in ({}, {"training": False}):
        np.testing.assert_allclose(as_array(flat(IMAGES, **flags)), as_array(model(IMAGES, **flags)), atol=1e-6)
    # Told of nothing, the parts use the batch's statistics; told of inference, the moving ones.
    assert np.abs(as_array(flat(IMAGES)) - as_array(flat(IMAGES, training=False))).max() > 0.1
