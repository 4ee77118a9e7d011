"""Tables and progress on a terminal."""

import dataclasses
import io

import pytest
from rich.console import Console

from keras_blocks.costs.cost import Cost
from keras_blocks.tuning.objectives import OBJECTIVES, Objective, short
from keras_blocks.tuning.report import terminal as report
from keras_blocks.tuning.search.progress import NoProgress, Progress
from keras_blocks.tuning.storage.trial import Trial


def trial(number, accuracy=None, status=None, **changes):
    """A completed trial, or a failed one where there is no accuracy."""
    bypass = None if number % 2 else "simple"
    groups = [{"filters": [8] * (number + 1)}, {"filters": [16]}]
    made = Trial(
        number,
        status or ("failed" if accuracy is None else "completed"),
        {},
        "SqueezeNet",
        {"groups": groups, "bypass": bypass, "dropout": 0.1 * (number + 1), "classes": 10},
        params=1000,
        macs=5000,
        epochs=2,
        seconds=10.0,
        val_accuracy=accuracy,
        val_loss=accuracy and 1 - accuracy,
        error=None if accuracy is not None or status else "OutOfMemory: too large",
    )
    return dataclasses.replace(made, **changes)


def shown(renderable, width=120):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (950, "950"), (12_345, "12.3k"), (1_240_000, "1.24M"), (2e9, "2G")]
)
def test_counts_are_short(number, text):
    assert short(number) == text


def test_the_table_of_trials():
    trials = [trial(0, 0.5), trial(1, 0.9, params=1_234_567), trial(2)]
    text = shown(report.trials_table(trials, trials[1]))
    rows = {line[:9].strip(): line for line in text.splitlines()}
    assert "90.00 %" in rows["* 1"]
    assert "1,234,567" in rows["* 1"]
    assert "groups 8 | 16, bypass simple, dropout 0.1" in rows["0"]
    assert "groups 8 8 | 16, bypass none, dropout 0.2" in rows["* 1"]
    assert "classes" not in text  # which are the same in all
    assert "OutOfMemory: too large" in rows["2"]
    assert "architecture" not in text  # there is one only


def test_the_table_of_trials_of_all_kinds():
    trials = [
        trial(0, 0.5),
        trial(1, status="pruned", architecture="ResNet", metaparameters={"depth": 20}),
        trial(2, status="running", params=None, macs=None, seconds=0.0),
        trial(3, status="waiting", metaparameters={}, architecture=None),
        trial(4, status="refused", error="too large"),
        trial(5, error="a [bold]tag[/bold]\x1b[2J in [/red] brackets"),
    ]
    text = shown(report.trials_table(trials, None), width=140)
    rows = {line[:9].strip(): line for line in text.splitlines()}
    assert "pruned" in rows["1"] and "ResNet" in rows["1"] and "depth 20" in rows["1"]
    assert "running" in rows["2"]
    assert "waiting" in rows["3"]
    assert "4" not in rows  # it was never to be trained
    assert "a [bold]tag[/bold] [2J in [/red] brackets" in rows["5"]
    assert "trained anew" not in text


@pytest.mark.parametrize("objectives", [["val_accuracy"], ["val_accuracy", "latency"]])
def test_the_table_of_many_trials_has_a_line_for_each_of_the_best(objectives):
    """At 80 columns, too, and whatever they are."""
    about = {"latency": 0.003}
    trials = [
        trial(n, n / 100, objectives=(n / 100, 0.003), metaparameters={"groups": [{"filters": [n] * 40}]}, **about)
        for n in range(3, 30)
    ]
    trials += [trial(30, error="much\nwent wrong " * 9), trial(31, status="refused"), trial(32, status="refused")]
    text = shown(report.trials_table(trials, trials[26], [OBJECTIVES[name] for name in objectives]), width=80)
    lines = text.splitlines()
    numbers = [line.split()[0] for line in lines if line.split() and line.split()[0].isdecimal()]
    assert numbers == [str(n) for n in range(28, 19, -1)]
    assert [line.split()[:2] for line in lines if line.strip().startswith("* 2")] == [["*", "29"]]
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) <= 10 + 9
    assert "The best 10 trials" in text
    assert "of all: 27 completed, 1 failed, 2 refused" in " ".join(text.split())
    assert "29.00 %" in text and "…" in text


