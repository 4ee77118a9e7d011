"""What a version leaves in tests/fixtures: models of each kind with inputs and outputs, and every class' config.

Files of 0.1.0 hold every class with its weights. From 0.2.0 on a version has a file of each kind, of what the version
before could not say, and of each class that no version had; and of all others what a file says of them: the config, and
the paths and shapes of the weights.
"""

import functools
import gzip
import json
import pathlib

import keras
from catalog import KINDS, OTHER_MODELS, ROWS, SHARED, small_model

import keras_blocks
from keras_blocks.weights.convert import named_weights

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
CONFIGS = "configs.json.gz"
MAKERS = {**{row.name: functools.partial(small_model, row) for row in ROWS}, **OTHER_MODELS}
"""Name of a class -> makes a small model that holds it."""


def versions():
    return sorted(path.name for path in FIXTURES.iterdir() if path.name[0].isdigit())


def files_of(version):
    return {file.stem for file in (FIXTURES / version).glob("*.keras")}


def _net(**options):
    groups = [{"filters": 4, "blocks": 1}, {"filters": 6, "blocks": 1}]
    return keras_blocks.ResNet(groups, "basic", stem="cifar", input_shape=(8, 8, 3), classes=3, **options)


def _with_inner_values():
    inputs = keras.Input((8, 8, 3))
    block = keras_blocks.ConvBlock(4)
    outputs = block(inputs)
    block.conv_bn.momentum = 0.5
    return keras.Model(inputs, outputs)


def _of_ordinary_layers():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, keras_blocks.ChannelPadding((1, 4))(inputs))


NEW = {
    "0.2.0": {
        "attended": lambda: _net(
            attention={"layer": "keras_blocks>ConvolutionalBlockAttention", "ratio": 2}, shortcut="pooled"
        ),
        "grouped_normalization": lambda: _net(batch_norm={"groups": 2}),
        "deployed": lambda: keras_blocks.deploy(_net()),
        "pruned": lambda: keras_blocks.prune(_net(), macs=0.7),
        "inner_values": _with_inner_values,
        "padded_on_one_side": _of_ordinary_layers,
        "settings": lambda: keras_blocks.SqueezeNet(
            [{"filters": [4]}], "tiny", input_shape=(8, 8, 3), classes=2, **{**SHARED, "kernel_regularizer": None}
        ),
    }
}
"""Version -> name -> makes what no version before could save."""


def models_of(version):
    """Name -> makes what is saved with weights."""
    before = set().union(*(files_of(other) for other in versions() if other < version))
    wanted = {name: make for name, make in MAKERS.items() if name in KINDS or name not in before}
    return wanted | NEW.get(version, {})


def said_of(model):
    """What a file says of a model, but for the numbers."""
    weights = {path: list(weight.shape) for path, weight in named_weights(model).items()}
    return {"config": keras.saving.serialize_keras_object(model), "weights": weights}


def read_configs(version):
    """Name -> what was said."""
    path = FIXTURES / version / CONFIGS
    return json.loads(gzip.decompress(path.read_bytes())) if path.exists() else {}


def write_configs(version, configs):
    content = json.dumps(configs, sort_keys=True).encode()
    (FIXTURES / version / CONFIGS).write_bytes(gzip.compress(content, mtime=0))
