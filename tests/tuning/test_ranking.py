"""One ranking says which trial is trained on, kept, marked and written."""

import dataclasses
import functools
import io
import math
import re
import types

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_html_report import Page

from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.files import write_json
from keras_blocks.tuning.objectives import OBJECTIVES, ranking
from keras_blocks.tuning.report.html_report import write_report
from keras_blocks.tuning.report.terminal import Progress, trials_table
from keras_blocks.tuning.search.worker import Worker
from keras_blocks.tuning.storage.leases import Lease
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study.drawing import StudyEnded
from keras_blocks.tuning.trials.supervisor import Outcome

ACCURACY = [OBJECTIVES["val_accuracy"]]


def trial(number, accuracy=None, loss=0.5, **changes):
    status = "failed" if accuracy is None else "completed"
    return dataclasses.replace(Trial(number, status, {}, val_accuracy=accuracy, val_loss=loss), **changes)


def numbers(trials, objectives):
    return [one.number for one in ranking(trials, objectives)]


def test_the_best_trial_has_the_highest_accuracy_then_the_lowest_loss_then_the_lowest_number():
    trials = [trial(0, 0.5), trial(1, 0.9, 0.4), trial(2, 0.9, 0.3), trial(3), trial(4, 0.9, 0.3)]
    assert numbers(trials, ACCURACY) == [2, 4, 1, 0]
    assert numbers(trials[::-1], ACCURACY) == [2, 4, 1, 0]
    assert numbers([trial(0)], ACCURACY) == numbers([], ACCURACY) == []


def test_equal_ones_are_told_apart_by_the_further_objectives():
    two = [*ACCURACY, OBJECTIVES["macs"]]
    values = [(0.9, 50), (0.9, 40), (0.8, 10), (0.9, 40)]
    trials = [trial(i, values[i][0], loss=0.5 - 0.1 * i, objectives=values[i]) for i in range(4)]
    assert numbers(trials, two) == [3, 1, 0, 2]


def test_other_objectives():
    trials = [trial(0, 0.9, 0.4, objectives=(0.4,)), trial(1, 0.8, 0.3, objectives=(0.3,))]
    assert numbers(trials, [OBJECTIVES["val_loss"]]) == [1, 0]
    assert numbers([trial(0, 0.9, None), trial(1, 0.9, float("nan")), trial(2, 0.9, 5.0)], ACCURACY) == [2, 0, 1]


# -- whatever the trials are ----------------------------------------------------------------------------------------


VALUES = {
    "val_accuracy": (0.5, 0.75, 1.0),
    "val_loss": (0.1, 0.2, 0.3),
    "params": (100, 200),
    "macs": (1000, 2000),
    "activation_bytes": (64, 128),
    "latency": (0.001, 0.002),
    "seconds": (1.0, 2.0),
}
"""Few of each, so that many are equal."""


@st.composite
def searches(draw):
    """The objectives of a search, how many models it keeps, and its trials."""
    names = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=3, unique=True))
    trials = []
    for number in range(draw(st.integers(1, 8))):
        status = draw(st.sampled_from([Status.COMPLETED] * 3 + list(Status)))
        measures = {name: draw(st.sampled_from(values)) for name, values in VALUES.items()}
        if "val_loss" not in names and draw(st.booleans()):
            measures["val_loss"] = draw(st.sampled_from([math.nan, None]))
        known = measures if status is Status.COMPLETED else {"params": 100, "macs": 1000}
        made = Trial(
            number,
            status,
            {},
            "SqueezeNet",
            {"number": number},
            {"learning_rate": 0.1},
            objectives=tuple(measures[name] for name in names) if status is Status.COMPLETED else (),
            duplicate_of=0 if status is Status.DUPLICATE else None,
            error="no" if status is Status.FAILED else None,
            **known,
        )
        trials.append(made)
    return names, draw(st.integers(1, 4)), trials


def in_order(trials, names):
    """The completed trials, the best first, by comparing each with each."""

    def compare(one, other):
        for name in names:
            mine, theirs = getattr(one, name), getattr(other, name)
            if mine != theirs:
                return -1 if (mine > theirs) == (name == "val_accuracy") else 1
        mine, theirs = (
            math.inf if loss is None or math.isnan(loss) else loss for loss in (one.val_loss, other.val_loss)
        )
        if mine != theirs:
            return -1 if mine < theirs else 1
        return -1 if one.number < other.number else 1

    completed = [one for one in trials if one.status == "completed"]
    return [one.number for one in sorted(completed, key=functools.cmp_to_key(compare))]


