"""The training of a user's own model on a user's own data, by the hypermodel's own `fit`."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from keras_blocks.core.graphs import begin_at
from keras_blocks.tuning.console import without_dump
from keras_blocks.tuning.data.batches import batched
from keras_blocks.tuning.data.leaves import are_arrays
from keras_blocks.tuning.objectives import BATCHES, objective_named
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.training import checkpoint, kept
from keras_blocks.tuning.training.hyperparameters import TrainingDiverged
from keras_blocks.tuning.training.moving_statistics import PreciseBatchNorm, batches_of
from keras_blocks.tuning.training.resumable import EpochCheckpoint, Histories, Trained, Watch, WrongObjective, missing
from keras_blocks.tuning.user_spaces.given_data import GivenData, as_arguments

FAR = 10**9
"""An epoch that no training reaches."""


class Trainable(Protocol):
    """A candidate that builds and trains itself, as `user_spaces.hyper_model.HyperModelCandidate` does."""

    @property
    def fits_itself(self) -> bool: ...
    @property
    def prepares_data(self) -> bool: ...
    @property
    def values(self) -> dict[str, Any]: ...
    def build(self) -> keras.Model: ...
    def fit(self, model: keras.Model, *args: Any, **kwargs: Any) -> Any: ...
    def signature(self) -> str: ...


def fit(
    candidate: Trainable,
    model: keras.Model,
    data: GivenData,
    *,
    epochs: int,
    monitor: str = "",
    patience: int | None = None,
    path: str | Path | None = None,
    signature: str = "",
    watch: Watch | None = None,
    deciding: Collection[int] = (),
    batches: int = BATCHES,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    folds: Histories | None = None,
) -> Trained:
    """Trains by the candidate's own `fit`, and leaves the weights of the best epoch in the model.

    A `fit` that calls `model.fit` once, as the default does, goes on from its checkpoint after an interruption. One
    that has a training loop of its own, or calls `model.fit` several times, is begun anew.

    Args:
        candidate: what is trained.
        model: that it has built.
        data: a `GivenData`.
        epochs, patience, path, signature, watch, callbacks, folds, deciding, batches: see `resumable.fit`.
        monitor: what is best, as an objective in a word; "" for the last epoch.

    Returns:
        A `Trained`, whose history has what `fit` returned, too.

    Raises:
        ValueError: where no training has logged the objective, naming those that were logged.
        TrainingDiverged: where the loss or the objective became NaN or infinite.
    """
    args, kwargs = data.fit_arguments()
    if not candidate.fits_itself:
        args, kwargs = (), batched(model, {**dict(zip(("x", "y"), args)), **kwargs})
    keeping = _EpochCheckpoint(monitor, path, signature, watch, epochs, patience, folds, own=candidate.fits_itself)
    size = candidate.values.get("batch_size")
    keeping.precise = PreciseBatchNorm(deciding, lambda: batches_of(data.train, size, batches), keeping.notes.append)
    if path is not None and Path(path).exists() and not model.built:  # a checkpoint is of variables
        _build(model, path, data.example)
    try:
        returned = candidate.fit(
            model, *args, **kwargs, epochs=epochs, callbacks=[*callbacks, keeping.precise, keeping], verbose=0
        )
    except (ValueError, TypeError) as error:
        if isinstance(error, (TrainingDiverged, WrongObjective)) or "shape" not in str(error):
            raise
        raise ValueError(f"{_cause(error)} The data have {data.shapes()}{_sides(model)}.") from error
    keeping.end(model, returned)
    return Trained(keeping.history, keeping.best, keeping.resumed, keeping.pruned, keeping.notes, keeping.aside)


def _build(model: keras.Model, path: str | Path, example: Callable[[], Any]) -> None:
    """Builds a model by the shapes with which its checkpoint was trained, which a `fit` of its own may have changed."""
    shapes = (checkpoint.state_of(path) or {}).get("shapes")
    if shapes:
        model.build_from_config(_tuples(shapes))
    if not model.built:
        model(example())


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


class _EpochCheckpoint(EpochCheckpoint):
    """For a training of which it knows nothing. `own`: whether the hypermodel has a `fit` of its own."""

    def __init__(
        self, monitor: str, path: Any, signature: str, watch: Any, epochs: int, patience: Any, folds: Any, own: bool
    ) -> None:
        super().__init__(monitor or "val_loss", path, signature, watch, epochs, patience, folds)
        self._file, self._judges, self._own = path, bool(monitor), own
        self._trainings, self.resumed = 0, 0
        self._path = None  # a loop of its own does not go on from a checkpoint

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._trainings += 1
        if self._file is None:
            return
        if self._trainings > 1:  # which of them an epoch was of, a checkpoint does not say
            self._path = None
            Path(self._file).unlink(missing_ok=True)
            return
        self._path = self._file
        if Path(self._file).exists():
            if not self.model.optimizer.built:
                self.model.optimizer.build(self.model.trainable_variables)
            self.take_up(self.model)
            self.resumed = self.done
            begin_at(self.model, FAR if self.is_out_of_patience else self.done)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        begin_at(self.model, 0)

    @property
    def is_out_of_patience(self) -> bool:
        return self._judges and super().is_out_of_patience

    def _ended(self, logs: dict[str, float]) -> None:
        logs = {name: float(_number(value)) for name, value in logs.items()}
        if not self._judges or (self._own and self.objective.name not in logs):
            self._seen(logs)
            return
        self._besides["shapes"] = self.model.get_build_config()
        super()._ended(logs)
        if not self._is_sound(logs):
            self.model.stop_training = True

    def _seen(self, logs: dict[str, float]) -> None:
        """An epoch by which nothing is judged: the last is taken."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        if self._watch is not None and self._watch(self.done, dict(logs)):
            self.pruned = self.model.stop_training = True

    def _is_sound(self, logs: Mapping[str, float]) -> bool:
        return all(math.isfinite(logs[name]) for name in ("loss", self.objective.name) if name in logs)

    def end(self, model: keras.Model, returned: Any) -> None:
        """Takes what `fit` returned, and gives the model the weights of its best epoch."""
        told = _told(returned, self.objective.name, own=self._judges)
        if not self.history and isinstance(returned, keras.callbacks.History):
            # Its callbacks were not passed on: the weights are those of the last epoch.
            self.notes.append(
                "its `fit` did not pass `callbacks` on, so the weights of the last epoch are kept, not the best"
            )
            self.history = {name: [float(value) for value in values] for name, values in returned.history.items()}
        for name, value in told.items():
            values = self.history.setdefault(name, [])
            if not values:
                values.append(value)
            elif not self._judges or name != self.objective.name:
                values[-1] = value
        self._refuse_bad()
        name = self.objective.name
        if not self._judges:
            self.best = max(map(len, self.history.values()), default=1) - 1
        elif name not in self.history:
            raise missing(name, self.history)
        elif self.best < 0:  # nothing was chosen: the weights are those of the end
            self.best = max(map(len, self.history.values())) - 1
        if self.weights:
            model.set_weights(self.weights)
        if self._judges and name in told and self.best < len(self.history[name]):
            self.history[name][self.best] = told[name]  # by which a loop of its own is judged

    def _refuse_bad(self) -> None:
        for name in {"loss", self.objective.name} & {*self.history} if self._judges else {"loss"} & {*self.history}:
            for epoch, value in enumerate(self.history[name], start=1):
                if not math.isfinite(value):
                    raise TrainingDiverged(f"the training diverged: its {name} became {value} in epoch {epoch}.")


