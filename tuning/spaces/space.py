"""HyperSpace: what all search spaces have in common: images, tables of dimensions, and how models are trained."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import keras_tuner

from keras_blocks.core import validation
from keras_blocks.core.registration import registered_name
from keras_blocks.costs.cost import Cost
from keras_blocks.tuning.spaces import table as tables
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.spaces.dimension import Dimension, Fixed, as_dimension, dimension_from_config, hp_range
from keras_blocks.tuning.spaces.keras_tuner_door import KerasTunerSource
from keras_blocks.tuning.spaces.table import GivenSource, Table
from keras_blocks.tuning.study.sources import Source
from keras_blocks.tuning.training import fit as training
from keras_blocks.tuning.training.augmentation import STRENGTHS
from keras_blocks.tuning.training.hyperparameters import TrainingDiverged, checked

RATE = "learning_rate"


class HyperSpace(keras_tuner.HyperModel):
    """A search space: `metaparameters(hp)`, what a model is, and `hyperparameters(hp)`, how it is trained.

    What is called `hp` is `keras_tuner.HyperParameters`, or another source of values: see `study.sources`.

    Args:
        input_shape: (height, width, channels) of the images, which are channels_last.
        classes: number of classes.
        scale: what the pixels are multiplied by, inside the model.
        flips: whether augmentation may mirror images left to right.
        name: of the space.
        dimensions: name of a dimension -> what users gave for it.
    """

    learning_rates = {"adamw": (1e-3, 1e-2), "sgd": (2e-2, 2e-1)}
    batch_sizes = (32, 64)

    per_group: tuple[str, ...] = ()
    """Dimensions that are drawn for each group anew, as many as the dimension "groups" says."""

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int,
        *,
        scale: float,
        flips: bool,
        name: str,
        dimensions: Mapping[str, Any],
    ):
        super().__init__(name=name)
        sizes = validation.sequence("input_shape", input_shape, of="height, width and channels")
        if len(sizes) != 3:
            raise ValueError(f"`input_shape` must be (height, width, channels); received {tuple(sizes)}.")
        self.input_shape = tuple(validation.integer("input_shape", size) for size in sizes)
        self.classes = validation.integer("classes", classes, least=2)
        self.scale = validation.number("scale", scale, least=1e-9, most=1e9)
        self.flips = validation.boolean("flips", flips)
        self.overrides: Table = {key: as_dimension(key, given) for key, given in dimensions.items()}
        self.training_dimensions = tables.merged(self._training_table(), self.overrides)
        self.architecture_dimensions = self._architecture_table()
        for key in self.overrides:
            validation.choice("dimension", key, tuple(self.declared()))
        self._refuse_what_is_never_drawn()
        self._try_overrides()

    # -- what a space declares --------------------------------------------------------------------------------------

    def table(self) -> dict[str, Any]:
        """The architecture's dimensions."""
        return {}

    def declared(self) -> Table:
        """All that users may give."""
        return {RATE: Fixed(None), **self.training_dimensions}

    def parsed(self, name: str, text: str) -> Dimension:
        """A dimension as users write it on a command line, see `Dimension.parse`.

        Raises:
            TypeError, ValueError: for an unknown name, with the nearest ones, and for what is no dimension.
        """
        declared = self.declared()
        return declared[validation.choice("dimension", name, tuple(declared))].parse(text)

    def architecture_of(self, drawn: dict[str, Any]) -> type:
        """The architecture's class, from what was drawn of `architecture_dimensions`."""
        raise NotImplementedError

    def assembled(self, drawn: dict[str, Any]) -> dict[str, Any]:
        """The architecture's arguments, from what was drawn of `architecture_dimensions`."""
        raise NotImplementedError

    # -- what is drawn ----------------------------------------------------------------------------------------------

    def metaparameters(self, hp: keras_tuner.HyperParameters | Source) -> dict[str, Any]:
        """Draws what the model is: arguments for its architecture's constructor, plain data."""
        return self.assembled(self._drawn(self.architecture_dimensions, hp))

    def hyperparameters(self, hp: keras_tuner.HyperParameters | Source) -> dict[str, Any]:
        """Draws how the model is trained: see `training.compiled` and `training.fit`."""
        return self._hyperparameters(self._drawn(self.training_dimensions, hp))

    def candidate(self, hp: keras_tuner.HyperParameters | Source) -> Candidate:
        """What is drawn, as plain data."""
        drawn = self._drawn(self.architecture_dimensions, hp)
        name = registered_name(self.architecture_of(drawn))
        return Candidate(name, self.assembled(drawn), self.hyperparameters(hp))

    def draw(self, source: Source) -> dict[str, Any]:
        """What is drawn, as a trial keeps it; from it, `candidate(GivenSource(drawn))` is the same again."""
        labels, _ = tables.draw(self._table(), source)
        return labels

    def grid(self) -> dict[str, list]:
        """All values of all that can be drawn, as a trial keeps them."""
        return {name: dimension.labels() for name, dimension in tables.drawable(self._table()).items()}

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Declares the whole space, with nothing built. The architecture comes last: a grid varies that first."""
        KerasTunerSource(hp, self._table())

    def identity(self) -> list[dict]:
        """What tells the space from a changed one: its description by KerasTuner."""
        hp = keras_tuner.HyperParameters()
        self.declare_hyperparameters(hp)
        return hp.get_config()["space"]

    def cost(self, hp: keras_tuner.HyperParameters | Source) -> Cost:
        """What the drawn model costs, without building it."""
        return self.candidate(hp).cost()

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """A compiled model from one draw."""
        self.declare_hyperparameters(hp)
        return self.candidate(hp).compiled(scale=self.scale, flips=self.flips)

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        """Trains as drawn, on arrays.

        Raises:
            keras_tuner.errors.FailedTrialError: where the loss became NaN or infinite, so that no tuner takes the
                trial for a good one.
        """
        try:
            return training.fit(model, self.hyperparameters(hp), *args, **kwargs)
        except TrainingDiverged as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error

    # -- as plain data ----------------------------------------------------------------------------------------------

    def images(self) -> dict[str, Any]:
        """What the space knows of the images, as arguments of a space's constructor."""
        shape = list(self.input_shape)
        return {"input_shape": shape, "classes": self.classes, "scale": self.scale, "flips": self.flips}

    def get_config(self) -> dict[str, Any]:
        """The space as plain data, from which `space_from_config` makes it again, in another process too."""
        parts = {name: dimension.get_config() for name, dimension in self.overrides.items()}
        return {"space": registered_name(type(self)), "name": self.name, "parts": parts}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The space that `get_config` described."""
        config = {key: value for key, value in config.items() if key != "space"}
        overrides = {name: dimension_from_config(part) for name, part in config.pop("parts").items()}
        return cls(**config, **overrides)

    # -- within -----------------------------------------------------------------------------------------------------

    def _table(self) -> Table:
        return {**self.training_dimensions, **self.architecture_dimensions}

    def _drawn(self, dimensions, source):
        if isinstance(source, keras_tuner.HyperParameters):
            source = KerasTunerSource(source, dimensions)
        return tables.draw(dimensions, source)[1]

    def _architecture_table(self) -> Table:
        raise NotImplementedError

    def _training_table(self) -> dict[str, Any]:
        rates = {
            f"{name}_{RATE}": hp_range(low, high, sampling="log", default=(low * high) ** 0.5).when("optimizer", name)
            for name, (low, high) in self.learning_rates.items()
        }
        return {
            "optimizer": list(self.learning_rates),
            **({RATE: None} if RATE in self.overrides else rates),
            "weight_decay": [0.0, 1e-4, 1e-3],
            "batch_size": list(self.batch_sizes),
            "augmentation": ["light", *(name for name in STRENGTHS if name != "light")],
            **training.DEFAULTS,
        }

    def _hyperparameters(self, drawn: dict) -> dict:
        """One learning rate, whichever optimizer it was drawn for."""
        optimizer = drawn.pop("optimizer")
        rates = {name: drawn.pop(name) for name in list(drawn) if name.endswith(RATE)}
        return {"optimizer": optimizer, RATE: rates.get(RATE, rates.get(f"{optimizer}_{RATE}")), **drawn}

    def _refuse_what_is_never_drawn(self):
        dimensions = self._table()
        for name in self.overrides:
            for parent, labels in tables.scopes(name, dimensions).items() if name in dimensions else ():
                if not labels:
                    possible = dimensions[parent].values()
                    raise ValueError(f"`{name}` is never drawn: not where `{parent}` is {possible}.")

    def _try_overrides(self):
        """Tries each value that was given, alone and with each of every other dimension, with nothing built."""
        tried = set()
        dimensions = {**self.architecture_dimensions, **self.overrides}
        given = [(name, value) for name, dimension in self.overrides.items() for value in dimension.edge_values()]
        others = [(name, value) for name, dimension in dimensions.items() for value in dimension.edge_values()]
        for one in given:
            self._try(dict([one]), tried)
        if self.table():
            self._try({}, tried)
        for (name, value), (other, its) in itertools.product(given, others):
            if name != other and not {name, other} & set(self.training_dimensions):
                self._try({name: value, other: its}, tried)

    def _try(self, values, tried):
        each = {}
        for name, value in values.items():
            keys = [key for key in self.architecture_dimensions if name in self.per_group and key.endswith(f"_{name}")]
            each.update(dict.fromkeys(keys or [name], value))
        try:
            _, how = tables.draw(tables.fixed(self.training_dimensions, each), GivenSource())
            checked(self._hyperparameters(how))
            if not each or any(name in self.architecture_dimensions for name in each):
                _, drawn = tables.draw(tables.fixed(self.architecture_dimensions, each), GivenSource())
                made = self.assembled(drawn)
                if repr(made) not in tried:
                    Candidate(registered_name(self.architecture_of(drawn)), made, {}).cost()
                tried.add(repr(made))
        except (TypeError, ValueError, ArithmeticError) as error:
            values = values or {"input_shape": self.input_shape}
            told = ", ".join(f"{name}={value!r}" for name, value in values.items())
            raise ValueError(f"`{next(iter(values))}`: the space cannot have {told}: {error}") from error