@given(searches())
@settings(max_examples=100, deadline=None)
def test_the_ranking_is_the_order_that_the_objectives_say(search):
    names, keep, trials = search
    made = SearchSettings(objectives=names, sampler="random", keep=keep)
    expected = in_order(trials, names)
    assert numbers(trials, made.judged_by) == expected
    running = [one.number for one in trials if one.status == "running"]
    assert made.kept_numbers(trials) == expected[:keep] + running


class RanStudy:
    """A study whose candidates come to what was drawn above."""

    def __init__(self, trials):
        self._coming, self._done = list(trials), []

    def next(self, worker):
        if not self._coming:
            raise StudyEnded("all are done")
        one = self._coming.pop(0)
        names = ("architecture", "metaparameters", "hyperparameters", "params", "macs", "activation_bytes")
        candidate = {**{name: getattr(one, name) for name in names}, "signature": str(one.number)}
        return Lease(one.number, {}, candidate, 1, "token", one)

    def complete(self, lease, values, result):
        assert tuple(values) == lease.trial.objectives
        self._done.append(lease.trial)
        return True

    def fail(self, lease, reason, result=None):
        self._done.append(lease.trial)
        return True

    prune = refuse = fail

    def trials(self):
        return self._done


class Models:
    """A folder's models, and a supervisor that writes them."""

    def __init__(self, trials):
        self._trials, self.models = {one.number: one for one in trials}, set()

    def run(self, request, *, epoch, keep, idle):
        one = self._trials[request.number]
        if not one.completed:
            return Outcome(one.status, {}, "no")
        result = {name: getattr(one, name) for name in ("val_accuracy", "val_loss", "latency", "seconds")}
        kept = keep(result)
        if kept:
            self.models.add(one.number)
        return Outcome(one.status, result, kept=kept)

    def keep_models(self, numbers, weights=()):
        self.models &= set(numbers)

    def remove_checkpoint(self, number): ...

    def checkpoint(self, number):
        return f"{number}.npz"

    def model(self, number):
        return f"{number}.keras"


@given(searches())
@settings(max_examples=100, deadline=None)
def test_the_first_of_the_ranking_are_the_models_that_a_worker_keeps(search):
    """In whichever order they come, and although each is decided on before the later ones are known."""
    names, keep, trials = search
    ran = [one for one in trials if one.status in ("completed", "pruned", "failed", "refused")]
    models = Models(ran)
    made = SearchSettings(objectives=names, sampler="random", keep=keep)
    assert Worker("w", RanStudy(ran), models, models, made).run() == "all are done"
    assert models.models == set(in_order(ran, names)[:keep])


class EndedSession:
    """A session in which all trials were run, and whose last training takes no time."""

    def __init__(self, settings, space, folder, **options):
        self._folder, self.trials = folder, []
        self.study = types.SimpleNamespace(trials=lambda: self.trials, pareto=list)

    def publish(self): ...

    def stop(self): ...

    def run(self, progress, *, devices):
        return "all are done"

    def train_on(self, request, *, epoch):
        self.trained_on = request.candidate
        return Outcome(Status.COMPLETED, write_json(self._folder.result, {**request.notes, "epochs": request.epochs}))


@pytest.fixture
def ended(few_digits, tmp_path, monkeypatch):
    """A function of objectives and trials: the search that ran them."""
    monkeypatch.setattr("keras_blocks.tuning.report.run_report.write_run_report", lambda *args, **kwargs: None)
    search = Search(SearchSettings(data=str(few_digits)), tmp_path / "run", session=EndedSession)

    def with_trials(names, trials):
        search.settings = dataclasses.replace(search.settings, objectives=names, sampler="random")
        search.session.trials = trials
        search.folder.result.unlink(missing_ok=True)
        return search

    return with_trials


@given(example=searches())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_trial_is_trained_on_written_and_marked(ended, tmp_path, example):
    names, _, trials = example
    expected = in_order(trials, names)[:1]
    search = ended(names, trials)
    judged = search.settings.judged_by
    if expected:
        assert search.run()["trial"] == search.folder.results()["trial"] == expected[0]
        assert search.session.trained_on["metaparameters"] == {"number": expected[0]}
    assert [one.number for one in [search.best] if one] == expected
    page = Page(write_report(trials, judged, tmp_path / "report.html", title="A search"))
    assert [row["id"] for row in page.all("tr", **{"class": "best"})] == [f"trial-{number}" for number in expected]
    console = Console(file=io.StringIO(), width=200)
    console.print(trials_table(trials, search.best, judged))
    with Progress(console) as progress:
        progress.update(trials, objectives=judged, now=1.0)
    text = console.file.getvalue()
    assert [int(number) for number in re.findall(r"^\s*\* (\d+)", text, re.MULTILINE)] == expected
    assert [int(number) for number in re.findall(r"best .*\(trial (\d+)\)", text)][-1:] == expected
