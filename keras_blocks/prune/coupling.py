"""A flat model's channels: which belong together, which layers have them, and what each of these computes."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_blocks.core.graphs import replay
from keras_blocks.costs.cost import shape_and_cost
from keras_blocks.costs.layer_costs import count_weights
from keras_blocks.prune.channels import Channels, Labels, NotFollowed, unlabeled
from keras_blocks.prune.rules import Call, Followed, freeze, is_elementwise, rule_of


@dataclass
class Part:
    """A layer that has channels which can be pruned."""

    layer: Any
    followed: Followed
    taken: list[Labels]
    """Those that it is given."""
    macs: int = 0

    @property
    def pixels(self) -> float:
        """How often each number of the kernels is multiplied."""
        kernels = [math.prod(getattr(self.layer, name).shape) for name in self.followed.axes if "kernel" in name]
        return self.macs / sum(kernels) if kernels else 0.0

    def weights(self) -> Iterator[tuple[str, Any, Mapping[int, Labels]]]:
        """(name, variable, {axis, counted from 0: labels along it})."""
        for name, axes in self.followed.axes.items():
            variable = getattr(self.layer, name)
            rank = len(variable.shape)
            yield name, variable, {axis % rank: labels for axis, labels in axes.items()}


@dataclass
class Coupling:
    """What was found in a flat model."""

    flat: keras.Model
    channels: Channels = field(default_factory=Channels)
    parts: dict[int, Part] = field(default_factory=dict)
    """By the layer's identity."""
    macs: int = 0
    params: int = 0
    stays: dict[str, str] = field(default_factory=dict)
    """Name of a layer -> why the channels that it is given, or makes, stay."""


def coupling_of(flat: keras.Model, shapes: Sequence[Any]) -> Coupling:
    """Walks through a flat functional model; `shapes` of its inputs, with the batch, are all known."""
    walk = _Walk(flat)
    inputs = [keras.KerasTensor(shape, dtype=tensor.dtype) for shape, tensor in zip(shapes, flat.inputs)]
    outputs = replay(flat, inputs, walk.each)
    freeze(walk.found.channels, [walk.labels_of(tensor) for tensor in keras.tree.flatten(outputs)])
    for operation, why, labels in walk.halted:
        if not all(walk.found.channels.frozen(one) for one in labels[:-1] or labels):
            walk.found.stays[operation.name] = f"{type(operation).__name__} {why}"
        freeze(walk.found.channels, labels)
    walk.found.params = count_weights(flat)
    return walk.found


class _Walk:
    """What `replay` calls in place of layers and operations."""

    def __init__(self, flat: keras.Model):
        self.found = Coupling(flat)
        self.halted: list[tuple[Any, str, list[Labels]]] = []
        """What stays, but is frozen when it is known what does so anyway, as it belongs to an output."""
        self._not_followed: set[int] = set()
        self._labels: dict[int, Labels] = {}
        self._kept_alive: list[Any] = []  # an identity belongs to one tensor as long as that lives

    def labels_of(self, tensor: Any) -> Labels:
        found = self._labels.get(id(tensor))
        return unlabeled(len(tensor.shape) - 1) if found is None else found

    def each(self, operation: Any) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            after = operation.compute_output_spec(*args, **kwargs)
            arguments = keras.tree.flatten((args, kwargs))
            given = [one for one in arguments if isinstance(one, keras.KerasTensor)]
            macs = self._count(operation, given, after)
            outputs = [one for one in keras.tree.flatten(after) if isinstance(one, keras.KerasTensor)]
            for tensor, labels in zip(outputs, self._follow(operation, arguments, given, outputs, macs), strict=True):
                self._labels[id(tensor)] = labels
            self._kept_alive.extend(outputs)
            return after

        return run

    def _count(self, operation: Any, given: list[Any], after: Any) -> int:
        if not isinstance(operation, keras.layers.Layer):
            return 0
        shapes = [tuple(tensor.shape) for tensor in given]
        known = [tuple(tensor.shape) for tensor in keras.tree.flatten(after)]
        shape = shapes[0] if len(shapes) == 1 else shapes
        macs = shape_and_cost(operation, shape, known[0] if len(known) == 1 else known)[1].macs
        self.found.macs += macs
        return macs

    def _follow(
        self, operation: Any, arguments: list[Any], given: list[Any], outputs: list[Any], macs: int
    ) -> list[Labels]:
        taken = [self.labels_of(tensor) for tensor in given]
        shapes = [tuple(tensor.shape[1:]) for tensor in given]
        if (part := self.found.parts.get(id(operation))) is not None:
            part.macs += macs
            return [self._once_more(part, taken, outputs[0])]
        try:
            rule = rule_of(operation, arguments)
            if id(operation) in self._not_followed:
                raise NotFollowed("is called on what cannot be pruned, too")
            followed = rule(Call(self.found.channels, operation, taken, shapes, tuple(outputs[0].shape[1:])))
        except NotFollowed as why:
            self._not_followed.add(id(operation))
            return self._halt(operation, str(why), taken, outputs)
        if isinstance(operation, keras.layers.Layer) and not is_elementwise(getattr(operation, "activation", None)):
            self.halted.append((operation, "has an activation that may mix channels", [followed.labels]))
        if followed.axes or followed.resized:
            self.found.parts[id(operation)] = Part(operation, followed, taken, macs)
        return [followed.labels]

    def _halt(self, operation: Any, why: str, taken: list[Labels], outputs: list[Any]) -> list[Labels]:
        """What goes in and comes out stays, with all that it is added to: settled when the walk is over."""
        one = self.found.channels.fresh(1)
        self.halted.append((operation, why, [*taken, one]))
        return [one.reshape((1,) * (len(tensor.shape) - 1)) for tensor in outputs]

    def _once_more(self, part: Part, taken: list[Labels], output: Any) -> Labels:
        """A layer that is called again makes the same channels of the same."""
        pairs = list(zip(part.taken, taken, strict=True))
        if all(
            first.ndim == now.ndim and (1 in (first.size, now.size) or first.shape == now.shape) for first, now in pairs
        ):
            for first, now in pairs:
                self.found.channels.join(first, now)
            return part.followed.labels
        found = [*part.taken, *taken, part.followed.labels]
        return self._halt(part.layer, "is called on several shapes", found, [output])[0]


class Kept:
    """Which channels stay: one truth value for each label's set."""

    def __init__(self, channels: Channels):
        self._channels = channels
        self.stays = np.ones(len(channels), dtype=bool)

    def mask(self, labels: Labels) -> np.ndarray:
        return self.stays[self._channels.roots(labels)]

    def count(self, labels: Labels) -> int:
        return int(self.mask(labels).sum())

    def weight(self, value: np.ndarray, axes: Mapping[int, Labels]) -> np.ndarray:
        """What stays of a weight."""
        for axis, labels in axes.items():
            value = np.compress(self.mask(labels), value, axis=axis)
        return value
