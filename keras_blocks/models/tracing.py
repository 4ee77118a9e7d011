"""A model's graph with its blocks opened: every layer in it is Keras' own."""

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_blocks.blocks.region_head import EachRegion
from keras_blocks.core.block import Block
from keras_blocks.core.graphs import renamed, replay, sublayers
from keras_blocks.core.layers import penalized
from keras_blocks.typing import Tensor

Note = Callable[[Any, Any], None]
Called = Callable[[Any], Any]
"""Of a layer, or a function of `keras.ops`, to what is called in its place."""


def opened(model: keras.layers.Layer, x: Any, note: Note = lambda part, outputs: None) -> Any:
    """A model, or a layer that holds blocks, applied to `x`, a tensor or several, with all blocks in it opened.

    Models within are opened, too, and layers that hold blocks, whose `call` is traced. `note` is told what each block,
    and each model within, gives.

    Raises:
        ValueError: for a layer that holds blocks and whose `call` cannot be traced.
    """
    return penalized(model, _opened(model, x, None, note, _apart(model, note)))


def _opened(model: Any, x: Any, training: bool | None, note: Note, called: Called) -> Any:
    """The same; `training` is what the graph around it has told the model: it tells its layers."""
    told = {} if training is None else {"training": training}

    def open_operation(operation: Any) -> Any:
        if isinstance(operation, Block) or _is_graph(operation) or _is_traced(operation):
            return lambda *inner, **own: _noted(operation, inner, {**own, **told}, note, called)
        if isinstance(operation, keras.layers.Layer):
            return lambda *inner, **own: called(operation)(*inner, **{**own, **told})
        return called(operation)

    if _is_traced(model) or not _is_graph(model):  # a user's own model, whether there are blocks in it or not
        graph, inputs = traced(model, (x,), told)
        return replay(graph, inputs, open_operation)
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            x = open_operation(layer)(x)
        return x
    return replay(model, keras.tree.flatten(x), open_operation)


def _apart(model: Any, note: Note) -> Called:
    """What tells layers of one name apart, as two networks of one architecture within a model have them.

    Those of models within get the model's name in front, and share their weights with what they stand for, whose
    outputs `note` is told; those of the model itself keep theirs.
    """
    named: dict[str, dict[int, tuple[Any, str]]] = {}
    for part, owner in _parts(model, ""):
        named.setdefault(part.name, {}).setdefault(id(part), (part, owner))
    stand_ins: dict[int, Any] = {}
    taken = {*named}
    for found in [found for found in named.values() if len(found) > 1]:
        for part, owner in found.values():
            if owner:
                name = _free(f"{owner}{part.name}", taken)
                taken.add(name)
                stand_ins[id(part)] = _standing_in(part, name, note)
    return lambda part: stand_ins.get(id(part), part)


def _free(name: str, taken: set[str]) -> str:
    numbered = (f"{name}_{number}" for number in itertools.count(1))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)


