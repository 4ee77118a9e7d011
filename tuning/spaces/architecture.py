"""HyperArchitecture: what all search spaces have in common."""

import dataclasses
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import keras_tuner

from keras_blocks.core import validation
from keras_blocks.core.registration import registered_name
from keras_blocks.core.signature import arguments
from keras_blocks.costs.cost import Cost
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.spaces import table as tables
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.spaces.table import GivenSource, KerasTunerSource, Table
from keras_blocks.tuning.spaces.tuner_checks import refuse_search_arguments, refuse_what_is_fixed
from keras_blocks.tuning.study.dimension import (
    Dimension,
    Fixed,
    Values,
    as_dimension,
    dimension_from_config,
    hp_choice,
    hp_range,
)
from keras_blocks.tuning.study.sources import SizeSource, Source
from keras_blocks.tuning.training.augmentation import STRENGTHS
from keras_blocks.tuning.training.fit import fit
from keras_blocks.tuning.training.fit_arguments import WrongCall
from keras_blocks.tuning.training.hyperparameters import DEFAULTS, RATES, TrainingDiverged, checked

RATE = "learning_rate"

NOT_DRAWN = (
    *("own", "input_shape", "input_tensor", "classes", "labels", "data_format", "preprocess", "name", "trainable"),
    *("include_top", "pooling", "classifier_activation"),
)
"""Arguments of architectures that the data or the search decide."""


