"""Dimensions of a space as they are written on a command line."""

import pytest

from keras_blocks.tuning import HyperAny, HyperResNet, HyperSqueezeNet, SearchSettings, hp_choice, hp_range
from keras_blocks.tuning.spaces.families import space_for
from keras_blocks.tuning.study.dimension import Fixed

IMAGES = {"input_shape": (16, 16, 3), "classes": 10}
ANYTHING = Fixed(None)


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("16..64", hp_range(16, 64)),
        ("16..64:16", hp_range(16, 64, step=16)),
        ("0.0..0.5:0.1", hp_range(0.0, 0.5, step=0.1)),
        ("1e-4..1e-1@log", hp_range(1e-4, 1e-1, sampling="log")),
        ("8..64:2@log", hp_range(8, 64, step=2, sampling="log")),
        ("-1..1@linear", hp_range(-1, 1)),
        ("v1,v2", hp_choice("v1", "v2")),
        ("8, 16", hp_choice(8, 16)),
        ("none,simple", hp_choice(None, "simple")),
    ],
)
def test_ranges_and_choices(text, dimension):
    assert ANYTHING.parse(text) == dimension


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("0.5", 0.5), ("1e-3", 1e-3), ("true", True), ("None", None), ("v1.5", "v1.5")]
)
def test_single_values(text, value):
    assert ANYTHING.parse(text).value == value
    assert type(ANYTHING.parse(text).value) is type(value)


@pytest.mark.parametrize("text", ["a..b", "1..", "..", "1..2:x", "1..2@exp"])
def test_what_is_no_range(text):
    with pytest.raises(ValueError, match="`set` must have numbers in a range"):
        ANYTHING.parse(text)


@pytest.mark.parametrize(
    ("declared", "text", "dimension"),
    [
        (hp_choice("light", "none"), "none", Fixed("none")),
        (hp_choice("light", "none"), "none, light", hp_choice("none", "light")),
        (hp_choice("simple", None), "none", Fixed(None)),
        (hp_choice("1", "2"), "1", Fixed("1")),
        (hp_choice(1, 2), "1", Fixed(1)),
        (hp_choice("true", "maybe"), "true,maybe", hp_choice("true", "maybe")),
        (hp_choice({"momentum": 0.9}, False), "false", Fixed(False)),
        (Fixed("none"), "none", Fixed("none")),
        (hp_range(1, 4), "none", Fixed(None)),
    ],
)
def test_a_word_is_read_in_the_light_of_what_is_declared(declared, text, dimension):
    assert declared.parse(text) == dimension


@pytest.mark.parametrize(
    ("space", "name", "text", "dimension"),
    [
        (HyperSqueezeNet, "augmentation", "none", Fixed("none")),
        (HyperSqueezeNet, "bypass", "none,simple", hp_choice(None, "simple")),
        (HyperSqueezeNet, "batch_norm", "false", Fixed(False)),
        (HyperSqueezeNet, "learning_rate", "1e-4..1e-2", hp_range(1e-4, 1e-2)),
        (HyperSqueezeNet, "blocks", "2", Fixed(2)),
        (HyperSqueezeNet, "group2_blocks", "1,2", hp_choice(1, 2)),
        (HyperResNet, "version", "v1,v2", hp_choice("v1", "v2")),
        (HyperResNet, "filters", "16..64", hp_range(16, 64)),
        (HyperResNet, "shortcut", "pad", Fixed("pad")),
        (HyperResNet, "remat", "true", Fixed(True)),
    ],
)
def test_spaces_read_texts(space, name, text, dimension):
    assert space(**IMAGES).parsed(name, text) == dimension


@pytest.mark.parametrize("name", ["grops", "agmentation"])
def test_unknown_names_have_the_nearest(name):
    with pytest.raises(ValueError, match=rf"`dimension` must be one of .* received '{name}'. Did you mean"):
        HyperSqueezeNet(**IMAGES).parsed(name, "3")


def test_texts_configs_and_dimensions_make_a_space(digits):
    """As a search does with the settings that it was given."""
    given = {"augmentation": "none", "filters": hp_range(8, 12), "bypass": {"fixed": "simple"}, "groups": "1..2"}
    settings = SearchSettings(parts=given)
    space = space_for(settings.model, digits, settings.parts)
    assert space.overrides == {
        "augmentation": Fixed("none"),
        "filters": hp_range(8, 12),
        "bypass": Fixed("simple"),
        "groups": hp_range(1, 2),
    }
    assert isinstance(space_for("any", digits, {"augmentation": "none,light"}), HyperAny)
    with pytest.raises(ValueError, match=r"received 'batchsize'\. Did you mean 'batch_size'"):
        space_for("any", digits, {"batchsize": "3"})
