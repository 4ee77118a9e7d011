"""The trials of a study as plain records: what each tried and what came of it."""

import csv
import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_blocks.core.registration import full_name, short_name
from keras_blocks.tuning.files import replacing
from keras_blocks.tuning.storage.leases import history, owner_of, postponed
from keras_blocks.tuning.storage.status import Status

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STATES = {
    Status.COMPLETED: "COMPLETE",
    Status.PRUNED: "PRUNED",
    Status.FAILED: "FAIL",
    Status.RUNNING: "RUNNING",
    Status.WAITING: "WAITING",
    Status.REFUSED: "PRUNED",  # and the attribute "refused"
    Status.DUPLICATE: "PRUNED",  # and the attribute "duplicate_of"; COMPLETE, with its values, where the other one is
}
"""The name of Optuna's state of each status."""


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
        postponed: when it was put off to the search's end, while it waits for that.
        parent: number of the trial whose child it is, which begins with that one's weights; `None` where it has none.
        changed: name of what was drawn -> [value of the parent, value here], where these differ.
        start: how it began with them: "exact", with the parent's outputs; or "nearest: ..." or "own: ...", and why.
        began, ended: seconds since the epoch of Unix, or `None`.
    """

    number: int
    status: Status
    values: dict[str, Any]
    architecture: str | None = None
    metaparameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    hyperparameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    params: int | None = None
    macs: int | None = None
    activation_bytes: int | None = None
    signature: str | None = None
    objectives: tuple[float, ...] = ()
    curves: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    epochs: int = 0
    seconds: float = 0.0
    val_accuracy: float | None = None
    val_loss: float | None = None
    latency: float | None = None
    error: str | None = None
    duplicate_of: int | None = None
    worker: str | None = None
    attempt: int = 0
    postponed: float | None = None
    parent: int | None = None
    changed: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    start: str | None = None
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
    def of(cls, frozen: "FrozenTrial") -> "Trial":
        """From a trial of Optuna, whose user attributes are those that `study.Study` writes."""
        attributes = frozen.user_attrs
        candidate, result = dict(attributes.get("candidate", {})), attributes.get("result", {})
        if candidate.get("architecture"):
            candidate["architecture"] = full_name(candidate["architecture"])
        status, put_off = _status(frozen), postponed(frozen)
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(
            **{
                **{name: value for name, value in {**candidate, **result}.items() if name in names},
                "number": frozen.number,
                "status": status,
                "values": candidate.get("values", dict(frozen.params)),
                "objectives": tuple(frozen.values or ()) if status is Status.COMPLETED else (),
                "error": attributes.get("error") or attributes.get("refused") or (put_off[1] if put_off else None),
                "postponed": put_off[0] if put_off else None,
                **_lineage(candidate, result, frozen.number),
                "duplicate_of": attributes.get("duplicate_of"),
                "worker": owner_of(frozen).get("worker"),
                "attempt": history(frozen)["attempt"],
                "began": frozen.datetime_start.timestamp() if frozen.datetime_start else None,
                "ended": frozen.datetime_complete.timestamp() if frozen.datetime_complete else None,
            }
        )


def architectures(trials: Iterable[Trial]) -> int:
    """How many different architectures the trials had, whatever they were trained with."""
    return len({json.dumps([trial.architecture, trial.metaparameters], sort_keys=True) for trial in trials})


def write_csv(trials: Iterable[Trial], path: str | Path, objectives: Sequence[str] = ()) -> None:
    """A table of the trials, to open elsewhere.

    Args:
        trials: `Trial`s.
        path: of the file.
        objectives: names of the study's, of which those that no column has get one.
    """
    with replacing(Path(path)) as part, part.open("w", newline="", encoding="utf-8") as file:
        rows = [_row(item, objectives) for item in trials]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _row(trial: Trial, objectives: Sequence[str]) -> dict[str, Any]:
    names = ("number", "status", "architecture", "val_accuracy", "val_loss", "params", "macs", "epochs", "seconds")
    judged = dict(zip(objectives, trial.objectives))
    own = {name: judged.get(name) for name in objectives if name not in names}
    drawn = {f"drawn: {name}": value for name, value in trial.values.items()}
    kin = {} if trial.parent is None else {"parent": trial.parent, "start": trial.start}
    return {**{name: getattr(trial, name) for name in names}, **own, **drawn, **kin, "error": trial.error}


def _lineage(candidate: dict[str, Any], result: dict[str, Any], number: int) -> dict[str, Any]:
    """What a trial says of its parent, as far as that can be: a study may come from anyone, and parents are older."""
    parent, changed, start = candidate.get("parent"), candidate.get("changed"), result.get("start")
    if type(parent) is not int or not 0 <= parent < number:
        return {"parent": None, "changed": {}, "start": None}
    pairs = changed.items() if isinstance(changed, dict) else ()
    kept = {str(name): pair for name, pair in pairs if isinstance(pair, list) and len(pair) == 2}
    return {"parent": parent, "changed": kept, "start": start if isinstance(start, str) else None}


def _status(frozen: "FrozenTrial") -> Status:
    if "duplicate_of" in frozen.user_attrs:
        return Status.DUPLICATE
    if "refused" in frozen.user_attrs:
        return Status.REFUSED
    if postponed(frozen):
        return Status.WAITING
    return next(status for status, state in STATES.items() if state == frozen.state.name)
