"""What is set on layers inside of blocks and networks comes back with a file, and with a clone."""

import keras
import numpy as np
import pytest
from calling import outputs_of
from thorough import run_alike, run_all

import keras_blocks as kb

IMAGES = np.random.default_rng(0).uniform(size=(2, 4, 4, 1)).astype("float32")
GROUPS = [{"filters": 4}]

# Keras' own, of each layer that cannot be quantized.
pytestmark = pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method:UserWarning")


def head():
    return keras.Sequential([keras.Input((4, 4, 1)), kb.ClassifierHead(3, "flatten", hidden=(4,))])


def network():
    return kb.VGG([{"filters": 4, "layers": 1}], hidden=(4,), input_shape=(4, 4, 1), classes=3)


def autoencoder():
    code = {"units": 2, "hidden": (4,)}
    return kb.AutoEncoder(GROUPS, code, variational=True, seed=1, input_shape=(4, 4, 1))


def siamese():
    return kb.Siamese(network(), embedding=2)


def outputs(model):
    return outputs_of(model, [IMAGES, IMAGES] if len(model.inputs) == 2 else IMAGES)


def again(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras")


def quantization(model):
    return [layer.quantization_mode for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dense)]


@pytest.mark.twice
@pytest.mark.parametrize(
    ("mode", "make"),
    [
        ("int8", network),
        *([("int4", network), ("float8", network)] if run_alike() else []),
        *([("int8", autoencoder)] if run_alike() else []),
        *([("int8", siamese)] if run_all() else []),  # models within a model, as an autoencoder's
    ],
)
def test_a_quantized_model_comes_back(mode, make, tmp_path):
    model = make()
    model.quantize(mode)
    loaded = again(model, tmp_path)
    assert set(quantization(loaded)) == {mode}
    np.testing.assert_array_equal(outputs(loaded), outputs(model))
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(outputs(clone), outputs(model))


@pytest.mark.twice
def test_the_settings_of_a_quantization_come_back(tmp_path):
    model = head()
    model.quantize(config=keras.quantizers.Int4QuantizationConfig(block_size=2))
    loaded = again(model, tmp_path)
    np.testing.assert_array_equal(outputs(loaded), outputs(model))
    assert loaded.layers[0].scores.quantization_config.block_size == 2


def test_policies_and_values_of_inner_layers_come_back(tmp_path):
    groups = [{"filters": 4, "blocks": 1}]
    model = kb.ResNet(groups, "basic", stem="cifar", input_shape=(4, 4, 1), classes=3, dropout=0.5)
    model.get_layer("group1_block1").conv1.dtype_policy = "mixed_bfloat16"
    model.get_layer("group1_block1").conv1_bn.momentum = 0.5
    model.get_layer("head").drop.rate = 0.25
    model.get_layer("predictions").dtype_policy = "mixed_bfloat16"
    paths = {"group1_block1/conv1", "group1_block1/conv1_bn", "head/drop", "predictions"}
    assert set(model.get_config()["inner"]) == paths
    loaded = again(model, tmp_path)
    np.testing.assert_array_equal(outputs(loaded), outputs(model))
    assert loaded.get_layer("group1_block1").conv1_bn.momentum == 0.5
    assert loaded.get_layer("head").drop.rate == 0.25
    assert loaded.get_config() == model.get_config()


def test_lora_of_an_inner_layer_comes_back(tmp_path):
    model = head()
    scores = model.layers[0].scores
    scores.enable_lora(2, lora_alpha=3)
    scores.lora_kernel_b.assign(np.ones((2, 3)))
    loaded = again(model, tmp_path)
    np.testing.assert_allclose(outputs(loaded), outputs(model), atol=1e-6)
    assert loaded.layers[0].scores.lora_rank == 2 and loaded.layers[0].scores.lora_alpha == 3


def test_without_settings_a_config_is_what_it_was():
    for model in (network(), autoencoder(), siamese()):
        model.compile("sgd", "mse")
        assert "inner" not in model.get_config()
    block = kb.ConvBlock(4)
    block(IMAGES, training=True)
    assert "inner" not in block.get_config()


@pytest.mark.twice
def test_an_unbuilt_block_hands_on_what_its_config_holds():
    model = head()
    model.quantize("int8")
    config = model.layers[0].get_config()
    assert kb.ClassifierHead.from_config(config).get_config() == config
