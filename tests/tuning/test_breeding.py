"""Breeding: children a step from their parents, which are on the front, and who begin with their parents' weights."""

import contextlib
import dataclasses
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
import types

import keras
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from thorough import run_all

import keras_blocks
from keras_blocks.tuning import HyperFunction, HyperSqueezeNet, OptunaOracle, Search, SearchSettings, hp_range
from keras_blocks.tuning.search.session import Session
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.storage.store import StudyStorage, quiet_optuna, sqlite_url
from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study.breeding import (
    FOUNDERS,
    MOST_CHANGES,
    POPULATION,
    Breeding,
    chances,
    population,
    stepped,
)
from keras_blocks.tuning.study.pruners import make_pruner
from keras_blocks.tuning.study.samplers import make_sampler
from keras_blocks.tuning.study.sources import Scale
from keras_blocks.tuning.study.study import Study
from keras_blocks.tuning.training import shared_weights
from keras_blocks.tuning.trials.protocol import TrialRequest
from keras_blocks.tuning.trials.starting import UNREAD, begin
from keras_blocks.tuning.trials.tasks import GivenJob, ImagesJob, UserSettings
from keras_blocks.tuning.user_spaces.hyper_model import HyperModelSpace

pytestmark = pytest.mark.usefixtures("unreported")


class Net:
    """A space of every kind of dimension, of which one depends on another."""

    def draw(self, source):
        drawn = {
            "kind": source.choice("kind", ["a", "b", "c"]),
            "width": source.choice("width", [16, 64, 32, 24, 48]),
            "depth": source.number("depth", Scale(1, 9)),
            "rate": source.number("rate", Scale(1e-4, 1e-1, sampling="log")),
        }
        if drawn["kind"] != "a":
            drawn["share"] = source.number("share", Scale(0.0, 1.0, 0.1))
        return drawn

    @staticmethod
    def inspect(values):
        about = {"signature": json.dumps(values), "architecture": "mine>Net", "params": values["width"]}
        return {**about, "refused": "too deep"} if values["depth"] == 9 else about


@pytest.fixture
def made(tmp_path):
    """Makes studies that breed, in one storage, and closes them."""
    with contextlib.ExitStack() as stack, quiet_optuna():

        def make(name="one", *, seed=0, directions=("maximize",), sampler="morph", **options):
            study = Study(
                StudyStorage(sqlite_url(tmp_path / "study.db"), grace=60),
                name,
                space=Net(),
                sampler=make_sampler(sampler, seed, Net(), objectives=len(directions)),
                pruner=make_pruner("none", 9),
                directions=directions,
                identity={"seed": seed},
                inspect=Net.inspect,
                seed=seed,
                **options,
            )
            stack.callback(study.close)
            return study

        yield make


def run(study, trials, score=lambda values: values["depth"] / 10 + values["width"] / 1000):
    """Runs trials that take no time."""
    for _ in range(trials):
        lease = study.next("w")
        value = score(lease.values)
        study.complete(lease, [value, *[lease.values["width"]] * (len(study.directions) - 1)], {"epochs": 1})
    return study.trials()


def genes(trials):
    return [(trial.values, trial.parent, trial.changed) for trial in trials]


# -- what is drawn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "value", "near"),
    [
        (CategoricalDistribution([16, 64, 32, 24, 48]), 32, {24, 48}),
        (CategoricalDistribution([0.0, 1e-4, 1e-3]), 0.0, {1e-4}),
        (CategoricalDistribution(["relu", "elu", "gelu"]), "elu", {"relu", "gelu"}),
        (CategoricalDistribution([False, True]), False, {True}),
        (IntDistribution(1, 9), 1, {2}),
        (IntDistribution(2, 8, step=3), 5, {2, 8}),
        (IntDistribution(1, 101), 50, set(range(40, 61)) - {50}),
        (FloatDistribution(0.0, 0.4, step=0.1), 0.4, {0.30000000000000004}),
    ],
)
def test_a_step_leads_to_a_neighbour(distribution, value, near):
    found = {stepped(distribution, value, random.Random(seed)) for seed in range(200)}
    assert found == near


@pytest.mark.parametrize(
    "distribution",
    [IntDistribution(1, 1000, log=True), FloatDistribution(1e-4, 1e-1, log=True), FloatDistribution(-1.0, 1.0)],
)
def test_a_step_along_a_range_stays_in_it_and_goes_somewhere(distribution):
    low, high = distribution.low, distribution.high
    for value in (low, high, type(low)((low * high) ** 0.5 if low > 0 else 0.25)):
        found = [stepped(distribution, value, random.Random(seed)) for seed in range(100)]
        assert all(low <= one <= high and type(one) is type(low) for one in found) and value not in found
        assert len({*found}) > 7