def test_the_first_plot_begins_at_the_first_trial():
    from keras_blocks.tuning.report import figures

    trials = [*(trial(n, status="refused") for n in range(7)), trial(7, 0.5), trial(8, 0.6), trial(9, status="refused")]
    low, high = figures.history(trials, [OBJECTIVES["val_accuracy"]], "val_accuracy").layout.xaxis.range
    assert 6 < low < 7 and 8 < high < 9
    assert figures.history(trials[:2], [OBJECTIVES["val_accuracy"]], "val_accuracy").layout.xaxis.range == (-0.5, 0.5)


def test_the_table_shows_what_the_trials_are_judged_by():
    losses = [trial(0, 0.9, objectives=(0.4, 0.0031), latency=0.0031), trial(1, 0.8, objectives=(0.3, 0.002))]
    text = shown(report.trials_table(losses, losses[1], [OBJECTIVES["val_loss"], OBJECTIVES["latency"]]))
    rows = {line[:9].strip(): line for line in text.splitlines()}
    assert rows["0"].split()[:6] == ["0", "0.4", "3.1", "ms", "90.00", "%"]
    assert rows["* 1"].split()[:7] == ["*", "1", "0.3", "2", "ms", "80.00", "%"]
    by_size = shown(report.trials_table([trial(0, 0.9, objectives=(1000,))], None, [OBJECTIVES["params"]]))
    assert by_size.count("parameters") == 1 + by_size.count("metaparameters")  # it has that column anyway


def test_the_table_of_costs():
    text = shown(report.costs_table([("one", Cost(1234, 56789, 4))]))
    assert [cell.strip() for cell in text.splitlines()[3].split("│")[1:-1]] == ["one", "1,234", "56,789", "4"]


def lines_of(console):
    return console.file.getvalue().splitlines()


def test_progress_tells_each_ended_trial_once():
    console = Console(file=io.StringIO(), width=200)
    with report.Progress(console) as progress:
        progress.update([], max_trials=4, now=0.0)
        trials = [trial(0, status="running"), trial(1, status="running")]
        progress.update(trials, max_trials=4, now=1.0)
        assert lines_of(console) == []
        trials[0] = trial(0, 0.5)
        progress.update(trials, max_trials=4, now=10.0)
        progress.update(trials, max_trials=4, now=11.0)
        trials[1:] = [trial(1), trial(2, status="pruned", epochs=3), trial(3, 0.4)]
        progress.update(trials, max_trials=4, now=30.0)
    first, second, third, fourth = lines_of(console)
    assert first.startswith("[1/4] trial 0    50.00 % validation accuracy")
    assert "1,000 parameters    10.0 s   best 50.00 % (trial 0)" in first
    assert "failed: OutOfMemory: too large" in second
    assert "pruned at epoch 3" in third
    assert "[4/4] trial 3    40.00 %" in fourth
    assert "best 50.00 % (trial 0)" in fourth
    assert "left" not in fourth
    assert "\x1b" not in console.file.getvalue()


@pytest.mark.parametrize(
    ("objectives", "values", "line", "best"),
    [
        (
            [OBJECTIVES["val_loss"]],
            [(0.4,), (0.3,), (0.5,)],
            "0.3 validation loss",
            "best 0.3 validation loss (trial 1)",
        ),
        ([OBJECTIVES["latency"]], [(0.004,), (0.002,), (0.003,)], "2 ms latency", "best 2 ms (trial 1)"),
        ([OBJECTIVES["params"]], [(1e4,), (2e3,), (3e3,)], "2k parameters", "best 2k parameters (trial 1)"),
        ([Objective("f1", "maximize")], [(0.1,), (0.7,), (0.3,)], "0.7 f1", "best 0.7 f1 (trial 1)"),
        ([OBJECTIVES["val_accuracy"], OBJECTIVES["macs"]], [(0.9, 50), (0.9, 40), (0.2, 9)], "90.00 %", "(trial 1)"),
    ],
    ids=lambda value: value[0].name if isinstance(value, list) and isinstance(value[0], Objective) else "",
)
def test_the_best_is_told_by_the_searchs_objective(objectives, values, line, best):
    trials = [trial(i, objectives=value, status="completed", val_loss=None) for i, value in enumerate(values)]
    console = Console(file=io.StringIO(), width=200)
    with report.Progress(console) as progress:
        progress.update(trials, objectives=objectives, max_trials=3, now=1.0)
    second, third = lines_of(console)[1:]
    assert line in second and best in second
    assert best in third


