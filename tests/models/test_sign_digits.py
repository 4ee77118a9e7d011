"""The example of several labels on real photos, reduced: a fifth of the photos, a few epochs."""

import importlib.util
import pathlib

import pytest
import thorough

pytest.importorskip("PIL")


@pytest.fixture
def example():
    file = pathlib.Path(__file__).parents[2] / "benchmarks" / "sign_digits.py"
    spec = importlib.util.spec_from_file_location("sign_digits", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not thorough.run_all(), reason="trains for half a minute; make test-all")
@pytest.mark.skipif(not thorough.ONCE, reason="a training, the same on every backend")
def test_three_labels_of_real_photos_are_learned_together(example, shared_data):
    images, digits = example.photos(shared_data / "sign_digits" / "sign_digits.zip")
    assert images.shape == (2062, 64, 64, 3) and images.dtype == "uint8"
    learned, held_out = example.split(digits, seed=0)
    assert len(learned) + len(held_out) == 2062 and not set(learned) & set(held_out)
    model, few = example.network((16, 32)), learned[:400]
    losses = example.train(model, images[few], digits[few], epochs=6, batch_size=8)
    assert all(losses[f"{name}_loss"][-1] < losses[f"{name}_loss"][0] for name in example.NAMES)
    found = example.accuracies(model, images[held_out[::4]], digits[held_out[::4]])
    assert found["digit"] > 0.2 and found["parity"] > 0.5 and found["size"] > 0.5, found  # twice chance; chance
