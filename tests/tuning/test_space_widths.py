"""RegNet's widths: the published ones, and those of a residual network."""

import pytest
from drawing import draw

import keras_blocks
from keras_blocks.tuning import HyperResNet, HyperResNeXt, regnet_stages

REGNETX = {  # Radosavovic et al. 2020, table 2 and figure 16: w0, wa, wm, depth, group width; widths, depths
    "200MF": (24, 36.44, 2.49, 13, 8, [24, 56, 152, 368], [1, 1, 4, 7]),
    "400MF": (24, 24.48, 2.54, 22, 16, [32, 64, 160, 384], [1, 2, 7, 12]),
    "600MF": (48, 36.97, 2.24, 16, 24, [48, 96, 240, 528], [1, 3, 5, 7]),
    "800MF": (56, 35.73, 2.28, 16, 16, [64, 128, 288, 672], [1, 3, 7, 5]),
    "1.6GF": (80, 34.01, 2.25, 18, 24, [72, 168, 408, 912], [2, 4, 10, 2]),
    "3.2GF": (88, 26.31, 2.25, 25, 48, [96, 192, 432, 1008], [2, 6, 15, 2]),
    "4.0GF": (96, 38.65, 2.43, 23, 40, [80, 240, 560, 1360], [2, 5, 14, 2]),
    "6.4GF": (184, 60.83, 2.07, 17, 56, [168, 392, 784, 1624], [2, 4, 10, 1]),
    "8.0GF": (80, 49.56, 2.88, 23, 120, [80, 240, 720, 1920], [2, 5, 15, 1]),
    "12GF": (168, 73.36, 2.37, 19, 112, [224, 448, 896, 2240], [2, 5, 11, 1]),
    "16GF": (216, 55.59, 2.1, 22, 128, [256, 512, 896, 2048], [2, 6, 13, 1]),
    "32GF": (320, 69.86, 2.0, 23, 168, [336, 672, 1344, 2520], [2, 7, 13, 1]),
}


@pytest.mark.parametrize("name", REGNETX)
def test_published_regnets(name):
    *numbers, group_width, widths, depths = REGNETX[name]
    assert regnet_stages(*numbers, group_width=group_width) == (widths, depths)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0, 1, 2, 4), "w0"),
        ((24, -1, 2, 4), "wa"),
        ((24, 1, 1, 4), "wm"),
        ((24, 1, 2, 0), "depth"),
        ((24, 1, 2, 4.0), "depth"),
    ],
)
def test_bad_numbers_are_named(arguments, named):
    with pytest.raises((ValueError, TypeError), match=f"`{named}`"):
        regnet_stages(*arguments)


def test_a_resnet_has_the_blocks_of_regnet():
    """RegNetX-200MF's: its basic blocks are as wide, a bottleneck's output is."""
    published = {"widths": "regnet", "w0": 24, "wa": 36.44, "wm": 2.49, "depth": 13, "width": 1, "se_ratio": None}
    for block, ratio in (("basic", 1), ("bottleneck", 4)):
        space = HyperResNet((32, 32, 3), 10, block=block, **published)
        groups = space.candidate(draw(space, 1)).metaparameters["groups"]
        assert [group["filters"] * ratio for group in groups] == [24, 56, 152, 368]
        assert [group["blocks"] for group in groups] == [1, 1, 4, 7]


def test_groups_beyond_what_the_image_allows_join_the_last():
    space = HyperResNet((8, 8, 3), 10, widths="regnet", w0=24, wa=36.44, wm=2.49, depth=13, block="basic")
    groups = space.candidate(draw(space, 1)).metaparameters["groups"]
    assert [group["blocks"] for group in groups] == [1, 1, 11]
    assert [group["filters"] for group in groups] == [24, 56, 152]


def test_widths_of_either_kind_are_searched():
    space = HyperResNeXt((32, 32, 3), 10, widths=["geometric", "regnet"])
    draws = [draw(space, seed) for seed in range(1, 40)]
    kinds = {hp.get("widths"): hp for hp in draws}
    assert set(kinds) == {"geometric", "regnet"}
    assert "w0" in kinds["regnet"] and "groups" not in kinds["regnet"] and "group1_blocks" not in kinds["regnet"]
    assert "w0" not in kinds["geometric"] and "groups" in kinds["geometric"]
    for hp in draws:
        assert keras_blocks.cost(keras_blocks.ResNeXt, **space.metaparameters(hp)).params > 0
