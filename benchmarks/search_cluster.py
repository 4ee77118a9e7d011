"""Workers of one search that are killed, on PostgreSQL and on SQLite, and how the workers' number multiplies.

First, `keras-blocks worker` processes share a study, one of them is killed -9 every minute and replaced, and every
trial is accounted for at the end: four workers on a real PostgreSQL server on loopback, two on SQLite. Then workers
whose trials only sleep, one to four: as many times the trials of one in the same time, where cores are not short.

    PYTHONPATH=tests/tuning python benchmarks/search_cluster.py [--minutes 10]      # writes docs/search_cluster.json
"""

import argparse
import collections
import contextlib
import json
import multiprocessing
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import optuna
import postgres

from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.settings import SearchSettings as Settings
from keras_blocks.tuning.search.worker import Worker
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.store import StudyStorage, sqlite_url
from keras_blocks.tuning.study.pruners import make_pruner
from keras_blocks.tuning.study.samplers import make_sampler
from keras_blocks.tuning.study.study import Study
from keras_blocks.tuning.trials.supervisor import Outcome

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "search_cluster.json"
PARTS = {"groups": 1, "group1_blocks": 1, "bypass": None, "augmentation": "none"}
SLEEP, SLEEPS = 2.0, 24


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", default="", help="the parts that have this in their names: workers, sleep, SQLite")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder, postgres.server() as database:
        folder = pathlib.Path(folder)
        parts = {
            "four workers on PostgreSQL": lambda: killed(folder / "four", database("four"), 4, arguments.minutes),
            "two workers on SQLite": lambda: killed(
                folder / "two", sqlite_url(folder / "shared.db"), 2, arguments.minutes
            ),
            "trials that sleep, on PostgreSQL": lambda: throughput(lambda n: database(f"sleep{n}"), folder),
            "trials that sleep, on SQLite": lambda: throughput(lambda n: sqlite_url(folder / f"sleep{n}.db"), folder),
        }
        for name, run in parts.items():
            if arguments.only in name:
                found[name] = run()
                print(name, json.dumps(found[name], indent=2), flush=True)
                RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    if any(run.get("problems") for run in found.values()):
        sys.exit(1)


def killed(run, url, workers, minutes) -> dict:
    """Runs workers for so long, kills one each minute, and looks at every trial."""
    parts = {name: {"fixed": value} for name, value in PARTS.items()}
    settings = SearchSettings(data="digits", trials=10_000, epochs=2, parts=parts, sampler="random", grace=20)
    search = Search(settings, run, storage=url)
    command = [str(pathlib.Path(sys.executable).with_name("keras-blocks")), "worker", "--study", run.name]
    command += ["--storage", url, "--run", str(run)]
    rng, kills, began = random.Random(0), 0, time.monotonic()
    running = [start(command) for _ in range(workers)]
    ends = {}
    problems = []
    while (seconds := time.monotonic() - began) < 60 * minutes:
        time.sleep(1)
        for trial in search.trials:
            if trial.ended is not None and ends.setdefault(trial.number, told(trial)) != told(trial):
                problems.append(f"trial {trial.number} ended twice: {ends[trial.number]}, {told(trial)}")
        if seconds > 60 * (kills + 1) - 5:
            victim = rng.randrange(workers)
            running[victim].kill()
            running[victim].wait()
            running[victim] = start(command)
            kills += 1
        for process in running:
            if process.poll() is not None:
                problems.append(f"a worker ended with {process.returncode}")
                running.remove(process)
    # The last trials are run to their end: the study asks for no more than there are.
    asked = sum(trial.counted for trial in search.trials)
    for process in running:
        process.terminate()
    for process in running:
        process.wait()
    settings = SearchSettings(**{**vars(settings), "trials": asked, "final_epochs": 1, "workers": 2})
    finishing = Search(settings, run, storage=url)
    finishing.run()
    trials = finishing.trials
    counted = [trial for trial in trials if trial.counted]
    checks = {
        "numbers are missing": [trial.number for trial in trials] != list(range(len(trials))),
        "a trial has no end": any(trial.ended is None for trial in trials),
        "a trial changed after its end": any(ends[t.number] != told(t) for t in trials if t.number in ends),
        "a candidate was run twice": len({trial.signature for trial in counted}) != len(counted),
        "a trial failed": any(trial.status == "failed" for trial in counted),
        "too few kills": kills < int(minutes),
    }
    return {
        "minutes": minutes,
        "workers killed": kills,
        "trials": len(counted),
        "states": dict(collections.Counter(trial.status for trial in trials)),
        "given to a second worker": sum(trial.attempt > 1 for trial in trials),
        "workers that ended trials": len({trial.worker for trial in counted}),
        "problems": [*problems, *(name for name, wrong in checks.items() if wrong)],
    }


def start(command):
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def told(trial):
    return trial.status, trial.objectives, trial.worker


class Sleeping:
    """Trains nothing, and takes its time over it."""

    def run(self, request, *, epoch, keep, idle):
        until = time.monotonic() + SLEEP
        while time.monotonic() < until:
            idle()
            time.sleep(0.05)
        return Outcome(Status.COMPLETED, {"val_accuracy": 0.5, "val_loss": 1.0, "epochs": 1})

    def stop(self): ...


def throughput(url, folder) -> dict:
    """Trials in a time, for one, two and four workers, over as many times one worker's."""
    rates = {}
    for workers in (1, 2, 4):
        where, ready = url(workers), multiprocessing.get_context("spawn").Barrier(workers)
        processes = [
            multiprocessing.get_context("spawn").Process(target=sleep, args=(where, str(folder), i, ready))
            for i in range(workers)
        ]
        study(where).close()
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        opened = study(where)
        trials = opened.trials()
        opened.close()
        assert sum(trial.completed for trial in trials) == SLEEPS
        rates[workers] = SLEEPS / (max(t.ended for t in trials) - min(t.began for t in trials))
    return {
        "trials a second": {str(n): round(rate, 3) for n, rate in rates.items()},
        "over N times one worker's": {str(n): round(rate / n / rates[1], 3) for n, rate in rates.items()},
    }


def sleep(url, folder, number, ready):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    opened = study(url)
    ready.wait()
    Worker(f"w{number}", opened, Sleeping(), RunFolder(f"{folder}/sleep"), Settings(sampler="random")).run()
    opened.close()


def study(url):
    import keras_tuner

    from keras_blocks.tuning.user_spaces.keras_tuner_space import KerasTunerSpace

    hp = keras_tuner.HyperParameters()
    for i in range(12):
        hp.Float(f"x{i}", 0.0, 1.0)
    return Study(
        StudyStorage(url),
        "sleep",
        space=KerasTunerSpace(hp.space),
        sampler=make_sampler("random", 0),
        pruner=make_pruner("none", 1),
        directions=["maximize"],
        identity={},
        inspect=lambda values: {
            "architecture": "None",
            "metaparameters": {},
            "hyperparameters": {},
            "signature": str(values),
        },
        max_trials=SLEEPS,
    )


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
