"""KerasTuner's hyperparameters as Optuna's: every kind, every scale, conditions, the same names twice."""

import random

import keras_tuner
import optuna
import pytest

from keras_blocks.tuning.study.samplers import grid_of, make_sampler
from keras_blocks.tuning.study.suggestions import at_random, names_of, suggest, values_of


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
    return hp.space


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
        values = suggest(trial, space)
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
        params, values = at_random(space, rng)
        check(values)
        study = optuna.create_study()
        study.enqueue_trial(params)
        assert suggest(study.ask(), space) == values


def test_names_that_several_have_are_told_apart():
    names = names_of(everything())
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
    assert grid_of(hp.space) == {"depth": [1, 2, 3], "word": ["a", "b"], "fixed": [1]}
    assert len(values_of(next(item for item in everything() if item.name == "rate"))) == 10
    for i in range(7):
        hp.Int(f"more{i}", 1, 10)
    with pytest.raises(
        ValueError, match=r"`sampler` 'grid' can go through 1,000,000 .* 60,000,000\. Fix or narrow some of"
    ):
        grid_of(hp.space)
