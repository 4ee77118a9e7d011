"""Data that do not fit a user's model are told by their shapes and the model's, in a short message."""

import keras
import numpy as np
import pytest

from keras_blocks.tuning import SearchSettings
from keras_blocks.tuning.console import without_dump
from keras_blocks.tuning.search.problem import problem_of
from keras_blocks.tuning.spaces.counting import Misfit, check_inputs
from keras_blocks.tuning.user_spaces import given_training
from keras_blocks.tuning.user_spaces.given_data import GivenData
from keras_blocks.tuning.user_spaces.hyper_model import HyperModelSpace


def build(hp):
    layers = [keras.layers.Flatten(), keras.layers.Dense(hp.Int("units", 2, 3)), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input((4, 4, 1)), *layers])
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    return model


def without_inputs(hp):
    model = keras.Sequential([keras.layers.Conv2D(hp.Int("units", 2, 3), 3), keras.layers.Flatten()])
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def rows():
    return (np.zeros((8, 10)), np.zeros(8)), (np.zeros((4, 10)), np.zeros(4))


def images():
    part = np.zeros((8, 4, 4, 1)), np.zeros((8, 3))
    return part, part


def test_inputs_are_compared_before_a_search_begins():
    with pytest.raises(Misfit, match=r"`data`: .*:build .* takes inputs of \(4, 4, 1\), .*; the data have \(10,\)\."):
        problem_of(SearchSettings(), build, rows)


@pytest.mark.parametrize(
    ("taken", "given", "fits"),
    [
        ([(4, 4, 1)], np.zeros((1, 4, 4)), True),  # Keras adds the channels
        ([(3,)], np.zeros((1, 3, 1)), True),
        ([(None, 3)], np.zeros((1, 7, 3)), True),
        ([(None, 3)], np.zeros((1, 7, 4)), False),
        ([(2,), (3,)], [np.zeros((1, 2)), np.zeros((1, 3))], True),
        ([(2,), (3,)], {"b": np.zeros((1, 3)), "a": np.zeros((1, 2))}, True),
        ([(2,), (3,)], {"b": np.zeros((1, 2)), "a": np.zeros((1, 3))}, False),
        ([(2,), (3,)], np.zeros((1, 2)), False),
    ],
)
def test_shapes_fit_as_keras_takes_them(taken, given, fits):
    inputs = [keras.Input(shape, name="ab"[i]) for i, shape in enumerate(taken)]
    model = keras.Model(inputs, inputs)
    if fits:
        check_inputs("mine", model, given)
    else:
        with pytest.raises(Misfit, match="mine"):
            check_inputs("mine", model, given)


@pytest.mark.parametrize(
    ("space", "data", "told"),
    [
        (build, images, [r"x of \(8, 4, 4, 1\) and y of \(8, 3\)", r"takes \(None, 4, 4, 1\) and gives \(None, 2\)"]),
        (without_inputs, rows, [r"conv2d.* is incompatible", r"x of \(8, 10\) and y of \(8,\)\."]),
    ],
)
def test_what_shows_in_training_alone_names_both(space, data, told):
    candidate = HyperModelSpace.of(space).candidate({"units": 2})
    for pattern in told:
        with pytest.raises(ValueError, match=pattern) as caught:
            given_training.fit(candidate, candidate.build(), GivenData.from_function(data, "mine"), epochs=1)
    assert "Arguments received" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_keras_errors_are_told_without_their_dump():
    message = (
        "Exception encountered.\n\n\x1b[1mInvalid\x1b[0m  shape\n\nArguments received by Sequential.call():\n  • x"
    )
    assert without_dump(ValueError(message)) == "Exception encountered. Invalid shape"
