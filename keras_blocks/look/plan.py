"""What a block, an architecture or a model consists of, as a graph of nodes, from the declaration: nothing is built.

Tables, drawings and receptive fields all read a `Plan`.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_blocks.blocks.region_head import EachRegion
from keras_blocks.core.block import Block
from keras_blocks.core.chain import Chain, LayerSpec, ShapeTensor, walk
from keras_blocks.core.graphs import calls, replay, unallocated
from keras_blocks.core.layers import SETTINGS
from keras_blocks.core.shapes import check_fit, map_shapes, shapes_of, traced_shape, with_batch
from keras_blocks.core.signature import arguments
from keras_blocks.costs.cost import NO_COST, Cost, block_chain, block_key, shape_and_cost
from keras_blocks.costs.layer_costs import count_weights
from keras_blocks.models.network import Network
from keras_blocks.models.registry import architecture_of
from keras_blocks.models.tracing import holds_blocks, traced

INPUT: type = keras.layers.InputLayer


@dataclasses.dataclass(eq=False)
class Node:
    """A layer, a block or a function in one place.

    Attributes:
        name: in what it is part of.
        step: a `LayerSpec`, a layer that exists, or an operation; `None` for an input.
        given: the shape, or shapes, that it is given, with the batch.
        shape: the shape, or shapes, that it gives.
        inputs: the nodes that give it what it is given.
        cost: what it costs for one image; `None` where sizes are not known. Weights that are shared count once.
    """

    name: str
    step: Any = None
    given: Any = None
    shape: Any = None
    inputs: list["Node"] = dataclasses.field(default_factory=list)
    cost: Cost | None = NO_COST

    @property
    def cls(self) -> type:
        if self.step is None:
            return INPUT
        found: type = self.step.cls if isinstance(self.step, LayerSpec) else type(self.step)
        return found

    def option(self, name: str, default: Any = None) -> Any:
        """The value of an argument of the constructor."""
        if isinstance(self.step, LayerSpec):
            found = {**arguments(self.cls), **self.step.options}.get(name, default)
            return default if found is inspect.Parameter.empty else found
        return getattr(self.step, name, default)

    @property
    def declared(self) -> dict[str, Any]:
        """What a block was told that no other of its class is by default, but for what whole networks share."""
        defaults = {name: value for name, value in arguments(self.cls).items() if name not in SETTINGS}
        own = {name: self.option(name, default) for name, default in defaults.items()}
        return {name: value for name, value in own.items() if value != defaults[name]}

    @property
    def params(self) -> int | None:
        """Its parameters, where they are known."""
        if self.cost is None and isinstance(self.step, keras.layers.Layer) and self.step.built:
            return count_weights(self.step)
        return None if self.cost is None else self.cost.params

    def opened(self) -> "Plan | None":
        """What is inside; `None` for what is not made of blocks or of layers that can be told."""
        return self._inside

    @functools.cached_property
    def _inside(self) -> "Plan | None":
        step = self.step
        if isinstance(step, LayerSpec):
            if not issubclass(step.cls, Block):
                return None
            return plan_of_chain(block_chain(*block_key(step, self.given))[0], self.given)
        if isinstance(step, Block):
            return plan_of_chain(step.chain_for(self.given), self.given)
        if isinstance(step, keras.Model) or (isinstance(step, keras.layers.Layer) and holds_blocks(step)):
            try:
                return plan_of_model(step, self.given)
            except ValueError:  # of a `call` that cannot be traced
                return None
        return None


@dataclasses.dataclass(eq=False)
class Plan:
    """Nodes in the order of the forward pass; each comes behind those that it is given something by."""

    nodes: list[Node] = dataclasses.field(default_factory=list)
    inputs: list[Node] = dataclasses.field(default_factory=list)
    outputs: list[Node] = dataclasses.field(default_factory=list)
    weighed: set[int] = dataclasses.field(default_factory=set)

    def input(self, name: str, shape: Any, dtype: str = "float32") -> "Traced":
        node = Node(name, shape=tuple(shape))
        self.nodes.append(node)
        self.inputs.append(node)
        return Traced(shape, node, self, dtype)

    def ends(self, x: Any) -> "Plan":
        """The plan, which ends with these tensors."""
        self.outputs = list({id(leaf.node): leaf.node for leaf in _traced_in(x)}.values())
        return self

    def add(self, step: Any, x: Any) -> Any:
        """A layer or block applied to a `Traced`, or a structure of them."""
        given = shapes_of(x)
        shape, spent = _counted(step, given)
        return self.noted(step, step.name, x, given, shape, spent)

    def noted(self, step: Any, name: str, x: Any, given: Any, shape: Any, spent: Cost | None) -> Any:
        if spent is not None and id(step) in self.weighed:
            spent = spent._replace(params=0)
        self.weighed.add(id(step))
        sources = list({id(leaf.node): leaf.node for leaf in _traced_in(x)}.values())
        node = Node(name, step, given, shape, sources, spent)
        self.nodes.append(node)
        return _wrapped(shape, node, self)


class Traced(ShapeTensor):
    """A tensor of which the shape is known, and the node that gives it."""

    __slots__ = ("dtype", "node", "plan")

    def __init__(self, shape: Any, node: Node, plan: Plan, dtype: str = "float32"):
        super().__init__(shape, plan.add)
        self.node, self.plan, self.dtype = node, plan, dtype

    def through(self, step: Any, together: Any = None) -> Any:
        return self.plan.add(step, self if together is None else together)


def plan_of(target: Any, input_shape: Any = None, **metaparameters: Any) -> Plan:
    """The plan of what `draw`, `summary` and `cost_rows` take.

    Args:
        target: a block or other layer; a model; an architecture's class, outline, or a variant's name.
        input_shape: (height, width, channels), without the batch; of several inputs a dict of such.
        **metaparameters: of an architecture's class or name.

    Raises:
        TypeError: for a target of another kind.
        ValueError: for a block of which the input is not known; for an unknown name; for a misfit.
    """
    if isinstance(target, str):
        cls = architecture_of(target)
        target, metaparameters = cls, {**cls.variants[target], **metaparameters}
    if isinstance(target, type) and issubclass(target, Network):
        if input_shape is not None:
            metaparameters["input_shape"] = input_shape
        return _plan_of_architecture(target, metaparameters)
    if metaparameters:
        raise TypeError(f"metaparameters go with an architecture's class or name; received {sorted(metaparameters)}.")
    if not isinstance(target, keras.layers.Layer):
        raise TypeError(
            f"`target` must be a block or other layer, a model, an architecture's class or a variant's name; received "
            f"{target!r}."
        )
    if isinstance(target, Network) and not target.assembly.ends:
        return _plan_of_outline(target)
    if isinstance(target, keras.Model):
        return plan_of_model(target, None if input_shape is None else with_batch(input_shape))
    shape = with_batch(input_shape) if input_shape is not None else _built_shape(target)
    if isinstance(target, Block):
        return plan_of_chain(target.chain_for(shape), shape)
    plan = Plan()
    return plan.ends(plan.add(target, _inputs(plan, shape)))


def plan_of_chain(chain: Chain, shape: Any) -> Plan:
    """The plan of a block's chain, for inputs of this shape."""
    plan = Plan()
    return plan.ends(walk(chain, _inputs(plan, shape), plan.add))


