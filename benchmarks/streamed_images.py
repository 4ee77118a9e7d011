"""What a folder of JPEGs costs that is not held in memory: images a second and memory, beside the same in memory.

A folder is made of small JPEGs, once. Then, for each backend and in processes of their own: one that does nothing but
import (idle); in turn, as often as `--rounds` says, one that trains with all images in memory, and one that reads them
as it needs them; and a search by the command line, whose default is to read them so, as they take more than 1 GiB. The
model has two convolutions, so that its steps are short and reading shows; the first steps, which compile, are left
out. On a machine that does other work, too, only the processor's time tells, which all threads of the process took.
Memory is the processes' own, as the system counts it: its peak while they read and train, without what is cached of
files; of a search, that of the process that had the most.

    python benchmarks/streamed_images.py [--images 100000] [--backends tensorflow jax torch] [--search tensorflow ...]

writes docs/streamed_images.json.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "streamed_images.json"
BACKENDS = ("tensorflow", "jax", "torch")
PARTS = ("x_train", "x_val", "x_test")
SIDE, CLASSES, LEFT_OUT = 64, 10, 20
SMALL = ("stem=v1.1", "groups=1", "filters=16", "blocks=1", "bypass=none", "batch_size=64", "augmentation=none")
"""What the search leaves open is little, so that a trial takes a minute or a few. Its own batches are small, as the
memory that a network's training takes goes by them."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--train", type=int, help="that many are trained on; by default all that are to be")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--backends", nargs="*", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--search", nargs="*", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "streamed_images")
    parser.add_argument("--one", choices=["idle", "memory", "streamed"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    images = arguments.folder / f"{arguments.images}"
    if arguments.one:
        print(json.dumps(measured(arguments.one, images, arguments)))
        return
    made(images, arguments.images)
    os.environ["KERAS_BLOCKS_IMAGES"] = str(arguments.folder / "store")
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    about = {
        "images": arguments.images,
        "side": SIDE,
        "jpeg_bytes": sum(file.stat().st_size for file in images.rglob("*.jpg")),
        "pixel_bytes": arguments.images * SIDE * SIDE * 3,
    }
    found = {**(found if found.get("images") == arguments.images else {}), **about}
    for backend in dict.fromkeys((*arguments.backends, *arguments.search)):
        one = found.setdefault(backend, {})
        one["idle_mb"] = in_a_process("idle", backend, arguments)["peak_mb"]
        if backend in arguments.backends:
            one |= compared(backend, one["idle_mb"], arguments)
        if backend in arguments.search:
            one["search"] = searched(backend, images, one["idle_mb"])
        print(backend, json.dumps(one, indent=2), flush=True)
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")


def made(folder, count):
    """Images of one colour each and noise: a class has a hue."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        inner = folder / f"class{label}"
        inner.mkdir(parents=True, exist_ok=True)
        hue = rng.integers(40, 215, (1, 1, 3))
        for i in range(len(list(inner.glob("*.jpg"))), count // CLASSES):
            coarse = np.clip(hue + rng.integers(-40, 40, (8, 8, 3)), 0, 255).astype("uint8")
            Image.fromarray(coarse).resize((SIDE, SIDE)).save(inner / f"{i}.jpg")


def compared(backend, idle, arguments):
    """Training on what is in memory and on what is read, in turn."""
    rounds = [
        {one: in_a_process(one, backend, arguments) for one in ("memory", "streamed")} for _ in range(arguments.rounds)
    ]

    def ratio(of):
        return [round(each["streamed"][of] / each["memory"][of], 3) for each in rounds]

    def above(one):
        return max(each[one]["peak_mb"] for each in rounds) - idle

    return {
        "batch": arguments.batch,
        "rounds": rounds,
        "streamed_to_memory_by_processor": ratio("images_a_processor_second"),
        "streamed_to_memory_by_clock": ratio("images_a_second"),
        "above_idle_mb": above("streamed"),
        "above_idle_in_memory_mb": above("memory"),
    }


def in_a_process(one, backend, arguments):
    command = [sys.executable, __file__, "--one", one, "--images", str(arguments.images)]
    command += ["--batch", str(arguments.batch), "--folder", str(arguments.folder)]
    command += ["--train", str(arguments.train)] if arguments.train else []
    done = subprocess.run(command, env=environment(backend), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def environment(backend):
    return {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}


def searched(backend, images, idle):
    """Two trials by the command line, and the most memory that any of its processes had."""
    with tempfile.TemporaryDirectory() as working:
        command = [sys.executable, "-m", "keras_blocks.tuning.cli", "search", "--model=squeezenet", f"--data={images}"]
        command += [f"--run={working}/run", "--trials=2", "--epochs=1", "--final-epochs=1", "--sampler=random"]
        command += [f"--set={part}" for part in SMALL]
        began = time.perf_counter()
        with pathlib.Path(working, "output").open("w") as output:
            process = subprocess.Popen(command, env=environment(backend), stdout=output, stderr=output)
            watch = Peak(process.pid)
            code = process.wait()
            peak = watch.end()
        if code:
            raise RuntimeError(pathlib.Path(working, "output").read_text()[-2000:])
        result = json.loads(pathlib.Path(working, "run", "result.json").read_text())
    return {
        "command": " ".join(["keras-blocks", *command[3:]]).replace(working, "runs").replace(str(images), "FOLDER"),
        "seconds": round(time.perf_counter() - began),
        "test_accuracy": result["test_accuracy"],
        "above_idle_mb": round(peak / 2**20) - idle,
    }


def measured(one, folder, arguments):
    import keras

    from keras_blocks.tuning import load_dataset
    from keras_blocks.tuning.data.stored import taken
    from keras_blocks.tuning.training import fit as training

    keras.utils.set_random_seed(0)
    watch = Peak()
    result = {}
    if one != "idle":
        began = time.perf_counter()
        data = load_dataset(folder, memory=2**20)
        data.fingerprint()
        if one == "memory":
            data = dataclasses.replace(data, **{name: np.asarray(getattr(data, name)) for name in PARTS})
        result["reading_seconds"] = round(time.perf_counter() - began, 1)
        print("\n".join(data.notes), file=sys.stderr)
        places = np.random.default_rng(0).permutation(len(data.x_train))[: arguments.train]
        clock, model = Clock(arguments.batch), small(data)
        training.fit(
            model,
            {"learning_rate": 1e-3, "batch_size": arguments.batch},
            taken(data.x_train, places),
            data.y_train[places],
            validation_data=(data.x_val, data.y_val),
            epochs=1,
            verbose=0,
            callbacks=[clock.callback()],
        )
        result |= clock.rates()
        result["correct"] = training.correct_of(model, data.x_test, data.y_test) / len(data.y_test)
    result["peak_mb"] = round(watch.end() / 2**20)
    return result


def small(data):
    """A model whose steps take so little that reading shows."""
    import keras

    convolutions = [keras.layers.Conv2D(filters, 4, 4, activation="relu") for filters in (16, 32)]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(data.classes, "softmax")]
    model = keras.Sequential([keras.Input(data.image_shape), keras.layers.Rescaling(data.scale), *convolutions, *head])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Clock:
    """Times of training steps, in which a batch is read, without the first, which compile, and the last, of fewer."""

    def __init__(self, batch):
        self.batch, self.ends = batch, []

    def callback(self):
        import keras

        def end(step, logs):
            self.ends.append((time.perf_counter(), time.process_time()))

        return keras.callbacks.LambdaCallback(on_train_batch_end=end)

    def rates(self):
        (began, processor), (ended, processor_then) = self.ends[LEFT_OUT], self.ends[-2]
        images = (len(self.ends) - 2 - LEFT_OUT) * self.batch
        steps = np.diff([clock for clock, _ in self.ends[LEFT_OUT:-1]])
        return {
            "images_a_second": round(images / (ended - began), 1),
            "images_a_processor_second": round(images / (processor_then - processor), 1),
            "images_a_second_in_the_median_step": round(self.batch / statistics.median(steps), 1),
        }


class Peak:
    """The most that a process' own memory came to, or that of one that it began: not pages of files."""

    def __init__(self, pid=None):
        import psutil

        self.process, self.most, self.ended = psutil.Process(pid), 0, threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.begun = pid is not None
        self.thread.start()

    def _look(self):
        while not self.ended.wait(0.05):
            self._once()

    def _once(self):
        import psutil

        try:
            for process in (self.process, *(self.process.children(recursive=True) if self.begun else ())):
                self.most = max(self.most, process.memory_info().rss)
        except psutil.Error:
            pass  # it has ended meanwhile

    def end(self):
        self.ended.set()
        self.thread.join()
        self._once()
        return self.most


if __name__ == "__main__":
    main()