def test_children_are_a_step_from_the_best(made):
    trials = run(made(), 30)
    assert sum(trial.parent is None for trial in trials if trial.counted) == FOUNDERS
    for trial in trials:
        if trial.parent is None:
            assert (trial.changed, trial.start) == ({}, None)
            continue
        before = [other for other in trials[: trial.number] if other.completed]
        parent = trials[trial.parent]
        best = sorted(before, key=lambda one: (-one.objectives[0], -one.number))[:POPULATION]
        assert parent in best
        own = {name for name in trial.changed if None not in trial.changed[name]}  # others follow from the kind
        assert len(own) <= MOST_CHANGES and {*trial.changed} - own <= {"share"}
        for name, (there, here) in trial.changed.items():
            assert parent.values.get(name) == there != here == trial.values.get(name)
        assert all(trial.values[name] == parent.values[name] for name in trial.values if name not in trial.changed)
    assert any(trial.changed and "share" in trial.changed for trial in trials)
    signatures = [trial.signature for trial in trials if trial.counted]
    assert len({*signatures}) == len(signatures)  # none twice
    assert max(trial.objectives[0] for trial in trials[-10:] if trial.completed) > max(
        trial.objectives[0] for trial in trials[:FOUNDERS] if trial.completed
    )


def test_the_same_seed_breeds_the_same_family_also_when_it_starts_again(made):
    whole = genes(run(made("whole"), 10))
    for trials in (3, 4, 3):
        parts = genes(run(made("parts"), trials))
    assert parts == whole
    assert genes(run(made("other", seed=1), 5)) != whole[:5]


def test_a_front_is_the_population(made):
    study = made(directions=("maximize", "minimize"))
    trials = run(study, 16)
    children = [trial for trial in trials if trial.counted and trial.parent is not None]
    assert len(children) == 16 - FOUNDERS
    for trial in children:
        points = {other.number: other.objectives for other in trials[: trial.number] if other.completed}
        assert trial.parent in population(points, [-1, 1])
    assert len({trial.parent for trial in children}) > 3


def test_thin_parts_of_a_front_have_more_children():
    crowded = [[0.5 + 0.001 * i, 100 + i] for i in range(9)]
    found = chances([*crowded, [0.9, 900]])
    assert found[-1] > 5 * max(found[:-1])


def test_a_trial_that_changes_hands_keeps_its_parent(made):
    study = made()
    run(study, 6)
    lease = study.next("first")
    before = study.trials()[lease.number]
    study.release(lease)
    again = study.next("second")
    after = study.trials()[again.number]
    assert again.number == lease.number and again.attempt == 2
    assert after.parent is not None and (after.parent, after.changed) == (before.parent, before.changed)


def test_a_killed_workers_child_goes_on_with_its_parent(made):
    """As after kill -9: nothing was given back, and the process that had the trial is gone."""
    study = made()
    run(study, 6)
    lease = study.next("killed")
    before = study.trials()[lease.number]
    again = made(is_gone=lambda owner: True).next("next")
    after = made().trials()[again.number]
    assert (again.number, again.attempt) == (lease.number, 2)
    assert before.parent is not None and (after.parent, after.changed) == (before.parent, before.changed)


def test_a_parents_value_may_be_none():
    """As "no bypass" is: it goes to the child as any other, and is one that another can step to."""
    with quiet_optuna():
        study = optuna.create_study(direction="maximize")
        either = CategoricalDistribution([None, "simple", "complex"])
        params = {"bypass": None, **{f"width{i}": 50 for i in range(3)}}
        distributions = {"bypass": either, **{f"width{i}": IntDistribution(0, 99) for i in range(3)}}
        for number in range(FOUNDERS + 1):  # whichever is the parent
            study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=float(number)))
        asked = study.get_trials(deepcopy=False)[0]  # which only random draws would look at
        samplers = [Breeding(seed) for seed in range(80)]
        children = [
            {name: one.sample_independent(study, asked, name, distributions[name]) for name in params}
            for one in samplers
        ]
    for child in children:  # of each, one to three are others
        assert 1 <= sum(child[name] != params[name] for name in params) <= MOST_CHANGES
    assert {child["bypass"] for child in children} == {None, "simple", "complex"}


def test_what_was_asked_for_has_no_parent(made):
    study = made()
    run(study, 6)
    study.optuna.enqueue_trial({"kind": "a", "width": 64, "depth": 3, "rate": 0.01})
    lease = study.next("w")
    assert lease.values["width"] == 64 and study.trials()[lease.number].parent is None


