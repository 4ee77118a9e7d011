"""Metaparameters, hyperparameters and times in a line, as tables and figures show them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any


def differing(dicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values are not the same in all dicts, or that some lack; of a single dict, all.

    Example:

    >>> differing([{"filters": 8, "dropout": 0.1}, {"filters": 16, "dropout": 0.1, "bypass": None}])
    ['filters', 'bypass']
    """
    keys = list(dict.fromkeys(key for each in dicts for key in each))
    if len(dicts) < 2:
        return keys
    return [key for key in keys if any(key not in each or each[key] != dicts[0].get(key) for each in dicts)]


def described(metaparameters: Mapping[str, Any], only: Collection[str] | None = None) -> str:
    """Metaparameters in a line.

    Args:
        metaparameters: name -> value.
        only: names of those that are shown, in this order; by default all.

    Example:

    >>> described({"groups": [{"filters": [8, 8]}, {"filters": [16]}], "dropout": 0.2})
    'groups 8 8 | 16, dropout 0.2'
    """
    names = metaparameters if only is None else [name for name in only if name in metaparameters]
    return ", ".join(f"{name} {described_value(metaparameters[name])}" for name in names)


def described_value(value: Any) -> str:
    """A value in a line: numbers in four digits, and lists without brackets."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        items = {key: described_value(item) for key, item in value.items()}
        return " ".join(items.values() if len(items) == 1 else (f"{key}={item}" for key, item in items.items()))
    if isinstance(value, (list, tuple)):
        return (" | " if value and isinstance(value[0], dict) else " ").join(map(described_value, value))
    return "none" if value is None else str(value)


def described_changes(changed: Mapping[str, Sequence[Any]]) -> str:
    """What is another than in a trial's parent.

    Args:
        changed: name -> (value there, value here); `None` where it was not drawn.

    Example:

    >>> described_changes({"filters": [16, 24], "optimizer": ["adamw", "sgd"], "sgd_learning_rate": [None, 0.05]})
    'filters 16 → 24, optimizer adamw → sgd, sgd_learning_rate 0.05'
    """
    parts = []
    for name, (before, here) in changed.items():
        if here is not None:  # what is not drawn any more follows from what is
            told = described_value(here)
            parts.append(f"{name} {told}" if before is None else f"{name} {described_value(before)} → {told}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time in its two largest units.

    Example:

    >>> duration(75), duration(3.4)
    ('1 min 15 s', '3 s')
    """
    seconds = round(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // smaller} {name}"
    return f"{seconds} s"
