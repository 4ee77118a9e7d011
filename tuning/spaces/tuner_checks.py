"""What a KerasTuner tuner is told that its trials could not keep: an error at once, not one of every trial."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

from keras_blocks.tuning.spaces.table import Table
from keras_blocks.tuning.study.dimension import Fixed


def refuse_search_arguments(space: str, table: Table, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuses what would be overruled by what is drawn, and data that the first trial would use up.

    Args:
        space: name of its class.
        table: its dimensions of the training.
        args, kwargs: what `tuner.search` was given.

    Raises:
        keras_tuner.errors.FatalValueError: which ends a tuner's search.
    """
    size = args[2] if len(args) > 2 else kwargs.get("batch_size")
    drawn = table["batch_size"]
    if size is not None and not isinstance(drawn, Fixed):
        raise keras_tuner.errors.FatalValueError(
            f"`batch_size` must be left out, as the space draws it, from {drawn.edge_values()}; received {size!r}. "
            f"Give it to the space: `{space}(..., batch_size={size!r})`."
        )
    for name, data in {"x": next(iter(args), None), **kwargs}.items():
        if hasattr(data, "__next__"):
            raise keras_tuner.errors.FatalValueError(
                f"`{name}` must be data that every trial can read: arrays, a tf.data.Dataset, a PyDataset; received a "
                f"{type(data).__name__}, which the first would use up."
            )


def refuse_what_is_fixed(table: Table, hp: keras_tuner.HyperParameters) -> None:
    """Refuses hyperparameters that a tuner would draw, and record, while the space has them fixed.

    Args:
        table: all the space's dimensions.
        hp: what the tuner has, of its `hyperparameters` or of a project that was begun before.

    Raises:
        keras_tuner.errors.FatalValueError: which ends a tuner's search.
    """
    for item in hp.space:
        given = table.get(item.name)
        if isinstance(given, Fixed) and not isinstance(item, kinds.Fixed):
            raise keras_tuner.errors.FatalValueError(
                f"`{item.name}` must not be drawn by the tuner: the space has it fixed to {given.value!r}. Take it out "
                "of the tuner's `hyperparameters`; a project begun with another space needs another `project_name`."
            )
