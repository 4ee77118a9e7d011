"""RoIAlign, RoIPool and NMS against torchvision.ops, forward and, of the two, forward and backward.

torchvision runs in an environment of its own, as a second process that is asked for one timing at a time, interleaved
with ours. 256 and 2,000 boxes over a map of 37x50x512, 7x7 bins; 2,000 and 6,000 boxes for NMS at 0.7, all of which may
be chosen: drawn at random, where nearly all stay ("nms"), and 20 around each object, as proposals are ("nms_crowds").
Targets: on TensorFlow RoIAlign and RoIPool three times faster, on JAX and PyTorch at most 1.5 times torchvision's time;
NMS no slower. With --xla TensorFlow compiles by XLA, as Keras' `fit` and `predict` do unless told otherwise.

    KERAS_BACKEND=tensorflow python benchmarks/detection_ops.py --torchvision-python PATH [--rounds 5] [--xla]
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

FILE = pathlib.Path(__file__).parents[1] / "docs" / "detection_ops.json"
ROI = ("roi_align", "roi_pool", "roi_align_gradient", "roi_pool_gradient")
CASES = [(name, n) for name in ROI for n in (256, 2000)]
CASES += [(name, n) for name in ("nms", "nms_crowds", "batched_nms") for n in (2000, 6000)]


@functools.cache
def inputs(n):
    """The map, (1, 37, 50, 512), boxes in an image of 600x800 pixels, scores and classes."""
    rng = np.random.default_rng(n)
    x, y = rng.uniform(0, 784, n), rng.uniform(0, 584, n)
    w, h = rng.uniform(16, 400, n), rng.uniform(16, 300, n)
    boxes = np.stack([x, y, np.minimum(x + w, 800), np.minimum(y + h, 600)], axis=1).astype("float32")
    features = rng.normal(size=(1, 37, 50, 512)).astype("float32")
    return features, boxes, rng.uniform(0, 1, n).astype("float32"), rng.integers(0, 5, n).astype("int32")


@functools.cache
def crowds(n):
    """Boxes of 20 guesses at each of n / 20 objects, and scores."""
    rng = np.random.default_rng(n)
    objects = inputs(n)[1][: n // 20]
    sides = np.tile(objects[:, 2:] - objects[:, :2], 2)
    boxes = objects[:, None] + rng.normal(scale=0.08, size=(n // 20, 20, 4)) * sides[:, None]
    return boxes.reshape(n, 4).astype("float32"), rng.uniform(0, 1, n).astype("float32")


# -- torchvision ------------------------------------------------------------------------------------------------------


def peer():
    """Answers each line on stdin, [name, boxes, whether CPU time], with the seconds of one call."""
    import torch
    import torchvision

    print(json.dumps([torchvision.__version__, torch.__version__]), flush=True)

    @functools.cache
    def runner(name, n):
        features, boxes, scores, classes = (torch.from_numpy(x) for x in inputs(n))
        if name == "nms_crowds":
            boxes, scores = (torch.from_numpy(x) for x in crowds(n))
        if name in ("nms", "nms_crowds"):
            return lambda: torchvision.ops.nms(boxes, scores, 0.7)
        if name == "batched_nms":
            return lambda: torchvision.ops.batched_nms(boxes, scores, classes.long(), 0.7)
        features = features.permute(0, 3, 1, 2).contiguous().requires_grad_("gradient" in name)
        rois = torch.cat([torch.zeros(n, 1), boxes], dim=1)
        options = {"sampling_ratio": 2} if "align" in name else {}
        operation = getattr(torchvision.ops, name.removesuffix("_gradient"))

        def run():
            outputs = operation(features, rois, 7, 1 / 16, **options)
            if features.requires_grad:
                torch.autograd.grad(outputs, features, outputs.detach())

        return run

    for line in sys.stdin:
        name, n, cpu = json.loads(line)
        print(json.dumps(seconds(runner(name, n), cpu)), flush=True)


def seconds(function, cpu):
    clock = time.process_time if cpu else time.perf_counter
    start = clock()
    function()
    return clock() - start


class Peer:
    def __init__(self, python):
        self.process = subprocess.Popen(
            [python, __file__, "--peer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.versions = json.loads(self.process.stdout.readline())

    def seconds(self, name, n, cpu):
        self.process.stdin.write(json.dumps([name, n, cpu]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


# -- ours -------------------------------------------------------------------------------------------------------------


def ours(name, n, xla):
    from keras_blocks import ops

    features, boxes, scores, classes = inputs(n)
    if "nms" in name:
        arrays = {"nms": (boxes, scores), "nms_crowds": crowds(n), "batched_nms": (boxes, scores, classes)}[name]
        suppress = getattr(ops, name.removesuffix("_crowds"))
        return compiled(lambda *x: suppress(*x, 0.7, n), arrays, xla, gradient=False)
    operation = getattr(ops, name.removesuffix("_gradient"))
    return compiled(lambda x, b: operation(x, b, 7, 1 / 16), (features, boxes[None]), xla, gradient="gradient" in name)


def compiled(function, arrays, xla, gradient):
    """A function without arguments, by the backend's usual way; the gradient is that of half the sum of squares."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=xla)
        def run(*tensors):
            if not gradient:
                return function(*tensors)
            with tf.GradientTape() as tape:
                tape.watch(tensors[0])
                outputs = function(*tensors)
            return tf.convert_to_tensor(tape.gradient(outputs, tensors[0], outputs))

        tensors = [tf.constant(x) for x in arrays]
        return lambda: run(*tensors)
    if backend == "jax":
        import jax

        def program(first, *rest):
            if not gradient:
                return function(first, *rest)
            outputs, pull = jax.vjp(lambda x: function(x, *rest), first)
            return pull(outputs)

        program, tensors = jax.jit(program), [jax.numpy.asarray(x) for x in arrays]
        return lambda: jax.block_until_ready(program(*tensors))
    import torch

    tensors = [torch.from_numpy(x) for x in arrays]

    def eager():
        if not gradient:
            with torch.no_grad():
                return function(*tensors)
        outputs = function(tensors[0].requires_grad_(), *tensors[1:])
        return torch.autograd.grad(outputs, tensors[0], outputs.detach())

    return eager


