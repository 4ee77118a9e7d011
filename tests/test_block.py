"""What only shows on a block of one's own: blocks in blocks, nested splits, custom training loops."""

import copy

import keras
import numpy as np
import pytest

import keras_blocks


@keras.saving.register_keras_serializable(package="test_block")
class Nested(keras_blocks.Block):
    """A block that holds blocks, one of them inside a split within a split."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def chain(self, channels):
        fire = self.layer("fire", keras_blocks.FireBlock, filters=self.filters, expand_ratio=1)
        conv = self.layer("conv", keras_blocks.ConvBlock, filters=2 * self.filters, batch_norm=True)
        inner = self.concatenate("inner", self.conv_unit("narrow", 2, 1), self.conv_unit("wide", 3, 3))
        return [self.sum_of("sum", [fire], [conv]), self.concatenate("outer", [inner], [])]


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")


def as_array(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def test_nested_blocks_hand_down_the_settings_and_open_up(images, tmp_path):
    block = Nested(4, activation="tanh", dtype="float32", name="nested")
    outputs = as_array(block(images))
    assert outputs.shape == (2, 8, 8, 2 + 3 + 8)
    assert block.fire.activation is keras.activations.tanh
    assert block.conv.batch_norm is True
    inputs = keras.Input((8, 8, 3))
    flat = keras.Model(inputs, block.expand(inputs))
    assert not any(isinstance(layer, keras_blocks.Block) for layer in flat.layers)
    np.testing.assert_array_equal(as_array(flat(images)), outputs)
    assert keras_blocks.cost(block, (8, 8, 3)).params == block.count_params()
    assert "nested/nested_fire/nested_fire_squeeze/kernel" in [weight.path for weight in block.weights]

    block.conv.conv_bn.trainable = False
    model = keras.Model(inputs, block(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(as_array(again(images)), outputs)
    assert [w.path for w in again.trainable_weights] == [w.path for w in block.trainable_weights]


def test_seeded_initializer_reaches_nested_blocks_without_copies(images):
    block = Nested(3, kernel_initializer=keras.initializers.HeNormal(seed=5))
    block(images)
    kernels = [weight.numpy() for weight in block.weights if weight.name == "kernel"]
    for i, one in enumerate(kernels):
        assert all(one.shape != other.shape or np.any(one != other) for other in kernels[:i])


def test_stateless_call_trains_batch_normalization(images):
    """A JAX training loop of one's own goes round Keras' call context."""
    block = keras_blocks.ConvBlock(4)
    block.build((None, 8, 8, 3))
    trainable = [variable.value for variable in block.trainable_variables]
    others = [variable.value for variable in block.non_trainable_variables]
    if keras.backend.backend() == "torch":
        pytest.skip("torch's variables are changed in place, and stateless_call is JAX's way")
    _, moved = block.stateless_call(trainable, others, images, training=True)
    assert any(np.any(as_array(one) != as_array(other)) for one, other in zip(others, moved))


def test_training_argument_reaches_the_sublayers(images):
    block = keras_blocks.ConvBlock(4)
    assert np.abs(as_array(block(images, training=True)) - as_array(block(images, training=False))).max() > 1e-3


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras_blocks.ConvBlock(4),
        lambda: keras.Sequential([keras_blocks.ConvBlock(4)]),
        lambda: keras_blocks.FireBlock(4, batch_norm=True, name="kept"),
    ],
)
def test_unbuilt_blocks_can_be_copied(make, images):
    original = make()
    twin = copy.deepcopy(original)
    assert twin.name == original.name
    assert twin(images).shape[-1] == original(images).shape[-1]


@pytest.mark.filterwarnings("ignore:.*unbuilt state:UserWarning")  # Keras', of the user's own model, which has no build
def test_a_block_that_was_never_called_does_not_spoil_the_file(images, tmp_path):
    model = WithSpare()
    outputs = as_array(model(images))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(as_array(keras.saving.load_model(tmp_path / "model.keras")(images)), outputs)


@keras.saving.register_keras_serializable(package="test_block")
class WithSpare(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.used, self.spare = keras_blocks.ConvBlock(4), keras_blocks.ConvBlock(4)

    def call(self, x):
        return self.used(x)


def test_a_layer_declared_frozen_stays_frozen(images):
    class FrozenNorm(keras_blocks.Block):
        def chain(self, channels):
            return [self.layer("bn", keras.layers.BatchNormalization, trainable=False)]

    block = FrozenNorm()
    block(images, training=True)
    assert block.trainable_weights == []
    assert np.all(block.bn.moving_mean.numpy() == 0)


def test_subclasses_of_keras_layers_are_told_the_data_format():
    class MyConv(keras.layers.Conv2D):
        def __init__(self, filters, **kwargs):
            super().__init__(filters, 1, **kwargs)

    class Holder(keras_blocks.Block):
        def chain(self, channels):
            return [self.layer("inner", MyConv, filters=5)]

    block = Holder(data_format="channels_first")
    block.build((None, 3, 8, 8))
    assert block.inner.data_format == "channels_first"
    assert block.compute_output_shape((None, 3, 8, 8)) == (None, 5, 8, 8)


def test_an_empty_dict_is_batch_normalization_with_its_defaults(images):
    block = keras_blocks.ConvBlock(4, batch_norm={})
    block(images)
    assert block.conv_bn.momentum == 0.99
    assert block.conv.bias is None