def plan_of_model(model: Any, shape: Any = None) -> Plan:
    """The plan of a model, or of a layer that holds others; a shape with the batch, or `None` for its own."""
    plan = Plan()
    if shape is not None and isinstance(model, keras.Sequential | keras.Function) and model.built:
        for tensor, one in zip(model.inputs, keras_shapes(shape)):
            check_fit(tensor.shape, one)
    if isinstance(model, keras.Sequential):
        x = _inputs(plan, _built_shape(model) if shape is None else shape)
        for layer in model.layers:
            x = plan.add(layer, x)
        return plan.ends(x)
    if isinstance(model, keras.Function):
        graph, shapes = model, [tensor.shape for tensor in model.inputs] if shape is None else keras_shapes(shape)
    else:
        shapes = keras_shapes(_built_shape(model) if shape is None else shape)
        inputs = [keras.KerasTensor((None, *one[1:]), "float32") for one in shapes]
        graph, _ = traced(model, tuple(inputs), {})
    inputs = [plan.input(tensor.name, one, tensor.dtype) for tensor, one in zip(graph.inputs, shapes, strict=True)]
    made: dict[int, list[Any]] = {}  # with the shapes that the graph was made for, what each operation gave in turn
    for operation, _, outputs in calls(graph) if shape is None else ():
        made.setdefault(id(operation), []).append(outputs[0] if len(outputs) == 1 else outputs)
    return plan.ends(replay(graph, inputs, lambda operation: _note(plan, operation, made.get(id(operation)))))


