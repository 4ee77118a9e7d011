"""What a space's values are drawn from: a trial of Optuna, or a random generator."""

import random
from collections.abc import Sequence
from typing import Any, Protocol

import optuna
from keras_tuner.engine.hyperparameters import Float, Int


class Source(Protocol):
    """Gives values. Optuna's trials, a random generator, a space's defaults and KerasTuner's `hp` are sources."""

    def choice(self, name: str, values: Sequence[Any]) -> Any:
        """One of several values: strings, numbers of one type, or booleans. The first is the default."""

    def number(
        self, name: str, low: float, high: float, *, step: float | None, sampling: str, default: float | None
    ) -> float:
        """A number from `low` to `high`, both included, as `hp_range` describes it: an integer where both are."""


class Drawable(Protocol):
    """What a study draws candidates from."""

    def draw(self, source: Source) -> dict[str, Any]:
        """What was drawn, by the names under which trials keep it."""

    def grid(self) -> dict[str, list]:
        """All values of all that can be drawn, by the names under which the source is asked."""


class _ScaledSource:
    """Draws numbers on the scales that Optuna has, and picks from a list on others."""

    def number(
        self,
        name: str,
        low: float,
        high: float,
        *,
        step: float | None = None,
        sampling: str = "linear",
        default: float | None = None,
    ) -> float:
        if sampling == "reverse_log" or (sampling == "log" and step is not None):
            return self.choice(name, scale(low, high, step, sampling))
        whole, log = is_whole(low, high), sampling == "log"
        if whole and not log:
            step = step or 1
        if step is not None:
            high = low + int((high - low) / step + 1e-8) * step  # the last that steps reach
        return self._number(name, low, high, step, log, whole)


class TrialSource(_ScaledSource):
    """A trial of Optuna, whose sampler chooses."""

    def __init__(self, trial: optuna.Trial):
        self._trial = trial

    def choice(self, name: str, values: Sequence[Any]) -> Any:
        return self._trial.suggest_categorical(name, list(values))

    def _number(self, name, low, high, step, log, whole):
        if whole:
            return self._trial.suggest_int(name, low, high, step=step or 1, log=log)
        return self._trial.suggest_float(name, low, high, step=step, log=log)


class RandomSource(_ScaledSource):
    """A random generator, independent of all trials.

    Attributes:
        params: what was drawn, as a trial of Optuna may be told to draw it.
    """

    def __init__(self, rng: random.Random):
        self._rng = rng
        self.params: dict[str, Any] = {}

    def choice(self, name: str, values: Sequence[Any]) -> Any:
        self.params[name] = self._rng.choice(list(values))
        return self.params[name]

    def _number(self, name, low, high, step, log, whole):
        if log:
            value = low * (high / low) ** self._rng.random()
            value = min(high, max(low, round(value))) if whole else value
        elif step is not None:
            value = low + step * self._rng.randint(0, round((high - low) / step))
        else:
            value = self._rng.uniform(low, high)
        self.params[name] = value
        return value


def is_whole(low: float, high: float) -> bool:
    """Whether the numbers of a range are integers."""
    return isinstance(low, int) and isinstance(high, int)


def scale(low: float, high: float, step: float | None = None, sampling: str = "linear") -> list:
    """The numbers of a range in order; where there is no step, the ten that KerasTuner takes.

    Example:

    >>> scale(2, 32, 2, "log"), len(scale(0.0, 1.0))
    ([2, 4, 8, 16, 32], 10)
    """
    kind = Int if is_whole(low, high) else Float
    return [
        int(value) if kind is Int else value
        for value in sorted(kind("scale", low, high, step=step, sampling=sampling).values)
    ]
