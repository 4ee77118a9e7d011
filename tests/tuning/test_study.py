"""Study: each candidate is drawn once, run once, and survives its worker. On SQLite and on a real PostgreSQL."""

import contextlib
import datetime
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
import warnings

import keras_tuner
import optuna
import postgres
import pytest
import sqlalchemy

from keras_blocks.tuning.storage.remote import is_away
from keras_blocks.tuning.storage.store import StudyStorage, quiet_optuna, sqlite_url
from keras_blocks.tuning.study import samplers
from keras_blocks.tuning.study.drawing import StudyEnded
from keras_blocks.tuning.study.pruners import make_pruner
from keras_blocks.tuning.study.samplers import make_sampler
from keras_blocks.tuning.study.study import MOST_LOSSES, Study
from keras_blocks.tuning.user_spaces.keras_tuner_space import KerasTunerSpace

SAMPLED = [name for name in samplers.SAMPLERS if name != "gp"]  # which is slow, and random for its first ten trials


def space(most=9):
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    hp.Int("depth", 1, most)
    with hp.conditional_scope("kind", ["a"]):
        hp.Float("rate", 1e-3, 1.0, sampling="log")
    return KerasTunerSpace(hp.space)


@pytest.fixture(scope="session")
def databases():
    """A function of a name that makes a database on a real server."""
    if postgres.binaries() is None:
        pytest.skip("needs a PostgreSQL server (Debian's package postgresql), which is not installed here")
    with postgres.server() as database:
        yield database


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "study.db")
    number = request.config.stash.setdefault(COUNTER, iter(range(1000)))
    return request.getfixturevalue("databases")(f"test{next(number)}")


COUNTER = pytest.StashKey()


@pytest.fixture
def made(url):
    """Makes studies in one storage, and closes them."""
    with contextlib.ExitStack() as stack, quiet_optuna():

        def make(
            name="one",
            *,
            seed=0,
            sampler="random",
            most=9,
            directions=("maximize",),
            grace=60,
            storage=StudyStorage,
            **options,
        ):
            options = {"identity": {"seed": seed}, "patience": 1, **options}
            study = Study(
                storage(url, grace=grace),
                name,
                space=space(most),
                sampler=make_sampler(sampler, seed, space(most), objectives=len(directions)),
                pruner=make_pruner(options.pop("pruner", "none"), 9),
                directions=directions,
                seed=seed,
                **options,
            )
            stack.callback(study.close)
            return study

        yield make


def signed(values):
    """What stands for a candidate: odd depths come to the same as the even ones below them."""
    return {"signature": f"{values['kind']} {values['depth'] // 2}"}


def run(study, trials, worker="w"):
    """Runs trials that take no time."""
    done = []
    for _ in range(trials):
        lease = study.next(worker)
        study.complete(lease, [lease.values["depth"] + 0.1] * len(study.directions), {"epochs": 1})
        done.append(lease.values)
    return done


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("sampler", SAMPLED)
def test_same_seed_same_draws_also_when_it_starts_again(made, sampler):
    whole = run(made("whole", sampler=sampler), 12)
    parts = [values for trials in (1, 10, 1) for values in run(made("parts", sampler=sampler), trials)]
    assert parts == whole
    if sampler != "grid":
        assert run(made("other", sampler=sampler, seed=1), 3) + whole[3:] != whole or sampler == "qmc"
    assert all(set(values) == {"kind", "depth"} | ({"rate"} if values["kind"] == "a" else set()) for values in whole)


def test_what_is_told_is_what_was(made):
    study = made(max_trials=3, inspect=lambda values: {"params": 10 * values["depth"], "architecture": "mine>Net"})
    first = study.next("alpha")
    assert study.complete(first, [0.5], {"epochs": 3, "val_accuracy": 0.5, "curves": {"loss": [2.0, 1.0]}})
    assert study.fail(study.next("beta"), "no memory")
    assert study.prune(study.next("beta"), {"epochs": 1})
    one, two, three = study.trials()
    assert (one.number, one.status, one.objectives, one.worker, one.attempt) == (0, "completed", (0.5,), "alpha", 1)
    assert (one.values, one.params, one.epochs) == (first.values, 10 * first.values["depth"], 3)
    assert one.curves == {"loss": [2.0, 1.0]}
    assert one.architecture == "mine>Net"
    assert one.began <= one.ended
    assert (two.status, two.error, two.worker) == ("failed", "no memory", "beta")
    assert (three.status, three.epochs) == ("pruned", 1)
    with pytest.raises(StudyEnded, match="all 3 trials are done"):
        study.next("alpha")


