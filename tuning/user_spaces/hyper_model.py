"""HyperModelSpace: any hypermodel of KerasTuner, or function `build(hp)`, as a search draws from it and counts it."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

from keras_blocks.core.graphs import unallocated_and_compiled
from keras_blocks.costs.cost import Cost
from keras_blocks.tuning.console import is_place, without_dump
from keras_blocks.tuning.digest import digest
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.budget import UNITS, Budget
from keras_blocks.tuning.spaces.counting import NOT_COUNTED, Misfit, check_inputs, counted
from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study.sources import Source
from keras_blocks.tuning.user_spaces.given_hypermodel import OfTuner, as_hypermodel
from keras_blocks.tuning.user_spaces.hyper_function import HyperFunction
from keras_blocks.tuning.user_spaces.keras_tuner_space import KerasTunerSpace, conditional_name, drawn
from keras_blocks.tuning.user_spaces.user_things import (
    decoded,
    encoded,
    named,
    place_of,
    place_of_object,
)

Values = dict[str, Any]


class HyperModelSpace:
    """What a search draws from for a hypermodel that it knows nothing of.

    A candidate is the table of the values for which the hypermodel asks while it declares and builds: what it does not
    ask for is not drawn. What it asks for in `fit` alone is known after the first trial, which has its default, and is
    drawn from then on, as by KerasTuner's own tuners.

    Args:
        hypermodel: of KerasTuner.
        described: plain data, by which another process finds it.
        label: its module and name.

    Attributes:
        example: the inputs of one example, for models that are built by what they are called on.
        found: gives the hyperparameters that trials found while they trained, as `kinds.serialize` writes them.
        countable: whether its models can be built without their variables.
    """

    def __init__(self, hypermodel: keras_tuner.HyperModel, described: dict[str, Any], label: str) -> None:
        self.hypermodel, self.label = hypermodel, label
        self.name = label.rpartition(":")[2]
        self._described = described
        self.example: Any = None
        self.found: Callable[[], Sequence[Mapping[str, Any]]] = tuple
        self.countable = True
        self._first: list[dict[str, Any]] = []
        self._last: tuple[str, dict[str, Any]] | None = None

    @classmethod
    def of(cls, given: Any) -> "HyperModelSpace":
        """The space of what a user gave: a hypermodel, its class, `build(hp)`, a tuner, or "my_module:name" of such.

        Raises:
            TypeError, ValueError: for another thing, and for what another process would not find.
        """
        if isinstance(given, str):
            if not is_place(given):
                raise ValueError(f"`space` must be such as 'my_module:MyHyperModel'; received {given!r}.")
            thing, place = named(given, "space")
            return cls(as_hypermodel(thing, given), {"at": place}, place["label"])
        hypermodel = as_hypermodel(given, repr(given))
        if not isinstance(given, keras_tuner.HyperModel):
            place = place_of(given, "space")
            return cls(hypermodel, {"at": place}, place["label"])
        try:
            described = encoded(given)
            return cls(hypermodel, described, _label(given, described))
        except (TypeError, ValueError):
            if (found := place_of_object(given)) is None:
                raise
            return cls(hypermodel, {"at": found}, found["label"])

    def get_config(self) -> dict[str, Any]:
        """The space as plain data, from which `from_config` makes it again, in another process too."""
        return {"name": self.name, "hypermodel": self._described, "label": self.label}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, importing: bool = True) -> "HyperModelSpace":
        """The space that `get_config` described.

        Args:
            config: plain data.
            importing: see `user_things.thing_at`.
        """
        hypermodel = as_hypermodel(decoded(config["hypermodel"], importing=importing), config["label"])
        return cls(hypermodel, config["hypermodel"], config["label"])

    # -- what a study asks -------------------------------------------------------------------------------------------

    def check(self, budget: Budget, example: Any = None) -> None:
        """Builds the model of the default hyperparameters, without its variables where that is possible.

        Args:
            budget: of each candidate.
            example: the inputs of one example, which `self.example` is from then on.

        Raises:
            ValueError: where it cannot be built, does not take the data, or cannot be counted though there is a budget.
        """
        self.example = example
        budget = self._also_of_tuner(budget)
        limited = [name for name in UNITS if getattr(budget, f"max_{name}") is not None]
        hp = keras_tuner.HyperParameters()
        counted, why = NOT_COUNTED, "its size is known only when it is called on data"
        try:
            counted = self._counted(hp)
        except Misfit:
            raise
        except Exception as error:  # as users' code goes, of any kind
            self.countable, why = False, _line(error)
            hp = keras_tuner.HyperParameters()
            try:
                self._model(hp)
            except Exception as real:
                raise ValueError(
                    f"`space`: the model of {self.label} with the default hyperparameters, {hp.values}, cannot be "
                    "built: "
                    f"{_line(real)}"
                ) from real
        for name in limited:
            if counted[name] is None:
                raise ValueError(
                    f"`max_{name}` cannot hold for {self.label}: its models' {UNITS[name]} cannot be counted before "
                    f"their variables are made ({why}). Begin the model with a keras.Input, or leave the budget out."
                )
        self._first = hp.get_config()["space"]

    def identity(self) -> dict[str, Any]:
        """What tells the space from another or a changed one: its place and its first hyperparameters."""
        return {"hypermodel": self.label, "state": _unplaced(self._described), "hyperparameters": self._first}

    def draw(self, source: Source) -> Values:
        """The values of all hyperparameters for which the hypermodel asks, in the order in which it asks."""
        hp = _Drawing(source)
        outcome = self._outcome(hp)
        if hp.failure is not None:
            raise hp.failure
        for item in self.found():
            hp.take(kinds.deserialize(item))
        values = dict(hp.values)
        self._last = _key(values), outcome
        return values

    def grid(self) -> dict[str, list[Any]]:
        """All values of all hyperparameters, those too that are asked for where others have certain values alone."""
        never: list[Any] = []
        once: list[Any] = []
        hp = keras_tuner.HyperParameters()
        while True:
            self._outcome(hp)
            once += [scope for scope in hp.active_scopes if scope not in once]
            never = [scope for scope in (*never, *hp.inactive_scopes) if scope not in once]
            if not never:
                named = KerasTunerSpace(hp.space)
                return dict(zip(map(conditional_name, named.named.values()), named.grid().values()))
            hp = keras_tuner.HyperParameters.from_config(hp.get_config())
            tried = never.pop(0)
            once.append(tried)
            for condition in tried:
                hp.values[condition.name] = condition.values[0]

    def inspected(self, values: Values, budget: Budget, trials: Sequence[Trial] = ()) -> dict[str, Any]:
        """What a candidate is and costs, and why it must not be built, where it must not."""
        budget = self._also_of_tuner(budget)
        if self._last is None or self._last[0] != _key(values):
            self._last = _key(values), self._outcome(_given(values))
        outcome = self._last[1]
        found = {
            "architecture": self.label.replace(":", ">"),
            "metaparameters": {},
            "hyperparameters": values,
            **outcome,
        }
        if "refused" in outcome:
            return found
        known = [value for name in UNITS if (value := outcome[name]) is not None]
        if len(known) == len(UNITS) and (reason := budget.refusal(Cost(*known), trials)):
            return {**found, "refused": reason}
        for name, unit in UNITS.items():
            most = getattr(budget, f"max_{name}")
            if most is not None and outcome[name] is None:
                return {**found, "refused": f"its {unit} cannot be counted before it is built"}
            if most is not None and outcome[name] > most:
                return {**found, "refused": f"{outcome[name]:,} {unit} are more than {most:,}"}
        return {**found, "signature": self.signature(values)}

    def signature(self, values: Values) -> str:
        """A digest that is equal for two candidates of equal values."""
        return digest([self.label, values])

    def candidate(self, values: Values) -> "HyperModelCandidate":
        """What a trial builds and trains."""
        return HyperModelCandidate(self, values)

    @property
    def fits_itself(self) -> bool:
        """Whether the hypermodel has a `fit` of its own."""
        if isinstance(self.hypermodel, OfTuner):
            return self.hypermodel.fits_itself
        return type(self.hypermodel).fit is not keras_tuner.HyperModel.fit

    @property
    def prepares_data(self) -> bool:
        """Whether its `fit` may give a model other data than it gets."""
        given = self.hypermodel.inner if isinstance(self.hypermodel, OfTuner) else self.hypermodel
        return type(given).fit not in (keras_tuner.HyperModel.fit, HyperFunction.fit)

    # -- within ------------------------------------------------------------------------------------------------------

    def _also_of_tuner(self, budget: Budget) -> Budget:
        """The budget, with the limit that a tuner has."""
        most = self.hypermodel.tuner.max_model_size if isinstance(self.hypermodel, OfTuner) else None
        if not most:
            return budget
        return dataclasses.replace(budget, max_params=min(most, budget.max_params or most))

    def _outcome(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """What the model of some hyperparameters costs, or why there is none."""
        try:
            if self.countable:
                return self._counted(hp)
            self._model(hp)
            return NOT_COUNTED
        except Exception as error:  # as users' code goes, of any kind
            return {"refused": f"invalid: {_line(error)}"}

    def _counted(self, hp: keras_tuner.HyperParameters) -> dict[str, int | None]:
        if isinstance(self.hypermodel, HyperArchitecture):
            self.hypermodel.declare_hyperparameters(hp)
            return self.hypermodel.cost(hp)._asdict()
        with unallocated_and_compiled():
            model = self._model(hp)
            if not self.prepares_data:
                check_inputs(self.label, model, self.example)
            return counted(model, self.example)

    def _model(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        self.hypermodel.declare_hyperparameters(hp)
        model = self.hypermodel.build(hp)
        if not isinstance(model, keras.Model):
            raise TypeError(f"`space`: {self.label} must build a keras.Model; it gave {model!r}.")
        return model


class HyperModelCandidate:
    """One table of values, and what is built of it.

    Args:
        space: the `HyperModelSpace`.
        values: name -> value. What the hypermodel asks for besides has its default.
    """

    def __init__(self, space: HyperModelSpace, values: Values) -> None:
        self._space, self._values = space, dict(values)
        self.hp = _given(values)

    def build(self) -> keras.Model:
        """A new model."""
        return self._space._model(self.hp)

    @property
    def fits_itself(self) -> bool:
        """Whether the hypermodel has a `fit` of its own."""
        return self._space.fits_itself

    @property
    def prepares_data(self) -> bool:
        """Whether that `fit` may give the model other data than it gets."""
        return self._space.prepares_data

    def fit(self, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """The hypermodel's `fit`."""
        return self._space.hypermodel.fit(self.hp, model, *args, **kwargs)

    @property
    def values(self) -> Values:
        """The values, those too that were asked for in `fit`."""
        return {**self._values, **self.hp.values}

    def found(self) -> list[dict[str, Any]]:
        """The hyperparameters that were not among the values, as plain data."""
        asked = [item for item in self.hp.space if item.name not in self._values and self.hp.is_active(item)]
        return [kinds.serialize(item) for item in asked]

    def signature(self) -> str:
        return self._space.signature(self._values)