def test_trials_without_an_accuracy_are_told():
    console = Console(file=io.StringIO(), width=200)
    with report.Progress(console) as progress:
        progress.update([trial(0, status="completed", val_loss=None)], max_trials=3, now=1.0)
    assert "trial 0   completed" in lines_of(console)[0]
    assert "best" not in lines_of(console)[0]


@pytest.mark.parametrize(
    ("running", "budget", "expected"),
    [
        (1, None, "about 0:35 left"),  # three at 10 seconds, and half of the one that runs
        (2, None, "about 0:15 left"),  # two more and two halves, two at a time
        (1, 27.0, "about 0:20 left"),
        (0, 3610.0, "about 0:40 left"),
    ],
)
def test_the_time_left(running, budget, expected):
    console = Console(file=io.StringIO(), width=200)
    with report.Progress(console) as progress:
        trials = [trial(0, 0.5), *(trial(1 + i, status="running") for i in range(running))]
        progress.update(trials, max_trials=5, max_seconds=budget, now=7.0)
    assert lines_of(console)[-1].endswith(expected)


def test_the_time_left_of_a_search_by_time_alone():
    console = Console(file=io.StringIO(), width=200)
    with report.Progress(console) as progress:
        progress.update([trial(0, 0.5)], max_seconds=4000, now=275.0)
    assert lines_of(console)[0].startswith("[1] trial 0")
    assert lines_of(console)[0].endswith("about 1:02:05 left")


def test_progress_goes_on_in_a_line():
    console = Console(file=io.StringIO(), width=200)
    with report.Progress(console) as progress:
        earlier = [trial(i, 0.5 + 0.1 * i, ended=1000.0 + i) for i in range(3)] + [trial(3, ended=1003.0)]
        progress.update(earlier, max_trials=9, now=0.0)
        progress.update([*earlier, trial(4, 0.2, ended=4e9)], max_trials=9, now=1.0)
    first, second = lines_of(console)
    assert first == "going on; trials so far: 3 completed, 1 failed   best 70.00 % (trial 2)"
    assert second.startswith("[5/9] trial 4")


def test_what_was_not_trained_is_told_in_few_lines():
    console = Console(file=io.StringIO(), width=200)
    with report.Progress(console) as progress:
        for number in range(100):
            trials = [trial(i, status="duplicate" if i % 3 else "refused", error="too large") for i in range(number)]
            progress.update(trials, max_trials=9, now=float(number))
    lines = lines_of(console)
    assert lines[-1] == "candidates not trained so far: 22 above the budget, 42 that repeat others"
    assert len(lines) == 7


def test_notes_and_the_training():
    console = Console(file=io.StringIO(), width=200)
    with report.Progress(console) as progress:
        progress.update([trial(0, 0.5)], max_trials=1, now=1.0)
        progress.note("a.keras was [damaged]\x07 and set aside")
        progress.training(3)
        progress.epoch(1, {"val_accuracy": 0.5})
    assert lines_of(console)[1:] == [
        "note: a.keras was [damaged]  and set aside",
        "training the best anew, for 3 epochs",
    ]


def test_a_training_alone():
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with report.Progress(console) as progress:
        progress.training(3)
        progress.epoch(1, {"val_accuracy": 0.625})
    text = console.file.getvalue()
    assert "62.50 % validation accuracy" in text
    assert "1/3" in text


def test_progress_on_a_terminal_shows_a_live_line():
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    with report.Progress(console) as progress:
        trials = [trial(0, 0.5), trial(1), trial(2, status="pruned"), trial(3, status="running")]
        progress.update(trials, max_trials=8, now=5.0)
    text = console.file.getvalue()
    assert "1 running, 1 failed, 1 pruned   best 50.00 % (trial 0)" in text
    assert "3/8" in text


def test_quiet_has_the_same_methods():
    public = {name for name in vars(report.Progress) if not name.startswith("_")}
    assert public == {name for name in vars(Progress) if not name.startswith("_")}
    quiet = NoProgress()
    quiet.update([], max_trials=1, max_seconds=None, now=0.0)
    quiet.note("")
    quiet.training(1)
    quiet.epoch(1, {})
