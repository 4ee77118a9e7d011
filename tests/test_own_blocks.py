"""docs/own_blocks.md: ten blocks of papers in twelve lines each, with all that follows from a declaration."""

import ast
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from calling import as_array
from checks import randomize

import keras_blocks

pytestmark = pytest.mark.once

PAGE = (Path(__file__).parents[1] / "docs" / "own_blocks.md").read_text()
CODE = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
TEN = next(code for code in CODE if "ConvNeXtBlock" in code)
CLASSES = [node for node in ast.parse(TEN).body if isinstance(node, ast.ClassDef)]

# name: parameters of 8 channels, counted by hand; of `UpBlock`, with 4 that were kept.
PARAMS = {
    "ConvNeXtBlock": 49 * 8 + 8 + 2 * 8 + 8 * 32 + 32 + 32 * 8 + 8,
    "FusedMBConvBlock": 9 * 8 * 32 + 4 * 32 + (32 * 2 + 2) + (2 * 32 + 32) + 32 * 8 + 4 * 8,
    "GhostBlock": 8 * 4 + 4 * 4 + 9 * 4 + 4 * 4,
    "CrossStageBlock": 4 * (9 * 4 * 4 + 4 * 4) + 8 * 8 + 4 * 8,
    "RepVGGBlock": 10 * 8 * 8 + 3 * 4 * 8,
    "PyramidPoolingBlock": 2 * (8 * 16 + 4 * 16) + 2 * (9 * 8 * 16 + 4 * 16) + 64 * 16 + 4 * 16,
    "UpBlock": (4 * 8 * 4 + 4) + (9 * 8 * 4 + 4) + (9 * 4 * 4 + 4),
    "Res2NetBlock": 3 * (9 * 2 * 2 + 4 * 2) + 8 * 8 + 4 * 8,
    "FasterNetBlock": 9 * 2 * 2 + 8 * 16 + 4 * 16 + 16 * 8,
    "SimpleGateBlock": 2 * 8 + (8 * 16 + 16) + (9 * 16 + 16) + (8 * 8 + 8) + (8 * 8 + 8),
}


@pytest.fixture(scope="module")
def namespace():
    found = {}
    for number, code in enumerate(CODE, start=1):
        exec(compile(code, f"docs/own_blocks.md, block {number}", "exec"), found)
    return found


def test_ten_blocks_of_twelve_lines():
    assert {node.name for node in CLASSES} == set(PARAMS) and len(CLASSES) == 10
    for node in CLASSES:
        statements = node.body[1:]  # behind the docstring
        assert sum(one.end_lineno - one.lineno + 1 for one in statements) + 1 <= 12, node.name


def inputs_of(name, size=(7, 9)):
    height, width = size
    if name != "UpBlock":
        return (height, width, 8)
    return {"x": (-(-height // 2), -(-width // 2), 8), "kept": (height, width, 4)}  # odd: one pixel less than twice


@pytest.mark.parametrize("name", PARAMS)
def test_all_that_follows_is_there(namespace, name, tmp_path):
    shape = inputs_of(name)
    block = namespace[name]()
    counted = keras_blocks.cost(block, shape)
    inputs = (
        {key: keras.Input(one, name=key) for key, one in shape.items()} if name == "UpBlock" else keras.Input(shape)
    )
    model = keras.Model(inputs, block(inputs))
    randomize(model)
    assert counted.params == model.count_params() == PARAMS[name]
    rng = np.random.default_rng(0)
    images = keras.tree.map_structure(lambda one: rng.normal(size=(2, *one.shape[1:])).astype("float32"), inputs)
    expected = as_array(model(images))
    flat = keras_blocks.expand(model)
    assert not any(isinstance(layer, keras_blocks.Block) for layer in flat.layers)
    np.testing.assert_allclose(as_array(flat(images)), expected, atol=1e-5 * np.abs(expected).max())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(as_array(again(images)), expected)
    assert keras_blocks.draw(block, shape).svg.startswith("<svg")


def test_an_attention_of_ones_own_is_in_every_block_and_in_its_file(namespace):
    net = namespace["net"]
    block = net.get_layer("group1_block1")
    assert type(block.attend) is namespace["SimpleGateBlock"]
    again = type(net).from_config(net.get_config())
    assert again.metaparameters.attention == {"layer": "mine>SimpleGateBlock"}
    assert keras_blocks.cost(net).params == net.count_params()


def test_what_a_chain_cannot_say_is_a_layer_in_it(namespace):
    """A scale for each of 3 channels beside a 3x3 convolution with biases."""
    block = namespace["ScaledBlock"]()
    assert keras_blocks.cost(block, (8, 8, 3)).params == 9 * 3 * 3 + 3 + 3


def test_a_layer_with_a_call_alone_stands_in_a_block_in_any_model(namespace, tmp_path):
    """`Scale` has no `compute_output_shape`: what it gives is traced, and its weights have their values."""
    block = namespace["ScaledBlock"]()
    assert block.compute_output_shape((None, 8, None, 3)) == (None, 8, None, 3) and not block.built
    images = np.random.default_rng(0).random((2, 8, 8, 3), "float32")
    alone = as_array(namespace["ScaledBlock"](name="alone")(images))  # called on images, without a graph
    assert alone.shape == images.shape
    model = keras.Sequential([keras.Input((8, None, 3)), block])
    np.testing.assert_allclose(as_array(block.scale.factor), 1e-4)
    expected = as_array(block.conv_activation(block.conv(images))) * 1e-4 + images
    np.testing.assert_allclose(as_array(model(images)), expected, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(as_array(keras.saving.load_model(tmp_path / "model.keras")(images)), expected, rtol=1e-5)
    block.scale.factor.assign(block.scale.factor + 1)  # what is copied has its weights
    np.testing.assert_allclose(as_array(keras_blocks.deploy(model)(images)), as_array(model(images)), rtol=1e-5)
    assert block.scale.get_config()["name"] == "scaled_block_scale"  # Keras' own, which `deploy` and `grow` copy by


@pytest.mark.parametrize(
    "policy", ["mixed_float16", "mixed_bfloat16" if keras.backend.backend() == "jax" else "float64"]
)
def test_a_layer_in_a_block_has_its_policy(namespace, policy):
    block = namespace["ScaledBlock"](dtype=policy)
    block.build((None, 4, 4, 3))
    assert block.scale.dtype_policy == block.dtype_policy == keras.DTypePolicy(policy)


def test_an_architecture_of_ones_own(namespace, tmp_path):
    own = namespace["own"]
    assert list(own.features) == ["stem", "group1", "group2"]
    assert own.count_params() == keras_blocks.cost(own).params
    own.save(tmp_path / "own.keras")
    again = keras.saving.load_model(tmp_path / "own.keras")
    assert again.metaparameters == own.metaparameters and not again.get_layer("stem_conv").trainable
