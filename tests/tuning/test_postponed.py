"""A trial whose process was ended from outside is tried once more, at the end of the search."""

import functools

import pytest

from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.search.session import Session
from keras_blocks.tuning.spaces.budget import inspected
from keras_blocks.tuning.storage.store import StudyStorage, quiet_optuna, sqlite_url
from keras_blocks.tuning.study.drawing import StudyEnded
from keras_blocks.tuning.study.pruners import make_pruner
from keras_blocks.tuning.study.samplers import make_sampler
from keras_blocks.tuning.study.study import Study
from keras_blocks.tuning.user_spaces.keras_tuner_space import KerasTunerSpace

pytestmark = pytest.mark.once


@pytest.fixture
def study(tmp_path):
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.Int("depth", 1, 99)
    space = KerasTunerSpace(hp.space)
    with quiet_optuna():
        made = Study(
            StudyStorage(sqlite_url(tmp_path / "study.db"), grace=60),
            "one",
            space=space,
            sampler=make_sampler("random", 0, space),
            pruner=make_pruner("none", 1),
            directions=["maximize"],
            identity={},
            max_trials=3,
            most_failures=2,
            patience=1,
        )
        yield made
    made.close()


def completed(study, lease):
    assert study.complete(lease, [0.5], {})


def test_it_waits_for_the_end_and_may_then_fail(study):
    first = study.next("a")
    assert study.postpone(first, "ended by SIGKILL")
    assert not study.is_mine(first)
    assert not study.complete(first, [0.9], {})  # by a worker that comes too late
    (waiting,) = study.trials()
    assert (waiting.status, waiting.error, waiting.postponed > 0) == ("waiting", "ended by SIGKILL", True)
    second, third = study.next("a"), study.next("b")
    assert [second.number, third.number] == [1, 2]
    completed(study, second)
    assert study.next("a") is None  # alone on the machine, or as good as
    completed(study, third)
    again = study.next("a")
    assert (again.number, again.attempt, again.values) == (0, 2, first.values)
    assert study.next("b") is None
    assert not study.postpone(again, "ended by SIGKILL")
    assert study.fail(again, "ended by SIGKILL")
    with pytest.raises(StudyEnded, match="all 3 trials are done"):
        study.next("a")
    assert [trial.status for trial in study.trials()] == ["failed", "completed", "completed"]


def test_it_may_come_to_something_after_all(study):
    lease = study.next("a")
    assert study.postpone(lease, "ended by SIGTERM")
    completed(study, study.next("a"))
    completed(study, study.next("a"))
    again = study.next("a")
    study.release(again)  # the search is stopped meanwhile
    again = study.next("a")
    completed(study, again)
    done = study.trials()[0]
    assert (done.status, done.error, done.postponed) == ("completed", None, None)


def test_it_counts_as_failed_where_all_do(study):
    for _ in range(2):
        study.postpone(study.next("a"), "ended by SIGKILL")
    with pytest.raises(StudyEnded, match="the last 2 trials failed, the last one: ended by SIGKILL"):
        study.next("a")


@pytest.mark.parametrize(("act", "attempts"), [("die", 2), ("segfault", 1), ("exit", 1), ("fail", 1)])
def test_who_ends_a_process_decides(act, attempts, untrained, few_digits, tmp_path):
    seen = []

    def acting(candidate, *args):
        found = inspected(candidate, *args)
        seen.append(found["signature"])
        does = act if found["signature"] == seen[0] else "train"
        return {**found, "metaparameters": {**found["metaparameters"], "act": does}}

    settings = SearchSettings(data=str(few_digits), trials=3, sampler="random")
    session = functools.partial(Session, inspect=acting, look_seconds=0.05)
    search = Search(settings, tmp_path / "one", session=session)
    search.run()
    trials = search.trials
    search.close()
    first, *others = [trial for trial in trials if trial.counted]
    assert (first.status, first.attempt) == ("failed", attempts)
    assert {trial.status for trial in others} == {"completed"}
    assert first.ended > max(trial.ended for trial in others) or attempts == 1
