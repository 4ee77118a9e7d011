"""What trials are judged by: measures with their values as text, and which trials are the best."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from keras_blocks.core import validation
from keras_blocks.tuning.storage.trial import Trial

BATCHES = 16
"""Batches of the training's data from which BatchNormalization's statistics are taken anew before trials are judged."""


@dataclasses.dataclass(frozen=True)
class Objective:
    """A measure of a trial, and which of its values are better.

    Attributes:
        name: of an attribute of `Trial`, or of one of the study's objectives.
        direction: "maximize" or "minimize".
        label: its name in words; by default the name.
        unit: of its value as shown.
        factor: from its value to the one that is shown: percent, milliseconds.
        is_count: whether it is shown in three digits, as 1.24M.

    Example:

    >>> OBJECTIVES["val_accuracy"].text(0.9134), OBJECTIVES["macs"].text(1_240_000), OBJECTIVES["latency"].text(0.0031)
    ('91.34 %', '1.24M', '3.1 ms')
    """

    name: str
    direction: Literal["maximize", "minimize"]
    label: str = ""
    unit: str = ""
    factor: float = 1
    is_count: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or self.name)

    @property
    def title(self) -> str:
        """The label with the unit, for an axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def text(self, value: float | None) -> str:
        """A value with its unit; "-" where there is none."""
        if value is None or not math.isfinite(value):
            return "-"
        if self.is_count:
            return short(value)
        shown = f"{value * self.factor:{'.2f' if self.unit == '%' else '.4g'}}"
        return f"{shown} {self.unit}" if self.unit else shown

    def best(self, values: Sequence[float]) -> float | None:
        """The best of some values, or `None` of none."""
        return (max if self.direction == "maximize" else min)(values, default=None)

    def loss(self, value: float | None) -> float:
        """A number that is the lower, the better the value: infinite for none."""
        if value is None or not math.isfinite(value):
            return math.inf
        return -value if self.direction == "maximize" else value


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("val_accuracy", "maximize", "validation accuracy", "%", 100),
        Objective("val_loss", "minimize", "validation loss"),
        Objective("params", "minimize", "parameters", is_count=True),
        Objective("macs", "minimize", "multiply-adds", is_count=True),
        Objective("activation_bytes", "minimize", "activation bytes", is_count=True),
        Objective("latency", "minimize", "latency", "ms", 1000),
        Objective("seconds", "minimize"),
    )
}
"""What can be searched for, by name."""

MEASURES = {
    **OBJECTIVES,
    "accuracy": Objective("accuracy", "maximize", "training accuracy", "%", 100),
    "loss": Objective("loss", "minimize", "training loss"),
}
"""These, and what is only shown."""


COSTS = ("params", "macs", "activation_bytes", "latency", "seconds")
"""Objectives that no training logs."""

DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {
    "max": "maximize",
    "maximize": "maximize",
    "min": "minimize",
    "minimize": "minimize",
}


def objective_name(given: Any) -> str:
    """An objective in a word: one of `OBJECTIVES`, or a metric that `fit` logs with its direction.

    Args:
        given: such a text, or a `keras_tuner.Objective`.

    Raises:
        TypeError, ValueError: for another thing, and for a direction that is none.

    Example:

    >>> objective_name("val_auc:max"), objective_name("val_loss:min")
    ('val_auc:max', 'val_loss')
    """
    if hasattr(given, "name") and hasattr(given, "direction"):
        given = f"{given.name}:{given.direction}"
    if not isinstance(given, str):
        raise TypeError(f"`objectives` must be names, or keras_tuner.Objective(name, direction); received {given!r}.")
    name, colon, way = (part.strip() for part in given.rpartition(":"))
    if not colon:
        try:
            return validation.choice("objectives", given, tuple(OBJECTIVES))
        except ValueError as error:
            told = f"A metric that `fit` logs needs its direction: '{given}:max' or '{given}:min'."
            raise ValueError(f"{error} {told}") from error
    direction = DIRECTIONS[validation.choice("objectives", way, tuple(DIRECTIONS), where="directions")]
    if name in OBJECTIVES:
        if OBJECTIVES[name].direction != direction:
            raise ValueError(f"`objectives`: {name!r} is to {OBJECTIVES[name].direction}; received {given!r}.")
        return name
    if not name or not name.isprintable():
        raise ValueError(f"`objectives` must name a metric before its direction, as 'val_auc:max'; received {given!r}.")
    return f"{name}:{direction.removesuffix('imize')}"


