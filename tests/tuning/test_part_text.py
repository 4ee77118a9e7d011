"""Parts of a space on the command line."""

import pytest

from keras_blocks.tuning.spaces.dimension import hp_choice, hp_range
from keras_blocks.tuning.spaces.dimension_text import parsed


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("16..64", hp_range(16, 64)),
        ("16..64:16", hp_range(16, 64, step=16)),
        ("0.0..0.5:0.1", hp_range(0.0, 0.5, step=0.1)),
        ("1e-4..1e-1@log", hp_range(1e-4, 1e-1, sampling="log")),
        ("8..64:2@log", hp_range(8, 64, step=2, sampling="log")),
        ("v1,v2", hp_choice("v1", "v2")),
        ("8, 16", hp_choice(8, 16)),
        ("none,simple", hp_choice(None, "simple")),
    ],
)
def test_ranges_and_choices(text, part):
    assert parsed(text) == part


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("0.5", 0.5), ("1e-3", 1e-3), ("true", True), ("None", None), ("v1.5", "v1.5")]
)
def test_single_values(text, value):
    assert parsed(text).value == value
    assert type(parsed(text).value) is type(value)


@pytest.mark.parametrize("text", ["a..b", "1..", "..", "1..2:x", "1..2@exp"])
def test_what_is_no_range(text):
    with pytest.raises(ValueError, match="`set` must have numbers in a range"):
        parsed(text)
