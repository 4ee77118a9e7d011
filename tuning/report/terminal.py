"""What the command line shows: progress with the time left, and tables of results."""

import collections
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from keras_blocks.costs.cost import Cost
from keras_blocks.tuning.objectives import OBJECTIVES, Objective, measure, measured, ranking
from keras_blocks.tuning.report.descriptions import described, described_changes, differing
from keras_blocks.tuning.report.family import descent
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.trial import Trial

BY_ACCURACY = (OBJECTIVES["val_accuracy"],)
"""The objectives of whoever names none."""

RECENT = 16
"""The time left is estimated from the durations of so many trials that ended last: the sampler's choices change."""

ROWS = 10
"""Trials in the table that closes a search; all are in trials.csv and the report."""

STEADY = 30
"""The number of workers is told from so many calls of `update`: between two trials, a worker has none."""


class Progress:
    """Shows a search or a training as it goes: a live line on a terminal, and a line for each trial that ended.

    Whoever searches calls `update` about once a second with all trials of the study, so that it shows what other
    processes' workers do, too.

    Args:
        console: a rich console. Where it is no terminal, only whole lines are printed, without control characters.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._began = time.time()
        self._clock: float | None = None
        self._shown: set[int] | None = None
        self._skipped = 0
        self._running: collections.deque[int] = collections.deque(maxlen=STEADY)
        self._epochs = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def update(
        self,
        trials: Sequence[Trial],
        *,
        objectives: Sequence[Objective] = (),
        max_trials: int | None = None,
        max_seconds: float | None = None,
        now: float | None = None,
    ) -> None:
        """Prints a line for each trial that ended since the last call, and renews the live line.

        Args:
            trials: all `Trial`s of the study.
            objectives: what the best is found by; by default the validation accuracy.
            max_trials: after which the search ends, or `None`.
            max_seconds: after which it ends, counted from the beginning, or `None`.
            now: seconds that the search took so far; by default since the first call.
        """
        objectives = objectives or BY_ACCURACY
        if now is None:
            self._clock = time.monotonic() if self._clock is None else self._clock
            now = time.monotonic() - self._clock
        counts = collections.Counter(trial.status for trial in trials)
        self._running.append(counts[Status.RUNNING])
        most = None if max_seconds is None else max_seconds - now
        left = _left(trials, counts, max_trials, most, workers=max(1, *self._running))
        ended = [trial for trial in trials if trial.status.ended]
        ended.sort(key=lambda trial: (trial.ended is None, trial.ended, trial.number))
        if self._shown is None:
            earlier = [trial for trial in ended if trial.ended is not None and trial.ended < self._began]
            self._shown = {trial.number for trial in earlier}
            self._go_on(earlier, objectives)
        for place, trial in enumerate(ended, start=1):
            if trial.number not in self._shown:
                self._shown.add(trial.number)
                best = _best(ended[:place], objectives)
                self._print(_line(trial, place, max_trials, objectives, _joined(best, left)))
        self._tell_skipped(counts)
        states = _counted(counts, (Status.RUNNING, Status.WAITING, Status.FAILED, Status.PRUNED))
        self._renew("trials", max_trials, len(ended), _joined(states, _best(ended, objectives), left))

    def note(self, text: str) -> None:
        """Prints a message, such as that a damaged file was set aside."""
        self._print(f"note: {text}")

    def training(self, epochs: int) -> None:
        """The search is done; the training of one model, of so many epochs, begins."""
        self._epochs, self._clock = epochs, time.monotonic()
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
            self._print(f"training the best anew, for {epochs} epochs")
        self._renew("training", epochs, 0, "")

    def epoch(self, done: int, logs: Mapping[str, float] | None = None) -> None:
        """So many epochs of that training are done.

        Args:
            done: from 1.
            logs: of Keras; the validation's accuracy is shown, of a detector its mAP.
        """
        began = time.monotonic() if self._clock is None else self._clock
        seconds = (time.monotonic() - began) / max(done, 1) * (self._epochs - done)
        accuracy = (logs or {}).get("val_accuracy")
        shown = _worded(OBJECTIVES["val_accuracy"], accuracy) if accuracy is not None else ""
        if (precision := (logs or {}).get("val_mAP")) is not None:
            shown = f"{precision:.3f} mAP"
        self._renew("training", self._epochs, done, _joined(shown, _about(seconds)))

    def _go_on(self, earlier: Sequence[Trial], objectives: Sequence[Objective]) -> None:
        """Trials that ended before this process began are told in one line."""
        if earlier:
            counts = collections.Counter(trial.status for trial in earlier)
            self._print(_joined(f"going on; trials so far: {_counted(counts, Status)}", _best(earlier, objectives)))

    def _tell_skipped(self, counts: Mapping[Status, int]) -> None:
        """What was never trained is counted, now and then: a tight budget refuses hundreds."""
        skipped = counts[Status.REFUSED] + counts[Status.DUPLICATE]
        if skipped >= max(1, 2 * self._skipped):
            self._skipped = skipped
            words = {Status.REFUSED: "above the budget", Status.DUPLICATE: "that repeat others"}
            parts = [f"{counts[status]} {what}" for status, what in words.items() if counts[status]]
            self._print(f"candidates not trained so far: {', '.join(parts)}")

    def _renew(self, description: str, total: int | None, completed: int, state: str) -> None:
        if self._task is None:
            self._task = self._bar.add_task(description, total=total, state=state)
        self._bar.update(self._task, total=total, completed=completed, state=state)

    def _print(self, text: str) -> None:
        self._console.print(_printable(text), highlight=False, soft_wrap=True, markup=False)


def _line(trial: Trial, place: int, max_trials: int | None, objectives: Sequence[Objective], state: str) -> str:
    done = f"[{place:>{len(str(max_trials))}}/{max_trials}]" if max_trials else f"[{place}]"
    value = measured(trial, objectives[0].name, objectives)
    outcome = "completed" if value is None else _worded(objectives[0], value, width=8)
    if trial.status is not Status.COMPLETED:
        outcome = f"failed: {trial.error}" if trial.status is Status.FAILED else f"pruned at epoch {trial.epochs}"
    size = f"{trial.params:>10,} parameters" if trial.params is not None else f"{'':>21}"
    return f"{done} trial {trial.number:<3} {outcome:<28}  {size}  {trial.seconds:6.1f} s   {state}".rstrip()


def _worded(objective: Objective, value: float, width: int = 0) -> str:
    return f"{objective.text(value):>{width}} {objective.label}"


def _counted(counts: Mapping[Status, int], statuses: Iterable[Status]) -> str:
    return ", ".join(f"{counts[status]} {status}" for status in statuses if counts[status])


def _best(trials: Sequence[Trial], objectives: Sequence[Objective]) -> str:
    first, ranked = objectives[0], ranking(trials, objectives)
    if not ranked:
        return ""
    value = measured(ranked[0], first.name, objectives)
    return f"best {first.text(value)}{'' if first.unit else f' {first.label}'} (trial {ranked[0].number})"


def _left(
    trials: Sequence[Trial], counts: Mapping[Status, int], max_trials: int | None, seconds: float | None, workers: int
) -> str:
    """The time left, from what the last trials took and how many run at a time, and at most the budget's."""
    left = [] if seconds is None else [max(0.0, seconds)]
    ended = [trial for trial in trials if trial.status.ended and trial.seconds > 0]
    if max_trials is not None and ended:
        recent = sorted(ended, key=lambda trial: trial.ended or 0.0)[-RECENT:]
        each = sum(trial.seconds for trial in recent) / len(recent)
        to_go = max(0, max_trials - sum(trial.counted for trial in trials))
        # Those that run are half done, on average.
        left.append(each * (to_go + counts[Status.WAITING] + counts[Status.RUNNING] / 2) / workers)
    return _about(min(left)) if left and min(left) > 0 else ""


