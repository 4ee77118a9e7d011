"""What is tried first: networks of certain sizes within the budget, or the space's defaults; then the sampler draws."""

import contextlib
import random
import types

import optuna
import pytest

from keras_blocks.tuning import HyperAny, HyperResNet, HyperSqueezeNet, hp_choice, hp_range
from keras_blocks.tuning.spaces.budget import Budget, inspected
from keras_blocks.tuning.spaces.families import FAMILIES
from keras_blocks.tuning.spaces.table import GivenSource
from keras_blocks.tuning.storage.store import quiet_optuna
from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study.drawing import Drawer
from keras_blocks.tuning.study.first_trials import DRAWS, LARGEST, SIZED_DRAWS
from keras_blocks.tuning.study.samplers import make_sampler
from keras_blocks.tuning.study.sources import DefaultSource, Scale, SizeSource


class Net:
    """A space of numbers, and what they come to."""

    def draw(self, source):
        return {"width": source.number("width", Scale(1, 400)), "rate": source.number("rate", Scale(0.0, 1.0))}

    def inspect(self, values):
        about = {"values": values, "signature": f"{values['width']}", "params": values["width"]}
        return {**about, "refused": "too many"} if values["width"] > 300 else about


def drawn(begin, trials, *, seed=0, study=None, space=None, inspect=None, told=lambda drawn: 0.5):
    """What a study tries, one after another."""
    space = space or Net()
    study = study or optuna.create_study(direction="maximize", sampler=make_sampler("random", seed))
    storage = types.SimpleNamespace(together=contextlib.nullcontext)
    drawer = Drawer(study, storage, inspect or space.inspect, seed, 1000, begin)
    found = []
    with quiet_optuna():
        for _ in range(trials):
            one = drawer.draw(space, [Trial.of(frozen) for frozen in study.get_trials(deepcopy=False)])
            study.tell(one.trial, told(one))
            found.append(one.candidate)
    return found


def test_the_largest_within_the_budget_come_first():
    study = optuna.create_study(direction="maximize", sampler=make_sampler("random", 0))
    found = [one["params"] for one in drawn("largest", 4, study=study)]
    found += [one["params"] for one in drawn("largest", LARGEST - 4 + 3, study=study)]  # as if it had been killed
    first = found[:LARGEST]
    assert first == sorted(first, reverse=True) and len({*found}) == len(found)
    assert 270 < first[-1] <= first[0] <= 300  # of 200 draws from 1 to 300, the tenth
    assert min(found[LARGEST:]) < 270
    assert [one["params"] for one in drawn("largest", LARGEST)] == first
    assert [one["params"] for one in drawn("largest", LARGEST, seed=1)] != first
    assert [one["params"] for one in drawn(None, 3)] != first[:3]
    assert DRAWS == 200


@pytest.mark.parametrize("space", [HyperSqueezeNet((8, 8, 1), classes=10), HyperResNet((8, 8, 1), classes=10)])
def test_the_defaults_of_a_space_come_first(space):
    def inspect(values):
        return {**inspected(space.candidate(GivenSource(values)), Budget()), "values": values}

    first, second = drawn("defaults", 2, space=space, inspect=inspect)
    default = inspected(space.candidate(GivenSource({})), Budget())
    assert (first["metaparameters"], first["hyperparameters"]) == (
        default["metaparameters"],
        default["hyperparameters"],
    )
    assert second["signature"] != first["signature"] == default["signature"]


def test_defaults_that_are_over_the_budget_are_left():
    net = Net()
    assert drawn("defaults", 1)[0]["params"] == 1
    found = drawn("defaults", 1, inspect=lambda values: {**net.inspect(values), **_refused(values["width"] == 1)})
    assert found[0]["params"] > 1


class Trained(Net):
    """The same, in which a learning rate and a kind are drawn, too."""

    def draw(self, source):
        rate = source.number("learning_rate", Scale(1e-4, 1e-1, sampling="log", start=1e-2))
        kind, drop = source.choice("kind", ["a", "b"]), source.number("dropout", Scale(0.0, 0.5))
        return {"width": source.number("width", Scale(1, 400)), "learning_rate": rate, "kind": kind, "dropout": drop}

    def inspect(self, values):
        return {**super().inspect(values), "macs": values["width"] ** 2}

    def grid(self):
        raise NotImplementedError

    def size_source(self, rng):
        return SizeSource(rng, drawn=["width"])


