"""The layers of a plan one by one, with all blocks opened, in the order of the forward pass."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_blocks.core.block import Block
from keras_blocks.look.plan import Node, Plan


@dataclasses.dataclass(eq=False, slots=True)
class Operation:
    """A layer, in one place.

    Attributes:
        node: the layer, with its shapes and its cost.
        inputs: those that give it what it is given; none for an input of the model.
        row: the node of the plan that it is, or that it is in.
        group: the block that a training computes again in its backward pass, where it is in one.
    """

    node: Node
    inputs: list["Operation"]
    row: Node
    group: Node | None = None


def operations_of(plan: Plan, remat: bool | None = None) -> list[Operation]:
    """The layers of a plan.

    Args:
        plan: a `Plan`.
        remat: whether each block computes its inner activations again in the backward pass; `None` for what it says.
    """
    found: list[Operation] = []
    _open(plan, {}, found, remat, None, None)
    return found


def _open(
    plan: Plan,
    given: Mapping[int, list[Operation]],
    found: list[Operation],
    remat: bool | None,
    row: Node | None,
    group: Node | None,
) -> list[Operation]:
    """Adds the layers of a plan, of which what gives its inputs is known by their nodes' ids. Returns its outputs."""
    made: dict[int, list[Operation]] = {}
    for node in plan.nodes:
        top = row or node
        sources = list({id(one): one for source in node.inputs for one in made[id(source)]}.values())
        inside = node.opened() if node.step is not None else None
        if inside is not None:
            again = group or (node if _is_computed_again(node, inside, remat) else None)
            made[id(node)] = _open(inside, _paired(inside, node, made), found, remat, top, again)
        elif id(node) in given:
            made[id(node)] = given[id(node)]
        else:
            found.append(Operation(node, sources, top, group))
            made[id(node)] = [found[-1]]
    return list({id(one): one for node in plan.outputs for one in made[id(node)]}.values())


def _paired(inside: Plan, node: Node, made: Mapping[int, list[Operation]]) -> dict[int, list[Operation]]:
    """The inputs of what is in a node, by their ids, and what gives each: of several that are not told apart, all."""
    each = [made[id(source)] for source in node.inputs]
    if len(each) != len(inside.inputs):
        every = [one for some in each for one in some]
        return {id(one): every for one in inside.inputs}
    order = sorted(inside.inputs, key=lambda one: one.name) if isinstance(node.given, Mapping) else inside.inputs
    return {id(one): some for one, some in zip(order, each)}


def _is_computed_again(node: Node, inside: Plan, remat: bool | None) -> bool:
    """Whether it is a block that keeps its input alone; one of blocks alone leaves that to each of them."""
    if not issubclass(node.cls, Block):
        return False
    asked: Any = node.option("remat", False) if remat is None else remat
    return bool(asked) and not all(one.step is None or issubclass(one.cls, Block) for one in inside.nodes)
