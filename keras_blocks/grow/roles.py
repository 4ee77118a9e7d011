"""What layers that the parent lacks are to do at first: pass on what they are given, add nothing, or anything."""

from collections.abc import Iterator
from typing import Any, Literal

import keras
import numpy as np

from keras_blocks.grow.flat import MERGES, WEIGHTED, Call, Flat, Key

Role = Literal["pass", "zero", "any"]


CAN_BE_ZERO = (keras.layers.Conv1D, keras.layers.GroupNormalization)
"""Further layers that give zeros where their weights are zeros."""


def alike(call: Call, twin: Call) -> bool:
    """Whether a layer is what the parent's of this name is."""
    transposed = [type(one.layer) is keras.layers.Conv2DTranspose for one in (call, twin)]
    ranks = [len(one.layer.kernel.shape) if one.kind == "linear" else 0 for one in (call, twin)]
    same = call.kind != "opaque" or type(call.layer) is type(twin.layer)
    return same and call.kind == twin.kind and transposed[0] == transposed[1] and ranks[0] == ranks[1]


def is_weighted(call: Call) -> bool:
    return call.kind in WEIGHTED or bool(getattr(call.layer, "weights", ()))


class Roles:
    """The roles of the child's new layers, and by what parent's layers must be multiplied before a new gate.

    A new layer on the only way through the model passes on. Of the branches of a new addition, one passes on, the
    others end in zeros; of a new product, they end in the same number for each channel, a half in front of a sigmoid;
    of a new concatenation, they give anything, since no one looks at it yet.
    """

    def __init__(self, child: Flat, parent: Flat):
        self.child, self.parent = child, parent
        self.of: dict[Key, Role] = {call.key: "pass" for call in child.calls if is_weighted(call) and self.is_new(call)}
        self.factors: dict[Key, float] = {}
        for call in reversed(child.calls):
            if call.kind in MERGES and self.of.get(call.key, "pass") != "any":
                for tensor, others in self._sides(call):
                    self._settle(call, tensor, others)

    def is_new(self, call: Call) -> bool:
        twin = self.parent.by_key.get(call.key)
        return twin is None or not alike(call, twin)

    def new_before(self, tensor: Any) -> list[str]:
        """Names of the new layers that a tensor is made by, in order."""
        found = self._behind(tensor)
        return [call.name for call in self.child.calls if call.key in found and call.kind != "idle"]

    def _sides(self, merge: Call) -> Iterator[tuple[Any, set[Key]]]:
        """The new branches of a merge, each with what others have of it, too."""
        behind = [self._behind(tensor) for tensor in merge.inputs]
        weights = [sum(is_weighted(self.child.by_key[key]) for key in keys) for keys in behind]
        if self.is_new(merge):
            kept = [int(np.argmin(weights))]
        else:
            extra = len(merge.inputs) - len(self.parent.by_key[merge.key].inputs)
            new = [i for i, number in enumerate(weights) if number][::-1][: max(extra, 0)]
            kept = [i for i in range(len(behind)) if i not in new]
        others: set[Key] = set().union(*(behind[i] for i in kept))
        for i, tensor in enumerate(merge.inputs):
            if i not in kept and behind[i] - others:
                yield tensor, others

    def _settle(self, merge: Call, tensor: Any, others: set[Key]) -> None:
        for key in self._behind(tensor) - others:
            self.of[key] = "any"
        if merge.kind == "concatenate":
            return
        gate = self._zeroed(tensor)
        if merge.kind == "multiply" and gate:
            kept = next(other for other in merge.inputs if other is not tensor)
            if (producer := self._producer(kept)) is not None:
                self.factors[producer.key] = self.factors.get(producer.key, 1.0) / gate

    def _behind(self, tensor: Any) -> set[Key]:
        """The new calls that a tensor is made by, up to those that the parent has, too."""
        found: set[Key] = set()
        waiting = [tensor]
        while waiting:
            call = self.child.made_by.get(id(waiting.pop()))
            if call is not None and call.key not in found and self.is_new(call):
                found.add(call.key)
                waiting += call.inputs
        return found

    def _zeroed(self, tensor: Any) -> float:
        """Has a branch end in zeros; returns what number becomes of them: not 0 behind a sigmoid."""
        call = self.child.made_by.get(id(tensor))
        if call is None or not self.is_new(call):
            return 0.0
        if call.kind == "linear" or (call.kind == "norm" and call.layer.scale) or type(call.layer) in CAN_BE_ZERO:
            self.of[call.key] = "zero"
            return _at(getattr(call.layer, "activation", keras.activations.linear), 0.0)
        if call.kind == "activation":
            return _at(getattr(call.layer, "activation", call.layer), self._zeroed(call.inputs[0]))
        if call.kind == "multiply":
            return self._zeroed(call.inputs[0]) if self._behind(call.inputs[0]) else 0.0
        found = [self._zeroed(inner) for inner in call.inputs]
        return sum(found) if call.kind == "add" else found[0] if found else 0.0

    def _producer(self, tensor: Any) -> Call | None:
        """The linear layer of the parent's that makes a tensor which new layers alone look at."""
        call = self.child.made_by.get(id(tensor))
        if call is None or not all(self.is_new(other) for other in self.child.taken_by.get(id(tensor), [])):
            return None
        if self.is_new(call):
            return self._producer(call.inputs[0]) if call.kind in ("multiply", "idle") else None
        if call.kind == "idle":
            return self._producer(call.inputs[0])
        activation = getattr(call.layer, "activation", keras.activations.linear)
        whole = call.kind == "linear" or (call.kind == "norm" and call.layer.scale and call.layer.center)
        return call if whole and activation is keras.activations.linear else None


def _at(activation: Any, value: float) -> float:
    """What an activation makes of a number."""
    return float(keras.ops.convert_to_numpy(activation(keras.ops.convert_to_tensor([value], "float32")))[0])
