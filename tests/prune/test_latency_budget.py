"""A budget of seconds, by a function of a model that tells them."""

import contextlib

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
    assert "milliseconds: 1,100 -> 660 (60.0%)" in str(plan)
    assert predictor.asked <= 7  # the whole one, the least one, and half of the rest again and again


@pytest.mark.parametrize("budget", np.arange(0.11, 1.2, 0.03))
def test_no_channel_too_many_goes(budget):
    """As all of them in turn, one by one."""
    steps = [(10 - (gone + 1) // 2, 10 - gone // 2) for gone in range(19)]
    expected = next((each for each in steps if 0.1 * each[0] + 0.01 * each[1] <= budget), None)
    options = {"latency": float(budget), "predictor": Predictor(), "by": by_place, "keep": 0.1}
    told = pytest.warns(UserWarning, match="are not exceeded") if budget >= 1.1 else contextlib.nullcontext()
    with told:
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


@pytest.mark.parametrize("steps", [None, 1, 3])
def test_what_fits_stays_as_it_is_and_is_told(steps):
    model, predictor = network(), Predictor()
    options = {"latency": 1.2, "predictor": predictor}
    message = "`latency=1.2` seconds are not exceeded: the model takes 1.1; nothing is pruned"
    with pytest.warns(UserWarning, match=message) as told:
        if steps is None:
            small = keras_blocks.plan_pruning(model, **options).make()
        else:
            small = keras_blocks.prune(model, **options, steps=steps)
    assert [one.filename for one in told if "exceeded" in str(one.message)] == [__file__]
    assert small.count_params() == model.count_params()
    assert predictor.asked == 1


@pytest.mark.parametrize("steps", [1, 2])
def test_a_model_of_any_size_is_asked_for_the_one_that_is_given(steps):
    model = keras_blocks.create_model("resnet20_cifar", input_shape=(None, None, 3))
    seen = []

    def predictor(one):
        seen.append(one.input_shape)
        return 1e-9 * keras_blocks.cost(one).macs  # which cannot be counted where the size is not known

    half = 0.5e-9 * keras_blocks.cost(model, (16, 16, 3)).macs
    options = {"latency": half, "predictor": predictor, "input_shape": (16, 16, 3), "steps": steps}
    small = keras_blocks.prune(model, **options)
    assert set(seen) == {(None, 16, 16, 3)}
    assert small.input_shape == (None, None, None, 3) == model.input_shape
    assert 0.4e-9 * keras_blocks.cost(model, (16, 16, 3)).macs < 1e-9 * keras_blocks.cost(small, (16, 16, 3)).macs
    assert 1e-9 * keras_blocks.cost(small, (16, 16, 3)).macs <= half
    assert small(np.zeros((1, 20, 24, 3), "float32")).shape == (1, 10)


def test_the_last_of_several_steps_has_the_budget_that_was_given():
    """One that measures tells a little more the next time; what was reached first is no budget then."""
    exact = Predictor()

    def predictor(model):
        return exact(model) * (1 + 1e-4 * exact.asked)

    small = keras_blocks.prune(network(), latency=0.111, predictor=predictor, steps=3)
    assert filters(small) == [1, 1] and predictor(small) < 0.111  # 0.11 is the least


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