def test_a_draw_is_written_whole_or_not_at_all(made):
    def inspect(values):
        raise RuntimeError("no answer")

    study = made(inspect=inspect)
    with pytest.raises(RuntimeError, match="no answer"):
        study.next("w")
    (frozen,) = study.optuna.get_trials()
    assert (frozen.params, frozen.user_attrs) == ({}, {})
    again = made()
    lease = again.next("w")  # the trial that was begun has its number, and is drawn anew
    (frozen,) = study.optuna.get_trials()
    assert (lease.number, frozen.number) == (0, 0)
    assert set(frozen.params) == set(lease.values)
    assert frozen.user_attrs["candidate"]["values"] == lease.values


def test_nan_and_infinite_objectives_never_complete(made):
    study = made()
    lease = study.next("w")
    for value in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="finite"):
            study.complete(lease, [value], {})
    study.fail(lease, "diverged")
    assert [trial.status for trial in study.trials()] == ["failed"]


def test_workers_at_the_same_time_run_each_trial_once(made, url):
    trials, ran, ended = 24, [], []

    def work(name):
        study = made(max_trials=trials, inspect=None)
        while True:
            try:
                lease = study.next(name)
            except StudyEnded as error:
                ended.append(str(error))
                study.close()  # this thread's connections
                return
            if lease is None:
                time.sleep(0.01)
                continue
            ran.append(lease.number)
            assert study.complete(lease, [1.0], {})

    made()  # the tables
    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(ran) == list(range(trials))
    assert ended == [f"all {trials} trials are done"] * 4
    assert [trial.status for trial in made(max_trials=trials).trials()] == ["completed"] * trials


def dying(url, when):
    """What a process does that is killed while it draws a trial, or runs one."""
    study = Study(
        StudyStorage(url, grace=60),
        "one",
        space=space(),
        sampler=make_sampler("random", 0),
        pruner=make_pruner("none", 1),
        directions=["maximize"],
        identity={"seed": 0},
    )
    if when == "drawing":
        study.optuna.ask().suggest_categorical("kind", ["a", "b"])
    else:
        lease = study.next("lost")
        study.report(lease, 1, 0.25)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("url", "when"), [("sqlite", "drawing"), ("sqlite", "running"), ("postgresql", "running")], indirect=["url"]
)
def test_a_trial_whose_process_was_killed_goes_to_the_next_worker(made, url, when):
    """At once, as its process was on this machine; with its number, its values and the epochs that it told."""
    # Forked, as one that imports Keras takes ten seconds: a study needs nothing that lives in threads. JAX warns.
    killed = multiprocessing.get_context("fork").Process(target=dying, args=(url, when))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        killed.start()
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    study = made(max_trials=2)
    (left,) = study.trials()
    assert (left.number, left.status) == (0, "running")
    lease = study.next("heir")
    assert lease.number == 0
    assert lease.attempt == (2 if when == "running" else 1)
    if when == "running":
        assert lease.values == left.values
        assert study.report(lease, 1, 0.3) is False  # which the first worker had told
        frozen = study.optuna.get_trials()[0]
        assert frozen.intermediate_values == {1: 0.25}
    assert study.complete(lease, [0.5], {})
    run(study, 1)
    assert [(trial.number, trial.status) for trial in study.trials()] == [(0, "completed"), (1, "completed")]


def test_a_worker_that_was_silent_has_lost_its_trial(made):
    silent, other = made(grace=2), made(grace=2)
    lease = silent.next("silent")
    assert other.next("other").number == 1
    time.sleep(3.2)
    taken = other.next("other")
    assert (taken.number, taken.values, taken.attempt) == (lease.number, lease.values, 2)
    assert not silent.is_mine(lease)
    assert not silent.complete(lease, [0.9], {})
    assert not silent.fail(lease, "late")
    silent.release(lease)  # nothing
    assert other.complete(taken, [0.1], {})
    assert silent.trials()[0].objectives == (0.1,)
    assert not silent.complete(lease, [0.9], {})
    assert silent.trials()[0].objectives == (0.1,)


