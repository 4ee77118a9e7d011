"""Keras' graphs of layers: replayed, searched, made without weights. The one file that uses private names of Keras.

tests/test_doors.py names each of them, and fails where a version of Keras has one no longer.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

_UNINITIALIZED = "uninitialized_variables"

_patching = threading.Lock()
_here = threading.local()
_made_by: list[Callable[..., None]] = []
"""Keras' own constructor of variables, once for each one that is within `unallocated_and_compiled`."""


def replay(graph: keras.Function, inputs: Any, each: Callable[..., Any] = lambda operation: operation) -> Any:
    """Sends `inputs` through the graph of a functional model.

    Args:
        graph: a functional model, or another `keras.Function`.
        inputs: in the structure of the graph's inputs, tensors or whatever `each` takes.
        each: what is called in place of an operation, a layer or a function of `keras.ops`; by default itself.

    Returns:
        What the calls in place of the last ones return, in the structure of the graph's outputs.
    """
    return graph._run_through_graph(inputs, operation_fn=each)


def calls(graph: keras.Function) -> Iterator[tuple[Any, list[Any], list[Any]]]:
    """(operation, tensors it is given, tensors it gives) of each call in a graph, in the order of `replay`."""
    for node in nodes(graph):
        yield node.operation, list(node.input_tensors), list(node.output_tensors)


def nodes(graph: keras.Function) -> Iterator[Any]:
    """What Keras keeps of each call in a graph, in the order of `replay`."""
    by_depth = graph._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        yield from by_depth[depth]


def told_to_train(graph: keras.Function) -> list[Any]:
    """The operations that some call in a graph tells `training=True`, whatever the graph is told."""
    return [node.operation for node in nodes(graph) if node.arguments.kwargs.get("training") is True]


def is_input(tensor: keras.KerasTensor) -> bool:
    """Whether it is what `keras.Input` gave, rather than a layer's output."""
    history = getattr(tensor, "_keras_history", None)
    return history is not None and isinstance(history.operation, keras.layers.InputLayer)


def call_number(tensor: keras.KerasTensor) -> int:
    """Which of all calls of its layer, in the order in which they were made, gave a tensor."""
    return int(tensor._keras_history.node_index)


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers that a layer holds itself, without those inside of them."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def all_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """A layer, and all within it, such as those of wrappers and of models in models."""
    return list(layer._flatten_layers())


def counted_name(layer: Any) -> str | None:
    """The name that Keras gives layers of this class, without its number; `None` where this one has another."""
    words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
    base = re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()
    return base if re.fullmatch(rf"{base}(_\d+)?", str(layer.name)) else None


def renamed(operation: Any, name: str) -> Any:
    """A layer of another name that has all else in common with this one, weights too; or a function of `keras.ops`."""
    cls: Any = type(operation)
    other = cls.__new__(cls)
    bound = {"build", "quantize"}  # which Keras wraps for each layer
    common = {key: value for key, value in vars(operation).items() if key not in bound}
    vars(other).update(common, name=name)
    other._inbound_nodes, other._outbound_nodes = [], []
    return other


@contextlib.contextmanager
def unallocated() -> Iterator[None]:
    """Variables that are made within get no values: not now, nor later."""
    pending = list(global_state.get_global_attribute(_UNINITIALIZED, []))
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Keras lists the variables to initialize them at the end of the next scope: these must never be.
        global_state.set_global_attribute(_UNINITIALIZED, pending)


@contextlib.contextmanager
def unallocated_and_compiled() -> Iterator[None]:
    """As `unallocated`; besides, a model may be compiled within, whose optimizer makes variables of given values.

    Keras refuses those where variables get no values. Here they are made as those with an initializer, which gives the
    value. Other threads' variables are not touched.
    """
    with _patching:
        _made_by.append(_made_by[0] if _made_by else keras.Variable.__init__)
        keras.Variable.__init__ = _deferring(_made_by[0])
    _here.depth = getattr(_here, "depth", 0) + 1
    try:
        with unallocated():
            yield
    finally:
        _here.depth -= 1
        with _patching:
            own = _made_by.pop()
            if not _made_by:  # the last one within leaves Keras as it was
                keras.Variable.__init__ = own


def _deferring(make: Callable[..., None]) -> Callable[..., None]:
    """The constructor of variables, to which a value is a function that gives it, in threads that are `_here`."""

    def made(self: Any, initializer: Any, shape: Any = None, dtype: Any = None, *args: Any, **kwargs: Any) -> None:
        if getattr(_here, "depth", 0) and not callable(initializer) and not isinstance(initializer, str):
            value = keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(initializer, dtype=dtype))
            shape, dtype = np.shape(value), dtype or keras.backend.standardize_dtype(value.dtype)
            make(
                self, lambda shape, dtype=None: keras.ops.convert_to_tensor(value, dtype), shape, dtype, *args, **kwargs
            )
        else:
            make(self, initializer, shape, dtype, *args, **kwargs)

    return made


def only_computes(layer: Any) -> bool:
    """Whether a call of a built layer on tensors of its dtype is its `call`: nothing is cast, kept, run again or told.

    On PyTorch alone, whose modules tell hooks of their calls. Keras looks into all that at each call, which takes
    longer than the convolution of a small image.
    """
    policy = layer._dtype_policy
    scope = global_state.get_global_attribute("autocast_scope")
    casts = policy.variable_dtype if scope is None or not layer.autocast else scope.dtype
    return (
        layer.built
        and type(policy) is keras.dtype_policies.DTypePolicy
        and casts == policy.compute_dtype
        and layer.activity_regularizer is None
        and layer._remat_mode is None
        and not (layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks)
        and keras.distribution.distribution() is None
    )


def is_told(training: bool | None) -> bool:
    """Whether the call of a layer is under way that this is a part of, and was told the same of `training`."""
    context = global_state.get_global_attribute("current_call_ctx")
    return training is not None and context is not None and getattr(context, "training", None) == training


def is_stateless() -> bool:
    """Whether variables have the values that a `keras.StatelessScope` gives them, and keep none."""
    return global_state.get_global_attribute("stateless_scope") is not None


def is_masked(tensor: Any) -> bool:
    """Whether a layer has put a mask on a tensor."""
    return getattr(tensor, "_keras_mask", None) is not None


def begin_at(model: keras.Model, epoch: int) -> None:
    """Called when a training begins: it goes on after so many epochs, as Keras' own `BackupAndRestore` has it."""
    model._initial_epoch = epoch
