"""Our search against KerasTuner's, in equal minutes on the same images, five seeds of each.

- ours: `HyperAny` of VGG, SqueezeNet and ResNet under a budget of parameters and multiply-adds, drawn by Optuna's TPE,
  epochs by Hyperband.
- keras_tuner: its `HyperResNet`, drawn by its RandomSearch.
- autokeras: the defaults of AutoKeras' ImageBlock of the kind "vanilla" (autokeras/blocks/basic.py, ConvBlock) and its
  ClassificationHead, drawn by RandomSearch.

Each has the same wall-clock seconds on one core, its start-up included; as many run at a time as there are cores. Each
trains a candidate for the same epochs at most. When the seconds are over, the model with the best validation accuracy
after any epoch is evaluated once on the test images; for KerasTuner's also one of a trial that was cut short. The
hypervolume is that of the trials' validation accuracy against the logarithm of their multiply-adds, from 1e3 to 1e10,
as a share of the whole.

    python benchmarks/search_comparison.py [--seconds 240]     # writes docs/search_comparison.json after each run
"""

import argparse
import concurrent.futures
import contextlib
import itertools
import json
import math
import os
import pathlib
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "search_comparison.json"
METHODS = ("ours", "keras_tuner", "autokeras")
DATA = ("digits", "cifar")
SEEDS = range(5)
EPOCHS = 6
BUDGET = {"digits": (100_000, 2_000_000), "cifar": (300_000, 10_000_000)}
"""Parameters and multiply-adds, which ours may have at most."""
LEAST, MOST = 3, 10
"""Powers of ten of multiply-adds between which the hypervolume lies."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        method, data, seed = arguments.one
        print(json.dumps(one(method, data, int(seed), arguments.seconds)))
        return
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    done = {(run["method"], run["data"], run["seed"]) for run in found}
    cores = queue.SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def run(seed, data, method):
        core = cores.get()
        command = [sys.executable, __file__, "--seconds", str(arguments.seconds), "--one", method, data, str(seed)]
        try:
            ran = subprocess.run(["taskset", "-c", str(core), *command], capture_output=True, text=True, check=False)
        finally:
            cores.put(core)
        if ran.returncode:
            raise RuntimeError(ran.stderr[-3000:])
        return json.loads(ran.stdout.strip().splitlines()[-1])

    with concurrent.futures.ThreadPoolExecutor(cores.qsize()) as pool:
        runs = [
            pool.submit(run, seed, data, method)
            for seed, data, method in itertools.product(SEEDS, DATA, METHODS)
            if (method, data, seed) not in done
        ]
        for ended in concurrent.futures.as_completed(runs):
            if ended.exception():
                print(ended.exception(), file=sys.stderr, flush=True)
                continue
            found.append(ended.result())
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            last = found[-1]
            print(
                f"{last['method']} {last['data']} {last['seed']}: {last['test']:.4f}, {last['trials']} trials",
                flush=True,
            )
    if any(ended.exception() for ended in runs):
        sys.exit(1)
    for data, method in itertools.product(DATA, METHODS):
        runs = [run for run in found if (run["data"], run["method"]) == (data, method)]
        told = "; ".join(
            f"{name} {100 * mean:.1f} ± {100 * half:.1f}"
            for name, (mean, half) in (
                (name, interval([run[name] for run in runs])) for name in ("test", "hypervolume")
            )
        )
        trials = statistics.median(run["trials"] for run in runs)
        print(f"{data:7} {method:12} {told} %; {trials:g} trials (median)")


def one(method, name, seed, seconds) -> dict:
    """A search, and what it found."""
    from keras_blocks.tuning import load_dataset

    with tempfile.TemporaryDirectory() as folder:
        path = "digits" if name == "digits" else cifar(pathlib.Path(folder))
        data = load_dataset(str(path), seed=seed)
        if method == "ours":
            accuracy, points, trials = ours(data, path, name, seed, seconds, folder)
        else:
            accuracy, points, trials = theirs(method, data, seed, seconds, folder)
    return {
        "method": method,
        "data": name,
        "seed": seed,
        "seconds": seconds,
        "test": accuracy,
        "hypervolume": hypervolume(points),
        "trials": trials,
        "points": points,
    }


def ours(data, path, name, seed, seconds, folder):
    import keras

    from keras_blocks.tuning import HyperAny, HyperResNet, HyperSqueezeNet, HyperVGG, Search, SearchSettings
    from keras_blocks.tuning.storage.store import quiet_optuna
    from keras_blocks.tuning.training.fit import correct_of

    settings = SearchSettings(
        data=str(path),
        trials=100_000,
        epochs=EPOCHS,
        pruner="hyperband",
        max_params=BUDGET[name][0],
        max_macs=BUDGET[name][1],
        max_seconds=seconds,
        seed=seed,
    )
    began = time.monotonic()
    space = HyperAny([kind.from_dataset(data) for kind in (HyperVGG, HyperSqueezeNet, HyperResNet)])
    search = Search(settings, f"{folder}/run", space=space)
    with quiet_optuna():
        search.session.run()
    search.session.stop()
    print(f"took {time.monotonic() - began:.0f} s", file=sys.stderr)
    trials = [trial for trial in search.trials if trial.curves]
    best = search.best
    if best is None:
        return 1 / data.classes, [], 0
    model = keras.saving.load_model(search.folder.model(best.number))
    points = [(trial.macs, max(trial.curves["val_accuracy"])) for trial in trials]
    return correct_of(model, data.x_test, data.y_test) / len(data.x_test), points, len(trials)


class Over(BaseException):
    """The time is over: KerasTuner takes no other exception for the end of a search."""


def theirs(method, data, seed, seconds, folder):
    import keras
    import keras_tuner

    import keras_blocks
    from keras_blocks.tuning.training.fit import correct_of

    keras.utils.set_random_seed(seed)
    points, best = [], [-1.0, None]

    def over(*_):
        raise Over

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)

    class Watch(keras.callbacks.Callback):
        def __deepcopy__(self, memo):  # KerasTuner copies callbacks for each trial
            return self

        def on_train_begin(self, logs=None):
            points.append([keras_blocks.cost(self.model).macs, 0.0])

        def on_epoch_end(self, epoch, logs=None):
            points[-1][1] = max(points[-1][1], logs["val_accuracy"])
            if logs["val_accuracy"] > best[0]:
                best[:] = [logs["val_accuracy"], (self.model, self.model.get_weights())]

    shape = data.image_shape
    if method == "keras_tuner":
        hypermodel = keras_tuner.applications.HyperResNet(input_shape=shape, classes=data.classes)
        labels = [keras.utils.to_categorical(y, data.classes) for y in (data.y_train, data.y_val)]
    else:
        hypermodel, labels = lambda hp: autokeras(hp, shape, data.classes), (data.y_train, data.y_val)
    images = [x.astype("float32") * data.scale for x in (data.x_train, data.x_val, data.x_test)]
    tuner = keras_tuner.RandomSearch(
        hypermodel,
        objective="val_accuracy",
        max_trials=100_000,
        seed=seed + 1,
        directory=folder,
        project_name="kt",
        max_consecutive_failed_trials=100,
    )
    with contextlib.suppress(Over):
        tuner.search(
            images[0],
            labels[0],
            validation_data=(images[1], labels[1]),
            epochs=EPOCHS,
            callbacks=[Watch()],
            verbose=0,
        )
    if best[1] is None:  # not an epoch in all the time
        return 1 / data.classes, points, len(points)
    model, weights = best[1]
    model.set_weights(weights)
    return correct_of(model, images[2], data.y_test) / len(data.y_test), points, len(points)


def autokeras(hp, shape, classes):
    """A model as AutoKeras' defaults draw it."""
    import keras

    x = inputs = keras.Input(shape)
    size = hp.Choice("kernel_size", [3, 5, 7], default=3)
    separable, pooling = hp.Boolean("separable", default=False), hp.Boolean("max_pooling", default=True)
    conv = keras.layers.SeparableConv2D if separable else keras.layers.Conv2D
    dropout = hp.Choice("dropout", [0.0, 0.25, 0.5], default=0.0)
    for block in range(hp.Choice("num_blocks", [1, 2, 3], default=2)):
        for layer in range(hp.Choice("num_layers", [1, 2], default=2)):
            filters = hp.Choice(f"filters_{block}_{layer}", [16, 32, 64, 128, 256, 512], default=32)
            x = conv(filters, size, padding="same" if min(x.shape[1:3]) < size else "valid", activation="relu")(x)
        if pooling and min(x.shape[1:3]) >= size:
            x = keras.layers.MaxPooling2D(max(2, size - 1), padding="same")(x)
        if dropout:
            x = keras.layers.Dropout(dropout)(x)
    reduction = hp.Choice("reduction", ["flatten", "global_max", "global_avg"], default="flatten")
    layers = keras.layers
    kinds = {
        "flatten": layers.Flatten,
        "global_max": layers.GlobalMaxPooling2D,
        "global_avg": layers.GlobalAveragePooling2D,
    }
    x = kinds[reduction]()(x)
    if rate := hp.Choice("head_dropout", [0.0, 0.25, 0.5], default=0.0):
        x = keras.layers.Dropout(rate)(x)
    model = keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))
    rate = hp.Choice("learning_rate", [1e-1, 1e-2, 1e-3, 1e-4, 2e-5, 1e-5], default=1e-3)
    optimizers = {
        "adam": keras.optimizers.Adam,
        "sgd": keras.optimizers.SGD,
        "adam_weight_decay": keras.optimizers.AdamW,
    }
    optimizer = optimizers[hp.Choice("optimizer", list(optimizers), default="adam")](rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def cifar(folder):
    """The 5,000 images as a file that `load_dataset` takes."""
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    from cifar_training import load

    x_train, y_train, x_test, y_test = load()
    path = folder / "cifar.npz"
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


def hypervolume(points) -> float:
    """The share of (logarithm of multiply-adds, accuracy) that some trial is better than."""
    area, best = 0.0, 0.0
    for macs, accuracy in sorted(points):
        if accuracy > best:
            area += (accuracy - best) * (MOST - min(MOST, max(LEAST, math.log10(macs))))
            best = accuracy
    return area / (MOST - LEAST)


def interval(values):
    """The mean, and half of its 95 % interval by Student's t."""
    from scipy.stats import t

    if len(values) < 2:
        return statistics.fmean(values), math.nan
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), half


if __name__ == "__main__":
    main()
