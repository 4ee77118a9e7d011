"""Models as files of other runtimes, each run there and compared before it is said to be done."""

import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import keras
import numpy as np

from keras_blocks.blocks.detection_decoder import DetectionDecoder
from keras_blocks.blocks.region_proposals import SelectProposals
from keras_blocks.blocks.roi import RoIAlign, RoIPool, WarpRegions
from keras_blocks.core import validation
from keras_blocks.core.extras import require
from keras_blocks.core.graphs import calls
from keras_blocks.deploy.comparing import arrays_of, compared, difference_of_first, named
from keras_blocks.deploy.copying import in_float32
from keras_blocks.deploy.deploying import deploy
from keras_blocks.deploy.exported import Exported, Format, Precision
from keras_blocks.deploy.int8_litert import quantize_litert
from keras_blocks.deploy.int8_onnx import quantize_onnx
from keras_blocks.deploy.int8_openvino import quantize_openvino
from keras_blocks.deploy.quantizing import (
    AT_A_TIME,
    Calibration,
    Goal,
    QuantizedLayer,
    check_calibration,
    check_not_quantized,
    check_quantizable,
    checked_inputs,
    count_of,
    first,
    goal_of,
)
from keras_blocks.deploy.runtimes import (
    PROPOSING_IN,
    RUNTIMES,
    TOLD_IN,
    WRITTEN_BY,
    Outputs,
    batch_of,
    run_openvino,
)
from keras_blocks.deploy.targets import CARD, checked_target, move
from keras_blocks.deploy.writing import first_line, write
from keras_blocks.models.architecture import Architecture

INT8_NEEDS = {"onnx": "onnxruntime", "litert": "tensorflow", "openvino": "nncf"}
"""Format that has int8 -> module whose tool makes it."""

TOLERANCE = 1e-4
"""In float32."""

HALF_TOLERANCE = 0.1
"""Of a model in mixed precision: bfloat16 has 8 bits of a number, of which each layer loses some."""

COMPARED = 64
"""Of the calibration set, that outputs in int8 are compared on."""

LESS = (1, 2, 4, 8, 16)
"""So many pixels smaller are images that a file for any size is tried on, too: after each stride, a size may be odd."""

ROUNDED = 0.01
"""How far one image's outputs in int8 may be from those that it has among others: where what is in float differs by
rounding, a number of 8 bits is the next one."""

IMAGES = 2
"""In a batch that outputs are compared on: more than one, so that a file that takes one alone shows."""

OF_REGIONS = (DetectionDecoder, SelectProposals, RoIAlign, RoIPool, WarpRegions)
"""Layers by which a model chooses regions."""

BACKENDS = ("tensorflow", "torch")
"""Runtimes that extras of their own bring."""