def test_a_large_a_small_a_larger_and_a_middle_one_come_first_with_the_default_training():
    first = [one["values"] for one in drawn("sizes", 5, space=Trained())]
    large, small, larger, middle, _ = [values.pop("width") for values in first]
    assert small < 75 < 105 < middle < 195 < large < larger <= 300  # of 50 draws from 1 to 400 below 301
    assert all(values == {"learning_rate": 1e-2, "kind": "a", "dropout": 0.0} for values in first[:4])
    assert first[4]["dropout"] > 0
    assert [one["values"]["width"] for one in drawn("sizes", 4, space=Trained())] == [large, small, larger, middle]


def test_no_size_is_within_the_budget():
    net, asked = Trained(), []

    def inspect(values):
        asked.append(values)
        return {**net.inspect(values), **_refused(len(asked) <= SIZED_DRAWS)}

    assert len(drawn("sizes", 2, space=net, inspect=inspect)) == 2
    assert all(values["learning_rate"] == 1e-2 for values in asked[:SIZED_DRAWS])
    assert any(values["learning_rate"] != 1e-2 for values in asked[SIZED_DRAWS:])


@pytest.mark.parametrize("begin", ["sizes", "auto", "large"])
def test_what_a_space_cannot_begin_with_is_refused(begin):
    with pytest.raises(ValueError, match=f"`begin` must be 'largest' or 'defaults' for Net; received '{begin}'"):
        drawn(begin, 1)


OVERRIDES = {
    "learning_rate": hp_range(1e-5, 1e-1, sampling="log"),
    "dropout": hp_range(0.1, 0.5),
    "growth": hp_choice(1, 1.5, 2),
    "groups": 2,
    "filters": hp_range(4, 16),
    "bypass": [None, "simple"],
}


def test_sizes_go_by_what_users_have_narrowed():
    space = HyperSqueezeNet((32, 32, 3), classes=10, **OVERRIDES)
    rng = random.Random(0)
    draws = [space.candidate(GivenSource(space.draw(space.size_source(rng)))) for _ in range(30)]
    assert {round(one.hyperparameters["learning_rate"], 9) for one in draws} == {1e-3}  # the middle, not 1e-5
    assert {one.metaparameters["dropout"] for one in draws} == {0.1}
    assert {one.metaparameters["bypass"] for one in draws} == {None}
    assert len({str(one.metaparameters["groups"]) for one in draws}) > 25  # filters and growth, whole or not, are drawn


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_of_a_space_are_trained_alike(family):
    space = FAMILIES[family]((32, 32, 3), classes=10)

    def inspect(values):
        return {**inspected(space.candidate(GivenSource(values)), Budget()), "values": values}

    first = drawn("sizes", 4, space=space, inspect=inspect)
    default = inspected(space.candidate(GivenSource({})), Budget())
    assert all(one["hyperparameters"] == default["hyperparameters"] for one in first)
    large, small, larger, middle = [one["macs"] for one in first]
    assert small < middle < large < larger


def test_every_family_may_come_first():
    space = HyperAny([FAMILIES[name]((32, 32, 3), classes=10) for name in ("vgg", "densenet")])
    rng = random.Random(0)
    assert {space.draw(space.size_source(rng))["family"] for _ in range(20)} == {"vgg", "densenet"}


def _refused(whether):
    return {"refused": "the defaults"} if whether else {}


@pytest.mark.parametrize(
    ("scale", "default"),
    [
        (Scale(1, 9), 1),
        (Scale(1, 9, start=4), 4),
        (Scale(2, 32, 2, "log", start=8), 8),
        (Scale(1e-4, 1e-1, sampling="log", start=3e-3), 3e-3),
        (Scale(0.0, 1.0, 0.25, start=0.5), 0.5),
        (Scale(1, 10, 4, start=9), 9),
    ],
)
def test_defaults_are_what_optuna_can_be_told(scale, default):
    source = DefaultSource()
    assert source.number("n", scale) == source.params["n"] == pytest.approx(default)
    assert source.choice("c", ["a", "b"]) == "a"


def test_what_comes_first_is_tried_once():
    """Defaults that are refused have no signature, and a training may give its trial another."""
    net, study = Net(), optuna.create_study(direction="maximize", sampler=make_sampler("random", 0))
    drawn("defaults", 3, study=study, inspect=lambda values: {**net.inspect(values), **_refused(values["width"] == 1)})
    assert [trial.params["width"] for trial in study.get_trials()].count(1) == 1

    def told(one):
        one.trial.set_user_attr("candidate", {**one.candidate, "signature": f"and more, {one.trial.number}"})
        return 0.5

    study = optuna.create_study(direction="maximize", sampler=make_sampler("random", 0))
    drawn("defaults", 4, study=study, told=told)
    assert [trial.params["width"] for trial in study.get_trials()].count(1) == 1
