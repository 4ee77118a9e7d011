"""Searches against each other: equal seconds, the same images and one space, five seeds of each.

- ours: `Search` with its defaults where seconds are given: networks of four sizes with the default training, then
  Optuna's TPE, with Hyperband.
- breeding: the same with `sampler="morph"`, children with their parents' weights.
- before: ours as of 0.1.0, with the pruner that it had then, where `--before` gives a checkout of it.
- hyperband, bayesian: KerasTuner's Hyperband and BayesianOptimization, which are given our space as their hypermodel.
- autokeras: the defaults of AutoKeras' ImageBlock of the kind "vanilla" (autokeras/blocks/basic.py, ConvBlock) and its
  ClassificationHead, drawn by KerasTuner's RandomSearch.
- front: ours, asked for the accuracy and for few multiply-adds. On the digits only, against AutoKeras' hypervolume.

The space is `HyperResNet` with few and narrow groups, so that nine of ten draws are within the budgets of parameters
and of multiply-adds that ours is given; KerasTuner's tuners are given that of parameters, which is all that they know.
Photos have 16x16 pixels, so that a trial takes seconds.

Each has the same seconds of the clock on one core, its start-up included. Each trains a candidate for the same epochs
at most. The model with the best validation accuracy is evaluated once on the test images; for KerasTuner's also one of
a trial that was cut short. Kept of each trial: the second in which it ended (of KerasTuner's, in which its last epoch
did), its multiply-adds, its best validation accuracy. The hypervolume is that of validation accuracy against the
logarithm of multiply-adds, from 1e3 to 1e10, as a share of the whole.

    python benchmarks/search_comparison.py [--cores 0 1] [--before FOLDER]

Writes docs/search_comparison.json after each run, goes on with what is there, and tells the tables at the end.
"""

