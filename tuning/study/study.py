"""Study: which candidates there are and who runs them, in Optuna's storage; nothing of it is kept anywhere else."""

import contextlib
import dataclasses
import functools
import json
import math
import random
import time
import uuid
import warnings

import optuna
import sqlalchemy
from optuna.trial import TrialState

from keras_blocks.tuning.files import DiskFull, is_full
from keras_blocks.tuning.seeds import CANDIDATES, derived_seed
from keras_blocks.tuning.study.ownership import history, is_left, lost_again
from keras_blocks.tuning.study.processes import this_process
from keras_blocks.tuning.study.status import Status
from keras_blocks.tuning.study.store import StudyStorage
from keras_blocks.tuning.study.suggestions import at_random, suggest
from keras_blocks.tuning.study.trial import STATES, Trial

SAMPLED_DRAWS, RANDOM_DRAWS = 8, 1000
"""Draws of one candidate, by the sampler and then at random, before the search ends for want of a new one within the
budget. The sampler learns of those that were refused."""

MOST_FAILURES = 5
"""Trials that may fail one after another before the search is ended: then it is not the candidates' fault."""

MOST_LOSSES = 5
"""Workers that one trial may lose, without an epoch told between two of them, before it counts as failed."""

PATIENCE = 600
"""Seconds for which a database that does not answer is asked again."""


class StudyEnded(RuntimeError):
    """There is no further candidate, and why."""


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
    values: dict
    candidate: dict
    attempt: int
    token: str
    trial: optuna.Trial = dataclasses.field(repr=False, compare=False)


def _patiently(method):
    """Repeats a method while the database does not answer: a server that starts again ends no search."""

    @functools.wraps(method)
    def asked(self, *args, **kwargs):
        until, pause = time.monotonic() + self.patience, 0.2
        while True:
            try:
                return method(self, *args, **kwargs)
            except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.DBAPIError, OSError) as error:
                if is_full(error):
                    raise DiskFull(f"{self._storage}: the disk is full") from error
                if isinstance(error, OSError) or time.monotonic() + pause > until:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 10)

    return asked


