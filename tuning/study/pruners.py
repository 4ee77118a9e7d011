"""Optuna's pruners by name: which trials end early, and after which epochs that is decided."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import optuna

from keras_blocks.core import validation
from keras_blocks.tuning.objectives import BATCHES

PRUNERS = ("auto", "none", "median", "hyperband")
"""The names of pruners; "auto" becomes one of the others when a search begins."""

FIRST_RUNG = 3
"""Epochs before the first decision: after one, the order of trials says little of that at the end."""

REDUCTION = 3
"""Of so many trials that come to a rung, one goes on."""


@dataclasses.dataclass(frozen=True)
class Rungs:
    """When it is decided whether a trial goes on.

    Attributes:
        pruner: its name.
        epochs: most of a trial.
        first: epochs before the first rung.
        batches: of the training images on which BatchNormalization's moving statistics are taken anew before a
            validation that decides; 0: they are as the training has left them.
    """

    pruner: str
    epochs: int
    first: int = FIRST_RUNG
    batches: int = BATCHES

    @classmethod
    def before(cls, said: Any, pruner: str, epochs: int) -> "Rungs":
        """Those with which a study was begun.

        Args:
            said: what it says, see `kept`; version 0.1.0 said nothing, had its first rung after one epoch, and took the
                statistics as they were.
            pruner, epochs: see above.

        Raises:
            TypeError, ValueError: for what are no rungs.
        """
        said = validation.mapping("rungs", {} if said is None else said)  # who joins takes what any storage says
        first = validation.integer("rungs: first", said.get("first", 1), least=1)
        return cls(pruner, epochs, first, validation.integer("rungs: batches", said.get("batches", 0), least=0))

    @property
    def prunes(self) -> bool:
        """Whether a trial may end early."""
        return self.pruner != "none"

    def kept(self) -> Mapping[str, int]:
        """What a study keeps of them, to go on alike."""
        return {"first": self.first, "batches": self.batches}

    def deciding(self, *, always: bool = False) -> list[int]:
        """The epochs whose validation decides: those of rungs, where there is a pruner, and the last one.

        Args:
            always: whether each epoch does besides, as where a training runs out of patience.

        Example:

        >>> Rungs("hyperband", epochs=30).deciding(), Rungs("none", epochs=30).deciding()
        ([3, 9, 27, 30], [30])
        """
        if not self.batches:
            return []
        if always or self.pruner == "median":
            return list(range(1, self.epochs + 1))
        found, rung = [], self.first
        while self.prunes and rung < self.epochs:
            found.append(rung)
            rung *= REDUCTION
        return [*found, self.epochs]


def make_pruner(name: str, epochs: int, first: int = FIRST_RUNG) -> optuna.pruners.BasePruner:
    """An Optuna pruner, which ends a trial that is behind others at the same epoch.

    Args:
        name: "none"; "median", from the median of the others; "hyperband", successive halving of the epochs in
            several brackets.
        epochs: most of a trial.
        first: epochs before the first decision.

    Raises:
        ValueError: for another name.

    Example:

    >>> type(make_pruner("hyperband", epochs=27)).__name__
    'HyperbandPruner'
    """
    validation.choice("pruner", name, PRUNERS[1:])
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(first, epochs // 10))
    if name == "hyperband":
        most = max(first + 1, epochs)  # a search of fewer epochs has no rung
        return optuna.pruners.HyperbandPruner(min_resource=first, max_resource=most, reduction_factor=REDUCTION)
    return optuna.pruners.NopPruner()
