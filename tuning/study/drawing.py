"""What a study tries next: candidates that are within the budget, and new."""

import dataclasses
import math
import random
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import optuna

from keras_blocks.tuning.seeds import CANDIDATES, derived_seed
from keras_blocks.tuning.storage.leases import history_of
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.store import StudyStorage, state_of
from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study.breeding import lineage
from keras_blocks.tuning.study.first_trials import tried_first
from keras_blocks.tuning.study.samplers import SeededByTrial
from keras_blocks.tuning.study.sources import Drawable, RandomSource, TrialSource

SAMPLED_DRAWS = 8
"""The sampler draws one candidate so often, and learns of those that were refused; then it is drawn at random."""


FIRST = "first"
TRIED = "first tried"
"""The attribute of Optuna's study with what is tried first, where that is not left to the sampler."""


class StudyEnded(RuntimeError):
    """There is no further candidate, and why."""


class Drawn(NamedTuple):
    """A candidate that may be run: Optuna's trial, what was drawn, what `inspect` said of it; and `leases.history`."""

    trial: optuna.Trial
    values: dict[str, Any]
    candidate: dict[str, Any]
    past: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Drawer:
    """Draws a study's candidates, under its lock.

    Args:
        study: Optuna's.
        storage: that it is in.
        inspect: see `Study`.
        seed: of what is drawn at random.
        random_draws: of one candidate, before there is none.
        begin: what is tried first, see `first_trials`; `None`: what the sampler draws.
    """

    study: optuna.Study
    storage: StudyStorage
    inspect: Callable[[dict[str, Any]], dict[str, Any]]
    seed: int
    random_draws: int
    begin: str | None = None

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
        if (drawn := self._first(space, trials, known)) is not None:
            return drawn
        waits = any(trial.status is Status.WAITING for trial in trials)
        for _ in range(SAMPLED_DRAWS):
            if self._is_exhausted(trials):
                raise StudyEnded("all combinations of the grid were tried")
            if (drawn := self._accepted(space, known, new=not waits)) is not None:
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
            raise StudyEnded(
                f"no candidate within the budget was found in {self.random_draws} draws; of the nearest, "
                f"{_nearest(refusals)}. Allow more, or narrow the space to smaller ones"
            )
        raise StudyEnded("all candidates of the space were tried")

    def _first(self, space: Drawable, trials: Sequence[Trial], known: dict[str, Trial]) -> Drawn | None:
        """The next of those that are tried first; `None` where none is left, or another trial waits."""
        if self.begin is None or any(trial.status is Status.WAITING for trial in trials):
            return None
        if not trials:
            rng = random.Random(derived_seed(self.seed, CANDIDATES, 2**31 - 1))
            self.study.set_user_attr(FIRST, tried_first(self.begin, space, self.inspect, rng))
        tried = self.study.user_attrs.get(TRIED, 0)
        for number, (params, signature) in enumerate(self.study.user_attrs.get(FIRST, ())[tried:], start=tried + 1):
            if signature not in known:
                self.study.enqueue_trial(params)
                # Not by its signature: what is refused has none, and that of a trained one may change.
                self.study.set_user_attr(TRIED, number)
                if (drawn := self._accepted(space, known)) is not None:
                    return drawn
        return None

    def _accepted(self, space: Drawable, known: dict[str, Trial], *, new: bool = False) -> Drawn | None:
        """The next trial of Optuna, or `None` where it ended at once: it was refused, or known already.

        Args:
            space, known: see `draw`.
            new: whether none waits, so that nothing can be known of it.
        """
        trial = self._ask()
        stored = {} if new else trial.user_attrs
        candidate, owner = stored.get("candidate"), stored.get("owner", {})
        past = history_of(owner)
        if candidate is not None and past["attempt"]:
            return Drawn(trial, candidate["values"], candidate, past)  # of a worker that was lost
        with self.storage.together():
            values = space.draw(TrialSource(trial))
            candidate = {**self.inspect(values), "values": values, **lineage(self._parent_of(trial), values)}
            reason = candidate.pop("refused", None)
            trial.set_user_attr("candidate", candidate)
            if reason is not None:
                trial.set_user_attr("refused", reason)
        if reason is not None:
            self.study.tell(trial, state=state_of(Status.REFUSED))
            return None
        same = known.get(candidate.get("signature", ""))
        if same is None or same.number == trial.number:
            return Drawn(trial, values, candidate, past)
        trial.set_user_attr("duplicate_of", same.number)
        if same.completed:
            self.study.tell(trial, list(same.objectives))  # the sampler learns it, too
        else:
            self.study.tell(trial, state=state_of(Status.DUPLICATE))
        return None

    def _ask(self) -> optuna.Trial:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="sklearn")
            return self.study.ask()

    def _parent_of(self, trial: optuna.Trial) -> optuna.trial.FrozenTrial | None:
        sampler = self.study.sampler
        return sampler.parent_of(trial.number) if isinstance(sampler, SeededByTrial) else None

    def _is_exhausted(self, trials: Sequence[Trial]) -> bool:
        if any(trial.status is Status.WAITING for trial in trials):
            return False
        return getattr(self.study.sampler, "is_exhausted", lambda study: False)(self.study)


def _nearest(refusals: Collection[str]) -> str:
    """The refusal that is over its limit by the smallest factor: a number begins it, and the limit ends it."""

    def times(reason: str) -> float:
        try:
            number, *_, limit = reason.replace(",", "").split()
            return float(number) / float(limit)
        except (ValueError, ZeroDivisionError):  # what has none says less
            return math.inf

    return min(sorted(refusals), key=times)
