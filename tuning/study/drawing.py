"""What a study tries next: candidates that are within the budget, and new."""

import dataclasses
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import optuna

from keras_blocks.tuning.seeds import CANDIDATES, derived_seed
from keras_blocks.tuning.study.leases import history
from keras_blocks.tuning.study.sources import Drawable, RandomSource, TrialSource
from keras_blocks.tuning.study.status import Status
from keras_blocks.tuning.study.store import StudyStorage, state_of
from keras_blocks.tuning.study.trial import Trial

SAMPLED_DRAWS = 8
"""The sampler draws one candidate so often, and learns of those that were refused; then it is drawn at random."""


class StudyEnded(RuntimeError):
    """There is no further candidate, and why."""


class Drawn(NamedTuple):
    """A candidate that may be run: Optuna's trial, what was drawn, and what the study's `inspect` said of it."""

    trial: optuna.Trial
    values: dict[str, Any]
    candidate: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Drawer:
    """Draws a study's candidates, under its lock.

    Args:
        study: Optuna's.
        storage: that it is in.
        inspect: see `Study`.
        seed: of what is drawn at random.
        random_draws: of one candidate, before there is none.
    """

    study: optuna.Study
    storage: StudyStorage
    inspect: Callable[[dict[str, Any]], dict[str, Any]]
    seed: int
    random_draws: int

    def draw(self, space: Drawable, trials: Sequence[Trial]) -> Drawn:
        """A trial that waits, or a new candidate.

        Args:
            space: from which values are drawn.
            trials: all so far.

        Raises:
            StudyEnded: where no new candidate within the budget is found.
        """
        known: dict[str, Trial] = {}
        for trial in trials:
            if trial.signature is not None and trial.duplicate_of is None:
                known.setdefault(trial.signature, trial)
        for _ in range(SAMPLED_DRAWS):
            if self._is_exhausted(trials):
                raise StudyEnded("all combinations of the grid were tried")
            if (drawn := self._accepted(space, known)) is not None:
                return drawn
        rng = random.Random(derived_seed(self.seed, CANDIDATES, len(trials)))
        refusals = set()
        for _ in range(self.random_draws):
            source = RandomSource(rng)
            candidate = self.inspect(space.draw(source))
            if reason := candidate.get("refused"):
                refusals.add(reason)
            elif candidate.get("signature") not in known:
                self.study.enqueue_trial(source.params)
                if (drawn := self._accepted(space, known)) is not None:
                    return drawn
        if refusals:
            raise StudyEnded(f"no candidate within the budget was found in {self.random_draws} draws: {min(refusals)}")
        raise StudyEnded("all candidates of the space were tried")

    def _accepted(self, space: Drawable, known: dict[str, Trial]) -> Drawn | None:
        """The next trial of Optuna, or `None` where it ended at once: it was refused, or known already."""
        trial = self._ask()
        candidate = trial.user_attrs.get("candidate")
        if candidate is not None and history(trial)["attempt"]:
            return Drawn(trial, candidate["values"], candidate)  # of a worker that was lost
        with self.storage.together():
            values = space.draw(TrialSource(trial))
            candidate = {**self.inspect(values), "values": values}
            reason = candidate.pop("refused", None)
            trial.set_user_attr("candidate", candidate)
            if reason is not None:
                trial.set_user_attr("refused", reason)
        if reason is not None:
            self.study.tell(trial, state=state_of(Status.REFUSED))
            return None
        same = known.get(candidate.get("signature"))
        if same is None or same.number == trial.number:
            return Drawn(trial, values, candidate)
        trial.set_user_attr("duplicate_of", same.number)
        if same.completed:
            self.study.tell(trial, list(same.objectives))  # the sampler learns it, too
        else:
            self.study.tell(trial, state=state_of(Status.DUPLICATE))
        return None

    def _ask(self) -> optuna.Trial:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Heartbeat of storage")  # the worker sends them
            warnings.filterwarnings("ignore", module="sklearn")
            return self.study.ask()

    def _is_exhausted(self, trials: Sequence[Trial]) -> bool:
        if any(trial.status is Status.WAITING for trial in trials):
            return False
        return getattr(self.study.sampler, "is_exhausted", lambda study: False)(self.study)
