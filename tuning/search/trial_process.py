"""The process in which trials are trained. It is told what to do, and says what happens, over a socket.

A crash, a hang, or a process that is killed for its memory ends nothing but this process.
"""

import gc
import json
import math
import os
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

READY, NOTE, EPOCH, TRAINED, KEPT, OVER, FAILED, FULL = (
    "ready",
    "note",
    "epoch",
    "trained",
    "kept",
    "over",
    "failed",
    "full",
)
"""What this process says: that it has the data; that a damaged file was set aside; that an epoch ended; what came of
a trial; that its model was kept; that its latency is over the budget; why it failed; that the disk is full."""


MOST_LEFT, MOST_LEFT_BYTES = 4, 64 * 2**20
"""Trials, and bytes of their variables and images, after which their garbage is looked for: that takes about a tenth of
a second, and small trials are short."""


class Line:
    """One end of the socket, for plain data."""

    def __init__(self, connection: Connection):
        self.connection = connection

    def say(self, kind: str, **data) -> None:
        self.connection.send_bytes(json.dumps({"kind": kind, **data}).encode())

    def hear(self) -> dict:
        return json.loads(self.connection.recv_bytes())


def main(handle: int) -> None:
    """Trains one trial after another, until the other end is closed."""
    _die_with_parent()
    line = Line(Connection(handle))
    setup = line.hear()
    import keras

    from keras_blocks.tuning.data.load import load_dataset
    from keras_blocks.tuning.search import user_code

    for about in setup["imports"]:
        user_code.bring_in(about)
    dataset = load_dataset(setup["data"], seed=setup["seed"], image_size=setup["image_size"])
    gc.collect()
    gc.freeze()  # each trial's garbage is looked for among its own objects
    if dataset.fingerprint() != setup["data_sha256"]:
        line.say(FAILED, reason="the data of this name are others here than where the search was begun")
        return
    line.say(READY)
    left = []  # bytes of the trials whose garbage is still there
    while True:
        try:
            request = line.hear()
        except EOFError:
            return
        left.append(_answer(line, request, dataset))
        much = len(left) >= MOST_LEFT or sum(left) > MOST_LEFT_BYTES
        keras.utils.clear_session(free_memory=much)  # while the supervisor looks for the next trial
        if much:
            left.clear()


def _answer(line, request, dataset) -> float:
    """The bytes that may be left; infinity where something went wrong, and nobody knows."""
    from keras_blocks.tuning.disk import is_full

    try:
        if request["what"] == "final":
            _final(line, request, dataset)
        else:
            return _trial(line, request, dataset)
    except BrokenPipeError:
        os._exit(1)
    except Exception as error:
        if is_full(error):
            line.say(FULL)
        else:
            line.say(FAILED, reason=described(error))
    return math.inf


def _trial(line, request, dataset) -> float:
    """Trains one candidate, and keeps its model where it is told to. See `_answer` for what it returns."""
    import keras

    from keras_blocks.tuning.files import replacing
    from keras_blocks.tuning.spaces.candidate import Candidate
    from keras_blocks.tuning.training import latency, resumable, shared_weights

    began = time.perf_counter()
    candidate = Candidate(**request["candidate"])
    keras.utils.set_random_seed(request["seed"])
    building = time.perf_counter()
    model = candidate.compiled(scale=dataset.scale, flips=dataset.flips)
    result = {"building": round(time.perf_counter() - building, 3)}
    size = dataset.x_train.nbytes + dataset.x_val.nbytes  # `fit` may have copied them
    size += 4 * sum(math.prod(variable.shape) for variable in (*model.variables, *model.optimizer.variables))
    if request["latency"]:
        result["latency"] = latency.measure(model, dataset.image_shape)
        if request["max_latency"] is not None and result["latency"] > request["max_latency"]:
            line.say(OVER, result=result)
            return size
    if request["initial"]:
        shared_weights.take(model, request["initial"], note=lambda text: line.say(NOTE, text=text))

    def watch(done, logs):
        line.say(EPOCH, epoch=done, logs=logs)
        return request["asks"] and line.hear()["stop"]

    training = time.perf_counter()
    found = resumable.fit(
        model,
        candidate.hyperparameters,
        dataset,
        epochs=request["epochs"],
        monitor=request["monitor"],
        path=request["checkpoint"],
        signature=request["signature"],
        watch=watch,
    )
    for note in found.notes:
        line.say(NOTE, text=note)
    result |= {
        "epochs": len(found.history["loss"]),
        "best_epoch": found.best + 1,
        "training": round(time.perf_counter() - training - found.aside, 3),
        "resumed": found.resumed,
        "curves": {name: [round(value, 6) for value in values] for name, values in found.history.items()},
        **{name: found.history[name][found.best] for name in ("val_accuracy", "val_loss")},
        "seconds": round(time.perf_counter() - began, 3),
    }
    line.say(TRAINED, pruned=found.pruned, result=result)
    if not line.hear()["keep"]:
        return size
    if request["initial"]:
        shared_weights.leave(model, request["initial"])
    path = Path(request["keep"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        model.save(part)
    line.say(KEPT)
    return size


def _final(line, request, dataset) -> None:
    """The training of the model that a search keeps."""
    from keras_blocks.tuning.run_folder import RunFolder
    from keras_blocks.tuning.spaces.candidate import Candidate
    from keras_blocks.tuning.training import final_training as final

    def watch(done, logs):
        line.say(EPOCH, epoch=done, logs=logs)

    result = final.train_and_keep(
        RunFolder(request["folder"]),
        dataset,
        Candidate(**request["candidate"]),
        epochs=request["epochs"],
        seed=request["seed"],
        watch=watch,
        note=lambda text: line.say(NOTE, text=text),
        notes=request["notes"],
    )
    line.say(TRAINED, pruned=False, result=result)


def described(error) -> str:
    """An error in one line."""
    from keras_blocks.tuning.training.fit import TrainingDiverged

    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, TrainingDiverged) else f"{type(error).__name__}: {text}"


def _die_with_parent() -> None:
    """Ends this process when the one that started it has gone, also by kill -9, and also while it computes."""
    parent = os.getppid()

    def look():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
