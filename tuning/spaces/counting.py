"""A user's own model before it has variables: whether it takes the data, and what it costs."""

from typing import Any

import keras

from keras_blocks.costs.cost import cost
from keras_blocks.tuning.spaces.budget import UNITS

NOT_COUNTED: dict[str, int | None] = dict.fromkeys(UNITS)


class Misfit(ValueError):
    """The data are not of the shapes that a model takes."""


def check_inputs(label: str, model: keras.Model, example: Any) -> None:
    """Refuses data whose inputs have other shapes than those that a model was begun with.

    Args:
        label: of the space, for the error.
        model: one that says which inputs it takes, or another one, of which nothing can be said.
        example: the inputs of one example.

    Raises:
        Misfit: naming both shapes.
    """
    taken = getattr(model, "inputs", None) if model.built else None
    if not taken or example is None:
        return
    given = keras.tree.flatten(example)
    if isinstance(example, dict):
        names = [item.name for item in taken]
        given = [example[name] for name in names] if {*names} <= {*example} else given
    if len(taken) != len(given) or not all(_fits(item.shape, leaf.shape) for item, leaf in zip(taken, given)):
        raise Misfit(
            f"`data`: {label} with the default hyperparameters makes a model that takes inputs of "
            f"{_shown(item.shape for item in taken)}, without the batch; the data have "
            f"{_shown(leaf.shape for leaf in given)}."
        )


def _fits(taken: Any, given: Any) -> bool:
    """As Keras takes them: a last axis of one is added or left out."""
    taken, given = tuple(taken[1:]), tuple(given[1:])
    if len(given) == len(taken) - 1 and taken[-1] == 1:
        given = (*given, 1)
    elif len(given) == len(taken) + 1 and given[-1] == 1:
        given = given[:-1]
    return len(taken) == len(given) and all(one in (None, other) for one, other in zip(taken, given))


def _shown(shapes: Any) -> str:
    return ", ".join(str(tuple(shape[1:])) for shape in shapes)


def counted(model: keras.Model, example: Any = None) -> dict[str, int | None]:
    """Parameters, multiply-adds and activation bytes of a model, each `None` where it cannot be told.

    Args:
        model: built or not, with or without values in its variables.
        example: the inputs of one example.
    """
    found = dict(NOT_COUNTED)
    shape = getattr(example, "shape", None)
    if not model.built:
        if shape is None:
            return found
        model.build((None, *shape[1:]))
    found["params"] = model.count_params()
    for sizes in (None, shape and tuple(shape[1:])):
        try:
            return cost(model, sizes)._asdict()
        except (
            ValueError,
            TypeError,
            AttributeError,
            NotImplementedError,
        ):  # sizes are unknown, or a layer counts none
            continue
    return found
