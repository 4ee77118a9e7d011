"""A type checker finds mistakes in users' scripts: the library says what it takes and gives."""

import json
import pathlib
import runpy
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

SCRIPT = """\
from typing import Unpack

import keras

import keras_blocks
from keras_blocks.core.chain import Chain
from keras_blocks.tuning import HyperResNet, SearchSettings
from keras_blocks.typing import BlockOptions


class TwoPaths(keras_blocks.Block):
    def __init__(self, filters: int, **kwargs: Unpack[BlockOptions]):
        super().__init__(**kwargs)
        self.filters = filters

    def chain(self, channels: int) -> Chain:
        narrow, wide = self.conv_unit("narrow", self.filters, 1), self.conv_unit("wide", self.filters, 3)
        return [self.concatenate("concat", narrow, wide)]


def parameters(block: keras.layers.Layer) -> int:
    return keras_blocks.cost(block, (32, 32, 3)).params


def cells(folder: str) -> keras_blocks.DetectionDataset:
    flip = keras.layers.RandomFlip("horizontal", bounding_box_format="xyxy")
    return keras_blocks.VOCDetection(folder, labels=["RBC"], image_size=(240, 320), shuffle=True, augmentation=[flip])


x = keras.Input((56, 56, 96))
x = keras_blocks.FireBlock(16, bypass="complex", activation="relu", name="fire")(x)
x = keras_blocks.ConvBlock(64, 3, strides=(2, 2), padding="symmetric", batch_norm={"momentum": 0.9})(x)
x = keras_blocks.DenseBlock(32, layers=6, kernel_initializer=keras.initializers.HeNormal())(x)
x = TwoPaths(8, data_format="channels_last")(x)
outputs = keras_blocks.ClassifierHead(10, hidden=[64])(x)
net = keras_blocks.ResNet([{"filters": 8, "blocks": 1}], "basic", stem="cifar", drop_rate=0.1, classes=10)
bare = keras_blocks.VGG([{"filters": 8, "layers": 1}], include_top=False, pooling="avg", data_format="channels_last")
head = keras_blocks.MultiLabelHead([10, 2], names=["digit", "parity"])
loss = keras_blocks.TripletLoss(margin=0.5, mining="hard")
count: int = parameters(keras_blocks.SqueezeExciteBlock(3)) + parameters(TwoPaths(8))
settings = SearchSettings(model="resnet", trials=8)
space = HyperResNet
"""

WRONG = {
    "a wrong choice": ('bypass="complex"', 'bypass="complicated"'),
    "a string for an integer": ("trials=8", 'trials="8"'),
    "a missing argument": ("SqueezeExciteBlock(3)) + parameters(TwoPaths(8))", "SqueezeExciteBlock(3)) + parameters()"),
    "a wrong return": ("(32, 32, 3)).params", "(32, 32, 3))"),
    "a misspelled keyword": ("kernel_initializer=", "kernel_initialiser="),
    "a misspelled keyword of residual networks": ("drop_rate=", "droprate="),
    "a misspelled keyword of datasets": ("shuffle=", "shufle="),
    "a misspelled keyword of all architectures": ("pooling=", "poling="),
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """File name -> lines that pyright finds wrong, of the script as it is and with all mistakes in it."""
    pyright = [sys.executable, "-m", "pyright"]
    try:
        subprocess.run([*pyright, "--version"], capture_output=True, text=True, check=True, timeout=240)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"pyright, which its Python package fetches at its first run, cannot run here: {error}")
    folder = tmp_path_factory.mktemp("user")
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}))
    (folder / "right.py").write_text(SCRIPT)
    (folder / "wrong.py").write_text(with_mistakes())
    found = subprocess.run(
        [*pyright, "--outputjson", "--pythonpath", sys.executable], cwd=folder, capture_output=True, text=True
    )
    report = json.loads(found.stdout)
    assert report["summary"]["filesAnalyzed"] == 2
    lines = {"right.py": set(), "wrong.py": set()}
    for item in report["generalDiagnostics"]:
        lines[pathlib.Path(item["file"]).name].add(item["range"]["start"]["line"])
    return lines


def with_mistakes():
    text = SCRIPT
    for right, wrong in WRONG.values():
        assert text.count(right) == 1
        text = text.replace(right, wrong)
    return text


def line_of(mistake):
    return SCRIPT[: SCRIPT.index(WRONG[mistake][0])].count("\n")


@pytest.mark.once
def test_a_right_script_has_no_errors(errors):
    assert errors["right.py"] == set()


@pytest.mark.once
@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_found(errors, mistake):
    assert line_of(mistake) in errors["wrong.py"]


@pytest.mark.once
def test_nothing_but_the_mistakes_is_found(errors):
    assert errors["wrong.py"] == {line_of(mistake) for mistake in WRONG}


@pytest.mark.once
def test_the_right_script_runs(tmp_path):
    """So that what the types allow is what the library takes."""
    (tmp_path / "script.py").write_text(SCRIPT)
    assert runpy.run_path(str(tmp_path / "script.py"))["count"] > 0
