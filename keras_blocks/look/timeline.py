"""What of a model is alive when: in a forward pass, and in the backward pass behind it.

Each output is alive from when it is computed to when it is last read, in the backward pass too. What compilers fuse
takes no memory: of a convolution, a normalization and a ReLU behind it, the outputs of the first and the last are kept.
The rules are those that XLA's compiler for CPUs was seen to follow, in the buffers that it assigns to programs of JAX.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras

from keras_blocks.core.shapes import as_pair
from keras_blocks.look.operations import Operation
from keras_blocks.look.plan import Node, keras_shapes

VIEWS = ("InputLayer", "Flatten", "Reshape", "Identity")
FUSED = ("BatchNormalization", "Activation", "Add", "Multiply", "Dropout", "Rescaling", "ZeroPadding2D")
CONVOLUTIONS = ("Conv2D", "GroupedConv2D", "DepthwiseConv2D")
MAXIMA = ("MaxPooling2D", "CeilMaxPooling2D")
READ_AGAIN = ("BatchNormalization", "Activation", "Multiply", "Dense", "LocalResponseNormalization")
"""Layers whose gradient reads what they were given."""

FURTHER = {"elu": 1, "silu": 1, "gelu": 2}
"""Activation -> further numbers that are kept for the gradient of each of its output's: exponentials."""

PLACES = 4
"""Numbers that tell where a maximum was: one for each axis."""

DENSE_WIDTH = 32
"""Channels of a dense convolution that groups are put together for; see `ops.grouped_conv`."""


@dataclasses.dataclass(eq=False)
class _Place:
    """An operation, and when it runs: in the forward pass, in that which is done again, in the backward pass."""

    step: Operation
    forward: int
    inputs: list["_Place"]
    users: list["_Place"] = dataclasses.field(default_factory=list)
    again: int | None = None
    backward: int = 0
    real: bool = False
    _stored: dict[tuple[bool, bool], set["_Place"]] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def name(self) -> str:
        return self.step.node.cls.__name__

    @functools.cached_property
    def activation(self) -> str:
        given = self.option("activation") if self.name == "Activation" else ""
        return given if isinstance(given, str) else getattr(given, "__name__", "")

    @functools.cached_property
    def size(self) -> int:
        return bytes_of(self.step.node)

    @property
    def made(self) -> int:
        """When what the backward pass reads is computed."""
        return self.forward if self.again is None else self.again

    @property
    def fused(self) -> bool:
        return self.name in FUSED

    def option(self, name: str, default: Any = None) -> Any:
        return self.step.node.option(name, default)

    def nothing(self) -> bool:
        """Whether its output is its input's memory."""
        idle = self.name == "Dropout" and not self.option("rate")
        return self.name in VIEWS or idle or self.activation == "linear"

    def is_sum(self) -> bool:
        """Whether it is an addition that no normalization takes the statistics of."""
        return self.name == "Add" and all(one.name != "BatchNormalization" for one in self.users)

    def stored(self, *, relus: bool = False, sums: bool = False) -> set["_Place"]:
        """The outputs in memory that it is computed from: its own, or those of what is fused with it.

        Args:
            relus, sums: whether these are computed again rather than read.
        """
        if (relus, sums) not in self._stored:
            self._stored[relus, sums] = self._found_stored(relus, sums)
        return self._stored[relus, sums]

    def _found_stored(self, relus: bool, sums: bool) -> set["_Place"]:
        if self.step.node.step is None:
            return set()
        if self.real and not (relus and self.activation == "relu") and not (sums and self.is_sum()):
            return {self}
        return set().union(*(one.stored(relus=relus, sums=sums) for one in self.inputs))

    @functools.cached_property
    def gradient_begins(self) -> int:
        """When the first gradient of the next outputs in memory is there."""
        return min((one.backward if one.real else one.gradient_begins for one in self.users), default=self.backward)


class _Held(NamedTuple):
    begin: int
    end: int
    size: float


