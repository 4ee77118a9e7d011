"""KerasTuner's hyperparameters: as a source for our spaces, and as a space for Optuna."""

import collections
import contextlib
from collections.abc import Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

from keras_blocks.tuning.spaces.table import Table, drawable, scopes
from keras_blocks.tuning.study.sources import Scale, Source


class KerasTunerSource:
    """Draws as a KerasTuner tuner says. All dimensions are declared to it, those too that are not drawn now.

    Args:
        hp: `keras_tuner.HyperParameters`.
        dimensions: the table that is to be drawn from it; each one is declared in the scopes of its conditions.
    """

    def __init__(self, hp: keras_tuner.HyperParameters, dimensions: Table):
        self._hp, self._dimensions = hp, dimensions
        for name, dimension in drawable(dimensions).items():
            dimension.draw(self, name)

    def choice(self, name: str, labels: Sequence[Any]) -> Any:
        with self._scopes(name):
            return self._hp.Choice(name, list(labels))

    def number(self, name: str, scale: Scale) -> Any:
        kind = self._hp.Int if scale.whole else self._hp.Float
        with self._scopes(name):
            return kind(name, scale.low, scale.high, scale.step, scale.sampling, scale.start)

    @contextlib.contextmanager
    def _scopes(self, name):
        with contextlib.ExitStack() as stack:
            for parent, labels in scopes(name, self._dimensions).items():
                stack.enter_context(self._hp.conditional_scope(parent, labels))
            yield


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
        self.named = {hp.name if counts[hp.name] == 1 else f"{hp.name} {_conditions(hp)}": hp for hp in space}
        """Name in Optuna -> hyperparameter: its own name, with its conditions where several have the same."""

    def draw(self, source: Source) -> dict[str, Any]:
        values = {}
        for name, hp in self.named.items():
            if all(condition.is_active(values) for condition in hp.conditions):
                values[hp.name] = _drawn(hp, name, source)
        return values

    def grid(self) -> dict[str, list]:
        ordered = (kinds.Int, kinds.Float)
        return {
            name: sorted(hp.values) if isinstance(hp, ordered) else list(hp.values) for name, hp in self.named.items()
        }


def _drawn(hp, name, source):
    if isinstance(hp, kinds.Fixed):
        return hp.value
    if isinstance(hp, kinds.Boolean):
        return source.choice(name, [False, True])
    if isinstance(hp, kinds.Choice):
        return source.choice(name, hp.values)
    return source.number(name, Scale(hp.min_value, hp.max_value, hp.step, hp.sampling, hp.default))


def _conditions(hp) -> str:
    return str([(condition.name, list(condition.values)) for condition in hp.conditions])
