"""Budgets, and the latency that is predicted from others'."""

import pytest

import keras_blocks
from keras_blocks.costs.cost import Cost
from keras_blocks.tuning import Budget, latency, measuring
from keras_blocks.tuning.storage.trial import Trial


def cost(params=10, macs=10**6, activation_bytes=100):
    return Cost(params=params, macs=macs, activation_bytes=activation_bytes)


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(), None),
        (Budget(max_params=10, max_macs=10**6, max_activation_bytes=100), None),
        (Budget(max_params=9), "10 parameters are more than 9"),
        (Budget(max_macs=999_999), "1,000,000 multiply-adds are more than 999,999"),
        (Budget(max_activation_bytes=99), "100 bytes of activations are more than 99"),
    ],
)
def test_what_is_refused(budget, reason):
    assert budget.refusal(cost()) == reason


def measured(macs, seconds):
    return Trial(0, "completed", {}, macs=macs, activation_bytes=0, latency=seconds)


def test_latency_is_predicted_from_what_others_took():
    trials = [measured(macs, 0.001 + macs / 1e9) for macs in (10**6, 10**7, 10**8)]
    assert latency.predicted(cost(macs=5 * 10**7), trials) is None  # too few
    trials.append(measured(2 * 10**8, 0.201))
    assert latency.predicted(cost(macs=5 * 10**7, activation_bytes=0), trials) == pytest.approx(0.051)
    budget = Budget(max_latency=0.1)
    assert budget.refusal(cost(macs=10**8, activation_bytes=0), trials) is None  # near: to be measured
    assert budget.refusal(cost(macs=10**9, activation_bytes=0), trials).startswith(
        "1.0010 seconds for an image, predicted"
    )
    assert budget.refusal(cost(macs=10**9)) is None


def test_latency_is_measured():
    model = keras_blocks.SqueezeNet(groups=[{"filters": [4]}], stem="tiny", input_shape=(8, 8, 1), classes=3)
    assert 1e-6 < measuring.measure(model, (8, 8, 1)) < 10


@pytest.mark.parametrize(
    "options", [{"max_params": 0}, {"max_macs": 1.5}, {"max_activation_bytes": True}, {"max_latency": -1}]
)
def test_bad_budgets_are_named(options):
    with pytest.raises((TypeError, ValueError), match=f"`{next(iter(options))}`"):
        Budget(**options)
