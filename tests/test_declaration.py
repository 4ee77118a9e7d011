"""Layers that are told of as plain data: what may be told, and that a file brings no code by them."""

import json
import zipfile

import keras
import pytest

import keras_blocks
from keras_blocks.core.declaration import layer_declaration

CODE = {
    "keras>TFSMLayer": {"filepath": "/nowhere"},
    "keras>Lambda": {"function": "lambda x: x"},
    "keras>TorchModuleWrapper": {"module": "gAR9"},
    "keras>JaxLayer": {"call_fn": "print"},
    "keras>FlaxLayer": {"module": "print"},
}
"""Registered names of layers that bring code, with arguments as a file may have them."""


def edited(path, change):
    """The file with another config."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(held["config.json"])
    change(config)
    held["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize("nested", [False, True])
def test_a_file_brings_no_code(name, nested, tmp_path):
    attention = {"layer": name, **CODE[name]}
    if nested:
        attention = {"layer": "keras_blocks>ResidualBlock", "filters": 4, "attention": attention}
    inputs = keras.Input((8, 8, 4))
    block = keras_blocks.ResidualBlock(4, attention=keras_blocks.EfficientChannelAttention)
    keras.Model(inputs, block(inputs)).save(tmp_path / "model.keras")

    def change(config):
        (layer,) = (layer for layer in config["config"]["layers"] if layer["class_name"] == "ResidualBlock")
        layer["config"]["attention"] = attention

    edited(tmp_path / "model.keras", change)
    with pytest.raises((TypeError, ValueError), match=f"{name.partition('>')[2]} runs code that its arguments bring"):
        keras.saving.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda x: x, "as a function is in no saved file"),
        (keras.Sequential, "must be a layer"),
        (keras.losses.MeanSquaredError, "must be a layer"),
        ("keras>NoSuchLayer", "NoSuchLayer"),
        ({"kernel_size": 3}, "must have the key 'layer'"),
        ({"layer": keras_blocks.EfficientChannelAttention, "kernel_size": 2}, "must be odd"),
        ({"layer": keras_blocks.EfficientChannelAttention, "kernels": 3}, "kernels"),
        ({"layer": keras_blocks.EfficientChannelAttention, "name": "eca"}, "must leave `name` to the block"),
        (7, "must be a layer"),
    ],
    ids=str,
)
def test_what_is_no_layer_is_refused(value, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        layer_declaration("attention", value)
    assert "`attention`" in str(caught.value)


def test_a_pattern_is_what_it_was_told():
    eca = keras_blocks.EfficientChannelAttention
    told = {"layer": "keras_blocks>EfficientChannelAttention", "kernel_size": 5}
    for value in (eca(kernel_size=5), eca(5, gate="sigmoid"), {"layer": eca, "kernel_size": 5}, told):
        assert layer_declaration("attention", value) == told
    assert layer_declaration("attention", eca) == {"layer": told["layer"]}
    assert layer_declaration("attention", None) is None