class Study:
    """The trials of a search: drawn, given to workers, ended.

    What is drawn, checked and handed out happens under the storage's lock, so that no two workers get the same trial
    or the same candidate. A trial whose worker is gone (by its heartbeats, or at once where its process was on this
    machine) waits for the next one, with its number. A worker that comes back too late cannot end it any more.

    Args:
        storage: `StudyStorage`.
        name: of the study.
        space: list of KerasTuner's hyperparameters, from which values are drawn.
        sampler: of Optuna.
        pruner: of Optuna.
        directions: "maximize" or "minimize" for each objective.
        identity: plain data that must be the same for all workers, and when the study goes on. Includes the space.
        inspect: function of a dict of values, to a dict of plain data with what it comes to, kept with the trial: its
            "signature" where it has one, and "refused", the reason, where it must not be built.
        max_trials: to end after, or `None`.
        seed: of what is drawn at random.

    Raises:
        ValueError: where the study is there with another identity.
    """

    def __init__(
        self,
        storage: StudyStorage,
        name: str,
        *,
        space,
        sampler,
        pruner,
        directions,
        identity: dict,
        inspect=None,
        max_trials=None,
        seed=0,
        patience=PATIENCE,
    ):
        self.name, self.space, self.max_trials, self.patience = name, list(space), max_trials, patience
        self._storage, self._inspect, self._seed = storage, inspect or (lambda values: {}), seed
        self._nothing_new = None
        self.directions = tuple(directions)
        with storage.exclusive(name):
            self.optuna = _created(storage, name, sampler, pruner, self.directions)
            found = self.optuna.user_attrs.get("identity")
            if found is None:
                self.optuna.set_user_attr("identity", identity)
        identity = json.loads(json.dumps(identity))
        if found is not None and found != identity:
            storage.close()
            raise ValueError(
                f"`study`: {name!r} in {storage} was begun otherwise, and its trials would not compare: "
                f"{'; '.join(_differences(found, identity))}. Give the same, or another name."
            )

    # -- what a worker does ------------------------------------------------------------------------------------------

    @_patiently
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
            running = any(trial.status is Status.RUNNING for trial in counted)
            if not any(trial.status is Status.WAITING for trial in counted):
                self._check_failures(counted)
                all_done = self.max_trials is not None and len(counted) >= self.max_trials
                if reason := f"all {len(counted)} trials are done" if all_done else self._nothing_new:
                    if running:
                        return None
                    raise StudyEnded(reason)
            try:
                trial, values, candidate = self._drawn(trials)
            except StudyEnded as error:
                if not running:
                    raise
                self._nothing_new = str(error)
                return None
            past = history(trial)
            attempt = past["attempt"] + 1
            token = uuid.uuid4().hex
            self._storage.rdb.record_heartbeat(trial._trial_id)
            owner = {**past, "worker": worker, "token": token, "attempt": attempt, **this_process()}
            trial.set_user_attr("owner", owner)
            return Lease(trial.number, values, candidate, attempt, token, trial)

    @_patiently
    def beat(self, lease: Lease) -> None:
        """A sign of life."""
        self._storage.rdb.record_heartbeat(lease.trial._trial_id)

    @_patiently
    def report(self, lease: Lease, step: int, value: float) -> bool:
        """Tells the objective after an epoch.

        Returns:
            Whether the trial should end, as others are better.
        """
        if len(self.directions) > 1 or not math.isfinite(value):
            return False
        if step in self.optuna._storage.get_trial(lease.trial._trial_id).intermediate_values:
            return False  # told by the worker before this one
        lease.trial.report(value, step)
        return lease.trial.should_prune()

    @_patiently
    def complete(self, lease: Lease, values, result: dict) -> bool:
        """Ends a trial with the values of its objectives.

        Returns:
            Whether it was still this worker's.

        Raises:
            ValueError: for NaN or infinite values: such a trial has failed.
        """
        if not all(math.isfinite(value) for value in values):
            raise ValueError(f"`values` must be finite; received {values}.")
        return self._end(lease, Status.COMPLETED, list(values), {"result": result})

    @_patiently
    def prune(self, lease: Lease, result: dict) -> bool:
        """Ends a trial that is behind others."""
        return self._end(lease, Status.PRUNED, None, {"result": result})

    @_patiently
    def fail(self, lease: Lease, reason: str, result: dict | None = None) -> bool:
        """Ends a trial that could not be trained. No sampler takes it into account."""
        return self._end(lease, Status.FAILED, None, {"error": reason, **({"result": result} if result else {})})

    @_patiently
    def refuse(self, lease: Lease, reason: str, result: dict | None = None) -> bool:
        """Ends a trial that turned out to be above the budget. It does not count."""
        return self._end(lease, Status.PRUNED, None, {"refused": reason, **({"result": result} if result else {})})

    @_patiently
    def release(self, lease: Lease) -> None:
        """Gives a trial back, for another worker."""
        with self._storage.exclusive(self.name):
            if self._is_mine(lease):
                trial_id = lease.trial._trial_id
                self._put_back(trial_id, history(self.optuna._storage.get_trial(trial_id)))

    @_patiently
    def is_mine(self, lease: Lease) -> bool:
        """Whether the trial has not been given to another worker."""
        with self._storage.exclusive(self.name):
            return self._is_mine(lease)

    # -- what there is -----------------------------------------------------------------------------------------------

    @_patiently
    def trials(self) -> list[Trial]:
        """All trials, in order."""
        return [Trial.of(frozen) for frozen in self.optuna.get_trials(deepcopy=False)]

    @_patiently
    def pareto(self) -> list[Trial]:
        """The completed trials that no other is better than in all objectives."""
        numbers = {frozen.number for frozen in self.optuna.best_trials}
        return [trial for trial in self.trials() if trial.completed and trial.number in numbers]

    @_patiently
    def add_time(self, session: str, seconds: float) -> float:
        """Records how long a session has searched until now.

        Returns:
            The seconds in which any of the sessions did.
        """
        now = time.time()
        self.optuna.set_user_attr(f"searched {session}", [round(now - seconds, 3), round(now, 3)])
        return _covered(value for name, value in self.optuna.user_attrs.items() if name.startswith("searched "))

    def close(self) -> None:
        self._storage.close()

    # -- drawing -----------------------------------------------------------------------------------------------------

    def _drawn(self, trials):
        """(Optuna's trial, values, what inspect says) of a trial that waits, or of a new candidate."""
        known = {}
        for trial in trials:
            if trial.signature is not None and trial.duplicate_of is None:
                known.setdefault(trial.signature, trial)
        for _ in range(SAMPLED_DRAWS):
            if self._is_exhausted(trials):
                raise StudyEnded("all combinations of the grid were tried")
            if (drawn := self._accepted(self._ask(), known)) is not None:
                return drawn
        rng = random.Random(derived_seed(self._seed, CANDIDATES, len(trials)))
        refusals = set()
        for _ in range(RANDOM_DRAWS):
            params, values = at_random(self.space, rng)
            candidate = self._inspect(values)
            if reason := candidate.get("refused"):
                refusals.add(reason)
            elif candidate.get("signature") not in known:
                self.optuna.enqueue_trial(params)
                return self._accepted(self._ask(), known)
        if refusals:
            raise StudyEnded(f"no candidate within the budget was found in {RANDOM_DRAWS} draws: {min(refusals)}")
        raise StudyEnded("all candidates of the space were tried")

    def _accepted(self, trial, known):
        candidate = trial.user_attrs.get("candidate")
        if candidate is not None and history(trial)["attempt"]:
            return trial, candidate["values"], candidate  # of a worker that was lost
        with self._storage.rdb.together():
            values = suggest(trial, self.space)
            candidate = {**self._inspect(values), "values": values}
            reason = candidate.pop("refused", None)
            trial.set_user_attr("candidate", candidate)
            if reason is not None:
                trial.set_user_attr("refused", reason)
        signature = candidate.get("signature")
        if reason is not None:
            self.optuna.tell(trial, state=TrialState.PRUNED)
            return None
        if signature is not None and signature in known and known[signature].number != trial.number:
            same = known[signature]
            trial.set_user_attr("duplicate_of", same.number)
            if same.completed:
                self.optuna.tell(trial, list(same.objectives))
            else:
                self.optuna.tell(trial, state=TrialState.PRUNED)
            return None
        return trial, values, candidate

    def _is_exhausted(self, trials) -> bool:
        waiting = any(trial.status is Status.WAITING for trial in trials)
        return not waiting and getattr(self.optuna.sampler, "is_exhausted", lambda study: False)(self.optuna)

    def _ask(self):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Heartbeat of storage")  # the worker sends them
            warnings.filterwarnings("ignore", module="sklearn")
            return self.optuna.ask()

    def _check_failures(self, counted):
        ended = sorted((trial for trial in counted if trial.ended is not None), key=lambda trial: trial.ended)
        last = ended[-MOST_FAILURES:]
        if len(last) == MOST_FAILURES and all(trial.status is Status.FAILED for trial in last):
            raise StudyEnded(f"the last {MOST_FAILURES} trials failed, the last one: {last[-1].error}")

    # -- trials that change hands ------------------------------------------------------------------------------------

    def _take_back_left(self) -> list[Trial]:
        """Lets trials wait whose worker is gone.

        Returns:
            All trials.
        """
        all_trials = self.optuna.get_trials(deepcopy=False)
        running = [frozen for frozen in all_trials if frozen.state == TrialState.RUNNING]
        silent = set(self._storage.rdb._get_stale_trial_ids(self.optuna._study_id)) if running else ()
        left = [frozen for frozen in running if frozen._trial_id in silent or is_left(frozen)]
        for frozen in left:
            past = lost_again(frozen)
            if past.get("lost", 0) >= MOST_LOSSES:
                rdb = self._storage.rdb
                rdb.set_trial_user_attr(frozen._trial_id, "error", f"its worker was lost {MOST_LOSSES} times")
                rdb.set_trial_state_values(frozen._trial_id, TrialState.FAIL)
            else:
                self._put_back(frozen._trial_id, past)
        return self.trials() if left else [Trial.of(frozen) for frozen in all_trials]

    def _put_back(self, trial_id, past) -> None:
        storage = self.optuna._storage
        storage.set_trial_user_attr(trial_id, "owner", past)
        storage.set_trial_state_values(trial_id, TrialState.WAITING)

    def _is_mine(self, lease) -> bool:
        frozen = self.optuna._storage.get_trial(lease.trial._trial_id)
        owner = frozen.user_attrs.get("owner", {})
        return frozen.state == TrialState.RUNNING and owner.get("token") == lease.token

    def _end(self, lease, status, values, attributes) -> bool:
        state = STATES[status]
        with self._storage.exclusive(self.name):
            if not self._is_mine(lease):
                frozen = self.optuna._storage.get_trial(lease.trial._trial_id)
                # Where a repetition finds that its first try got through after all.
                return frozen.state == state and frozen.user_attrs.get("owner", {}).get("token") == lease.token
            for name, value in attributes.items():
                lease.trial.set_user_attr(name, value)
            self.optuna.tell(lease.trial, values, state=state)
            return True


def _covered(intervals) -> float:
    """The length of the union of intervals."""
    total, until = 0.0, -math.inf
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


@contextlib.contextmanager
def quiet_optuna():
    """Optuna's notes of each trial are not shown."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _created(storage, name, sampler, pruner, directions):
    with quiet_optuna():
        return optuna.create_study(
            storage=storage.rdb,
            study_name=name,
            sampler=sampler,
            pruner=pruner,
            directions=list(directions),
            load_if_exists=True,
        )


def _differences(there, here, path="") -> list[str]:
    """Where two pieces of plain data differ, as text."""
    if isinstance(there, dict) and isinstance(here, dict):
        found = []
        for name in dict.fromkeys([*there, *here]):
            found += _differences(there.get(name), here.get(name), f"{path}.{name}" if path else name)
        return found
    if there == here:
        return []
    if isinstance(there, list) and isinstance(here, list):
        return [f"{path} was otherwise there"]
    return [f"{path}={there!r} there and {here!r} here"]
