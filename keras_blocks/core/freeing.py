"""A graph of layers run with each tensor given up once no other layer takes it.

Keras keeps all that its layers give until the last one is done. Where each layer is a call, as on PyTorch, this is
memory that the next layer could have had: the operating system gives other memory in its place, page by page.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import keras

from keras_blocks.core.graphs import calls, is_masked, replay
from keras_blocks.ops import torch_images

_known: WeakKeyDictionary[keras.Function, list[list[int]]] = WeakKeyDictionary()
"""What `_uses` gave for each model that was run."""


def _uses(graph: keras.Function) -> list[list[int]]:
    """How many places take each tensor of a graph: for each call, in their order, of each of its outputs."""
    made = list(calls(graph))
    taken = Counter(id(tensor) for tensor in graph.outputs)
    for _, inputs, _ in made:
        taken.update(map(id, inputs))
    return [[taken[id(x)] for x in outputs] for _, inputs, outputs in made if inputs]


class _Held:
    """Stands for a tensor in a graph."""

    __slots__ = ("left", "tensor")

    def __init__(self, tensor: Any, left: int):
        self.tensor = tensor if left else None
        self.left = left

    def take(self) -> Any:
        tensor = self.tensor
        self.left -= 1
        if not self.left:
            self.tensor = None
        return tensor


def runs_freeing(model: Any, inputs: Any) -> bool:
    """Whether a model may be run by `run_freeing`: of one plain tensor, which is what it was made for."""
    if not torch_images.is_backend() or len(model.inputs) != 1:
        return False
    (wanted,) = model.inputs
    plain = torch_images.are_plain([inputs], wanted.dtype) and inputs.ndim == len(wanted.shape)
    return plain and not is_masked(inputs)


def run_freeing(model: Any, inputs: Any, training: bool | None) -> Any:
    """What a functional model's own `call` gives for a tensor that `runs_freeing` holds of."""
    if model not in _known:
        _known[model] = _uses(model)
    counts = iter(_known[model])
    flag = {} if training is None else {"training": training}

    def each(operation: Any) -> Callable[..., Any]:
        lefts = next(counts)
        flags = flag if isinstance(operation, keras.layers.Layer) else {}
        return lambda *args, **kwargs: _called(operation, lefts, args, {**kwargs, **flags})

    first = _Held(keras.ops.convert_to_tensor(inputs), -1)  # the caller has it, too
    outputs = keras.tree.map_structure(lambda held: held.tensor, replay(model, [first], each))
    return outputs[0] if isinstance(outputs, list | tuple) and len(outputs) == 1 else outputs


def _called(operation: Any, lefts: Sequence[int], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    outputs = operation(*map(_taken, args), **{name: _taken(value) for name, value in kwargs.items()})
    if len(lefts) == 1 and not isinstance(outputs, list | tuple | dict):
        return _Held(outputs, lefts[0])
    return keras.tree.pack_sequence_as(outputs, list(map(_Held, keras.tree.flatten(outputs), lefts)))


def _taken(argument: Any) -> Any:
    """An argument of a layer with tensors for what stands for them."""
    if isinstance(argument, _Held):
        return argument.take()
    if isinstance(argument, list | tuple | dict):
        return keras.tree.map_structure(_taken, argument)
    return argument
