"""A lottery of initial weights: those that learn fastest are trained."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_blocks.core import validation
from keras_blocks.tuning.data.stored import Images
from keras_blocks.tuning.training.hyperparameters import DEFAULTS, TrainingDiverged

LOTTERY_STEPS = 16
"""Steps for which each draw is trained before it is judged."""


def lottery(
    model: keras.Model,
    images: Images,
    labels: np.ndarray,
    *,
    draws: int,
    hyperparameters: Mapping[str, Any],
    steps: int = LOTTERY_STEPS,
) -> list[float]:
    """Draws initial weights several times, and leaves the model with those that learn fastest, untrained.

    Each draw is trained for a few steps on a few images, the same for all, at the rate with which the training proper
    begins or, with a warm-up, at a tenth of the full one, and judged by its loss on them. The first draw is the model's
    own weights.
    The same seed, `keras.utils.set_random_seed`, gives the same draws.

    Args:
        model: a compiled model, not yet trained.
        images, labels: of the training, NumPy arrays.
        draws: how many, 2 or more.
        hyperparameters: `learning_rate`, `batch_size` and, if given, `warmup`.
        steps: that each draw is trained.

    Returns:
        The loss of each draw; infinity for one that diverged.

    Raises:
        TypeError: for images or labels that are no arrays.
        TrainingDiverged: where all draws did.

    Reference:
        Frankle and Carbin, "The Lottery Ticket Hypothesis", 2018: how well a network trains is a matter of the draw of
        its initial weights.
    """
    validation.integer("draws", draws, least=2, most=10_000)
    size = hyperparameters["batch_size"]
    for name, array in (("images", images), ("labels", labels)):
        if not isinstance(array, Images):
            raise TypeError(f"`{name}` must be a NumPy array, for a `lottery`; received {type(array).__name__}.")
    few = np.random.default_rng(0).permutation(len(images))[: size * steps]  # of all classes, if they are sorted, too
    passes = max(1, steps // -(-len(few) // size))
    images, labels = images[few], labels[few]
    states = [*model.non_trainable_variables, *model.optimizer.variables]  # of normalizations and random layers, too
    begin = [keras.ops.convert_to_numpy(variable) for variable in states]
    rate = hyperparameters["learning_rate"] * (0.1 if {**DEFAULTS, **hyperparameters}["warmup"] else 1)
    config, best, losses = model.get_config(), model.get_weights(), []
    for i in range(draws):
        drawn = best if i == 0 else type(model).from_config(config).get_weights()
        for variable, value in zip(states, begin):
            variable.assign(value)
        model.set_weights(drawn)
        model.optimizer.learning_rate = rate
        model.fit(images, labels, batch_size=size, epochs=passes, shuffle=False, verbose=0)
        loss = model.evaluate(images, labels, batch_size=256, verbose=0, return_dict=True)["loss"]
        losses.append(loss if math.isfinite(loss) else math.inf)
        if losses[-1] == min(losses):
            best = drawn
    for variable, value in zip(states, begin):
        variable.assign(value)
    model.set_weights(best)
    if min(losses) == math.inf:
        raise TrainingDiverged(f"all {draws} initializations diverged.")
    return losses
