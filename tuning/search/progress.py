"""What is told while a search or a training goes on."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from keras_blocks.tuning.objectives import Objective
from keras_blocks.tuning.storage.trial import Trial


class Progress(Protocol):
    """What is told of a search. `report.terminal.Progress` shows it."""

    def update(
        self,
        trials: Sequence[Trial],
        *,
        objectives: Sequence[Objective] = (),
        max_trials: int | None = None,
        max_seconds: float | None = None,
        now: float | None = None,
    ) -> None:
        return

    def note(self, text: str) -> None:
        return

    def training(self, epochs: int) -> None:
        return

    def epoch(self, done: int, logs: Mapping[str, float] | None = None) -> None:
        return


class NoProgress(Progress):
    """Shows nothing: for searches from Python."""