def test_signs_of_life_keep_a_trial(made):
    study, other = made(grace=3), made(grace=3)
    lease = study.next("w")
    mine = other.next("other")
    for _ in range(5):
        time.sleep(1)
        study.beat(lease)
        other.beat(mine)
    assert other.next("other").number == 2
    assert study.complete(lease, [0.1], {})


def write(url, statement, **values):
    """What another machine, or one whose clock jumps, would have written."""
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(statement), values)
    engine.dispose()


class Watched(StudyStorage):
    """One whose process' own clock is set by hand."""

    seconds = 0.0

    def __init__(self, url, **options):
        super().__init__(url, clock=lambda: Watched.seconds, **options)


@pytest.mark.parametrize("hours", [-7, 7])
def test_a_clock_that_jumps_takes_no_trial_from_who_lives_and_leaves_none_with_who_is_gone(made, url, hours):
    """The database's, by which signs of life are written, before each of them."""
    storages = []
    study, other = (made(storage=lambda *a, **k: storages.append(Watched(*a, **k)) or storages[-1]) for _ in range(2))
    lease, others = study.next("w"), other.next("other")
    clock = datetime.datetime(2026, 3, 29, 12)
    for _ in range(9):
        Watched.seconds += 20
        clock += datetime.timedelta(hours=hours)
        write(url, "UPDATE trial_heartbeats SET heartbeat = :clock", clock=clock)
        assert not storages[1].silent(other.optuna, other.optuna.get_trials())
    Watched.seconds += 59
    assert other.complete(others, [0.1], {})
    assert other.next("other").number == 2 and study.is_mine(lease)
    Watched.seconds += 3
    assert other.next("other").number == lease.number and not study.is_mine(lease)


def test_a_trial_that_is_given_back_is_the_next_one(made):
    study = made(max_trials=1)
    lease = study.next("w")
    study.release(lease)
    assert study.trials()[0].status == "waiting"
    again = study.next("v")
    assert (again.number, again.values, again.attempt) == (0, lease.values, 2)
    assert not study.is_mine(lease)
    assert made(max_trials=1).next("v") is None  # the one that runs may come back


def test_a_trial_that_kills_its_workers_fails_in_the_end(made):
    study = made(max_trials=1, is_gone=lambda owner: True)
    for attempt in range(1, MOST_LOSSES + 1):
        assert study.next("w").attempt == attempt
    with pytest.raises(StudyEnded):
        study.next("w")
    (trial,) = study.trials()
    assert (trial.status, trial.error) == ("failed", f"its worker was lost {MOST_LOSSES} times")


def test_a_trial_that_goes_on_is_not_failed_for_its_many_workers(made):
    gone = []
    study = made(max_trials=1, is_gone=lambda owner: bool(gone))
    for epoch in range(1, 3 * MOST_LOSSES):
        lease = study.next("w")
        assert lease.number == 0
        if epoch % 2:
            study.release(lease)  # as it was asked to stop
        else:
            study.report(lease, epoch, 0.1)
            gone.append(True)  # killed, after an epoch
            lease = study.next("w")
            gone.clear()
            study.release(lease)
    lease = study.next("w")
    assert study.complete(lease, [0.5], {})
    assert [(trial.number, trial.status) for trial in study.trials()] == [(0, "completed")]


def test_a_database_that_is_away_for_a_while_is_asked_again(made):
    calls = []

    class Away(StudyStorage):
        def current(self, trial):
            calls.append(trial)
            if len(calls) < 3:
                raise optuna.exceptions.StorageInternalError("no answer")
            return super().current(trial)

    study = made(storage=Away, patience=30)
    assert study.is_mine(study.next("w"))
    assert len(calls) == 3


def of_sqlite(statement, path):
    """SQLite's error, as Optuna hands it on."""
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})
    with pytest.raises(sqlalchemy.exc.DBAPIError) as told, engine.connect() as connection:
        connection.execute(sqlalchemy.text(statement))
    engine.dispose()
    error = optuna.exceptions.StorageInternalError("told")
    error.__cause__ = told.value
    return error


def of_server(kind, says, *, lost=False):
    """An error of PostgreSQL, as SQLAlchemy hands it on."""
    return getattr(sqlalchemy.exc, kind)("SELECT 1", {}, Exception(says), connection_invalidated=lost)


