"""The process in which trials are trained. It is told what to do, and says what happens, see `protocol`.

A crash, a hang, or a process that is killed for its memory ends nothing but this process.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_blocks.tuning.trials import protocol
from keras_blocks.tuning.trials.protocol import Epoch, FinalRequest, Line, Note, TrialRequest

if TYPE_CHECKING:
    from keras_blocks.tuning.training.resumable import Trained
    from keras_blocks.tuning.trials.tasks import Task

MOST_LEFT, MOST_LEFT_BYTES = 12, 64 * 2**20
"""Trials, and bytes of their variables and images, after which their garbage is looked for: that takes about a tenth of
a second, and small trials are short."""


def main(handle: int) -> None:
    """Trains one trial after another, until the other end is closed."""
    die_with_parent()
    line = Line(Connection(handle))
    setup = line.hear()
    assert isinstance(setup, protocol.Setup)
    import keras

    from keras_blocks.tuning.trials.tasks import task_of

    try:
        task = task_of(setup)
    except (TypeError, ValueError) as error:
        if setup.task is None:
            raise
        line.say(protocol.Failed(described(error)))
        return
    gc.collect()
    gc.freeze()  # each trial's garbage is looked for among its own objects
    if task.fingerprint() != setup.data_sha256:
        line.say(protocol.Failed("the data of this name are others here than where the search was begun"))
        return
    line.say(protocol.Ready())
    left: list[float] = []  # bytes of the trials whose garbage is still there
    while True:
        try:
            request = line.hear()
        except EOFError:
            return
        left.append(_work(line, request, task))
        much = len(left) >= MOST_LEFT or sum(left) > MOST_LEFT_BYTES
        keras.utils.clear_session(free_memory=much)  # while the supervisor looks for the next trial
        if much:
            left.clear()


def _work(line: Line, request: protocol.Message, task: Task) -> float:
    """Does what is asked.

    Returns:
        The bytes that may be left; infinity where something went wrong, and nobody knows.
    """
    from keras_blocks.tuning.files import is_full
    from keras_blocks.tuning.training.resumable import WrongObjective

    try:
        if isinstance(request, TrialRequest):
            return _trial(line, request, task)
        assert isinstance(request, FinalRequest)
        _final(line, request, task)
    except BrokenPipeError:
        os._exit(1)
    except Exception as error:
        no_trial_could = isinstance(error, WrongObjective)
        line.say(protocol.Full() if is_full(error) else protocol.Failed(described(error), no_trial_could))
    return math.inf


def _trial(line: Line, request: TrialRequest, task: Task) -> float:
    """Trains one candidate, and keeps its model where it is told to. See `_work` for what it returns."""
    import keras

    from keras_blocks.tuning.files import replacing
    from keras_blocks.tuning.training import shared_weights
    from keras_blocks.tuning.trials.starting import begin

    began = time.perf_counter()
    job = task.job(request.candidate)
    keras.utils.set_random_seed(request.seed)
    building = time.perf_counter()
    model = job.build()
    result: dict[str, Any] = {"building": round(time.perf_counter() - building, 3)}
    size = job.data_bytes()
    if math.isfinite(size):
        size += 4 * sum(math.prod(variable.shape) for variable in (*model.variables, *model.optimizer.variables))
    if request.measures_latency:
        result["latency"] = job.latency(model)
        if request.max_latency is not None and result["latency"] > request.max_latency:
            line.say(protocol.TooSlow(result))
            return size
    if (start := begin(model, job, request, lambda text: line.say(Note(text)))) is not None:
        result["start"] = start

    def watch(done: int, logs: dict[str, float]) -> bool:
        if request.asks:
            return line.ask(Epoch(done, logs)) and int(model.optimizer.iterations) > request.most_early
        line.say(Epoch(done, logs))
        return False

    training = time.perf_counter()
    trained = job.fit(model, request, watch=watch)
    for text in trained.notes:
        line.say(Note(text))
    result["training"] = round(time.perf_counter() - training - trained.aside, 3)
    result |= _told(trained) | job.told(trained)
    result["seconds"] = round(time.perf_counter() - began, 3)
    if not line.ask(protocol.Trained(result, pruned=trained.pruned)):
        return size
    if request.leaves is not None:
        shared_weights.leave(model, request.leaves)
    path = Path(request.model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        model.save(part)
    line.say(protocol.Kept())
    return size


def _told(trained: Trained) -> dict[str, Any]:
    """A training as plain data, for the study."""
    history = trained.history
    return {
        "epochs": max(map(len, history.values()), default=0),
        "best_epoch": trained.best + 1,
        "resumed": trained.resumed,
        "curves": {name: [round(value, 6) for value in values] for name, values in history.items()},
    }


def _final(line: Line, request: FinalRequest, task: Task) -> None:
    """The training of the model that a search keeps."""
    result = task.final(
        request,
        watch=lambda done, logs: line.say(Epoch(done, logs)),
        note=lambda text: line.say(Note(text)),
    )
    line.say(protocol.Trained(result))


def described(error: Exception) -> str:
    """An error in one line."""
    from keras_blocks.tuning.training.hyperparameters import TrainingDiverged

    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, TrainingDiverged) else f"{type(error).__name__}: {text}"


def die_with_parent() -> None:
    """Ends this process when the one that started it has gone, also by kill -9, and also while it computes."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
