"""HyperArchitecture: what the search spaces of all architectures have in common."""

import contextlib
import dataclasses
import itertools

import keras_tuner

from keras_blocks import validation
from keras_blocks.costs import Cost
from keras_blocks.signature import arguments
from keras_blocks.tuning import training
from keras_blocks.tuning.augmentation import STRENGTHS
from keras_blocks.tuning.candidate import Candidate
from keras_blocks.tuning.ranges import Fixed, Part, as_part, hp_choice, hp_range, part_from_config

NOT_DRAWN = (
    *("own", "input_shape", "input_tensor", "classes", "labels", "data_format", "preprocess", "name", "trainable"),
    *("include_top", "pooling", "classifier_activation"),
)
"""Arguments of architectures that the data or the search decide."""


class HyperArchitecture(keras_tuner.HyperModel):
    """The search space of an architecture. It holds no model code: what it draws are the constructor's arguments.

    A subclass names its `architecture` and declares its parts: a table of names and what each may be, a plain value, a
    list of choices or an `hp_range`. A part that is an argument of the architecture is passed to it; where others are
    drawn, `own(part)` makes arguments of them. Every draw must be valid. Users fix, narrow or widen each part by an
    argument of its name, and give further arguments of the architecture in the same way.

    Two functions can each be used alone: `metaparameters(hp)`, what the model is, and `hyperparameters(hp)`, how it is
    trained. Any KerasTuner tuner takes an instance.

    Args:
        input_shape: (height, width, channels) of the images, which are channels_last.
        classes: number of classes.
        scale: what the pixels are multiplied by, inside the model.
        flips: whether augmentation may mirror images left to right.
        tune_batch_norm: whether BatchNormalization is drawn, too. Otherwise all models have it: without it, plain
            architectures with ReLU often stay at chance when they train for few steps.
        name: of the space; the architecture's by default.
        **parts: name of a part -> a value, which fixes it; a list of values or `hp_choice`; or `hp_range`. Those of
            the training are `optimizer`, `learning_rate`, `weight_decay`, `batch_size`, `augmentation`, and, fixed to
            none unless given, `warmup` and `lottery`, see `training.fit`. A part that each group has, such as `blocks`,
            may be given for one group: `group2_blocks`. `parts_of()` gives all.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed; for an unknown
            part, with the nearest names.

    Example: the whole space of a new architecture.

    >>> class HyperWideNet(HyperArchitecture):
    ...     architecture = keras_blocks.SqueezeNet
    ...     parts = {"filters": [16, 32], "stem": "tiny", "dropout": hp_range(0.0, 0.5)}
    ...
    ...     def own(self, part):
    ...         return {**super().own(part), "groups": [{"filters": [part["filters"]]}]}
    >>> import keras_tuner
    >>> HyperWideNet((8, 8, 1), classes=10, filters=8).metaparameters(keras_tuner.HyperParameters())["groups"]
    [{'filters': [8]}]
    """

    architecture: type

    parts: dict = {}
    """Name -> what it may be. A part stands after those that its conditions name."""

    per_group: tuple = ()
    """Parts that are drawn for each group anew, as many as the part "groups" says: `own` gets a list."""

    activations = ("relu", "elu", "gelu", "silu")
    learning_rates = {"adamw": (1e-3, 1e-2), "sgd": (2e-2, 2e-1)}
    batch_sizes = (32, 64)
    batch_norm = {"momentum": 0.9}
    """Keras' default of 0.99 averages over 300 steps and more, which on small data are all that there are."""

    def __init__(self, input_shape, classes, *, scale=1.0, flips=False, tune_batch_norm=False, name=None, **parts):
        super().__init__(name=name or self.architecture.__name__.lower())
        sizes = validation.sequence("input_shape", input_shape, of="height, width and channels")
        if len(sizes) != 3:
            raise ValueError(f"`input_shape` must be (height, width, channels); received {tuple(sizes)}.")
        self.input_shape = tuple(validation.integer("input_shape", size) for size in sizes)
        self.classes = validation.integer("classes", classes, least=2)
        self.scale = validation.number("scale", scale, least=1e-9, most=1e9)
        self.flips = validation.boolean("flips", flips)
        self.tune_batch_norm = validation.boolean("tune_batch_norm", tune_batch_norm)
        self.narrowed = {part: as_part(part, given) for part, given in parts.items()}
        self._training = _merged(self._training_table(), self.narrowed)
        self._architecture = self._architecture_parts()
        for part in self.narrowed:
            validation.choice("part", part, tuple({**self._architecture, **self._training, **self._further()}))
        self._check_narrowed()

    @classmethod
    def from_dataset(cls, dataset, **kwargs):
        """The space for the images of a `Dataset`; further arguments are the constructor's, parts among them."""
        return cls(dataset.image_shape, dataset.classes, scale=dataset.scale, flips=dataset.flips, **kwargs)

    # -- what a space declares --------------------------------------------------------------------------------------

    def table(self) -> dict:
        """The parts, those that depend on the images' size too. By default the class' `parts`."""
        return dict(self.parts)

    def own(self, part: dict) -> dict:
        """The architecture's arguments from what was drawn: name -> value of all parts that are drawn here."""
        return {name: value for name, value in part.items() if name in arguments(self.architecture)}

    def adapted(self, metaparameters: dict) -> dict:
        """A published variant's metaparameters with what must differ for images of this size. By default nothing."""
        return metaparameters

    def given(self) -> dict:
        """The metaparameters that the data decide."""
        return {"input_shape": self.input_shape, "classes": self.classes, "data_format": "channels_last"}

    def narrowest(self, name, default) -> list:
        """The values that the part may have, by what the user gave, for tables of which one part limits another."""
        return self.narrowed[name].values() if name in self.narrowed else as_part(name, default).values()

    # -- what is drawn ----------------------------------------------------------------------------------------------

    def metaparameters(self, hp) -> dict:
        """Draws what the model is: arguments for `architecture(**metaparameters)`, plain data."""
        return self._assembled(_drawn(self._architecture, hp))

    def hyperparameters(self, hp) -> dict:
        """Draws how the model is trained: see `training.compiled` and `training.fit`."""
        return _hyperparameters(_drawn(self._training, hp))

    def candidate(self, hp) -> Candidate:
        """What is drawn, as plain data."""
        return Candidate(self.architecture.__name__, self.metaparameters(hp), self.hyperparameters(hp))

    def declare_hyperparameters(self, hp) -> None:
        """Declares the whole space, with nothing built. The architecture comes last: a grid varies that first."""
        self.hyperparameters(hp)
        self.metaparameters(hp)

    def cost(self, hp) -> Cost:
        """What the drawn model costs, without building it."""
        return self.candidate(hp).cost()

    def build(self, hp):
        """A compiled model from one draw."""
        self.declare_hyperparameters(hp)
        return self.candidate(hp).compiled(scale=self.scale, flips=self.flips)

    def fit(self, hp, model, *args, **kwargs):
        """Trains as drawn, on arrays.

        Raises:
            keras_tuner.errors.FailedTrialError: where the loss became NaN or infinite, so that no tuner takes the
                trial for a good one.
        """
        try:
            return training.fit(model, self.hyperparameters(hp), *args, **kwargs)
        except training.TrainingDiverged as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error

    def parts_of(self) -> dict:
        """Name -> what it may be in this space, of all parts: the training's, then the architecture's."""
        return {**self._training, **self._architecture}

    def get_config(self) -> dict:
        """The space as plain data, from which `spaces.space_from_config` makes it again, in another process too."""
        return {
            "space": type(self).__name__,
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "scale": self.scale,
            "flips": self.flips,
            "tune_batch_norm": self.tune_batch_norm,
            "name": self.name,
            "parts": {name: part.get_config() for name, part in self.narrowed.items()},
        }

    @classmethod
    def from_config(cls, config: dict):
        """The space that `get_config` described."""
        config = {key: value for key, value in config.items() if key != "space"}
        parts = {name: part_from_config(dict(part)) for name, part in config.pop("parts").items()}
        return cls(**config, **parts)

    # -- within -----------------------------------------------------------------------------------------------------

    def _training_table(self) -> dict:
        rates = {}
        if "learning_rate" not in self.narrowed:
            for name, (low, high) in self.learning_rates.items():
                rate = hp_range(low, high, sampling="log", default=(low * high) ** 0.5)
                rates[f"{name}_learning_rate"] = rate.when("optimizer", name)
        return {
            "optimizer": list(self.learning_rates),
            **(rates or {"learning_rate": None}),
            "weight_decay": [0.0, 1e-4, 1e-3],
            "batch_size": list(self.batch_sizes),
            "augmentation": ["light", *(name for name in STRENGTHS if name != "light")],
            **training.DEFAULTS,
        }

    def _architecture_parts(self) -> dict:
        """The table, with what users gave, what all architectures have, and a part for each group."""
        normalized = Fixed(self.batch_norm)
        if self.tune_batch_norm:
            normalized = hp_choice(self.batch_norm, False)
        table = {**self.table(), "activation": list(self.activations), "batch_norm": normalized}
        found = {}
        for name, part in _merged(table, self.narrowed).items():
            if name not in self.per_group:
                found[name] = part
                continue
            counts = _counts(found["groups"])
            for i in range(1, max(counts) + 1):
                each = f"group{i}_{name}"
                given = dataclasses.replace(self.narrowed.get(each, part), conditions=part.conditions)
                found[each] = given.when("groups", *(count for count in counts if count >= i))
        further = {name: part for name, part in self.narrowed.items() if name in self._further()}
        return found | {name: part for name, part in further.items() if name not in {*found, *self.per_group}}

    def _further(self) -> dict:
        """Other names that users may give: the architecture's other arguments, and what stands for parts of groups."""
        others = [name for name in arguments(self.architecture) if name not in NOT_DRAWN]
        return dict.fromkeys([*others, *self.per_group])

    def _assembled(self, drawn: dict) -> dict:
        for name in self.per_group:
            keys = [f"group{i}_{name}" for i in range(1, drawn.get("groups", 0) + 1)]
            drawn[name] = [drawn.pop(key) for key in keys if key in drawn]
        return {**self.own(drawn), **self.given()}

    def _check_narrowed(self):
        """Tries what users gave, each value by itself and each two of different parts together, with nothing built."""
        parts = self.parts_of()
        for name in self.narrowed:
            for parent, labels in _scopes(parts[name], parts) if name in parts else ():
                if not labels:
                    raise ValueError(f"`{name}` is never drawn: not where `{parent}` is {parts[parent].values()}.")
        tried = [(name, value) for name, part in self.narrowed.items() for value in part.extremes()]
        for values in itertools.chain(([one] for one in tried), itertools.combinations(tried, 2)):
            if len(dict(values)) == len(values):
                self._check(dict(values))

    def _check(self, values):
        fixed = {}
        for name, value in values.items():
            each = [key for key in self._architecture if name in self.per_group and key.endswith(f"_{name}")]
            fixed.update(dict.fromkeys(each or [name], Fixed(value)))
        try:
            training.checked(_hyperparameters(_drawn(_fixed(self._training, fixed), None)))
            if any(name in self._architecture for name in fixed):
                metaparameters = self._assembled(_drawn(_fixed(self._architecture, fixed), None))
                Candidate(self.architecture.__name__, metaparameters, {}).cost()
        except (TypeError, ValueError, ArithmeticError) as error:
            told = ", ".join(f"{name}={value!r}" for name, value in values.items())
            raise ValueError(f"`{next(iter(values))}`: the space cannot have {told}: {error}") from error