def _note(plan: Plan, operation: Any, made: list[Any] | None) -> Callable[..., Any]:
    """What stands for an operation of a graph while it is replayed, with the shapes that it was made for or others."""

    def run(*args: Any, **kwargs: Any) -> Any:
        leaves = _traced_in((args, kwargs))
        if not leaves:
            return operation(*args, **kwargs)
        symbolic = {id(leaf): keras.KerasTensor(leaf.shape, leaf.dtype) for leaf in leaves}
        given, options = keras.tree.map_structure(lambda value: symbolic.get(id(value), value), (args, kwargs))
        spec = made.pop(0) if made else operation.compute_output_spec(*given, **options)
        shape = shapes_of(spec)
        taken = args[0] if len(leaves) == len(_traced_in(args[:1])) else leaves
        spent: Cost | None = NO_COST
        if isinstance(operation, keras.layers.Layer):
            flat = [leaf.shape for leaf in leaves]
            before = shapes_of(taken) if isinstance(operation, Block) else flat[0] if len(flat) == 1 else flat
            after = keras_shapes(shape)
            spent = _spent(operation, before, after[0] if len(after) == 1 else after)
        return plan.noted(operation, operation.name, taken, shapes_of(taken), shape, spent)

    return run


def _all_known(given: Any) -> bool:
    return all(size is not None for one in keras_shapes(given) for size in one[1:])


def _spent(step: Any, given: Any, after: Any) -> Cost | None:
    if not _all_known([given, after]):
        return None
    if not isinstance(step, Block | EachRegion) and holds_blocks(step):
        try:
            inner = [node.cost or NO_COST for node in plan_of_model(step, given).nodes]
        except ValueError:
            pass  # its `call` cannot be traced: its multiply-adds are not known, which the count says
        else:
            return sum(inner, start=NO_COST)._replace(params=count_weights(step))
    return shape_and_cost(step, given, after)[1]


def _counted(step: Any, given: Any) -> tuple[Any, Cost | None]:
    """(output shape, Cost) of a step; without a cost where a size is not known."""
    own = isinstance(step, keras.layers.Layer) and not isinstance(step, Block | EachRegion | keras.Model)
    if own and holds_blocks(step):
        shape = traced_shape(step, given)
        return shape, _spent(step, given, shape)
    if _all_known(given):
        return shape_and_cost(step, given)
    shape = traced_shape(step.make() if isinstance(step, LayerSpec) else step, given)
    return (shape if isinstance(shape, (Mapping, list)) else tuple(shape)), None


def _plan_of_architecture(cls: type[Network], metaparameters: Mapping[str, Any]) -> Plan:
    """From its parts, with no layer made; or else of a model whose weights get no values."""
    with unallocated():
        if len(cls.input_names) == 1:
            try:
                return _plan_of_outline(cls.outline(**metaparameters))
            except (AttributeError, TypeError, ValueError):
                pass  # parts of Keras' own layers, which take no shapes; what is wrong in itself is refused below
        return plan_of_model(cls(**metaparameters))


def _plan_of_outline(outline: Network) -> Plan:
    plan = Plan()
    x = plan.input(outline.input_names[0], (None, *outline.metaparameters.input_shape))
    return plan.ends(outline.assemble(x))


def _inputs(plan: Plan, shape: Any) -> Any:
    if isinstance(shape, Mapping):
        return {name: plan.input(name, one) for name, one in shape.items()}
    if isinstance(shape, list):
        return [plan.input(f"input {i}", one) for i, one in enumerate(shape, start=1)]
    return plan.input("input", shape)


def _wrapped(shape: Any, node: Node, plan: Plan) -> Any:
    if isinstance(shape, Mapping):
        return {name: _wrapped(one, node, plan) for name, one in shape.items()}
    if isinstance(shape, list):
        return [_wrapped(one, node, plan) for one in shape]
    return Traced(shape, node, plan)


def _traced_in(x: Any) -> list[Traced]:
    return [leaf for leaf in keras.tree.flatten(x) if isinstance(leaf, Traced)]


def keras_shapes(shape: Any) -> list[Any]:
    """Each of the shapes in a shape or a structure of them."""
    if isinstance(shape, Mapping):
        return [one for item in shape.values() for one in keras_shapes(item)]
    if isinstance(shape, list) or (shape and isinstance(shape[0], (list, tuple, Mapping))):
        return [one for item in shape for one in keras_shapes(item)]
    return [tuple(shape)]


def _built_shape(layer: keras.layers.Layer) -> Any:
    """The shape that a layer was built for."""
    known = (layer.get_build_config() if layer.built else None) or {}
    shape = known.get("input_shape")
    if shape is None:
        raise ValueError(
            f"{type(layer).__name__} '{layer.name}' is not built, so it does not know what it will be given: give "
            "`input_shape`, such as (224, 224, 3), without the batch."
        )
    return map_shapes(lambda one: (None, *one[1:]), shape)
