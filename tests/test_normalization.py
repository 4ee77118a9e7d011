"""Our BatchNormalization against Keras', which it stands in for."""

import keras
import numpy as np
import pytest
from calling import JIT
from gradients import gradients

import keras_blocks
from keras_blocks.core.native_layers import own_class
from keras_blocks.core.normalization import BatchNormalization

OPTIONS = {
    "default": {},
    "torch": {"epsilon": 1e-5, "momentum": 0.9},
    "unscaled": {"scale": False},
    "uncentered": {"center": False},
    "renorm": {"renorm": True},
    "channels_first": {"axis": 1},
}


def pair(shape, **options):
    """Keras' and ours with the same weights, none at its initial value."""
    rng, layers = np.random.default_rng(1), []
    for cls in (keras.layers.BatchNormalization, BatchNormalization):
        layer = cls(**options)
        layer.build((None, *shape))
        layers.append(layer)
    for theirs, ours in zip(*(layer.weights for layer in layers)):
        values = rng.uniform(0.5, 1.5, theirs.shape)
        theirs.assign(values)
        ours.assign(values)
    return layers


def assert_same(theirs, ours, atol=1e-5):
    for expected, found in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(
            *(np.asarray(keras.ops.convert_to_numpy(value), "float32") for value in (found, expected)),
            rtol=1e-4,
            atol=atol,
        )


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("shape", [(5, 6, 3), (3,)], ids=["images", "vectors"])
def test_trains_as_keras_does(name, shape, rng):
    x = (2 + 3 * rng.normal(size=(4, *shape))).astype("float32")
    theirs, ours = pair(shape, **OPTIONS[name])
    assert_same(*([layer(x, training=True)] for layer in (theirs, ours)))
    assert_same(theirs.weights, ours.weights)
    assert_same(gradients(theirs, x), gradients(ours, x))
    assert_same(*([layer(x, training=False)] for layer in (theirs, ours)))
    ours.trainable = theirs.trainable = False
    assert_same(*([layer(x, training=True)] for layer in (theirs, ours)))


def test_one_pixel_has_no_variance(rng):
    x = rng.normal(size=(1, 1, 1, 3)).astype("float32")
    theirs, ours = pair((1, 1, 3))
    assert_same(*([layer(x, training=True)] for layer in (theirs, ours)))
    assert_same(theirs.weights, ours.weights)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_sixteen_bits_are_normalized_in_float32(policy, rng):
    x = (100 + 3 * rng.normal(size=(4, 5, 6, 3))).astype("float32")
    theirs, ours = pair((5, 6, 3), dtype=policy)
    outputs = [layer(x, training=True) for layer in (theirs, ours)]
    assert outputs[0].dtype == outputs[1].dtype
    assert_same(*([output] for output in outputs), atol=1e-2)
    assert_same(theirs.weights, ours.weights)


@pytest.mark.parametrize("jit_compile", [False, True] if keras.backend.backend() == "tensorflow" else [JIT])
def test_fits_as_keras_does(jit_compile, rng):
    x, y = rng.normal(size=(16, 6, 6, 3)).astype("float32"), rng.normal(size=(16, 6, 6, 3)).astype("float32")
    layers = pair((6, 6, 3))
    for layer in layers:
        model = keras.Sequential([keras.Input((6, 6, 3)), layer])
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert_same(*(layer.weights for layer in layers))


def test_files_of_either_load_into_the_other(tmp_path):
    """Files of weights find a layer by its class' name and place."""
    models = []
    for layer in pair((6, 6, 3)):
        models.append(keras.Sequential([keras.Input((6, 6, 3)), layer]))
    models[1].layers[0].gamma.assign([1, 2, 3])
    models[1].save_weights(tmp_path / "ours.weights.h5")
    models[0].load_weights(tmp_path / "ours.weights.h5")
    np.testing.assert_array_equal(models[0].layers[0].gamma.numpy(), [1, 2, 3])


def test_blocks_use_it_and_it_comes_back_from_a_file(tmp_path):
    block = keras_blocks.ConvBlock(4)
    flat_input = keras.Input((6, 6, 3))
    flat = keras.Model(flat_input, block.expand(flat_input))
    assert type(block.conv_bn) is BatchNormalization
    flat.save(tmp_path / "flat.keras")
    again = keras.saving.load_model(tmp_path / "flat.keras")
    assert [own_class(layer) for layer in again.layers] == [own_class(layer) for layer in flat.layers]


def test_a_value_that_is_no_number_stays_one_behind_relu():
    """TensorFlow's graph optimizer would merge both operations into one that makes 0 of it."""
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.layers.ReLU()(BatchNormalization()(inputs)))
    model.compile("sgd", "mse", jit_compile=JIT)
    images = np.ones((2, 4, 4, 3), "float32")
    images[1] = np.nan
    assert np.isnan(model.train_on_batch(images, np.ones((2, 4, 4, 3), "float32")))


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a tracer of PyTorch's")
@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
def test_pytorch_traces_the_same_with_and_without_gradients():
    """Its check of what it traced refused a DenseNet, whose normalizations stay, as OpenVINO's file."""
    import torch

    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, BatchNormalization()(inputs)).eval()
    images = torch.rand(2, 4, 4, 3)
    traced = torch.jit.trace(model, (images,))
    torch.testing.assert_close(traced(images), model(images))


@pytest.mark.once
def test_groups_of_channels_are_normalized_in_place_of_batches(tmp_path):
    """Wu and He, "Group Normalization", 2018: each image's groups have mean 0 and variance 1, in training as else."""
    block = keras_blocks.ConvBlock(8, activation=None, batch_norm={"groups": 2, "epsilon": 1e-6})
    images = np.random.default_rng(0).normal(size=(3, 6, 6, 4)).astype("float32")
    for training in (True, False):
        outputs = np.asarray(keras.ops.convert_to_numpy(block(images, training=training))).reshape(3, 36, 2, 4)
        np.testing.assert_allclose(outputs.mean(axis=(1, 3)), 0, atol=1e-4)
        np.testing.assert_allclose(outputs.std(axis=(1, 3)), 1, rtol=1e-3)
    assert not block.non_trainable_weights
    assert keras_blocks.cost(block, (6, 6, 4)).params == 9 * 4 * 8 + 2 * 8
    model = keras.Sequential([keras.Input((6, 6, 4)), block])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-6)


@pytest.mark.once
def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="group"):
        keras_blocks.ConvBlock(8, batch_norm={"groups": 3}).build((None, 6, 6, 4))
