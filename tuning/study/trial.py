"""The trials of a study as plain records: what each tried and what came of it."""

import csv
import dataclasses
import json
from pathlib import Path

from optuna.trial import TrialState

from keras_blocks.core.registration import short_name
from keras_blocks.tuning.files import replacing
from keras_blocks.tuning.study.ownership import history
from keras_blocks.tuning.study.status import Status

STATES = {
    Status.COMPLETED: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
    Status.FAILED: TrialState.FAIL,
    Status.RUNNING: TrialState.RUNNING,
    Status.WAITING: TrialState.WAITING,
}
"""Optuna's states. Those that are refused, and most duplicates, are pruned there, and known by an attribute."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """One candidate.

    Attributes:
        number: from 0, in the order of the study; refused and duplicate ones have numbers, too.
        status: a `Status`, also where it is given as its word.
        values: what was drawn, by KerasTuner's names.
        architecture: registered name of the class.
        metaparameters: its arguments.
        hyperparameters: how it was trained.
        params, macs, activation_bytes: of the model, for one image.
        signature: equal where metaparameters and hyperparameters come to the same.
        objectives: their values, in the order of the study's; empty where the trial did not complete.
        curves: each metric's values after each epoch.
        epochs: that it was trained.
        seconds: that building and training took.
        val_accuracy, val_loss: in the epoch with the best objective; `None` where the trial did not complete.
        latency: seconds for one image, where it was measured.
        error: why it failed, or was refused.
        duplicate_of: number of the trial that it repeats.
        worker: who ran it.
        attempt: how often it was given to a worker: more than once where a worker was lost.
        began, ended: seconds since the epoch of Unix, or `None`.
    """

    number: int
    status: Status
    values: dict
    architecture: str | None = None
    metaparameters: dict = dataclasses.field(default_factory=dict)
    hyperparameters: dict = dataclasses.field(default_factory=dict)
    params: int | None = None
    macs: int | None = None
    activation_bytes: int | None = None
    signature: str | None = None
    objectives: tuple = ()
    curves: dict = dataclasses.field(default_factory=dict)
    epochs: int = 0
    seconds: float = 0.0
    val_accuracy: float | None = None
    val_loss: float | None = None
    latency: float | None = None
    error: str | None = None
    duplicate_of: int | None = None
    worker: str | None = None
    attempt: int = 0
    began: float | None = None
    ended: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))

    @property
    def completed(self) -> bool:
        return self.status is Status.COMPLETED

    @property
    def architecture_label(self) -> str:
        """The architecture's name for people; "" where there is none."""
        return short_name(self.architecture or "")

    @property
    def counted(self) -> bool:
        return self.status.counted

    @classmethod
    def of(cls, frozen) -> "Trial":
        """From a trial of Optuna, whose user attributes are those that `study.Study` writes."""
        attributes = frozen.user_attrs
        candidate, result = attributes.get("candidate", {}), attributes.get("result", {})
        status = _status(frozen)
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(
            **{
                **{name: value for name, value in {**candidate, **result}.items() if name in names},
                "number": frozen.number,
                "status": status,
                "values": candidate.get("values", dict(frozen.params)),
                "objectives": tuple(frozen.values or ()) if status is Status.COMPLETED else (),
                "error": attributes.get("error") or attributes.get("refused"),
                "duplicate_of": attributes.get("duplicate_of"),
                "worker": attributes.get("owner", {}).get("worker"),
                "attempt": history(frozen)["attempt"],
                "began": _seconds(frozen.datetime_start),
                "ended": _seconds(frozen.datetime_complete),
            }
        )


def architectures(trials) -> int:
    """How many different architectures the trials had, whatever they were trained with."""
    return len({json.dumps([trial.architecture, trial.metaparameters], sort_keys=True) for trial in trials})


def write_csv(trials, path) -> None:
    """A table of the trials, to open elsewhere."""
    with replacing(Path(path)) as part, part.open("w", newline="", encoding="utf-8") as file:
        rows = [_row(item) for item in trials]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _row(trial) -> dict:
    names = ("number", "status", "architecture", "val_accuracy", "val_loss", "params", "macs", "epochs", "seconds")
    drawn = {f"drawn: {name}": value for name, value in trial.values.items()}
    return {**{name: getattr(trial, name) for name in names}, **drawn, "error": trial.error}


def _status(frozen) -> Status:
    if "duplicate_of" in frozen.user_attrs:
        return Status.DUPLICATE
    if "refused" in frozen.user_attrs:
        return Status.REFUSED
    return next(status for status, state in STATES.items() if state == frozen.state)


def _seconds(moment):
    return None if moment is None else moment.timestamp()
