"""int8 in OpenVINO, by NNCF: with a goal, it finds the layers to leave in float by itself."""

import logging
from typing import Any

import numpy as np

from keras_blocks.deploy.quantizing import FEW, Calibration, Goal, QuantizedLayer, outside, relative
from keras_blocks.deploy.runtimes import in_order, run_openvino

LAYERS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")
"""Operations that have weights."""

MOVES = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Pad", "MaxPool")
"""Operations that leave numbers as they are."""

EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def quantize_openvino(
    source: str, path: str, calibration: Calibration, goal: Goal
) -> tuple[list[QuantizedLayer], float]:
    """Writes the int8 file of a float one; see `quantize_onnx`."""
    import nncf
    import openvino

    logging.getLogger("nncf").setLevel(logging.ERROR)
    core = openvino.Core()
    model = core.read_model(source)
    names = [each.get_any_name() for each in model.inputs]
    items = [in_order(part, names) for part in calibration.batches(1)]
    dataset = nncf.Dataset(items)
    best = 1.0 + goal.score(lambda inputs: run_openvino(source, inputs))

    def score(compiled: Any, _: Any) -> tuple[float, None]:
        # NNCF divides by the float file's score, which is 0 where its outputs are the model's to the bit.
        return 1.0 + goal.score(lambda inputs: _run(compiled, inputs)), None

    ordered = model.get_ordered_ops()
    layers = [item.get_friendly_name() for item in ordered if _has_weights(item)]
    calls = [
        (item.get_friendly_name(), map(_place, item.input_values()), map(_place, item.outputs())) for item in ordered
    ]
    scope = nncf.IgnoredScope(names=outside(calls, layers), validate=False)
    options = {"subset_size": len(items), "ignored_scope": scope}
    plain = nncf.quantize(core.read_model(source), dataset, **options)
    done, lower = plain, best - score(core.compile_model(plain, "CPU", EXACT), None)[0]
    if goal.misses(lower):
        done = nncf.quantize_with_accuracy_control(
            core.read_model(source), dataset, dataset, score, max_drop=goal.most, **options
        )
        lower = best - score(core.compile_model(done, "CPU", EXACT), None)[0]
    kept = {item.get_friendly_name() for item in done.get_ordered_ops() if _has_weights(item) and not _is_int8(item)}
    some = calibration.some(FEW)
    exact = _inside(core, model, layers, some)
    # One after another: of several that are asked for at once, OpenVINO 2026.4 gives noughts.
    rounded = [_inside(core, plain, [name], some)[0] for name in layers]
    errors = map(relative, exact, rounded)
    seconds = _seconds(core, done, calibration.some(1))
    openvino.save_model(done, path, compress_to_fp16=False)
    found = [
        QuantizedLayer(name, "float32" if name in kept else "int8", error, seconds.get(name))
        for name, error in zip(layers, errors)
    ]
    return found, lower


def _run(compiled: Any, inputs: Any) -> list[np.ndarray]:
    found = compiled(in_order(inputs, [each.get_any_name() for each in compiled.inputs]))
    return [np.asarray(found[each]) for each in compiled.outputs]


def _has_weights(item: Any) -> bool:
    return item.get_type_name() in LAYERS and _is_constant(item.input_value(1).get_node())


def _is_constant(node: Any) -> bool:
    """Whether constants alone make it, whatever is done to them."""
    behind, seen = [node], 0
    while behind:
        node = behind.pop()
        seen += 1
        if node.get_type_name() == "Parameter" or seen > 32:
            return False
        behind += [each.get_source_output().get_node() for each in node.inputs()]
    return True


def _is_int8(item: Any) -> bool:
    """Whether what comes in is rounded, maybe before it is moved or joined."""
    return _is_rounded(item.input_value(0).get_node())


def _is_rounded(node: Any) -> bool:
    kind = node.get_type_name()
    if kind in MOVES:
        return _is_int8(node)
    if kind == "Concat":
        return all(_is_rounded(value.get_node()) for value in node.input_values())
    return bool(kind == "FakeQuantize")


def _place(value: Any) -> tuple[str, int]:
    return value.get_node().get_friendly_name(), value.get_index()


def _inside(core: Any, model: Any, names: list[str], inputs: Any) -> list[np.ndarray]:
    """What the layers of these names give, with their bias.

    OpenVINO shows other numbers of what is in int8, and so their opposites are asked for.
    """
    from openvino import Model, opset13

    copy = model.clone()
    layers = {item.get_friendly_name(): item for item in copy.get_ordered_ops()}
    shown = [opset13.negative(_with_bias(layers[name])).output(0) for name in names]
    cut = Model(shown, copy.get_parameters())  # without what is behind them
    return [-array for array in _run(core.compile_model(cut, "CPU", EXACT), inputs)]


def _with_bias(item: Any) -> Any:
    behind = [each.get_node() for each in item.output(0).get_target_inputs()]
    if len(behind) != 1 or behind[0].get_type_name() != "Add":
        return item.output(0)
    # Without a bias, the next sum may be that of two ways.
    with_bias = any(_is_constant(value.get_node()) for value in behind[0].input_values())
    return (behind[0] if with_bias else item).output(0)


def _seconds(core: Any, model: Any, inputs: Any) -> dict[str, float]:
    compiled = core.compile_model(model, "CPU", {**EXACT, "PERF_COUNT": True, "INFERENCE_NUM_THREADS": 1})
    request = compiled.create_infer_request()
    given = in_order(inputs, [each.get_any_name() for each in compiled.inputs])
    for _ in range(3):
        request.infer(given)
    return {item.node_name: item.real_time.total_seconds() for item in request.profiling_info}
