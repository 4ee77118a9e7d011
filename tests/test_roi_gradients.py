"""Where RoIPool's gradient goes: to the maximum of each bin, to the first of equals, and nowhere from an empty bin."""

import functools

import keras
import numpy as np
import pytest
from gradients import value_gradient

from keras_blocks.ops import roi_bags, roi_pool

SIZE = (6, 7)
# Within the map, of one pixel, as large as the map, reaching out of it, and outside.
BOXES = np.array([[[0, 1, 5, 5], [2, 2, 2, 2], [0, 0, 6, 5], [4, 3, 30, 20], [40, 40, 50, 50]]], "float32")
POOL = functools.partial(roi_pool, output_size=2)


def naive(features, weights):
    """The gradient of the sum of the weighted outputs, bin by bin, by argmax, which gives the first of equal ones."""
    gradient = np.zeros(features.shape, "float32")
    for box, (left, top, right, bottom) in enumerate(BOXES[0].astype(int)):
        rows, columns = [
            low + np.array([0, 1, 2]) * (high - low + 1) / 2 for low, high in ((top, bottom), (left, right))
        ]
        for i, j in np.ndindex(2, 2):
            y = range(int(np.floor(rows[i])), min(int(np.ceil(rows[i + 1])), SIZE[0]))
            x = range(int(np.floor(columns[j])), min(int(np.ceil(columns[j + 1])), SIZE[1]))
            for channel in range(features.shape[-1] if y and x else 0):
                pixels = features[0, y[0] : y[-1] + 1, x[0] : x[-1] + 1, channel]
                first, second = np.unravel_index(np.argmax(pixels), pixels.shape)
                gradient[0, y[first], x[second], channel] += weights[0, box, i, j, channel]
    return gradient


@pytest.mark.parametrize("values", ["random", "equal"])
def test_it_goes_to_the_first_maximum_of_each_bin(values, monkeypatch):
    rng = np.random.default_rng(0)
    features = (
        rng.normal(size=(1, *SIZE, 2)).astype("float32") if values == "random" else np.ones((1, *SIZE, 2), "float32")
    )
    weights = rng.normal(size=(1, 5, 2, 2, 2)).astype("float32")
    wanted = naive(features, weights)

    def weighted(x):
        return POOL(x, BOXES) * keras.ops.convert_to_tensor(weights)

    np.testing.assert_allclose(value_gradient(weighted, features), wanted, atol=1e-5)
    if keras.backend.backend() == "torch" and values == "random":  # large bins are looked up in tables
        monkeypatch.setattr(roi_bags, "MOST_PIXELS", 0)
        np.testing.assert_allclose(value_gradient(weighted, features), wanted, atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_many_boxes_are_summed_up_in_float32(dtype):
    """In bfloat16, 256 and 1 are 256."""
    boxes = np.tile(BOXES[:, 1:2], (1, 300, 1))
    features = np.ones((1, *SIZE, 1), "float32")
    found = value_gradient(lambda x: keras.ops.cast(POOL(keras.ops.cast(x, dtype), boxes), "float32"), features)
    assert found[0, 2, 2, 0] == 4 * 300
