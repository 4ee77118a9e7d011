"""KerasTuner's hyperparameters as Optuna's suggestions."""

import collections
import random

from keras_tuner.engine import hyperparameters as kinds


def names_of(space) -> list[str]:
    """Each hyperparameter's name in Optuna: its own, with its conditions where several have the same.

    Args:
        space: list of KerasTuner's hyperparameters, as `HyperParameters.space` has them.
    """
    counts = collections.Counter(hp.name for hp in space)
    return [hp.name if counts[hp.name] == 1 else f"{hp.name} {_conditions(hp)}" for hp in space]


def values_of(hp) -> tuple:
    """All values that a hyperparameter can take; of a continuous one, KerasTuner's ten."""
    if isinstance(hp, kinds.Fixed):
        return (hp.value,)
    return tuple(sorted(hp.values)) if isinstance(hp, (kinds.Int, kinds.Float)) else tuple(hp.values)


def suggest(trial, space) -> dict:
    """Values of the hyperparameters that are active, drawn by an Optuna trial.

    Args:
        trial: of Optuna, for its `suggest_...` methods.
        space: list of KerasTuner's hyperparameters.

    Returns:
        The values by KerasTuner's names.

    Example:

    >>> import keras_tuner, optuna
    >>> hp = keras_tuner.HyperParameters()
    >>> _ = hp.Int("blocks", 1, 4), hp.Choice("activation", ["relu", "elu"])
    >>> sorted(suggest(optuna.create_study().ask(), hp.space))
    ['activation', 'blocks']
    """
    drawn = kinds.HyperParameters()
    for name, hp in zip(names_of(space), space):
        drawn.merge([hp])
        if drawn.is_active(hp):
            drawn.values[hp.name] = _suggested(trial, name, hp)
    return {hp.name: drawn.values[hp.name] for hp in space if hp.name in drawn.values and drawn.is_active(hp)}


def at_random(space, rng: random.Random) -> tuple[dict, dict]:
    """Values drawn independently of all trials.

    Returns:
        The values by Optuna's names, and by KerasTuner's.
    """
    ours = _Recording(rng)
    values = suggest(ours, space)
    return ours.params, values


class _Recording:
    """Has an Optuna trial's methods, and writes nothing to a storage."""

    def __init__(self, rng):
        self._rng = rng
        self.params = {}

    def suggest_categorical(self, name, choices):
        return self._record(name, self._rng.choice(list(choices)))

    def suggest_int(self, name, low, high, *, step=1, log=False):
        if log:
            return self._record(name, min(high, max(low, round(low * (high / low) ** self._rng.random()))))
        return self._record(name, self._rng.randrange(low, high + 1, step))

    def suggest_float(self, name, low, high, *, step=None, log=False):
        if log:
            return self._record(name, low * (high / low) ** self._rng.random())
        if step:
            return self._record(name, low + step * self._rng.randint(0, round((high - low) / step)))
        return self._record(name, self._rng.uniform(low, high))

    def _record(self, name, value):
        self.params[name] = value
        return value


def _suggested(trial, name, hp):
    if isinstance(hp, kinds.Fixed):
        return hp.value
    if isinstance(hp, kinds.Boolean):
        return trial.suggest_categorical(name, [False, True])
    if isinstance(hp, kinds.Choice):
        return trial.suggest_categorical(name, list(hp.values))
    if hp.sampling == "reverse_log" or (hp.sampling == "log" and hp.step is not None):
        return trial.suggest_categorical(name, list(values_of(hp)))  # Optuna has no such scales
    if isinstance(hp, kinds.Int):
        if hp.sampling == "log":
            return trial.suggest_int(name, hp.min_value, hp.max_value, log=True)
        last = hp.min_value + (hp.max_value - hp.min_value) // hp.step * hp.step
        return trial.suggest_int(name, hp.min_value, last, step=hp.step)
    if hp.step is None:
        return trial.suggest_float(name, hp.min_value, hp.max_value, log=hp.sampling == "log")
    steps = int((hp.max_value - hp.min_value) / hp.step + 1e-8)
    return trial.suggest_float(name, hp.min_value, hp.min_value + steps * hp.step, step=hp.step)


def _conditions(hp) -> str:
    return str([(condition.name, list(condition.values)) for condition in hp.conditions])
