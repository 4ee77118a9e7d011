"""Memory and time of a DenseNet-121 training step at 224x224, batch 16: ours with `remat=True`, ours without, and
keras.applications'. TensorFlow, Linux.

Each network trains in a process of its own, all at the same time, and their steps take turns. Memory is the peak of all
steps over the idle process, with Keras imported and the images made, before the model: it holds the weights,
TensorFlow's graphs and their tracing, too, of which `--batch 1` gives an idea.

The first step has a learning rate of 1, so that it moves the weights by their gradients.

Targets, remat against keras.applications: at most 45 % of the memory in at most 1.1 times the time; the gradients and
moving statistics of ours with and without `remat`, from the same weights, are equal. On a machine with other work, the
processor's time says more than the clock's.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from timing import memory

NAMES = ("keras.applications", "ours", "ours, remat")
STATISTICS = ("moving_mean", "moving_variance")


def child(name, batch, folder):
    """Answers each line that it reads with one of its own; see `ask`."""
    sys.stdout, answers = sys.stderr, sys.stdout  # nothing else is printed between the answers
    import keras

    import keras_blocks

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, 224, 224, 3)).astype("float32")
    labels = rng.integers(0, 1000, batch)
    keras.ops.convert_to_tensor(images)  # the backend is started
    idle = memory("VmRSS")
    if name == "keras.applications":
        model = keras.applications.DenseNet121(weights=None)
    else:
        model = keras_blocks.create_model("densenet121", remat=name == "ours, remat")
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy", jit_compile=False)

    def step():
        clock, processor = time.perf_counter(), time.process_time()
        model.train_on_batch(images, labels)
        return time.perf_counter() - clock, time.process_time() - processor

    def save(when):
        if name != "keras.applications":
            np.savez(
                f"{folder}/{name} {when}.npz", **{weight.path.split("/", 1)[1]: weight for weight in model.weights}
            )

    for line in sys.stdin:
        if line.strip() == "first":
            save("before")
            answer = step()
            save("after")
            model.optimizer.learning_rate = 1e-3
        elif line.strip() == "step":
            answer = step()
        else:
            answer = (memory("VmHWM") - idle,)
        print(*answer, file=answers, flush=True)


def ask(process, question):
    print(question, file=process.stdin, flush=True)
    return [float(number) for number in process.stdout.readline().split()]


def moved(name, folder):
    """Name of a weight -> what the first step changed it by."""
    with np.load(f"{folder}/{name} before.npz") as before, np.load(f"{folder}/{name} after.npz") as after:
        return {path: after[path].astype("float64") - before[path] for path in before.files}


def difference(ours, theirs, chosen):
    """Norm of the difference over the norm, of the weights whose names are chosen, as one vector."""
    names = [name for name in theirs if chosen(name)]
    apart, norm = (
        np.linalg.norm([np.linalg.norm(values[name]) for name in names])
        for values in ({name: ours[name] - theirs[name] for name in names}, theirs)
    )
    return apart / norm


def main(batch, rounds):
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        command = [sys.executable, __file__, "--batch", str(batch), "--folder", folder, "--child"]
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        children = {}
        for name in NAMES:
            children[name] = stack.enter_context(subprocess.Popen([*command, name], env=environment, **pipes))
            stack.callback(children[name].stdin.close)
        first = {name: ask(process, "first")[0] for name, process in children.items()}
        steps = {name: [] for name in NAMES}
        for _ in range(rounds):
            for name, process in children.items():
                steps[name].append(ask(process, "step"))
        peaks = {name: ask(process, "memory")[0] for name, process in children.items()}
        ours, remat = moved("ours", folder), moved("ours, remat", folder)
    seconds = {name: [statistics.median(values) for values in zip(*steps[name])] for name in NAMES}
    base, base_peak = seconds[NAMES[0]], peaks[NAMES[0]]
    print(f"DenseNet-121, 224x224, batch {batch}; medians of {rounds} rounds")
    print(f"{'':20}{'peak over idle':>18}{'step':>16}{'processor':>16}{'first step':>12}")
    for name in NAMES:
        memory_used = f"{peaks[name]:.0f} MB {peaks[name] / base_peak:5.0%}"
        times = [f"{value:.2f} s {value / whole:6.2f}" for value, whole in zip(seconds[name], base)]
        print(f"{name:20}{memory_used:>18}{times[0]:>16}{times[1]:>16}{first[name]:>10.0f} s")
    gradients = difference(remat, ours, lambda name: not name.endswith(STATISTICS))
    moving = difference(remat, ours, lambda name: name.endswith(STATISTICS))
    print(f"ours with and without remat: gradients differ by {gradients:.1e} of their norm, statistics by {moving:.1e}")
    met = peaks[NAMES[2]] <= 0.45 * base_peak and seconds[NAMES[2]][0] <= 1.1 * base[0]
    print(f"at most 45 % of the memory in at most 1.1 times the time: {'met' if met else 'missed'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.batch, options.folder)
    else:
        main(options.batch, options.rounds)
