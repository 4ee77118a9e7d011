"""A night's search that breeds: 8 hours of two cores, CIFAR-10, accuracy against multiply-adds.

CIFAR-10 in full where Keras can download it, or has; else the 5,000 images beside the repository. The space is
`HyperResNet` under a budget of parameters and multiply-adds, the sampler "morph": children of the front begin with
their parents' weights. Killed, or ended before its time, the same command goes on; with more hours, a search that has
ended goes on, too. What has come out is written when it ends, also by Ctrl-C, and by `--write` at any time:

    KERAS_BACKEND=torch python benchmarks/overnight.py [--hours 8] [--run runs/overnight] [--write]

docs/overnight.csv has the trials, docs/overnight.svg the front, docs/overnight.json how far it was run, on what, and
the networks of the front. The time is that of all sessions together, without the last training of the best network.
"""

import argparse
import json
import os
import pathlib
import platform
import signal
import sys

import keras
import numpy as np
from rich.console import Console

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "docs"))
from search_comparison import ROOT, photos

from generator.front import as_svg, read
from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.objectives import front
from keras_blocks.tuning.report.terminal import Progress
from keras_blocks.tuning.storage.trial import write_csv

OBJECTIVES = ("val_accuracy", "macs")
FINAL_EPOCHS = 5
"""So many times a trial's epochs is the best one trained for at the end."""


def images(run):
    """What `SearchSettings.data` is given: what a run that is there was begun with, else the larger that there is."""
    few = run.with_name(f"{run.name}_images") / "cifar.npz"
    if few.exists():
        return str(few)
    try:
        keras.datasets.cifar10.load_data()
    except Exception as error:  # of a download, whatever goes wrong
        print(f"CIFAR-10 cannot be downloaded ({error}): 5,000 of its images are searched with", flush=True)
        few.parent.mkdir(parents=True, exist_ok=True)
        part = few.with_name("part.npz")
        np.savez(part, **photos())
        os.replace(part, few)
        return str(few)
    return "cifar10"


def written(search, options, result):
    """Writes what has come out so far."""
    trials, judged = search.trials, search.settings.judged_by
    best = front(trials, judged)
    if not best:
        print("no trial is completed yet")
        return
    docs = ROOT / "docs"
    write_csv(trials, docs / "overnight.csv", OBJECTIVES)
    many = {status: sum(trial.status == status for trial in trials) for status in {trial.status for trial in trials}}
    data = search.dataset
    title = f"{many.get('completed', 0)} ResNets on {data.name}"
    svg = as_svg(read(docs / "overnight.csv", "macs"), title, "multiply-adds")
    (docs / "overnight.svg").write_text(svg)
    told = {
        "hours": options.hours,
        "seconds_of_trials": round(sum(trial.seconds or 0 for trial in trials)),
        "workers": options.workers,
        "cores": len(os.sched_getaffinity(0)),
        "machine": f"{platform.machine()}, {platform.system()}",
        "backend": f"{keras.backend.backend()}, Keras {keras.__version__}",
        "data": data.name,
        "images": {part: len(getattr(data, f"y_{part}")) for part in ("train", "val", "test")},
        "image_size": list(data.image_shape[:2]),
        "epochs": options.epochs,
        "budget": {"macs": options.max_macs, "parameters": options.max_params},
        "trials": dict(sorted(many.items())),
        "exact": sum(trial.start == "exact" for trial in trials),
        "best_on_test": None if result is None else round(result["test_accuracy"], 4),
        "front": [
            {
                "trial": trial.number,
                "val_accuracy": round(trial.val_accuracy, 4),
                "macs": trial.macs,
                "parameters": trial.params,
                "parent": trial.parent,
                "metaparameters": trial.metaparameters,
            }
            for trial in best
        ],
    }
    (docs / "overnight.json").write_text(json.dumps(told, indent=1, default=list) + "\n")
    for one in told["front"]:
        print(f"{one['val_accuracy']:.4f} {one['macs']:12,} multiply-adds, {one['parameters']:9,} parameters")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=8)
    parser.add_argument("--run", type=pathlib.Path, default=ROOT / "runs" / "overnight")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8, help="of a trial")
    parser.add_argument("--data", help="in place of CIFAR-10, what `load_dataset` takes, for a try")
    parser.add_argument("--max-macs", type=int, default=40_000_000)
    parser.add_argument("--max-params", type=int, default=600_000)
    parser.add_argument("--write", action="store_true", help="write what has come out so far, and end")
    options = parser.parse_args()
    settings = SearchSettings(
        model="resnet",
        data=options.data or images(options.run),
        trials=1_000_000,
        epochs=options.epochs,
        final_epochs=FINAL_EPOCHS * options.epochs,
        sampler="morph",
        objectives=OBJECTIVES,
        max_macs=options.max_macs,
        max_params=options.max_params,
        max_seconds=3600 * options.hours,
        workers=options.workers,
    )
    search, result = Search(settings, options.run), None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it as Ctrl-C does
    try:
        if not options.write:
            with Progress(Console()) as progress:
                result = search.run(progress)
    except KeyboardInterrupt:
        print("ended before its time: the same command goes on", flush=True)
    finally:
        written(search, options, result)
        search.close()


if __name__ == "__main__":
    main()
