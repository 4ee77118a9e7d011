"""When a pruner decides: after 3 epochs at first, on honest validations; a search of before goes on as it began."""

import functools
import pathlib
import shutil
import threading
import types

import pytest

from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.session import Session
from keras_blocks.tuning.search.worker import Worker
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.study.pruners import Rungs, make_pruner
from keras_blocks.tuning.trials.protocol import CANDIDATE
from keras_blocks.tuning.trials.supervisor import Outcome, Supervisor

FIXTURE = pathlib.Path(__file__).parents[1] / "fixtures" / "0.1.0" / "search"


@pytest.mark.parametrize(
    ("rungs", "deciding", "always"),
    [
        (Rungs("hyperband", 30), [3, 9, 27, 30], 30),
        (Rungs("hyperband", 9), [3, 9], 9),
        (Rungs("hyperband", 2), [2], 2),
        (Rungs("hyperband", 12, first=5), [5, 12], 12),
        (Rungs("median", 3), [1, 2, 3], 3),
        (Rungs("none", 5), [5], 5),
        (Rungs.before({"first": 3, "batches": 0}, "none", 9), [], 0),
        (Rungs.before(None, "hyperband", 9), [], 0),
        (Rungs.before({"first": 2, "batches": 4}, "hyperband", 9), [2, 6, 9], 9),
    ],
)
def test_epochs_that_decide(rungs, deciding, always):
    assert rungs.deciding() == deciding
    assert len(rungs.deciding(always=True)) == always


@pytest.mark.parametrize("said", [3, {"first": 0}, {"first": "one"}, {"batches": -1}, {"batches": True}])
def test_what_are_no_rungs_is_refused(said):
    with pytest.raises((TypeError, ValueError), match="rungs"):
        Rungs.before(said, "hyperband", 9)


@pytest.mark.parametrize(
    ("given", "begun", "pruner", "rungs"),
    [
        ({}, None, "none", (3, 16)),
        ({"max_seconds": 9}, None, "hyperband", (3, 16)),
        ({"max_seconds": 9, "objectives": ("val_accuracy", "macs")}, None, "none", (3, 16)),
        ({"max_seconds": 9, "objectives": ("macs",)}, None, "none", (3, 16)),
        ({"max_seconds": 9, "pruner": "none"}, None, "none", (3, 16)),
        ({"pruner": "median", "first_rung": 1}, None, "median", (1, 16)),
        ({"max_seconds": 9}, {"settings": {"pruner": "none"}}, "none", (1, 0)),  # of 0.1.0
        ({"max_seconds": 9}, {"settings": {"pruner": "hyperband"}}, "hyperband", (1, 0)),
        ({}, {"settings": {"pruner": "hyperband"}, "rungs": {"first": 3, "batches": 16}}, "hyperband", (3, 16)),
        ({"pruner": "median"}, {"settings": {"pruner": "median"}}, "median", (1, 0)),
        ({}, "nonsense", "none", (1, 0)),  # which the study refuses
        ({}, {"settings": {"pruner": "asha"}}, "none", (1, 0)),
    ],
)
def test_auto_is_settled_by_what_was_begun_and_then_by_the_minutes(given, begun, pruner, rungs):
    settled, found = SearchSettings(**given).settled(begun)
    assert (settled.pruner, found.first, found.batches) == (pruner, *rungs)
    assert settled.settled(begun)[0] == settled


@pytest.mark.parametrize(
    ("given", "sized", "begun", "begin"),
    [
        ({}, True, None, "sizes"),
        ({}, False, None, None),
        ({"sampler": "morph"}, True, None, "sizes"),
        ({"sampler": "random"}, True, None, None),
        ({"sampler": "grid"}, True, None, None),
        ({"sampler": "grid", "begin": "sizes"}, True, None, "sizes"),
        ({"begin": "none"}, True, None, None),
        ({"begin": None}, True, None, None),
        ({"begin": "largest"}, False, None, "largest"),
        ({}, True, {"settings": {}}, None),  # of 0.1.0
        ({}, True, {"settings": {"begin": None}}, None),
        ({}, True, {"settings": {"begin": "largest"}}, "largest"),
        ({"begin": "defaults"}, True, {"settings": {"begin": "largest"}}, "defaults"),  # which the study refuses
    ],
)
def test_what_is_tried_first_is_settled_by_what_was_begun_and_then_by_the_space(given, sized, begun, begin):
    settled = SearchSettings(**given).settled(begun, sized=sized)[0]
    assert settled.begin == begin
    assert settled.settled({"settings": {"begin": begin}}, sized=sized)[0] == settled


