"""How a model is trained, as plain data: the names, defaults and bounds of what a search draws besides the model."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_blocks.core import validation
from keras_blocks.tuning.training.augmentation import STRENGTHS

OTHERS = {
    **dict.fromkeys(("Adam", "Adamax", "Adafactor", "Lamb", "Muon", "Nadam", "ScheduleFreeAdamW"), (1e-3, 1e-2)),
    **{"Adadelta": (1e-1, 1.0), "Adagrad": (1e-2, 1e-1), "Ftrl": (1e-2, 1e-1), "Lion": (1e-4, 1e-3)},
    "RMSprop": (3e-4, 3e-3),
}
"""Keras' other optimizers -> the learning rates between which is searched by default."""


def _keras_optimizer(cls: type) -> Callable[[float, float], keras.optimizers.Optimizer]:
    def made(rate: float, decay: float) -> keras.optimizers.Optimizer:
        optimizer: keras.optimizers.Optimizer = cls(learning_rate=rate, weight_decay=decay or None)
        return optimizer

    return made


def _restarted(passed: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * passed))


OPTIMIZERS: dict[str, Callable[[float, float], keras.optimizers.Optimizer]] = {
    "adamw": lambda rate, decay: keras.optimizers.AdamW(rate, weight_decay=decay),
    "sgd": lambda rate, decay: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay),
    **{
        name.lower(): _keras_optimizer(getattr(keras.optimizers, name))
        for name in OTHERS
        if hasattr(keras.optimizers, name)  # the newest are not in the oldest Keras that is taken
    },
}

RATES = {name.lower(): rates for name, rates in OTHERS.items() if name.lower() in OPTIMIZERS}

SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda passed: 0.5 * (1 + math.cos(math.pi * passed)),
    "constant": lambda passed: 1.0,
    "cosine_restarts": lambda passed: _restarted(3 * passed if passed < 1 / 3 else 1.5 * passed - 0.5),
    "exponential": lambda passed: 0.01**passed,
    "inverse_time": lambda passed: 1 / (1 + 9 * passed),
    "linear": lambda passed: 1 - passed,
    "piecewise": lambda passed: 1.0 if passed < 0.5 else 0.1 if passed < 0.75 else 0.01,
    "polynomial": lambda passed: (1 - passed) ** 2,
}
"""Name -> the share of the learning rate that is left when a share of the training, behind the warm-up, has passed."""

CLASS_WEIGHTS = ("none", "balanced")

LATER = {"schedule": "cosine", "label_smoothing": 0.0, "class_weight": "none"}
"""Defaults that came after 0.1.0: digests do not have them, so that those of 0.1.0 stay."""

DEFAULTS = {"warmup": 0.0, "lottery": 1, **LATER}
"""Hyperparameters that may be left out: no warm-up, the first initialization that is drawn, and so on."""


def told_apart_by(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters, with those that were left out, as digests have them."""
    complete = {**DEFAULTS, **hyperparameters}
    return {name: value for name, value in complete.items() if name not in LATER or value != LATER[name]}


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
    validation.choice("schedule", complete["schedule"], tuple(SCHEDULES))
    validation.number("label_smoothing", complete["label_smoothing"], least=0, most=1, open_end=True)
    validation.choice("class_weight", complete["class_weight"], CLASS_WEIGHTS)
    return complete
