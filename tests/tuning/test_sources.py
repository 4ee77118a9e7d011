"""Optuna's trials, a random generator, the defaults and KerasTuner's `hp` as sources: whatever is drawn is the same."""

import random

import keras_tuner
import optuna
import pytest

from keras_blocks.tuning import HyperAny, hp_range
from keras_blocks.tuning.spaces.families import FAMILIES
from keras_blocks.tuning.spaces.table import GivenSource
from keras_blocks.tuning.study.samplers import grid_of, make_sampler
from keras_blocks.tuning.study.sources import RandomSource, TrialSource
from keras_blocks.tuning.user_spaces.keras_tuner_space import KerasTunerSpace


def everything():
    hp = keras_tuner.HyperParameters()
    hp.Choice("word", ["a", "b", "c"])
    hp.Choice("number", [8, 16])
    hp.Boolean("on")
    hp.Fixed("fixed", 3)
    hp.Int("plain", 1, 10)
    hp.Int("stepped", 3, 10, step=3)
    hp.Int("log", 1, 100, sampling="log")
    hp.Int("log_stepped", 2, 32, step=2, sampling="log")
    hp.Float("real", -1.0, 1.0)
    hp.Float("tenths", 0.0, 0.55, step=0.1)
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Float("reverse", 1e-2, 1.0, sampling="reverse_log")
    with hp.conditional_scope("word", ["a"]):
        hp.Int("inner", 1, 2)
    with hp.conditional_scope("word", ["b"]):
        hp.Int("inner", 7, 9)
    return KerasTunerSpace(hp.space)


ALLOWED = {
    "word": {"a", "b", "c"}.__contains__,
    "number": {8, 16}.__contains__,
    "on": lambda value: isinstance(value, bool),
    "fixed": {3}.__contains__,
    "plain": set(range(1, 11)).__contains__,
    "stepped": {3, 6, 9}.__contains__,
    "log": set(range(1, 101)).__contains__,
    "log_stepped": {2, 4, 8, 16, 32}.__contains__,
    "real": lambda value: -1 <= value <= 1,
    "tenths": lambda value: min(abs(value - x / 10) for x in range(6)) < 1e-9,
    "rate": lambda value: 1e-4 <= value <= 1e-1,
    "reverse": lambda value: 1e-2 <= value <= 1,
}


def check(values):
    assert set(values) == set(ALLOWED) | ({"inner"} if values["word"] != "c" else set())
    for name, allowed in ALLOWED.items():
        assert allowed(values[name]), (name, values[name])
    if "inner" in values:
        assert values["inner"] in ({1, 2} if values["word"] == "a" else {7, 8, 9})


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc"])
def test_values_are_what_keras_tuner_allows(sampler):
    study = optuna.create_study(sampler=make_sampler(sampler, 0))
    space, seen = everything(), {}
    for _ in range(40):
        trial = study.ask()
        values = space.draw(TrialSource(trial))
        check(values)
        study.tell(trial, len(str(values)))
        for name, value in values.items():
            seen.setdefault(name, set()).add(value)
    assert seen["word"] == {"a", "b", "c"}
    assert seen["on"] == {True, False}
    assert seen["stepped"] == {3, 6, 9}
    assert len(seen["inner"]) > 2


def test_drawn_without_a_study_they_are_the_same_kinds():
    rng, space = random.Random(0), everything()
    for _ in range(60):
        source = RandomSource(rng)
        values = space.draw(source)
        check(values)
        study = optuna.create_study()
        study.enqueue_trial(source.params)
        assert space.draw(TrialSource(study.ask())) == values


def test_names_that_several_have_are_told_apart():
    names = list(everything().grid())
    assert len(set(names)) == len(names)
    assert [name for name in names if name.startswith("inner")] == [
        "inner [('word', ['a'])]",
        "inner [('word', ['b'])]",
    ]


