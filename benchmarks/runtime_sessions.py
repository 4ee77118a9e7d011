"""Exported files, loaded once and called again and again in their runtimes."""


def session(path, format, images, threads):
    """A function that runs the file on the images; OpenVINO in float32."""
    return SESSIONS[format](path, images, threads)


def _saved_model(path, images, threads):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return lambda: loaded.serve(images).numpy()


def _onnx(path, images, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    runs = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {runs.get_inputs()[0].name: images}
    return lambda: runs.run(None, given)


def _litert(path, images, threads):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=threads)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, images.shape)
    interpreter.allocate_tensors()

    def run():
        interpreter.set_tensor(index, images)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


def _openvino(path, images, threads):
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    return lambda: compiled([images])


def _torch(path, images, threads):
    import torch

    module, given = torch.export.load(path).module(), torch.from_numpy(images)

    def run():
        with torch.inference_mode():
            return module(given)

    return run


SESSIONS = {"saved_model": _saved_model, "onnx": _onnx, "litert": _litert, "openvino": _openvino, "torch": _torch}
