"""How long a model takes for one image, measured, and predicted from what it costs."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_blocks.costs.cost import Cost
from keras_blocks.tuning.storage.trial import Trial

WARM, MEASURED = 2, 7
"""Runs before the measured ones, and the measured ones."""

LEAST_MEASURED = 4
"""Measured models before others' latency is predicted."""

DOUBT = 1.5
"""A candidate is refused unbuilt only where the predicted latency is so many times the budget: measuring decides."""


def measure(model: keras.Model, image_shape: tuple[int, ...]) -> float:
    """Seconds in which the compiled graph predicts one image: the median of several runs.

    Args:
        model: of one input.
        image_shape: (height, width, channels).
    """
    return measure_on(model, np.zeros((1, *image_shape), "float32"))


def measure_on(model: keras.Model, inputs: Any) -> float:
    """The same for inputs of any kind, in a batch of one."""
    times = []
    for _ in range(WARM + MEASURED):
        began = time.perf_counter()
        keras.tree.map_structure(keras.ops.convert_to_numpy, model.predict_on_batch(inputs))
        times.append(time.perf_counter() - began)
    return round(statistics.median(times[WARM:]), 6)


def predicted(cost: Cost, trials: Sequence[Trial]) -> float | None:
    """Seconds for one image of a model that is not built, from those of other models of the same search.

    A line through multiply-adds and activation bytes, none of which can make a model faster.

    Args:
        cost: a `Cost`.
        trials: list of `Trial`.

    Returns:
        `None` where too few were measured.
    """
    from scipy.optimize import nnls

    known = [
        (trial.latency, trial.macs, trial.activation_bytes)
        for trial in trials
        if trial.latency is not None and trial.macs is not None and trial.activation_bytes is not None
    ]
    if len(known) < LEAST_MEASURED:
        return None
    rows = np.array([[1.0, macs / 1e9, size / 1e9] for _, macs, size in known])
    weights, _ = nnls(rows, np.array([seconds for seconds, *_ in known]))
    return float(weights @ [1.0, cost.macs / 1e9, cost.activation_bytes / 1e9])
