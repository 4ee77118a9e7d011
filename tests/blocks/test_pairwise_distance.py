"""Distances between vectors: values, and gradients that are finite where the formulas' are not."""

import keras
import numpy as np
import pytest
from calling import as_array
from gradients import input_gradients

import keras_blocks


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


REFERENCES = {
    "l1": lambda a, b: np.abs(a - b).sum(axis=1, keepdims=True),
    "l2": lambda a, b: np.linalg.norm(a - b, axis=1, keepdims=True),
    "cosine": lambda a, b: 1 - (unit(a) * unit(b)).sum(axis=1, keepdims=True),
}


@pytest.fixture
def pair(rng):
    return rng.normal(size=(2, 5, 7)).astype("float32")


@pytest.mark.parametrize("distance", REFERENCES)
def test_is_numpys(distance, pair):
    found = as_array(keras_blocks.PairwiseDistance(distance)(list(pair)))
    np.testing.assert_allclose(found, REFERENCES[distance](*pair.astype("float64")), rtol=1e-5, atol=1e-6)


def test_componentwise_is_koch_s_vector_of_differences(pair):
    layer = keras_blocks.PairwiseDistance("l1", componentwise=True)
    np.testing.assert_array_equal(as_array(layer(list(pair))), np.abs(pair[0] - pair[1]))
    assert layer.compute_output_shape([(None, 7), (None, 7)]) == (None, 7)


@pytest.mark.parametrize("distance", REFERENCES)
@pytest.mark.parametrize("vectors", ["equal", "zero", "tiny"])
def test_gradients_are_finite_everywhere(distance, vectors, rng):
    a = rng.normal(size=(3, 4)).astype("float32")
    a = {"equal": a, "zero": 0 * a, "tiny": 1e-20 * a}[vectors]
    b = a + 0 if vectors == "equal" else a * 2
    layer = keras_blocks.PairwiseDistance(distance)
    gradient = input_gradients(lambda x: layer([x[:3], x[3:]]), np.concatenate([a, b]))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("distance", REFERENCES)
def test_gradients_are_the_finite_differences(distance, rng):
    values = rng.normal(size=(6, 3)).astype("float32")
    layer = keras_blocks.PairwiseDistance(distance)
    found = input_gradients(lambda x: layer([x[:3], x[3:]]), values)

    def mean_of_squares(x):
        return np.square(REFERENCES[distance](x[:3], x[3:])).mean()

    for place in np.ndindex(values.shape):
        step = np.zeros(values.shape)
        step[place] = 1e-5
        slope = (mean_of_squares(values + step) - mean_of_squares(values - step)) / 2e-5
        assert found[place] == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_sums_in_sixteen_bits_do_not_overflow():
    a = np.full((1, 4096), 20.0, "float32")
    layer = keras_blocks.PairwiseDistance("l2", dtype="mixed_float16")
    assert as_array(layer([a, -a])).item() == 2560.0  # the sum of squares is 6.5 million


@pytest.mark.parametrize(
    "shapes", [[(None, 3), (None, 4)], [(None, 3)], [(None, 3, 3), (None, 3, 3)], (None, 3), [(None, 3)] * 3]
)
def test_takes_two_batches_of_vectors_of_one_length(shapes):
    with pytest.raises(ValueError, match="two tensors of the shape"):
        keras_blocks.PairwiseDistance().build(shapes)


def test_config_round_trip():
    layer = keras_blocks.PairwiseDistance("l1", componentwise=True, name="it")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
