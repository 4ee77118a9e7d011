"""Chains of layers as data: the one idea that all blocks share.

A chain is a sequence of steps. A step is a layer that is yet to be made (`LayerSpec`) or a `Split`, which feeds the
same tensor to several chains and merges what they give. Since branches are chains too, splits nest. The last step may
be a `Fork`, whose branches stay apart: the block then has several outputs, a dict. Whatever is done
with a block (building, calling, expanding, counting, converting) is one `walk` with a different visitor.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from keras_blocks.core.immutable import FrozenDict, thaw


@dataclasses.dataclass(frozen=True, slots=True)
class LayerSpec:
    """A layer as data: its class, its name and its constructor's arguments.

    Making a Keras layer costs half a millisecond, so a chain holds specs; `cost` reads them and makes no layer at all.
    Calling a spec on a Keras tensor makes the layer and calls it.
    """

    cls: type
    name: str
    options: FrozenDict
    dtype: object = None

    def make(self, prefix: str = "") -> Any:
        """A new layer, named with `prefix` in front."""
        options = {key: thaw(value) if isinstance(value, FrozenDict) else value for key, value in self.options.items()}
        return self.cls(**options, name=prefix + self.name, dtype=self.dtype)

    def __call__(self, x: Any) -> Any:
        if isinstance(x, ShapeTensor):
            return x.through(self)
        if isinstance(x, (list, tuple)) and any(isinstance(item, ShapeTensor) for item in x):
            return ShapeTensor(x[0].visit(self, [item.shape for item in x]), x[0].visit)
        return self.make()(x)


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """The same input to each of `branches`, each a chain; then `merge`, a layer that takes a list of tensors."""

    branches: tuple["Chain", ...]
    merge: LayerSpec


@dataclasses.dataclass(frozen=True, slots=True)
class Fork:
    """The same input to each of `branches`, name -> chain; what they give is a dict. The last step of a chain."""

    branches: FrozenDict


Step: TypeAlias = LayerSpec | Split | Fork
"""What a chain consists of."""

Chain: TypeAlias = Sequence[Step]


class ShapeTensor:
    """Stands for an image batch of which only the shape is known; it tells a visitor of each layer that it meets.

    `visit(step, shape)` gets a spec, or a layer that exists already, and returns the shape after it.
    """

    __slots__ = ("shape", "visit")

    def __init__(self, shape: Iterable[int | None], visit: Callable[[Any, Any], Any]):
        self.shape = tuple(shape)
        self.visit = visit

    def through(self, step: Any) -> "ShapeTensor":
        return ShapeTensor(self.visit(step, self.shape), self.visit)


def walk(chain: Chain, x: Any, visit: Callable[[Any, Any], Any]) -> Any:
    """Sends `x` through the chain. `visit(spec, x)` does one layer; a merge gets the list of its branches' results."""
    for step in chain:
        if isinstance(step, Split):
            x = visit(step.merge, [walk(branch, x, visit) for branch in step.branches])
        elif isinstance(step, Fork):
            return {name: walk(branch, x, visit) for name, branch in step.branches.items()}
        else:
            x = visit(step, x)
    return x


def specs(chain: Chain) -> Iterator[LayerSpec]:
    """All the layers of a chain, in the order in which `walk` visits them."""
    for step in chain:
        if isinstance(step, Split):
            for branch in step.branches:
                yield from specs(branch)
            yield step.merge
        elif isinstance(step, Fork):
            for branch in step.branches.values():
                yield from specs(branch)
        else:
            yield step
