"""Who runs a trial, and who did: the attribute "owner" of Optuna's trials."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna


@dataclasses.dataclass(frozen=True)
class Lease:
    """A trial that this worker runs until it ends it, or is silent for too long.

    Attributes:
        number: of the trial.
        values: what was drawn.
        candidate: what the study's `inspect` said of it.
        attempt: which worker of this trial this is, from 1.
        token: known to this worker alone.
        trial: Optuna's.
    """

    number: int
    values: dict[str, Any]
    candidate: dict[str, Any]
    attempt: int
    token: str
    trial: "optuna.Trial" = dataclasses.field(repr=False, compare=False)

    def is_of(self, trial: "optuna.trial.FrozenTrial") -> bool:
        """Whether a trial was given to this worker last."""
        return owner_of(trial).get("token") == self.token


def owner_of(trial: "optuna.Trial | optuna.trial.FrozenTrial") -> dict[str, Any]:
    """What is stored of a trial's last worker; empty where it had none."""
    owner: dict[str, Any] = trial.user_attrs.get("owner", {})
    return owner


def is_abandoned(trial: "optuna.trial.FrozenTrial", is_gone: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether nobody runs it any more, as far as this machine knows."""
    owner = owner_of(trial)
    return "token" not in owner or is_gone(owner)  # no token: killed while it drew, under the lock


def postponed(trial: "optuna.trial.FrozenTrial") -> list[Any] | None:
    """When a trial was put off to the search's end, and why; `None` where it was not, or has been taken up again.

    It counts as running for Optuna, which would give it out next, were it waiting.
    """
    owner = owner_of(trial)
    return owner.get("postponed") if trial.state.name == "RUNNING" and "token" not in owner else None


def history(trial: "optuna.Trial | optuna.trial.FrozenTrial") -> dict[str, Any]:
    """What goes on from one owner to the next.

    Returns:
        "attempt", how often the trial was given to a worker; where some were lost: "lost", how many since an epoch was
        reported, and "epoch", after which; "postponed", when and why, where it was put off to the search's end.
    """
    return history_of(owner_of(trial))


def history_of(owner: dict[str, Any]) -> dict[str, Any]:
    """The same of what is stored of a trial's last worker."""
    attempt = owner.get("attempt", owner.get("issued", 0))  # its name in studies of version 0.1.0
    return {"attempt": attempt, **{name: owner[name] for name in ("lost", "epoch", "postponed") if name in owner}}


def lost_again(trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    """The history of a trial whose worker is gone."""
    past, epoch = history(trial), max(trial.intermediate_values, default=0)
    if "token" not in owner_of(trial):
        return past  # nobody had begun with it
    went_on = epoch > past.get("epoch", 0)
    return {**past, "lost": 1 if went_on else past.get("lost", 0) + 1, "epoch": epoch}
