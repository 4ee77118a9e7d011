"""What is tried first: the largest of some draws within the budget, or the space's defaults; then the sampler draws."""

import contextlib
import types

import optuna
import pytest

from keras_blocks.tuning import HyperResNet, HyperSqueezeNet
from keras_blocks.tuning.dimensions.sources import DefaultSource, Scale
from keras_blocks.tuning.spaces.budget import Budget, inspected
from keras_blocks.tuning.spaces.table import GivenSource
from keras_blocks.tuning.storage.store import quiet_optuna
from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study.drawing import DRAWS, LARGEST, Drawer
from keras_blocks.tuning.study.samplers import make_sampler


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
