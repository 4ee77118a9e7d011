"""Dimensions of a space are fixed, narrowed and widened by users; what cannot be is refused."""

import json

import keras_tuner
import pytest
from drawing import draw

from keras_blocks.tuning import (
    HyperArchitecture,
    HyperDenseNet,
    HyperInception,
    HyperResNet,
    HyperSENet,
    HyperSqueezeNet,
    HyperVGG,
    hp_choice,
    hp_range,
    space_from_config,
)
from keras_blocks.tuning.spaces.families import FAMILIES
from keras_blocks.tuning.study.dimension import as_dimension, dimension_from_config

IMAGES = {"input_shape": (32, 32, 3), "classes": 10}


def drawn(space, times=40):
    return [space.candidate(draw(space, seed)) for seed in range(1, times)]


def values(candidates, name):
    return {candidate.metaparameters[name] for candidate in candidates}


def test_a_value_fixes_a_list_gives_choices_a_range_a_range():
    space = HyperResNet(**IMAGES, groups=hp_range(2, 4), version="v2", filters=[16, 32], drop_rate=hp_range(0.0, 0.5))
    candidates = drawn(space)
    assert values(candidates, "version") == {"v2"}
    assert {len(each.metaparameters["groups"]) for each in candidates} == {2, 3, 4}
    assert {each.metaparameters["groups"][0]["filters"] for each in candidates} == {16, 32}
    assert max(values(candidates, "drop_rate")) > 0.4
    names = [each.name for each in draw(space, 1).space]
    assert "version" not in names and "filters" in names


def test_none_and_lists_can_be_choices():
    space = HyperVGG(**IMAGES, hidden=hp_choice((), (64, 32)), dropout=0.5)
    assert {tuple(each.metaparameters["hidden"]) for each in drawn(space)} == {(), (64, 32)}
    space = HyperResNet(**IMAGES, se_ratio=[None, 4])
    assert values(drawn(space), "se_ratio") == {None, 4}


def test_a_dimension_that_each_group_has_is_given_for_all_or_for_one():
    space = HyperDenseNet(**IMAGES, groups=2, layers=[3, 5], group2_layers=7)
    layers = {tuple(group["layers"] for group in each.metaparameters["groups"]) for each in drawn(space)}
    assert layers == {(3, 7), (5, 7)}


def test_any_other_argument_of_the_architecture_is_a_dimension():
    space = HyperResNet(**IMAGES, kernel_initializer=["he_normal", "glorot_uniform"], shortcut="pad", use_bias=True)
    candidates = drawn(space)
    assert values(candidates, "kernel_initializer") == {"he_normal", "glorot_uniform"}
    assert values(candidates, "shortcut") == {"pad"}
    assert values(candidates, "use_bias") == {True}


def test_hyperparameters_are_narrowed_too():
    space = HyperSqueezeNet(
        **IMAGES,
        optimizer="adamw",
        learning_rate=hp_range(1e-4, 1e-2, sampling="log"),
        batch_size=[16, 128],
        warmup=0.1,
    )
    found = [each.hyperparameters for each in drawn(space)]
    assert {each["optimizer"] for each in found} == {"adamw"}
    assert {each["batch_size"] for each in found} == {16, 128}
    assert {each["warmup"] for each in found} == {0.1}
    rates = [each["learning_rate"] for each in found]
    assert min(rates) < 5e-4 and max(rates) > 2e-3
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    assert "learning_rate" in draw(space, 1)


def test_from_dataset_takes_dimensions(digits):
    space = HyperInception.from_dataset(digits, groups=1, block="v2", filters=32)
    assert [each["block"] for each in drawn(space, 2)[0].metaparameters["groups"]] == ["v2"]
    assert space.input_shape == (8, 8, 1)


