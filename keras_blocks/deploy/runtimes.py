"""Exported files, run where they will be: each format's own runtime, on a CPU, in float32."""

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

Outputs = Mapping[str, np.ndarray] | Sequence[np.ndarray]
"""By name, where the format keeps names; else in order."""


class Runtime(NamedTuple):
    """How a format is written and run."""

    keras_format: str
    """As `keras.Model.export` calls it."""
    suffix: str
    """Of the path; "" for a folder."""
    needs: tuple[tuple[str, str], ...]
    """(module, package that brings it) of what writes and runs it."""
    run: Callable[[str, Any], Outputs]
    """Gives the outputs of a file for the model's inputs, in their structure."""

    @property
    def version(self) -> str:
        """Of what runs it, as "onnxruntime 1.20.0"."""
        module, package = self.needs[-1]
        # TensorFlow's package has other names, too, such as tensorflow-cpu.
        version = getattr(importlib.import_module(module), "__version__", None) or importlib.metadata.version(package)
        return f"{package} {version}"


def run_saved_model(path: str, inputs: Any) -> Outputs:
    import tensorflow as tf

    loaded = tf.saved_model.load(path)  # kept for the call: the function does not hold its variables
    return _by_name(loaded.serve(inputs))


def run_onnx(path: str, inputs: Any) -> Outputs:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    found = session.run(None, dict(zip(names, in_order(inputs, names), strict=True)))
    return dict(zip([each.name for each in session.get_outputs()], found))


def run_litert(path: str, inputs: Any, look: Callable[[Any], None] | None = None, **options: Any) -> Outputs:
    """With `look`, which is shown the interpreter after the run, and the interpreter's own options."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, **options)
    taken = interpreter.get_input_details()
    given = in_order(inputs, [each["name"].removeprefix("serving_default_").rpartition(":")[0] for each in taken])
    for each, array in zip(taken, given, strict=True):
        interpreter.resize_tensor_input(each["index"], array.shape)
    interpreter.allocate_tensors()
    for each, array in zip(taken, given):
        interpreter.set_tensor(each["index"], array)
    interpreter.invoke()
    if look is not None:
        look(interpreter)
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


def run_openvino(path: str, inputs: Any, precision: str | None = "f32") -> Outputs:
    """With `precision=None` in OpenVINO's own, which is bfloat16 on a processor that has it."""
    import openvino

    options = {} if precision is None else {"INFERENCE_PRECISION_HINT": precision}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    found = compiled(in_order(inputs, [each.get_any_name() for each in compiled.inputs]))
    return [np.asarray(found[each]) for each in compiled.outputs]


def run_torch(path: str, inputs: Any) -> Outputs:
    import torch

    tensors = keras.tree.map_structure(lambda array: torch.from_numpy(np.ascontiguousarray(array)), inputs)
    with torch.no_grad():
        return _by_name(torch.export.load(path).module()(tensors))


def torch_options(model: keras.Model, format: str) -> dict[str, Any]:
    """What Keras must be told on PyTorch, whose tracers run the model: what sizes of batches the file is to take."""

    def sizes(tensor: keras.KerasTensor) -> dict[int, Any]:
        import torch

        return {axis: torch.export.Dim.AUTO for axis, size in enumerate(tensor.shape) if size is None}

    options: dict[str, Any] = {}
    if batch_of(model) is not None:  # or Keras has it run on one input
        options["input_signature"] = [specs_of(model)]
    if format == "torch":
        options["dynamic_shapes"] = [(keras.tree.map_structure(sizes, model.input),)]
    return options


def specs_of(model: keras.Model) -> Any:
    """What `keras.Model.export` must be told of a model's inputs where it is told of any, in their structure."""
    return keras.tree.map_structure(
        lambda tensor: keras.InputSpec(dtype=tensor.dtype, shape=tensor.shape, name=tensor.name), model.input
    )


def batch_of(model: keras.Model) -> int | None:
    """How many inputs a model takes at once, where its `keras.Input(batch_shape=...)` says it; else `None`."""
    return next((tensor.shape[0] for tensor in keras.tree.flatten(model.input) if tensor.shape[0] is not None), None)


RUNTIMES = {
    "saved_model": Runtime("tf_saved_model", "", (("tensorflow", "tensorflow"),), run_saved_model),
    "onnx": Runtime("onnx", ".onnx", (("onnx", "onnx"), ("onnxruntime", "onnxruntime")), run_onnx),
    "litert": Runtime("litert", ".tflite", (("ai_edge_litert", "ai-edge-litert"),), run_litert),
    "openvino": Runtime("openvino", ".xml", (("openvino", "openvino"),), run_openvino),
    "torch": Runtime("torch", ".pt2", (("torch", "torch"),), run_torch),
}
"""Format -> how it is written and run."""

WRITTEN_BY = {
    "saved_model": ("tensorflow", "jax"),
    "onnx": ("tensorflow", "torch"),
    "litert": ("tensorflow",),
    "openvino": ("tensorflow", "torch"),
    "torch": ("torch",),
}
"""Format -> backends from which Keras 3.15 writes it with what the extra `export` brings."""

PROPOSING_IN: dict[str, tuple[str, ...]] = {"tensorflow": ("saved_model", "onnx", "openvino"), "jax": (), "torch": ()}
"""Backend -> formats of detectors that propose regions themselves. LiteRT has no operation of its own that crops, nor
for slices of tensors of unknown size; PyTorch's exporters write no loops, and of thousands of regions hundreds stay;
what takes JAX's to SavedModels fails on each detector, of numbers of images and regions that are not known before."""

TOLD_IN = {**PROPOSING_IN, "torch": ("onnx", "torch")}
"""The same of those that are told where to look. Of OpenVINO's files from PyTorch, Fast R-CNN's was off by 1.4e-4, and
R-CNN's outputs had other shapes, or were no numbers."""


def in_order(inputs: Any, names: Sequence[str]) -> list[np.ndarray]:
    """The arrays of the inputs in the order in which a file names them, which need not be the model's."""
    if isinstance(inputs, Mapping):
        return [inputs[name] for name in names] if set(names) == set(inputs) else keras.tree.flatten(inputs)
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def _by_name(found: Any) -> Outputs:
    if isinstance(found, Mapping):
        return {name: np.asarray(array) for name, array in found.items()}
    return [np.asarray(array) for array in (found if isinstance(found, (list, tuple)) else [found])]