class _Drawing(keras_tuner.HyperParameters):
    """Hyperparameters whose values are drawn when they are first asked for."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self.failure: Exception | None = None  # of the study's storage, not of the user's code in which it arises

    def take(self, hp: Any) -> None:
        """As if it had been asked for."""
        self._retrieve(hp)

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        known = hyperparameter.name in self.values
        super()._register(hyperparameter, overwrite)
        if not self.is_active(hyperparameter):
            return None
        if not known:
            self.values[hyperparameter.name] = self._drawn(hyperparameter)
        return self.values[hyperparameter.name]

    def _drawn(self, hp: Any) -> Any:
        name = conditional_name(hp)
        try:
            try:
                return drawn(hp, name, self._source)
            except ValueError:  # the study knows the name with other choices, on which other values have an influence
                return drawn(hp, f"{name} {_range(hp)}", self._source)
        except Exception as error:
            self.failure = error
            raise


def _label(given: keras_tuner.HyperModel, described: Mapping[str, Any]) -> str:
    """The module and name by which people know an instance: its class', or the function's of which it is the space."""
    if "hypermodel" not in described:
        return f"{type(given).__module__}:{type(given).__name__}"
    function = described["state"].get("function")
    place = function["at"] if isinstance(function, dict) and "at" in function else described["hypermodel"]
    return str(place["label"])


def _unplaced(described: Any) -> Any:
    """What tells an instance from others of its class, wherever its files lie."""
    if isinstance(described, list):
        return [_unplaced(item) for item in described]
    if not isinstance(described, Mapping):
        return described
    if "label" in described:
        return described["label"]
    return {name: _unplaced(value) for name, value in described.items()}


def _given(values: Values) -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    return hp


def _key(values: Values) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _range(hp: Any) -> str:
    """What a hyperparameter may be, as a text that tells it from another of its name."""
    return str(hp.values if isinstance(hp, kinds.Choice) else hp.get_config())


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {without_dump(error)[:500]}"
