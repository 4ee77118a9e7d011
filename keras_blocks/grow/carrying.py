"""A parent's weights carried into its child, layer by layer, each with a proof that it does the same, or a note."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_blocks.core.arrays import as_float64
from keras_blocks.core.copies import finalized
from keras_blocks.core.native_layers import own_class
from keras_blocks.grow.evaluating import ACROSS, Evaluator, Parent
from keras_blocks.grow.flat import EACH, WEIGHTED, Call, Flat
from keras_blocks.grow.layouts import NONE, Layouts
from keras_blocks.grow.linear import carried_depthwise, carried_linear, carried_row
from keras_blocks.grow.new_layers import begun
from keras_blocks.grow.normalizations import carried_norm
from keras_blocks.grow.regions import carried_regions
from keras_blocks.grow.roles import Roles, alike, is_weighted
from keras_blocks.grow.values import CONSTANT, Values, key_of

RULES = {"linear": carried_linear, "depthwise": carried_depthwise, "norm": carried_norm}

TOGETHER = ("opaque", "distance", "pool_channels", "row")
"""Kinds of layers that look at all channels."""


class Transfer(NamedTuple):
    """A variable of the child's, one of the parent's, and what makes of an array like the latter one like the former.

    The function is told whether copies of a channel share what goes out of it, as weights do; moments do not.
    """

    mine: Any
    theirs: Any
    moved: Callable[[np.ndarray, bool], np.ndarray]


class Child(Evaluator):
    """The child, which is given the parent's weights while it is gone through.

    Args:
        flat: the child, expanded.
        parent: the parent, gone through.
        break_ties: noise on copies of output channels, in standard deviations of the parent's kernel.
    """

    def __init__(self, flat: Flat, parent: Parent, break_ties: float = 0.0):
        super().__init__(flat, parent.numbers)
        self.parent, self.break_ties = parent, break_ties
        self.layouts = Layouts(flat, parent.flat)
        self.roles = Roles(flat, parent.flat)
        self.notes: dict[str, str] = {}
        """Name of a layer -> why what it makes is not what the parent's makes."""
        self.transfers: list[Transfer] = []
        self.unlike: list[str] = []
        """Names of new layers that do not pass on what they are given."""
        self.within: list[Child] = []
        """Those of networks within layers, as that which sees regions as images."""
        self._done: dict[int, bytes] = {}
        self._broken: set[int] = set()  # tensors too narrow for all of the parent's, behind a layer that has a note
        self.run()

    @property
    def exact(self) -> bool:
        """Whether it is proved that the child's outputs are the parent's."""
        mine, theirs = self.flat.model.outputs, self.parent.flat.model.outputs
        same = len(mine) == len(theirs) and all(
            self.values[id(tensor)].same(self.parent.values[id(other)]) for tensor, other in zip(mine, theirs)
        )
        return same and not self.notes

    def removed(self) -> list[str]:
        """The parent's layers with weights that the child has none of."""
        found = [call for call in self.parent.flat.calls if is_weighted(call)]
        return [call.name for call in found if self._missing(self.flat.by_key.get(call.key), call)]

    def _missing(self, mine: Call | None, call: Call) -> bool:
        return mine is None or not alike(mine, call)

    def twin(self, call: Call) -> Call | None:
        found = self.parent.flat.by_key.get(call.key)
        return found if found is not None and alike(call, found) else None

    def move(self, mine: Any, theirs: Any, moved: Callable[[np.ndarray, bool], np.ndarray]) -> None:
        mine.assign(moved(as_float64(theirs), True).reshape(mine.shape))
        self.transfers.append(Transfer(mine, theirs, moved))

    def first(self, call: Call) -> bool:
        """Whether the layer has no weights of the parent's yet."""
        return id(call.layer) not in self._done

    def done(self, call: Call, *how: np.ndarray) -> bool:
        """Notes how a layer's weights were made; whether that is how they were made at an earlier call."""
        told = b"|".join(part.tobytes() for part in how)
        return self._done.setdefault(id(call.layer), told) == told

    # -- one call ---------------------------------------------------------------------------------------------------

    def settled(self, call: Call, outputs: list[Values]) -> list[Values]:
        """Where the parent's outputs are not all there: a note, and from there on as if they were."""
        twin = self.twin(call)
        if twin is None or own_class(call.layer) is keras.layers.ZeroPadding2D:
            return outputs
        found = []
        for tensor, made, theirs in zip(call.outputs, outputs, self.parent.made(twin)):
            lost = np.setdiff1d(theirs.ids, np.append(made.ids, CONSTANT))
            if len(lost):
                broken = any(id(one) in self._broken for one in call.inputs)
                if call.kind == "linear" or not broken:  # else a layer before it has a note
                    self.notes.setdefault(call.name, self._reason(call, twin, len(made.ids), len(theirs.ids)))
                made = self._pretended(tensor, theirs)
                if len(np.setdiff1d(theirs.ids, np.append(made.ids, CONSTANT))):
                    self._broken.add(id(tensor))
            found.append(made)
        return found

    def _pretended(self, tensor: Any, theirs: Values) -> Values:
        layout = self.layout(tensor, len(theirs.ids))
        made, fresh = theirs.taken(layout), self.numbers.fresh(len(layout))
        return Values(np.where(layout == NONE, fresh.ids, made.ids), np.where(layout == NONE, 1.0, made.scales))

    def layout(self, tensor: Any, theirs: int) -> np.ndarray:
        """The layout of a tensor whose twin has so many channels."""
        found = self.layouts.of(tensor)
        fits = self.layouts.parents(tensor) == theirs and found.max(initial=NONE) < theirs
        return found if fits else np.arange(len(found)) % theirs

    def weighted(self, call: Call, inputs: list[Values]) -> list[Values]:
        twin = self.twin(call)
        if twin is None:
            made = begun(self, call, inputs[0])
            if made is None:
                self.unlike.append(call.name)
                return [self.numbers.fresh(self.flat.count(tensor)) for tensor in call.outputs]
            return self._with_activation(call, [made])
        if call.kind == "opaque":
            return self.copied(call, twin, inputs)
        if call.kind == "row":
            return carried_row(self, call, twin, inputs)
        if call.kind == "each_region":
            return [carried_regions(self, call, twin, inputs)]
        return self._with_activation(call, [RULES[call.kind](self, call, twin, inputs[0])])

    def _with_activation(self, call: Call, made: list[Values]) -> list[Values]:
        activation = getattr(call.layer, "activation", None)
        if call.kind not in WEIGHTED or activation is None:
            return made
        activated = self.activated(activation, made[0])
        return [activated] if activated is not None else self.together(call, made, "activation of ")

    def copied(self, call: Call, twin: Call, inputs: list[Values]) -> list[Values]:
        mine, theirs = call.layer.weights, twin.layer.weights
        given = self.parent.given(twin)
        fits = [tuple(w.shape) for w in mine] == [tuple(w.shape) for w in theirs]
        same = fits and key_of(call.layer) == key_of(twin.layer)  # what its arguments do is not known
        if fits and self.first(call):
            for variable, other in zip(mine, theirs):
                self.move(variable, other, lambda value, shared: value)
            finalized(call.layer)
            self.done(call)
        if same and len(inputs) == len(given) and all(one.same(other) for one, other in zip(inputs, given)):
            return self.parent.made(twin)
        return [self.numbers.fresh(self.flat.count(tensor)) for tensor in call.outputs]

    def _reason(self, call: Call, twin: Call, mine: int, theirs: int) -> str:
        """Why a layer cannot make what the parent's makes."""
        layer, other = call.layer, twin.layer
        mine_is, theirs_is = (own_class(one).__name__ for one in (layer, other))
        sizes = [getattr(one, "kernel_size", ()) for one in (layer, other)]
        groups = getattr(layer, "groups", 1)
        if mine < theirs:
            return f"has {mine} channels in place of {theirs}: the first are kept; `keras_blocks.prune` chooses"
        if call.kind in WEIGHTED and len(np.setdiff1d(np.arange(theirs), self.layout(call.outputs[0], theirs))):
            return "has its channels where a layer behind it, which works in groups, expects them, and so not all"
        if call.kind not in WEIGHTED and mine_is != theirs_is:
            return f"is a {mine_is} in place of a {theirs_is}"
        if getattr(other, "use_bias", False) and not getattr(layer, "use_bias", True):
            return "has no bias any more, as where a normalization follows: `use_bias=True` keeps it"
        if any(size < one for size, one in zip(*sizes)):
            return f"has a kernel of {sizes[0]} in place of {sizes[1]}: what lies in its middle is kept"
        if sizes[0] != sizes[1] or _steps(layer) != _steps(other):
            return "has a kernel, strides or padding with which it cannot look at what the parent's looks at alone"
        if call.kind == "norm" and other.center and not layer.center:
            return "has no beta any more: `center=True` keeps it"
        if call.kind == "norm" and other.scale and not layer.scale:
            return "has no gamma any more, for which its variance stands where that is positive"
        applied = [_activation(one) for one in (layer, other)]
        if applied[0] != applied[1]:
            return f"applies {applied[0]} in place of {applied[1]}"
        if call.kind in ("opaque", "per_channel") and key_of(layer) != key_of(other):
            return f"is a {mine_is} of other arguments"
        if call.kind in TOGETHER or (call.kind == "activation" and applied[0] in ACROSS):
            kind = applied[0] if call.kind == "activation" else mine_is
            if mine != theirs:
                return f"looks at all channels together ({kind}), and has {mine} in place of {theirs}"
            given = [[flat.count(x) for x in one.inputs] for flat, one in ((self.flat, call), (self.parent.flat, twin))]
            if given[0] != given[1]:
                return f"looks at all channels together ({kind}), and is given {max(given[0])}, not {max(given[1])}"
        if call.kind == "linear" and isinstance(groups, int) and groups > 1:
            return "works in groups, which do not hold those channels together that the parent's do"
        new = [name for tensor in call.inputs for name in self.roles.new_before(tensor)]
        near = [name for name in new if name in self.unlike] or new
        if near:
            return f"is not given all that the parent's is, behind the new layer '{near[0]}'"
        seen = [flat.size(one.inputs[0]) for flat, one in ((self.flat, call), (self.parent.flat, twin))]
        if seen[0] != seen[1]:
            return f"is given maps of {seen[0]} in place of {seen[1]} pixels"
        return "is not given all that the parent's is"


def _activation(layer: Any) -> str:
    """The name of a layer's activation, or of what is one itself."""
    if own_class(layer) in EACH or not isinstance(layer, keras.layers.Layer):
        return type(layer).__name__
    activation = getattr(layer, "activation", None)
    return str(getattr(activation, "__name__", activation))


def _steps(layer: Any) -> tuple[Any, ...]:
    return tuple(getattr(layer, name, None) for name in ("strides", "dilation_rate", "padding", "pool_size"))
