"""A training that another process can go on with, after any epoch."""

import dataclasses
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.objectives import BATCHES, objective_named
from keras_blocks.tuning.training import checkpoint
from keras_blocks.tuning.training import fit as training
from keras_blocks.tuning.training.moving_statistics import PreciseBatchNorm, batches_of

Watch = Callable[[int, dict[str, float]], object]
Histories = Sequence[dict[str, list[float]]]


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

    history: dict[str, list[float]]
    best: int
    resumed: int
    pruned: bool
    notes: list[str]
    aside: float


def fit(
    model: keras.Model,
    hyperparameters: Mapping[str, Any],
    dataset: Dataset,
    *,
    epochs: int,
    monitor: str = "val_loss",
    patience: int | None = None,
    path: str | Path | None = None,
    signature: str = "",
    watch: Watch | None = None,
    deciding: Collection[int] = (),
    batches: int = BATCHES,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    folds: Histories | None = None,
) -> Trained:
    """Trains, leaves the weights of the best epoch in the model, and writes a checkpoint after each epoch.

    Args:
        model: compiled, its optimizer built.
        hyperparameters: as `training.fit` takes them.
        dataset: a `Dataset`.
        epochs: of the whole training.
        monitor: what is best, as an objective in a word: "val_loss", or a metric with its direction.
        patience: epochs without a better one after which the training ends; `None`: it goes on to the end.
        path: of the checkpoint; where one of the same signature is there, the training goes on from it. `None`: none.
            None is written after the last epoch: whoever is killed then, loses that epoch.
        signature: of what is trained.
        watch: function of (epochs done, the epoch's metrics), told after the checkpoint is written; the training ends
            early where it returns True.
        deciding: epochs that are validated with BatchNormalization's statistics taken anew, see `PreciseBatchNorm`.
            Where one of them is the best, the model is left with these; checkpoints have the training's own.
        batches: of the training images, from which these are taken.
        callbacks: further ones.
        folds: histories of the folds before this one, see `user_spaces.fold_training`: the checkpoint keeps them.

    Raises:
        TrainingDiverged: where the loss became NaN or infinite.
    """
    keeping = EpochCheckpoint(monitor, path, signature, watch, epochs, patience, folds)
    size = hyperparameters["batch_size"]
    keeping.precise = PreciseBatchNorm(
        deciding, lambda: batches_of((dataset.x_train, dataset.y_train), size, batches), keeping.notes.append
    )
    if path is not None and Path(path).exists():
        keeping.take_up(model)
    resumed = keeping.done
    if resumed < epochs and not keeping.is_out_of_patience:
        training.fit(
            model,
            hyperparameters,
            dataset.x_train,
            dataset.y_train,
            validation_data=(dataset.x_val, dataset.y_val),
            epochs=epochs,
            initial_epoch=resumed,
            callbacks=[*callbacks, keeping.precise, keeping],
            class_weight=training.class_weights(hyperparameters, dataset.y_train),
            verbose=0,
        )
    model.set_weights(keeping.weights)
    training.without_smoothing(model)
    return Trained(keeping.history, keeping.best, resumed, keeping.pruned, keeping.notes, keeping.aside)


class EpochCheckpoint(keras.callbacks.Callback):
    """Knows the best epoch, and writes the checkpoints. Its arguments are those of `fit`."""

    def __init__(
        self,
        monitor: str,
        path: str | Path | None,
        signature: str,
        watch: Watch | None,
        epochs: int,
        patience: int | None = None,
        folds: Histories | None = None,
    ) -> None:
        super().__init__()
        self._besides = {} if folds is None else {"folds": list(folds)}
        self._epochs, self._patience = epochs, patience
        self._path, self._signature, self._watch = path, signature, watch
        self.objective = objective_named(monitor)
        self.history: dict[str, list[float]] = {}
        self.best = -1
        self.weights: list[Any] = []
        self.precise: PreciseBatchNorm | None = None
        self.pruned = False
        self.notes: list[str] = []
        self.aside = 0.0

    @property
    def done(self) -> int:
        return len(next(iter(self.history.values()), []))

    @property
    def is_out_of_patience(self) -> bool:
        return self._patience is not None and self.done - 1 - self.best >= self._patience

    def take_up(self, model: keras.Model) -> None:
        assert self._path is not None
        state = checkpoint.state_of(self._path)
        if state is not None and state["signature"] == self._signature and not state["history"]:
            return  # it was left between two folds
        if (found := checkpoint.taken_up(self._path, model, self._signature, self.notes.append)) is not None:
            state, self.weights = found
            self.history, self.best = state["history"], state["best"]

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        began = time.perf_counter()
        self._ended(logs or {})
        self.aside += time.perf_counter() - began

    def _ended(self, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        if not self._is_sound(logs):
            return
        if self.objective.name not in logs:
            raise missing(self.objective.name, logs)
        values, loss = self.history[self.objective.name], self.objective.loss
        if self.best < 0 or loss(values[-1]) < loss(values[self.best]):
            self.best = len(values) - 1
            self.weights = self.precise.weights(self.model) if self.precise else self.model.get_weights()
        if self._path is not None and self.done < self._epochs:
            state = {"signature": self._signature, "history": self.history, "best": self.best, **self._besides}
            checkpoint.save(self._path, model=self.model, best=self.weights, state=state)
        if self._watch is not None and self._watch(self.done, dict(logs)):
            self.pruned = True
        if self.pruned or self.is_out_of_patience:
            self.model.stop_training = True

    def _is_sound(self, logs: Mapping[str, float]) -> bool:
        """Whether the epoch counts; of one that does not, `training.fit` says so."""
        return all(math.isfinite(value) for value in logs.values())


class WrongObjective(ValueError):
    """No training can give the objective, whatever was drawn."""


def missing(name: str, logs: Collection[str]) -> WrongObjective:
    """The error for an objective that no training has logged."""
    return WrongObjective(
        f"`objectives`: the training has logged no {name!r}; it has logged {', '.join(sorted(logs)) or 'nothing'}. "
        "Name one of these with its direction, as 'val_loss' or 'val_auc:max', or add the metric to `compile`."
    )
