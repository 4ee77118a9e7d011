"""What the command line shows: progress with the time left, and tables of results."""

import collections
import time

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from keras_blocks.tuning.report.descriptions import described, differing
from keras_blocks.tuning.study.objectives import OBJECTIVES, Objective, measured, ranking
from keras_blocks.tuning.study.status import Status
from keras_blocks.tuning.study.trial import Trial

RECENT = 16
"""Ended trials from whose durations the time left is estimated: the sampler's choices change."""


STEADY = 30
"""Calls of `update` over which the number of workers is told: between two trials, a worker has none."""


class Progress:
    """Shows a search or a training as it goes: a live line on a terminal, and a line for each trial that ended.

    Whoever searches calls `update` about once a second with all trials of the study, so that it shows what other
    processes' workers do, too.

    Args:
        console: a rich console. Where it is no terminal, only whole lines are printed, without control characters.
    """

    def __init__(self, console: Console):
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
        self._task = None
        self._began = time.time()
        self._shown = None
        self._skipped = 0
        self._running = collections.deque(maxlen=STEADY)
        self._clock = None
        self._epochs = 0

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *error):
        self._bar.stop()

    def update(self, trials, *, objectives=(), max_trials=None, max_seconds=None, now=None):
        """Prints a line for each trial that ended since the last call, and renews the live line.

        Args:
            trials: all `Trial`s of the study.
            objectives: what the best is found by; by default the validation accuracy.
            max_trials: after which the search ends, or `None`.
            max_seconds: after which it ends, counted from the beginning, or `None`.
            now: seconds that the search took so far; by default since the first call.
        """
        objectives = objectives or (OBJECTIVES["val_accuracy"],)
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
            self._go_on(earlier, objectives)
        for place, trial in enumerate(ended, start=1):
            if trial.number not in self._shown:
                self._shown.add(trial.number)
                best = _best(ended[:place], objectives)
                self._print(_line(trial, place, max_trials, _joined(best, left)))
        self._tell_skipped(counts)
        self._renew(
            "trials",
            total=max_trials,
            completed=len(ended),
            state=_joined(_states(counts), _best(ended, objectives), left),
        )

    def note(self, text: str):
        """Prints a message, such as that a damaged file was set aside."""
        self._print(f"note: {text}")

    def training(self, epochs: int):
        """The search is done; the training of one model, of so many epochs, begins."""
        self._epochs, self._clock = epochs, time.monotonic()
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
            self._print(f"training the best on, for {epochs} epochs")
        self._renew("training", total=epochs, completed=0, state="")

    def epoch(self, done: int, logs=None):
        """So many epochs of that training are done.

        Args:
            done: from 1.
            logs: of Keras; the validation's accuracy is shown.
        """
        seconds = (time.monotonic() - self._clock) / max(done, 1) * (self._epochs - done)
        accuracy = (logs or {}).get("val_accuracy")
        shown = f"{100 * accuracy:.2f} % validation accuracy" if accuracy is not None else ""
        self._renew("training", total=self._epochs, completed=done, state=_joined(shown, _about(seconds)))

    def _go_on(self, earlier, objectives):
        """Trials that ended before this process began are told in one line."""
        self._shown = {trial.number for trial in earlier}
        if earlier:
            counts = collections.Counter(trial.status for trial in earlier)
            states = ", ".join(f"{counts[status]} {status}" for status in Status if status.ended and counts[status])
            self._print(_joined(f"going on; trials so far: {states}", _best(earlier, objectives)))

    def _tell_skipped(self, counts):
        """What was never trained is counted, now and then: a tight budget refuses hundreds."""
        skipped = counts[Status.REFUSED] + counts[Status.DUPLICATE]
        if skipped >= max(1, 2 * self._skipped):
            self._skipped = skipped
            parts = [f"{counts[Status.REFUSED]} above the budget" if counts[Status.REFUSED] else ""]
            parts.append(f"{counts[Status.DUPLICATE]} that repeat others" if counts[Status.DUPLICATE] else "")
            self._print(f"candidates not trained so far: {', '.join(part for part in parts if part)}")

    def _renew(self, description, *, total, completed, state):
        if self._task is None:
            self._task = self._bar.add_task(description, total=total, state=state)
        self._bar.update(self._task, total=total, completed=completed, state=state)

    def _print(self, text):
        self._console.print(_printable(text), highlight=False, soft_wrap=True, markup=False)