def test_a_grid_has_all_values_and_not_too_many():
    hp = keras_tuner.HyperParameters()
    hp.Int("depth", 1, 3)
    hp.Choice("word", ["a", "b"])
    hp.Fixed("fixed", 1)
    assert grid_of(KerasTunerSpace(hp.space)) == {"depth": [1, 2, 3], "word": ["a", "b"], "fixed": [1]}
    assert len(everything().grid()["rate"]) == 10
    for i in range(7):
        hp.Int(f"more{i}", 1, 10)
    with pytest.raises(
        ValueError, match=r"`sampler` 'grid' can go through 1,000,000 .* 60,000,000\. Fix or narrow some of"
    ):
        grid_of(KerasTunerSpace(hp.space))


IMAGES = {"input_shape": (28, 30, 3), "classes": 5, "tune_batch_norm": True}
ODD = {
    "expand_ratio": hp_range(1, 8, 2, "log"),
    "dropout": hp_range(0.0, 0.55, 0.1),
    "filters": hp_range(8, 30, sampling="log"),
    "bypass": [None, "simple"],
    "group2_blocks": 3,
    "learning_rate": hp_range(1e-4, 1e-1, sampling="reverse_log"),
    "warmup": hp_range(0.0, 0.3, 0.1),
    "weight_decay": [0.0, 1],
}
BOTH = {"widths": ["geometric", "regnet"]}


def family(name):
    """The space of a family with all kinds of dimensions that it has; "odd" with such as a user may give."""
    if name == "any":
        return HyperAny([family(each) for each in FAMILIES])
    if name == "odd":
        return FAMILIES["squeezenet"](**IMAGES, **ODD)
    return FAMILIES[name](**IMAGES, **(BOTH if name in ("resnet", "resnext", "senet") else {}))


@pytest.mark.parametrize("name", [*FAMILIES, "any", "odd"])
def test_every_source_leads_to_the_same_candidate(name):
    """What a random generator drew is told to the others: each asks for the same, and comes to the same."""
    space, seen = family(name), set()
    declared = keras_tuner.HyperParameters()
    space.declare_hyperparameters(declared)
    assert set(space.grid()) == {hp.name for hp in declared.space}
    for seed in range(60):
        source = RandomSource(random.Random(seed))
        drawn = space.draw(source)
        assert drawn == source.params
        candidate = space.candidate(GivenSource(drawn))
        study = optuna.create_study()
        study.enqueue_trial(drawn)
        trial = study.ask()
        assert space.candidate(TrialSource(trial)) == candidate
        assert trial.params == drawn  # nothing but what was drawn was asked for
        hp = declared.copy()
        hp.values = dict(drawn)
        assert space.candidate(hp) == candidate
        assert hp.values == drawn
        assert [each.name for each in declared.space if each.name in drawn] == list(drawn)
        seen.add(repr(candidate))
    assert len(seen) > 50


@pytest.mark.parametrize("name", [*FAMILIES, "any", "odd"])
def test_the_defaults_are_keras_tuners(name):
    space, hp = family(name), keras_tuner.HyperParameters()
    candidate = space.candidate(hp)
    assert space.candidate(GivenSource()) == candidate
    assert space.draw(GivenSource()) == hp.values
    assert space.draw(GivenSource(hp.values)) == hp.values


@pytest.mark.parametrize("name", [*FAMILIES, "any", "odd"])
def test_optuna_is_asked_for_our_dimensions_as_for_keras_tuners(name):
    """A study goes on whichever way it is drawn from: by our own searches, or by a tuner of KerasTuner."""
    space, hp = family(name), keras_tuner.HyperParameters()
    space.declare_hyperparameters(hp)
    theirs = KerasTunerSpace(hp.space)
    assert space.grid() == theirs.grid()
    for seed in range(20):
        trials = [optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask() for _ in range(2)]
        values = [drawn.draw(TrialSource(trial)) for drawn, trial in zip((space, theirs), trials)]
        assert values[0] == values[1] and list(values[0]) == list(values[1])
        assert trials[0].distributions == trials[1].distributions
