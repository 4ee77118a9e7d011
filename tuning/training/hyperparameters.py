"""How a model is trained, as plain data: the names, defaults and bounds of what a search draws besides the model."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_blocks.core import validation
from keras_blocks.tuning.training.augmentation import STRENGTHS

OPTIMIZERS: dict[str, Callable[[float, float], keras.optimizers.Optimizer]] = {
    "adamw": lambda rate, decay: keras.optimizers.AdamW(rate, weight_decay=decay),
    "sgd": lambda rate, decay: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay),
}

DEFAULTS = {"warmup": 0.0, "lottery": 1}
"""Hyperparameters that may be left out: no warm-up, and the first initialization that is drawn."""


class TrainingDiverged(ValueError):
    """The loss became NaN or infinite."""


def checked(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters, with those that were left out.

    Raises:
        TypeError, ValueError: for one out of range, or missing, naming it, its value and what is allowed.
    """
    complete = {**DEFAULTS, **hyperparameters}
    required = ("optimizer", "learning_rate", "weight_decay", "batch_size", "augmentation")
    validation.mapping("hyperparameters", complete, keys=(*required, *DEFAULTS), required=required)
    validation.choice("optimizer", complete["optimizer"], tuple(OPTIMIZERS))
    validation.number("learning_rate", complete["learning_rate"], least=1e-12, most=1e6)
    validation.number("weight_decay", complete["weight_decay"], least=0, most=1e6)
    validation.optional(validation.integer, "batch_size", complete["batch_size"])
    validation.choice("augmentation", complete["augmentation"], tuple(STRENGTHS))
    validation.number("warmup", complete["warmup"], least=0, most=1, open_end=True)
    validation.integer("lottery", complete["lottery"], most=10_000)
    return complete