import argparse
import concurrent.futures
import contextlib
import io
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
import zipfile

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "search_comparison.json"
SHARED = ROOT.parent / "shared" / "data"
SEEDS = 5
EPOCHS = 6
SECONDS = {"digits": 60, "sign_digits": 60, "cifar": 120}
BUDGET = {"digits": (100_000, 1_300_000), "sign_digits": (100_000, 5_000_000), "cifar": (100_000, 5_000_000)}
SIDE = 16
"""Parameters and multiply-adds."""
METHODS = ("ours", "breeding", "hyperband", "bayesian", "before", "autokeras")
ON_DIGITS = ("front",)
LEAST, MOST = 3, 10
"""Powers of ten of multiply-adds between which the hypervolume lies."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, nargs="+", default=sorted(os.sched_getaffinity(0)))
    parser.add_argument("--before", type=pathlib.Path, help="a checkout of 0.1.0")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--methods", nargs="+", choices=(*METHODS, *ON_DIGITS), default=(*METHODS, *ON_DIGITS))
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--tell", action="store_true", help="only tell what was found")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        method, data, seed, path = arguments.one
        print(json.dumps(one(method, data, int(seed), path)))
        return
    found = json.loads(arguments.results.read_text()) if arguments.results.exists() else []
    failed = False if arguments.tell else compare(arguments, found)
    for data in SECONDS:
        tell(data, [run for run in found if run["data"] == data])
    sys.exit(failed)


def compare(arguments, found) -> bool:
    """Runs what is not among `found`, adds it, and says whether something failed."""
    done = {(run["method"], run["data"], run["seed"]) for run in found}
    todo = [
        (method, data, seed)
        for seed, data in itertools.product(range(arguments.seeds), SECONDS)
        for method in arguments.methods
        if (method, data, seed) not in done and (method != "before" or arguments.before)
        if method not in ON_DIGITS or data == "digits"
    ]
    cores = queue.SimpleQueue()
    for core in arguments.cores:
        cores.put(core)
    failed = False
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(cores.qsize()) as pool:
        given = {data: images(data, pathlib.Path(folder)) for data in SECONDS}

        def run(method, data, seed):
            tree = arguments.before if method == "before" else ROOT
            environment = {**os.environ, "PYTHONPATH": str(tree.resolve()), "KERAS_BACKEND": "tensorflow"}
            core = cores.get()
            try:
                ran = subprocess.run(
                    [
                        "taskset",
                        "-c",
                        str(core),
                        sys.executable,
                        __file__,
                        "--one",
                        method,
                        data,
                        str(seed),
                        given[data],
                    ],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
            finally:
                cores.put(core)
            if ran.returncode:
                raise RuntimeError(f"{method} {data} {seed}: {ran.stderr[-3000:]}")
            return json.loads(ran.stdout.strip().splitlines()[-1])

        for ended in concurrent.futures.as_completed([pool.submit(run, *each) for each in todo]):
            if ended.exception():
                failed = True
                print(ended.exception(), file=sys.stderr, flush=True)
                continue
            found.append(last := ended.result())
            arguments.results.write_text(json.dumps(found, indent=None).replace('{"method"', '\n{"method"') + "\n")
            told = f"test {last['test']:.4f}, validation {last['accuracy']:.4f}, {len(last['points'])} trials"
            print(f"{last['method']} {last['data']} {last['seed']}: {told}", flush=True)
    return failed


def images(name, folder) -> str:
    """What `load_dataset` takes: 4,000 training and 1,000 test images of CIFAR-10, or 1,650 and 412 photos of hands."""
    if name == "digits":
        return "digits"
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    if name == "cifar":
        parts = {key: halved(value) if key.startswith("x") else value for key, value in photos().items()}
    else:
        parts = signs()
    path = folder / f"{name}.npz"
    np.savez(path, **parts)
    return str(path)


def photos():
    """4,000 and 1,000 images of CIFAR-10, as `load_dataset` takes them: pixels from 0 to 255."""
    from cifar_training import DATA, read

    with np.load(DATA / "labels.npz") as labels:
        y_train, y_test = labels["train"][:4000], labels["test"][:1000]
    x_train, x_test = (
        np.round(255 * np.concatenate([read(part) for part in parts])).astype("uint8")
        for parts in ([f"train_{i}" for i in range(4)], ["test_0"])
    )
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def halved(images):
    """The mean of each four pixels."""
    many, side = len(images), images.shape[1] // 2
    return np.round(images.reshape(many, side, 2, side, 2, 3).mean((2, 4))).astype("uint8")


def signs():
    from PIL import Image

    photos, digits = [], []
    with zipfile.ZipFile(SHARED / "sign_digits" / "sign_digits.zip") as archive:
        for name in sorted(archive.namelist()):
            if name.lower().endswith(".jpg"):
                photo = Image.open(io.BytesIO(archive.read(name))).convert("RGB").resize((SIDE, SIDE))
                photos.append(np.asarray(photo))
                digits.append(int(pathlib.PurePosixPath(name).parent.name))
    photos, digits = np.stack(photos), np.array(digits)
    order = np.random.default_rng(0).permutation(len(digits))
    test, train = order[:412], order[412:]
    return {"x_train": photos[train], "y_train": digits[train], "x_test": photos[test], "y_test": digits[test]}


def one(method, name, seed, path) -> dict:
    """A search, and what it found."""
    began, seconds = time.time(), SECONDS[name]
    from keras_blocks.tuning import load_dataset

    data = load_dataset(path, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        if method in ("ours", "breeding", "before", "front"):
            test, points = ours(method, data, path, name, seed, began + seconds, folder)
        else:
            test, points = theirs(method, data, name, seed, began + seconds, folder)
    points = [[round(ended - began, 2), macs, accuracy] for ended, macs, accuracy in points if ended <= began + seconds]
    return {
        "method": method,
        "data": name,
        "seed": seed,
        "seconds": seconds,
        "test": test,
        "accuracy": max((accuracy for *_, accuracy in points), default=0.0),
        "hypervolume": hypervolume([(macs, accuracy) for _, macs, accuracy in points]),
        "points": points,
    }


def space_for(data):
    from keras_blocks.tuning import HyperResNet, hp_range

    return HyperResNet.from_dataset(data, filters=[8, 16], groups=hp_range(2, 3), blocks=hp_range(1, 2), width=1)


def ours(method, data, path, name, seed, until, folder):
    import keras
    import optuna

    from keras_blocks.tuning import Search, SearchSettings

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    special = {
        "breeding": {"sampler": "morph"},
        "before": {"pruner": "hyperband"},
        "front": {"objectives": ("val_accuracy", "macs")},
    }
    settings = SearchSettings(
        data=path,
        trials=100_000,
        epochs=EPOCHS,
        max_params=BUDGET[name][0],
        max_macs=BUDGET[name][1],
        max_seconds=until - time.time(),
        seed=seed,
        **special.get(method, {}),
    )
    search = Search(settings, f"{folder}/run", space=space_for(data))
    session = search.engine if method == "before" else search.session
    session.run()
    session.stop()
    trials = [trial for trial in search.trials if trial.curves and trial.ended]
    points = [(trial.ended, trial.macs, max(trial.curves["val_accuracy"])) for trial in trials]
    kept = next(iter(pathlib.Path(search.folder.path, "models").glob("*.keras")), None)  # of the best trial alone
    if kept is None:
        return 1 / data.classes, points
    return correct(keras.saving.load_model(kept), data.x_test, data.y_test), points


class Over(BaseException):
    """The time is over: KerasTuner takes no other exception for the end of a search."""


def theirs(method, data, name, seed, until, folder):
    import keras
    import keras_tuner

    import keras_blocks

    keras.utils.set_random_seed(seed)
    points, best = [], [-1.0, None]

    searching = [True]

    def over(*_):
        if searching:
            raise Over

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, until - time.time(), 1)  # again, where a callback of TensorFlow's swallows it

    class Watch(keras.callbacks.Callback):
        def __deepcopy__(self, memo):  # KerasTuner copies callbacks for each trial
            return self

        def on_train_begin(self, logs=None):
            points.append([until, keras_blocks.cost(self.model).macs, 0.0])

        def on_epoch_end(self, epoch, logs=None):
            points[-1][0], points[-1][2] = time.time(), max(points[-1][2], logs["val_accuracy"])
            if logs["val_accuracy"] > best[0]:
                best[:] = [logs["val_accuracy"], (self.model, self.model.get_weights())]

    shared = {
        "objective": "val_accuracy",
        "seed": seed + 1,
        "directory": folder,
        "project_name": "kt",
        "max_consecutive_failed_trials": 1000,
    }
    images, fit = [data.x_train, data.x_val, data.x_test], {"epochs": EPOCHS}
    if method == "autokeras":
        shape, classes = data.image_shape, data.classes
        tuner = keras_tuner.RandomSearch(lambda hp: autokeras(hp, shape, classes), max_trials=100_000, **shared)
        images = [x.astype("float32") * data.scale for x in images]
    elif method == "hyperband":
        shared |= {"max_epochs": EPOCHS, "hyperband_iterations": 1000, "max_model_size": BUDGET[name][0]}
        tuner, fit = keras_tuner.Hyperband(space_for(data), **shared), {}
    else:
        shared |= {"max_trials": 100_000, "max_model_size": BUDGET[name][0]}
        tuner = keras_tuner.BayesianOptimization(space_for(data), **shared)
    with contextlib.suppress(Over):
        try:
            tuner.search(
                images[0],
                data.y_train,
                validation_data=(images[1], data.y_val),
                callbacks=[Watch()],
                verbose=0,
                **fit,
            )
        finally:
            searching.clear()
    signal.setitimer(signal.ITIMER_REAL, 0)
    points = [point for point in points if point[2]]
    if best[1] is None:  # not an epoch in all the time
        return 1 / data.classes, points
    model, weights = best[1]
    model.set_weights(weights)
    return correct(model, images[2], data.y_test), points


def correct(model, images, labels) -> float:
    return float(np.mean(np.argmax(model.predict(images, verbose=0), axis=-1) == np.ravel(labels)))


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


def tell(data, runs):
    """The means of each method, and how soon it has the validation accuracy that others end with."""
    methods = [method for method in (*METHODS, *ON_DIGITS) if any(run["method"] == method for run in runs)]
    of = {method: {run["seed"]: run for run in runs if run["method"] == method} for method in methods}
    for method in methods:
        told = [
            "{:.1f} ± {:.1f} %".format(*(100 * each for each in interval([run[name] for run in of[method].values()])))
            for name in ("test", "accuracy", "hypervolume")
        ]
        trials = statistics.median(len(run["points"]) for run in of[method].values())
        print(f"| {data} | {method} | {' | '.join(told)} | {trials:g} |")
    for method, other in itertools.permutations(methods, 2):
        seeds = of[method].keys() & of[other].keys()
        shares = sorted(reached(of[method][seed], of[other][seed]["accuracy"]) for seed in seeds)
        told = ", ".join("never" if share == math.inf else f"{100 * share:.0f} %" for share in shares)
        middle = statistics.median(shares)
        mean = statistics.fmean(of[other][seed]["accuracy"] for seed in seeds)
        share = reached_in_the_mean([of[method][seed] for seed in seeds], mean)
        in_the_mean = "never" if share == math.inf else f"{100 * share:.0f} %"
        print(
            f"{data}: {method} has what {other} ends with after {told} of the time; median {middle:.2f}; "
            f"in the mean of the seeds after {in_the_mean}"
        )


def reached(run, accuracy) -> float:
    """The share of the time after which a run's best is at least this; infinite where it never is."""
    return min((ended / run["seconds"] for ended, _, value in run["points"] if value >= accuracy), default=math.inf)


def reached_in_the_mean(runs, accuracy) -> float:
    """The share of the time after which the mean of these runs' bests is at least this; infinite where it never is."""
    shares = sorted(ended / run["seconds"] for run in runs for ended, *_ in run["points"])

    def best(run, share):
        return max((value for ended, _, value in run["points"] if ended <= share * run["seconds"]), default=0.0)

    return next((share for share in shares if statistics.fmean(best(run, share) for run in runs) >= accuracy), math.inf)


if __name__ == "__main__":
    main()
