"""What networks take, from what each of their layers is, fitted to networks that were timed.

A sum over the layers: a part for each layer of its kind, for its multiply-adds, for the bytes that it reads and writes,
for its variables, and one for the call; none of which can be negative. What is left is told by Gaussian processes over
the sizes of each kind of layer, whose sum over a network is fitted to what it took over the first sum. Whole networks
tell by which factor, and which power of it, all is longer: the processor's caches hold a short network more easily.

Reference:
    Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, equation 2.23.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_blocks.core.shapes import as_pair
from keras_blocks.look.operations import Operation
from keras_blocks.look.plan import keras_shapes

CONVOLUTIONS = ("Conv2D", "GroupedConv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose")
IDLE = ("InputLayer", "Dropout", "Flatten", "Identity", "Reshape", "Rescaling")
ALIKE = {"CeilMaxPooling2D": "MaxPooling2D", "SpatialDropout2D": "Dropout"}
VARIABLES = {"BatchNormalization": 4, "Dropout": 1}

SPREAD, WIDTH, UNSURE = 0.3, 1.5, 0.02
"""Of the processes: how far a layer is from the first sum, as a share; how many doublings of a size go alike; and how
far what a network took is from what it takes."""

LEAST_WHOLE, MOST_POWER = 8, 1.3
"""Whole networks that tell by which power of the sum all is longer, and the most that this may be."""


class LayerFeatures(NamedTuple):
    """What a layer's seconds depend on.

    Attributes:
        kind: its class, of an activation its function, of a convolution whether it has strides or one pixel.
        macs: millions of multiply-adds.
        size: millions of bytes that it reads and writes.
        weights: millions of bytes.
        variables: their number.
        place: logarithms of the sizes, by which layers are near each other.
    """

    kind: str
    macs: float
    size: float
    weights: float
    variables: int
    place: tuple[float, ...]


def features(operations: Sequence[Operation]) -> list[LayerFeatures]:
    """Of each layer of a network."""
    return [_features(one) for one in operations if one.node.step is not None]


def _features(operation: Operation) -> LayerFeatures:
    node = operation.node
    name = ALIKE.get(node.cls.__name__, node.cls.__name__)
    params, macs, _ = node.cost or (0, 0, 0)
    read, written = (4 * sum(math.prod(shape[1:]) for shape in keras_shapes(each)) for each in (node.given, node.shape))
    window: tuple[int, ...] = (1, 1)
    step, kind = 1, name
    if name in CONVOLUTIONS:
        window, step = as_pair(node.option("kernel_size")), max(as_pair(node.option("strides")))
        kind = f"{name} {min(2, max(window))}{' strided' if step > 1 else ''}"
    elif name in ("MaxPooling2D", "AveragePooling2D"):
        window = as_pair(node.option("pool_size"))
        step = max(as_pair(node.option("strides") or window))
    elif name == "Activation":
        given = node.option("activation")
        kind = f"{name} {given if isinstance(given, str) else getattr(given, '__name__', given)}"
    known = VARIABLES.get(name, 1 + bool(node.option("use_bias", False)) if params else 0)
    groups = node.option("groups", 1) or 1
    sizes = (macs + 1, read + 1, written + 1, math.prod(window), groups if isinstance(groups, int) else 1)
    place = (*map(math.log2, sizes), float(step))
    return LayerFeatures(kind, macs / 1e6, (read + written) / 1e6, 4 * params / 1e6, known, place)


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


class _Known(NamedTuple):
    """The layers of networks, one after another: the kind of each, its place, its seconds, whose it is."""

    kinds: Any
    places: Any
    seconds: Any
    owners: Any


class LatencyModel:
    """Fitted to networks that were timed; see above.

    Args:
        networks: the layers of each.
        seconds: that each takes.
        whole: networks as they are searched, and what these take: by how much that is more than their layers' sum.
        spread: of the processes, see `SPREAD`; 0 for the sums alone.

    Example: of one kind of layer, a network takes as much more as it has more of them.

    >>> unit = LayerFeatures("Add", 0.0, 0.1, 0.0, 0, (0.0,) * 6)
    >>> model = LatencyModel([[], [unit], [unit] * 4], [0.001, 0.0011, 0.0014])
    >>> round(model.predicted([unit] * 2), 4)
    0.0012
    """

    def __init__(
        self,
        networks: Sequence[Sequence[LayerFeatures]],
        seconds: Sequence[float],
        whole: Sequence[tuple[Sequence[LayerFeatures], float]] = (),
        *,
        spread: float = SPREAD,
    ) -> None:
        from scipy.optimize import nnls

        columns = [_columns(layers) for layers in networks]
        names = sorted({name for each in columns for name in each})
        taken = np.asarray(seconds, float)
        table = np.array([[each.get(name, 0.0) for name in names] for each in columns])
        self._parts = dict(zip(names, nnls(table / taken[:, None], np.ones(len(taken)))[0]))
        self._networks, self._spread = len(networks), spread
        self._known = self._laid_out(networks)
        shared = np.array([self._shared(self._laid_out([layers])) for layers in networks])
        plain = np.array([self._plain(layers) for layers in networks])
        self._solved = np.linalg.solve(shared + np.diag((UNSURE * taken) ** 2), taken - plain)
        self._scale, self._power = 1.0, 1.0
        if whole:
            told = np.log([self.predicted(layers) for layers, _ in whole])
            found = np.log([took for _, took in whole])
            if len(whole) >= LEAST_WHOLE:
                self._power = float(np.clip(np.polyfit(told, found, 1)[0], 1 / MOST_POWER, MOST_POWER))
            self._scale = math.exp(np.median(found - self._power * told))

    def predicted(self, layers: Sequence[LayerFeatures]) -> float:
        """Seconds of another network."""
        plain = self._plain(layers)
        left = float(self._shared(self._laid_out([layers])) @ self._solved)
        return float(self._scale * max(plain / 2, plain + left) ** self._power)

    def _plain(self, layers: Sequence[LayerFeatures]) -> float:
        return float(sum(self._parts.get(name, 0.0) * value for name, value in _columns(layers).items()))

    def _laid_out(self, networks: Sequence[Sequence[LayerFeatures]]) -> _Known:
        every = [(one, owner) for owner, layers in enumerate(networks) for one in layers]
        call = self._parts["call"]
        return _Known(
            np.array([one.kind.partition(" ")[0] for one, _ in every], dtype=object),
            np.array([one.place for one, _ in every], float).reshape(
                len(every), len(every[0][0].place) if every else 0
            ),
            np.array([self._plain([one]) - call for one, _ in every], float),
            np.array([owner for _, owner in every], int),
        )

    def _shared(self, one: _Known) -> Any:
        """With each known network: how far what is left of the one's seconds tells what is left of the other's."""
        if not len(one.kinds):
            return np.zeros(self._networks)
        apart = ((one.places[:, None] - self._known.places[None]) ** 2).sum(2) / WIDTH**2
        alike = (one.kinds[:, None] == self._known.kinds[None]) * np.exp(-apart / 2)
        each = self._spread**2 * (one.seconds @ alike) * self._known.seconds
        return np.bincount(self._known.owners, weights=each, minlength=self._networks)
