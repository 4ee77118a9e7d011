"""int8 in ONNX, by onnxruntime's static quantization: QDQ, weights by channel."""

import json
import logging
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from keras_blocks.deploy.comparing import arrays_of
from keras_blocks.deploy.quantizing import (
    FEW,
    Calibration,
    Goal,
    QuantizedLayer,
    count_of,
    outside,
    relative,
    until_it_holds,
    worst_first,
)
from keras_blocks.deploy.runtimes import in_order, run_onnx

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operations that have weights."""

BETWEEN = (
    *("Add", "Mul", "Concat", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Transpose", "Reshape", "Squeeze", "Flatten", "Pad", "Resize", "Split", "Slice"),
)
"""Operations between them that take int8, too."""

WITHIN = ("Relu", "Clip")
"""Operations that are one with the layer before them: where they are not in int8, its numbers are rounded before them,
those below zero, too."""

GIVE_FLOATS = ("Gemm", "MatMul")
"""Of LAYERS those that in int8 can give floats, too: a last one's outputs are neither rounded nor cut."""

AVERAGED = 8
"""Images in a batch of the calibration set, at most: an inner range is the mean of the batches' extremes, as one
image's outlier would make all other numbers coarser: the divergence of SqueezeNet's outputs is half as large then.
Where images differ much in contrast it cuts the strongest, so it
is done where the outputs are then nearer to the float file's. What the last layers give has its true extremes always:
the largest scores would become equal."""

RUNS = 5
"""Of which a layer's time is the mean."""


def quantize_onnx(source: str, path: str, calibration: Calibration, goal: Goal) -> tuple[list[QuantizedLayer], float]:
    """Writes the int8 file of a float one.

    Args:
        source: path of the float file.
        path: of the new one.
        calibration: inputs.
        goal: what is to hold.

    Returns:
        The layers, and how much lower the score is.
    """
    with tempfile.TemporaryDirectory(prefix="int8-") as folder:
        tool = _Tool(source, calibration, folder)
        best = goal.score(lambda inputs: run_onnx(source, inputs))

        def write(left: Collection[str]) -> float:
            tool.write(path, left)
            return goal.score(lambda inputs: run_onnx(path, inputs))

        write([])
        errors = tool.errors(path)
        left, score = until_it_holds(write, tool.ranked, lambda score: goal.misses(best - score))
        seconds = tool.seconds(path)
    precision = {name: "float32" if name in left else "int8" for name in tool.layers}
    found = [QuantizedLayer(name, precision[name], errors[name], seconds.get(name)) for name in tool.layers]
    return found, best - score


