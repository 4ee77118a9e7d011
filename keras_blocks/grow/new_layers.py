"""The first weights of layers that the parent lacks, by their roles."""

from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_blocks.core.arrays import as_float64
from keras_blocks.grow.flat import Call
from keras_blocks.grow.kernels import as_kernel_of, plain_kernel
from keras_blocks.grow.layouts import NONE
from keras_blocks.grow.linear import window
from keras_blocks.grow.roles import CAN_BE_ZERO
from keras_blocks.grow.values import Values, constant

if TYPE_CHECKING:
    from keras_blocks.grow.carrying import Child


def begun(child: "Child", call: Call, values: Values) -> Values | None:
    """What a new layer makes, once it has its first weights; `None` where that is nothing of the parent's."""
    role, count = child.roles.of.get(call.key, "any"), child.flat.count(call.outputs[0])
    child.done(call)
    if role == "zero":
        for name in ("kernel", "bias", "gamma", "beta"):
            if getattr(call.layer, name, None) is not None:
                variable = getattr(call.layer, name)
                variable.assign(np.zeros(variable.shape))
        return constant(0.0, count)
    if role == "any" or type(call.layer) in CAN_BE_ZERO or call.kind == "opaque":
        still = call.kind in ("linear", "norm") and not values.ids.any() and not values.scales.any()
        return constant(0.0, count) if still else child.numbers.fresh(count) if role == "any" else None
    passing = {"linear": _linear, "depthwise": _depthwise, "norm": _norm}
    return passing[call.kind](child, call, values)


def _norm(child: "Child", call: Call, values: Values) -> Values | None:
    """Statistics for which it changes nothing; gamma, beta and mean are so from the beginning."""
    layer = call.layer
    layer.moving_variance.assign(np.full(layer.moving_variance.shape, max(1 - layer.epsilon, 0.0)))
    return values


def _linear(child: "Child", call: Call, values: Values) -> Values | None:
    layer, exact = call.layer, True
    start: tuple[int, ...] = (0, 0)
    if hasattr(layer, "kernel_size"):
        values, reach = window(child, call, values, child.flat)
        taps = reach.centre()
        start, exact = taps.start, taps.exact and type(layer) is not keras.layers.Conv2DTranspose
        exact = exact and reach.keeps_size
    chosen = _chosen(child, call, len(values.ids))
    groups = getattr(layer, "groups", 1)
    kernel = np.zeros(plain_kernel(layer, as_float64(layer.kernel)).shape)
    width, wide = len(values.ids) // groups, len(chosen) // groups
    inside = chosen // width == np.arange(len(chosen)) // wide
    kernel[(*start, (chosen % width)[inside], np.flatnonzero(inside))] = 1.0
    layer.kernel.assign(as_kernel_of(layer, kernel))
    if layer.use_bias:
        layer.bias.assign(np.zeros(layer.bias.shape))
    if not exact:
        return None
    made, fresh = values.taken(chosen), child.numbers.fresh(len(chosen))
    return Values(np.where(inside, made.ids, fresh.ids), np.where(inside, made.scales, 1.0))


def _depthwise(child: "Child", call: Call, values: Values) -> Values | None:
    layer = call.layer
    values, reach = window(child, call, values, child.flat)
    taps = reach.centre()
    kernel = np.zeros(layer.kernel.shape)
    kernel[taps.start] = 1.0
    layer.kernel.assign(kernel)
    if not (taps.exact and reach.keeps_size):
        return None
    return values.taken(np.repeat(np.arange(len(values.ids)), layer.depth_multiplier))


def _chosen(child: "Child", call: Call, count: int) -> np.ndarray:
    """The input channel that each output channel passes on: one that is in its place."""
    outputs, inputs = child.layouts.of(call.outputs[0]), child.layouts.of(call.inputs[0])
    by_number = np.arange(len(outputs)) % count
    if child.layouts.parents(call.outputs[0]) is None or (outputs == NONE).all():
        return by_number
    first: dict[int, int] = {}
    for i, channel in enumerate(inputs.tolist()):
        first.setdefault(channel, i)
    alike = inputs[by_number] == outputs
    found = np.array([first.get(channel, -1) if channel != NONE else -1 for channel in outputs.tolist()])
    return np.where(alike | (found < 0), by_number, found)
