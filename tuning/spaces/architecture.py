"""HyperArchitecture: what the search spaces of all architectures have in common."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from keras_blocks.core import validation
from keras_blocks.core.signature import arguments
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.spaces import table as tables
from keras_blocks.tuning.spaces.dimension import Fixed, as_dimension, hp_choice
from keras_blocks.tuning.spaces.space import HyperSpace
from keras_blocks.tuning.spaces.table import Table

NOT_DRAWN = (
    *("own", "input_shape", "input_tensor", "classes", "labels", "data_format", "preprocess", "name", "trainable"),
    *("include_top", "pooling", "classifier_activation"),
)
"""Arguments of architectures that the data or the search decide."""


class HyperArchitecture(HyperSpace):
    """The search space of an architecture. It holds no model code: what it draws are the constructor's arguments.

    A subclass names its `architecture` and declares its dimensions: a table of names and what each may be, a plain
    value, a list of choices or an `hp_range`. A dimension that is an argument of the architecture is passed to it;
    where others are drawn, `arguments_from(drawn)` makes arguments of them. Every draw must be valid. Users fix, narrow
    or widen each dimension by an argument of its name, and give further arguments of the architecture in the same way.

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
        **overrides: name of a dimension -> a value, which fixes it; a list of values or `hp_choice`; or `hp_range`.
            Those of the training are `optimizer`, `learning_rate`, `weight_decay`, `batch_size`, `augmentation`, and,
            fixed to none unless given, `warmup` and `lottery`, see `training.fit`. A dimension that each group has,
            such as `blocks`, may be given for one group: `group2_blocks`. Attributes `training_dimensions` and
            `architecture_dimensions` hold all.

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

    dimensions: dict[str, Any] = {}
    """Name -> what it may be. A dimension stands after those on which it depends."""

    conditions: dict[str, tuple] = {}
    """Name of a dimension -> (name of another, *its values), where alone the dimension is drawn."""

    activations = ("relu", "elu", "gelu", "silu")
    batch_norm = {"momentum": 0.9}
    """Keras' default of 0.99 averages over 300 steps and more, which on small data are all that there are."""

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
        self.tune_batch_norm = validation.boolean("tune_batch_norm", tune_batch_norm)
        name = name or self.architecture.__name__.lower()
        super().__init__(input_shape, classes, scale=scale, flips=flips, name=name, dimensions=overrides)

    @classmethod
    def from_dataset(cls, dataset: Dataset, **kwargs: Any) -> Self:
        """The space for the images of a `Dataset`; further arguments are the constructor's, dimensions among them."""
        return cls(dataset.image_shape, dataset.classes, scale=dataset.scale, flips=dataset.flips, **kwargs)

    # -- what a space declares --------------------------------------------------------------------------------------

    def table(self) -> dict[str, Any]:
        """The dimensions, those that depend on the images' size too. By default the class' `dimensions`."""
        return dict(self.dimensions)

    def arguments_from(self, drawn: dict[str, Any]) -> dict[str, Any]:
        """The architecture's arguments: by default what was drawn that has the name of one.

        Args:
            drawn: name -> value of all dimensions that are drawn here; of one in `per_group`, a list.
        """
        return {name: value for name, value in drawn.items() if name in arguments(self.architecture)}

    def fitted_to_images(self, metaparameters: dict[str, Any]) -> dict[str, Any]:
        """A published variant's metaparameters with what must differ for images of this size. By default nothing."""
        return metaparameters

    def fixed_by_data(self) -> dict[str, Any]:
        """The metaparameters that the data decide."""
        return {"input_shape": list(self.input_shape), "classes": self.classes, "data_format": "channels_last"}

    @property
    def side(self) -> int:
        """The images' smaller side."""
        return min(self.input_shape[:2])

    def possible_values(self, name: str, default: Any) -> list:
        """The values that a dimension may have, by what the user gave: for a table of which one limits another."""
        return self.overrides.get(name, as_dimension(name, default)).values()

    def side_behind(self, stem: str, pixels: Mapping[str, int]) -> int:
        """The smaller side of the feature map behind the stem, or behind the smallest of those that may be drawn.

        Args:
            stem: by default.
            pixels: stem -> pixels of the image for one of its feature map.
        """
        return math.ceil(self.side / max(pixels.get(name, 1) for name in self.possible_values("stem", stem)))

    # -- what is drawn ----------------------------------------------------------------------------------------------

    def declared(self) -> Table:
        others = {name: value for name, value in arguments(self.architecture).items() if name not in NOT_DRAWN}
        table = self.table()
        each = {name: as_dimension(name, table[name]) for name in self.per_group if name in table}
        own = {**{name: Fixed(value) for name, value in others.items()}, **each, **self.architecture_dimensions}
        return {**own, **super().declared()}

    def architecture_of(self, drawn: dict[str, Any]) -> type:
        return self.architecture

    def assembled(self, drawn: dict[str, Any]) -> dict[str, Any]:
        drawn = dict(drawn)
        for name in self.per_group:
            keys = [f"group{i}_{name}" for i in range(1, drawn.get("groups", 0) + 1)]
            drawn[name] = [drawn[key] for key in keys if key in drawn]
        return {**self.arguments_from(drawn), **self.fixed_by_data()}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.images(), "tune_batch_norm": self.tune_batch_norm}

    # -- within -----------------------------------------------------------------------------------------------------

    def _architecture_table(self) -> Table:
        """The table, with what users gave, what all architectures have, and a dimension for each group."""
        normalized = hp_choice(self.batch_norm, False) if self.tune_batch_norm else Fixed(self.batch_norm)
        table = {**self.table(), "activation": list(self.activations), "batch_norm": normalized}
        found = {}
        for name, dimension in tables.merged(table, self.overrides, self.conditions).items():
            if name not in self.per_group:
                found[name] = dimension
                continue
            groups = tables.counts(found["groups"])
            for i in range(1, max(groups) + 1):
                each = f"group{i}_{name}"
                given = dataclasses.replace(self.overrides.get(each, dimension), conditions=dimension.conditions)
                found[each] = given.when("groups", *(count for count in groups if count >= i))
        others = set(arguments(self.architecture)) - {*NOT_DRAWN, *found, *self.per_group}
        return found | {name: dimension for name, dimension in self.overrides.items() if name in others}