@pytest.mark.parametrize("parent", [7, 3, -1, True, "0", 1.0, None, [0]])
def test_a_strangers_lineage_is_not_believed(parent):
    """Parents are older than their children; else a tree would have no end."""
    frozen = optuna.trial.create_trial(value=0.5, user_attrs={"candidate": {"parent": parent, "changed": "x"}})
    frozen.number = 3
    trial = Trial.of(frozen)
    assert (trial.parent, trial.changed, trial.start) == (None, {}, None)


def test_a_strangers_changes_are_pairs():
    candidate = {"parent": 1, "changed": {"a": [1, 2], "b": [1], "c": "12", "d": {}}}
    frozen = optuna.trial.create_trial(value=0.5, user_attrs={"candidate": candidate, "result": {"start": 5}})
    frozen.number = 3
    trial = Trial.of(frozen)
    assert (trial.parent, trial.changed, trial.start) == (1, {"a": [1, 2]}, None)


# -- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": 3}, "`sampler` must be another than 'morph' with `folds`.*received 'morph' with 3 folds"),
        ({"keep_weights": True}, "`keep_weights` must be False with the sampler 'morph'"),
        ({"sampler": "morhp"}, "`sampler` .*Did you mean 'morph'"),
    ],
)
def test_what_does_not_go_with_breeding(settings, message):
    with pytest.raises(ValueError, match=message):
        SearchSettings(**{"sampler": "morph", **settings})


def test_kerastuners_tuners_do_not_breed():
    with pytest.raises(ValueError, match=r"`sampler` must not be 'morph'.*Search"):
        OptunaOracle(sampler="morph")


def test_weights_are_kept_of_those_who_may_have_children():
    settings = SearchSettings(sampler="morph")
    trials = [Trial(i, "completed", {}, objectives=(i / 20,), val_accuracy=i / 20) for i in range(12)]
    trials += [
        Trial(12, "running", {}, parent=1),
        Trial(13, "waiting", {}, parent=2),
        Trial(14, "failed", {}, parent=0),
    ]
    assert settings.kept_weights(trials) == {*range(12 - POPULATION, 12), 1, 2, 12, 13}
    assert dataclasses.replace(settings, sampler="tpe").kept_weights(trials) == set()
    two = SearchSettings(sampler="morph", objectives=("val_accuracy", "params"))
    front = [Trial(i, "completed", {}, objectives=(i / 20, size)) for i, size in enumerate((10, 20, 20, 15))]
    assert two.kept_weights(front) == {0, 3}


# -- what trials are told, with no training ------------------------------------------------------------------------

TINY = {"groups": 1, "augmentation": "none", "optimizer": "sgd", "bypass": None, "filters": hp_range(4, 32, step=4)}


def tiny(**parts):
    return HyperSqueezeNet((8, 8, 1), classes=10, scale=1 / 16, **{**TINY, **parts})


def test_a_childs_request_names_its_parents_weights(few_digits, untrained, tmp_path, monkeypatch):
    requests = {}
    monkeypatch.setattr(
        "keras_blocks.tuning.search.worker.TrialRequest",
        lambda **told: requests.setdefault(told["number"], TrialRequest(**told)),
    )
    settings = SearchSettings(data=str(few_digits), sampler="morph", trials=9, epochs=1, final_epochs=1)
    search = Search(settings, tmp_path / "run", space=tiny(), session=functools.partial(Session, look_seconds=0.1))
    result = search.run()
    trials = search.trials
    search.close()
    counted = [trial for trial in trials if trial.counted]
    children = [trial for trial in counted if trial.parent is not None]
    assert len(counted) == 9 and len(children) == 9 - FOUNDERS
    for trial in counted:
        request = requests[trial.number]
        assert request.leaves == str(search.folder.path / "weights" / f"{trial.number}.npz")
        if trial.parent is None:
            assert request.weights is None and request.parent is None
            continue
        assert request.weights == str(search.folder.path / "weights" / f"{trial.parent}.npz")
        theirs = trials[trial.parent]
        assert request.parent["metaparameters"] == theirs.metaparameters
    best = next(trial for trial in trials if trial.number == result["trial"])
    line = result.get("lineage", [])
    assert bool(line) == (best.parent is not None)
    if line:
        assert line[-1]["trial"] == best.number and line[-2]["trial"] == best.parent
    rows = search.folder.trials_csv.read_text().splitlines()
    assert {"parent", "start"} <= {*rows[0].split(",")}


