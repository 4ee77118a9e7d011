"""A budget of seconds, by a function of a model that tells them."""

import keras
import numpy as np
import pytest
from checks import as_trained
from keras import layers

import keras_blocks

pytestmark = pytest.mark.once


def network():
    inputs = keras.Input((6, 6, 3))
    x = layers.ReLU()(layers.Conv2D(10, 3, name="first")(inputs))
    x = layers.ReLU()(layers.Conv2D(10, 3, name="second")(x))
    return as_trained(keras.Model(inputs, layers.Dense(4, name="scores")(layers.Flatten()(x)), name="network"))


def filters(model):
    return [model.get_layer(name).filters for name in ("first", "second")]


def by_place(layer, kernel):
    """The first channels go first, one of each layer in turn; scores are divided by their mean, which is 4.5."""
    later = np.append(np.full(9, 0.05), -0.45) if layer.name == "second" else np.zeros(kernel.shape[-1])
    return np.arange(kernel.shape[-1]) + later


class Predictor:
    """A tenth of a second for each filter of the first layer, and a hundredth for each of the second."""

    def __init__(self):
        self.asked = 0

    def __call__(self, model):
        self.asked += 1
        first, second = filters(model)
        return 0.1 * first + 0.01 * second


def test_channels_go_in_turn_until_the_budget_is_met():
    model, predictor = network(), Predictor()
    plan = keras_blocks.plan_pruning(model, latency=0.665, predictor=predictor, by=by_place)
    # In turn the first layer's first channel, the second's first, and so on: 0.1 * n + 0.01 * m.
    assert filters(plan.make()) == [6, 6] == [layer.after for layer in plan.layers[:2]]
    assert plan.latency == pytest.approx((1.1, 0.66))
    assert "milliseconds: 1.1e+03 -> 660 (60.0%)" in str(plan)
    assert predictor.asked <= 7  # the whole one, the least one, and half of the rest again and again


@pytest.mark.parametrize("budget", np.arange(0.11, 1.2, 0.03))
def test_no_channel_too_many_goes(budget):
    """As all of them in turn, one by one."""
    steps = [(10 - (gone + 1) // 2, 10 - gone // 2) for gone in range(19)]
    expected = next((each for each in steps if 0.1 * each[0] + 0.01 * each[1] <= budget), None)
    options = {"latency": budget, "predictor": Predictor(), "by": by_place, "keep": 0.1}
    assert filters(keras_blocks.prune(network(), **options)) == list(expected)


def test_it_computes_what_it_did_without_these_channels_and_steps_reach_it():
    model = network()
    images = np.random.default_rng(0).normal(size=(32, 6, 6, 3)).astype("float32")
    options = {"latency": 0.5, "predictor": Predictor()}
    small = keras_blocks.prune(model, **options, steps=3, reconstruct=images)
    once = keras_blocks.prune(model, **options)
    assert Predictor()(small) <= 0.5 and Predictor()(once) <= 0.5
    whole = keras.ops.convert_to_numpy(model(images))
    apart = [np.abs(keras.ops.convert_to_numpy(one(images)) - whole).mean() for one in (small, once)]
    assert 0 < apart[0] < apart[1]


def test_what_fits_stays_as_it_is():
    model, predictor = network(), Predictor()
    assert keras_blocks.plan_pruning(model, latency=1.2, predictor=predictor).make().count_params() == (
        model.count_params()
    )
    assert predictor.asked == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"latency": 0.5}, ValueError, "`latency=0.5` needs `predictor`.*predict_latency"),
        ({"latency": -1, "predictor": Predictor()}, ValueError, "latency"),
        ({"latency": "half", "predictor": Predictor()}, TypeError, "latency"),
        ({"macs": 0.5, "predictor": Predictor()}, ValueError, "`predictor` goes with `latency`; received `macs=0.5`"),
        ({"latency": 0.5, "predictor": 3}, TypeError, "`predictor` must be a function"),
        ({"latency": 0.5, "macs": 0.5, "predictor": Predictor()}, ValueError, "2 budgets"),
        ({"latency": 0.5, "predictor": lambda model: float("nan")}, ValueError, "above 0 and finite; returned nan"),
        ({"latency": 0.5, "predictor": lambda model: "soon"}, TypeError, "must return seconds; returned 'soon'"),
        ({"latency": 0.05, "predictor": Predictor()}, ValueError, "cannot be met: 0.11 seconds.*0.100 of the model's"),
    ],
)
def test_wrong_budgets(options, error, message):
    with pytest.raises(error, match=message):
        keras_blocks.prune(network(), **options)