def export(
    model: keras.Model,
    path: str | os.PathLike[str],
    format: Format = "onnx",
    *,
    inputs: Any = None,
    tolerance: float | None = None,
    overwrite: bool = False,
    precision: Precision = "float32",
    calibration: Any = None,
    validation_data: Any = None,
    max_drop: float | None = None,
) -> Exported:
    """Writes a model as a file of another runtime, and runs it there: what it says is done gives the model's outputs.

    What is written is `deploy(model)`, and what it is compared with is the model itself: preprocessing and what decodes
    detections are in the file. Of a model in mixed precision both are in float32, as its weights are. Beside it lies a
    file of the same name and ".json" behind: the inputs, the outputs' order, the classes' names and the difference.

    In int8, convolutions and dense layers are quantized after training, weights by channel, by the runtime's own tool:
    onnxruntime's static quantization, OpenVINO's NNCF, LiteRT's converter. While the file does not reach its goal, the
    worst layers are left in float.

    Args:
        model: see `deploy`.
        path: of the file, with the format's ending: ".onnx", ".tflite", ".xml", ".pt2"; of a SavedModel's folder.
        format: "saved_model" (TensorFlow), "onnx", "litert" (once TensorFlow Lite), "openvino", or "torch" (what
            `torch.export.load` reads), from PyTorch. What writes a format, and what runs it, must be installed.
        inputs: to compare on, as the model takes them (so many, where its batch is fixed), such as real images; `None`
            for two random ones, in int8 for the first of `calibration`.
        tolerance: the largest difference of any output, as a share of that output's largest value. `None` is
            1e-4; in int8 it is a goal, in place of `validation_data`.
        overwrite: whether what is at the path is replaced.
        precision: "float32" or "int8", which "onnx", "litert" (from TensorFlow) and "openvino" have.
        calibration: for int8, inputs as the model takes them, by which the ranges of what is inside are found; such as
            a hundred images of training.
        validation_data: for int8, (inputs, labels) of a classifier, whose accuracy is the goal; labels are the
            classes' numbers.
        max_drop: for int8, how much lower the accuracy may be: 0.01, a point, by default.

    Returns:
        What was written, and how far it is from the model; of int8 also each layer's error (`Exported.table`).

    Raises:
        FileExistsError: where there is something at the path, or where a file beside it goes: OpenVINO's ".bin"; with
            `overwrite`, for a folder that is no SavedModel, which is never replaced.
        ImportError: without what writes and runs the format.
        TypeError, ValueError: for an argument out of range; for a model of unknown size without `inputs`; where Keras
            cannot write the model in this format, with what it raised; where the outputs differ, with how far; in int8
            where the goal is not reached, and for a model that `keras.Model.quantize` has changed, or that has
            nothing to quantize; for one in mixed precision that gives something else in float32. Then nothing is at the
            path that was not there.

    Example:

    >>> import keras_blocks
    >>> model = keras_blocks.create_model("resnet20_cifar", labels=[f"class {i}" for i in range(10)])
    >>> keras_blocks.export(model, "resnet20.onnx").labels[3]  # doctest: +SKIP
    'class 3'
    """
    validation.choice("format", format, get_args(Format))
    validation.choice("precision", precision, get_args(Precision))
    runtime = RUNTIMES[format]
    target = checked_target(path, runtime.suffix, format, validation.boolean("overwrite", overwrite))
    within = TOLERANCE if tolerance is None else validation.number("tolerance", tolerance, least=0.0, most=1.0)
    _check_backend(format, precision)
    for module, _ in runtime.needs:
        require(module, module if module in BACKENDS else "export")
    if precision == "int8":
        check_not_quantized(model)
    flat = deploy(model)
    deployed = in_float32(flat)
    _check_regions(deployed, format)
    if precision == "int8":
        require(INT8_NEEDS[format], INT8_NEEDS[format] if INT8_NEEDS[format] in BACKENDS else "int8")
        check_quantizable(deployed)
        calibration = check_calibration(calibration, deployed)
        inputs = first(calibration, batch_of(deployed) or COMPARED) if inputs is None else inputs
    elif any(given is not None for given in (calibration, validation_data, max_drop)):
        raise ValueError("`calibration`, `validation_data` and `max_drop` are for `precision='int8'`; it is 'float32'.")
    given = _random_inputs(deployed, model) if inputs is None else inputs
    inputs = checked_inputs("inputs", given, deployed)
    if isinstance(validation_data, (tuple, list)) and len(validation_data) == 2:
        validation_data = (checked_inputs("validation_data", validation_data[0], deployed), validation_data[1])
    whole = model.without_auxiliary() if isinstance(model, Architecture) else model
    if deployed is not flat:
        _check_widened(whole, deployed, inputs)
        whole = deployed
    theirs = named(whole.predict(inputs, verbose=0))
    goal: Goal | None = None
    if precision == "int8":
        at_a_time = batch_of(deployed) or AT_A_TIME
        goal = goal_of(validation_data, max_drop, tolerance, lambda run: compared(theirs, run(inputs))[1], at_a_time)
        within = TOLERANCE
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as folder:
        part = os.path.join(folder, "done", target.name)
        os.mkdir(os.path.dirname(part))
        order, difference = _as_float(deployed, part, format, inputs, theirs, within)
        for others in _other_sizes(deployed, format, inputs):
            _check_size(whole, part, format, others, within)
        own = compared(theirs, run_openvino(part, inputs, None))[1] if format == "openvino" else None
        layers: tuple[QuantizedLayer, ...] = ()
        drop = None
        if goal is not None:
            layers, drop = _as_int8(deployed, part, format, calibration, goal)
            found = _run(part, format, inputs)
            order, difference = compared(theirs, found)
            _check_alone(deployed, part, format, inputs, found, max(difference, ROUNDED))
            drop, own = None if validation_data is None else drop, None
        labels = getattr(getattr(model, "metaparameters", None), "labels", None)
        done = Exported(
            str(target),
            format,
            runtime.version,
            difference,
            order,
            labels and tuple(labels),
            own,
            precision,
            layers,
            drop,
        )
        pathlib.Path(part + CARD).write_text(json.dumps(_card(done, model, inputs), indent=2) + "\n")
        move(os.path.dirname(part), target.parent, overwrite)
    return done


