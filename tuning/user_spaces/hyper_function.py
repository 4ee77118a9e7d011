"""HyperFunction: the search space of a user's own architecture, which is a function of its metaparameters."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import keras_tuner

from keras_blocks.core import validation
from keras_blocks.core.signature import needed
from keras_blocks.tuning.spaces import table as tables
from keras_blocks.tuning.spaces.table import KerasTunerSource, Table
from keras_blocks.tuning.study.dimension import as_dimension

TRAINING = ("optimizer", "learning_rate", "batch_size")
"""Dimensions that are no arguments of the function, but of the training."""

RATES = (1e-4, 1e-2)
"""Between these a learning rate is drawn by default, on a logarithmic scale."""


class HyperFunction(keras_tuner.HyperModel):
    """The search space of a function that makes a model of metaparameters, with a table of what these may be.

    A model that the function has not compiled is compiled here. Any tuner of KerasTuner takes an instance, too.

    Args:
        function: called with what was drawn, by names; returns a `keras.Model`. It stands at the top level of a module,
            for trials in other processes.
        loss: of `compile`, by its name, where the function does not compile.
        metrics: of `compile`, by their names; `None` for the accuracy with a crossentropy, else none.
        name: of the space; the function's by default.
        **dimensions: name -> a value, which fixes it; a list of values or `hp_choice`; or `hp_range`. Besides the
            function's arguments, `optimizer`, a name that `keras.optimizers.get` knows ("adamw" by default),
            `learning_rate`, and `batch_size`, for data that are arrays.

    Raises:
        TypeError, ValueError: for a dimension that is no argument of the function, and for one that is missing.

    Example:

    >>> from keras_blocks.tuning import HyperFunction, hp_range
    >>> def net(filters, blocks):
    ...     layers = [keras_blocks.FireBlock(filters) for _ in range(blocks)]
    ...     head = [keras_blocks.ClassifierHead(10), keras.layers.Softmax()]
    ...     return keras.Sequential([keras.Input((8, 8, 1)), *layers, *head])
    >>> space = HyperFunction(net, filters=[4, 8], blocks=hp_range(1, 3), loss="sparse_categorical_crossentropy")
    >>> space.build(keras_tuner.HyperParameters()).count_params()
    1010
    """

    def __init__(
        self,
        function: Callable[..., keras.Model],
        *,
        loss: str | None = None,
        metrics: Sequence[str] | None = None,
        name: str | None = None,
        **dimensions: Any,
    ) -> None:
        if not callable(function):
            raise TypeError(f"`function` must be a function that makes a keras.Model; received {function!r}.")
        super().__init__(name=name or getattr(function, "__name__", "function"))
        self.function, self.loss = function, loss if loss is None else validation.text("loss", loss)
        self.metrics = None if metrics is None else list(validation.sequence("metrics", metrics, of="names"))
        arguments = inspect.signature(function).parameters
        several = any(item.kind is item.VAR_KEYWORD for item in arguments.values())
        for key in dimensions if not several else ():
            validation.choice("dimension", key, (*arguments, *TRAINING))
        if missing := [key for key in needed(function) if key not in dimensions]:
            raise ValueError(f"`dimensions` must have all that {self.name} needs; it lacks {missing}.")
        self.dimensions: Table = {key: as_dimension(key, given) for key, given in dimensions.items()}
        self._own = [key for key in dimensions if several or key in arguments]

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Declares the whole table, with nothing built."""
        KerasTunerSource(hp, self.dimensions)

    def drawn(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Name -> value of all that is drawn or fixed."""
        return tables.draw(self.dimensions, KerasTunerSource(hp, self.dimensions))[1]

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The function's model of one draw, compiled."""
        drawn = self.drawn(hp)
        model = self.function(**{name: value for name, value in drawn.items() if name in self._own})
        if isinstance(model, keras.Model) and not model.compiled:
            self._compile(model, drawn, hp)
        return model

    def _compile(self, model: keras.Model, drawn: Mapping[str, Any], hp: keras_tuner.HyperParameters) -> None:
        if self.loss is None:
            raise ValueError(f"`loss` must be given, as {self.name} does not compile its model; received None.")
        low, high = RATES
        rate = drawn["learning_rate"] if "learning_rate" in drawn else hp.Float("learning_rate", low, high, None, "log")
        optimizer = keras.optimizers.get(drawn.get("optimizer", "adamw"))
        optimizer.learning_rate = rate
        metrics = self.metrics
        if metrics is None:
            metrics = ["accuracy"] if "crossentropy" in self.loss else []
        model.compile(optimizer=optimizer, loss=self.loss, metrics=metrics)

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """`model.fit`, with the batch size that was drawn."""
        drawn = self.drawn(hp)
        return model.fit(*args, **{**({"batch_size": drawn["batch_size"]} if "batch_size" in drawn else {}), **kwargs})
