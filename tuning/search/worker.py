"""Worker: takes the study's trials, one after another, has them trained, and tells what came of them."""

import dataclasses
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from keras_blocks.tuning.objectives import ranking
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.settings import SearchSettings
from keras_blocks.tuning.seeds import TRIAL, derived_seed
from keras_blocks.tuning.storage.leases import Lease
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study.drawing import StudyEnded
from keras_blocks.tuning.study.pruners import Rungs
from keras_blocks.tuning.study.study import Study
from keras_blocks.tuning.trials.protocol import CANDIDATE, TrialRequest
from keras_blocks.tuning.trials.supervisor import Outcome, Supervisor

BEAT_SHARE = 1 / 3
"""The share of the storage's grace that passes between two signs of life."""

WAIT_SECONDS = 0.5
"""How long a worker waits until it asks again, where there was no trial for it."""


class _Stopped(Exception):
    """The search is to stop; the trial is given back."""


class _Lost(Exception):
    """The trial was given to another worker."""


@dataclasses.dataclass
class Worker:
    """Runs trials until there are no more.

    Args:
        name: of the worker, for the study's records.
        study: of its own.
        supervisor: trains. Whoever made it ends it.
        folder: for checkpoints and models.
        settings: of the search.
        stop: when it is set, the running trial is given back and the worker ends.
        note: told what happens.
        sign: function of a candidate's values, to its signature, where trials may find further ones.
        rungs: when it is decided whether trials end early, and by which validations; `None`: never.
    """

    name: str
    study: Study
    supervisor: Supervisor
    folder: RunFolder
    settings: SearchSettings
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    note: Callable[[str], None] = lambda text: None
    sign: Callable[[dict[str, Any]], str] | None = None
    rungs: Rungs | None = None
    _beaten: float = dataclasses.field(default=0.0, init=False)

    def run(self) -> str:
        """Runs trials.

        Returns:
            Why it ended.

        Raises:
            DiskFull: where nothing can be written; the running trial was given back.
        """
        while not self.stop.is_set():
            try:
                lease = self.study.next(self.name)
            except StudyEnded as error:
                return str(error)
            if lease is None:
                self.stop.wait(WAIT_SECONDS)
                continue
            self._work(lease)
        return "it was stopped"

    def _work(self, lease: Lease) -> None:
        try:
            outcome = self._trained(lease)
        except _Lost:
            self.supervisor.stop()
            self.note(f"trial {lease.number} had been given to another worker")
            return
        except _Stopped:
            self.study.release(lease)
            return
        except BaseException:
            try:
                self.study.release(lease)
            except Exception as error:  # the storage may be what failed; signs of life end, and so does the lease
                self.note(f"trial {lease.number} could not be given back: {error}")
            raise
        if outcome.from_outside and self.study.postpone(lease, outcome.reason):
            self.note(f"trial {lease.number} is tried once more when all others are done")
        elif self._end(lease, outcome):
            self.folder.remove_checkpoint(lease.number)
            if outcome.kept:
                trials = self.study.trials()
                self.folder.keep_models(self.settings.kept_numbers(trials), self.settings.kept_weights(trials))

    def _trained(self, lease: Lease) -> Outcome:
        settings, candidate = self.settings, lease.candidate
        self._beaten = time.monotonic()
        request = TrialRequest(
            number=lease.number,
            candidate={name: candidate[name] for name in CANDIDATE},
            signature=candidate["signature"],
            epochs=settings.epochs,
            monitor=settings.monitor,
            seed=derived_seed(settings.seed, TRIAL, lease.number),
            checkpoint=str(self.folder.checkpoint(lease.number)),
            model=str(self.folder.model(lease.number)),
            patience=settings.patience,
            asks=self.rungs is not None and self.rungs.prunes,
            most_early=settings.first_rung_steps or 0,
            deciding=self.rungs.deciding(always=settings.patience is not None) if self.rungs else [],
            batches=self.rungs.batches if self.rungs else 0,
            measures_latency=settings.measures_latency,
            max_latency=settings.max_latency,
            **self._weights(lease),
        )
        return self.supervisor.run(
            request,
            epoch=lambda done, logs: self._epoch(lease, done, logs),
            keep=lambda result: self._is_good(lease, result),
            idle=lambda: self._idle(lease),
        )

    def _weights(self, lease: Lease) -> dict[str, Any]:
        """Where the weights are that a trial begins with, whose they are, and where it leaves its own."""
        if self.settings.keep_weights:
            path = self.folder.shared_weights(lease.candidate)
            return {"weights": path, "leaves": path}
        if not self.settings.breeds:
            return {}
        trials = {trial.number: trial for trial in self.study.trials()}
        parent = trials.get(-1 if (number := trials[lease.number].parent) is None else number)
        leaves = {"leaves": self.folder.weights(lease.number)}
        if parent is None:
            return leaves
        theirs = {name: getattr(parent, name) for name in CANDIDATE}
        return {**leaves, "weights": self.folder.weights(parent.number), "parent": theirs}

    def _end(self, lease: Lease, outcome: Outcome) -> bool:
        if found := outcome.result.pop("found", None):
            self._learn(lease, found, outcome.result.pop("values"))
        if outcome.status in (Status.FAILED, Status.REFUSED):
            end = self.study.fail if outcome.status is Status.FAILED else self.study.refuse
            return end(lease, outcome.reason, outcome.result)
        if outcome.status is Status.PRUNED:
            return self.study.prune(lease, outcome.result)
        try:
            return self.study.complete(lease, self._values(lease, outcome.result), outcome.result)
        except ValueError as error:
            return self.study.fail(lease, str(error))

    def _epoch(self, lease: Lease, done: int, logs: dict[str, float]) -> bool:
        objective = self.settings.judged_by[0].name
        if objective not in logs:
            return False
        # One that has trained to its end is complete, whatever the others had by then.
        return self.study.report(lease, done, logs[objective]) and done < self.settings.epochs

    def _is_good(self, lease: Lease, result: dict[str, Any]) -> bool:
        """Whether the model would be among the best that are kept."""
        if self.settings.keep_weights or self.settings.breeds:
            return True
        try:
            values = self._values(lease, result)
        except ValueError:  # it will be failed
            return False
        mine = Trial(
            lease.number,
            Status.COMPLETED,
            lease.values,
            objectives=tuple(values),
            val_loss=result.get("val_loss"),
        )
        return mine in ranking([*self.study.trials(), mine], self.settings.judged_by)[: self.settings.keep]

    def _values(self, lease: Lease, result: dict[str, Any]) -> list[float]:
        """What the objectives came to.

        Raises:
            ValueError: for one that is not known.
        """
        known = {**lease.candidate, **result, **result.get("metrics", {})}
        for objective in self.settings.judged_by:
            if known.get(objective.name) is None:
                raise ValueError(
                    f"`objectives`: this trial has no {objective.name!r}; its training has logged "
                    f"{', '.join(sorted(result.get('metrics', ()))) or 'nothing'}."
                )
        values = {objective.name: float(known[objective.name]) for objective in self.settings.judged_by}
        for name, value in values.items():
            if not math.isfinite(value):
                raise ValueError(f"`objectives`: this trial's {name!r} must be finite; it came to {value}.")
        return list(values.values())

    def _learn(self, lease: Lease, found: list[dict[str, Any]], values: dict[str, Any]) -> None:
        """Keeps the hyperparameters that the trial has asked for while it trained: later trials draw them."""
        candidate = {**lease.candidate, "values": values, "hyperparameters": values}
        signature = self.sign(values) if self.sign is not None else candidate["signature"]
        self.study.learn(lease, {**candidate, "signature": signature}, found)

    def _idle(self, lease: Lease) -> None:
        if self.stop.is_set():
            raise _Stopped
        now = time.monotonic()
        if now - self._beaten > BEAT_SHARE * self.settings.grace:
            self._beaten = now
            if not self.study.is_mine(lease):
                raise _Lost
            self.study.beat(lease)
