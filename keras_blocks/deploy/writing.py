"""A model written in a format, by Keras and the converters that it has."""

import re
import warnings
from typing import Any

import keras

from keras_blocks.core.graphs import replay
from keras_blocks.core.grouped_conv2d import GroupedConv2D
from keras_blocks.deploy.exported import Format
from keras_blocks.deploy.onnx_weights import is_large, write_onnx
from keras_blocks.deploy.quantizing import first
from keras_blocks.deploy.runtimes import RUNTIMES, batch_of, torch_options
from keras_blocks.ops.written import for_format


def write(model: keras.Model, path: str, format: Format, inputs: Any) -> None:
    """Writes a flat model.

    Args:
        model: a functional one.
        path: of the file or folder.
        format: one that the backend writes.
        inputs: some of the model's.

    Raises:
        ValueError: if the converter cannot.
    """
    onnx_of_tensorflow = format == "onnx" and keras.backend.backend() == "tensorflow"
    if onnx_of_tensorflow:
        model = _with_our_groups(model)
    one = first(inputs, batch_of(model) or 1)
    model(one)  # one that was never called has no ONNX
    try:
        with warnings.catch_warnings(), for_format(format):
            warnings.simplefilter("ignore")  # of the converters, on what they are made of
            if onnx_of_tensorflow and is_large(model):
                write_onnx(model, path, one)
                return
            options = torch_options(model, format) if keras.backend.backend() == "torch" else {}
            if format == "openvino" and keras.backend.backend() == "torch":  # its tracer takes no dicts
                model = keras.Model(model.input, keras.tree.flatten(model.output), name=model.name)
            model.export(path, format=RUNTIMES[format].keras_format, verbose=False, **options)
    except Exception as error:  # each converter has errors of its own
        raise ValueError(
            f"`format='{format}'`: Keras {keras.__version__} cannot write '{model.name}' from the "
            f"{keras.backend.backend()} backend: {first_line(error)}"
        ) from error


def _with_our_groups(model: keras.Model) -> keras.Model:
    """Keras' grouped convolutions as ours: TensorFlow's are programs of XLA, of which no converter knows."""
    made: dict[int, GroupedConv2D] = {}
    for layer in model.layers:
        if type(layer) is keras.layers.Conv2D and layer.groups > 1:
            made[id(layer)] = GroupedConv2D.from_config(layer.get_config())
            shape = [None] * 4
            shape[1 if layer.data_format == "channels_first" else 3] = layer.kernel.shape[2] * layer.groups
            made[id(layer)].build(tuple(shape))
            made[id(layer)].set_weights(layer.get_weights())
    if not made:
        return model
    outputs = replay(model, model.input, lambda operation: made.get(id(operation), operation))
    return keras.Model(model.input, outputs, name=model.name)


def first_line(error: Exception) -> str:
    """What an error says first, without colours; of one that Keras has wrapped, what it wraps."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[\d;]*m", "", str(error)).splitlines()]
    told = [line for line in lines if line and not line.startswith("Exception encountered when calling")]
    return f"{type(error).__name__}: {told[0] if told else ''}"
