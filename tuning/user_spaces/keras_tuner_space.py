"""KerasTuner's hyperparameters as a space for Optuna."""

import collections
from collections.abc import Sequence
from typing import Any

from keras_tuner.engine import hyperparameters as kinds

from keras_blocks.tuning.study.sources import Scale, Source


class KerasTunerSpace:
    """The hyperparameters of any hypermodel, as a study draws from them.

    Args:
        space: list of KerasTuner's hyperparameters, as `HyperParameters.space` has them.

    Example:

    >>> import keras_tuner, optuna
    >>> from keras_blocks.tuning.study.sources import TrialSource
    >>> hp = keras_tuner.HyperParameters()
    >>> _ = hp.Int("blocks", 1, 4), hp.Choice("activation", ["relu", "elu"])
    >>> sorted(KerasTunerSpace(hp.space).draw(TrialSource(optuna.create_study().ask())))
    ['activation', 'blocks']
    """

    def __init__(self, space: Sequence[kinds.HyperParameter]):
        counts = collections.Counter(hp.name for hp in space)
        self.named = {hp.name if counts[hp.name] == 1 else _told_apart(hp): hp for hp in space}
        """Name in Optuna -> hyperparameter: its own name, with its conditions where several have the same."""

    def draw(self, source: Source) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, hp in self.named.items():
            if all(condition.is_active(values) for condition in hp.conditions):
                values[hp.name] = drawn(hp, name, source)
        return values

    def grid(self) -> dict[str, list[Any]]:
        ordered = (kinds.Int, kinds.Float)
        return {
            name: sorted(hp.values) if isinstance(hp, ordered) else list(hp.values) for name, hp in self.named.items()
        }


def drawn(hp: Any, name: str, source: Source) -> Any:
    """A value of one hyperparameter, which the source knows by this name."""
    if isinstance(hp, kinds.Fixed):
        return hp.value
    if isinstance(hp, kinds.Boolean):
        return source.choice(name, [False, True])
    if isinstance(hp, kinds.Choice):
        return source.choice(name, hp.values)
    return source.number(name, Scale(hp.min_value, hp.max_value, hp.step, hp.sampling, hp.default))


def conditional_name(hp: Any) -> str:
    """The name with its conditions, where it has any."""
    conditions = [(condition.name, list(condition.values)) for condition in hp.conditions]
    return f"{hp.name} {conditions}" if conditions else str(hp.name)


def _told_apart(hp: Any) -> str:
    return conditional_name(hp) if hp.conditions else f"{hp.name} []"