def test_a_database_that_answers_is_asked_no_second_time(made, tmp_path):
    """Only a lost connection is a reason to ask again: what is forbidden, wrong or there already stays so."""
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE kept (name TEXT UNIQUE)")
        connection.execute("INSERT INTO kept VALUES ('a')")
        connection.commit()
        connection.execute("BEGIN EXCLUSIVE")
        busy = of_sqlite("INSERT INTO kept VALUES ('b')", path)
    for_good = [
        of_sqlite("SELECT * FROM nowhere", path),
        of_sqlite("INSERT INTO kept VALUES ('a')", path),
        of_sqlite("INSERT INTO kept VALUES ('b')", f"file:{path}?mode=ro&uri=true"),
        of_server("ProgrammingError", "permission denied for table trials"),
        of_server("IntegrityError", "duplicate key value"),
        of_server("InternalError", "cannot execute INSERT in a read-only transaction"),
        of_server("OperationalError", 'FATAL: password authentication failed for user "me"'),
        FileNotFoundError("study.db.lock"),
    ]
    passing = [
        busy,
        of_sqlite("SELECT 1", tmp_path / "away" / "study.db"),
        of_server("OperationalError", "server closed the connection unexpectedly"),
        of_server("OperationalError", "the database system is starting up"),
        of_server("InterfaceError", "the cursor is closed"),
        of_server("DBAPIError", "terminating connection", lost=True),
        sqlalchemy.exc.PendingRollbackError("invalid transaction"),
        optuna.exceptions.StorageInternalError("no answer"),
    ]
    assert [is_away(error) for error in for_good] == [False] * len(for_good)
    assert [is_away(error) for error in passing] == [True] * len(passing)

    calls = []

    class Forbidden(StudyStorage):
        def current(self, trial):
            calls.append(trial)
            raise for_good[len(calls) - 1]

    study = made(storage=Forbidden, patience=30)
    lease = study.next("w")
    for error in for_good:
        with pytest.raises(type(error)):
            study.is_mine(lease)
    assert len(calls) == len(for_good)


def test_refused_candidates_are_drawn_again_and_do_not_count(made):
    def inspect(values):
        return {"refused": f"depth {values['depth']} is more than 3"} if values["depth"] > 3 else signed(values)

    study = made(max_trials=3, inspect=inspect)
    assert all(values["depth"] <= 3 for values in run(study, 3))
    trials = study.trials()
    refused = [trial for trial in trials if trial.status == "refused"]
    assert sum(trial.counted for trial in trials) == 3
    assert refused
    assert all(trial.error == f"depth {trial.values['depth']} is more than 3" for trial in refused)
    with pytest.raises(StudyEnded, match="all 3 trials"):
        study.next("w")


def test_a_budget_that_nothing_meets_ends_the_study(made):
    def refused(values):
        depth = values["depth"]
        if values["kind"] != "a":
            return {"refused": "invalid: no such model"}
        if depth == 0:
            return {"refused": "9 parameters are more than 1"}  # nine times as many; the others three times and more
        return {"refused": f"{3_000 * 10**depth:,} multiply-adds are more than 10,000"}

    study = made(inspect=refused, random_draws=100)
    with pytest.raises(StudyEnded, match="in 100 draws; of the nearest, 30,000 multiply-adds are more than 10,000"):
        study.next("w")


def test_the_same_candidate_is_one_trial(made):
    study = made(max_trials=10, most=7, inspect=signed, sampler="tpe")
    run(study, 8)  # all there are: a and b, with 0 to 3
    with pytest.raises(StudyEnded, match="all candidates of the space were tried"):
        study.next("w")
    trials = study.trials()
    completed = [trial for trial in trials if trial.completed]
    assert len({trial.signature for trial in completed}) == len(completed) == 8
    by_number = {trial.number: trial for trial in trials}
    duplicates = [trial for trial in trials if trial.status == "duplicate"]
    assert duplicates
    frozen = study.optuna.get_trials()
    for trial in duplicates:
        assert by_number[trial.duplicate_of].signature == trial.signature
        assert frozen[trial.number].values == frozen[trial.duplicate_of].values  # the sampler learns it, too


