"""Every draw of every space is a model that builds, trains and is saved."""

import functools
import json

import keras
import numpy as np
import pytest
from drawing import drawn_with
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thorough import run_all

from keras_blocks.tuning import HyperAny
from keras_blocks.tuning.spaces.families import FAMILIES

SHAPES = [(2, 2, 1), (3, 5, 2), (7, 7, 3), (8, 8, 1), (27, 40, 3), (33, 28, 1), (64, 64, 3), (65, 99, 4), (224, 223, 3)]

SMALL = st.tuples(st.integers(2, 72), st.integers(2, 72), st.integers(1, 4))

BOTH = {"widths": ["geometric", "regnet"]}

OPTIONS = {name: BOTH if name in ("resnet", "resnext", "senet") else {} for name in FAMILIES}

NARROW = {
    "densenet": {"groups": 1, "layers": 1, "filters": 4},
    "inception": {"groups": 1, "blocks": 1, "filters": 16, "block": "v1", "se_ratio": None},
    "resnet": {"groups": 1, "blocks": 1, "filters": 4, "se_ratio": None, "block": "basic"},
    "resnext": {"groups": 1, "blocks": 1, "filters": 8, "se_ratio": None, "cardinality": 2},
    "senet": {"groups": 1, "blocks": 1, "filters": 8, "se_ratio": 4, "cardinality": 2},
    "squeezenet": {"groups": 1, "blocks": 1, "filters": 4, "expand_ratio": 1},
    "vgg": {"groups": 1, "layers": 1, "filters": 4, "hidden": (8,)},
}
"""The smallest network of each family."""

TRACED = ["inception", "squeezenet"]
"""Families of which a training step is traced; of all where KERAS_BLOCKS_ALL is set."""

UNTIL_ALL = settings(max_examples=50 if run_all() else 20, deadline=None, suppress_health_check=list(HealthCheck))


@functools.cache
def space_at(name, shape):
    return FAMILIES[name](shape, classes=7, tune_batch_norm=True, **OPTIONS[name])


def probabilities(data):
    return lambda: data.draw(st.floats(0, 1, exclude_max=True))


def trained_one_step_and_saved(space, hp, folder, *, eagerly=False):
    """Builds, trains a batch, saves, loads: the loaded model predicts the same."""
    keras.utils.set_random_seed(1)
    model = space.build(hp)
    model.run_eagerly = eagerly
    assert model.count_params() == space.cost(hp).params
    rng = np.random.default_rng(0)
    images = rng.random((2, *space.input_shape)).astype("float32")
    before = [np.array(weight) for weight in model.trainable_variables]
    assert np.isfinite(model.train_on_batch(images, np.array([0, space.classes - 1]))[0])
    assert any((np.array(weight) != old).any() for weight, old in zip(model.trainable_variables, before))
    path = folder / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    expected = keras.ops.convert_to_numpy(model(images, training=False))
    assert expected.shape == (2, space.classes)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loaded(images, training=False)), expected, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
@given(shape=st.sampled_from(SHAPES), data=st.data())
@UNTIL_ALL
def test_every_draw_is_valid_at_any_size(name, shape, data):
    """Refused is what is invalid in the arguments and in the shapes; nothing is built for it."""
    space = space_at(name, shape)
    candidate = space.candidate(drawn_with(space, probabilities(data)))
    assert candidate.cost().params > 0
    assert candidate.cost().macs > 0
    assert json.loads(json.dumps(candidate.metaparameters)) == candidate.metaparameters


@given(data=st.data())
@UNTIL_ALL
def test_every_draw_across_families_is_valid(data):
    space = HyperAny([space_at(name, (8, 8, 1)) for name in FAMILIES])
    assert space.candidate(drawn_with(space, probabilities(data))).cost().params > 0


@pytest.mark.parametrize("name", FAMILIES)
def test_a_draw_trains_and_is_saved(name, tmp_path):
    space = FAMILIES[name]((8, 9, 1), classes=3, augmentation="none", optimizer="sgd", **NARROW[name])
    hp = drawn_with(space, iter(np.random.default_rng(3).random(100)).__next__)
    eagerly = not run_all() and name not in TRACED
    trained_one_step_and_saved(space, hp, tmp_path, eagerly=eagerly)


@pytest.mark.skipif(not run_all(), reason="350 models, for `make test-all`")
@pytest.mark.parametrize("name", FAMILIES)
def test_fifty_draws_train_and_are_saved(name, tmp_path_factory):
    @given(shape=SMALL, data=st.data())
    @UNTIL_ALL
    def all_draws(shape, data):
        keras.utils.clear_session()
        space = FAMILIES[name](shape, classes=7, tune_batch_norm=True, flips=True, **OPTIONS[name])
        hp = drawn_with(space, probabilities(data))
        # Tracing takes two thirds of the time; one model of each family is traced above.
        trained_one_step_and_saved(space, hp, tmp_path_factory.mktemp("draws"), eagerly=True)

    all_draws()