def _about(seconds: float) -> str:
    """Example: 3725 -> 'about 1:02:05 left'."""
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"about {hours}:{minutes:02d}:{seconds:02d} left" if hours else f"about {minutes}:{seconds:02d} left"


def _joined(*parts: str) -> str:
    return "   ".join(part for part in parts if part)


def _printable(text: str) -> str:
    """In one line, without the control characters that an error's text may have."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def trials_table(trials: Sequence[Trial], best: Trial | None, objectives: Sequence[Objective] = BY_ACCURACY) -> Table:
    """A line for each of the best trials, with the metaparameters in which they differ; and how many there are.

    Args:
        trials: list of `Trial`.
        best: the one that was trained on, or `None`.
        objectives: the study's, which are shown besides the validation accuracy, where there is one.
    """
    sizes = [measure(name) for name in ("params", "macs", "seconds")]
    own = [objective.name for objective in objectives]
    has_accuracy = any(measured(trial, "val_accuracy", objectives) is not None for trial in trials)
    names = dict.fromkeys([*own, *(["val_accuracy"] if has_accuracy else [])])
    judged = [measure(name, objectives) for name in names if measure(name) not in sizes]
    ranked = ranking(trials, objectives)
    placed = {trial.number for trial in ranked}
    rows = [*ranked, *(trial for trial in trials if trial.counted and trial.number not in placed)][:ROWS]
    several = len({trial.architecture for trial in rows}) > 1
    differ = differing([how_of(trial) for trial in rows if how_of(trial)])
    counts = _counted(collections.Counter(trial.status for trial in trials), Status)
    table = Table(
        title="Trials" if len(rows) == sum(trial.counted for trial in trials) else f"The best {len(rows)} trials",
        title_style="bold",
        caption=_joined(f"of all: {counts}", "" if best is None else "* the candidate that was trained anew"),
        box=box.SIMPLE_HEAD,
    )
    for label in ("trial", *(one.label for one in (*judged, *sizes))):
        table.add_column(label.replace(" ", "\n").replace("-", "-\n"), justify="right", no_wrap=True)
    if several:
        table.add_column("architecture", no_wrap=True)
    table.add_column("metaparameters" if any(trial.metaparameters for trial in rows) else "hyperparameters")
    for trial in rows:
        chosen = best is not None and trial.number == best.number
        values = [(one, measured(trial, one.name, objectives)) for one in judged]
        results = ["" if value is None else one.text(value) for one, value in values]
        how = described(how_of(trial), differ) if trial.error is None else trial.error
        table.add_row(
            f"{'* ' if chosen else ''}{trial.number}",
            *(results if any(results) else [trial.status, *results[1:]]),
            *("" if count is None else f"{count:,}" for count in (trial.params, trial.macs)),
            f"{trial.seconds:.1f}" if trial.seconds else "",
            *([_escaped(trial.architecture_label)] if several else []),
            Text(_printable(how), no_wrap=True, overflow="ellipsis"),  # alone gives way on a narrow terminal
            style="bold" if chosen else None,
        )
    return table


def family_table(trials: Sequence[Trial], best: Trial | None, objectives: Sequence[Objective]) -> Table | None:
    """A line for the best trial and for each of its ancestors, the best below; `None` where it has none.

    Args:
        trials: all of the search, the best among them.
        best: the one that was trained on, or `None`.
        objectives: the study's.
    """
    if not (line := descent(best, trials)):
        return None
    children = collections.Counter(trial.parent for trial in trials if trial.counted)
    before = f", after {len(line) - ROWS} ancestors" if len(line) > ROWS else ""
    table = Table(
        title=f"How trial {line[-1].number} came about{before}",
        title_style="bold",
        caption="each is a child of the one above; report.html has the whole family tree",
        box=box.SIMPLE_HEAD,
    )
    for label in ("trial", objectives[0].label, "children"):
        table.add_column(label.replace(" ", "\n").replace("-", "-\n"), justify="right", no_wrap=True)
    for label in ("what changed", "begins"):
        table.add_column(label)
    for trial in line[-ROWS:]:
        value = measured(trial, objectives[0].name, objectives)
        table.add_row(
            str(trial.number),
            objectives[0].text(value),
            str(children[trial.number]),
            Text(_printable(described_changes(trial.changed))),
            Text(_printable(trial.start or ""), no_wrap=True, overflow="ellipsis"),
        )
    return table


def words_of_result(result: Mapping[str, Any], objectives: Sequence[Objective]) -> list[str]:
    """What came of the training of a user's own model, in lines."""
    metrics, tested = result["metrics"], result.get("test_metrics")
    known = [(one, metrics.get(one.name, result.get(one.name))) for one in objectives]
    told = ", ".join(f"{_worded(one, value)}" for one, value in known if value is not None)
    lines = [f"trial {result['trial']}: {described(result['hyperparameters'])}"] if "trial" in result else []
    lines += [f"epoch {result['kept_epoch']} of {result['epochs']}, {result['params']:,} parameters: {told or 'done'}"]
    if tested:
        lines.append(f"test: {', '.join(f'{name} {value:.4g}' for name, value in tested.items())}")
    return lines


