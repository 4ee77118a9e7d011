"""Search spaces: every draw is valid, and the space holds what it is said to hold."""

import json
import random

import keras_tuner
import numpy as np
import pytest
from drawing import draw

import keras_blocks
from keras_blocks.tuning import HyperArchitecture, HyperSqueezeNet
from keras_blocks.tuning.spaces.families import space_of, space_of_architecture

SHAPES = [(8, 8, 1), (27, 30, 1), (28, 28, 1), (64, 64, 3), (65, 65, 3), (224, 224, 3), (2, 2, 1), (10, 40, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_draw_is_valid(shape):
    hyper = HyperSqueezeNet(shape, classes=7, tune_batch_norm=True)
    for seed in range(1, 51):
        hp = draw(hyper, seed)
        spent = keras_blocks.cost(keras_blocks.SqueezeNet, **hyper.metaparameters(hp))
        assert spent == hyper.cost(hp)
        assert spent.params > 0
        assert json.loads(json.dumps(hyper.hyperparameters(hp))) == hyper.hyperparameters(hp)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (65, 65, 3)])
def test_a_drawn_model_is_built_as_counted_and_predicts_probabilities(shape):
    hyper = HyperSqueezeNet(shape, classes=5, scale=1 / 255)
    hp = draw(hyper, seed=11)
    model = hyper.build(hp)
    assert isinstance(model, keras_blocks.SqueezeNet)
    assert model.count_params() == hyper.cost(hp).params
    images = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype("uint8")
    np.testing.assert_allclose(model.predict(images, verbose=0).sum(axis=-1), 1, rtol=1e-5)
    assert model.optimizer.weight_decay == pytest.approx(hyper.hyperparameters(hp)["weight_decay"])
    assert float(model.optimizer.learning_rate) == pytest.approx(hyper.hyperparameters(hp)["learning_rate"])


def test_draws_cover_the_choices():
    hyper = HyperSqueezeNet((28, 28, 1), classes=10)
    drawn = [hyper.metaparameters(draw(hyper, seed)) for seed in range(1, 80)]
    assert {item["bypass"] for item in drawn} == {None, "simple", "complex"}
    assert {item["activation"] for item in drawn} == {"relu", "elu", "gelu", "silu"}
    assert {item["expand_ratio"] for item in drawn} == {2, 3, 4}
    assert {len(item["groups"]) for item in drawn} == {2, 3}
    assert {len(group["filters"]) for item in drawn for group in item["groups"]} == {1, 2, 3}
    assert {item["batch_norm"]["momentum"] for item in drawn} == {0.9}


def test_batch_norm_is_drawn_where_asked():
    hyper = HyperSqueezeNet((8, 8, 1), classes=10, tune_batch_norm=True)
    found = [hyper.metaparameters(draw(hyper, seed))["batch_norm"] for seed in range(1, 30)]
    assert False in found
    assert {"momentum": 0.9} in found


def test_metaparameters_and_hyperparameters_are_apart():
    hyper = HyperSqueezeNet((8, 8, 1), classes=10)
    meta, how = keras_tuner.HyperParameters(), keras_tuner.HyperParameters()
    metaparameters, hyperparameters = hyper.metaparameters(meta), hyper.hyperparameters(how)
    assert not set(meta.values) & set(how.values)
    assert set(hyperparameters) == {
        *("optimizer", "learning_rate", "weight_decay", "batch_size", "augmentation"),
        *("warmup", "lottery", "schedule", "label_smoothing", "class_weight"),
    }
    assert keras_blocks.SqueezeNet(**metaparameters).output_shape == (None, 10)


def test_one_draw_declares_the_whole_space():
    hyper = HyperSqueezeNet((64, 64, 3), classes=10)
    hp = keras_tuner.HyperParameters()
    hyper.declare_hyperparameters(hp)
    declared = {item.name for item in hp.space}
    for seed in range(1, 40):
        assert {item.name for item in draw(hyper, seed).space} == declared


@pytest.mark.parametrize(
    ("side", "stem"), [(8, "tiny"), (27, "tiny"), (28, "small"), (64, "small"), (65, "v1.1"), (224, "v1.1")]
)
def test_the_stem_follows_from_the_image_size(side, stem):
    hyper = HyperSqueezeNet((side, side + 5, 3), classes=10)
    assert hyper.metaparameters(keras_tuner.HyperParameters())["stem"] == stem


def test_a_fixed_hyperparameter_stays():
    hyper = HyperSqueezeNet((8, 8, 1), classes=10)
    hp = keras_tuner.HyperParameters()
    hp.Fixed("optimizer", "sgd")
    hp.Fixed("filters", 12)
    hyper.declare_hyperparameters(hp)
    assert hyper.hyperparameters(hp)["optimizer"] == "sgd"
    assert hyper.metaparameters(hp)["groups"] == [{"filters": [12]}, {"filters": [12]}]


def test_a_new_space_is_a_small_declaration():
    class HyperOneGroup(HyperArchitecture):
        architecture = keras_blocks.SqueezeNet
        dimensions = {"filters": [2, 3], "stem": "tiny"}

        def arguments_from(self, drawn):
            return {**super().arguments_from(drawn), "groups": [{"filters": [drawn["filters"]]}]}

    hyper = HyperOneGroup((8, 8, 1), classes=3)
    assert hyper.name == "squeezenet"
    sizes = {hyper.cost(draw(hyper, seed)).params for seed in range(1, 20)}
    assert len(sizes) == 2


def test_spaces_by_name():
    assert space_of("squeezenet") is HyperSqueezeNet
    assert space_of_architecture(keras_blocks.SqueezeNet) is HyperSqueezeNet
    with pytest.raises(ValueError, match=r"`model` must be one of .* 'squeezenett'.*'squeezenet'"):
        space_of("squeezenett")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (8, 8), "classes": 10}, "input_shape"),
        ({"input_shape": (8, 8, 0), "classes": 10}, "input_shape"),
        ({"input_shape": (8, 8, 1), "classes": 1}, "classes"),
        ({"input_shape": (8, 8, 1), "classes": 10, "scale": float("nan")}, "scale"),
        ({"input_shape": (8, 8, 1), "classes": 10, "flips": "no"}, "flips"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises((ValueError, TypeError), match=f"`{message}"):
        HyperSqueezeNet(**arguments)


def test_same_seed_same_draws():
    hyper = HyperSqueezeNet((8, 8, 1), classes=10)
    seeds = random.Random(0).sample(range(1, 2**31), 5)
    assert [draw(hyper, seed).values for seed in seeds] == [draw(hyper, seed).values for seed in seeds]
    assert draw(hyper, seeds[0]).values != draw(hyper, seeds[1]).values