def main(options):
    import keras

    backend = keras.backend.backend()
    if options.xla and backend != "tensorflow":
        raise SystemExit("--xla is for TensorFlow: JAX always compiles by XLA.")
    other = Peer(options.torchvision_python)
    rows = {}
    for name, n in CASES:
        if options.only and options.only not in name:
            continue
        run, times = ours(name, n, options.xla), {"ours": [], "torchvision": []}
        for round_number in range(options.rounds + 1):
            found = {"ours": seconds(run, options.cpu_time), "torchvision": other.seconds(name, n, options.cpu_time)}
            for key, value in found.items():
                if round_number:  # the first compiles
                    times[key].append(value)
        row = {key: round(statistics.median(values) * 1000, 1) for key, values in times.items()}
        row["ratio"] = round(row["torchvision"] / row["ours"], 2)
        rows[f"{name} {n}"] = row
        print(f"{backend:10} {name:20} {n:5}  {row}", flush=True)
    if not options.only:
        results = json.loads(FILE.read_text()) if FILE.exists() else {}
        results[backend + ", XLA" * options.xla] = {
            "clock": "CPU" if options.cpu_time else "wall",
            "load": "%.0f processes a core at the end" % (os.getloadavg()[1] / os.cpu_count()),
            "torchvision, torch": other.versions,
            **rows,
        }
        FILE.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torchvision-python", default=sys.executable, help="a Python that imports torchvision")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="cases whose name has this; nothing is written")
    parser.add_argument("--cpu-time", action="store_true", help="seconds of the CPU, where the machine is busy")
    parser.add_argument("--xla", action="store_true", help="compile by XLA, on TensorFlow")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    peer() if chosen.peer else main(chosen)
