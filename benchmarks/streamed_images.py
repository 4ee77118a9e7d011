"""What a folder of JPEGs costs that is not held in memory: images a second and memory, beside the same in memory.

A folder is made of small JPEGs, once. Then, for each backend and in processes of their own: one that does nothing but
import (idle), one that trains with all images in memory, one that reads them as it needs them. The model has two
convolutions, so that its steps are short and reading shows. Memory is the process' own, as the system
counts it, its peak while it reads and trains, without what is cached of files.

    python benchmarks/streamed_images.py [--images 100000] [--backends tensorflow jax torch]

writes docs/streamed_images.json.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "streamed_images.json"
SIDE, CLASSES, BATCH = 64, 10, 64


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax", "torch"])
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "streamed_images")
    parser.add_argument("--one", choices=["idle", "memory", "streamed"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    images = arguments.folder / f"{arguments.images}"
    if arguments.one:
        print(json.dumps(measured(arguments.one, images, arguments.epochs)))
        return
    made(images, arguments.images)
    os.environ["KERAS_BLOCKS_IMAGES"] = str(arguments.folder / "store")
    found = {
        "images": arguments.images,
        "side": SIDE,
        "batch": BATCH,
        "jpeg_bytes": sum(file.stat().st_size for file in images.rglob("*.jpg")),
        "pixel_bytes": arguments.images * SIDE * SIDE * 3,
    }
    for backend in arguments.backends:
        found[backend] = {one: in_a_process(one, backend, arguments) for one in ("idle", "memory", "streamed")}
        idle, memory, streamed = found[backend].values()
        found[backend] |= {
            "streamed_to_memory": round(streamed["images_a_second"] / memory["images_a_second"], 3),
            "above_idle_mb": round(streamed["peak_mb"] - idle["peak_mb"]),
            "above_idle_in_memory_mb": round(memory["peak_mb"] - idle["peak_mb"]),
        }
        print(backend, json.dumps(found[backend], indent=2))
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


def in_a_process(one, backend, arguments):
    command = [sys.executable, __file__, "--one", one, "--images", str(arguments.images)]
    command += ["--epochs", str(arguments.epochs), "--folder", str(arguments.folder)]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def measured(one, folder, epochs):
    import keras

    from keras_blocks.tuning import load_dataset
    from keras_blocks.tuning.training import fit as training

    keras.utils.set_random_seed(0)
    watch = Peak()
    result = {}
    if one != "idle":
        began = time.perf_counter()
        data = load_dataset(folder, memory=2**40 if one == "memory" else 2**20)
        data.fingerprint()
        result["reading_seconds"] = round(time.perf_counter() - began, 1)
        print("\n".join(data.notes), file=sys.stderr)
        how = {"learning_rate": 1e-3, "batch_size": BATCH}
        model = small(data)
        clock = Clock()
        held_out = (data.x_val, data.y_val)
        training.fit(
            model,
            how,
            data.x_train,
            data.y_train,
            validation_data=held_out,
            epochs=epochs,
            verbose=0,
            callbacks=[clock()],
        )
        result["images_a_second"] = round(len(data.x_train) / min(clock.seconds), 1)
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
    """Seconds of the training steps of each epoch, after the first steps, which compile."""

    def __init__(self):
        self.seconds = []

    def __call__(self):
        import keras

        began = [0.0]

        def start(epoch, logs):
            began[0] = time.perf_counter()

        def end(logs):
            self.seconds.append(time.perf_counter() - began[0])

        return keras.callbacks.LambdaCallback(
            on_epoch_begin=start, on_test_begin=end, on_epoch_end=lambda epoch, logs: None
        )


class Peak:
    """The most that the process' own memory came to: what it has written, not pages of files."""

    def __init__(self):
        import psutil

        self.process, self.most, self.ended = psutil.Process(), 0, threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        while not self.ended.wait(0.05):
            self.most = max(self.most, self.process.memory_info().rss)

    def end(self):
        self.most = max(self.most, self.process.memory_info().rss)
        self.ended.set()
        self.thread.join()
        return self.most


if __name__ == "__main__":
    main()