def _standing_in(part: Any, name: str, note: Note) -> Callable[..., Any]:
    other = renamed(part, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        outputs = other(*args, **kwargs)
        note(part, outputs)
        return outputs

    return call


def _parts(layer: Any, owner: str) -> Iterator[tuple[Any, str]]:
    """What is left of a layer when it is opened, with the names of the models within that it is in."""
    for part in _inside(layer):
        if isinstance(part, Block):
            yield from _parts(part, owner)
        elif _is_graph(part) or _is_traced(part):
            yield from _parts(part, f"{owner}{part.name}_")
        elif not isinstance(part, keras.layers.InputLayer):
            yield part, owner


def _inside(layer: Any) -> list[Any]:
    is_function = isinstance(layer, keras.Function) and not isinstance(layer, keras.Sequential)
    return layer.operations if is_function and not _is_traced(layer) else sublayers(layer)


def traced(layer: keras.layers.Layer, args: Any, kwargs: dict[str, Any]) -> tuple[keras.Function, list[Any]]:
    """The graph of what a layer's `call` does, and those of its arguments that are the graph's inputs.

    Raises:
        ValueError: where its `call` does not work on Keras tensors, or it has weights that no layer in it holds.
    """
    title = f"the {type(layer).__name__} '{layer.name}'"
    if own := _own_weights(layer):
        raise ValueError(
            f"{title} cannot be opened: its weight '{own[0].name}' belongs to no layer inside of it, and so would be "
            "none of the flat model's. Put it into a layer of its own."
        )
    tells = "training" in inspect.signature(layer.call).parameters
    flags = {"training": kwargs["training"]} if tells and kwargs.get("training") is not None else {}
    rest = {name: value for name, value in kwargs.items() if name != "training"}
    given = [tensor for tensor in keras.tree.flatten((args, rest)) if isinstance(tensor, keras.KerasTensor)]
    graph = _graph_of(title, layer, args, {**rest, **flags}, given)
    if tells and not flags:
        in_training = _graph_of(title, layer, args, {**rest, "training": True}, given)
        if _operations(graph) != _operations(in_training):
            warnings.warn(
                f"{title} has other layers in training than otherwise: the flat model has those of inference, always.",
                stacklevel=2,
            )
    return graph, [_as_computed(layer, tensor) for tensor in given]


def holds_blocks(layer: keras.layers.Layer) -> bool:
    """Whether there is a block anywhere inside of a layer or a model."""
    return any(isinstance(part, Block) or holds_blocks(part) for part in sublayers(layer))


def _noted(operation: Any, inner: Any, own: dict[str, Any], note: Note, called: Called) -> Any:
    """What a block, a model or a layer that holds blocks gives, opened."""
    if isinstance(operation, Block):
        outputs = operation.expanded(inner[0], called, **own)
    elif _is_traced(operation):
        graph, inputs = traced(operation, inner, own)
        outputs = penalized(operation, _opened(graph, inputs, own.get("training"), note, called))
    else:
        outputs = _opened(operation, inner[0], own.get("training"), note, called)
    note(operation, outputs)
    return outputs


def _is_graph(operation: Any) -> bool:
    return isinstance(operation, keras.Sequential | keras.Function)


def _is_traced(operation: Any) -> bool:
    """Whether what it does is in its `call` alone, round a graph or a block. Regions are seen one by one: not so."""
    if not isinstance(operation, keras.layers.Layer) or isinstance(operation, Block | EachRegion):
        return False
    caller = next(base for base in type(operation).__mro__ if "call" in vars(base))
    ours = caller.__module__.partition(".")[0] in ("keras", "keras_blocks")
    return not ours if _is_graph(operation) else holds_blocks(operation)


def _own_weights(layer: keras.layers.Layer) -> list[Any]:
    """The weights that a layer has beside those of the layers inside of it."""
    inside = {id(weight) for part in sublayers(layer) for weight in part.weights}
    return [weight for weight in layer.weights if id(weight) not in inside]


def _graph_of(title: str, layer: Any, args: Any, kwargs: dict[str, Any], given: list[Any]) -> keras.Function:
    fresh = {id(tensor): keras.KerasTensor(tensor.shape, _computed_dtype(layer, tensor)) for tensor in given}
    fresh = {key: keras.Input(batch_shape=spec.shape, dtype=spec.dtype) for key, spec in fresh.items()}
    args, kwargs = keras.tree.map_structure(lambda value: fresh.get(id(value), value), (args, kwargs))
    try:
        return keras.Function(list(fresh.values()), layer.call(*args, **kwargs))
    except Exception as error:  # whatever a user's `call` raises on what is no array
        raise ValueError(
            f"{title} holds blocks and cannot be opened: its `call`, traced with Keras tensors, raised "
            f"{type(error).__name__}: {error}. What is made of Keras layers and functions of keras.ops can be traced."
        ) from error


def _operations(graph: keras.Function) -> list[Any]:
    """The graph's layers themselves, and the kinds of what is no layer; inputs are new each time."""
    found = [operation for operation in graph.operations if not isinstance(operation, keras.layers.InputLayer)]
    return [one if isinstance(one, keras.layers.Layer) else type(one).__name__ for one in found]


def _computed_dtype(layer: Any, tensor: Any) -> str:
    """The dtype in which a layer's `call` gets a tensor."""
    is_float = "float" in tensor.dtype
    return str(layer.compute_dtype if is_float and layer.autocast and layer.compute_dtype else tensor.dtype)


def _as_computed(layer: Any, tensor: Tensor) -> Tensor:
    dtype = _computed_dtype(layer, tensor)
    return tensor if tensor.dtype == dtype else keras.ops.cast(tensor, dtype)