class Timeline:
    """Bytes for one image over the time of a forward pass, or of that and the backward pass.

    Args:
        steps: of a plan, see `operations_of`.
        training: whether there is a backward pass.
    """

    def __init__(self, steps: Sequence[Operation], *, training: bool = True) -> None:
        self._training, self._places = training, _placed(steps)
        self._computed = [one for one in self._places if not one.nothing()]
        self._last = {id(one): one.forward for one in self._places}
        self._kept: dict[int, int] = {}
        end = max((max(one.forward, one.backward) for one in self._places), default=0)
        change = [0.0] * (end + 4)
        for held in self._all_held():
            change[held.begin + 1] += held.size
            change[max(held.begin, held.end) + 2] -= held.size
        self._alive = [0.0]
        for one in change:
            self._alive.append(self._alive[-1] + one)

    @property
    def most(self) -> int:
        """At the peak."""
        return round(max(self._alive))

    def at(self, time: int) -> int:
        return round(self._alive[time + 2])

    def by_row(self) -> dict[int, int]:
        """The id of a plan's node -> the most while it runs."""
        found: dict[int, int] = {}
        for one in self._places:
            times = (one.forward, *((one.made, one.backward) if self._training else ()))
            key = id(one.step.row)
            found[key] = max(found.get(key, 0), *map(self.at, times))
        return found

    def _all_held(self) -> Iterable[_Held]:
        self._read_forward()
        if self._training:
            self._read_backward()
            yield from self._of_gradients()
        else:
            self._write_over()
        for one in self._computed:
            if not self._training and one.name in CONVOLUTIONS:
                yield _Held(-1, one.forward, _kernel_bytes(one))
            if one.name in MAXIMA:
                yield from self._of_maxima(one)
            if one.real:
                yield from self._of_output(one)

    def _read_forward(self) -> None:
        for one in self._computed:
            for source in {each for given in one.inputs for each in given.stored(relus=one.fused)}:
                self._last[id(source)] = max(self._last[id(source)], one.forward)

    def _read_backward(self) -> None:
        for one in self._computed:
            if one.name in READ_AGAIN:
                for source in {each for given in one.inputs for each in given.stored(relus=True, sums=True)}:
                    self._kept[id(source)] = max(self._kept.get(id(source), 0), one.backward)
            for given in one.inputs if one.again is not None else ():
                if given.step.group is not one.step.group:  # what a block was given stays
                    for source in given.stored():
                        self._last[id(source)] = max(self._last[id(source)], one.backward)

    def _write_over(self) -> None:
        """In inference what is fused may take the memory of what it reads last."""
        for one in self._computed:
            if one.real and one.fused:
                for source in {each for given in one.inputs for each in given.stored()}:
                    if self._last[id(source)] == one.forward and source.size == one.size:
                        self._last[id(source)] = one.forward - 1
                        break

    def _of_output(self, one: _Place) -> Iterable[_Held]:
        last, kept = self._last[id(one)], self._kept.get(id(one), 0)
        if one.again is None:
            yield _Held(one.forward, max(last, kept), one.size)
            return
        yield _Held(one.forward, last, one.size)
        if kept > last:
            yield _Held(max(one.again, last + 1), kept, one.size)

    def _of_gradients(self) -> Iterable[_Held]:
        """What the backward pass has besides the outputs that are kept for it."""
        turned: dict[int, tuple[_Place, int, int]] = {}  # each convolution's input, as the kernel's gradient reads it
        for one in self._computed:
            if one.name in CONVOLUTIONS:
                source = one.inputs[0]
                _, until, size = turned.get(id(source), (source, 0, 0))
                turned[id(source)] = source, max(until, one.backward), max(size, _given_bytes(one.step.node))
                yield _Held(one.backward, one.backward, one.size)
            if one.name == "BatchNormalization":
                yield _Held(one.backward, one.backward, 2 * one.size)
            if one.name == "Dropout":  # random bits; or for whole images, behind a gate, the zeros in their place
                gated = any(given.name == "Multiply" for given in one.inputs)
                copies = 2 if one.option("noise_shape") is None else int(gated)
                yield _Held(-1 if one.again is None else one.again, one.backward, copies * one.size)
            yield _Held(one.made, one.backward, FURTHER.get(one.activation, 0) * one.size)
            if one.real and one.users:
                yield _Held(one.gradient_begins, one.backward, one.size)
        yield from (_Held(source.made, until, size) for source, until, size in turned.values())

    def _of_maxima(self, one: _Place) -> Iterable[_Held]:
        """In training, XLA finds where each maximum was by numbers for each pixel, and adds gradients up in zeros."""
        if not self._training:
            return
        padded = _padded_bytes(one)
        start = -1 if one.again is None else one.again
        beside = padded if padded > _given_bytes(one.step.node) else 0
        yield _Held(start, one.made, PLACES * padded)
        yield _Held(start, one.backward, padded)
        yield _Held(one.made, one.made, (1 + PLACES) * one.size + beside)
        yield _Held(one.made + 1, one.backward, PLACES * one.size)


