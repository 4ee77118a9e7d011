"""A graph of layers run with each tensor given up once no other layer takes it.

Keras keeps all that its layers give until the last one is done. Where each layer is a call, as on PyTorch, this is
memory that the next layer could have had: the operating system gives other memory in its place, page by page.
"""

from typing import Any

import keras

from keras_blocks.core.graphs import is_masked, nodes
from keras_blocks.core.native_layers import makes_anew
from keras_blocks.ops import torch_images

_PLAN = "_plan_of_freeing"


class _Step:
    """A call in a graph, whose tensors have numbers."""

    __slots__ = (
        "arguments",
        "given",
        "gives",
        "is_layer",
        "is_plain",
        "last",
        "maker",
        "operation",
        "place",
        "tensors",
    )

    def __init__(self, node: Any, numbers: dict[int, int]):
        self.operation = node.operation
        self.is_layer = isinstance(node.operation, keras.layers.Layer)
        self.tensors = list(node.input_tensors)
        self.given = [numbers[id(x)] for x in self.tensors]
        self.gives = [numbers.setdefault(id(x), len(numbers)) for x in node.output_tensors]
        self.arguments = node.arguments
        self.is_plain = _is_plain(node.arguments, self.tensors)
        self.last: list[int] = []
        """Tensors that no later call takes."""
        self.maker: Any = None
        """The layer that made one of the tensors, of one or two, for this call alone."""
        self.place: int | None = None
        """Of that tensor among two."""

    def makes_anew(self) -> bool:
        """Whether it gives one tensor, which it keeps nowhere, nor was given; the sum of one tensor is that tensor."""
        alone = isinstance(self.operation, keras.layers.Add) and len(self.given) < 2
        return len(self.gives) == 1 and makes_anew(self.operation) and not alone

    def filled(self, values: list[Any]) -> tuple[Any, Any]:
        """The call's arguments, with values for its tensors."""
        if self.is_plain:
            found = [values[number] for number in self.given]
            return (found if isinstance(self.arguments.args[0], list) else found[0],), {}
        given = {id(x): values[number] for x, number in zip(self.tensors, self.given)}
        filled: tuple[Any, Any] = self.arguments.fill_in(given)
        return filled


def _is_plain(arguments: Any, tensors: list[Any]) -> bool:
    """Whether a layer is given its tensor, or a list of them, and nothing else, but for the mask that Keras notes."""
    args, kwargs = arguments.args, arguments.kwargs
    if len(args) != 1 or kwargs not in ({}, {"mask": None}):
        return False
    given = args[0] if isinstance(args[0], list) else [args[0]]
    return len(given) == len(tensors) and all(one is other for one, other in zip(given, tensors))


class _Plan:
    """A functional model's calls in turn; the input is number 0."""

    def __init__(self, model: Any):
        numbers = {id(model.inputs[0]): 0}
        self.steps = [_Step(node, numbers) for node in nodes(model) if node.operation and not node.is_input]
        self.outputs = [numbers[id(x)] for x in model.outputs]
        self.count = len(numbers)
        taken = [0] * self.count
        for number in self.outputs:
            taken[number] += 1
        made_by: dict[int, _Step] = {}
        for step in self.steps:
            made_by.update(dict.fromkeys(step.gives, step))
            for number in step.given:
                taken[number] += 1
        seen = set(self.outputs)
        for step in reversed(self.steps):
            step.last = [number for number in set(step.given) if number not in seen]
            seen.update(step.given)
        for step in self.steps:
            if step.is_plain and hasattr(step.operation, "overwriting") and len(step.given) == step.operation.takes:
                makers = [made_by.get(number) if taken[number] == 1 else None for number in step.given]
                for place, maker in enumerate(makers):
                    if maker and maker.makes_anew():
                        step.maker, step.place = maker.operation, place if len(makers) == 2 else None
                        break


def runs_freeing(model: Any, inputs: Any) -> bool:
    """Whether a model may be run by `run_freeing`: of one plain tensor, which is what it was made for."""
    if not torch_images.is_backend() or len(model.inputs) != 1:
        return False
    (wanted,) = model.inputs
    plain = torch_images.are_plain([inputs], wanted.dtype) and inputs.ndim == len(wanted.shape)
    return plain and not is_masked(inputs)


def run_freeing(model: Any, inputs: Any, training: bool | None) -> Any:
    """What a functional model's own `call` gives for a tensor that `runs_freeing` holds of.

    In inference activations and sums take the memory of what was made for them alone.
    """
    plan: _Plan = vars(model).get(_PLAN) or vars(model).setdefault(_PLAN, _Plan(model))
    flags = {} if training is None else {"training": training}
    values: list[Any] = [None] * plan.count
    values[0] = keras.ops.convert_to_tensor(inputs)
    for step in plan.steps:
        operation = step.operation
        args, kwargs = step.filled(values)
        for number in step.last:
            values[number] = None
        if step.maker is not None and operation.may_overwrite(args[0], step.maker):
            outputs = operation.overwriting(args[0], step.place)
        else:
            outputs = operation(*args, **{**kwargs, **flags}) if step.is_layer else operation(*args, **kwargs)
        if len(step.gives) == 1 and not isinstance(outputs, list | tuple | dict):
            values[step.gives[0]] = outputs
        else:
            for number, value in zip(step.gives, keras.tree.flatten(outputs)):
                values[number] = value
    found = keras.tree.pack_sequence_as(model.output, [values[number] for number in plan.outputs])
    return found[0] if isinstance(found, list | tuple) and len(found) == 1 else found


class Functional(keras.Model):
    """Keras' functional model, which is run by `run_freeing` where that holds; in files it is Keras'.

    Keras puts its own among the bases when the first one is made, as for every class of models.
    """

    __module__ = "keras.src.models.functional"

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None, **kwargs: Any) -> Any:
        if mask is None and not kwargs and runs_freeing(self, inputs):
            return run_freeing(self, inputs, training)
        return super().call(inputs, training=training, mask=mask, **kwargs)

    def __reduce__(self) -> Any:
        """Pickle finds a class by its name, which is that of Keras' own, and so it is what comes back."""
        make, *rest = super().__reduce__()
        theirs: Any = next(cls for cls in type(self).__mro__[1:] if cls.__name__ == type(self).__name__)
        return (getattr(theirs, make.__name__), *rest)


def functional(inputs: Any, outputs: Any, name: str | None = None) -> keras.Model:
    """A functional model, which on PyTorch gives up tensors early."""
    return (Functional if torch_images.is_backend() else keras.Model)(inputs, outputs, name=name)
