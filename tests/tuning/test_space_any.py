"""A search across families."""

import json

import keras_tuner
import pytest
from drawing import draw

from keras_blocks.tuning import HyperAny, HyperDenseNet, HyperResNet, HyperVGG, space_from_config
from keras_blocks.tuning.spaces.families import space_of

IMAGES = {"input_shape": (16, 16, 3), "classes": 5}


@pytest.fixture(scope="module")
def space():
    return HyperAny([HyperResNet(**IMAGES, version="v2"), HyperDenseNet(**IMAGES), HyperVGG(**IMAGES)], batch_size=16)


def test_each_draw_has_the_parts_of_its_own_family(space):
    seen = set()
    for seed in range(1, 30):
        hp = draw(space, seed)
        family, candidate = hp.get("family"), space.candidate(hp)
        seen.add(candidate.architecture)
        others = [name for name in hp.values if "/" in name and not name.startswith(f"{family}/")]
        assert not others
        assert candidate.metaparameters == space.metaparameters(hp)
        assert candidate.hyperparameters["batch_size"] == 16
        assert space.cost(hp) == candidate.cost()
    assert seen == {"keras_blocks>ResNet", "keras_blocks>DenseNet", "keras_blocks>VGG"}


def test_hyperparameters_of_the_training_are_drawn_once(space):
    names = [each.name for each in draw(space, 1).space]
    assert len(names) == len(set(names))
    assert [name for name in names if "optimizer" in name] == ["optimizer"]


def test_one_draw_declares_the_whole_space(space):
    hp = keras_tuner.HyperParameters()
    space.declare_hyperparameters(hp)
    first = len(hp.space)
    for seed in range(1, 20):
        other = draw(space, seed)
        space.declare_hyperparameters(other)
        assert len(other.space) == first


def test_it_survives_json(space):
    again = space_from_config(json.loads(json.dumps(space.get_config())))
    assert again.get_config() == space.get_config()
    for seed in range(5):
        assert again.candidate(draw(again, seed)) == space.candidate(draw(space, seed))


def test_a_stock_tuner_draws_across_families(space, tmp_path):
    oracle = keras_tuner.oracles.RandomSearchOracle(objective=keras_tuner.Objective("val_accuracy", "max"), seed=3)
    hp = oracle.get_space()
    space.declare_hyperparameters(hp)
    oracle.update_space(hp)
    families = set()
    for _ in range(20):
        drawn = oracle.get_space()
        drawn.values = oracle._random_values()
        families.add(space.candidate(drawn).architecture)
    assert families == {"keras_blocks>ResNet", "keras_blocks>DenseNet", "keras_blocks>VGG"}


def test_all_families_of_a_dataset(digits):
    assert space_of("any") is HyperAny
    everything = HyperAny.from_dataset(digits, lottery=2)
    assert sorted(everything.spaces) == ["densenet", "inception", "resnet", "resnext", "senet", "squeezenet", "vgg"]
    assert list(HyperAny.from_dataset(digits, ["vgg"]).spaces) == ["vgg"]
    with pytest.raises(ValueError, match=r"`families` must be one of .* Did you mean 'vgg'"):
        HyperAny.from_dataset(digits, ["vggg"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HyperAny([]), "`spaces`"),
        (lambda: HyperAny(["resnet"]), r"`spaces\[0\]` must be a HyperArchitecture"),
        (lambda: HyperAny([HyperVGG(**IMAGES), HyperVGG(**IMAGES)]), "different names"),
        (lambda: HyperAny([HyperVGG(**IMAGES), HyperResNet((8, 8, 3), 5)]), "same images"),
        (lambda: HyperAny([HyperVGG(**IMAGES, optimizer="sgd")]), r"leave \['optimizer'\] to this space"),
        (lambda: HyperAny([HyperVGG(**IMAGES)], groups=2), "`dimension` must be one of"),
        (lambda: HyperAny([HyperVGG(**IMAGES)], batch_size=-1), "`batch_size`"),
    ],
)
def test_spaces_that_do_not_go_together(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
