"""Grain's datasets and loaders as a user's own data."""

import keras
import numpy as np
import pytest

from keras_blocks.tuning.user_spaces import given_training
from keras_blocks.tuning.user_spaces.given_data import GivenData
from keras_blocks.tuning.user_spaces.hyper_model import HyperModelSpace

grain = pytest.importorskip("grain")

pytestmark = pytest.mark.filterwarnings("ignore:.*grain dataset", "ignore:.*ran out of data")  # as Keras' own `fit`

X, Y = np.arange(24, dtype="float32").reshape(12, 2) / 24, np.arange(12, dtype="float32")[:, None]


class Pairs:
    """A source, as Grain takes it."""

    def __len__(self):
        return len(X)

    def __getitem__(self, place):
        return X[place], Y[place]


def mapped():
    data = grain.MapDataset.source(Pairs()).batch(4)
    return data, data, data


def iterated():
    data = grain.MapDataset.source(Pairs()).to_iter_dataset().batch(4)
    return data, data


def loaded():
    sampler = grain.samplers.SequentialSampler(num_records=12)
    batched = [grain.transforms.Batch(4)]
    data = grain.DataLoader(data_source=Pairs(), sampler=sampler, operations=batched, worker_count=0)
    return data, data


def build(hp):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(hp.Int("units", 1, 3)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    return model


@pytest.mark.parametrize("given", [mapped, iterated, loaded])
def test_each_kind_of_grain_is_trained_on_again_and_again(given):
    data = GivenData.from_function(given, "mine")
    assert (data.example().shape, data.fingerprint()) == ((1, 2), "mine")
    assert data.shapes() == "x of (4, 2) and y of (4, 1)"
    for _ in range(2):
        candidate = HyperModelSpace.of(build).candidate({"units": 2})
        model = candidate.build()
        trained = given_training.fit(candidate, model, data, epochs=2, monitor="val_loss:min")
        assert len(trained.history["val_loss"]) == 2
    if data.test is not None:
        assert given_training.tested(model, data)["loss"] >= 0