class _Tool:
    """onnxruntime's tool for one file; the ranges are found once."""

    def __init__(self, source: str, calibration: Calibration, folder: str) -> None:
        import onnx
        from onnxruntime.quantization.shape_inference import quant_pre_process

        self.folder, self.calibration = folder, calibration
        self.ready = os.path.join(folder, "ready.onnx")
        with _QuietLogs():
            quant_pre_process(source, self.ready, skip_symbolic_shape=True)
        graph = onnx.load(self.ready).graph
        weights = {item.name for item in graph.initializer}
        found = [node for node in graph.node if node.op_type in LAYERS and node.input[1] in weights]
        self.layers = [node.name for node in found]
        given = {node.output[0] for node in found}
        whole = [node.name for node in graph.node if node.op_type in WITHIN and node.input[0] in given]
        calls = [(node.name, node.input, filter(None, node.output)) for node in graph.node]
        self.outside = outside(calls, [*self.layers, *whole])
        self.extremes = self._extremes(_last(graph, self.outside))
        self.averaged = self._is_nearer_averaged()

    def write(self, path: str, left: Collection[str]) -> None:
        from onnxruntime import quantization

        with _QuietLogs():
            quantization.quantize_static(
                self.ready,
                path,
                _Reader(self.ready, self.calibration),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=[*LAYERS, *BETWEEN],
                nodes_to_exclude=[*self.outside, *left],
                calibration_cache_path=os.path.join(self.folder, f"ranges-{self.averaged}.json"),
                extra_options={
                    "CalibMovingAverage": self.averaged,
                    "TensorQuantOverrides": self._overrides(),
                    "OpTypesToExcludeOutputQuantization": list(GIVE_FLOATS),
                },
            )

    def _is_nearer_averaged(self) -> bool:
        """Whether the outputs for the calibration set are nearer by ranges that are means than by true extremes."""
        if count_of(self.calibration.inputs) <= (self.calibration.own or AVERAGED):
            return True  # one batch, of which both are the same
        errors = {True: 0.0, False: 0.0}
        for self.averaged in errors:
            self.write(os.path.join(self.folder, f"{self.averaged}.onnx"), ())
        for part in self.calibration.batches():
            expected = arrays_of(run_onnx(self.ready, part))
            for way in errors:
                found = arrays_of(run_onnx(os.path.join(self.folder, f"{way}.onnx"), part))
                errors[way] += max(map(relative, expected, found))
        return not errors[False] < errors[True]

    def _overrides(self) -> dict[str, list[dict[str, Any]]]:
        """New ones for each file, as the tool may write into them."""
        return {name: [{"rmin": least, "rmax": most}] for name, (least, most) in self.extremes.items()}

    def _extremes(self, names: Sequence[str]) -> dict[str, tuple[Any, Any]]:
        """The least and the largest number of each of these tensors, over the whole calibration set."""
        found: dict[str, tuple[Any, Any]] = {}
        for part in self.calibration.batches() if names else ():
            for name, array in zip(names, self._given(self.ready, names, part)):
                least, most = found.get(name, (array.min(), array.max()))
                found[name] = min(least, array.min()), max(most, array.max())
        return found

    def ranked(self) -> Sequence[str]:
        some, part = self.calibration.some(FEW), os.path.join(self.folder, "alone.onnx")
        expected = run_onnx(self.ready, some)
        return worst_first(
            self.layers, lambda left: self.write(part, left), lambda inputs: run_onnx(part, inputs), expected, some
        )

    def errors(self, path: str) -> dict[str, float]:
        """Of what each layer gives in the file."""
        some = self.calibration.some(FEW)
        return {
            name: relative(*pair)
            for name, pair in zip(self.layers, zip(self._inside(self.ready, some), self._inside(path, some)))
        }

    def _inside(self, path: str, inputs: Any) -> list[np.ndarray]:
        import onnx

        given = {node.name: node.output[0] for node in onnx.load(path).graph.node}  # a ReLU may have gone into it
        return self._given(path, [given[name] for name in self.layers], inputs)

    def _given(self, path: str, names: Sequence[str], inputs: Any) -> list[np.ndarray]:
        """What these tensors of a file are."""
        import onnx

        model, part = onnx.load(path), os.path.join(self.folder, "inside.onnx")
        del model.graph.output[:]
        model.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
        )
        onnx.save(model, part)
        found = run_onnx(part, inputs)
        assert isinstance(found, Mapping)  # onnxruntime's outputs have names
        return [np.asarray(found[name]) for name in names]

    def seconds(self, path: str) -> dict[str, float]:
        """Of each layer, by onnxruntime's profile."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.intra_op_num_threads = True, 1
        options.profile_file_prefix = os.path.join(self.folder, "profile")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [item.name for item in session.get_inputs()]
        given = dict(zip(names, in_order(self.calibration.some(1), names)))
        for _ in range(RUNS):
            session.run(None, given)
        with open(session.end_profiling()) as file:
            events = [event for event in json.load(file) if event.get("cat") == "Node"]
        found: dict[str, float] = {}
        for event in events:
            node = event["name"].removesuffix("_kernel_time")
            name = max((name for name in self.layers if node.startswith(name)), key=len, default="")
            if name and event["name"].endswith("_kernel_time"):
                found[name] = found.get(name, 0.0) + event["dur"] / 1e6 / RUNS
        return found


def _last(graph: Any, outside: Collection[str]) -> list[str]:
    """Tensors behind which no layer is: of those in int8 what the file gives, and what operations in float take."""
    kinds, apart = (*LAYERS, *BETWEEN), set(outside)
    taken = {name for node in graph.node if node.name in apart for name in node.input}
    taken |= {output.name for output in graph.output}
    given = [node.output[0] for node in graph.node if node.op_type in kinds and node.name not in apart]
    return [name for name in given if name in taken]


class _Reader:
    """Gives the tool the calibration set in batches, as even as can be: a small one's extremes would count as much."""

    def __init__(self, path: str, calibration: Calibration) -> None:
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._names = [item.name for item in session.get_inputs()]
        self._parts = calibration.even_batches(AVERAGED)

    def get_next(self) -> dict[str, np.ndarray] | None:
        part = next(self._parts, None)
        return None if part is None else dict(zip(self._names, in_order(part, self._names)))


class _QuietLogs:
    """Without the tool's notes on what it does."""

    def __enter__(self) -> None:
        self._before = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *error: object) -> None:
        logging.disable(self._before)