def objective_named(text: str) -> Objective:
    """The objective of such a word.

    Example:

    >>> objective_named("val_auc:max").direction, objective_named("params").label
    ('maximize', 'parameters')
    """
    text = objective_name(text)
    if text in OBJECTIVES:
        return OBJECTIVES[text]
    name, _, way = text.rpartition(":")
    return dataclasses.replace(measure(name), name=name, direction=DIRECTIONS[way])


def measure(name: str, objectives: Sequence[Objective] = ()) -> Objective:
    """The measure of a name: one of the given objectives, one of ours, or of any other name one without a unit.

    Example:

    >>> measure("macs").label, measure("f1").label
    ('multiply-adds', 'f1')
    """
    given = {objective.name: objective for objective in objectives}
    return given.get(name) or MEASURES.get(name) or Objective(name, "minimize")


def measured(trial: Trial, name: str, objectives: Sequence[Objective] = ()) -> float | None:
    """A completed trial's value, or `None`: what it was judged by, or another of its measures.

    Args:
        trial: a `Trial`.
        name: of an objective, or of an attribute that is a number.
        objectives: the study's.
    """
    if not trial.completed:
        return None
    values = {objective.name: value for objective, value in zip(objectives, trial.objectives)}
    value = values.get(name, getattr(trial, name, None) if name in MEASURES else None)
    return value if value is not None and math.isfinite(value) else None


def ranking(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """The completed trials, the best first. The first is the one that is trained on; the first ones are kept.

    By the first objective; of equal ones by the further objectives in their order, by the validation loss, and by the
    number. A trial without a value of the first objective has no place.

    Args:
        trials: `Trial`s.
        objectives: the study's.

    Example:

    >>> trials = [Trial(0, "completed", {}, val_accuracy=0.8), Trial(1, "completed", {}, val_accuracy=0.9)]
    >>> [trial.number for trial in ranking(trials, [OBJECTIVES["val_accuracy"]])]
    [1, 0]
    """

    def place(trial: Trial) -> tuple[float, ...]:
        losses = [objective.loss(measured(trial, objective.name, objectives)) for objective in objectives]
        return (*losses, OBJECTIVES["val_loss"].loss(trial.val_loss), trial.number)

    ranked = [trial for trial in trials if measured(trial, objectives[0].name, objectives) is not None]
    return sorted(ranked, key=place)


def front(
    trials: Sequence[Trial], objectives: Sequence[Objective], *, given: Sequence[Objective] | None = None
) -> list[Trial]:
    """The completed trials that no other is better than: at least as good in everything, and better in something.

    Args:
        trials: `Trial`s.
        objectives: what counts here.
        given: the study's own objectives, where they differ.

    Returns:
        Those trials, in the order of the first measure.
    """
    points = {}
    for trial in trials:
        losses = [objective.loss(measured(trial, objective.name, given or objectives)) for objective in objectives]
        if math.inf not in losses:
            points[trial.number] = losses
    by_number = {trial.number: trial for trial in trials}
    return [by_number[number] for number in sorted(undominated(points), key=lambda number: (points[number], number))]


def undominated(points: Mapping[int, Sequence[float]]) -> list[int]:
    """The numbers of those points that no other is better than: as small in everything, and smaller in something.

    Example:

    >>> undominated({0: [0.2, 100], 1: [0.1, 200], 2: [0.3, 150]})
    [0, 1]
    """
    return [
        number
        for number, mine in points.items()
        if not any(other != mine and all(a <= b for a, b in zip(other, mine)) for other in points.values())
    ]


@functools.cache
def short(number: float) -> str:
    """A count in three digits: 950, 12.3k, 1.24M."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            return f"{number / factor:.3g}{unit}"
    return f"{number:.3g}"
