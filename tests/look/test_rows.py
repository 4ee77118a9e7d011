"""`cost_rows`: sums are the cost, receptive fields are those that gradients find and that papers tell."""

import keras
import numpy as np
import pytest
from gradients import input_gradients
from thorough import run_all

import keras_blocks
from keras_blocks.look.rows import page

pytestmark = pytest.mark.once
SMALL = {"groups": [{"filters": [4]}], "stem": "tiny", "input_shape": (8, 8, 1), "classes": 3}


@pytest.mark.parametrize(
    ("name", "layer", "size", "step"),
    [  # Araujo et al. 2019, table 1, and by hand: 5 poolings and 13 convolutions; strides in the 3x3
        ("vgg16", "group5", 212, 32),
        ("resnet50", "group4_block3", 427, 32),
        *([("inception_v3", "group3_block2", 1311, 32)] if run_all() else []),
    ],
)
def test_receptive_fields_of_the_papers(name, layer, size, step):
    rows = {row.name: row for row in keras_blocks.cost_rows(name)}
    assert (rows[layer].receptive_field, rows[layer].stride) == ((size, size), (step, step))
    assert rows["head"].receptive_field is None
    sums = tuple(sum(column) for column in list(zip(*rows.values()))[3:6])
    assert sums == tuple(keras_blocks.cost(name))


@pytest.mark.parametrize("name", ["squeezenet_1.1", "densenet121", "googlenet_cifar", "resnext29_8x64d_cifar"])
def test_rows_add_up_to_the_cost(name):
    cls = keras_blocks.models.registry.architecture_of(name)
    sums = [sum(column) for column in list(zip(*keras_blocks.cost_rows(cls, **cls.variants[name])))[3:6]]
    assert tuple(sums) == tuple(keras_blocks.cost(name))


def test_rows_of_an_architecture_that_uses_keras_layers():
    class Plain(keras_blocks.SqueezeNet):
        def stem(self, x):
            return keras.layers.Conv2D(4, 3, name="own")(x)

    options = {"groups": [{"filters": [8, 8]}, {"filters": [16]}], "input_shape": (8, 8, 1), "classes": 10}
    rows = keras_blocks.cost_rows(Plain, **options)
    assert (rows[0].name, rows[0].kind, rows[0].shape, rows[0].params) == ("own", "Conv2D", (6, 6, 4), 40)
    assert sum(row.params for row in rows) == Plain(**options).count_params()
    assert sum(row.macs for row in rows) == keras_blocks.cost(Plain, **options).macs


def seen_by_gradients(model, size, channels):
    """(height, width) of the pixels that the middle of a model's output depends on, and the step to its neighbour."""
    spans = []
    for shift in (0, 1):
        at = [length // 2 + shift for length in model.output_shape[1:3]]
        picked = keras.Model(model.input, model.output[:, at[0] : at[0] + 1, at[1] : at[1] + 1])
        images = np.random.default_rng(0).uniform(0.5, 1, (1, size, size, channels)).astype("float32")
        gradient = np.abs(input_gradients(picked, images)).sum((0, 3))
        spans.append([np.flatnonzero(gradient.sum(1 - axis)) for axis in (0, 1)])
    lengths = tuple(int(one[-1] - one[0] + 1) for one in spans[0])
    return lengths, tuple(int(after[0] - before[0]) for before, after in zip(*spans))


def averaging(model):
    """The flat model with average poolings in place of maxima, of which gradients tell one pixel alone; no weight
    is below 0, so that none is cut off."""

    def averaged(layer):
        if isinstance(layer, keras_blocks.CeilMaxPooling2D):
            return keras.layers.AveragePooling2D(layer.pool_size, layer.strides, padding="valid")
        if isinstance(layer, keras.layers.MaxPooling2D):
            return keras.layers.AveragePooling2D(layer.pool_size, layer.strides, padding=layer.padding)
        return type(layer).from_config(layer.get_config())

    flat = keras.models.clone_model(keras_blocks.expand(model), clone_function=averaged)
    for weight in flat.weights:
        weight.assign(np.full(weight.shape, 1 / max(1, np.prod(weight.shape[:-1])), "float32"))
    return flat


BLOCKS = {
    "inception": (lambda: keras_blocks.InceptionB((2, 2, 2, 2, 2, 2)), 29),
    "residual": (lambda: keras_blocks.ResidualBlock(2, "basic", strides=2), 21),
    "dilated": (lambda: keras_blocks.DenseLayer(2, dilation_rate=2), 21),
    "stem": (lambda: keras_blocks.ResNetStem(4), 41),
    "fire": (lambda: keras_blocks.FireBlock(2), 13),
    "reduction": (lambda: keras_blocks.GridReductionB((2, 2, 2, 2)), 31),
}


@pytest.mark.parametrize("name", BLOCKS if run_all() else ["residual", "stem"])
def test_receptive_fields_of_blocks_are_those_of_gradients(name):
    make, size = BLOCKS[name]
    model = keras.Sequential([keras.Input((size, size, 2)), make()])
    row = keras_blocks.cost_rows(model)[-1]
    assert seen_by_gradients(averaging(model), size, 2) == (row.receptive_field, row.stride)


def test_what_sees_all_what_grows_and_what_is_not_known():
    gated = keras_blocks.cost_rows(keras_blocks.SqueezeExciteBlock(4), (8, 8, 16))
    assert [row.receptive_field for row in gated] == [None] * 6
    grown = {row.name: row for row in keras_blocks.cost_rows("autoencoder_cifar")}["decode_group1"]
    assert grown.stride == (1, 1) and grown.receptive_field[0] >= 15
    unknown = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Permute((2, 1, 3))])
    assert keras_blocks.cost_rows(unknown)[0].receptive_field is None


def test_the_page_and_the_command(tmp_path):
    from typer.testing import CliRunner

    from keras_blocks.tuning.cli import app

    text = page(keras_blocks.SqueezeNet, title="<b>", **SMALL)
    assert "&lt;b&gt;" in text and "<svg" in text and "group1_block1" in text
    keras_blocks.SqueezeNet(**SMALL).save(tmp_path / "mine.keras")
    for arguments in (["resnet20_cifar"], [str(tmp_path / "mine.keras"), "--page", str(tmp_path / "page.html")]):
        result = CliRunner().invoke(app, ["inspect", *arguments])
        assert result.exit_code == 0, result.output
        assert "group1_block1" in result.output and "total" in result.output
    assert "<svg" in (tmp_path / "page.html").read_text(encoding="utf-8")
    (tmp_path / "torn.keras").write_bytes((tmp_path / "mine.keras").read_bytes()[:1000])
    for wrong in ("resnet5", str(tmp_path / "none.keras"), str(tmp_path / "torn.keras")):
        assert CliRunner().invoke(app, ["inspect", wrong]).exit_code == 2
