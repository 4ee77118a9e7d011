"""What a dimension of a search space may be: one value, one of several, or a number in a range. Plain data."""

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Iterator
from typing import Any, Self, get_args

from keras_blocks.core import validation
from keras_blocks.tuning.study.sources import Sampling, Scale, Source

Values = dict[str, Any]
"""Plain data by names: of dimensions, or of arguments."""

NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
RANGE = rf"{NUMBER}\.\.{NUMBER}(?::{NUMBER})?(?:@(linear|log|reverse_log))?"
WORDS = {"true": True, "false": False, "none": None}

MOST_CHOICES = 256
"""Each is tried with each value of every other dimension, which must end."""

MOST_STEPS = 10_000
"""All values of a range with a step are listed, by a grid and by KerasTuner."""

MOST_NESTED, MOST_ITEMS = 16, 10_000
"""Levels and items of a value that is a list or a dict: no architecture takes more, and it is copied for each trial."""


@dataclasses.dataclass(frozen=True)
class Dimension:
    """What is common to the three kinds.

    Attributes:
        conditions: (name of another dimension, its values) for which alone this one is drawn.
    """

    conditions: tuple[tuple[str, tuple[Any, ...]], ...] = dataclasses.field(default=(), kw_only=True)

    def values(self) -> list[Any]:
        """All that it may be."""
        raise NotImplementedError

    def edge_values(self) -> list[Any]:
        """Those that are tried: where they are valid, all are taken to be."""
        return self.values()

    def labels(self) -> list[Any]:
        """What sources and trials call the values that a grid has."""
        return self.values()

    def label_of(self, value: Any) -> Any:
        """What sources and trials call the value."""
        return value

    def draw(self, source: Source, name: str) -> Any:
        """A value by its label."""
        raise NotImplementedError

    def value_of(self, label: Any) -> Any:
        """The value that a label stands for."""
        return label

    def get_config(self) -> Values:
        """The dimension as plain data, from which `dimension_from_config` makes it again."""
        raise NotImplementedError

    def when(self, parent: str, *values: Any) -> Self:
        """The same, drawn only where the dimension `parent` has one of these values."""
        return dataclasses.replace(self, conditions=(*self.conditions, (parent, values)))

    def parse(self, text: str) -> "Dimension":
        """What a user writes in place of this one on a command line.

        Args:
            text: `16`, `v1,v2`, `16..64`, `16..64:16` with a step, or `1e-4..1e-1@log`. A word is a string where this
                dimension has that string among its values: only elsewhere do `none`, `true` and `1` mean what they are
                in Python.

        Raises:
            TypeError, ValueError: for a range of what are no numbers, and for equal choices.

        Example:

        >>> Fixed(16).parse("16..64:16")
        Range(conditions=(), low=16, high=64, step=16, sampling='linear', start=None)
        >>> hp_choice("light", "none").parse("none"), hp_choice("simple", None).parse("none")
        (Fixed(conditions=(), value='none'), Fixed(conditions=(), value=None))
        """
        if ".." in text:
            if not (found := re.fullmatch(RANGE, text.strip())):
                raise ValueError(
                    f"`set` must have numbers in a range, as 16..64, 16..64:16 or 1e-4..1e-1@log; received {text!r}."
                )
            step = self._read(found[3]) if found[3] else None
            sampling: Any = found[4] or "linear"
            return hp_range(self._read(found[1]), self._read(found[2]), step, sampling)
        return hp_choice(*map(self._read, text.split(","))) if "," in text else Fixed(self._read(text))

    def _read(self, text: str) -> Any:
        text = text.strip()
        if text in [value for value in self.edge_values() if isinstance(value, str)]:
            return text
        if text.lower() in WORDS:
            return WORDS[text.lower()]
        if re.fullmatch(r"[-+]?\d+", text):
            return int(text)
        return float(text) if re.fullmatch(NUMBER, text) else text


@dataclasses.dataclass(frozen=True)
class Fixed(Dimension):
    """One value: nothing is drawn."""

    value: Any

    def values(self) -> list[Any]:
        return [self.value]

    def get_config(self) -> Values:
        return {"fixed": self.value}


@dataclasses.dataclass(frozen=True)
class Choice(Dimension):
    """One of several values, the first by default."""

    choices: tuple[Any, ...]

    def values(self) -> list[Any]:
        return list(self.choices)

    def label_of(self, value: Any) -> Any:
        """Sources take strings, or numbers of one type; anything else is named by its text."""
        kinds = {type(item) for item in self.choices}
        if len(kinds) == 1 and kinds <= {int, float, str, bool}:
            return value
        return "none" if value is None else value if isinstance(value, str) else json.dumps(value)

    def labels(self) -> list[Any]:
        return [self.label_of(value) for value in self.choices]

    def value_of(self, label: Any) -> Any:
        return dict(zip(self.labels(), self.choices)).get(label, label)

    def draw(self, source: Source, name: str) -> Any:
        return source.choice(name, self.labels())

    def get_config(self) -> Values:
        return {"choices": list(self.choices)}


