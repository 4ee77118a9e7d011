"""Worker: takes the study's trials, one after another, has them trained, and tells what came of them."""

import threading
import time
from collections.abc import Callable
from typing import Any

from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.protocol import TrialRequest
from keras_blocks.tuning.search.settings import SearchSettings
from keras_blocks.tuning.search.supervisor import Outcome, Supervisor
from keras_blocks.tuning.seeds import TRIAL, derived_seed
from keras_blocks.tuning.study.objectives import ranking
from keras_blocks.tuning.study.status import Status
from keras_blocks.tuning.study.study import Lease, Study, StudyEnded
from keras_blocks.tuning.study.trial import Trial

BEAT_SHARE = 1 / 3
"""The share of the storage's grace that passes between two signs of life."""

WAIT_SECONDS = 0.5
"""How long a worker waits until it asks again, where there was no trial for it."""


class _Stopped(Exception):
    """The search is to stop; the trial is given back."""


class _Lost(Exception):
    """The trial was given to another worker."""


class Worker:
    """Runs trials until there are no more.

    Args:
        name: of the worker, for the study's records.
        study: a `Study`, of its own.
        supervisor: trains; has `run` and `stop` as `Supervisor`. Whoever made it ends it.
        folder: a `RunFolder`.
        settings: `SearchSettings`.
        stop: a `threading.Event`; when it is set, the running trial is given back and the worker ends.
        note: function of a text, told what happens.
    """

    def __init__(
        self,
        name: str,
        study: Study,
        supervisor: Supervisor,
        folder: RunFolder,
        settings: SearchSettings,
        *,
        stop: threading.Event | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.name, self.study, self._supervisor, self._folder = name, study, supervisor, folder
        self._settings, self._stop, self._note = settings, stop or threading.Event(), note
        self._beaten = 0.0

    def run(self) -> str:
        """Runs trials.

        Returns:
            Why it ended.

        Raises:
            DiskFull: where nothing can be written; the running trial was given back.
        """
        while not self._stop.is_set():
            try:
                lease = self.study.next(self.name)
            except StudyEnded as error:
                return str(error)
            if lease is None:
                self._stop.wait(WAIT_SECONDS)
                continue
            self._work(lease)
        return "it was stopped"

    def _work(self, lease: Lease) -> None:
        try:
            outcome = self._trained(lease)
        except _Lost:
            self._supervisor.stop()
            self._note(f"trial {lease.number} had been given to another worker")
            return
        except _Stopped:
            self.study.release(lease)
            return
        except BaseException:
            try:
                self.study.release(lease)
            except Exception as error:  # the storage may be what failed; heartbeats end, and so does the lease
                self._note(f"trial {lease.number} could not be given back: {error}")
            raise
        if self._end(lease, outcome):
            self._folder.remove_checkpoint(lease.number)
            if outcome.kept:
                self._folder.keep_models(self._settings.kept_numbers(self.study.trials()))

    def _trained(self, lease: Lease) -> Outcome:
        settings, candidate = self._settings, lease.candidate
        self._beaten = time.monotonic()
        request = TrialRequest(
            number=lease.number,
            candidate={name: candidate[name] for name in ("architecture", "metaparameters", "hyperparameters")},
            signature=candidate["signature"],
            epochs=settings.epochs,
            monitor="val_loss" if settings.objectives[0] == "val_loss" else "val_accuracy",
            seed=derived_seed(settings.seed, TRIAL, lease.number),
            checkpoint=str(self._folder.checkpoint(lease.number)),
            model=str(self._folder.model(lease.number)),
            asks=settings.pruner != "none",
            measures_latency=settings.measures_latency,
            max_latency=settings.max_latency,
            shared_weights=self._folder.shared_weights(candidate) if settings.keep_weights else None,
        )
        return self._supervisor.run(
            request,
            epoch=lambda done, logs: self._epoch(lease, done, logs),
            keep=lambda result: self._is_good(lease, result),
            idle=lambda: self._idle(lease),
        )

    def _end(self, lease: Lease, outcome: Outcome) -> bool:
        if outcome.status is Status.FAILED:
            return self.study.fail(lease, outcome.reason, outcome.result)
        if outcome.status is Status.REFUSED:
            return self.study.refuse(lease, outcome.reason, outcome.result)
        if outcome.status is Status.PRUNED:
            return self.study.prune(lease, outcome.result)
        try:
            return self.study.complete(lease, self._values(lease, outcome.result), outcome.result)
        except ValueError as error:
            return self.study.fail(lease, str(error))

    def _epoch(self, lease: Lease, done: int, logs: dict[str, float]) -> bool:
        objective = self._settings.objectives[0]
        return objective in logs and self.study.report(lease, done, logs[objective])

    def _is_good(self, lease: Lease, result: dict[str, Any]) -> bool:
        """Whether the model would be among the best that are kept."""
        if self._settings.keep_weights:
            return True
        mine = Trial(
            lease.number,
            Status.COMPLETED,
            lease.values,
            objectives=tuple(self._values(lease, result)),
            val_loss=result["val_loss"],
        )
        return mine in ranking([*self.study.trials(), mine], self._settings.judged_by)[: self._settings.keep]

    def _values(self, lease: Lease, result: dict[str, Any]) -> list[float]:
        """What the objectives came to."""
        known = {**lease.candidate, **result}
        return [known[name] for name in self._settings.objectives]

    def _idle(self, lease: Lease) -> None:
        if self._stop.is_set():
            raise _Stopped
        now = time.monotonic()
        if now - self._beaten > BEAT_SHARE * self._settings.grace:
            self._beaten = now
            if not self.study.is_mine(lease):
                raise _Lost
            self.study.beat(lease)