def _check_widened(model: keras.Model, deployed: keras.Model, inputs: Any) -> None:
    """Refuses a model in mixed precision which does something else in 32 bits than in 16."""
    outputs = [named(one.predict(inputs, verbose=0)) for one in (model, deployed)]
    difference = compared(*outputs)[1]
    if not difference <= HALF_TOLERANCE:
        raise ValueError(
            f"`model`: '{model.name}' computes in 16 bits, and its outputs in 32, as in a file, differ by "
            f"{difference:.1e}; nothing was written. Build it in float32 and load its weights there."
        )


def _check_backend(format: Format, precision: Precision) -> None:
    """Refuses what this backend does not write."""
    backend = keras.backend.backend()
    writers = WRITTEN_BY[format]
    if precision == "int8" and format not in INT8_NEEDS:
        raise ValueError(f"`precision='int8'` is for the formats {list(INT8_NEEDS)}; received format='{format}'.")
    if backend not in writers:
        raise ValueError(
            f"`format='{format}'` is written by the backends {list(writers)}; this is '{backend}'. A saved .keras file "
            f"loads there, with KERAS_BACKEND={writers[0]}."
        )


def _check_regions(deployed: keras.Model, format: Format) -> None:
    """Refuses a detector in a format that has not what it is made of."""
    backend = keras.backend.backend()
    choosing = [layer for layer in deployed.layers if isinstance(layer, OF_REGIONS)]
    proposes = any(isinstance(layer, SelectProposals) for layer in choosing)
    writers = PROPOSING_IN if proposes else TOLD_IN
    if not choosing or format in writers[backend]:
        return
    there = "; ".join(f"{name}: {', '.join(formats)}" for name, formats in writers.items() if formats)
    raise ValueError(
        f"`format='{format}'` lacks what '{deployed.name}' is made of, as it chooses regions of images. Detectors that "
        f"{'propose them' if proposes else 'are told where to look'} are written by these backends ({there}); this is "
        f"'{backend}'. A saved .keras file loads there, by KERAS_BACKEND."
    )


def _as_float(
    deployed: keras.Model, part: str, format: Format, inputs: Any, theirs: Mapping[str, np.ndarray], tolerance: float
) -> tuple[tuple[str, ...], float]:
    """Writes the file, and gives the outputs' order and difference, see `_compared`."""
    write(deployed, part, format, inputs)
    order, difference = compared(theirs, _run(part, format, inputs))
    if not difference <= tolerance:
        raise ValueError(
            f"`format='{format}'`: the outputs of '{deployed.name}' in {RUNTIMES[format].version} differ by "
            f"{difference:.1e} from the model's, more than tolerance={tolerance}; nothing was written."
        )
    return order, difference


def _other_sizes(deployed: keras.Model, format: Format, inputs: Any) -> Iterator[Any]:
    """One of the images alone; and of other sizes, where the model takes any.

    Of what follows from a size, PyTorch's tracer makes numbers.
    """
    tensors = keras.tree.flatten(deployed.input)
    if count_of(inputs) > 1 and batch_of(deployed) is None:
        yield first(inputs, 1)
    axes = [[axis for axis in range(1, len(tensor.shape)) if tensor.shape[axis] is None] for tensor in tensors]
    if keras.backend.backend() != "torch" or format == "torch" or not any(axes):
        return
    given = list(zip(keras.tree.flatten(inputs), axes))
    for less in LESS:
        if all(4 * less < array.shape[axis] for array, each in given for axis in each):
            cut = [
                array[tuple(slice(-less if i in each else None) for i in range(array.ndim))] for array, each in given
            ]
            yield keras.tree.pack_sequence_as(inputs, cut)


def _check_size(model: keras.Model, part: str, format: Format, inputs: Any, tolerance: float) -> None:
    """Refuses a file that holds for one size, or number of images, alone."""
    difference = compared(named(model.predict(inputs, verbose=0)), _run(part, format, inputs))[1]
    if not difference <= tolerance:
        shapes = [array.shape for array in keras.tree.flatten(inputs)]
        backend = keras.backend.backend()
        raise ValueError(
            f"`format='{format}'`: '{model.name}' takes any number of images, and of any size where it has no "
            f"`input_shape`; its file from the {backend} backend does not: its outputs for {shapes} differ by "
            f"{difference:.1e}. Give it an `input_shape`, or write it from another backend; nothing was written."
        )


