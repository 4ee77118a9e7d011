"""`draw`: what is on a figure, beside what and in which order; light and dark; nothing is built, all is escaped."""

import html
import time
import xml.etree.ElementTree as ElementTree
from unittest import mock

import keras
import pytest
from catalog import LAYERS
from make_drawings import FIGURES, FOLDER
from test_expanding import Subclassed, _called, fire, nested
from thorough import run_all

import keras_blocks

pytestmark = pytest.mark.once
SVG = "{http://www.w3.org/2000/svg}"
INCEPTION = (64, 96, 128, 16, 32, 32), (28, 28, 192)


def texts(drawing):
    """(text, x, y) of each, from the SVG."""
    root = ElementTree.fromstring(drawing.svg)
    return [(item.text, float(item.get("x")), float(item.get("y"))) for item in root.iter(f"{SVG}text")]


def words(drawing):
    return [text.replace("\N{MULTIPLICATION SIGN}", "x") for text, *_ in texts(drawing)]


def rows_of(drawing):
    """The titles of boxes by their heights: what is side by side, from the left."""
    found = {}
    root = ElementTree.fromstring(drawing.svg)
    for item in root.iter(f"{SVG}text"):
        if item.get("font-size") == "13":
            found.setdefault(float(item.get("y")), []).append(
                (float(item.get("x")), item.text.replace("\N{MULTIPLICATION SIGN}", "x"))
            )
    return [[text for _, text in sorted(found[y])] for y in sorted(found)]


def test_an_inception_module_is_figure_2b():
    """Szegedy et al. 2014: four branches side by side, the last convolution of each above the concatenation."""
    filters, shape = INCEPTION
    assert rows_of(keras_blocks.draw(keras_blocks.InceptionBlock(filters), shape, shapes=False)) == [
        ["input"],
        ["1x1 conv, 96", "1x1 conv, 16"],
        ["3x3 max pool"],
        ["1x1 conv, 64", "3x3 conv, 128", "5x5 conv, 32", "1x1 conv, 32"],
        ["concatenation"],
    ]


@pytest.mark.parametrize(
    ("block", "shape", "rows"),
    [
        (  # Iandola et al. 2016, figure 1
            keras_blocks.FireBlock(16),
            (55, 55, 96),
            [["input"], ["1x1 conv, 16"], ["1x1 conv, 64", "3x3 conv, 64"], ["concatenation"]],
        ),
        (  # He et al. 2015, figure 5, right
            keras_blocks.ResidualBlock(64),
            (56, 56, 256),
            [["input"], ["1x1 conv, 64"], ["3x3 conv, 64"], ["1x1 conv, 256"], ["ReLU"]],
        ),
        (  # Hu et al. 2017, figure 3
            keras_blocks.SqueezeExciteBlock(16),
            (56, 56, 256),
            [["input"], ["global avg pool"], ["1x1 conv, 16"], ["1x1 conv, 256"]],
        ),
        (  # Szegedy et al. 2015, figure 7
            keras_blocks.InceptionC((320, 384, 384, 448, 384, 192)),
            (8, 8, 1280),
            [
                ["input"],
                ["1x1 conv, 448"],
                ["1x1 conv, 384", "3x3 conv, 384"],
                ["1x3 conv, 384", "3x1 conv, 384", "1x3 conv, 384", "3x1 conv, 384"],
                ["3x3 avg pool"],
                ["1x1 conv, 320", "1x1 conv, 192"],
                ["concatenation", "concatenation"],
                ["concatenation"],
            ],
        ),
    ],
    ids=["fire", "bottleneck", "squeeze-excitation", "inception C"],
)
def test_blocks_are_their_papers_figures(block, shape, rows):
    with mock.patch.object(keras.layers.Layer, "add_weight", side_effect=AssertionError("something was built")):
        assert rows_of(keras_blocks.draw(block, shape, shapes=False)) == rows


def test_groups_are_folded_and_opened():
    folded = words(keras_blocks.draw("resnet50"))
    assert [text for text in folded if text[0] == "x"] == ["x3", "x3", "x5", "x2"]
    assert folded.count("ResidualBlock") == 7 and "56x56x256" in folded
    assert words(keras_blocks.draw("resnet50", fold=False)).count("ResidualBlock") == 16
    dense = words(keras_blocks.draw(keras_blocks.DenseBlock(32, layers=6), (56, 56, 64)))
    assert "DenseLayer  x6  (filters 32)" in dense and "3x3 conv, 32" in dense
    opened = words(keras_blocks.draw(keras_blocks.ResNet, depth=2, groups=[{"filters": 8, "blocks": 3}]))
    assert "ResidualBlock  x2  (filters 8)" in opened  # the first projects, and so is another


def test_shapes_are_those_of_the_input_or_left_out():
    assert "28x28x256" in words(keras_blocks.draw(keras_blocks.InceptionBlock(INCEPTION[0]), INCEPTION[1]))
    assumed = words(keras_blocks.draw(keras_blocks.ResidualBlock(64)))
    assert "for an input of 256 channels" in assumed and not any("64x64" in text for text in assumed)
    first = keras_blocks.ConvBlock(4, data_format="channels_first")
    assert "4x8x9" in words(keras_blocks.draw(first, (3, 8, 9)))


@pytest.mark.parametrize("make", [nested, lambda: _called(Subclassed())])
def test_models_of_users(make):
    drawing = keras_blocks.draw(make(), depth=3)
    assert "1x1 conv, 2" in words(drawing) and "BN, ReLU" in words(drawing)