@pytest.mark.parametrize(
    ("space", "parts", "message"),
    [
        (HyperResNet, {"filterz": 3}, r"`dimension` must be one of .* received 'filterz'. Did you mean 'filters'"),
        (HyperResNet, {"versoin": "v2"}, "Did you mean 'version'"),
        (HyperResNet, {"version": "v3"}, "`version`: .* must be one of .* received 'v3'"),
        (HyperResNet, {"version": ["v2", "v3"]}, "`version`: .* received 'v3'"),
        (HyperResNet, {"groups": 2.5}, "`groups` must be integers"),
        (HyperResNet, {"groups": hp_range(0, 3)}, "`groups` must be integers"),
        (HyperResNet, {"filters": [16, 10]}, "cannot have filters=10, se_ratio=4: .*must divide"),
        (HyperResNet, {"w0": 24}, "`w0` is never drawn: not where `widths` is"),
        (HyperResNet, {"widths": "regnet", "growth": 2.0}, "`growth` is never drawn"),
        (HyperResNet, {"widths": "regnett"}, "`widths`: .*'regnett'.* Did you mean 'regnet'"),
        (HyperVGG, {"groups": hp_range(2, 6)}, "cannot have groups=6"),
        (HyperSENet, {"base_width": 0}, "`base_width`"),
        (HyperSqueezeNet, {"dropout": hp_range(0.0, 1.0)}, "`dropout`: .* received 1.0"),
        (HyperSqueezeNet, {"optimizer": "adamww"}, "Did you mean 'adamw'"),
        (HyperSqueezeNet, {"optimizer": "adamw", "sgd_learning_rate": 0.1}, "`sgd_learning_rate` is never drawn"),
        (HyperSqueezeNet, {"batch_size": 0}, "`batch_size`"),
        (HyperSqueezeNet, {"warmup": 1.0}, "`warmup`"),
        (HyperSqueezeNet, {"lottery": 0}, "`lottery`"),
        (HyperSqueezeNet, {"learning_rate": float("nan")}, "`learning_rate`"),
        (HyperSqueezeNet, {"bypass": []}, "`bypass`"),
        (HyperSqueezeNet, {"bypass": ["simple", "simple"]}, "`bypass`: .*different"),
        (HyperSqueezeNet, {"include_top": False}, "`dimension`"),
    ],
)
def test_what_cannot_be_is_refused_at_construction(space, parts, message):
    with pytest.raises((ValueError, TypeError), match=message):
        space(**IMAGES, **parts)


def test_images_too_small_for_any_network_are_refused():
    with pytest.raises(ValueError, match=r"`input_shape`.*\(1, 1, 3\)"):
        HyperVGG((1, 1, 3), 10)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((4, 2), "low"),
        (("a", 2), "low"),
        ((1, float("inf")), "high"),
        ((1, 4, 0), "step"),
        ((1, 4, 1.5), "step"),
        ((0, 4, None, "log"), "low"),
        ((1, 4, 1, "log"), "step"),
        ((1, 4, None, "logg"), "sampling"),
        ((1, 4, None, "linear", 5), "default"),
    ],
)
def test_bad_ranges_are_named(arguments, named):
    with pytest.raises((ValueError, TypeError), match=f"`{named}`"):
        hp_range(*arguments)


@pytest.mark.parametrize("dimension", [hp_range(1, 4), hp_range(0.1, 0.4, 0.1), hp_range(1, 8, 2, "log", 4)])
def test_a_range_draws_all_and_nothing_else(dimension):
    space = HyperSqueezeNet(**IMAGES)
    space.training_dimensions["weight_decay"] = dimension
    found = {space.hyperparameters(draw(space, seed))["weight_decay"] for seed in range(200)}
    expected = {0.1, 0.2, 0.3, 0.4} if isinstance(dimension.low, float) else set(dimension.values())
    assert found == expected
    first = space.hyperparameters(keras_tuner.HyperParameters())["weight_decay"]
    assert first == dimension.default


@pytest.mark.parametrize(
    "given", [3, None, "v2", [1, 2], [None, "a"], [(), (3, 4)], {"momentum": 0.9}, hp_range(0.5, 2)]
)
def test_dimensions_survive_json(given):
    dimension = as_dimension("filters", given)
    assert dimension_from_config(json.loads(json.dumps(dimension.get_config()))) == dimension


@pytest.mark.parametrize("name", FAMILIES)
def test_spaces_survive_json(name):
    space = FAMILIES[name]((30, 32, 1), 3, scale=0.5, flips=True, name="mine", groups=[1, 2], warmup=hp_range(0.0, 0.2))
    again = space_from_config(json.loads(json.dumps(space.get_config())))
    assert type(again) is type(space)
    assert again.get_config() == space.get_config()
    for seed in range(5):
        assert again.candidate(draw(again, seed)) == space.candidate(draw(space, seed))


def test_a_space_that_is_not_imported_is_named():
    config = HyperResNet(**IMAGES).get_config()
    with pytest.raises(ValueError, match=r"`space` must be one of .* Did you mean .*'keras_blocks>HyperResNet'"):
        space_from_config({**config, "space": "HyperResNets"})


def test_a_space_of_arguments_alone_needs_no_method():
    from keras_blocks import DenseNet

    class HyperThin(HyperArchitecture):
        architecture = DenseNet
        dimensions = {
            "groups": hp_choice([{"layers": 2}], [{"layers": 2}, {"layers": 4}]),
            "filters": 4,
            "stem": "cifar",
        }

    candidates = drawn(HyperThin(**IMAGES))
    assert {len(each.metaparameters["groups"]) for each in candidates} == {1, 2}
    assert values(candidates, "filters") == {4}


def test_small_steps_stay_apart():
    steps = hp_range(1e-12, 1e-8, step=10, sampling="log")
    assert [steps.value_of(label) for label in steps.labels()] == [1e-12, 1e-11, 1e-10, 1e-9, 1e-8]
    assert [hp_range(0.0, 0.4, step=0.1).value_of(label) for label in (0.1 + 0.2, 0.1)] == [0.3, 0.1]
