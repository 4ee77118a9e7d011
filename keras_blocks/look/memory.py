"""The memory that a model takes in inference and in training, before anything is built."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from keras_blocks.core import validation
from keras_blocks.look.operations import Operation, operations_of
from keras_blocks.look.plan import Plan, keras_shapes, plan_of
from keras_blocks.look.timeline import Timeline, bytes_of

GRADIENTS = 0.5
"""Share of the weights' gradients that are there at the peak: each is used when it is known."""


class Memory(NamedTuple):
    """Bytes that are taken at most at a time.

    Attributes:
        inference: by the weights and what is computed, for a batch.
        training: by a step: weights, what the optimizer keeps of them, gradients, and what the backward pass needs.
    """

    inference: int
    training: int


class RowMemory(NamedTuple):
    """Bytes of what is computed for one image, without weights, that are alive at most while a block runs.

    Attributes:
        inference: in inference.
        training: in its forward and its backward pass.
        remat: the same where every block has `remat=True`.
    """

    inference: int
    training: int
    remat: int


def memory(
    target: Any,
    input_shape: Any = None,
    *,
    batch_size: int = 1,
    slots: int = 2,
    remat: bool | None = None,
    **metaparameters: Any,
) -> Memory:
    """The most memory that inference and a step of training take, with nothing built.

    It is what XLA assigns on JAX's CPU; docs/benchmarks.md has how near it comes. What runs layer by layer, as PyTorch,
    keeps more, and libraries take some for themselves.

    Args:
        target: a block; a model; an architecture's class, or a variant's name.
        input_shape: (height, width, channels), without the batch; by default a model's own.
        batch_size: images in the batch.
        slots: numbers that the optimizer keeps for each trainable weight: 2 for Adam, 1 for SGD with momentum.
        remat: whether every block has `remat=True`; `None` for what each says. XLA's scheduler on a CPU makes little of
            it; TensorFlow runs what is computed again when it is needed, as it is counted here.
        **metaparameters: the constructor's arguments, where `target` is an architecture's class or a name.

    Returns:
        `Memory(inference, training)`, in bytes.

    Raises:
        TypeError: for a target of another kind.
        ValueError: for a number out of range, a shape that is not known, an unknown name.

    Example:

    >>> import keras_blocks
    >>> step = keras_blocks.memory("resnet50", batch_size=32)
    >>> round(step.training / 2**30, 1)
    3.0
    """
    batch_size = validation.integer("batch_size", batch_size)
    slots = validation.integer("slots", slots, least=0, most=16)
    plan = plan_of(target, input_shape, **metaparameters)
    if not sizes_are_known(plan):
        raise ValueError("`input_shape` must be given, with all sizes known, as the target has none of its own.")
    steps = operations_of(plan, validation.optional(validation.boolean, "remat", remat))
    weights, trainable = weight_bytes(steps)
    images = sum(bytes_of(one.node) for one in steps if one.node.step is None)
    inference = weights + batch_size * (images + Timeline(steps, training=False).most)
    step = weights + round((slots + GRADIENTS) * trainable) + batch_size * (images + Timeline(steps).most)
    return Memory(inference, step)


def sizes_are_known(plan: Plan) -> bool:
    """Whether nothing of a plan has a size that depends on the image."""
    shapes = [shape for node in plan.nodes for shape in (*keras_shapes(node.given or []), *keras_shapes(node.shape))]
    return all(node.cost is not None for node in plan.nodes) and all(None not in shape[1:] for shape in shapes)


def memory_of_rows(plan: Plan) -> dict[int, RowMemory]:
    """The id of each node of a plan -> its memory. The plan's sizes must be known."""
    declared = operations_of(plan)
    lines = (
        Timeline(declared, training=False),
        Timeline(declared),
        Timeline(operations_of(plan, remat=True)),
    )
    found = [line.by_row() for line in lines]
    return {key: RowMemory(*(one.get(key, 0) for one in found)) for key in found[1]}


def weight_bytes(steps: Sequence[Operation]) -> tuple[int, int]:
    """Bytes of all weights, and of the trainable ones."""
    every = trained = 0
    seen = set()
    for one in steps:
        step, row = one.node.step, one.row
        again = row is not one.node and row.cost is not None and row.cost.params == 0  # it stands before, too
        if again or id(step) in seen:
            continue
        if isinstance(step, keras.layers.Layer):  # specs of equal blocks are one object
            seen.add(id(step))
        params = 4 * (one.node.params or 0)
        every += params
        if one.node.cls.__name__ == "BatchNormalization":
            own = int(one.node.option("scale", True)) + int(one.node.option("center", True))
            params = params * own // (2 + own)
        trained += params * all(getattr(each, "trainable", True) for each in (step, row.step))
    return every, trained