@dataclasses.dataclass(frozen=True)
class Range(Scale, Dimension):
    """A number from `low` to `high`, both included: an integer where both are."""

    def values(self) -> list[Any]:
        return list(range(self.low, self.high + 1)) if self.whole and self.step is None else self.labels()

    def edge_values(self) -> list[Any]:
        return [self.low, self.high]

    def value_of(self, label: Any) -> Any:
        if self.whole:
            return int(label)
        return float(f"{label:.10g}") if self.step else label  # steps add up to 0.30000000000000004

    def draw(self, source: Source, name: str) -> Any:
        return source.number(name, self)

    def get_config(self) -> Values:
        config = {"low": self.low, "high": self.high, "step": self.step, "sampling": self.sampling}
        return {"range": {**config, "default": self.start}}


def hp_range(
    low: float, high: float, step: float | None = None, sampling: Sampling = "linear", default: float | None = None
) -> Range:
    """A dimension of a search space that is a number in a range.

    Args:
        low, high: least and greatest value, both included; the dimension is an integer where both are.
        step: distance of two values, or their ratio where `sampling` is not "linear"; `None` for any value.
        sampling: "linear", "log" or "reverse_log", as in KerasTuner.
        default: value that KerasTuner takes first; `low` by default.

    Returns:
        A `Range`.

    Raises:
        TypeError, ValueError: for what is no range, naming the argument.

    Example:

    >>> from keras_blocks.tuning import HyperResNet, hp_range
    >>> space = HyperResNet((32, 32, 3), classes=10, groups=hp_range(2, 4), version="v2")
    """
    given = {"low": low, "high": high, "step": step, "default": default}
    numbers = dict(given)
    for name, value in given.items():
        if value is not None or name in ("low", "high"):
            numbers[name] = validation.number(name, value, least=-1e30, most=1e30)
    validation.choice("sampling", sampling, get_args(Sampling))
    whole = Scale(low, high).whole
    if low > high:
        raise ValueError(f"`low` must be at most `high`; received low={low!r}, high={high!r}.")
    if sampling != "linear" and low <= 0:
        raise ValueError(f"`low` must be above 0 for `sampling={sampling!r}`; received {low!r}.")
    if step is not None and step <= (0 if sampling == "linear" else 1):
        raise ValueError(f"`step` must be above 0, or above 1 unless `sampling` is 'linear'; received {step!r}.")
    if whole and (isinstance(step, float) or isinstance(default, float)):
        raise TypeError(f"`step` and `default` must be integers, as `low` and `high`; received {step!r}, {default!r}.")
    if step is not None and _steps(low, high, step, sampling) > MOST_STEPS:
        raise ValueError(
            f"`step` must make at most {MOST_STEPS:,} values from {low!r} to {high!r}, or be None for any value; "
            f"received {step!r}."
        )
    if default is not None and not low <= default <= high:
        raise ValueError(f"`default` must be from {low!r} to {high!r}; received {default!r}.")
    taken = given if whole else numbers
    return Range(taken["low"], taken["high"], taken["step"], sampling, taken["default"])


def hp_choice(*values: Any) -> Choice:
    """A dimension of a search space that is one of several values.

    Args:
        *values: plain data: numbers, strings, booleans, `None`, tuples, dicts. The first is the default.

    Returns:
        A `Choice`.

    Raises:
        TypeError, ValueError: for no values or more than 256, for equal ones, and for what is no plain data.

    Example:

    >>> from keras_blocks.tuning import HyperSqueezeNet, hp_choice
    >>> space = HyperSqueezeNet((32, 32, 3), classes=10, bypass=hp_choice(None, "simple"))
    """
    if len(validation.sequence("values", values, of="values")) > MOST_CHOICES:
        raise ValueError(
            f"`values` must be at most {MOST_CHOICES}, each of which is tried; received {len(values):,}. For numbers, "
            "take an hp_range, which may have a step."
        )
    choice = Choice(tuple(_plain("values", value) for value in values))
    if len(set(map(json.dumps, choice.labels()))) < len(values):
        raise ValueError(f"`values` must all be different; received {list(choice.choices)!r}.")
    return choice


def as_dimension(name: str, given: Any) -> Dimension:
    """A dimension as users give it: a `Dimension` stays, a list is a choice, any other value fixes.

    Raises:
        TypeError, ValueError: naming the dimension.
    """
    if isinstance(given, Dimension):
        return given
    try:
        return hp_choice(*given) if isinstance(given, list) else Fixed(_plain("value", given))
    except (TypeError, ValueError) as error:
        raise type(error)(f"`{name}`: {error}") from error


def dimension_from_config(config: Values) -> Dimension:
    """What `get_config` of a dimension gives, back."""
    ((kind, value),) = config.items()
    if kind == "range":
        return hp_range(**value)
    return hp_choice(*value) if kind == "choices" else Fixed(value)


def _steps(low: float, high: float, step: float, sampling: Sampling) -> float:
    """How many values a range with a step has, about."""
    return (high - low) / step if sampling == "linear" else math.log(high / low) / math.log(step)


def _plain(name: str, value: Any) -> Any:
    """Plain data, with lists for tuples, and an end: a list may hold itself."""
    return _plain_part(name, value, 0, itertools.count(1))


def _plain_part(name: str, value: Any, depth: int, items: Iterator[int]) -> Any:
    if depth > MOST_NESTED or next(items) > MOST_ITEMS:
        raise ValueError(f"`{name}` must have at most {MOST_ITEMS:,} items, nested at most {MOST_NESTED} deep.")
    if isinstance(value, (list, tuple)):
        return [_plain_part(name, item, depth + 1, items) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain_part(name, item, depth + 1, items) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise TypeError(f"`{name}` must be plain data, finite numbers, strings, None, lists and dicts; received {value!r}.")