# -- the weights ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bred(digits, tmp_path_factory):
    """A candidate with trained weights in a file, and what makes children of it."""
    folder = tmp_path_factory.mktemp("weights")
    space = tiny()
    hyperparameters = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0, "batch_size": 32}
    hyperparameters |= {"augmentation": "light"}
    values = {"groups": [{"filters": [4, 4]}], "stem": "tiny", "bypass": None, "batch_norm": {"momentum": 0.9}}
    parent = Candidate("SqueezeNet", {**values, **space.fixed_by_data(), "dropout": 0.0}, hyperparameters)

    def child(architecture="SqueezeNet", hyperparameters=None, **changed):
        meta = {**parent.metaparameters, **changed}
        return Candidate(architecture, meta, {**parent.hyperparameters, **(hyperparameters or {})})

    few = types.SimpleNamespace(scale=1 / 16, flips=False, class_names=[*"0123456789"])
    keras.utils.set_random_seed(0)
    model = ImagesJob(few, parent, UserSettings()).build()
    rng = np.random.default_rng(0)
    model.set_weights([np.abs(value + rng.normal(0, 0.1, value.shape)) for value in model.get_weights()])
    path = folder / "0.npz"
    shared_weights.leave(model, path)
    return types.SimpleNamespace(model=model, path=path, parent=parent, child=child, data=few)


def begun(bred, candidate, *, path=None, parent=None):
    """A child's model, how it begins, and its own weights from before."""
    keras.utils.set_random_seed(1)
    job = ImagesJob(bred.data, candidate, UserSettings())
    model = job.build()
    own = model.get_weights()
    told = dataclasses.asdict(candidate)
    theirs = dataclasses.asdict(parent or bred.parent)
    path = str(path or bred.path)
    request = TrialRequest(1, told, "s", 1, "", 0, "a.npz", "b.keras", weights=path, parent=theirs, leaves="c.npz")
    return model, begin(model, job, request, lambda text: None), own


@pytest.mark.parametrize(("has_parent", "draws"), [(True, 1), (False, 3)])
def test_no_lottery_draws_other_weights_than_a_parents(has_parent, draws, bred, monkeypatch):
    candidate, told = bred.child(hyperparameters={"lottery": 3}), []

    def trained(model, hyperparameters, *args, **options):
        told.append(hyperparameters["lottery"])
        return types.SimpleNamespace(notes=[])

    monkeypatch.setattr("keras_blocks.tuning.training.resumable.fit", trained)
    theirs = dataclasses.asdict(bred.parent) if has_parent else None
    request = TrialRequest(1, dataclasses.asdict(candidate), "s", 1, "", 0, "a.npz", "b.keras", parent=theirs)
    job = ImagesJob(bred.data, candidate, UserSettings())
    job.fit(bred.model, request, watch=lambda done, logs: False)
    assert told == [draws]


def apart(bred, model, digits):
    """The largest difference from the parent's outputs."""
    images = digits.x_val[:16]
    return np.abs(model.predict(images, verbose=0) - bred.model.predict(images, verbose=0)).max()


@pytest.mark.parametrize(
    ("changed", "most"),
    [
        ({}, 1e-6),  # no change, but of the training: as keep_weights
        ({"dropout": 0.2}, 1e-5),
        ({"groups": [{"filters": [8, 8]}]}, 0.02),  # the noise on copies
        ({"groups": [{"filters": [4, 4, 8]}], "bypass": None}, None),
    ],
)
def test_a_child_begins_where_its_parent_ended(changed, most, bred, digits):
    model, start, _ = begun(
        bred, bred.child(hyperparameters={"augmentation": "strong", "optimizer": "adamw"}, **changed)
    )
    if most is None:
        assert start.startswith("nearest: '")
    else:
        assert start == "exact"
        assert apart(bred, model, digits) < most


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"path": "gone/0.npz"}, "own: its parent's weights are not in this run's folder"),
        ({"candidate": {"architecture": "VGG"}}, "own: its parent is of another architecture"),
        ({"torn": True}, UNREAD),
        ({"torn": True, "candidate": {"dropout": 0.3}}, UNREAD),
        ({"fails": True, "candidate": {"dropout": 0.3}}, "own: no such models"),
    ],
)
def test_a_child_that_cannot_have_them_begins_with_its_own_and_says_why(options, why, bred, tmp_path, monkeypatch):
    path = options.get("path")
    if options.get("torn"):
        path = tmp_path / "0.npz"
        path.write_bytes(bred.path.read_bytes()[:-300])
    if options.get("fails"):
        # Some weights are there, and then it is refused.
        def refuse(parent, model, ties):
            model.set_weights([value + 1 for value in model.get_weights()])
            raise ValueError("no such models")

        monkeypatch.setattr("keras_blocks.tuning.trials.starting.carry", refuse)
    changed = options.get("candidate", {})
    candidate = bred.child(**{key: value for key, value in changed.items() if key != "architecture"})
    parent = dataclasses.replace(bred.parent, architecture=changed.get("architecture", "SqueezeNet"))
    model, start, own = begun(bred, candidate, path=path, parent=parent)
    assert start == why
    for value, before in zip(model.get_weights(), own):
        np.testing.assert_array_equal(value, before)


