"""What users give as a hypermodel: one of KerasTuner, a function, or a tuner, which has tailored its own."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras_tuner.engine import hyperparameters as kinds
from keras_tuner.engine.base_tuner import BaseTuner

from keras_blocks.core.signature import needed


def as_hypermodel(given: Any, label: str) -> keras_tuner.HyperModel:
    """A hypermodel from what a user gave: one, its class, `build(hp)`, a tuner, or a function that gives such a thing.

    Raises:
        TypeError: for another thing.
    """
    if isinstance(given, keras_tuner.HyperModel):
        return given
    if isinstance(given, BaseTuner):
        return OfTuner(given, label)
    wanted = "a keras_tuner.HyperModel, a keras_tuner.Tuner with one, or a function build(hp) that gives a keras.Model"
    if not callable(given) or isinstance(given, keras.Model):
        raise TypeError(f"`space` must be {wanted}; received {given!r}.")
    wants = needed(given)
    if inspect.isclass(given):
        if not issubclass(given, keras_tuner.HyperModel) or wants:
            why = f"whose constructor wants {wants}: give an instance" if wants else "which is no hypermodel"
            raise TypeError(f"`space` must be {wanted}; received the class {label}, {why}.")
        return given()
    if not inspect.signature(given).parameters:
        return as_hypermodel(given(), f"what {label} returned")
    if len(wants) > 1:
        raise TypeError(
            f"`space` must be {wanted}; {label} wants {wants}. For a function of metaparameters take "
            "HyperFunction(function, name=[values], ...)."
        )
    return _OfFunction(given)


class _OfFunction(keras_tuner.HyperModel):
    """The hypermodel of a function `build(hp)`."""

    def __init__(self, function: Callable[[keras_tuner.HyperParameters], keras.Model]) -> None:
        self._function = function
        super().__init__()

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        return self._function(hp)


class OfTuner(keras_tuner.HyperModel):
    """The hypermodel of a tuner, with all that the tuner says of it besides.

    These are its `hyperparameters`, which stand for those of the same name that the hypermodel asks for;
    `tune_new_entries=False`, with which all others have their defaults; `optimizer`, `loss` and `metrics`, with which
    models are compiled anew; `executions_per_trial`, of which the mean is the trial's value; `distribution_strategy`,
    and `max_model_size`. What the tuner searches by (its oracle, objective and number of trials) is the search's own.

    Args:
        tuner: a `keras_tuner.Tuner`.
        label: what errors call it.

    Raises:
        TypeError: for a tuner that says how a trial runs, which a search would not follow.
    """

    def __init__(self, tuner: BaseTuner, label: str) -> None:
        super().__init__()
        if not isinstance(tuner, keras_tuner.Tuner) or tuner.hypermodel is None:
            raise TypeError(
                f"`space`: {label} must be a keras_tuner.Tuner with a hypermodel; it is a {type(tuner).__name__}"
                f"{' without one' if isinstance(tuner, keras_tuner.Tuner) else ''}. Give what builds and fits its "
                "models, a keras_tuner.HyperModel."
            )
        for own in ("run_trial", "_build_and_fit_model"):
            if getattr(type(tuner), own) is not getattr(keras_tuner.Tuner, own) and not _of_keras_tuner(tuner):
                raise TypeError(
                    f"`space`: {label}, a {type(tuner).__name__}, has a `{own}` of its own, which a search does not "
                    "run. Give a keras_tuner.HyperModel whose `fit` does the same."
                )
        self.tuner = tuner

    @property
    def inner(self) -> keras_tuner.HyperModel:
        """The hypermodel that the tuner was given."""
        hypermodel: keras_tuner.HyperModel = self.tuner.hypermodel
        return hypermodel

    @property
    def fits_itself(self) -> bool:
        """Whether it trains by more than one call of the model's own `fit`."""
        own = type(self.inner).fit is not keras_tuner.HyperModel.fit
        return own or bool(self.tuner.executions_per_trial > 1)

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        self.inner.declare_hyperparameters(_Tailored(hp, self.tuner))

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model: keras.Model = self.tuner._build_hypermodel(_Tailored(hp, self.tuner))  # compiled as it says
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        hp, executions = _Tailored(hp, self.tuner), self.tuner.executions_per_trial
        if executions == 1:
            return self.inner.fit(hp, model, *args, **kwargs)
        models = (model if i == 0 else self.build(hp) for i in range(executions))
        return [self._at_best(self.inner.fit(hp, one, *args, **kwargs)) for one in models]

    def _at_best(self, returned: Any) -> Any:
        """Of a history, each metric in the epoch that is the best by the tuner's objective, as KerasTuner takes it."""
        if not isinstance(returned, keras.callbacks.History):
            return returned
        logged, objective = returned.history, self.tuner.oracle.objective
        values = logged.get(getattr(objective, "name", ""), [])
        best = (np.argmax if getattr(objective, "direction", "") == "max" else np.argmin)(values) if values else -1
        return {name: series[best] for name, series in logged.items() if len(series) > best}


class _Tailored(keras_tuner.HyperParameters):
    """Hyperparameters that stand for others, of which this is another view: the values and all else are the same.

    Args:
        hp: the others.
        tuner: whose ranges are asked for in place of a hypermodel's.
    """

    def __init__(self, hp: keras_tuner.HyperParameters, tuner: keras_tuner.Tuner) -> None:
        super().__init__()
        self.__dict__.update(vars(hp))
        self._shown, self._oracle = hp, tuner.oracle

    def _retrieve(self, hp: Any) -> Any:
        return self._shown._retrieve(self._own(hp))

    def _own(self, asked: Any) -> Any:
        for known in self._oracle.hyperparameters.space:
            if known.name == asked.name and known.conditions == asked.conditions:
                return known
        if self._oracle.tune_new_entries:
            return asked
        return kinds.Fixed(asked.name, asked.default, conditions=asked.conditions)


def _of_keras_tuner(tuner: keras_tuner.Tuner) -> bool:
    """Whether its class is one of KerasTuner's own, as Hyperband, whose trials differ in their epochs alone."""
    return type(tuner).__module__.partition(".")[0] == "keras_tuner"