def _placed(steps: Sequence[Operation]) -> list[_Place]:
    """The operations with their times; what only passes memory on is left out between the others."""
    made: dict[int, _Place] = {}
    for i, step in enumerate(steps):
        inputs = [_behind(made[id(one)]) for one in step.inputs]
        place = made[id(step)] = _Place(step, i, inputs)
        if not place.nothing():
            for one in inputs:
                one.users.append(place)
    places, time = list(made.values()), len(steps)
    groups: dict[int, list[_Place]] = {}
    for place in places:
        if place.step.group is not None:
            groups.setdefault(id(place.step.group), []).append(place)
    for place in reversed(places):
        for one in groups.pop(id(place.step.group), ()):
            one.again, time = time, time + 1
        place.backward, time = time, time + 1
    for place in places:
        place.real = _is_real(place)
    return places


def _behind(place: _Place) -> _Place:
    while place.nothing() and place.inputs:
        place = place.inputs[0]
    return place


def _is_real(place: _Place) -> bool:
    """Whether its output is in memory, and not computed within what reads it."""
    if place.nothing():
        return False
    if not place.fused or not place.users:
        return True
    if place.name == "Add" and any(one.name == "BatchNormalization" for one in place.users):
        return True
    alone = len(set(map(id, place.users))) == 1
    return any(not one.fused and not (one.name == "Concatenate" and alone) for one in place.users)


def bytes_of(node: Node) -> int:
    """Of its outputs for one image; those of a view are counted, too."""
    values = _values(node.shape)
    if node.cost is not None and node.cost.activation_bytes:
        return node.cost.activation_bytes
    return 4 * values


def _given_bytes(node: Node) -> int:
    return bytes_of(node) // max(1, _values(node.shape)) * _values(node.given)


def _values(shape: Any) -> int:
    """Numbers in tensors of this shape, or of these, for one image."""
    return sum(int(math.prod(one[1:])) for one in keras_shapes(shape))


def _sides(place: _Place, shape: Any) -> tuple[int, int]:
    shape = keras_shapes(shape)[0]
    last = (place.option("data_format") or keras.config.image_data_format()) == "channels_last"
    height, width = shape[1:3] if last else shape[2:4]
    return height, width


def _padded_bytes(place: _Place) -> int:
    """Of a pooling's input with its border."""
    node = place.step.node
    sides, after = _sides(place, node.given), _sides(place, node.shape)
    if place.option("padding") == "valid":
        return _given_bytes(node)
    window = as_pair(place.option("pool_size"))
    steps = as_pair(place.option("strides") or window)
    wide = [max(side, (out - 1) * step + size) for side, out, step, size in zip(sides, after, steps, window)]
    return _given_bytes(node) * math.prod(wide) // math.prod(sides)


def _kernel_bytes(place: _Place) -> int:
    """Of what inference makes of a convolution's kernel.

    That is one mirrored, where it is larger than the image, as XLA takes the one for the other; and the dense kernels
    that groups are put together for.
    """
    node, groups = place.step.node, place.option("groups", 1)
    weights = 4 * (node.params or 0)
    if place.name != "GroupedConv2D":
        larger = math.prod(as_pair(place.option("kernel_size"))) > math.prod(_sides(place, node.given))
        return weights if larger else 0
    channels = [
        math.prod(keras_shapes(shape)[0][1:]) // math.prod(_sides(place, shape)) for shape in (node.given, node.shape)
    ]
    wide = max(channels) // groups
    together = max(n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * wide <= DENSE_WIDTH))
    return weights * together if together > 1 else 0