def net(filters, blocks):
    layers = [keras_blocks.FireBlock(filters) for _ in range(blocks)]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10, "softmax")]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers, *head])


def test_a_model_of_the_users_own_breeds(digits, tmp_path):
    """Its layers are known by their kind and order, whatever Keras has numbered them."""
    made = HyperFunction(net, filters=[4, 8], blocks=hp_range(1, 3), loss="sparse_categorical_crossentropy")
    space = HyperModelSpace.of(made)
    values = {"filters": 4, "blocks": 2}
    theirs, mine = ({"hyperparameters": {**values, "filters": filters}} for filters in (4, 8))
    theirs, mine = ({"architecture": "own>net", "metaparameters": {}, **one} for one in (theirs, mine))
    parent = space.candidate(theirs["hyperparameters"]).build()
    shared_weights.leave(parent, tmp_path / "0.npz")
    job = GivenJob(None, space.candidate(mine["hyperparameters"]), UserSettings(), space)
    model = job.build()
    weights = str(tmp_path / "0.npz")
    request = TrialRequest(1, mine, "s", 1, "", 0, "a.npz", "b.keras", weights=weights, parent=theirs)
    assert begin(model, job, request, lambda text: None) == "exact"
    images = digits.x_val[:8] / 16
    assert np.abs(model.predict(images, verbose=0) - parent.predict(images, verbose=0)).max() < 0.02


# -- a search that is really trained -------------------------------------------------------------------------------


def real(folder, data, **settings):
    told = {"sampler": "morph", "trials": 7, "epochs": 1, "final_epochs": 1, "seed": 2, **settings}
    return Search(SearchSettings(data=str(data), **told), folder, space=tiny())


@pytest.mark.skipif(not run_all(), reason="seven trials that are trained; make test-all")
def test_a_search_breeds(few_digits, tmp_path):
    search = real(tmp_path / "run", few_digits)
    search.run()
    trials = search.trials
    search.close()
    children = [trial for trial in trials if trial.counted and trial.parent is not None]
    assert len(children) == 7 - FOUNDERS
    assert all(trial.start and trial.start.split(":")[0] in ("exact", "nearest") for trial in children)
    left = {int(path.stem) for path in (search.folder.path / "weights").glob("*.npz")}
    assert left == search.settings.kept_weights(trials)
    again = real(tmp_path / "again", few_digits)
    again.run()
    assert [(one.values, one.parent, one.val_accuracy) for one in again.trials] == [
        (one.values, one.parent, one.val_accuracy) for one in trials
    ]
    again.close()


@pytest.mark.skipif(not run_all(), reason="a search in a process of its own, which is killed; make test-all")
def test_a_killed_search_goes_on_breeding(few_digits, tmp_path):
    code = (
        "import sys; from keras_blocks.tuning import *; "
        "space = HyperSqueezeNet((8, 8, 1), classes=10, scale=1 / 16, groups=1, augmentation='none', optimizer='sgd', "
        "bypass=None, filters=hp_range(4, 32, step=4)); "
        "Search(SearchSettings(data=sys.argv[2], sampler='morph', trials=7, epochs=2, final_epochs=1, seed=2), "
        "sys.argv[1], space=space).run()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run"), str(few_digits)]
    process = subprocess.Popen(command, env={**os.environ, "KERAS_BACKEND": keras.backend.backend()})
    for _ in range(600):
        time.sleep(0.2)
        if len(list((tmp_path / "run" / "weights").glob("[0-9]*.npz"))) > FOUNDERS:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    search = real(tmp_path / "run", few_digits, epochs=2)
    search.run()
    trials = search.trials
    search.close()
    assert sum(trial.completed for trial in trials) == 7
    children = [trial for trial in trials if trial.completed and trial.parent is not None]
    assert len(children) == 7 - FOUNDERS and all(trial.start.split(":")[0] != "own" for trial in children)
