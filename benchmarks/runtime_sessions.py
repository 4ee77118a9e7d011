"""Exported files, loaded once and called again and again in their runtimes."""

from keras_blocks.deploy.runtimes import in_order


def session(path, format, inputs, threads):
    """A function that runs the file on inputs, as the model takes them; OpenVINO in float32."""
    return SESSIONS[format](path, inputs, threads)


def _saved_model(path, inputs, threads):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return lambda: tf.nest.map_structure(lambda y: y.numpy(), loaded.serve(inputs))


def _onnx(path, inputs, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    runs = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in runs.get_inputs()]
    given = dict(zip(names, in_order(inputs, names), strict=True))
    return lambda: runs.run(None, given)


def _litert(path, inputs, threads):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=threads)
    taken = interpreter.get_input_details()
    given = in_order(inputs, [each["name"].removeprefix("serving_default_").rpartition(":")[0] for each in taken])
    for each, array in zip(taken, given, strict=True):
        interpreter.resize_tensor_input(each["index"], array.shape)
    interpreter.allocate_tensors()

    def run():
        for each, array in zip(taken, given):
            interpreter.set_tensor(each["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]

    return run


def _openvino(path, inputs, threads):
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    given = in_order(inputs, [each.get_any_name() for each in compiled.inputs])
    return lambda: compiled(given)


def _torch(path, inputs, threads):
    import keras
    import torch

    module, given = torch.export.load(path).module(), keras.tree.map_structure(torch.from_numpy, inputs)

    def run():
        with torch.inference_mode():
            return module(given)

    return run


SESSIONS = {"saved_model": _saved_model, "onnx": _onnx, "litert": _litert, "openvino": _openvino, "torch": _torch}
