"""int8 files of pretrained networks: accuracy, time and layers in float, beside the float32 file of the same runtime.

    KERAS_BACKEND=tensorflow python benchmarks/int8.py [--cpu-time]      # writes docs/int8.json after each file

It needs the extras `export` and `int8`, and ../shared/data. The CIFAR ResNets: calibrated on 128 training images, asked
for at most a point less on the first 500 test images, told on the other 500. SqueezeNet 1.1 has ImageNet's classes, and
no photos of these are at hand: CIFAR's photos, enlarged to 224x224, are told by the sums of the scores of those of
ImageNet's classes that are one of CIFAR's, which is a layer behind it. It has seen no photo of CIFAR's, so it is
calibrated on 128 training images, asked for at most a point less on 500 others, and told on all 1,000 test images.
ResNet-50 has random weights, with the statistics of images, and is for the time alone.

Times: one image, one thread, the two files in turn, medians. The target: int8 at least 3 times as fast as float32, at
most a point less accurate.
"""

import argparse
import json
import pathlib
import tempfile
import time

import keras
import numpy as np
from PIL import Image
from timing import interleaved

import keras_blocks

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "int8.json"
SHARED = ROOT.parent / "shared" / "data"
FORMATS = ("onnx", "openvino", "litert")
SIDE = 224
NETWORKS = ("resnet20_cifar", "resnet32_cifar", "resnet56_cifar", "squeezenet_1.1", "resnet50")
IMAGENET = {
    0: (404, 895),
    1: (436, 468, 511, 609, 627, 656, 661, 751, 817),
    2: (*range(7, 25), *range(80, 101), *range(127, 147)),
    3: tuple(range(281, 286)),
    4: (351, 352, 353),
    5: tuple(range(151, 269)),
    6: (30, 31, 32),
    7: (339,),
    8: (403, 472, 484, 510, 554, 625, 628, 724, 780, 814, 833, 871, 914),
    9: (555, 569, 654, 675, 717, 734, 864, 867),
}
"""CIFAR's class -> ImageNet's, by their numbers."""


def photos():
    """(training images, test images, labels of both) of CIFAR-10."""
    folder = SHARED / "cifar10_5k"
    train, test = (
        np.asarray(Image.open(folder / f"{part}_0.png").convert("RGB")).reshape(-1, 32, 32, 3)
        for part in ("train", "test")
    )
    with np.load(folder / "labels.npz") as labels:
        told = [np.asarray(labels[part][: len(each)], "int64") for part, each in (("train", train), ("test", test))]
    return train, test, *told


def network(name):
    """A model that takes pixels from 0 to 255."""
    layers = keras.layers
    if name.endswith("_cifar"):
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        preprocess = [layers.Rescaling(1 / 255), layers.Normalization(mean=mean, variance=std**2)]
        file = SHARED / "weights" / f"{name.removesuffix('_cifar')}_cifar10.npz"
        return keras_blocks.create_model(name, weights=file, preprocess=preprocess)
    if name == "resnet50":
        return keras_blocks.create_model(
            name, input_shape=(SIDE, SIDE, 3), classes=1000, preprocess=[layers.Rescaling(1 / 255)]
        )
    file = SHARED / "weights" / "squeezenet_v1_1_imagenet.npz"
    normalize = keras_blocks.ImageNormalization("caffe")
    whole = keras_blocks.create_model(name, input_shape=(SIDE, SIDE, 3), weights=file, preprocess=normalize)
    ops = keras.ops
    sums = [ops.sum(ops.take(whole.output, list(theirs), axis=-1), axis=-1) for theirs in IMAGENET.values()]
    return keras.Model(whole.input, ops.stack(sums, axis=-1), name=name)


def runner(path, format):
    """A function of images that runs a file in one thread."""
    if format == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda images: session.run(None, {name: images})[0]
    if format == "openvino":
        import openvino

        hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        compiled = openvino.Core().compile_model(str(path), "CPU", hints)
        return lambda images: compiled(images)[0]
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)

    def run(images):
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
        if tuple(taken["shape"]) != images.shape:
            interpreter.resize_tensor_input(taken["index"], images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])

    interpreter.allocate_tensors()
    return run


def _with_statistics(model, images):
    """Gives normalizations those of images: with 0 and 1, the outputs of so deep a network are one class alone."""
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
    model(images, training=True)


def measured(name, format, folder, arguments):
    model = network(name)
    train, test, train_labels, labels = photos()
    side = model.input_shape[1]

    def as_inputs(images):
        enlarged = (
            images if side == 32 else [np.asarray(Image.fromarray(one).resize((side, side), 3)) for one in images]
        )
        return np.asarray(enlarged, "float32")

    calibration = as_inputs(train[:128])
    goal = {"validation_data": (as_inputs(test[:500]), labels[:500])}
    if name == "resnet50":
        _with_statistics(model, calibration[:16])
        calibration, goal = calibration[:16], {"tolerance": 1.0}
    elif side != 32:
        goal = {"validation_data": (as_inputs(train[128:628]), train_labels[128:628])}
    suffix = {"onnx": ".onnx", "openvino": ".xml", "litert": ".tflite"}[format]
    small, whole = folder / f"{name}_int8{suffix}", folder / f"{name}{suffix}"
    keras_blocks.export(model, whole, format, inputs=calibration[:2])
    done = keras_blocks.export(model, small, format, precision="int8", calibration=calibration, **goal)
    in_int8 = sum(layer.precision == "int8" for layer in done.layers)
    found = {"runtime": done.runtime, "layers": len(done.layers), "in int8": in_int8, "difference": done.difference}
    files = {"float32": runner(whole, format), "int8": runner(small, format)}
    if name != "resnet50":
        told = slice(500, 1000) if side == 32 else slice(0, 1000)
        for precision, run in files.items():
            scores = [run(as_inputs(part)) for part in np.array_split(test[told], len(test[told]) // 20)]
            found[f"accuracy {precision}"] = float(np.mean(np.concatenate(scores).argmax(1) == labels[told]))
    image = calibration[:1]
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    runs = {precision: (lambda run=run: run(image)) for precision, run in files.items()}
    seconds = interleaved(runs, arguments.rounds, clock)
    found |= {f"ms {precision}": round(1000 * value, 3) for precision, value in seconds.items()}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--cpu-time", action="store_true", help="the processor's seconds, not the clock's")
    arguments = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in arguments.networks:
        for format in arguments.formats:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    told = measured(name, format, pathlib.Path(folder), arguments)
                except (ValueError, ImportError) as error:
                    told = {"error": str(error)}
            found.setdefault(name, {})[format] = told
            print(name, format, json.dumps(told), flush=True)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
