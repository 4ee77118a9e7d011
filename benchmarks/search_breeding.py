"""The search that breeds against the default one and KerasTuner's Hyperband, in equal minutes on the same space.

- breeding: `sampler="morph"`, children with their parents' weights.
- default: Optuna's TPE, with Hyperband as the pruner, as `Search` has them where seconds are given.
- keras_tuner: KerasTuner's Hyperband, which is given the space as its hypermodel. It knows no budget of multiply-adds.

The space is `HyperResNet` under a budget of parameters and multiply-adds, and the seconds are those of the clock, the
start-up included; one run after another, each on all cores. Kept of each run: the validation accuracy of each trial and
when it ended, that is the curve of the best so far, and the hypervolume as `search_comparison` has it. Told at the end:
the final accuracy, the hypervolume, and the share of the time in which an arm has what the others end with.

    python benchmarks/search_breeding.py [--seconds 600] [--seeds 5] [--data digits sign_digits cifar]

Writes docs/search_breeding.json after each run, and goes on with what is there.
"""

import argparse
import contextlib
import itertools
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from search_comparison import EPOCHS, ROOT, cifar, hypervolume, interval

RESULTS = ROOT / "docs" / "search_breeding.json"
METHODS = ("breeding", "default", "keras_tuner")
SIGNS = ROOT.parent / "shared" / "data" / "sign_digits" / "sign_digits.zip"
BUDGET = {"digits": (100_000, 2_000_000), "sign_digits": (300_000, 20_000_000), "cifar": (300_000, 20_000_000)}
"""Parameters and multiply-adds, which ours may have at most."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", nargs="+", choices=list(BUDGET), default=list(BUDGET))
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        method, data, seed = arguments.one
        print(json.dumps(one(method, data, int(seed), arguments.seconds)))
        return
    found = json.loads(arguments.results.read_text()) if arguments.results.exists() else []
    done = {(run["method"], run["data"], run["seed"]) for run in found}
    for seed, data, method in itertools.product(range(arguments.seeds), arguments.data, METHODS):
        if (method, data, seed) in done:
            continue
        command = [sys.executable, __file__, "--seconds", str(arguments.seconds), "--one", method, data, str(seed)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise RuntimeError(ran.stderr[-3000:])
        found.append(json.loads(ran.stdout.strip().splitlines()[-1]))
        arguments.results.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{method} {data} {seed}: {found[-1]['accuracy']:.4f}, {len(found[-1]['points'])} trials", flush=True)
    for data in arguments.data:
        tell(data, [run for run in found if run["data"] == data])


def tell(data, runs):
    """The means of each arm, and how soon it has what the others end with."""
    for method in METHODS:
        mine = {run["seed"]: run for run in runs if run["method"] == method}
        for name in ("accuracy", "hypervolume"):
            mean, half = interval([run[name] for run in mine.values()])
            print(f"{data:12} {method:12} {name:12} {100 * mean:.2f} ± {100 * half:.2f} %")
        for other in METHODS:
            theirs = {run["seed"]: run["accuracy"] for run in runs if run["method"] == other}
            shares = [reached(run, theirs[seed]) for seed, run in mine.items() if seed in theirs]
            if other != method and shares:
                told = [f"{100 * share:.0f} %" if share is not None else "never" for share in shares]
                middle = statistics.median(share if share is not None else 9.99 for share in shares)
                print(
                    f"{'':12} {'':12} what {other} ends with after {', '.join(told)} of the time; median {middle:.2f}"
                )


def reached(run, accuracy):
    """The share of the time after which a run's best is at least this; `None` where it never is."""
    times = [seconds for seconds, _, value in run["points"] if value >= accuracy]
    return min(times) / run["seconds"] if times else None


def one(method, name, seed, seconds) -> dict:
    """A search, and what it found: of each trial its last second, its multiply-adds and its accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        path = given(name, pathlib.Path(folder))
        began = time.time()
        points = (theirs if method == "keras_tuner" else ours)(method, path, name, seed, seconds, folder, began)
    points = [point for point in points if point[0] <= seconds]
    return {
        "method": method,
        "data": name,
        "seed": seed,
        "seconds": seconds,
        "accuracy": max((value for *_, value in points), default=0.0),
        "hypervolume": hypervolume([(macs, value) for _, macs, value in points]),
        "points": points,
    }


def given(name, folder):
    """What `load_dataset` takes."""
    if name == "digits":
        return "digits"
    if name == "cifar":
        return str(cifar(folder))
    with zipfile.ZipFile(SIGNS) as file:
        for one in file.namelist():
            if one.endswith(".jpg") and one[0].isdigit():
                file.extract(one, folder / "signs")
    return str(folder / "signs")


def ours(method, path, name, seed, seconds, folder, began):
    from keras_blocks.tuning import HyperResNet, Search, SearchSettings
    from keras_blocks.tuning.storage.store import quiet_optuna

    settings = SearchSettings(
        data=path,
        image_size=(32, 32) if name == "sign_digits" else None,
        trials=100_000,
        epochs=EPOCHS,
        sampler="morph" if method == "breeding" else "tpe",
        max_params=BUDGET[name][0],
        max_macs=BUDGET[name][1],
        max_seconds=seconds,
        seed=seed,
    )
    search = Search(settings, f"{folder}/run", space=HyperResNet.from_dataset(settings.dataset()))
    with quiet_optuna():
        search.session.run()
    search.session.stop()
    trials = [trial for trial in search.trials if trial.curves and trial.ended is not None]
    return [(round(trial.ended - began, 2), trial.macs, max(trial.curves["val_accuracy"])) for trial in trials]


def theirs(method, path, name, seed, seconds, folder, began):
    import keras
    import keras_tuner

    import keras_blocks
    from keras_blocks.tuning import HyperResNet, load_dataset

    data = load_dataset(path, seed=seed, image_size=(32, 32) if name == "sign_digits" else None)
    keras.utils.set_random_seed(seed)
    points = []

    class Watch(keras.callbacks.Callback):
        def __deepcopy__(self, memo):  # KerasTuner copies callbacks for each trial
            return self

        def on_train_begin(self, logs=None):
            points.append([0.0, keras_blocks.cost(self.model).macs, 0.0])

        def on_epoch_end(self, epoch, logs=None):
            points[-1][0] = round(time.time() - began, 2)
            points[-1][2] = max(points[-1][2], logs["val_accuracy"])

        def on_train_batch_end(self, batch, logs=None):
            if time.time() - began > seconds:
                raise Over

    tuner = keras_tuner.Hyperband(
        HyperResNet.from_dataset(data),
        objective="val_accuracy",
        max_epochs=EPOCHS,
        hyperband_iterations=1000,
        seed=seed + 1,
        directory=folder,
        project_name="kt",
        max_model_size=BUDGET[name][0],
        max_consecutive_failed_trials=1000,
    )
    arrays = (data.x_train, data.y_train)
    with contextlib.suppress(Over):
        tuner.search(*arrays, validation_data=(data.x_val, data.y_val), callbacks=[Watch()], verbose=0)
    return points


class Over(BaseException):
    """The time is over: KerasTuner takes no other exception for the end of a search."""


if __name__ == "__main__":
    main()