class HyperArchitecture(keras_tuner.HyperModel):
    """The search space of an architecture. It holds no model code: what it draws are the constructor's arguments.

    A subclass names its `architecture` and declares its dimensions: a table of names and what each may be, a plain
    value, a list of choices or an `hp_range`. A dimension that is an argument of the architecture is passed to it;
    where others are drawn, `arguments_from(drawn)` makes arguments of them. Every draw must be valid. Users fix, narrow
    or widen each dimension by an argument of its name, and give further arguments of the architecture in the same way.

    Two functions can each be used alone: `metaparameters(hp)`, what the model is, and `hyperparameters(hp)`, how it is
    trained. What is called `hp` is `keras_tuner.HyperParameters`, or another source of values, see `study.sources`. Any
    KerasTuner tuner takes an instance.

    Args:
        input_shape: (height, width, channels) of the images, which are channels_last.
        classes: number of classes.
        scale: what the pixels are multiplied by, inside the model.
        flips: whether augmentation may mirror images left to right.
        tune_batch_norm: whether BatchNormalization is drawn, too. Otherwise all models have it: without it, plain
            architectures with ReLU often stay at chance when they train for few steps.
        name: of the space; the architecture's by default.
        **overrides: name of a dimension -> a value, which fixes it; a list of values or `hp_choice`; or `hp_range`.
            Those of the training are `optimizer`, `learning_rate`, `weight_decay`, `batch_size`, which is None for data
            that make their own batches, as a `tf.data.Dataset`, `augmentation`, and, fixed unless given, `warmup`,
            `lottery`, `schedule`, `label_smoothing` and `class_weight`, see `training.hyperparameters`. A dimension
            that each group has, such as `blocks`, may be given for one group: `group2_blocks`. Attributes
            `training_dimensions` and `architecture_dimensions` hold all.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed; for an unknown
            dimension, with the nearest names.

    Example: the whole space of a new architecture.

    >>> from keras_blocks.tuning import hp_range
    >>> class HyperWideNet(HyperArchitecture):
    ...     architecture = keras_blocks.SqueezeNet
    ...     dimensions = {"filters": [16, 32], "stem": "tiny", "dropout": hp_range(0.0, 0.5)}
    ...
    ...     def arguments_from(self, drawn):
    ...         return {**super().arguments_from(drawn), "groups": [{"filters": [drawn["filters"]]}]}
    >>> import keras_tuner
    >>> HyperWideNet((8, 8, 1), classes=10, filters=8).metaparameters(keras_tuner.HyperParameters())["groups"]
    [{'filters': [8]}]
    """

    architecture: type

    dimensions: Values = {}
    """Name -> what it may be. A dimension stands after those on which it depends."""

    conditions: dict[str, tuple[Any, ...]] = {}
    """Name of a dimension -> (name of another, *its values), where alone the dimension is drawn."""

    per_group: tuple[str, ...] = ()
    """Dimensions that are drawn for each group anew, as many as the dimension "groups" says."""

    most = {"groups": 32, "blocks": 256, "layers": 256, "depth": 256}
    """Name of a dimension that is a number of something -> the most that it may be, as candidates are counted."""

    learning_rates = {"adamw": (1e-3, 1e-2), "sgd": (2e-2, 2e-1)}
    batch_sizes = (32, 64)
    activations = ("relu", "elu", "gelu", "silu")
    batch_norm = {"momentum": 0.9}
    """Keras' default of 0.99 averages over 300 steps and more, which on small data are all that there are."""

    class_names: Sequence[str] | None = None
    """The `labels` of the models that `build` makes for KerasTuner's tuners; `from_dataset` knows them."""

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int,
        *,
        scale: float = 1.0,
        flips: bool = False,
        tune_batch_norm: bool = False,
        name: str | None = None,
        **overrides: Any,
    ):
        super().__init__(name=name or self.architecture.__name__.lower())
        sizes = validation.sequence("input_shape", input_shape, of="height, width and channels")
        if len(sizes) != 3:
            raise ValueError(f"`input_shape` must be (height, width, channels); received {tuple(sizes)}.")
        self.input_shape = tuple(validation.integer("input_shape", size) for size in sizes)
        self.classes = validation.integer("classes", classes, least=2)
        self.scale = validation.number("scale", scale, least=1e-9, most=1e9)
        self.flips = validation.boolean("flips", flips)
        self.tune_batch_norm = validation.boolean("tune_batch_norm", tune_batch_norm)
        self.overrides: Table = {key: as_dimension(key, given) for key, given in overrides.items()}
        self.training_dimensions = tables.merged(self._training_table(), self.overrides)
        self.architecture_dimensions = self._architecture_table()
        for key in self.overrides:
            validation.choice("dimension", key, tuple(self.declared()))
        self._refuse_what_is_never_drawn()
        self._try_overrides()

    @classmethod
    def from_dataset(cls, dataset: Dataset, **kwargs: Any) -> Self:
        """The space for the images of a `Dataset`; further arguments are the constructor's, dimensions among them."""
        space = cls(dataset.image_shape, dataset.classes, scale=dataset.scale, flips=dataset.flips, **kwargs)
        space.class_names = dataset.class_names
        return space

    # -- what a space declares --------------------------------------------------------------------------------------

    def table(self) -> Values:
        """The dimensions, those that depend on the images' size too. By default the class' `dimensions`."""
        return dict(self.dimensions)

    def arguments_from(self, drawn: Values) -> Values:
        """The architecture's arguments: by default what was drawn that has the name of one.

        Args:
            drawn: name -> value of all dimensions that are drawn here; of one in `per_group`, a list.
        """
        return {name: value for name, value in drawn.items() if name in arguments(self.architecture)}

    def fitted_to_images(self, metaparameters: Values) -> Values:
        """A published variant's metaparameters with what must differ for images of this size. By default nothing."""
        return metaparameters

    def fixed_by_data(self) -> Values:
        """The metaparameters that the data decide."""
        return {"input_shape": list(self.input_shape), "classes": self.classes, "data_format": "channels_last"}

    @property
    def side(self) -> int:
        """The images' smaller side."""
        return min(self.input_shape[:2])

    def possible_values(self, name: str, default: Any) -> list[Any]:
        """The values that a dimension may have, by what the user gave: for a table of which one limits another."""
        return tables.all_values(name, self.overrides.get(name, as_dimension(name, default)))

    def side_behind(self, stem: str, pixels: Mapping[str, int]) -> int:
        """The smaller side of the feature map behind the stem, or behind the smallest of those that may be drawn.

        Args:
            stem: by default.
            pixels: stem -> pixels of the image for one of its feature map.
        """
        return math.ceil(self.side / max(pixels.get(name, 1) for name in self.possible_values("stem", stem)))

    def declared(self) -> Table:
        """All that users may give."""
        others = {name: Fixed(value) for name, value in arguments(self.architecture).items() if name not in NOT_DRAWN}
        table = self.table()
        each = {name: as_dimension(name, table[name]) for name in self.per_group if name in table}
        return {**others, **each, RATE: Fixed(None), **self._table()}

    def parsed(self, name: str, text: str) -> Dimension:
        """A dimension as users write it on a command line, see `Dimension.parse`.

        Raises:
            TypeError, ValueError: for an unknown name, with the nearest ones, and for what is no dimension.
        """
        declared = self.declared()
        return declared[validation.choice("dimension", name, tuple(declared))].parse(text)

    def architecture_of(self, drawn: Values) -> type:
        """The architecture's class, from what was drawn of `architecture_dimensions`."""
        return self.architecture

    def assembled(self, drawn: Values) -> Values:
        """The architecture's arguments, from what was drawn of `architecture_dimensions`."""
        drawn = dict(drawn)
        for name in self.per_group:
            keys = [f"group{i}_{name}" for i in range(1, drawn.get("groups", 0) + 1)]
            drawn[name] = [drawn[key] for key in keys if key in drawn]
        return {**self.arguments_from(drawn), **self.fixed_by_data()}

    # -- what is drawn ----------------------------------------------------------------------------------------------

    def metaparameters(self, hp: keras_tuner.HyperParameters | Source) -> Values:
        """Draws what the model is: arguments for its architecture's constructor, plain data."""
        return self.assembled(self._drawn(self.architecture_dimensions, hp))

    def hyperparameters(self, hp: keras_tuner.HyperParameters | Source) -> Values:
        """Draws how the model is trained: see `training.fit`."""
        return self._hyperparameters(self._drawn(self.training_dimensions, hp))

    def candidate(self, hp: keras_tuner.HyperParameters | Source) -> Candidate:
        """What is drawn, as plain data."""
        drawn = self._drawn(self.architecture_dimensions, hp)
        return Candidate(registered_name(self.architecture_of(drawn)), self.assembled(drawn), self.hyperparameters(hp))

    def draw(self, source: Source) -> Values:
        """What is drawn, as a trial keeps it; from it, `candidate(GivenSource(drawn))` is the same again."""
        labels, _ = tables.draw(self._table(), source)
        return labels

    def sizes(self) -> list[str]:
        """The dimensions that make a model large or small."""
        return tables.sizes(self.architecture_dimensions)

    def size_source(self, rng: random.Random) -> SizeSource:
        """Draws models of all sizes, that are trained by the defaults: what a search tries first."""
        return SizeSource(rng, self.sizes(), rates=[name for name in self.training_dimensions if name.endswith(RATE)])

    def grid(self) -> dict[str, list[Any]]:
        """All values of all that can be drawn, as a trial keeps them."""
        return {name: dimension.labels() for name, dimension in tables.drawable(self._table()).items()}

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Declares the whole space, with nothing built. The architecture comes last: a grid varies that first."""
        refuse_what_is_fixed(self._table(), hp)
        KerasTunerSource(hp, self._table())

    def identity(self) -> list[dict[str, Any]]:
        """What tells the space from a changed one: its description by KerasTuner."""
        hp = keras_tuner.HyperParameters()
        self.declare_hyperparameters(hp)
        space: list[dict[str, Any]] = hp.get_config()["space"]
        return space

    def cost(self, hp: keras_tuner.HyperParameters | Source) -> Cost:
        """What the drawn model costs, without building it."""
        return self.candidate(hp).cost()

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """A compiled model from one draw."""
        self.declare_hyperparameters(hp)
        return self.candidate(hp).compiled(scale=self.scale, flips=self.flips, class_names=self.class_names)

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        """Trains as drawn, on arrays; with `batch_size=None`, on data that make their own batches.

        Raises:
            keras_tuner.errors.FatalValueError: for what no trial could be trained with, which ends a tuner's search.
            keras_tuner.errors.FailedTrialError: where the loss became NaN or infinite, so that no tuner takes the
                trial for a good one.
        """
        refuse_search_arguments(type(self).__name__, self.training_dimensions, args, kwargs)
        try:
            return fit(model, self.hyperparameters(hp), *args, **kwargs)
        except WrongCall as error:
            raise keras_tuner.errors.FatalValueError(str(error)) from error
        except TrainingDiverged as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error

    # -- as plain data ----------------------------------------------------------------------------------------------

    def images(self) -> Values:
        """What the space knows of the images, as arguments of a space's constructor."""
        shape = list(self.input_shape)
        return {"input_shape": shape, "classes": self.classes, "scale": self.scale, "flips": self.flips}

    def get_config(self) -> Values:
        """The space as plain data, from which `space_from_config` makes it again, in another process too."""
        parts = {name: dimension.get_config() for name, dimension in self.overrides.items()}
        about = {"space": registered_name(type(self)), "name": self.name, "parts": parts}
        return {**about, **self.images(), "tune_batch_norm": self.tune_batch_norm}

    @classmethod
    def from_config(cls, config: Values) -> Self:
        """The space that `get_config` described."""
        config = {key: value for key, value in config.items() if key != "space"}
        overrides: Values = {name: dimension_from_config(part) for name, part in config.pop("parts").items()}
        return cls(**config, **overrides)

    # -- within -----------------------------------------------------------------------------------------------------

    def _table(self) -> Table:
        return {**self.training_dimensions, **self.architecture_dimensions}

    def _drawn(self, dimensions: Table, source: keras_tuner.HyperParameters | Source) -> Values:
        if isinstance(source, keras_tuner.HyperParameters):
            source = KerasTunerSource(source, dimensions)
        return tables.draw(dimensions, source)[1]

    def _training_table(self) -> Values:
        others = set(self.possible_values("optimizer", list(self.learning_rates))) - {*self.learning_rates}
        ranges = self.learning_rates | {name: RATES[name] for name in sorted(others & {*RATES})}
        rates = {
            f"{name}_{RATE}": hp_range(low, high, sampling="log", default=(low * high) ** 0.5).when("optimizer", name)
            for name, (low, high) in ranges.items()
        }
        return {
            "optimizer": list(self.learning_rates),
            **({RATE: None} if RATE in self.overrides else rates),
            "weight_decay": [0.0, 1e-4, 1e-3],
            "batch_size": list(self.batch_sizes),
            "augmentation": ["light", *(name for name in STRENGTHS if name != "light")],
            **DEFAULTS,
        }

    def _hyperparameters(self, drawn: Values) -> Values:
        """One learning rate, whichever optimizer it was drawn for."""
        optimizer = drawn.pop("optimizer")
        rates = {name: drawn.pop(name) for name in list(drawn) if name.endswith(RATE)}
        return {"optimizer": optimizer, RATE: rates.get(RATE, rates.get(f"{optimizer}_{RATE}")), **drawn}

    def _refuse_what_is_never_drawn(self) -> None:
        dimensions = self._table()
        for name in self.overrides:
            for parent, labels in tables.scopes(name, dimensions).items() if name in dimensions else ():
                if not labels:
                    possible = tables.all_values(parent, dimensions[parent])
                    needed = [value for it, values in dimensions[name].conditions if it == parent for value in values]
                    told = f" Give `{parent}` one of {needed} among its values." if needed else ""
                    raise ValueError(f"`{name}` is never drawn: not where `{parent}` is {possible}.{told}")

    def _try_overrides(self) -> None:
        """Tries each value that was given, alone and with each of every other dimension, with nothing built."""
        tried: set[str] = set()
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

    def _try(self, values: Values, tried: set[str]) -> None:
        each: Values = {}
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

    def _architecture_table(self) -> Table:
        """The table, with what users gave, what all architectures have, and a dimension for each group."""
        normalized = hp_choice(self.batch_norm, False) if self.tune_batch_norm else Fixed(self.batch_norm)
        table = {**self.table(), "activation": list(self.activations), "batch_norm": normalized}
        found = {}
        for name, dimension in tables.merged(table, self.overrides, self.conditions).items():
            most = self.most.get(name, math.inf)
            if name not in self.per_group:
                found[name] = tables.limited(name, dimension, most)
                continue
            groups = tables.counts(found["groups"])
            for i in range(1, max(groups) + 1):
                each = f"group{i}_{name}"
                given = dataclasses.replace(self.overrides.get(each, dimension), conditions=dimension.conditions)
                given = tables.limited(each if each in self.overrides else name, given, most)
                found[each] = given.when("groups", *(count for count in groups if count >= i))
        others = set(arguments(self.architecture)) - {*NOT_DRAWN, *found, *self.per_group}
        return found | {name: dimension for name, dimension in self.overrides.items() if name in others}
