"""HyperArchitecture: what the search spaces of all architectures have in common."""

import dataclasses
import itertools

from keras_blocks.core import validation
from keras_blocks.core.registration import registered_name
from keras_blocks.core.signature import arguments
from keras_blocks.tuning.spaces import table as tables
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.spaces.dimension import Fixed, as_part, hp_choice
from keras_blocks.tuning.spaces.space import HyperSpace

NOT_DRAWN = (
    *("own", "input_shape", "input_tensor", "classes", "labels", "data_format", "preprocess", "name", "trainable"),
    *("include_top", "pooling", "classifier_activation"),
)
"""Arguments of architectures that the data or the search decide."""


class HyperArchitecture(HyperSpace):
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
            may be given for one group: `group2_blocks`. Attributes `training_parts` and `architecture_parts` hold all.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed; for an unknown
            part, with the nearest names.

    Example: the whole space of a new architecture.

    >>> from keras_blocks.tuning import hp_range
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
    """Name -> what it may be. A part stands after those on which it depends."""

    conditions: dict = {}
    """Name of a part -> (name of another, *its values), where alone the part is drawn."""

    per_group: tuple = ()
    """Parts that are drawn for each group anew, as many as the part "groups" says: `own` gets a list."""

    activations = ("relu", "elu", "gelu", "silu")
    batch_norm = {"momentum": 0.9}
    """Keras' default of 0.99 averages over 300 steps and more, which on small data are all that there are."""

    def __init__(self, input_shape, classes, *, scale=1.0, flips=False, tune_batch_norm=False, name=None, **parts):
        name = name or self.architecture.__name__.lower()
        super().__init__(input_shape, classes, scale=scale, flips=flips, name=name, parts=parts)
        self.tune_batch_norm = validation.boolean("tune_batch_norm", tune_batch_norm)
        self.architecture_parts = self._architecture_parts()
        for part in self.narrowed:
            validation.choice("part", part, tuple({**self.architecture_parts, **self.training_parts, **self._more()}))
        self._refuse_what_is_never_drawn({**self.architecture_parts, **self.training_parts})
        self._try_what_was_given()

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
        return {"input_shape": list(self.input_shape), "classes": self.classes, "data_format": "channels_last"}

    def possible(self, name, default) -> list:
        """The values that a part may have, by what the user gave: for a table of which one part limits another."""
        return self.narrowed.get(name, as_part(name, default)).values()

    # -- what is drawn ----------------------------------------------------------------------------------------------

    def metaparameters(self, hp):
        return self.assembled(self.drawn(hp))

    def candidate(self, hp):
        return Candidate(registered_name(self.architecture), self.metaparameters(hp), self.hyperparameters(hp))

    def drawn(self, hp) -> dict:
        """Name -> value of the parts that are drawn, as KerasTuner knows them."""
        return tables.draw(self.architecture_parts, hp)

    def assembled(self, drawn: dict) -> dict:
        """The architecture's arguments from what `drawn` gives."""
        part = dict(drawn)
        for name in self.per_group:
            keys = [f"group{i}_{name}" for i in range(1, part.get("groups", 0) + 1)]
            part[name] = [part[key] for key in keys if key in part]
        return {**self.own(part), **self.given()}

    def get_config(self):
        return {**super().get_config(), **self.images(), "tune_batch_norm": self.tune_batch_norm}

    # -- within -----------------------------------------------------------------------------------------------------

    def _architecture_parts(self) -> dict:
        """The table, with what users gave, what all architectures have, and a part for each group."""
        normalized = hp_choice(self.batch_norm, False) if self.tune_batch_norm else Fixed(self.batch_norm)
        table = {**self.table(), "activation": list(self.activations), "batch_norm": normalized}
        found = {}
        for name, part in tables.merged(table, self.narrowed, self.conditions).items():
            if name not in self.per_group:
                found[name] = part
                continue
            groups = tables.counts(found["groups"])
            for i in range(1, max(groups) + 1):
                each = f"group{i}_{name}"
                given = dataclasses.replace(self.narrowed.get(each, part), conditions=part.conditions)
                found[each] = given.when("groups", *(count for count in groups if count >= i))
        more = {name: part for name, part in self.narrowed.items() if name in self._more()}
        return found | {name: part for name, part in more.items() if name not in {*found, *self.per_group}}

    def _more(self) -> dict:
        """Other names that users may give: the architecture's other arguments, and what stands for parts of groups."""
        others = [name for name in arguments(self.architecture) if name not in NOT_DRAWN]
        return dict.fromkeys([*others, *self.per_group])

    def _try_what_was_given(self):
        """Tries each value that was given, alone and with each of every other part, with nothing built."""
        tried = set()
        given = [(name, value) for name, part in self.narrowed.items() for value in part.extremes()]
        parts = {**self.architecture_parts, **self.narrowed}
        others = [(name, value) for name, part in parts.items() for value in part.extremes()]
        for one in given:
            self._try(dict([one]), tried)
        if self.table():
            self._try({}, tried)
        for (name, value), (other, its) in itertools.product(given, others):
            if name != other and name not in self.training_parts and other not in self.training_parts:
                self._try({name: value, other: its}, tried)

    def _try(self, values, tried):
        each = {}
        for name, value in values.items():
            keys = [key for key in self.architecture_parts if name in self.per_group and key.endswith(f"_{name}")]
            each.update(dict.fromkeys(keys or [name], value))
        try:
            self._check_training(each)
            if not each or any(name in self.architecture_parts for name in each):
                made = self.assembled(tables.draw(tables.fixed(self.architecture_parts, each), None))
                if repr(made) not in tried:
                    Candidate(registered_name(self.architecture), made, {}).cost()
                tried.add(repr(made))
        except (TypeError, ValueError, ArithmeticError) as error:
            values = values or {"input_shape": self.input_shape}
            told = ", ".join(f"{name}={value!r}" for name, value in values.items())
            raise ValueError(f"`{next(iter(values))}`: the space cannot have {told}: {error}") from error
