"""What a part of a search space may be: one value, one of several, or a number in a range. Plain data."""

import dataclasses
import json
import math

from keras_blocks.core import validation

SAMPLINGS = ("linear", "log", "reverse_log")


@dataclasses.dataclass(frozen=True)
class Part:
    """What is common to the three kinds.

    Attributes:
        conditions: (name of another part, its values) for which alone this one is drawn.
    """

    conditions: tuple = dataclasses.field(default=(), kw_only=True)

    def when(self, parent: str, *values):
        """The same, drawn only where the part `parent` has one of these values."""
        return dataclasses.replace(self, conditions=(*self.conditions, (parent, values)))

    def label(self, value):
        """What KerasTuner calls the value."""
        return value


@dataclasses.dataclass(frozen=True)
class Fixed(Part):
    """One value: nothing is drawn."""

    value: object

    @property
    def default(self):
        return self.value

    def values(self) -> list:
        return [self.value]

    extremes = values

    def draw(self, hp, name):
        return self.value

    def get_config(self):
        return {"fixed": self.value}


@dataclasses.dataclass(frozen=True)
class Choice(Part):
    """One of several values, the first by default."""

    choices: tuple

    @property
    def default(self):
        return self.choices[0]

    def values(self) -> list:
        return list(self.choices)

    extremes = values

    def label(self, value):
        """KerasTuner takes strings, or numbers of one type; anything else is named by its text."""
        kinds = {type(item) for item in self.choices}
        if len(kinds) == 1 and kinds <= {int, float, str, bool}:
            return value
        return "none" if value is None else value if isinstance(value, str) else json.dumps(value)

    def draw(self, hp, name):
        by_label = {self.label(value): value for value in self.choices}
        return by_label.get(hp.Choice(name, list(by_label)))

    def get_config(self):
        return {"choices": list(self.choices)}


@dataclasses.dataclass(frozen=True)
class Range(Part):
    """A number from `low` to `high`, both included: an integer where both are."""

    low: float
    high: float
    step: float | None = None
    sampling: str = "linear"
    start: float | None = None

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def default(self):
        return self.low if self.start is None else self.start

    def values(self) -> list:
        """All whole numbers in it."""
        if self.sampling == "linear":
            return list(range(self.low, self.high + 1, self.step or 1))
        found, value = [], self.low
        while value <= self.high:
            found.append(value)
            value = value * self.step if self.step else value + 1
        return found

    def extremes(self) -> list:
        return [self.low, self.high]

    def draw(self, hp, name):
        kind = hp.Int if self.whole else hp.Float
        drawn = kind(name, self.low, self.high, step=self.step, sampling=self.sampling, default=self.start)
        # Steps add up to 0.30000000000000004.
        return round(drawn, 10) if self.step and isinstance(drawn, float) else drawn

    def get_config(self):
        config = {"low": self.low, "high": self.high, "step": self.step, "sampling": self.sampling}
        return {"range": {**config, "default": self.start}}


def hp_range(low, high, step=None, sampling="linear", default=None) -> Range:
    """A part of a search space that is a number in a range.

    Args:
        low, high: least and greatest value, both included; the part is an integer where both are.
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
    numbers = {"low": low, "high": high, **({} if step is None else {"step": step})}
    if default is not None:
        numbers["default"] = default
    for name, value in numbers.items():
        numbers[name] = validation.number(name, value, least=-1e30, most=1e30)
    validation.choice("sampling", sampling, SAMPLINGS)
    whole = isinstance(low, int) and isinstance(high, int)
    if low > high:
        raise ValueError(f"`low` must be at most `high`; received low={low!r}, high={high!r}.")
    if sampling != "linear" and low <= 0:
        raise ValueError(f"`low` must be above 0 for `sampling={sampling!r}`; received {low!r}.")
    if step is not None and step <= (0 if sampling == "linear" else 1):
        raise ValueError(f"`step` must be above 0, or above 1 unless `sampling` is 'linear'; received {step!r}.")
    if whole and (isinstance(step, float) or isinstance(default, float)):
        raise TypeError(f"`step` and `default` must be integers, as `low` and `high`; received {step!r}, {default!r}.")
    if default is not None and not low <= default <= high:
        raise ValueError(f"`default` must be from {low!r} to {high!r}; received {default!r}.")
    if whole:
        return Range(low, high, step, sampling, default)
    return Range(*(numbers.get(name) for name in ("low", "high", "step")), sampling, numbers.get("default"))


def hp_choice(*values) -> Choice:
    """A part of a search space that is one of several values.

    Args:
        *values: plain data: numbers, strings, booleans, `None`, tuples, dicts. The first is the default.

    Returns:
        A `Choice`.

    Raises:
        TypeError, ValueError: for no values, for equal ones, and for what is no plain data.

    Example:

    >>> from keras_blocks.tuning import HyperSqueezeNet, hp_choice
    >>> space = HyperSqueezeNet((32, 32, 3), classes=10, bypass=hp_choice(None, "simple"))
    """
    values = tuple(_plain("values", value) for value in validation.sequence("values", values, of="values"))
    found = Choice(values)
    if len({json.dumps(found.label(value)) for value in values}) < len(values):
        raise ValueError(f"`values` must all be different; received {list(values)!r}.")
    return found


def as_part(name: str, given) -> Part:
    """A part as users give it: a `Part` stays, a list is a choice, any other value fixes.

    Raises:
        TypeError, ValueError: naming the part.
    """
    if isinstance(given, Part):
        return given
    try:
        return hp_choice(*given) if isinstance(given, list) else Fixed(_plain("value", given))
    except (TypeError, ValueError) as error:
        raise type(error)(f"`{name}`: {error}") from error


def part_from_config(config: dict) -> Part:
    """What `get_config` of a part gives, back."""
    ((kind, value),) = config.items()
    if kind == "range":
        return hp_range(**value)
    return hp_choice(*value) if kind == "choices" else Fixed(value)


def _plain(name, value):
    """Plain data, with lists for tuples."""
    if isinstance(value, (list, tuple)):
        return [_plain(name, item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(name, item) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise TypeError(f"`{name}` must be plain data, finite numbers, strings, None, lists and dicts; received {value!r}.")
