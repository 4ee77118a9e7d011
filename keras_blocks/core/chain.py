"""Chains of layers as data: the one idea that all blocks share.

A chain is a sequence of steps. A step is a layer that is yet to be made (`LayerSpec`) or a `Split`, which feeds the
same tensor to several chains and merges what they give. Since branches are chains too, splits nest. A
`Fork`'s branches stay apart, as a dict: the block's outputs where it comes last. A block of several inputs gets a dict,
too: `Take` goes on with one of them, `Assign` adds what a chain makes of it to the dict. One spec that stands in
several places is one layer. Whatever is done with a block (building, calling, expanding, counting, converting) is one
`walk` with a different visitor.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import keras

from keras_blocks.core.immutable import FrozenDict, thaw
from keras_blocks.core.native_layers import Activation, Add, natively
from keras_blocks.core.shapes import shapes_of

QUANTIZED = ("int8", "int4", "float8")
"""How names of policies begin that Keras reads as those of quantized layers."""


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
        # By its name: Keras makes a `get_config` for a class that has none, of arguments that are plain data.
        policy: Any = self.dtype
        named = type(policy) is keras.DTypePolicy and not policy.name.startswith(QUANTIZED)
        dtype = policy.name if named else policy
        return natively(self.cls)(**options, name=prefix + self.name, dtype=dtype)

    def __call__(self, x: Any) -> Any:
        together = x.values() if isinstance(x, Mapping) else x if isinstance(x, (list, tuple)) else [x]
        first = next((tensor for tensor in together if isinstance(tensor, ShapeTensor)), None)
        if first is not None:
            return first.through(self, x)
        return self.make()(x)


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """The same input to each of `branches`, each a chain; then `merge`, a layer that takes a list of tensors."""

    branches: tuple["Chain", ...]
    merge: LayerSpec


@dataclasses.dataclass(frozen=True, slots=True)
class Fork:
    """The same input to each of `branches`, name -> chain; what they give is a dict, of outputs or to `Take` from."""

    branches: FrozenDict


@dataclasses.dataclass(frozen=True, slots=True)
class Take:
    """Of a dict, what has this name."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Assign:
    """The dict, with what the chain makes of it under a name; what is no dict begins one."""

    name: str
    chain: "Chain"


Step: TypeAlias = LayerSpec | Split | Fork | Take | Assign
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

    def through(self, step: Any, together: Any = None) -> Any:
        """What a step gives for this, or for a list or a dict of which this is one."""
        return shape_tensors(self.visit(step, shapes_of(self if together is None else together)), self.visit)


def shape_tensors(shape: Any, visit: Callable[[Any, Any], Any]) -> Any:
    """A `ShapeTensor`, or of several outputs a dict of them."""
    if isinstance(shape, Mapping):
        return {name: shape_tensors(one, visit) for name, one in shape.items()}
    return ShapeTensor(shape, visit)


class BuiltChain:
    """Holds a chain for a layer. A list or a tuple would be wrapped and searched for layers by Keras."""

    __slots__ = ("chain", "checked", "makers")

    def __init__(self, chain: Chain):
        self.chain = tuple(chain)
        self.checked: set[Any] = set()
        """Input shapes that are known to be large enough, so that an eager call pays for the check once."""
        self.makers = _makers(self.chain)
        """Name of an activation or a sum -> (that of the layer which made what it is given, in which place of several),
        where nothing else is given it."""


def _makers(chain: Chain) -> dict[str, tuple[str, int | None]]:
    found: dict[str, list[tuple[str, int | None] | None]] = {}
    for one in [chain, *_inside(chain)]:
        for previous, step in zip([None, *one], one):
            if isinstance(step, Split):
                made = [_maker(branch[-1]) if branch else None for branch in step.branches]
                places = [(maker, place) for place, maker in enumerate(made) if maker]
                adds = natively(step.merge.cls) is Add and len(made) == 2
                found.setdefault(step.merge.name, []).append(places[0] if adds and places else None)
            elif isinstance(step, LayerSpec):
                maker = _maker(previous) if natively(step.cls) is Activation else None
                found.setdefault(step.name, []).append((maker, None) if maker else None)
    return {name: calls[0] for name, calls in found.items() if len(calls) == 1 and calls[0]}


