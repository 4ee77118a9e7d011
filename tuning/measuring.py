"""How long a model takes for one image, measured.

The quickest run counts, as the documentation of `timeit` has it: what else runs on the machine, or beside it where it
is a virtual one, makes a run longer, by half and more where both need the processor's cache, and never shorter.
"""

import time
from typing import Any

import keras
import numpy as np

WARM, LEAST, MOST, ENOUGH = 2, 7, 40, 0.3
"""Runs before the measured ones; of these at least so many, and no more than so many, or than take enough seconds."""


def measure(model: keras.Model, image_shape: tuple[int, ...]) -> float:
    """Seconds in which the compiled graph predicts one image: the quickest of several runs.

    Args:
        model: of one input.
        image_shape: (height, width, channels).
    """
    return measure_on(model, np.zeros((1, *image_shape), "float32"))


def measure_on(model: keras.Model, inputs: Any, warm: int = WARM, least: int = LEAST, most: int = MOST) -> float:
    """The same for inputs of any kind, in a batch of one."""
    for _ in range(warm):
        model.predict_on_batch(inputs)
    times: list[float] = []
    while len(times) < least or (len(times) < most and sum(times) < ENOUGH):
        began = time.perf_counter()
        keras.tree.map_structure(keras.ops.convert_to_numpy, model.predict_on_batch(inputs))
        times.append(time.perf_counter() - began)
    return round(min(times), 6)
