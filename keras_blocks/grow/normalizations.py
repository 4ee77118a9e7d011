"""BatchNormalization of the child, as the parent's."""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_blocks.core.arrays import as_float64
from keras_blocks.grow.flat import Call
from keras_blocks.grow.linear import sources
from keras_blocks.grow.values import Values

if TYPE_CHECKING:
    from keras_blocks.grow.carrying import Child


def carried_norm(child: "Child", call: Call, twin: Call, values: Values) -> Values:
    """What a normalization makes, once it has the parent's weights and statistics.

    Of a multiple of what the parent's is given, the statistics are multiplied as well, and the outputs are the same.
    """
    layer, other = call.layer, twin.layer
    theirs, linear = child.parent.given(twin)[0], child.parent.linear[twin.key]
    layout = child.layout(call.inputs[0], len(theirs.ids))
    source = sources(values, theirs, layout)
    near = np.where(source >= 0, source, layout)
    scales = np.where(theirs.scales == 0, 1, theirs.scales)[near]
    ratio = np.where((source >= 0) & (values.scales != 0), values.scales / scales, 1.0)
    factor = child.roles.factors.get(call.key, 1.0)
    whole = source >= 0
    whole &= _is_possible(layer, other, near, ratio) & (layer.center or not other.center)
    if child.first(call):
        _move(child, layer, other, near, ratio, factor)
    whole &= child.done(call, near, ratio)
    fresh = child.numbers.fresh(len(near))
    return Values(np.where(whole, linear.ids[near], fresh.ids), np.where(whole, factor, 1.0))


def _is_possible(layer: Any, other: Any, near: np.ndarray, ratio: np.ndarray) -> Any:
    """Whether the layer can scale as the parent's does: without a gamma of its own the variance must do it.

    That has no sign, and of a gamma of 0 it would be infinite, and stay so.
    """
    if layer.scale:
        return True
    positive = ratio * (as_float64(other.gamma)[near] if other.scale else 1.0) > 0
    return positive & (_variance(layer, other, as_float64(other.moving_variance)[near], near, ratio) >= 0)


def _variance(layer: Any, other: Any, value: np.ndarray, near: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """The variance with which a layer without gamma divides as the parent's does."""
    gamma = as_float64(other.gamma)[near] if other.scale else 1.0
    with np.errstate(divide="ignore"):
        return np.asarray(ratio**2 * (value + other.epsilon) / np.square(gamma) - layer.epsilon)


def _move(child: "Child", layer: Any, other: Any, near: np.ndarray, ratio: np.ndarray, factor: float) -> None:
    found = near >= 0
    same = layer.epsilon == other.epsilon

    def kept(value: np.ndarray, own: Any) -> np.ndarray:
        return np.where(found, value, as_float64(own))

    def mean(value: np.ndarray, shared: bool) -> np.ndarray:
        return kept(value[near] * ratio, layer.moving_mean)

    def variance(value: np.ndarray, shared: bool) -> np.ndarray:
        if layer.scale or (same and not other.scale and (ratio == 1).all()):
            return kept(value[near] * ratio**2, layer.moving_variance)
        wanted = _variance(layer, other, value[near], near, ratio)
        return kept(np.where(np.isfinite(wanted), np.maximum(wanted, 0), value[near]), layer.moving_variance)

    child.move(layer.moving_mean, other.moving_mean, mean)
    child.move(layer.moving_variance, other.moving_variance, variance)
    if layer.scale:
        _move_gamma(child, layer, other, near, ratio, factor)
    if layer.center and other.center:
        own = as_float64(layer.beta)

        def beta(value: np.ndarray, shared: bool) -> np.ndarray:
            return np.where(found, value[near] * (factor if shared else 1.0), own if shared else 0.0)

        child.move(layer.beta, other.beta, beta)


def _move_gamma(child: "Child", layer: Any, other: Any, near: np.ndarray, ratio: np.ndarray, factor: float) -> None:
    statistics, own = as_float64(other.moving_variance)[near], as_float64(layer.gamma)
    # Exactly 1 where the epsilons are one and nothing is multiplied.
    change = np.sqrt((statistics * ratio**2 + layer.epsilon) / (statistics + other.epsilon)) / ratio * factor

    def gamma(value: np.ndarray, shared: bool) -> np.ndarray:
        return np.where(near >= 0, value[near] * (change if shared else 1.0), own if shared else 0.0)

    if other.scale:
        child.move(layer.gamma, other.gamma, gamma)
    else:
        layer.gamma.assign(np.where(near >= 0, change, own))