def _told(returned: Any, objective: str, *, own: bool) -> dict[str, float]:
    """The metrics that a `fit` has returned besides a history: a number is the objective's."""
    if returned is None or isinstance(returned, keras.callbacks.History):
        return {}
    if isinstance(returned, (list, tuple)):  # of several executions, of which the means are taken
        each = [_told(one, objective, own=own) for one in returned]
        return {name: float(np.mean([one[name] for one in each])) for name in (each[0] if each else {})}
    if isinstance(returned, Mapping):
        return {str(name): float(_number(value)) for name, value in returned.items()}
    value = float(_number(returned))
    if not own or objective == "val_accuracy":
        raise WrongObjective(
            f"`objectives`: `fit` returned a number alone, {value:g}; say what it is and which way is better, as "
            "'default_objective:min'."
        )
    return {objective: value}


def _cause(error: Exception) -> str:
    """What an error says, without Keras' list of a call's arguments."""
    return f"{without_dump(error)[:300].rstrip('.')}."


def _sides(model: keras.Model) -> str:
    """What a model takes and gives, in words, where it says so."""
    inputs, outputs = (getattr(model, name, None) or () for name in ("inputs", "outputs"))
    shown = (", ".join(str(tuple(item.shape)) for item in side) for side in (inputs, outputs))
    return "; the model takes {} and gives {}".format(*shown) if inputs and outputs else ""


def _number(value: Any) -> Any:
    return keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value


def train_and_keep(
    folder: RunFolder,
    data: GivenData,
    candidate: Trainable,
    *,
    about: Mapping[str, Any],
    monitor: str,
    epochs: int,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    watch: Watch | None = None,
    note: Callable[[str], object] = lambda text: None,
    notes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Trains a model from the beginning, keeps its best epoch, and evaluates that on the test part, where there is one.

    Args:
        folder: a `RunFolder`, which gets best.keras and result.json.
        data: a `GivenData`.
        candidate: what is trained.
        about: plain data of the candidate for result.json.
        monitor: the objective by which the best epoch is known, in a word.
        epochs, seed, callbacks, watch, note, notes: see `final_training.train_and_keep`.

    Returns:
        What result.json holds.
    """

    def train(model: keras.Model) -> Trained:
        return fit(
            candidate,
            model,
            data,
            epochs=epochs,
            monitor=monitor,
            path=folder.final,
            signature=f"{candidate.signature()} {epochs} {seed}",
            watch=watch,
            deciding=[epochs],
            callbacks=callbacks,
        )

    def on_test(model: keras.Model) -> dict[str, float] | None:
        try:
            return tested(model, data)
        except (ValueError, TypeError) as error:
            if not candidate.prepares_data:
                raise
            note(f"its `fit` prepares the data, so the model alone does not take the test part: {_cause(error)}")
            return None

    def told(model: keras.Model, trained: Trained) -> dict[str, Any]:
        return {
            "data": data.name,
            **data.told,
            **({"objective": objective_named(monitor).name} if monitor else {}),
            "metrics": at_best(trained),
            "test_metrics": on_test(model),
            **about,
        }

    return kept.train_and_keep(folder, candidate.build, train, told, epochs=epochs, seed=seed, note=note, notes=notes)


def at_best(trained: Trained) -> dict[str, float]:
    """Each metric in the best epoch; one that was not logged in each epoch, its last value."""
    best = trained.best
    return {
        name: values[best] if best < len(values) else values[-1] for name, values in trained.history.items() if values
    }


def tested(model: keras.Model, data: GivenData) -> dict[str, float] | None:
    """The model's own metrics on the test part; `None` where there is none, or the model is not compiled."""
    if data.test is None or not model.compiled:
        return None
    args, kwargs = as_arguments(data.test) if are_arrays(data.test) else ((data.test,), {})
    found = model.evaluate(*args, **kwargs, verbose=0, return_dict=True)
    return {name: float(value) for name, value in found.items()}