def how_of(trial: Trial) -> Mapping[str, Any]:
    """What tells a trial from others: its metaparameters, or all its values where the model is a user's own."""
    return trial.metaparameters or trial.hyperparameters


def costs_table(rows: Iterable[tuple[str, Cost]]) -> Table:
    """A row for each (name, Cost)."""
    table = Table()
    table.add_column("model", no_wrap=True)
    for name in ("parameters", "multiply-adds", "activation bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, spent in rows:
        table.add_row(name, f"{spent.params:,}", f"{spent.macs:,}", f"{spent.activation_bytes:,}")
    return table


def figures_table(figures: Mapping[str, Any]) -> Table:
    """COCO's figures of a detector, and below them the average precision of each class by its name."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("figure", "AP", "AP@0.5"):
        table.add_column(name, justify="left" if name == "figure" else "right", no_wrap=True)
    for name, figure in figures.items():
        if not isinstance(figure, Mapping):
            table.add_row(name, _figure(figure), "")
    table.add_section()
    for name, figure in figures["AP"].items():
        table.add_row(_escaped(name), _figure(figure), _figure(figures["AP@0.5"][name]))
    return table


def detections_table(rows: Iterable[tuple[str, str, float, Sequence[float]]]) -> Table:
    """A row for each (image, name, score, box)."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("image", overflow="fold")
    table.add_column("name", overflow="fold")
    for name in ("score", "box (x1, y1, x2, y2)"):
        table.add_column(name, justify="right", no_wrap=True)
    for image, name, score, sides in rows:
        table.add_row(_escaped(image), _escaped(name), f"{score:.2f}", " ".join(f"{side:.0f}" for side in sides))
    return table


def _figure(value: float | None) -> str:
    """ "-" where there was nothing to find."""
    return "-" if value is None or value != value else f"{value:.3f}"


def _escaped(text: str) -> str:
    """As it is: brackets in an error are no markup."""
    return escape(_printable(text))