def test_themes_and_files(tmp_path):
    from PIL import Image

    drawing = keras_blocks.draw(fire("a"), (6, 6, 3))
    assert "prefers-color-scheme:dark" in drawing.svg
    for theme, page in (("light", (255, 255, 255)), ("dark", (20, 23, 26))):
        drawing.save(tmp_path / "figure.png", theme=theme)
        with Image.open(tmp_path / "figure.png") as image:
            assert image.size == (round(2 * drawing.width), round(2 * drawing.height))
            assert image.getpixel((1, 1)) == page
        drawing.save(tmp_path / "figure.svg", theme=theme)
        text = (tmp_path / "figure.svg").read_text(encoding="utf-8")
        assert "prefers-color-scheme" not in text and f"kb-{theme}" in text
    assert keras_blocks.draw(fire("a"), (6, 6, 3), theme="dark").svg == text
    with pytest.raises(ValueError, match=r"`path` must end with .svg or .png; received .*figure.gif"):
        drawing.save(tmp_path / "figure.gif")
    for wrong in ({"theme": "blue"}, {"depth": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            keras_blocks.draw(fire("a"), (6, 6, 3), **wrong)
    with pytest.raises(TypeError, match="`target` must be a block"):
        keras_blocks.draw([fire("a")])
    with pytest.raises(ValueError, match=r"`keras_blocks\.list_models"):
        keras_blocks.draw("resnet5")


@keras.saving.register_keras_serializable(package="test")
class Evil(keras_blocks.ConvBlock):
    """Its name, told from a file, is text alone."""


EVIL = '<script>alert("&\x01")'


def test_what_comes_from_strings_is_escaped():
    Evil.__name__, name = EVIL, Evil.__name__
    try:
        x = keras.Input((6, 6, 3), name="<b>")
        inner = keras.Sequential([fire("a")], name="<i>&'\"")
        model = keras.Model(x, keras.Sequential([Evil(3, kernel_size=1)])(inner(x)), name=EVIL)
        drawing = keras_blocks.draw(model, depth=2)
        block = keras_blocks.draw(Evil(4), (6, 6, 3))
    finally:
        Evil.__name__ = name
    for one in (drawing, block):
        assert "<script" not in one.svg and "\x01" not in one.svg
        ElementTree.fromstring(one.svg)
    assert html.escape("<i>&'\"") in drawing.svg


def test_notebooks_show_blocks_architectures_and_costs():
    assert keras_blocks.FireBlock(4)._repr_html_().startswith("<svg")
    net = keras_blocks.SqueezeNet(groups=[{"filters": [4]}], stem="tiny", input_shape=(8, 8, 1), classes=3)
    assert net._repr_html_().startswith("<svg") and keras_blocks.draw(net)._repr_svg_() == net._repr_html_()
    assert keras_blocks.Block()._repr_html_() is None  # declares nothing
    shown = keras_blocks.cost(keras_blocks.FireBlock(16), (55, 55, 96))._repr_html_()
    assert "11,920" in shown and "multiply-adds" in shown


@pytest.mark.parametrize("name", keras_blocks.list_models() if run_all() else ["googlenet", "densenet121"])
def test_every_variant_is_drawn_in_a_second(name):
    keras_blocks.draw(name)
    start = time.process_time()
    drawing = keras_blocks.draw(name)
    assert time.process_time() - start < 1
    ElementTree.fromstring(drawing.svg)


@pytest.mark.parametrize("row", LAYERS if run_all() else LAYERS[:2], ids=lambda row: row.name)
def test_every_layer_is_drawn(row):
    ElementTree.fromstring(keras_blocks.draw(row.cls(**row.arguments), row.input_shape, depth=3).svg)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_the_docs_are_what_is_drawn(name):
    """Or else: python tests/make_drawings.py"""
    assert (FOLDER / f"{name}.svg").read_text(encoding="utf-8") == FIGURES[name]().svg


def test_what_is_shared_and_what_is_taken_is_said():
    """Woo et al. 2018, figure 2: one MLP for both poolings; the mean and the largest of all channels."""
    found = words(keras_blocks.draw(keras_blocks.ConvolutionalBlockAttention(), (14, 14, 512)))
    assert sorted(word for word in found if "shared" in word) == ["ReLU, shared"] * 2 + ["shared"] * 2
    assert {"channel avg pool", "channel max pool"} <= {*found}
    found = words(keras_blocks.draw(keras_blocks.SelectiveKernelBlock(64), (28, 28, 64)))
    assert {"channels, part 1 of 2", "channels, part 2 of 2"} <= {*found}


def test_proposals_of_one_map_are_joined_with_nothing():
    """Ren et al. 2015, figure 3: nine anchors at each place of the map; the scores and the boxes of each."""
    block = keras_blocks.RegionProposalNetwork(512, sizes=((128, 256, 512),))
    found = words(keras_blocks.draw(block, (38, 50, 512)))
    assert "concatenation" not in found
    assert found[found.index("anchors") + 1] == f"{38 * 50 * 9}x4"


def test_merges_that_do_something_are_drawn():
    """A tensor times itself, and functions, which are called as layers are."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 1)(inputs)
    x = keras.layers.Concatenate()([keras.layers.Multiply()([x, x]) * 0.5] * 2)
    found = words(keras_blocks.draw(keras.Model(inputs, x)))
    assert found.count("8x8x4") == 3 and "concatenation" in found  # the convolution and two products