def _check_alone(deployed: keras.Model, part: str, format: Format, inputs: Any, found: Outputs, most: float) -> None:
    """Refuses a file in int8 that gives an image alone other outputs than among others; sizes are the float file's."""
    if count_of(inputs) == 1 or batch_of(deployed) is not None:
        return
    together, alone = (arrays_of(outputs) for outputs in (found, _run(part, format, first(inputs, 1))))
    each = [pair for pair in zip(together, alone) if pair[0].shape[:1] == (count_of(inputs),)]  # not one for all
    difference = max((difference_of_first(*pair) for pair in each), default=0.0)
    if not difference <= most:
        raise ValueError(
            f"`precision='int8'`: the file of '{deployed.name}' in {RUNTIMES[format].version} gives an image alone "
            f"outputs that differ by {difference:.1e} from those among {count_of(inputs)}; nothing was written."
        )


def _as_int8(
    deployed: keras.Model, part: str, format: Format, calibration: Any, goal: Goal
) -> tuple[tuple[QuantizedLayer, ...], float]:
    """Puts the int8 file in the place of the float one; its layers, and how much lower its score is."""
    given = Calibration(calibration, batch_of(deployed))
    source = os.path.join(os.path.dirname(os.path.dirname(part)), "float" + RUNTIMES[format].suffix)
    os.replace(part, source)
    if format == "openvino":
        os.replace(part.removesuffix(".xml") + ".bin", source.removesuffix(".xml") + ".bin")
    try:
        if format == "onnx":
            layers, lower = quantize_onnx(source, part, given, goal)
        elif format == "openvino":
            layers, lower = quantize_openvino(source, part, given, goal)
        else:
            layers, lower = quantize_litert(deployed, source, part, given, goal)
    except (TypeError, ValueError):
        raise
    except Exception as error:  # each tool has errors of its own
        raise ValueError(
            f"`precision='int8'`: {INT8_NEEDS[format]} cannot quantize '{deployed.name}': {first_line(error)}"
        ) from error
    if goal.misses(lower):
        raise ValueError(
            f"`precision='int8'`: '{deployed.name}' in {RUNTIMES[format].version} has {goal.says} {lower:.4f}, more "
            f"than {goal.most}, with its worst layers in float, too; nothing was written."
        )
    return tuple(layers), lower


def _run(path: str, format: Format, inputs: Any) -> Outputs:
    try:
        return RUNTIMES[format].run(path, inputs)
    except Exception as error:  # each runtime has errors of its own
        raise ValueError(
            f"`format='{format}'`: {RUNTIMES[format].version} cannot run what Keras {keras.__version__} wrote from the "
            f"{keras.backend.backend()} backend: {first_line(error)}; nothing was kept."
        ) from error


def _random_inputs(deployed: keras.Model, model: keras.Model) -> Any:
    """Two images, or what the model takes: of 0 to 255 where it has preprocessing or takes whole numbers, else to 1."""
    rng = np.random.default_rng(0)
    prepares = bool(getattr(getattr(model, "metaparameters", None), "preprocess", None))

    def one(tensor: keras.KerasTensor) -> np.ndarray:
        shape = tuple(tensor.shape[1:])
        if None in shape:
            raise ValueError(f"`inputs` must be given for '{model.name}', which takes any size: {tuple(tensor.shape)}.")
        rows = [
            one.input_dim
            for one, given, _ in calls(deployed)
            if isinstance(one, keras.layers.Embedding) and tensor is given[0]
        ]
        most = 1 if "float" in tensor.dtype and not prepares and not rows else min([256, *rows])
        return rng.uniform(0, most, (tensor.shape[0] or IMAGES, *shape)).astype(tensor.dtype)

    return keras.tree.map_structure(one, deployed.input)


def _card(done: Exported, model: keras.Model, inputs: Any) -> dict[str, Any]:
    taken = keras.tree.map_structure(lambda array: f"{array.dtype} {['batch', *array.shape[1:]]}", inputs)
    return {"model": model.name, "inputs": taken, **dataclasses.asdict(done), "path": os.path.basename(done.path)}
