"""Numbers, ranges, lists and texts of a size that no search would end with are refused at once, by their names."""

import pytest

from keras_blocks.tuning import (
    HyperDenseNet,
    HyperInception,
    HyperResNet,
    HyperResNeXt,
    HyperSENet,
    HyperSqueezeNet,
    HyperVGG,
    hp_choice,
    hp_range,
)
from keras_blocks.tuning.spaces.families import FAMILIES, space_for

pytestmark = pytest.mark.once

HUGE = 10**6

ENDLESS: list = []
ENDLESS.append(ENDLESS)
DEEP: list = [0]
for _ in range(6):
    DEEP = [DEEP] * 8


@pytest.mark.parametrize("space", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("groups", [HUGE, [2, HUGE], hp_range(1, 10**9)], ids=repr)
def test_groups_in_every_space(space, groups):
    with pytest.raises(ValueError, match=r"`groups` must be at most 32; received"):
        space((32, 32, 3), 10, groups=groups)


@pytest.mark.parametrize(
    ("space", "overrides", "message"),
    [
        (HyperSqueezeNet, {"blocks": HUGE}, "`blocks` must be at most 256; received"),
        (HyperResNet, {"blocks": [1, HUGE]}, "`blocks` must be at most 256"),
        (HyperResNeXt, {"blocks": hp_range(1, HUGE)}, "`blocks` must be at most 256"),
        (HyperInception, {"group2_blocks": HUGE}, "`group2_blocks` must be at most 256"),
        (HyperVGG, {"layers": HUGE}, "`layers` must be at most 256"),
        (HyperDenseNet, {"layers": HUGE}, "`layers` must be at most 128"),
        (HyperSENet, {"depth": HUGE, "widths": "regnet"}, "`depth` must be at most 256"),
        (
            HyperResNet,
            {"stem": hp_range(0, 10**9)},
            "`stem` must have at most 10,000 values, as other",
        ),
        (HyperVGG, {"hidden": ENDLESS}, "`hidden`.* at most 10,000 items, nested at most 16 deep"),
        (HyperVGG, {"hidden": (1,) * HUGE}, "`hidden`.* at most 10,000 items"),
        (HyperVGG, {"hidden": [(DEEP,)]}, "`hidden`.* at most 10,000 items"),
        (HyperVGG, {"filters": list(range(8, HUGE))}, "`filters`: `values` must be at most 256.* take an hp_range"),
        (HyperSqueezeNet, {"growth": 1e300}, "`growth`: the space cannot have growth=1e[+]300"),
        (HyperSqueezeNet, {"filters": 10**30}, "`filters`: the space cannot have filters=10"),
    ],
)
def test_what_would_not_end_in_a_space(space, overrides, message):
    with pytest.raises(ValueError, match=message):
        space((32, 32, 3), 10, **overrides)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hp_range(0, 10**9, step=1), "`step` must make at most 10,000 values from 0 to 1000000000"),
        (lambda: hp_range(0.0, 1.0, 1e-9), "`step` must make at most 10,000 values.* or be None for any value"),
        (lambda: hp_range(1.0, 1e9, 1.0000001, "log"), "`step` must make at most 10,000 values"),
        (lambda: hp_choice(*range(HUGE)), "`values` must be at most 256, each of which is tried; received 1,000,000"),
    ],
)
def test_dimensions_that_would_not_end(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("text", ["1000000", "2,1000000", "1..1000000000"])
def test_texts_of_a_command_line(text, digits):
    with pytest.raises(ValueError, match="`groups` must be at most 32"):
        space_for("squeezenet", digits, {"groups": text})


def test_what_published_networks_have_is_within_the_limits():
    """ResNet-1202 has 200 blocks in a group, DenseNet-264 has 64 layers, and VGG has five groups."""
    assert HyperResNet.most["blocks"] >= 200
    assert HyperDenseNet.most["layers"] >= 64
    assert all(space.most["groups"] >= 5 for space in FAMILIES.values())
