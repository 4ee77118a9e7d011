"""Breeding: a new candidate is one that is done with one to three of its dimensions a step away."""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from keras_blocks.tuning.objectives import undominated

FOUNDERS = 4
"""So many trials are drawn at random: they have no parents."""

POPULATION = 8
"""With one objective a parent is among so many that are the best, each half as likely as the one before it."""

MOST_CHANGES = 3
"""A child has so many dimensions changed at most."""

SHARE = 0.15
"""The standard deviation of a step along a continuous range, in ranges."""

WIDTH = 0.25
"""Of the kernel by which the density of a front is told, in the front's own extent."""


class Breeding(BaseSampler):
    """Draws one trial: at random while there are few, then as the child of a trial that is completed.

    With one objective this climbs hills from the best trials; with several, the parents are the front's, those from
    its thin parts more often. Which trial is the parent, and what changes, follows from the seed and the study alone.

    Args:
        seed: of this trial.

    Attributes:
        parent: the trial that this one is a child of, once it has been drawn; `None` where it has none.

    Reference:
        Elsken, Metzen and Hutter, "Simple and Efficient Architecture Search for Convolutional Neural Networks", 2017
        (NASH, hill climbing by network morphisms); "Efficient Multi-objective Neural Architecture Search via Lamarckian
        Evolution", 2019 (LEMONADE, parents from thin parts of the front).
    """

    def __init__(self, seed: int) -> None:
        self.parent: FrozenTrial | None = None
        self._rng, self._random = random.Random(seed), RandomSampler(seed=seed)
        self._changed: list[str] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if self._changed is None:  # not before it is asked: what was asked for by a value has no parent
            self._choose(study)
        values = {} if self.parent is None else self.parent.params
        if param_name not in values or not _is_of(param_distribution, values[param_name]):
            return self._random.sample_independent(study, trial, param_name, param_distribution)
        value = values[param_name]  # which may be None
        return stepped(param_distribution, value, self._rng) if param_name in (self._changed or ()) else value

    def _choose(self, study: Study) -> None:
        """The parent, and which of its dimensions change."""
        self._changed = []
        trials = study.get_trials(deepcopy=False)
        done = {one.number: one for one in trials if _is_own(one) and one.state is TrialState.COMPLETE}
        points = {number: one.values for number, one in done.items()}
        if not done or sum(_is_own(one) for one in trials) <= FOUNDERS:  # this one is among them
            return
        signs = [1 if one is StudyDirection.MINIMIZE else -1 for one in study.directions]
        numbers = population(points, signs)
        (chosen,) = self._rng.choices(numbers, chances([points[number] for number in numbers]))
        self.parent = done[chosen]
        names = sorted(name for name, one in self.parent.distributions.items() if not one.single())
        self._changed = self._rng.sample(names, min(len(names), self._rng.randint(1, MOST_CHANGES)))


def population(points: Mapping[int, Sequence[float]], signs: Sequence[int]) -> list[int]:
    """The numbers of the trials that may be parents: the best with one objective, with several the front.

    Args:
        points: number of a completed trial -> the values of its objectives.
        signs: 1 for an objective that is to be small, -1 for one that is to be large.

    Example:

    >>> population({0: [0.8], 1: [0.9], 2: [0.9]}, [-1])
    [2, 1, 0]
    >>> population({0: [0.8, 100], 1: [0.9, 200], 2: [0.7, 150]}, [-1, 1])
    [1, 0]
    """
    losses = {number: [sign * value for sign, value in zip(signs, values)] for number, values in points.items()}
    ranked = sorted(losses, key=lambda number: (losses[number], -number))  # of equal ones the youngest
    if len(signs) == 1:
        return ranked[:POPULATION]
    return undominated({number: losses[number] for number in ranked})


def chances(points: Sequence[Sequence[float]]) -> list[float]:
    """How likely each of a population is to be the parent, in its order.

    Example:

    >>> chances([[0.9], [0.8], [0.7]])
    [1.0, 0.5, 0.25]
    """
    if len(points[0]) == 1:
        return [0.5**place for place in range(len(points))]
    columns = list(zip(*points))
    extents = [(max(column) - min(column)) or 1.0 for column in columns]
    scaled = [[value / extent for value, extent in zip(point, extents)] for point in points]
    return [1 / sum(math.exp(-(math.dist(one, other) ** 2) / (2 * WIDTH**2)) for other in scaled) for one in scaled]


def stepped(distribution: BaseDistribution, value: Any, rng: random.Random) -> Any:
    """Another value of a dimension: of ordered ones near by, of others any.

    Args:
        distribution: of Optuna.
        value: that the parent has.
        rng: a random generator.

    Example:

    >>> sorted({stepped(CategoricalDistribution([32, 16, 64, 24]), 24, random.Random(seed)) for seed in range(9)})
    [16, 32]
    """
    if isinstance(distribution, CategoricalDistribution):
        others: list[Any] = [choice for choice in distribution.choices if choice != value]
        if all(type(choice) in (int, float) for choice in distribution.choices):
            below = [choice for choice in others if choice < value]
            above = [choice for choice in others if choice > value]
            others = [*([max(below)] if below else []), *([min(above)] if above else [])]
        return rng.choice(others)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.log or distribution.step is None:
        return _along(distribution, value, rng)
    low, step = distribution.low, distribution.step
    count = round((distribution.high - low) / step)
    place = round((value - low) / step)
    move = rng.choice((-1, 1)) * rng.randint(1, max(1, count // 10))
    place = place + move if 0 <= place + move <= count else place - move
    return min(distribution.high, low + step * min(count, max(0, place)))


def _along(distribution: IntDistribution | FloatDistribution, value: Any, rng: random.Random) -> Any:
    """A step along a range without steps of its own; what would lead beyond its ends comes back from them."""
    scale, back = (math.log, math.exp) if distribution.log else (float, float)
    low, high = scale(distribution.low), scale(distribution.high)
    place = scale(value) + rng.gauss(0, SHARE) * (high - low)
    place = 2 * low - place if place < low else 2 * high - place if place > high else place
    found = min(distribution.high, max(distribution.low, back(min(high, max(low, place)))))
    if isinstance(distribution, FloatDistribution):
        return found
    whole = round(found)
    return whole if whole != value else value + 1 if value < distribution.high else value - 1


def lineage(parent: FrozenTrial | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial keeps of its parent: its number, and name -> [value there, value here] of what is another.

    Args:
        parent: of Optuna; `None`: the trial has none, and keeps nothing.
        values: what was drawn.
    """
    if parent is None:
        return {}
    before = parent.user_attrs.get("candidate", {}).get("values", {})
    names = [name for name in dict.fromkeys([*before, *values]) if before.get(name) != values.get(name)]
    return {"parent": parent.number, "changed": {name: [before.get(name), values.get(name)] for name in names}}


def _is_own(trial: FrozenTrial) -> bool:
    """Whether it is a candidate of its own: neither refused nor one that there had been."""
    return not {"refused", "duplicate_of"} & trial.user_attrs.keys()


def _is_of(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a dimension may have a value, as it may not where its range depends on others."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return isinstance(value, int | float) and distribution.low <= value <= distribution.high
