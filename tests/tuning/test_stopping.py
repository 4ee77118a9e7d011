"""A search that stops by itself: when, what it says, and that it goes on where more was found."""

import functools

import pytest

from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.report.run_report import write_run_report
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.progress import NoProgress
from keras_blocks.tuning.search.session import Session
from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study import study as studies
from keras_blocks.tuning.study.stopping import reason_to_stop


class Notes(NoProgress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def trials(*values, **status):
    """Completed ones with these values; `None` is one that a pruner has ended."""
    ended = (("pruned", ()) if value is None else ("completed", (value,)) for value in values)
    return [
        Trial(number, status, {}, objectives=objectives, ended=float(number))
        for number, (status, objectives) in enumerate(ended)
    ]


@pytest.mark.parametrize(
    ("told", "direction", "reason"),
    [
        (trials(*[0.5] * 10), "maximize", None),
        (trials(0.9, *[0.5] * 29), "maximize", None),
        (trials(0.9, *[0.5] * 30), "maximize", "none of the last 30 trials was better than trial 0"),
        (trials(0.9, *[0.5] * 30), "minimize", None),
        (trials(0.9, 0.1, *[0.5] * 35), "minimize", "none of the last 35 trials was better than trial 1"),
        (trials(*[0.5] * 30, 0.9), "maximize", None),
        (trials(0.9, *[None] * 30), "maximize", "none of the last 30 trials was better than trial 0"),
        (trials(0.9, *[None] * 30), "minimize", "none of the last 30 trials was better than trial 0"),
        (trials(*[None] * 40), "maximize", None),
        ([Trial(number, "failed", {}) for number in range(60)], "maximize", None),
        ([*trials(0.9, *[0.5] * 29), Trial(99, "duplicate", {}), Trial(98, "refused", {})], "maximize", None),
    ],
)
def test_it_stops_when_nothing_gets_better(told, direction, reason):
    found = reason_to_stop(told, direction)
    assert found == (reason and f"it stopped by itself: {reason}")


def test_a_search_says_that_it_stopped_and_why(untrained, tmp_path, monkeypatch):
    asked = []

    def after_two(trials, direction):
        asked.append(direction)
        return "it stopped by itself: two are enough" if sum(trial.completed for trial in trials) >= 2 else None

    monkeypatch.setattr(studies, "reason_to_stop", after_two)
    for stop, ended in (("auto", "it stopped by itself: two are enough"), (None, "all 3 trials are done")):
        settings = SearchSettings(data="digits", trials=3, epochs=1, final_epochs=1, stop=stop)
        search = Search(settings, tmp_path / "run", session=functools.partial(Session, look_seconds=0.05))
        progress = Notes()
        assert search.run(progress)["ended"] == ended  # the second time it goes on: it may, whatever was said before
        assert progress.notes == [ended] * (stop == "auto")
        search.close()
        page = write_run_report(RunFolder(tmp_path / "run"))
        assert ended in page.read_text()
    assert {*asked} == {"maximize"}


def test_several_objectives_have_no_best():
    with pytest.raises(ValueError, match="`stop` must be left out with 2 objectives"):
        SearchSettings(objectives=("val_accuracy", "macs"), stop="auto")
