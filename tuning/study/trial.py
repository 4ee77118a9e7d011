"""The trials of a study as plain records: what each tried and what came of it."""

import csv
import dataclasses
import json
from pathlib import Path

from keras_blocks.core.registration import short_name
from keras_blocks.tuning.files import replacing

COMPLETED, FAILED, PRUNED, RUNNING, WAITING, REFUSED, DUPLICATE = (
    "completed",
    "failed",
    "pruned",
    "running",
    "waiting",
    "refused",
    "duplicate",
)
"""What can have become of a trial. Pruned: ended early, as others were better at the same epoch. Waiting: left by its
worker, or asked for. Refused: above the budget, never built. Duplicate: the same model and training as another's."""

COUNTED = (COMPLETED, FAILED, PRUNED, RUNNING, WAITING)
"""Of the trials that were asked for; what is refused or a duplicate takes no time."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """One candidate.

    Attributes:
        number: from 0, in the order of the study; refused and duplicate ones have numbers, too.
        status: one of the above.
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
        issued: how often it was given to a worker: more than once where a worker was lost.
        began, ended: seconds since the epoch of Unix, or `None`.
    """

    number: int
    status: str
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
    issued: int = 0
    began: float | None = None
    ended: float | None = None

    @property
    def completed(self) -> bool:
        return self.status == COMPLETED

    @property
    def architecture_label(self) -> str:
        """The architecture's name for people; "" where there is none."""
        return short_name(self.architecture or "")

    @property
    def counted(self) -> bool:
        return self.status in COUNTED

    @classmethod
    def of(cls, frozen) -> "Trial":
        """From a trial of Optuna, whose user attributes are those that `study.Study` writes."""
        attributes = frozen.user_attrs
        candidate, result = attributes.get("candidate", {}), attributes.get("result", {})
        owner = attributes.get("owner", {})
        status = _status(frozen)
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(
            **{
                **{name: value for name, value in {**candidate, **result}.items() if name in names},
                "number": frozen.number,
                "status": status,
                "values": candidate.get("values", dict(frozen.params)),
                "objectives": tuple(frozen.values or ()) if status == COMPLETED else (),
                "error": attributes.get("error") or attributes.get("refused"),
                "duplicate_of": attributes.get("duplicate_of"),
                "worker": owner.get("worker"),
                "issued": owner.get("issued", 0),
                "began": _seconds(frozen.datetime_start),
                "ended": _seconds(frozen.datetime_complete),
            }
        )


def best_of(trials) -> Trial | None:
    """The completed trial with the highest validation accuracy; of several, the one with the lowest loss."""
    completed = [trial for trial in trials if trial.completed and trial.val_accuracy is not None]
    return min(completed, key=lambda trial: (-trial.val_accuracy, trial.val_loss, trial.number), default=None)


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


def _status(frozen) -> str:
    if "duplicate_of" in frozen.user_attrs:
        return DUPLICATE
    if "refused" in frozen.user_attrs:
        return REFUSED
    return {"COMPLETE": COMPLETED, "FAIL": FAILED, "PRUNED": PRUNED}.get(frozen.state.name, frozen.state.name.lower())


def _seconds(moment):
    return None if moment is None else moment.timestamp()
