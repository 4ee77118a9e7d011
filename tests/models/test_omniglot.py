"""The one-shot example on real drawings, reduced: what it reads, that it trains on nothing of the test."""

import importlib.util
import pathlib

import numpy as np
import pytest
from thorough import ONCE

import keras_blocks

pytest.importorskip("PIL")

pytestmark = pytest.mark.skipif(not ONCE, reason="a training, the same on every backend")


@pytest.fixture(scope="module")
def example():
    file = pathlib.Path(__file__).parents[2] / "benchmarks" / "omniglot.py"
    spec = importlib.util.spec_from_file_location("omniglot", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_drawings_of_the_runs_are_none_of_the_background(example, shared_data):
    folder = shared_data / "omniglot_small"
    drawings, characters = example.background(28, folder)
    assert drawings.shape == (4840, 28, 28, 1) and len(set(characters)) == 242
    assert len({character.partition("/")[0] for character in characters}) == 8
    runs = example.published_runs(28, folder)
    assert len(runs) == 20
    for support, queries, answers in runs:
        assert support.shape == queries.shape == (20, 28, 28, 1) and sorted(answers) == list(range(20))
    example.check_disjoint(drawings, characters, runs)
    with pytest.raises(AssertionError, match="drawing of the runs"):
        example.check_disjoint(np.concatenate([drawings, runs[3][1]]), characters, runs)
    with pytest.raises(AssertionError, match="Tibetan"):
        example.check_disjoint(drawings, [*characters, "Tibetan/character01"], runs)


def test_bending_nothing_is_the_identity(example, rng):
    images = rng.uniform(size=(3, 9, 9, 1)).astype("float32")
    bent = example.bent(images, rng, degrees=0, shear=0, scale=0, shift=0, bend=0)
    np.testing.assert_allclose(bent, images, atol=1e-5)
    moved = example.sampled(
        images, np.stack(np.meshgrid(np.arange(9), np.arange(9), indexing="ij"), -1)[None] + (1, -2)
    )
    np.testing.assert_allclose(moved[:, :-1, 2:], images[:, 1:, :-2])
    assert np.all(moved[:, -1] == 0) and np.all(moved[:, :, :2] == 0)


def test_few_steps_of_the_resnet_are_better_than_chance(example, shared_data):
    folder = shared_data / "omniglot_small"
    drawings, characters = example.background(28, folder)
    model, budget = example.small_resnet((8, 16)), example.Budget(2e-3, steps=12)
    example.train_resnet(model, drawings[::2], characters[::2], 0, budget, classes=16)
    assert budget.steps == 12
    accuracy = keras_blocks.one_shot_accuracy(model, example.published_runs(28, folder)[:6])
    assert accuracy > 0.1  # twice chance


def test_koch_s_twins_tell_two_characters_apart(example, shared_data):
    """Smaller ones, of as many layers as two of the paper's groups: what they do on the runs takes hours."""
    drawings, characters = example.background(28, shared_data / "omniglot_small")
    few = np.isin(characters, sorted(set(characters))[:120:60])
    groups = [{"filters": 8, "kernel_size": 5}, {"filters": 16, "kernel_size": 3}]
    model = keras_blocks.create_model(
        "siamese_koch2015", groups=groups, classes=32, input_shape=(28, 28, 1), kernel_initializer="he_normal"
    )
    budget = example.Budget(3e-3, steps=40)
    example.train_koch(model, drawings[few], characters[few], 0, budget, batch_size=32)
    (left, right), same = keras_blocks.PairSampler(drawings[few], characters[few], 200, seed=1)[0]
    assert np.mean((model.predict([left, right], verbose=0) > 0.5) == same) > 0.8
