"""What the command line shows: progress with the time left, and tables of results."""

import time

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from keras_blocks.tuning.descriptions import described, differing
from keras_blocks.tuning.trials import best_of


class Progress:
    """Shows a search or a training as it goes: a live line on a terminal, and a line for each trial that ended.

    Args:
        console: a rich console.
    """

    def __init__(self, console: Console):
        self._console = console
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = None
        self._trials = 0
        self._best = None
        self._final_epochs = 0
        self._epochs_left = 0
        self._left_after_trials = 0
        self._epochs_run = 0
        self._seconds = 0.0
        self._clock = time.perf_counter()

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *error):
        self._bar.stop()

    def begin(self, trials, search_epochs, final_epochs):
        """The whole: so many trials, so many epochs in them together, so many at the end."""
        self._trials = trials
        self._final_epochs = final_epochs
        self._epochs_left = self._left_after_trials = search_epochs + final_epochs
        description = "trials" if trials else "training"
        self._task = self._bar.add_task(description, total=trials or final_epochs, state="")

    def started(self, number, epochs):
        """A trial that is not in the record begins."""
        self._clock = time.perf_counter()
        self._show()

    def epoch(self):
        """An epoch ended."""
        now = time.perf_counter()
        self._seconds += now - self._clock
        self._clock = now
        self._epochs_run += 1
        self._epochs_left = max(0, self._epochs_left - 1)
        if not self._trials:
            self._bar.advance(self._task)
        self._show()

    def ended(self, trial, record):
        """A trial ended, or was found in the record."""
        self._left_after_trials -= trial.epochs  # also where the trial was found, or failed before its last epoch
        self._epochs_left = max(0, self._left_after_trials)
        self._best = best_of(other for other in record.trials if other.number <= trial.number)
        if trial.completed:
            outcome = f"{100 * trial.val_accuracy:6.2f} % validation accuracy"
        else:
            outcome = f"failed: {trial.error}"
        self._console.print(
            f"trial {trial.number + 1:>2}/{self._trials}  {outcome}  {trial.params:>10,} parameters  "
            f"{trial.seconds:6.1f} s   {self._state()}",
            highlight=False,
            soft_wrap=True,
        )
        self._bar.advance(self._task)
        self._show()

    def training(self):
        """The trials are done; the training of the best begins."""
        self._clock = time.perf_counter()
        self._trials = 0
        self._epochs_left = self._final_epochs
        self._bar.remove_task(self._task)
        self._task = self._bar.add_task("training the best on", total=self._final_epochs, state="")
        self._console.print(f"training the best on, for {self._final_epochs} epochs   {self._left()}", highlight=False)

    def _show(self):
        self._bar.update(self._task, state=self._state())

    def _state(self) -> str:
        best = f"best {100 * self._best.val_accuracy:.2f} % (trial {self._best.number + 1})   " if self._best else ""
        return best + self._left()

    def _left(self) -> str:
        if not self._epochs_run:
            return ""
        seconds = round(self._seconds / self._epochs_run * self._epochs_left)
        return f"about {seconds // 60}:{seconds % 60:02d} left"


def trials_table(trials, best) -> Table:
    """A row for each trial, the best one marked, with the metaparameters in which the trials differ."""
    table = Table(
        title="Trials", title_style="bold", caption="* the candidate that was trained on", box=box.SIMPLE_HEAD
    )
    for name in ("trial", "validation\naccuracy", "parameters", "multiply-\nadds", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("metaparameters", overflow="fold")
    names = differing([trial.metaparameters for trial in trials])
    for trial in trials:
        accuracy = f"{100 * trial.val_accuracy:.2f} %" if trial.completed else "failed"
        table.add_row(
            f"{'* ' if trial is best else ''}{trial.number + 1}",
            accuracy,
            f"{trial.params:,}",
            f"{trial.macs:,}",
            f"{trial.seconds:.1f}",
            described({name: trial.metaparameters[name] for name in names}) if trial.completed else trial.error,
            style="bold" if trial is best else None,
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
