"""ONNX of large models from TensorFlow, whose converter keeps each constant some fifty times over.

tf2onnx 1.17 copies the graph for each of its optimizations, and each node's constants within it once more, and none of
it is given back before it is done: 40 MB of weights take 2 GB, 200 MB 14. So kernels are inputs of what it converts,
and are put into the file afterwards.
"""

import math
from typing import Any

import keras
import numpy as np

from keras_blocks.deploy.runtimes import specs_of

LARGE = 2**20
"""Weights of a model from which on it is done; below, the converter takes 300 MB at most."""

KERNEL = 2**14
"""Weights of a variable that becomes an input. The others are few, and what is made of constants is computed once."""


def is_large(model: keras.Model) -> bool:
    return bool(model.count_params() >= LARGE)


def write_onnx(model: keras.Model, path: str, inputs: Any) -> None:
    """Writes what `model.export(path, format="onnx")` would.

    Args:
        model: a functional one.
        path: of the file.
        inputs: some of the model's.
    """
    kernels = {f"keras_blocks_kernel_{i}": variable for i, variable in enumerate(_kernels(model))}
    opened = _Opened(model, kernels)
    opened(inputs, {name: variable.value for name, variable in kernels.items()})
    specs = {name: keras.InputSpec(dtype=one.dtype, shape=one.shape, name=name) for name, one in kernels.items()}
    opened.export(path, format="onnx", verbose=False, input_signature=[specs_of(model), specs])
    _close(path, {name: np.asarray(variable) for name, variable in kernels.items()})


def _kernels(model: keras.Model) -> list[keras.Variable]:
    return [one for one in model.variables if math.prod(one.shape) >= KERNEL and "float" in one.dtype]


class _Opened(keras.Model):
    """A model that is given its kernels."""

    def __init__(self, model: keras.Model, kernels: dict[str, keras.Variable]):
        super().__init__(name=model.name)
        self.model = model
        self.values_of = lambda given: [(variable, given[name]) for name, variable in kernels.items()]

    def call(self, inputs: Any, kernels: dict[str, Any]) -> Any:
        with keras.StatelessScope(state_mapping=self.values_of(kernels)):  # type: ignore[no-untyped-call]
            return self.model(inputs, training=False)


def _close(path: str, kernels: dict[str, np.ndarray]) -> None:
    """Makes inputs of a file its constants, and what is transposed of them, too."""
    import onnx

    proto = onnx.load(path)
    graph = proto.graph
    taken = _taken(graph)
    inputs = [each for each in graph.input if each.name not in kernels]
    nodes = []
    for node in graph.node:
        if node.op_type == "Transpose" and node.input[0] in kernels:
            axes = onnx.helper.get_node_attr_value(node, "perm")
            array = np.ascontiguousarray(kernels[node.input[0]].transpose(axes))
            graph.initializer.append(onnx.numpy_helper.from_array(array, node.output[0]))
            taken[node.input[0]] -= 1
        else:
            nodes.append(node)
    for name, array in kernels.items():
        if taken.get(name):
            graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    for field, left in ((graph.input, inputs), (graph.node, nodes)):
        left = [type(each).FromString(each.SerializeToString()) for each in left]
        del field[:]
        field.extend(left)
    onnx.save(proto, path)


def _taken(graph: Any) -> dict[str, int]:
    """Name of a tensor -> how many nodes take it, those of graphs within nodes, too."""
    found: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            found[name] = found.get(name, 0) + 1
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                for name, count in _taken(inner).items():
                    found[name] = found.get(name, 0) + count
    return found