def test_a_duplicate_of_a_running_or_failed_one_is_no_trial(made):
    study = made(most=2, inspect=lambda values: {"signature": str(values["depth"] // 9)})
    lease = study.next("w")
    assert study.next("v") is None  # the one that runs may come back
    drawn = len(study.trials())
    assert study.next("v") is None
    assert len(study.trials()) == drawn  # nothing is drawn in vain
    study.release(lease)
    again = study.next("v")
    assert again.number == lease.number
    study.fail(again, "no")
    with pytest.raises(StudyEnded, match="all candidates"):
        study.next("v")


def test_failures_in_a_row_end_the_study(made):
    study = made(max_trials=100)
    run(study, 2)
    for i in range(5):
        study.fail(study.next("w"), f"reason {i}")
    with pytest.raises(StudyEnded, match="the last 5 trials failed, the last one: reason 4"):
        study.next("w")


def test_a_study_of_another_identity_is_refused(made):
    made(identity={"seed": 0, "settings": {"epochs": 3}, "space": [1, 2]})
    made(identity={"seed": 0, "settings": {"epochs": 3}, "space": [1, 2]})
    with pytest.raises(ValueError, match=r"begun otherwise.*settings\.epochs=3 there and 4 here.*Give the same, or"):
        made(identity={"seed": 0, "settings": {"epochs": 4}, "space": [1, 2]})
    with pytest.raises(ValueError, match="space was otherwise there"):
        made(identity={"seed": 0, "settings": {"epochs": 3}, "space": [1, 3]})


def test_a_search_over_a_space_of_ones_own_names_it_where_it_is_not_given_again(made):
    own = {"hypermodel": "mine:space", "hyperparameters": [{"name": "a"}] * 100}
    made(identity={"seed": 0, "space": own})
    with pytest.raises(ValueError, match=r"not compare: space was otherwise there \(mine:space there\). Give the same"):
        made(identity={"seed": 0, "space": [{"name": "a"}] * 100})


def test_the_time_of_all_sessions_is_counted_once_whatever_the_clocks_of_their_machines(made):
    study = made()
    assert study.add_time("first", 0.0) == 0.0
    assert study.add_time("first", 12.5) == 12.5
    assert made().add_time("beside it", 0.0) == 12.5
    assert study.add_time("first", 20.0) == 20.0
    assert made().add_time("beside it", 7.0) == 20.0
    assert made().add_time("beside it", 10.0) == 22.5  # the first is gone
    assert made().add_time("later", 5.0) == 27.5


def test_time_that_an_older_version_counted_is_counted_on(made):
    """It wrote when by the clock: here 1000 to 1010, and a machine beside it whose clock was ahead."""
    study = made()
    study.optuna.set_user_attr("searched first", [1000.0, 1010.0])
    study.optuna.set_user_attr("searched beside it", [1005.0, 1020.0])
    assert study.add_time("now", 5.0) == 25.0


def test_a_pruner_ends_what_is_behind(made):
    study = made(pruner="median", identity={})
    for _ in range(6):
        lease = study.next("w")
        assert not any(study.report(lease, epoch, 0.8) for epoch in range(1, 9))
        study.complete(lease, [0.8], {})
    lease = study.next("w")
    assert any(study.report(lease, epoch, 0.1) for epoch in range(1, 9))
    assert study.prune(lease, {"epochs": 3})
    assert study.report(lease, 9, float("nan")) is False


def test_several_objectives_have_a_pareto_front(made):
    study = made(sampler="nsgaii", directions=("maximize", "minimize"))
    for values in ([0.9, 100], [0.8, 10], [0.7, 50]):
        study.complete(study.next("w"), values, {})
    assert [trial.number for trial in study.pareto()] == [0, 1]
    assert study.report(study.next("w"), 1, 0.5) is False  # Optuna prunes by one objective only


def test_a_storage_that_fails_for_a_moment_is_asked_again(made, monkeypatch):
    study = made()
    fails = iter([True, True, False])
    real = study.optuna.get_trials

    def sometimes(*args, **kwargs):
        if next(fails, False):
            raise optuna.exceptions.StorageInternalError("the server is starting")
        return real(*args, **kwargs)

    monkeypatch.setattr(study.optuna, "get_trials", sometimes)
    assert study.trials() == []
    monkeypatch.setattr(
        study.optuna,
        "get_trials",
        lambda **kwargs: (_ for _ in ()).throw(optuna.exceptions.StorageInternalError("the server is gone")),
    )
    with pytest.raises(optuna.exceptions.StorageInternalError, match="gone"):
        study.trials()
