"""Which parent's channel each channel of a child's tensor is a copy of: what additions and groups ask of it.

Tensors that are added to each other, or multiplied, must have their copies in the same places; what is concatenated
has each part's copies in its own place; a convolution in groups finds its inputs in its group. Elsewhere channel i is a
copy of i modulo the parent's number of channels.
"""

from typing import Any

import numpy as np

from keras_blocks.blocks.detection_decoder import DetectionDecoder
from keras_blocks.grow.flat import Call, Flat, places

NONE = -1
"""In the place of a parent's channel: a new one."""

ALIKE = ("idle", "per_channel", "activation", "norm", "depthwise", "rescale", "sample", "add", "multiply")
"""Kinds of layers whose output's channels are in the places of their inputs'."""


class Layouts:
    """The layout of each tensor of the child.

    Args:
        child, parent: the two models.
    """

    def __init__(self, child: Flat, parent: Flat):
        self.child, self.parent = child, parent
        self._group = {id(tensor): id(tensor) for call in child.calls for tensor in call.outputs}
        self._made: dict[int, np.ndarray] = {}
        self._wishes: dict[int, list[tuple[int, Call, str]]] = {}
        for call in child.calls:
            self._join(call)
        for call in child.calls:
            self._wish(call)
        self._counts: dict[int, int] = {}
        for call in child.calls:
            twin = parent.by_key.get(call.key)
            if twin is not None and twin.kind == call.kind:
                for tensor, theirs in zip(call.outputs, twin.outputs):
                    self._counts.setdefault(self._root(tensor), parent.count(theirs))
        decoded = [tensor for call in child.calls if isinstance(call.layer, DetectionDecoder) for tensor in call.inputs]
        self._outputs = {self._root(tensor) for tensor in (*child.model.outputs, *decoded)}

    def of(self, tensor: Any) -> np.ndarray:
        """For each channel that of the parent's tensor, or `NONE`."""
        root = self._root(tensor)
        if root not in self._made:
            self._made[root] = self._found(root, self.child.count(tensor))
        return self._made[root]

    def parents(self, tensor: Any) -> int | None:
        """The channels of the parent's tensor in this place, if it has one."""
        return self._counts.get(self._root(tensor))

    def _found(self, root: int, count: int) -> np.ndarray:
        theirs = self._counts.get(root)
        for _, call, kind in sorted(self._wishes.get(root, []), key=lambda wish: wish[0]):
            layout, total = self._wished(call, kind)
            if len(layout) == count and theirs in (None, total):
                return layout
        if theirs is None:
            return np.full(count, NONE)
        layout = np.arange(count) % theirs
        if root in self._outputs:  # a copy of a class would take half of its probability
            layout[theirs:] = NONE
        return layout

    def _wished(self, call: Call, kind: str) -> tuple[np.ndarray, int]:
        twin = self.parent.by_key.get(call.key)
        if kind == "concatenate":
            parts = [(self.of(tensor), self._total(tensor)) for tensor in call.inputs]
        elif kind == "pad_channels":
            inner = call.inputs[0]
            zeros = twin.layer.channels if twin else 0
            added = np.arange(call.layer.channels)
            border = (added % zeros if zeros else np.full(len(added), NONE), zeros)
            parts = [border, (self.of(inner), self._total(inner)), border]
        elif kind == "reshape":
            return self._reshaped(call, twin)
        else:
            return self._grouped(call, twin, kind)
        starts = np.cumsum([0, *(total for _, total in parts)])
        moved = [np.where(part == NONE, NONE, part + start) for (part, _), start in zip(parts, starts)]
        return np.concatenate(moved), int(starts[-1])

    def _total(self, tensor: Any) -> int:
        """The parent's channels that a layout counts."""
        if (theirs := self.parents(tensor)) is not None:
            return theirs
        for _, call, kind in self._wishes.get(self._root(tensor), []):
            return self._wished(call, kind)[1]
        return 0

    def _grouped(self, call: Call, twin: Call | None, kind: str) -> tuple[np.ndarray, int]:
        """Channels in groups, of which each is a copy of a whole one."""
        side = "inputs" if kind == "groups' inputs" else "outputs"
        if twin is None or twin.kind != call.kind:
            return np.zeros(0, int), 0
        count = self.child.count(getattr(call, side)[0])
        theirs = self.parent.count(getattr(twin, side)[0])
        groups = getattr(twin.layer, "groups", 1)
        width, wide = theirs // groups, count // call.layer.groups
        channels = np.arange(count)
        if wide % width == 0:
            return channels % theirs, theirs
        return (channels // wide % groups) * width + channels % wide % width, theirs

    def _reshaped(self, call: Call, twin: Call | None) -> tuple[np.ndarray, int]:
        """Of a vector that becomes an image, each pixel's channels."""
        sizes = [flat.size(one.outputs[0]) for flat, one in ((self.child, call), (self.parent, twin or call))]
        if twin is None or sizes[0] != sizes[1]:
            return np.zeros(0, int), 0
        theirs = places(self.parent, twin.outputs[0])
        layout = self.of(call.outputs[0])
        made = np.full(places(self.child, call.outputs[0]).size, NONE)
        for channel, where in zip(layout, places(self.child, call.outputs[0])):
            made[where] = NONE if channel == NONE else theirs[channel]
        return made, theirs.size

    def _join(self, call: Call) -> None:
        if call.kind not in ALIKE or (call.kind == "depthwise" and call.layer.depth_multiplier > 1):
            return
        inputs = call.inputs if call.kind in ("sample", "add", "multiply") else call.inputs[:1]
        count = self.child.count(call.outputs[0])
        for tensor in inputs:
            if self.child.count(tensor) == count and id(tensor) in self._group:
                self._group[self._root(tensor)] = self._root(call.outputs[0])

    def _wish(self, call: Call) -> None:
        if call.kind in ("concatenate", "pad_channels"):
            rank = 0 if call.kind == "concatenate" else 1
            self._wishes.setdefault(self._root(call.outputs[0]), []).append((rank, call, call.kind))
        elif call.kind == "reshape" and len(call.outputs[0].shape) == 4 and len(call.inputs[0].shape) == 2:
            self._wishes.setdefault(self._root(call.inputs[0]), []).append((1, call, call.kind))
        elif call.kind == "linear" and getattr(call.layer, "groups", 1) > 1:
            self._wishes.setdefault(self._root(call.inputs[0]), []).append((2, call, "groups' inputs"))
            self._wishes.setdefault(self._root(call.outputs[0]), []).append((2, call, "groups' outputs"))

    def _root(self, tensor: Any) -> int:
        found = id(tensor)
        while self._group.get(found, found) != found:
            found = self._group[found]
        return found
