"""The record of a search's trials: what each tried and what came of it, on disk after each."""

import csv
import dataclasses
import json
from pathlib import Path

from keras_blocks.tuning.atomic import replacing, write_json

COMPLETED, FAILED = "completed", "failed"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One candidate.

    Attributes:
        number: from 0, in the order of the search.
        status: "completed" or "failed".
        values: what was drawn, by KerasTuner's names.
        metaparameters: arguments of the architecture.
        hyperparameters: how it was trained.
        params: parameters of the model.
        macs: multiply-adds for one image.
        epochs: that it was trained.
        seconds: that building and training took.
        val_accuracy, val_loss: in the epoch with the best validation accuracy; `None` where the trial failed.
        error: why it failed.
    """

    number: int
    status: str
    values: dict
    metaparameters: dict
    hyperparameters: dict
    params: int
    macs: int
    epochs: int
    seconds: float
    val_accuracy: float | None = None
    val_loss: float | None = None
    error: str | None = None

    @property
    def completed(self) -> bool:
        return self.status == COMPLETED


class TrialRecord:
    """All trials so far, in trials.json (complete, the truth of the search) and trials.csv (a table to open).

    Both files are whole at any moment, so a search that was killed goes on from the last trial that had ended.
    KerasTuner's own files are not: they are torn by a kill, and then unreadable.

    Args:
        json_path, csv_path: of the files. Trials that are there are read.

    Raises:
        ValueError: where the file cannot be read.
    """

    def __init__(self, json_path, csv_path):
        self._json, self._csv = Path(json_path), Path(csv_path)
        self.trials: list[Trial] = []
        if self._json.exists():
            try:
                self.trials = [Trial(**item) for item in json.loads(self._json.read_text(encoding="utf-8"))]
            except (ValueError, TypeError) as error:
                raise ValueError(f"`run`: {self._json} cannot be read: {error}") from error

    def find(self, number: int, values: dict) -> Trial | None:
        """The trial of this number, if it tried just these values."""
        for trial in self.trials:
            if trial.number == number and trial.values == values:
                return trial
        return None

    def add(self, trial: Trial) -> None:
        """Records a trial, in place of one of the same number."""
        others = [other for other in self.trials if other.number != trial.number]
        trials = sorted([*others, trial], key=lambda item: item.number)
        self.trials = [Trial(**item) for item in write_json(self._json, [dataclasses.asdict(item) for item in trials])]
        with replacing(self._csv) as part, part.open("w", newline="", encoding="utf-8") as file:
            rows = [_row(item) for item in self.trials]
            columns = list(dict.fromkeys(column for row in rows for column in row))
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)

    def best(self) -> Trial | None:
        """The completed trial with the highest validation accuracy; of several, the one with the lowest loss."""
        return best_of(self.trials)


def best_of(trials) -> Trial | None:
    """The completed trial with the highest validation accuracy; of several, the one with the lowest loss."""
    completed = [trial for trial in trials if trial.completed]
    return min(completed, key=lambda trial: (-trial.val_accuracy, trial.val_loss, trial.number), default=None)


def architectures(trials) -> int:
    """How many different architectures the trials had, whatever they were trained with."""
    return len({json.dumps(trial.metaparameters, sort_keys=True) for trial in trials})


def _row(trial) -> dict:
    names = ("number", "status", "val_accuracy", "val_loss", "params", "macs", "epochs", "seconds")
    drawn = {f"drawn: {name}": value for name, value in trial.values.items()}
    return {**{name: getattr(trial, name) for name in names}, **drawn, "error": trial.error}