@pytest.mark.parametrize(("epochs", "first", "ends"), [(9, 3, {3, 9}), (9, 1, {1, 3, 9}), (3, 3, {3})])
def test_no_trial_ends_before_the_first_rung(epochs, first, ends):
    import optuna

    study = optuna.create_study(study_name="one", direction="maximize", pruner=make_pruner("hyperband", epochs, first))
    found = set()
    for number in range(12):
        trial = study.ask()
        for epoch in range(1, epochs + 1):
            trial.report(-number, epoch)  # each is worse than all before it
            if trial.should_prune():
                found.add(epoch)
                break
        study.tell(trial, -number)
    assert found and found <= ends


class Told(Supervisor):
    """Remembers what it was asked to train."""

    asked: list = []

    def run(self, request, **kwargs):
        self.asked.append(request)
        return super().run(request, **kwargs)


def search(run, seconds=300.0, session=Session, **given):
    given = {"data": "digits", "trials": 2, "epochs": 5, "final_epochs": 1, "max_seconds": seconds, **given}
    made = functools.partial(session, look_seconds=0.05, supervisor=Told)
    return Search(SearchSettings(**given), run, session=made)


def test_a_search_with_minutes_has_rungs_and_goes_on_with_them(untrained, unreported, tmp_path):
    begun = search(tmp_path / "run")
    Told.asked.clear()
    begun.run()
    begun.close()
    asked = [(one.asks, list(one.deciding), one.batches, one.most_early) for one in Told.asked[:2]]
    assert asked == [(True, [3, 5], 16, 0)] * 2
    identity = begun.study.optuna.user_attrs["identity"]
    assert identity["rungs"] == {"first": 3, "batches": 16} and identity["settings"]["pruner"] == "hyperband"
    for more in ({"trials": 3}, {"trials": 3, "seconds": None}):  # by the minutes alone it would be another
        again = search(tmp_path / "run", **more)
        assert again.session.rungs == Rungs("hyperband", 5)
        joined = Session.joined("run", again.session.place.url, again.folder)
        assert (joined.rungs, joined.settings.pruner) == (again.session.rungs, "hyperband")
        joined.study.close()
        again.close()
    for other in ({"first_rung": 2}, {"pruner": "none"}, {"pruner": "median"}, {"first_rung_steps": 7}):
        with pytest.raises(ValueError, match="was begun otherwise"):
            search(tmp_path / "run", **other)


def test_one_that_was_begun_with_fewer_batches_goes_on_with_them(untrained, unreported, tmp_path):
    begun = search(tmp_path / "run", trials=1)
    identity = begun.study.optuna.user_attrs["identity"]
    begun.study.optuna.set_user_attr("identity", {**identity, "rungs": {"first": 3, "batches": 2}})
    begun.close()
    again = search(tmp_path / "run", trials=1)
    Told.asked.clear()
    again.run()
    again.close()
    assert [one.batches for one in Told.asked[:1]] == [2]


@pytest.mark.parametrize("pruner", ["none", "hyperband"])
def test_one_that_0_1_0_began_goes_on_with_what_it_had(pruner, untrained, unreported, tmp_path):
    run = tmp_path / "search"
    shutil.copytree(FIXTURE, run)
    given = {"trials": 6, "epochs": 3, "final_epochs": 4, "seed": 7}
    if pruner == "hyperband":
        began = search(run, **given)
        identity = began.study.optuna.user_attrs["identity"]
        assert "rungs" not in identity and "first_rung" not in identity["settings"]
        identity["settings"]["pruner"] = pruner
        began.study.optuna.set_user_attr("identity", identity)
        began.close()
    again = search(run, **given)
    assert (again.session.settings.pruner, again.session.settings.begin) == (pruner, None)
    assert again.session.rungs == Rungs(pruner, 3, first=1, batches=0)
    Told.asked.clear()
    again.run()
    again.close()
    assert [(one.asks, list(one.deciding)) for one in Told.asked[:1]] == [(pruner != "none", [])]


def test_who_has_trained_to_the_end_is_not_ended_early(tmp_path):
    """Whatever a pruner says: its last epoch costs nothing any more."""
    answers = []

    class Trains:
        def run(self, request, *, epoch, **kwargs):
            answers.extend(epoch(done, {"val_accuracy": 0.1}) for done in (1, 3, 4))
            stop.set()
            return Outcome(Status.PRUNED)

    stop = threading.Event()
    lease = types.SimpleNamespace(number=0, candidate={name: {} for name in ("signature", *CANDIDATE)})
    told = {"report": lambda lease, done, value: True, "prune": lambda lease, result: False}
    study = types.SimpleNamespace(next=lambda name: lease, **told)
    Worker("w", study, Trains(), RunFolder(tmp_path), SearchSettings(epochs=4), stop, rungs=Rungs("median", 4)).run()
    assert answers == [True, True, False]
