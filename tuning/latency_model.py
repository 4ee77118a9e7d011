"""What networks take, from what each of their layers is, fitted to networks that were timed.

A sum over the layers: a part for each layer of its kind, for its multiply-adds, for the bytes that it reads and writes,
for its variables, and one for the call; none of which can be negative. Short networks of a few layers tell the parts
apart; whole ones, as searches draw them, how long layers take among others: the processor's caches hold a short network
more easily.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_blocks.core.shapes import as_pair
from keras_blocks.look.operations import Operation
from keras_blocks.look.plan import keras_shapes

CONVOLUTIONS = ("Conv2D", "GroupedConv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose")
IDLE = ("InputLayer", "Dropout", "Flatten", "Identity", "Reshape", "Rescaling")
ALIKE = {"CeilMaxPooling2D": "MaxPooling2D", "SpatialDropout2D": "Dropout"}
VARIABLES = {"BatchNormalization": 4, "Dropout": 1}


class LayerFeatures(NamedTuple):
    """What a layer's seconds depend on.

    Attributes:
        kind: its class, of an activation its function, of a convolution whether it has strides or one pixel.
        macs: millions of multiply-adds.
        size: millions of bytes that it reads and writes.
        weights: millions of bytes.
        variables: their number.
    """

    kind: str
    macs: float
    size: float
    weights: float
    variables: int


def features(operations: Sequence[Operation]) -> list[LayerFeatures]:
    """Of each layer of a network."""
    return [_features(one) for one in operations if one.node.step is not None]


def _features(operation: Operation) -> LayerFeatures:
    node = operation.node
    name = kind = ALIKE.get(node.cls.__name__, node.cls.__name__)
    params, macs, _ = node.cost or (0, 0, 0)
    read, written = (4 * sum(math.prod(shape[1:]) for shape in keras_shapes(each)) for each in (node.given, node.shape))
    if name in CONVOLUTIONS:
        strided = max(as_pair(node.option("strides"))) > 1
        kind = f"{name} {min(2, max(as_pair(node.option('kernel_size'))))}{' strided' if strided else ''}"
    elif name == "Activation":
        given = node.option("activation")
        kind = f"{name} {given if isinstance(given, str) else getattr(given, '__name__', given)}"
    variables = VARIABLES.get(name, 1 + bool(node.option("use_bias", False)) if params else 0)
    return LayerFeatures(kind, macs / 1e6, (read + written) / 1e6, 4 * params / 1e6, variables)


def _columns(layers: Sequence[LayerFeatures]) -> dict[str, float]:
    found = {"call": 1.0}
    for one in layers:
        parts = {"variables": float(one.variables)}
        if one.kind not in IDLE and one.kind != "Activation linear":
            parts[f"{one.kind} layer"] = 1.0
            parts[f"{one.kind} macs" if one.macs else f"{one.kind} bytes"] = one.macs or one.size
            if one.macs:
                parts |= {"convolutions bytes": one.size, "weights": one.weights}
        for name, value in parts.items():
            found[name] = found.get(name, 0.0) + value
    return found


class LatencyModel:
    """Fitted to networks that were timed; see above.

    Args:
        networks: the layers of each.
        seconds: that each takes.

    Example: of one kind of layer, a network takes as much more as it has more of them.

    >>> unit = LayerFeatures("Add", 0.0, 0.1, 0.0, 0)
    >>> model = LatencyModel([[], [unit], [unit] * 4], [0.001, 0.0011, 0.0014])
    >>> round(model.predicted([unit] * 2), 4)
    0.0012
    """

    def __init__(self, networks: Sequence[Sequence[LayerFeatures]], seconds: Sequence[float]) -> None:
        from scipy.optimize import nnls

        columns = [_columns(layers) for layers in networks]
        names = sorted({name for each in columns for name in each})
        table = np.array([[each.get(name, 0.0) for name in names] for each in columns])
        shares = table / np.asarray(seconds, float)[:, None]
        self._parts = dict(zip(names, nnls(shares, np.ones(len(networks)))[0]))

    def predicted(self, layers: Sequence[LayerFeatures]) -> float:
        """Seconds of another network."""
        return float(sum(self._parts.get(name, 0.0) * value for name, value in _columns(layers).items()))

    def unknown(self, layers: Sequence[LayerFeatures]) -> list[str]:
        """Kinds of layers that are in none of the networks, of which nothing is told."""
        return sorted({one.kind for one in layers if _columns([one]).keys() - self._parts.keys()})