def _line(trial, place, max_trials, state) -> str:
    done = f"[{place:>{len(str(max_trials))}}/{max_trials}]" if max_trials else f"[{place}]"
    size = f"{trial.params:>10,} parameters" if trial.params is not None else f"{'':>21}"
    line = f"{done} trial {trial.number:<3} {_outcome(trial):<28}  {size}  {trial.seconds:6.1f} s   {state}"
    return line.rstrip()


def _outcome(trial) -> str:
    if trial.status is Status.FAILED:
        return f"failed: {trial.error}"
    if trial.status is Status.PRUNED:
        return f"pruned at epoch {trial.epochs}"
    return f"{100 * trial.val_accuracy:6.2f} % validation accuracy" if trial.val_accuracy is not None else "completed"


def _states(counts) -> str:
    names = (Status.RUNNING, Status.WAITING, Status.FAILED, Status.PRUNED)
    return ", ".join(f"{counts[name]} {name}" for name in names if counts[name])


def _best(trials: list[Trial], objectives: tuple[Objective, ...]) -> str:
    first = objectives[0]
    for best in ranking(trials, objectives)[:1]:
        label = "" if first.unit else f" {first.label}"
        return f"best {first.text(measured(best, first.name, objectives))}{label} (trial {best.number})"
    return ""


def _left(trials, counts, max_trials, seconds, *, workers) -> str:
    """The time left, from what the last trials took and how many run at a time, and at most the budget's."""
    found = [] if seconds is None else [max(0.0, seconds)]
    ended = [trial for trial in trials if trial.status.ended and trial.seconds > 0]
    if max_trials is not None and ended:
        recent = sorted(ended, key=lambda trial: trial.ended or 0.0)[-RECENT:]
        each = sum(trial.seconds for trial in recent) / len(recent)
        # Those that run are half done, on average.
        to_go = (
            max(0, max_trials - sum(trial.counted for trial in trials))
            + counts[Status.WAITING]
            + counts[Status.RUNNING] / 2
        )
        found.append(each * to_go / workers)
    return _about(min(found)) if found and min(found) > 0 else ""


def _about(seconds) -> str:
    """Example: 3725 -> 'about 1:02:05 left'."""
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"about {hours}:{minutes:02d}:{seconds:02d} left" if hours else f"about {minutes}:{seconds:02d} left"


def _joined(*parts) -> str:
    return "   ".join(part for part in parts if part)


def _printable(text) -> str:
    """In one line, without the control characters that an error's text may have."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def trials_table(trials, best) -> Table:
    """A row for each trial that counts, the best one marked, with the metaparameters in which the trials differ.

    Args:
        trials: list of `Trial`.
        best: the one that was trained on, or `None`.
    """
    table = Table(
        title="Trials",
        title_style="bold",
        caption=None if best is None else "* the candidate that was trained on",
        box=box.SIMPLE_HEAD,
    )
    for name in ("trial", "validation\naccuracy", "parameters", "multiply-\nadds", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    several = len({trial.architecture for trial in trials}) > 1
    if several:
        table.add_column("architecture", no_wrap=True)
    table.add_column("metaparameters", overflow="fold")
    names = differing([trial.metaparameters for trial in trials if trial.metaparameters])
    for trial in trials:
        if not trial.counted:
            continue
        chosen = best is not None and trial.number == best.number
        done = trial.completed and trial.val_accuracy is not None
        how = described({name: trial.metaparameters[name] for name in names if name in trial.metaparameters})
        table.add_row(
            f"{'* ' if chosen else ''}{trial.number}",
            f"{100 * trial.val_accuracy:.2f} %" if done else trial.status,
            _count(trial.params),
            _count(trial.macs),
            f"{trial.seconds:.1f}" if trial.seconds else "",
            *([_escaped(trial.architecture_label)] if several else []),
            _escaped(how if trial.error is None else trial.error),
            style="bold" if chosen else None,
        )
    return table


def costs_table(rows) -> Table:
    """A row for each (name, Cost)."""
    table = Table()
    table.add_column("model", no_wrap=True)
    for name in ("parameters", "multiply-adds", "activation bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, spent in rows:
        table.add_row(name, f"{spent.params:,}", f"{spent.macs:,}", f"{spent.activation_bytes:,}")
    return table


def _count(number) -> str:
    return "" if number is None else f"{number:,}"


def _escaped(text) -> str:
    """As it is: brackets in an error are no markup."""
    from rich.markup import escape

    return escape(_printable(text))
