"""Pictures, tables and progress."""

import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from keras_blocks.costs import Cost
from keras_blocks.tuning import plots, report
from keras_blocks.tuning.trials import Trial, TrialRecord


def trial(number, accuracy, params=1000, epochs=2):
    bypass = None if number % 2 else "simple"
    groups = [{"filters": [8] * (number + 1)}, {"filters": [16]}]
    meta = {"groups": groups, "bypass": bypass, "dropout": 0.1 * (number + 1), "classes": 10}
    status = "failed" if accuracy is None else "completed"
    error = "OutOfMemory: too large" if accuracy is None else None
    return Trial(number, status, {}, meta, {}, params, 5 * params, epochs, 3.21, accuracy, accuracy and 0.5, error)


def shown(renderable, width=120):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


@pytest.mark.parametrize(
    "trials",
    [
        [trial(0, 0.9)],
        [trial(i, 0.5 + 0.01 * i, params=10 ** (2 + i // 4)) for i in range(30)],
        [trial(0, None), trial(1, 1.0), trial(2, None)],
    ],
)
def test_trials_are_drawn(trials, tmp_path):
    best = next(item for item in trials if item.completed)
    plots.plot_trials(trials, best, tmp_path / "trials.png", title="Trials")
    with Image.open(tmp_path / "trials.png") as picture:
        assert picture.width == 1320
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize("epochs", [1, 2, 100])
def test_curves_are_drawn(epochs, tmp_path):
    falling = list(np.linspace(2, 0.001, epochs))
    history = {"loss": falling, "val_loss": falling, "accuracy": falling[::-1], "val_accuracy": falling[::-1]}
    plots.plot_curves(history, epochs - 1, tmp_path / "curves.png", title="Training")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.height == 576


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (950, "950"), (12_345, "12.3k"), (1_240_000, "1.24M"), (2e9, "2G")]
)
def test_counts_are_short(number, text):
    assert plots.short(number) == text


def test_the_table_of_trials():
    trials = [trial(0, 0.5), trial(1, 0.9, params=1_234_567), trial(2, None)]
    text = shown(report.trials_table(trials, trials[1]))
    rows = {line[:9].strip(): line for line in text.splitlines()}
    assert "90.00 %" in rows["* 2"]
    assert "1,234,567" in rows["* 2"]
    assert "groups 8 | 16, bypass simple, dropout 0.1" in rows["1"]
    assert "groups 8 8 | 16, bypass none, dropout 0.2" in rows["* 2"]
    assert "classes" not in text  # which are the same in all
    assert "OutOfMemory: too large" in rows["3"]


def test_the_table_of_costs():
    text = shown(report.costs_table([("one", Cost(1234, 56789, 4))]))
    assert [cell.strip() for cell in text.splitlines()[3].split("│")[1:-1]] == ["one", "1,234", "56,789", "4"]


def test_progress_tells_the_best_and_the_time_left(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(report.time, "perf_counter", lambda: clock[0])
    console = Console(file=io.StringIO(), width=200)
    record = TrialRecord(tmp_path / "trials.json", tmp_path / "trials.csv")
    with report.Progress(console) as progress:
        progress.begin(trials=3, search_epochs=6, final_epochs=4)
        for number, accuracy in enumerate([0.5, None, 0.4]):
            progress.started(number, 2)
            for _ in range(2 if accuracy else 1):
                clock[0] += 10
                progress.epoch()
            record.add(trial(number, accuracy))
            progress.ended(record.trials[-1], record)
        progress.training()
        clock[0] += 10
        progress.epoch()
    lines = console.file.getvalue().splitlines()
    assert "trial  1/3   50.00 % validation accuracy" in lines[0]
    assert "best 50.00 % (trial 1)   about 1:20 left" in lines[0]  # 8 epochs at 10 seconds each
    assert "failed: OutOfMemory: too large" in lines[1]
    assert "about 1:00 left" in lines[1]  # the failed trial's second epoch is not waited for
    assert "40.00 %" in lines[2]
    assert "best 50.00 % (trial 1)   about 0:40 left" in lines[2]


def test_progress_on_a_terminal_shows_a_live_line():
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with report.Progress(console) as progress:
        progress.begin(trials=0, search_epochs=0, final_epochs=3)
        progress.epoch()
    assert "training" in console.file.getvalue()
