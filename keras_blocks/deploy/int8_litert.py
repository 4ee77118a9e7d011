"""int8 in LiteRT, by TensorFlow's converter, whose debugger leaves layers in float."""

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_blocks.deploy.quantizing import (
    FEW,
    Calibration,
    Goal,
    QuantizedLayer,
    outside,
    relative,
    until_it_holds,
    worst_first,
)
from keras_blocks.deploy.runtimes import in_order, run_litert

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "CONV_3D", "FULLY_CONNECTED")
"""Operations that have weights."""

TAKEN_AT = {"TRANSPOSE_CONV": 2}
"""Where an operation takes its numbers, if not first: here behind the size of its output, and its weights."""

WRONG = ("REVERSE_V2",)
"""Operations that stay in float: in front of a subtraction, TensorFlow 2.21 gives its numbers another scale."""


class _Inside(NamedTuple):
    """What is in a file."""

    arrays: dict[str, np.ndarray]
    """What layers give, by the names of their outputs; numbers of 8 bits as what they stand for."""
    in_float: set[str]
    """Layers that take floats."""
    calls: list[tuple[str, Sequence[int], Sequence[int]]]
    """The name of each operation's first output, and the tensors that it takes and gives."""


def quantize_litert(
    deployed: keras.Model, source: str, path: str, calibration: Calibration, goal: Goal
) -> tuple[list[QuantizedLayer], float]:
    """Writes the int8 file of a model; see `quantize_onnx`. Inputs and outputs stay in float."""
    some = calibration.some(FEW)
    exact = _inside(source, calibration.some(1))
    layers = list(exact.arrays)
    write = _writer(deployed, calibration, outside(exact.calls, layers))
    best = goal.score(lambda inputs: run_litert(source, inputs))

    def scored(left: Collection[str]) -> float:
        write(path, left)
        return goal.score(lambda inputs: run_litert(path, inputs))

    def ranked() -> Sequence[str]:
        part = path + ".alone"
        expected = run_litert(source, some)
        order = worst_first(
            layers, lambda left: write(part, left), lambda inputs: run_litert(part, inputs), expected, some
        )
        os.remove(part)
        return order

    write(path, ())
    found = _inside(path, calibration.some(1)).arrays
    errors = {name: relative(array, found[name]) if name in found else 0.0 for name, array in exact.arrays.items()}
    _, score = until_it_holds(scored, ranked, lambda score: goal.misses(best - score))
    kept = _inside(path, calibration.some(1)).in_float
    done = [QuantizedLayer(name, "float32" if name in kept else "int8", errors[name]) for name in layers]
    return done, best - score


def _writer(deployed: keras.Model, calibration: Calibration, always: Sequence[str]) -> Any:
    """Writes a file with these layers, and what always is, left in float; ranges of what is inside are found once."""
    import tensorflow as tf

    lite = tf.lite
    with tempfile.TemporaryDirectory(prefix="int8-") as folder, _quiet():
        deployed.export(folder, format="tf_saved_model", verbose=False)
        converter = lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _samples(deployed, calibration)
        debugger = lite.experimental.QuantizationDebugger(converter=converter)

    def write(path: str, left: Collection[str]) -> None:
        with _quiet():
            debugger.options = lite.experimental.QuantizationDebugOptions(
                denylisted_ops=list(WRONG), denylisted_nodes=[*always, *left]
            )
            content = debugger.get_nondebug_quantized_model()
        with open(path, "wb") as file:
            file.write(content)

    return write


def _samples(deployed: keras.Model, calibration: Calibration) -> Iterator[list[np.ndarray]]:
    names = [tensor.name for tensor in keras.tree.flatten(deployed.input)]
    for part in calibration.batches(1):
        yield in_order(part, names)


def _inside(path: str, inputs: Any) -> _Inside:
    from ai_edge_litert.interpreter import OpResolverType

    seen = _Inside({}, set(), [])

    def look(interpreter: Any) -> None:
        about = {each["index"]: each for each in interpreter.get_tensor_details()}
        for operation in interpreter._get_ops_details():
            each = about[operation["outputs"][0]]
            seen.calls.append((each["name"], operation["inputs"], operation["outputs"]))
            if operation["op_name"] not in (*LAYERS, "DEQUANTIZE"):  # which gives a last layer's numbers, by its name
                continue
            array = interpreter.get_tensor(each["index"])
            scale, zero = each["quantization"]
            seen.arrays[each["name"]] = (array.astype("float32") - zero) * scale if array.dtype == np.int8 else array
            taken = operation["inputs"][TAKEN_AT.get(operation["op_name"], 0)]
            if about[taken]["dtype"] != np.int8:
                seen.in_float.add(each["name"])

    run_litert(
        path,
        inputs,
        look,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    return seen


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the converter says, in Python and from C++."""
    screen = os.dup(2)
    with warnings.catch_warnings(), tempfile.TemporaryFile() as aside, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        os.dup2(aside.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)