def _merged(table: dict, narrowed: dict) -> dict:
    """The table's parts, those that users gave in place of the declared, under the declared conditions."""
    found = {}
    for name, declared in table.items():
        declared = as_part(name, declared)
        given = narrowed.get(name, declared)
        found[name] = dataclasses.replace(given, conditions=declared.conditions)
    return found


def _counts(part: Part) -> list:
    """The numbers of groups that the part may be."""
    if any(isinstance(value, bool) or not isinstance(value, int) or value < 1 for value in part.extremes()):
        raise ValueError(f"`groups` must be integers of at least 1; received {part.extremes()!r}.")
    return part.values()


def _fixed(parts: dict, values: dict) -> dict:
    """The parts, with those that have a value here fixed to it."""
    return {
        name: dataclasses.replace(values.get(name, part), conditions=part.conditions) for name, part in parts.items()
    }


def _drawn(parts: dict, hp) -> dict:
    """Name -> value of each part whose conditions are met; without `hp`, the defaults."""
    found = {}
    for name, part in parts.items():
        met = all(parent in found and found[parent] in values for parent, values in part.conditions)
        if hp is None or isinstance(part, Fixed):
            if met:
                found[name] = part.default
            continue
        scopes = dict(_scopes(part, parts)).items()
        if any(not labels for _, labels in scopes):
            continue
        with contextlib.ExitStack() as stack:
            for parent, labels in scopes:
                stack.enter_context(hp.conditional_scope(parent, labels))
            value = part.draw(hp, name)
        if met:
            found[name] = value
    return found


def _scopes(part: Part, parts: dict):
    """(name, labels) of the drawn parts on which this one depends, the outermost first; no labels: never drawn."""
    for parent, values in part.conditions:
        yield from _scopes(parts[parent], parts)
        possible = parts[parent].values()
        labels = [parts[parent].label(value) for value in possible if value in values]
        if len(labels) < len(possible):
            yield parent, labels


def _hyperparameters(drawn: dict) -> dict:
    rate = drawn.get("learning_rate")
    rates = {name for name in drawn if name.endswith("_learning_rate")}
    if rates:
        rate = drawn.get(f"{drawn['optimizer']}_learning_rate")
    others = {name: value for name, value in drawn.items() if name not in {*rates, "optimizer", "learning_rate"}}
    return {"optimizer": drawn["optimizer"], "learning_rate": rate, **others}