def _maker(step: Any) -> str | None:
    """The name of the layer that gives what a step does, if it keeps it nowhere, nor was given it."""
    spec = step.merge if isinstance(step, Split) and len(step.branches) > 1 else step
    known = isinstance(spec, LayerSpec) and "gives_anew" in vars(natively(spec.cls))
    return spec.name if known and spec.options.get("activation") is None else None


def _inside(chain: Chain) -> Iterator[Chain]:
    for step in chain:
        for branch in branches(step):
            yield branch
            yield from _inside(branch)


def checked_chain(title: str, chain: Any) -> Chain:
    """The chain, if it is one: else a TypeError that says which of the usual slips it has, and how to mend it."""
    if chain is None:
        raise TypeError(f"{title} is None: its method must `return` a list of steps.")
    if not isinstance(chain, Sequence):
        raise TypeError(f"{title} must be a list of steps; received {_described(chain)}. Write [...] around it.")
    for i, step in enumerate(chain):
        if isinstance(step, Split):
            for j, branch in enumerate(step.branches):
                checked_chain(f"branch {j} of '{step.merge.name}' in {title}", branch)
        elif isinstance(step, Fork):
            for name, branch in step.branches.items():
                checked_chain(f"branch '{name}' of {title}", branch)
        elif isinstance(step, Assign):
            checked_chain(f"'{step.name}' in {title}", step.chain)
        elif not isinstance(step, LayerSpec | Take):
            raise TypeError(f"step {i} of {title} is {_described(step)}. {_remedy(step)}")
    return chain


def _described(value: Any) -> str:
    return f"{value!r} of type {type(value).__name__}"


def _remedy(step: Any) -> str:
    if isinstance(step, (list, tuple)):
        return "A unit is several layers: unpack it, as in [*self.conv_unit(...), *self.conv_unit(...)]."
    if isinstance(step, type):
        return f"Write self.layer(name, {step.__name__}, ...) in its place."
    if hasattr(step, "get_config") and hasattr(step, "build"):
        return f"A chain says how to make a layer: write self.layer(name, {type(step).__name__}, ...) in its place."
    if callable(step):
        return "A function cannot be saved: write a registered keras.layers.Layer, and self.layer(name, cls, ...)."
    return "Steps come from self.layer, self.conv_unit, self.conv2d, self.norm, self.concatenate and the like."


def walk(chain: Chain, x: Any, visit: Callable[[Any, Any], Any]) -> Any:
    """Sends `x` through the chain. `visit(spec, x)` does one layer; a merge gets the list of its branches' results."""
    for step in chain:
        if isinstance(step, Split):
            x = visit(step.merge, [walk(branch, x, visit) for branch in step.branches])
        elif isinstance(step, Fork):
            x = {name: walk(branch, x, visit) for name, branch in step.branches.items()}
        elif isinstance(step, Take):
            x = x[step.name]
        elif isinstance(step, Assign):
            x = {**(x if isinstance(x, dict) else {}), step.name: walk(step.chain, x, visit)}
        else:
            x = visit(step, x)
    return x


def branches(step: Step) -> Iterator[Chain]:
    """The chains inside of a step."""
    if isinstance(step, Split):
        yield from step.branches
    elif isinstance(step, Fork):
        yield from step.branches.values()
    elif isinstance(step, Assign):
        yield step.chain


def specs(chain: Chain) -> Iterator[LayerSpec]:
    """The layers of a chain, each once, in the order in which `walk` first visits them."""
    seen = set()
    for spec in _visited(chain):
        if id(spec) not in seen:
            seen.add(id(spec))
            yield spec


def _visited(chain: Chain) -> Iterator[LayerSpec]:
    for step in chain:
        for branch in branches(step):
            yield from _visited(branch)
        if isinstance(step, Split):
            yield step.merge
        elif isinstance(step, LayerSpec):
            yield step
