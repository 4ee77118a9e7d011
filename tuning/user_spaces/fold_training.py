"""The training of one candidate on each fold of the data in turn, of which the mean counts."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from keras_blocks.tuning.objectives import objective_named
from keras_blocks.tuning.training import checkpoint
from keras_blocks.tuning.training.resumable import Trained, Watch

Train = Callable[[keras.Model, int, list[dict[str, list[float]]], Watch | None], Trained]
"""Trains a model on the fold of a number; given the histories of those before, which its checkpoint keeps."""

SPREAD = "_spread"
"""The end of the name of a metric's standard deviation over the folds."""


def fit(
    model: keras.Model,
    build: Callable[[], keras.Model],
    train: Train,
    *,
    folds: int,
    epochs: int,
    monitor: str,
    seed: int,
    path: str | Path,
    signature: str,
    watch: Watch | None = None,
) -> Trained:
    """Trains on one fold after another, each time from the beginning. What is interrupted goes on in its fold.

    Args:
        model: built; it ends as that of the last fold.
        build: function that makes another one.
        train: see `Train`.
        folds: how many.
        epochs: of each.
        monitor: the objective by which the best epoch of the mean is known, in a word; "" for the last one.
        seed: from which each fold's is derived.
        path: of the checkpoint.
        signature: of what is trained.
        watch: function of (epochs done in all folds, the epoch's metrics).

    Returns:
        A `Trained` whose history has the mean over the folds of each metric after each epoch, and its standard
        deviation, as "val_loss_spread".
    """
    state = checkpoint.state_of(path)
    done = state["folds"] if state is not None and state["signature"] == signature and "folds" in state else []
    before, resumed, aside = list(done), len(done) * epochs, 0.0
    notes: list[str] = []
    for number in range(len(before), folds):
        keras.utils.set_random_seed((seed + number) % 2**32)
        one = model if number == 0 else build()
        trained = train(one, number, before, _counted(watch, number * epochs))
        resumed = max(resumed, number * epochs + trained.resumed) if number == len(done) else resumed
        notes, aside = [*notes, *trained.notes], aside + trained.aside
        before.append(trained.history)
        if number < folds - 1:
            between = {"signature": signature, "history": {}, "best": -1, "folds": before}
            checkpoint.save(path, model=one, best=[], state=between)
        elif one is not model:
            model.set_weights(one.get_weights())
    history = mean_of(before)
    return Trained(history, _best(history, monitor), resumed, False, notes, aside)


def mean_of(histories: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    """Mean and spread of each metric that all have, over as many epochs as all have."""
    found: dict[str, list[float]] = {}
    for name in histories[0]:
        if all(name in history for history in histories):
            length = min(len(history[name]) for history in histories)
            values = np.array([history[name][:length] for history in histories])
            found[name] = values.mean(axis=0).tolist()
            found[name + SPREAD] = values.std(axis=0, ddof=1).tolist()
    return found


def _best(history: dict[str, list[float]], monitor: str) -> int:
    objective = objective_named(monitor or "val_loss")
    values = history.get(objective.name, []) if monitor else []
    if not values:
        return max(map(len, history.values()), default=1) - 1
    return min(range(len(values)), key=lambda epoch: objective.loss(values[epoch]))


def _counted(watch: Watch | None, before: int) -> Watch | None:
    return None if watch is None else lambda done, logs: watch(before + done, logs)
