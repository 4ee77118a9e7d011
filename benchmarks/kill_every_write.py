"""Kill -9 at every write of a whole search, gone on with by the same command: what is lost, done twice, or different.

A write is a file that is opened to be written, renamed or removed, a folder that is made, a statement that changes the
study, and its commit, in the search's process and in the one that trains. At each the process is killed before it and,
where there is something to tear, with half of it done; before the next one is after it. Trainings are not real: their
results follow from the candidates, so that a search takes a second, but they write the files that real ones write.

    python benchmarks/kill_every_write.py [--points 60]     # writes docs/kill_every_write.json
"""

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
import zlib

ROOT = pathlib.Path(__file__).absolute().parents[1]
RESULTS = ROOT / "docs" / "kill_every_write.json"
TRIALS, EPOCHS = 3, 2
PLAN = "KILL_EVERY_WRITE"
"""Variable of the process that trains: its own plan, as JSON."""

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
HISTORY = {name: [0.5, 0.4] for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")}

EVENTS = {"open": 0, "os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0}
"""Audit event -> which of its arguments is the path."""


class Shim:
    """Counts the writes of this process below a folder, and kills it at one of them.

    Args:
        folder: what lies elsewhere does not count.
        log: a file, to which each write is told.
        at: number of the write at which to kill; `None` for none.
        torn: whether half of it is done then.
    """

    def __init__(self, folder, log, at=None, torn=False):
        self.folder, self.at, self.torn = str(folder), at, torn
        self.count, self.lock, self.changed = 0, threading.RLock(), threading.local()
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        sys.addaudithook(self.audit)

    def audit(self, event, arguments):
        if event not in EVENTS or (event == "open" and not (arguments[2] or 0) & WRITES):
            return
        path = arguments[EVENTS[event]]
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(self.folder):
            source = arguments[0] if event == "os.rename" else None
            self.write(f"{event} {name_of(path)}", lambda: tear(source))

    def watch_statements(self):
        """Those of SQLAlchemy: SQLite writes out of Python's sight."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        @event.listens_for(Engine, "before_cursor_execute")
        def before(connection, cursor, statement, parameters, context, many):
            verb, _, rest = statement.strip().partition(" ")
            if verb in ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP"):
                self.changed.yes = True
                self.write(f"{verb} {' '.join(rest.split()[:2])}", None)

        @event.listens_for(Engine, "commit")
        def commit(connection):
            if getattr(self.changed, "yes", False):
                self.changed.yes = False
                self.write("COMMIT", None)

    def write(self, what, tear):
        with self.lock:
            number, self.count = self.count, self.count + 1
            os.write(self.log, f"{json.dumps([number, what])}\n".encode())
            if number == self.at:
                if self.torn:
                    tear()  # which is a write, too: the lock is one for that
                os.kill(os.getpid(), signal.SIGKILL)


def name_of(path):
    """A file's name without what is different each time."""
    name = os.path.basename(os.fspath(path).rstrip("/"))
    return name.split("-", 2)[2] if name.startswith(".part-") else name


def tear(path):
    """Leaves half of a file."""
    if path is not None and os.path.isfile(path):
        handle = os.open(path, os.O_WRONLY)
        os.ftruncate(handle, os.path.getsize(path) // 2)
        os.close(handle)


# -- the process that trains -------------------------------------------------------------------------------------------


def train(handle):
    """Speaks as `trial_process` does, writes what it writes, and needs the standard library alone."""
    sys.path.insert(0, str(ROOT / "tests" / "tuning"))
    import fake_child

    files, protocol = fake_child.loaded("files.py"), fake_child.loaded("search", "protocol.py")
    plan = json.loads(os.environ[PLAN])
    killed = pathlib.Path(plan["log"] + ".killed")
    at = None if plan["at"] is None or killed.exists() else plan["at"]
    if at is not None:
        killed.touch()  # only the first process is killed
    Shim(plan["folder"], plan["log"], at, plan["torn"])

    def write(path, text):
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as part:
            part.write_text(text)

    for line, request in fake_child.requests(protocol, handle):
        if isinstance(request, protocol.FinalRequest):
            folder = pathlib.Path(request.folder)
            line.say(protocol.Epoch(1, {}))
            result = {"test_accuracy": 0.9, "test_correct": 54, "test_images": 60, "kept_epoch": 1, "params": 5}
            result |= {"val_accuracy": 0.8, "val_loss": 0.4, "seconds": 0.01, "history": HISTORY, **request.candidate}
            result |= {**request.notes, "epochs": request.epochs}
            write(folder / "best.keras", "best" * 100)
            write(folder / "test.npz", "test" * 100)
            files.write_json(folder / "result.json", result)
            line.say(protocol.Trained(result))
            continue
        score = zlib.crc32(json.dumps(request.candidate, sort_keys=True).encode()) / 2**32
        checkpoint = pathlib.Path(request.checkpoint)
        resumed = len(checkpoint.read_text()) if checkpoint.exists() else 0
        for epoch in range(resumed + 1, request.epochs + 1):
            os.write(1, f"trained {request.number} {epoch}\n".encode())
            if epoch < request.epochs:
                write(checkpoint, "x" * epoch)
            line.say(protocol.Epoch(epoch, {"val_accuracy": score}))
        result = {"epochs": request.epochs, "resumed": resumed, "val_accuracy": score, "val_loss": 1 - score}
        result |= {"device": None, "curves": {"val_accuracy": [score] * request.epochs}, "seconds": 0.01}
        if line.ask(protocol.Trained(result)):
            write(request.model, "model")
            line.say(protocol.Kept())


# -- the search --------------------------------------------------------------------------------------------------------


def search(run, log, plan):
    """A whole search in a process of its own, which has all imported before; gives what became of it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            mine = {key: plan[key] if plan["role"] == "search" else None for key in ("at", "torn")}
            its = {key: plan[key] if plan["role"] == "training" else None for key in ("at", "torn")}
            os.environ[PLAN] = json.dumps({**its, "folder": str(run), "log": f"{log}.training"})
            Shim(run, f"{log}.search", mine["at"], mine["torn"]).watch_statements()
            run_search(run)
            code = 0
        except BaseException as error:
            print(f"{plan}:", *traceback.format_exception(error), file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def run_search(run):
    from keras_blocks.tuning import HyperSqueezeNet, Search, SearchSettings, load_dataset
    from keras_blocks.tuning.trials import supervisor

    supervisor.COMMAND = (sys.executable, str(pathlib.Path(__file__).absolute()), "--train")
    space = HyperSqueezeNet.from_dataset(load_dataset("digits"))
    settings = SearchSettings(data="digits", trials=TRIALS, epochs=EPOCHS, final_epochs=2, sampler="random", keep=2)
    Search(settings, run, space=space).run()


def left(run):
    """What is in the study and the folder, without times and names that are others each time."""
    import optuna

    from keras_blocks.tuning.run_folder import RunFolder
    from keras_blocks.tuning.storage.store import sqlite_url
    from keras_blocks.tuning.storage.trial import Trial

    folder = RunFolder(run)
    trials = []
    if folder.study.exists():
        storage = None
        try:
            storage = optuna.storages.RDBStorage(sqlite_url(folder.study), skip_table_creation=True)
            for name in optuna.get_all_study_names(storage):
                trials += map(Trial.of, optuna.load_study(study_name=name, storage=storage).get_trials())
        except Exception:  # before its tables are there
            trials = []
        finally:
            if storage is not None:
                storage.remove_session()
                storage.engine.dispose()
    changing = ("seconds", "ended", "attempts")
    result = json.loads(folder.result.read_text()) if folder.result.exists() else None
    return {
        "trials": {
            item.number: [str(item.status), list(item.objectives), item.signature, item.values]
            for item in trials
            if item.ended is not None
        },
        "open": [item.number for item in trials if item.ended is None],
        "result": result and {key: value for key, value in result.items() if key not in changing},
        "files": sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and kept(path)),
    }


def kept(path):
    if path.name.startswith(".part-"):  # half a file, beside its place: counted apart
        return False
    return "logs" not in path.parts and not path.name.endswith((".db-journal", ".db-wal", ".db-shm", ".lock", ".log"))


def writes(log):
    """(role, number, what) of all writes that were told."""
    found = []
    for role in ("search", "training"):
        path = pathlib.Path(f"{log}.{role}")
        found += [(role, *json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
    return found


def trained(run):
    """Trial -> the epochs that were trained of it, all processes together."""
    epochs = collections.defaultdict(list)
    for path in run.rglob("*.log"):
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("trained "):
                number, epoch = map(int, line.split()[1:])
                epochs[number].append(epoch)
    return epochs


def faults_of(plan, folder, good):
    """Kills a search at one write, goes on with it, and says what is wrong then, and whether it was killed."""
    run, log = folder / "run", folder / "log"
    status = search(run, log, plan)
    killed = os.WIFSIGNALED(status) or (folder / "log.training.killed").exists()
    before, worked = (left(run), trained(run)) if run.exists() else ({"trials": {}}, {})
    rounds = 0
    while rounds < 3 and (status != 0 or rounds == 0):
        status = search(run, folder / f"log-{rounds}", {"role": None, "at": None, "torn": False})
        rounds += 1
    if status != 0:
        return killed, ["the same command does not go on"]
    after, again = left(run), trained(run)
    ended = [number for number, (state, *_) in before["trials"].items() if "COMPLETED" in state.upper()]
    wrong = {
        "a finished trial was lost or changed": any(
            after["trials"].get(number) != was for number, was in before["trials"].items()
        ),
        "a finished trial was trained again": any(again[number] != worked[number] for number in ended),
        "an epoch was trained more than twice": any(
            most > 2 for epochs in again.values() for most in collections.Counter(epochs).values()
        ),
        "a trial is left open": bool(after["open"]),
        "other trials than unharmed": after["trials"] != good["trials"],
        "another result than unharmed": after["result"] != good["result"],
        "other files than unharmed": after["files"] != good["files"],
    }
    told = [name for name, is_so in wrong.items() if is_so]
    if wrong["other files than unharmed"]:
        told.append(f"files: {sorted(set(after['files']) ^ set(good['files']))}")
    return killed, told


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, help="drawn from all; by default all")
    parser.add_argument("--after", type=int, default=0, help="leave out so many of them, which were tried before")
    parser.add_argument("--train", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train is not None:
        train(arguments.train)
        return
    import plotly.graph_objects  # noqa: F401

    import keras_blocks.tuning.report.run_report
    import keras_blocks.tuning.search.search  # noqa: F401

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as parent:
        folder = pathlib.Path(parent)
        unharmed = {"role": None, "at": None, "torn": False}
        (folder / "unharmed").mkdir()
        assert search(folder / "unharmed" / "run", folder / "unharmed" / "log", unharmed) == 0
        good, found = left(folder / "unharmed" / "run"), writes(folder / "unharmed" / "log")
        points = [
            {"role": role, "at": number, "torn": torn, "what": what}
            for role, number, what in found
            for torn in ((False, True) if what.startswith("os.rename") else (False,))
        ]
        chosen = random.Random(0).sample(points, min(len(points), arguments.points or len(points)))
        killed, parts, problems, kinds = 0, 0, [], collections.Counter()
        for i, plan in enumerate(chosen):
            if i < arguments.after:
                continue
            place = folder / f"{i:04d}"
            place.mkdir()
            was, wrong = faults_of(plan, place, good)
            killed += was
            parts += any((place / "run").rglob(".part-*"))
            kinds[f"{plan['role']}: {plan['what'].split()[0]}{', torn' if plan['torn'] else ''}"] += 1
            print(f"{i + 1} of {len(chosen)}", plan, "killed" if was else "NOT KILLED", wrong or "good", flush=True)
            problems += [{**plan, "wrong": wrong}] if wrong else []
            summary = {
                "trials": TRIALS,
                "writes of a whole search": len(found),
                "points (before, torn)": len(points),
                "points tried": i + 1 - arguments.after,
                "killed": killed,
                "runs with half a file left beside its place": parts,
                "by kind": dict(sorted(kinds.items())),
                "minutes": round((time.monotonic() - began) / 60, 1),
                "problems": problems,
            }
            RESULTS.write_text(json.dumps(summary, indent=2) + "\n")  # it may be interrupted
    print(json.dumps(summary, indent=2))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
