"""Activations as layers, and as functions of keras.ops, between layers that become wider."""

import keras
import pytest
from checks import as_trained
from keras import layers

from keras_blocks.grow.growing import carry, grown

pytestmark = pytest.mark.once

ACTIVATIONS = {
    "Activation": layers.Activation("relu"),
    "ReLU": layers.ReLU(),
    "ReLU of 6": layers.ReLU(6),
    "ReLU of all arguments": layers.ReLU(5.0, 0.1, 0.2),
    "LeakyReLU": layers.LeakyReLU(0.1),
    "ELU": layers.ELU(),
    "relu": keras.ops.relu,
    "leaky_relu": lambda x: keras.ops.leaky_relu(x, 0.3),
    "gelu": keras.ops.gelu,
    "tanh": keras.ops.tanh,
}


def network(activation, joined):
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, name="a")(image)
    x = layers.Concatenate()([x, layers.Conv2D(8, 3, name="b")(image)]) if joined else x
    return keras.Model(image, layers.Conv2D(4, 3)(activation(layers.BatchNormalization()(x))))


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_in_front_may_become_wider(name, joined):
    found = grown(as_trained(network(ACTIVATIONS[name], joined)), {}, {"a": {"filters": 12}})
    assert found.exact and found.notes == {} and found.difference < 1e-5


@pytest.mark.parametrize("first", ["ReLU", "ReLU of 6", "LeakyReLU"])
def test_a_second_one_behind_it_is_not_taken_for_the_same(first):
    """One that leaves what another gives as it is may be new; one that does not is told."""
    image = keras.Input((6, 6, 3))
    x = ACTIVATIONS[first](layers.Conv2D(4, 3, name="a")(image))
    parent, child = (keras.Model(image, layers.Dense(2, name="last")(one)) for one in (x, layers.ReLU(name="new")(x)))
    assert carry(parent, child).exact == (first != "LeakyReLU")
