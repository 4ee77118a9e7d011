"""What trials are judged by: the names of measures, their values as text, and which trials are the best."""

import functools
import math

from keras_blocks.tuning.study.trial import best_of

OBJECTIVES = {
    "val_accuracy": "maximize",
    "val_loss": "minimize",
    "params": "minimize",
    "macs": "minimize",
    "activation_bytes": "minimize",
    "latency": "minimize",
    "seconds": "minimize",
}
"""What can be searched for, and which way."""

LABELS = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "accuracy": "training accuracy",
    "loss": "training loss",
    "params": "parameters",
    "macs": "multiply-adds",
    "activation_bytes": "activation bytes",
    "latency": "latency",
}

FACTORS = {"val_accuracy": 100, "accuracy": 100, "latency": 1000}
"""From a measure's value to what is shown: percent, milliseconds."""

UNITS = {"val_accuracy": "%", "accuracy": "%", "latency": "ms"}

COUNTS = ("params", "macs", "activation_bytes")


def label(name: str) -> str:
    """A measure's name in words.

    Example:

    >>> label("macs")
    'multiply-adds'
    """
    return LABELS.get(name, name)


def text(name: str, value) -> str:
    """A measure's value with its unit.

    Example:

    >>> text("val_accuracy", 0.9134), text("macs", 1_240_000), text("latency", 0.0031), text("val_loss", None)
    ('91.34 %', '1.24M', '3.1 ms', '-')
    """
    if value is None or not math.isfinite(value):
        return "-"
    if name in COUNTS:
        return short(value)
    shown = value * FACTORS.get(name, 1)
    if UNITS.get(name) == "%":
        return f"{shown:.2f} %"
    return f"{shown:.4g} {UNITS[name]}" if name in UNITS else f"{shown:.4g}"


def measured(trial, name: str, objectives=()):
    """A completed trial's value, or `None`: what it was judged by, or another of its measures.

    Args:
        trial: a `Trial`.
        name: of an objective, or of an attribute that is a number.
        objectives: (name, direction) of each of the study's.
    """
    if not trial.completed:
        return None
    values = dict(zip([name for name, _ in objectives], trial.objectives))
    value = values.get(name, getattr(trial, name, None) if name in LABELS else None)
    return value if value is not None and math.isfinite(value) else None


def best_trial(trials, objectives):
    """The completed trial with the best first objective, or `None`."""
    name, direction = objectives[0]
    if (name, direction) == ("val_accuracy", "maximize"):
        return best_of(trials)
    sign = 1 if direction == "minimize" else -1
    found = [trial for trial in trials if measured(trial, name, objectives) is not None]
    return min(found, key=lambda trial: (sign * measured(trial, name, objectives), trial.number), default=None)


def front(trials, objectives, *, given=None) -> list:
    """The completed trials that no other is better than: at least as good in everything, and better in something.

    Args:
        trials: `Trial`s.
        objectives: (name, direction) of each measure that counts here.
        given: the study's own objectives, where they differ.

    Returns:
        Those trials, in the order of the first measure.
    """
    points = {}
    for trial in trials:
        values = [measured(trial, name, given or objectives) for name, _ in objectives]
        if None not in values:
            points[trial.number] = (
                trial,
                [value if way == "minimize" else -value for value, (_, way) in zip(values, objectives)],
            )
    kept = [
        (mine, trial)
        for trial, mine in points.values()
        if not any(
            other != mine and all(theirs <= ours for theirs, ours in zip(other, mine)) for _, other in points.values()
        )
    ]
    return [trial for _, trial in sorted(kept, key=lambda item: (item[0], item[1].number))]


@functools.cache
def short(number: float) -> str:
    """A count in three digits: 950, 12.3k, 1.24M."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            return f"{number / factor:.3g}{unit}"
    return f"{number:.3g}"
