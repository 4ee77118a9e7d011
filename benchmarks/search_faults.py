"""A search of 200 trials on real images, to which everything happens that can, and what is left of it at the end.

Faults: kill -9 of the search, which is started again with the same command; kill -9 of the process that trains; trials
that hang, run out of memory, diverge to NaN, or make no model; a full disk. The run folder lies on a small file system
of its own, a tmpfs, for which this must run as root; otherwise the disk is not filled.

    python benchmarks/search_faults.py [--trials 200]     # writes docs/search_faults.json
"""

import argparse
import collections
import contextlib
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import optuna
import psutil

from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.storage.store import sqlite_url
from keras_blocks.tuning.storage.trial import Trial

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "search_faults.json"
MEMORY = 3 * 2**30
BUDGET = 60_000
KEEP = 5
DISK = "48m"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--searching", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.searching:
        search(arguments.searching, arguments.trials)
        return
    with small_disk() as (folder, limited):
        summary = watch(folder / "run", arguments.trials, limited)
    print(json.dumps(summary, indent=2))
    RESULTS.write_text(json.dumps(summary, indent=2) + "\n")
    if summary["problems"]:
        sys.exit(1)


def search(run, trials):
    """What a user's own script would be."""
    from faulty_space import HyperFaulty
    from rich.console import Console

    from keras_blocks.tuning.report.terminal import Progress
    from keras_blocks.tuning.search.search import SearchFailed

    space = HyperFaulty(
        (8, 8, 1), 10, scale=1 / 16, groups=1, group1_blocks=1, augmentation="none", bypass=None, batch_size=64
    )
    settings = SearchSettings(
        data="digits",
        trials=trials,
        epochs=2,
        final_epochs=2,
        sampler="random",
        max_params=BUDGET,
        max_trial_seconds=45,
        max_memory=MEMORY,
        keep=KEEP,
        grace=15,
    )
    try:
        with Progress(Console(width=150)) as progress:
            Search(settings, run, space=space).run(progress)
    except SearchFailed as error:
        sys.exit(f"{error}")


@contextlib.contextmanager
def small_disk():
    """(a folder, whether it is on a small file system of its own)."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=False)
        try:
            yield pathlib.Path(folder), mounted.returncode == 0
        finally:
            if mounted.returncode == 0:
                subprocess.run(["umount", "--lazy", folder], check=False)


def watch(run, trials, limited) -> dict:
    """Runs the search, does it harm, and looks at what is left."""
    faults = collections.Counter()
    at = [trials * share // 100 for share in (6, 12, 18, 24, 30, 36, 42)]
    harm = dict(zip(at, ["search", "trial", "search", "trial", "disk" if limited else "trial", "trial", "search"]))
    ballast = run.parent / "ballast"
    began, sessions, finished, memory = time.monotonic(), [], {}, []
    command = [sys.executable, __file__, "--searching", str(run), "--trials", str(trials)]
    problems = []
    while len(sessions) < 20:
        process = subprocess.Popen(command)
        while process.poll() is None:
            time.sleep(0.5)
            found = read(run)
            problems += lost(finished, found)
            finished |= {trial.number: (trial.status, trial.objectives) for trial in found if trial.ended is not None}
            done = sum(trial.counted for trial in found if trial.ended is not None)
            memory.append((done, len(sessions), *resident(process.pid)))
            if harm and done >= min(harm) and (training := trains(process.pid)):
                what = harm.pop(min(harm))
                faults[f"kill -9 of the {what}" if what != "disk" else "a full disk"] += 1
                if what == "search":
                    process.send_signal(signal.SIGKILL)
                elif what == "trial":
                    training.send_signal(signal.SIGKILL)
                else:
                    fill(ballast)
        sessions.append(process.returncode)
        ballast.unlink(missing_ok=True)
        if process.returncode == 0:
            break
    return summary_of(run, trials, began, sessions, faults, memory, problems)


def summary_of(run, trials, began, sessions, faults, memory, problems) -> dict:
    """What is left, and what is wrong with it."""
    found = read(run)
    counted = [trial for trial in found if trial.counted]
    failures = collections.Counter(kind(trial.error) for trial in found if trial.error)
    kept = sorted(int(path.stem) for path in (run / "models").glob("*.keras"))
    completed = sorted((t for t in found if t.completed), key=lambda t: (-t.val_accuracy, t.val_loss, t.number))
    built = [trial for trial in counted if trial.params > BUDGET]
    # In the last session, without its beginning; medians, as a trial that eats memory on purpose is seen, too.
    last = [row for row in memory if row[1] == len(sessions) - 1 and row[3] > 0]
    settled = [row for row in last if row[0] > last[0][0] + (trials - last[0][0]) // 10]
    third = len(settled) // 3
    used = {
        name: [round(statistics.median(row[i] for row in rows) / 2**20) for rows in (settled[:third], settled[-third:])]
        for name, i in (("search", 2), ("training", 3))
    }
    growth = {name: round(after / before - 1, 3) for name, (before, after) in used.items()}
    checks = {
        "the search did not end": sessions[-1] != 0,
        "trials are missing": len(counted) != trials or any(trial.ended is None for trial in found),
        "numbers are missing": [trial.number for trial in found] != list(range(len(found))),
        "a candidate was run twice": len({t.signature for t in counted}) != len(counted),
        "a model over the budget was built": bool(built),
        "other models are kept than the best": kept != sorted(trial.number for trial in completed[:KEEP]),
        "checkpoints are left": any((run / "checkpoints").iterdir()),
        "memory grew": max(growth.values()) >= 0.1,
    }
    return {
        "trials": len(counted),
        "states": dict(collections.Counter(trial.status for trial in found)),
        "harm done": dict(faults),
        "reasons": dict(failures),
        "sessions": sessions,
        "given to a second worker": sum(trial.attempt > 1 for trial in found),
        "models kept": kept,
        "best validation accuracy": completed[0].val_accuracy,
        "MB of memory in the first and last third of the last session": used,
        "growth": growth,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "problems": [*problems, *(name for name, wrong in checks.items() if wrong)],
    }


def read(run) -> list[Trial]:
    """The trials, as anyone can read them while the search writes."""
    path = RunFolder(run).study
    if not path.exists():
        return []
    try:
        storage = optuna.storages.RDBStorage(sqlite_url(path), skip_table_creation=True)
        try:
            study = optuna.load_study(study_name=run.name, storage=storage)
            return [Trial.of(frozen) for frozen in study.get_trials(deepcopy=False)]
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except Exception as error:  # before the tables are there, or while the disk is full
        print("not readable now:", str(error).splitlines()[0])
        return []


def lost(finished, found) -> list[str]:
    """Finished trials that are gone, or are others now."""
    now = {trial.number: (trial.status, trial.objectives) for trial in found}
    return [f"trial {n} was {was}, is {now.get(n)}" for n, was in finished.items() if found and now.get(n) != was]


def trains(pid):
    """The process that trains, of a search."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return next(iter(psutil.Process(pid).children()), None)


def resident(pid) -> tuple[int, int]:
    """Bytes of the search, and of the process that trains."""
    with contextlib.suppress(psutil.NoSuchProcess):
        training = trains(pid)
        return psutil.Process(pid).memory_info().rss, training.memory_info().rss if training else 0
    return 0, 0


def fill(path):
    """Writes until nothing more can be written."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**12))


def kind(error) -> str:
    """A reason without its figures."""
    for name in ("parameters are more", "hung", "out of memory", "diverged", "SIGKILL", "invalid"):
        if name in error:
            return {"parameters are more": "over the budget"}.get(name, name)
    return error


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    main()
