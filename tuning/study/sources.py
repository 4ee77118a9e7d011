"""What values are drawn from: a trial of Optuna, or a random generator; and the scales of numbers that both know."""

import abc
import dataclasses
import random
from collections.abc import Collection, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import optuna
from keras_tuner.engine.hyperparameters import Float, Int

Sampling = Literal["linear", "log", "reverse_log"]


@dataclasses.dataclass(frozen=True)
class Scale:
    """Numbers from `low` to `high`, both included: integers where both are. See `hp_range`."""

    low: Any
    high: Any
    step: Any = None
    sampling: Sampling = "linear"
    start: Any = None

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def default(self) -> Any:
        return self.low if self.start is None else self.start

    def labels(self) -> list[Any]:
        """All numbers, in order; where they are continuous, the ten that KerasTuner takes.

        Example:

        >>> Scale(2, 32, 2, "log").labels(), len(Scale(0.0, 1.0).labels())
        ([2, 4, 8, 16, 32], 10)
        """
        kind, number = (Int, int) if self.whole else (Float, float)
        found = kind("scale", self.low, self.high, step=self.step, sampling=self.sampling).values
        return [number(value) for value in sorted(found)]


class Source(Protocol):
    """Gives values. Optuna's trials, a random generator, a space's defaults and KerasTuner's `hp` are sources."""

    def choice(self, name: str, labels: Sequence[Any]) -> Any:
        """One of several strings, numbers of one type, or booleans. The first is the default."""

    def number(self, name: str, scale: Scale) -> Any:
        """A number on a scale."""


class Drawable(Protocol):
    """What a study draws candidates from."""

    def draw(self, source: Source) -> dict[str, Any]:
        """What was drawn, by the names under which trials keep it."""

    def grid(self) -> dict[str, list[Any]]:
        """All values of all that can be drawn, by the names under which the source is asked."""


@runtime_checkable
class SizedDrawable(Drawable, Protocol):
    """One that knows which of its dimensions say how large a model is."""

    def size_source(self, rng: random.Random) -> "SizeSource":
        """Draws these, and has the defaults of all others."""


class _OptunaScales(abc.ABC):
    """Draws numbers on the scales that Optuna has, and picks from a list on others."""

    @abc.abstractmethod
    def choice(self, name: str, labels: Sequence[Any]) -> Any: ...

    @abc.abstractmethod
    def _number(self, name: str, low: Any, high: Any, step: Any, log: bool) -> Any: ...

    def number(self, name: str, scale: Scale) -> Any:
        step, log = scale.step, scale.sampling == "log"
        if scale.sampling == "reverse_log" or (log and step is not None):
            return self.choice(name, scale.labels())
        if scale.whole and not log:
            step = step or 1
        last = scale.high
        if step is not None:
            last = min(last, scale.low + int((scale.high - scale.low) / step + 1e-8) * step)
        return self._number(name, scale.low, last, step, log)


class TrialSource(_OptunaScales):
    """A trial of Optuna, whose sampler chooses."""

    def __init__(self, trial: optuna.Trial):
        self._trial = trial

    def choice(self, name: str, labels: Sequence[Any]) -> Any:
        return self._trial.suggest_categorical(name, list(labels))

    def _number(self, name: str, low: Any, high: Any, step: Any, log: bool) -> Any:
        if Scale(low, high).whole:
            return self._trial.suggest_int(name, low, high, step=step or 1, log=log)
        return self._trial.suggest_float(name, low, high, step=step, log=log)


class DefaultSource(_OptunaScales):
    """The defaults of all dimensions.

    Attributes:
        params: what was drawn, as a trial of Optuna may be told to draw it.
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._scale: Scale | None = None

    def choice(self, name: str, labels: Sequence[Any]) -> Any:
        at = labels[0]
        if self._scale is not None:  # a number that is picked from a list: the nearest one
            default = self._scale.default
            at = min(labels, key=lambda label: abs(label - default))
        self.params[name] = at
        return at

    def number(self, name: str, scale: Scale) -> Any:
        self._scale = scale
        try:
            return super().number(name, scale)
        finally:
            self._scale = None

    def _number(self, name: str, low: Any, high: Any, step: Any, log: bool) -> Any:
        assert self._scale is not None
        at = min(high, max(low, self._scale.default))
        if step is not None:
            at = low + step * round((at - low) / step)
        self.params[name] = min(high, at)
        return self.params[name]


class RandomSource(_OptunaScales):
    """A random generator, independent of all trials.

    Attributes:
        params: what was drawn, as a trial of Optuna may be told to draw it.
    """

    def __init__(self, rng: random.Random):
        self._rng = rng
        self.params: dict[str, Any] = {}

    def choice(self, name: str, labels: Sequence[Any]) -> Any:
        self.params[name] = self._rng.choice(list(labels))
        return self.params[name]

    def _number(self, name: str, low: Any, high: Any, step: Any, log: bool) -> Any:
        if log:
            value = low * (high / low) ** self._rng.random()
            value = min(high, max(low, round(value))) if Scale(low, high).whole else value
        elif step is not None:
            value = min(high, low + step * self._rng.randint(0, round((high - low) / step)))  # 3 * 0.1 is above 0.3
        else:
            value = self._rng.uniform(low, high)
        self.params[name] = value
        return value


class SizeSource:
    """A random generator for what makes a model large or small, and the defaults of all else.

    Args:
        rng: draws.
        drawn: names of the dimensions that are drawn.
        rates: names of those that have the middle of their range where they have no default of their own, whose low
            end says nothing of what is good.

    Attributes:
        params: what was drawn, as a trial of Optuna may be told to draw it.
    """

    def __init__(self, rng: random.Random, drawn: Collection[str], rates: Collection[str] = ()):
        self._drawn, self._rates = drawn, rates
        self._random, self._default = RandomSource(rng), DefaultSource()
        self.params = self._default.params = self._random.params

    def choice(self, name: str, labels: Sequence[Any]) -> Any:
        return (self._random if name in self._drawn else self._default).choice(name, labels)

    def number(self, name: str, scale: Scale) -> Any:
        if name in self._drawn:
            return self._random.number(name, scale)
        if name in self._rates and scale.start is None:
            low, high = scale.low, scale.high
            middle = (low * high) ** 0.5 if scale.sampling == "log" else (low + high) / 2
            scale = dataclasses.replace(scale, start=middle)
        return self._default.number(name, scale)
