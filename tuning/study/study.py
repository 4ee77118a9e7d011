"""Study: which candidates there are and who runs them, in Optuna's storage; nothing of it is kept anywhere else."""

import json
import math
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import optuna

from keras_blocks.tuning.storage import processes
from keras_blocks.tuning.storage.leases import Lease, history, is_abandoned, lost_again, postponed
from keras_blocks.tuning.storage.remote import retry_while_away
from keras_blocks.tuning.storage.searched import covered, span_of
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.store import StudyStorage, another_runs, state_of
from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study.drawing import Drawer, StudyEnded
from keras_blocks.tuning.study.sources import Drawable
from keras_blocks.tuning.study.stopping import reason_to_stop

RANDOM_DRAWS = 1000
"""A candidate is drawn at random so often before the search ends for want of a new one within the budget."""

MOST_FAILURES = 5
"""If so many trials fail one after another, it is not the candidates' fault, and the search is ended."""

MOST_LOSSES = 5
"""A trial that loses so many workers, without an epoch reported between two of them, has failed."""

FOUND = "found in training"
"""The attribute of Optuna's study with the hyperparameters that trials found while they trained."""

PATIENCE = 600
"""A database that does not answer is asked again for so many seconds."""


class Study:
    """The trials of a search: drawn, given to workers, ended.

    What is drawn, checked and handed out happens under the storage's lock, so that no two workers get the same trial
    or the same candidate. A trial whose worker is gone (as it gives no sign of life, or at once where its process was
    on this machine) waits for the next one, with its number. A worker that comes back too late cannot end it any more.

    Args:
        storage: `StudyStorage`.
        name: of the study.
        space: what values are drawn from: a search space, see `Drawable`.
        sampler: of Optuna.
        pruner: of Optuna.
        directions: "maximize" or "minimize" for each objective.
        identity: plain data that must be the same for all workers, and when the study goes on. Includes the space, and
            "run", where the study belongs to one.
        inspect: function of a dict of values, to a dict of plain data with what it comes to, kept with the trial: its
            "signature" where it has one, and "refused", the reason, where it must not be built.
        max_trials: to end after, or `None`.
        seed: of what is drawn at random.
        begin: what is tried first, see `Drawer`.
        stops: whether no trial is begun where `reason_to_stop` has one.
        patience, random_draws, most_failures, most_losses: see the constants above.
        is_gone: function of what `this_process` said, whether that process has ended.

    Raises:
        ValueError: where the study is there with another identity, or is another run's.
    """

    def __init__(
        self,
        storage: StudyStorage,
        name: str,
        *,
        space: Drawable,
        sampler: optuna.samplers.BaseSampler | None,
        pruner: optuna.pruners.BasePruner,
        directions: Sequence[Literal["maximize", "minimize"]],
        identity: dict[str, Any],
        inspect: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        max_trials: int | None = None,
        seed: int = 0,
        begin: str | None = None,
        stops: bool = False,
        patience: float = PATIENCE,
        random_draws: int = RANDOM_DRAWS,
        most_failures: int = MOST_FAILURES,
        most_losses: int = MOST_LOSSES,
        is_gone: Callable[[dict[str, Any]], bool] = processes.is_gone,
    ) -> None:
        self.name, self.space, self.max_trials, self.patience = name, space, max_trials, patience
        self._storage, self._is_gone = storage, is_gone
        self._most_failures, self._most_losses = most_failures, most_losses
        self._nothing_new: str | None = None
        self._stops = stops
        self._ended: dict[int, Trial] = {}
        self.directions = tuple(directions)
        with storage.exclusive(name):
            self.optuna = storage.study(name, sampler=sampler, pruner=pruner, directions=list(directions))
            there = self.optuna.user_attrs.get("identity")
            if there is None:
                self.optuna.set_user_attr("identity", identity)
        identity = json.loads(json.dumps(identity))
        if not isinstance(there, dict | None) or (there is not None and there.get("run") != identity.get("run")):
            storage.close()
            raise ValueError(another_runs(name, storage))
        if there is not None and (differences := _differences(there, identity)):  # None is as if it were not said
            storage.close()
            raise ValueError(
                f"`study`: {name!r} in {storage} was begun otherwise, and its trials would not compare: "
                f"{'; '.join(differences)}. Give the same, or another name."
            )
        inspect = inspect or (lambda values: {})
        self._drawer = Drawer(self.optuna, storage, inspect, seed, random_draws, begin)

    # -- what a worker does ------------------------------------------------------------------------------------------

    @retry_while_away
    def next(self, worker: str) -> Lease | None:
        """The trial that this worker is to run now; `None` where there is none, but another worker's may come back.

        Args:
            worker: its name.

        Raises:
            StudyEnded: where all trials are done, or no further candidate can be found.
        """
        with self._storage.exclusive(self.name):
            trials = self._take_back_left()
            counted = [trial for trial in trials if trial.counted]
            reason = None
            if not any(trial.status is Status.WAITING and not trial.postponed for trial in counted):
                self._check_failures(counted)
                all_done = self.max_trials is not None and len(counted) >= self.max_trials
                reason = f"all {len(counted)} trials are done" if all_done else self._nothing_new
                if reason is None and self._stops and len(self.directions) == 1:
                    reason = reason_to_stop(trials, self.directions[0])
            try:
                if reason is not None:
                    raise StudyEnded(reason)
                drawn = self._drawer.draw(self.space, trials)
            except StudyEnded as error:
                self._nothing_new = self._nothing_new if reason is not None else str(error)  # it takes long to find out
                if any(trial.status is Status.RUNNING for trial in counted):
                    return None
                if not self._take_up_postponed():
                    raise
                drawn = self._drawer.draw(self.space, trials)
            attempt = drawn.past["attempt"] + 1
            token = uuid.uuid4().hex
            self._storage.beat(drawn.trial)
            owner = {**drawn.past, "worker": worker, "token": token, "attempt": attempt, **processes.this_process()}
            drawn.trial.set_user_attr("owner", owner)
            return Lease(drawn.trial.number, drawn.values, drawn.candidate, attempt, token, drawn.trial)

    @retry_while_away
    def beat(self, lease: Lease) -> None:
        """A sign of life; others' are heard meanwhile."""
        self._storage.beat(lease.trial)
        self._storage.silent(self.optuna)

    @retry_while_away
    def report(self, lease: Lease, step: int, value: float) -> bool:
        """Reports the objective after an epoch.

        Returns:
            Whether the trial should end, as others are better.
        """
        if len(self.directions) > 1 or not math.isfinite(value):
            return False
        if step in self._storage.current(lease.trial).intermediate_values:
            return False  # reported by the worker before this one, or in a study that is damaged
        lease.trial.report(value, step)
        return not isinstance(self.optuna.pruner, optuna.pruners.NopPruner) and lease.trial.should_prune()

    @retry_while_away
    def learn(self, lease: Lease, candidate: dict[str, Any], found: Sequence[dict[str, Any]]) -> None:
        """Keeps what a trial has turned out to be, and the hyperparameters that it found, for later trials to draw."""
        with self._storage.exclusive(self.name):
            if self._is_mine(lease):
                lease.trial.set_user_attr("candidate", candidate)
                known = self.found()
                self.optuna.set_user_attr(FOUND, [*known, *(item for item in found if item not in known)])

    def found(self) -> list[dict[str, Any]]:
        """The hyperparameters that trials found while they trained, as `learn` was told of them."""
        return list(self.optuna.user_attrs.get(FOUND, ()))

    @retry_while_away
    def complete(self, lease: Lease, values: Sequence[float], result: dict[str, Any]) -> bool:
        """Ends a trial with the values of its objectives.

        Returns:
            Whether it was still this worker's.

        Raises:
            ValueError: for NaN or infinite values: such a trial has failed.
        """
        if not all(math.isfinite(value) for value in values):
            raise ValueError(f"`values` must be finite; received {values}.")
        return self._end(lease, Status.COMPLETED, list(values), result=result)

    @retry_while_away
    def prune(self, lease: Lease, result: dict[str, Any]) -> bool:
        """Ends a trial that is behind others."""
        return self._end(lease, Status.PRUNED, result=result)

    @retry_while_away
    def fail(self, lease: Lease, reason: str, result: dict[str, Any] | None = None) -> bool:
        """Ends a trial that could not be trained. No sampler takes it into account."""
        return self._end(lease, Status.FAILED, error=reason, result=result or None)

    @retry_while_away
    def refuse(self, lease: Lease, reason: str, result: dict[str, Any] | None = None) -> bool:
        """Ends a trial that turned out to be above the budget. It does not count."""
        return self._end(lease, Status.REFUSED, refused=reason, result=result or None)

    @retry_while_away
    def release(self, lease: Lease) -> None:
        """Gives a trial back, for another worker."""
        with self._storage.exclusive(self.name):
            if self._is_mine(lease):
                owner = history(self._storage.current(lease.trial))
                self._storage.write(lease.trial, Status.WAITING, owner=owner)

    @retry_while_away
    def postpone(self, lease: Lease, reason: str) -> bool:
        """Puts a trial off until the search has no other, and nothing else runs. Once: then it may fail.

        Returns:
            Whether it was put off.
        """
        with self._storage.exclusive(self.name):
            past = history(self._storage.current(lease.trial))
            if "postponed" in past or not self._is_mine(lease):
                return False
            lease.trial.set_user_attr("owner", {**past, "postponed": [time.time(), reason]})
            return True

    @retry_while_away
    def is_mine(self, lease: Lease) -> bool:
        """Whether the trial has not been given to another worker."""
        with self._storage.exclusive(self.name):
            return self._is_mine(lease)

    # -- what there is -----------------------------------------------------------------------------------------------

    @retry_while_away
    def trials(self) -> list[Trial]:
        """All trials, in order."""
        return self._records(self.optuna.get_trials(deepcopy=False))

    @retry_while_away
    def pareto(self) -> list[Trial]:
        """The completed trials that no other is better than in all objectives."""
        numbers = {frozen.number for frozen in self.optuna.best_trials}
        return [trial for trial in self.trials() if trial.completed and trial.number in numbers]

    @retry_while_away
    def add_time(self, session: str, seconds: float) -> float:
        """Records how long a session has searched.

        Args:
            session: its name.
            seconds: since it began, where it first tells that it does.

        Returns:
            The seconds in which any of the sessions searched.
        """
        spans = {name: span for name, span in self.optuna.user_attrs.items() if name.startswith("searched ")}
        name = f"searched {session}"
        spans[name] = span_of(name, seconds, spans)
        self.optuna.set_user_attr(name, spans[name])
        return covered(spans.values())

    def keep_folder(self, path: Path) -> None:
        """Keeps where the folder of this study's run is, see `StudyStorage.folder_of`."""
        self.optuna.set_user_attr("folder", self._storage.folder_here(path))

    def close(self) -> None:
        """Closes the connections."""
        self._storage.close()

    # -- trials that change hands ------------------------------------------------------------------------------------

    def _take_back_left(self) -> list[Trial]:
        """Lets trials wait whose worker is gone.

        Returns:
            All trials.
        """
        everything = self.optuna.get_trials(deepcopy=False)
        running = [trial for trial in everything if trial.state == state_of(Status.RUNNING)]
        silent = self._storage.silent(self.optuna, running)
        left = [
            trial
            for trial in running
            if not postponed(trial) and (trial.number in silent or is_abandoned(trial, self._is_gone))
        ]
        for trial in left:
            past = lost_again(trial)
            if past.get("lost", 0) >= self._most_losses:
                self._storage.write(trial, Status.FAILED, error=f"its worker was lost {self._most_losses} times")
            else:
                self._storage.write(trial, Status.WAITING, owner=past)
        return self.trials() if left else self._records(everything)

    def _records(self, everything: Iterable[optuna.trial.FrozenTrial]) -> list[Trial]:
        """Optuna's trials as records; of those that have ended they are made once."""
        records = []
        for frozen in everything:
            record = self._ended.get(frozen.number) or Trial.of(frozen)
            if frozen.state.is_finished():
                self._ended[frozen.number] = record
            records.append(record)
        return records

    def _take_up_postponed(self) -> bool:
        """Lets the first trial wait that was put off, if there is one."""
        for trial in self.optuna.get_trials(deepcopy=False):
            if postponed(trial):
                self._storage.write(trial, Status.WAITING, owner=history(trial))
                return True
        return False

    def _is_mine(self, lease: Lease) -> bool:
        trial = self._storage.current(lease.trial)
        return trial.state == state_of(Status.RUNNING) and lease.is_of(trial)

    def _end(self, lease: Lease, status: Status, values: list[float] | None = None, **attributes: Any) -> bool:
        with self._storage.exclusive(self.name):
            if not self._is_mine(lease):
                trial = self._storage.current(lease.trial)
                # Where a repetition finds that its first try got through after all.
                return trial.state == state_of(status) and lease.is_of(trial)
            for name, value in attributes.items():
                if value is not None:
                    lease.trial.set_user_attr(name, value)
            self.optuna.tell(lease.trial, values, state=state_of(status))
            return True

    def _check_failures(self, counted: Iterable[Trial]) -> None:
        ended = [(trial.ended or trial.postponed or 0.0, trial) for trial in counted if trial.ended or trial.postponed]
        last = [trial for _, trial in sorted(ended, key=lambda item: item[0])][-self._most_failures :]
        if len(last) == self._most_failures and all(item.status is Status.FAILED or item.postponed for item in last):
            raise StudyEnded(f"the last {self._most_failures} trials failed, the last one: {last[-1].error}")


def _is_own(space: Any) -> bool:
    return isinstance(space, dict) and isinstance(space.get("hypermodel"), str)


def _differences(there: Any, here: Any, path: str = "") -> list[str]:
    """Where two pieces of plain data differ, as text."""
    if isinstance(there, dict) and isinstance(here, dict):
        return [
            difference
            for name in dict.fromkeys([*there, *here])
            for difference in _differences(there.get(name), here.get(name), f"{path}.{name}" if path else name)
        ]
    if there == here:
        return []
    if isinstance(there, list | dict) or isinstance(here, list | dict):
        own = [f"{one['hypermodel']} {where}" for one, where in ((there, "there"), (here, "here")) if _is_own(one)]
        return [f"{path} was otherwise there{''.join(f' ({name})' for name in own)}"]
    return [f"{path}={there!r} there and {here!r} here"]
