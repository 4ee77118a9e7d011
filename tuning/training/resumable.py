"""A training that another process can go on with, after any epoch."""

import dataclasses
import time
from pathlib import Path

import keras

from keras_blocks.tuning.files import set_aside
from keras_blocks.tuning.training import checkpoint
from keras_blocks.tuning.training import fit as training

MONITORS = {"val_accuracy": max, "val_loss": min}


@dataclasses.dataclass
class Trained:
    """What came of a training.

    Attributes:
        history: each metric's values after each epoch, of the processes before as well.
        best: index of the best epoch, whose weights the model has.
        resumed: epoch after which this process went on, 0 where it began.
        pruned: whether it was ended early.
        notes: what happened to damaged files.
        aside: seconds that went into checkpoints and reports, not into training.
    """

    history: dict
    best: int
    resumed: int
    pruned: bool
    notes: list
    aside: float


def fit(model, hyperparameters, dataset, *, epochs, monitor="val_loss", path=None, signature="", watch=None) -> Trained:
    """Trains, leaves the weights of the best epoch in the model, and writes a checkpoint after each epoch.

    Args:
        model: compiled, its optimizer built.
        hyperparameters: as `training.fit` takes them.
        dataset: a `Dataset`.
        epochs: of the whole training.
        monitor: "val_loss" or "val_accuracy": what is best.
        path: of the checkpoint; where one of the same signature is there, the training goes on from it. `None`: none.
            None is written after the last epoch: whoever is killed then, loses that epoch.
        signature: of what is trained.
        watch: function of (epochs done, the epoch's metrics), told after the checkpoint is written; the training ends
            early where it returns True.

    Raises:
        TrainingDiverged: where the loss became NaN or infinite.
    """
    keeping = _Keeping(monitor, path, signature, watch, epochs)
    if path is not None and Path(path).exists():
        keeping.take_up(model)
    resumed = keeping.done
    if not keeping.pruned and resumed < epochs:
        training.fit(
            model,
            hyperparameters,
            dataset.x_train,
            dataset.y_train,
            validation_data=(dataset.x_val, dataset.y_val),
            epochs=epochs,
            initial_epoch=resumed,
            callbacks=[keeping],
            verbose=0,
        )
    model.set_weights(keeping.weights)
    return Trained(keeping.history, keeping.best, resumed, keeping.pruned, keeping.notes, keeping.aside)


class _Keeping(keras.callbacks.Callback):
    """Knows the best epoch, and writes the checkpoints."""

    def __init__(self, monitor, path, signature, watch, epochs):
        super().__init__()
        self._epochs = epochs
        self._monitor, self._path, self._signature, self._watch = monitor, path, signature, watch
        self.history, self.best, self.weights, self.pruned, self.notes = {}, None, None, False, []
        self.aside = 0.0

    @property
    def done(self) -> int:
        return len(next(iter(self.history.values()), []))

    def take_up(self, model):
        try:
            state, weights = checkpoint.load(self._path, model)
            if state["signature"] != self._signature or state["format"] != checkpoint.FORMAT:
                raise ValueError(f"{self._path} is of another training")
        except ValueError as error:
            self.notes.append(f"{error}; it was kept as {set_aside(self._path).name}")
            return
        self.history, self.best, self.weights = state["history"], state["best"], weights

    def on_epoch_end(self, epoch, logs=None):
        began = time.perf_counter()
        self._ended(logs)
        self.aside += time.perf_counter() - began

    def _ended(self, logs):
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        if not all(map(_finite, logs.values())):
            return  # `training.fit` says so
        values = self.history[self._monitor]
        if self.best is None or MONITORS[self._monitor](values[-1], values[self.best]) != values[self.best]:
            self.best, self.weights = len(values) - 1, self.model.get_weights()
        if self._path is not None and self.done < self._epochs:
            state = {"signature": self._signature, "history": self.history, "best": self.best}
            checkpoint.save(self._path, model=self.model, best=self.weights, state=state)
        if self._watch is not None and self._watch(self.done, dict(logs)):
            self.pruned = self.model.stop_training = True


def _finite(value) -> bool:
    return abs(float(value)) < float("inf")
