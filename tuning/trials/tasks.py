"""What a trial's process does with a candidate: the two kinds of tasks, images in classes and a user's own.

A task is data with what can be built of a candidate's plain data, trained on them, and told of it.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import keras

from keras_blocks.tuning import measuring
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.data.load import load_dataset
from keras_blocks.tuning.data.stored import bytes_held
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.training import final_training, resumable
from keras_blocks.tuning.training.hyperparameters import DEFAULTS
from keras_blocks.tuning.training.resumable import Trained, Watch
from keras_blocks.tuning.trials.callbacks import callbacks_at
from keras_blocks.tuning.trials.protocol import FinalRequest, Setup, TrialRequest
from keras_blocks.tuning.trials.trackers import Tracker, tracked
from keras_blocks.tuning.user_spaces import fold_training, given_training, user_code
from keras_blocks.tuning.user_spaces.folds import Divided, fold_of
from keras_blocks.tuning.user_spaces.given_data import GivenData
from keras_blocks.tuning.user_spaces.hyper_model import HyperModelCandidate, HyperModelSpace
from keras_blocks.tuning.user_spaces.user_things import Where, thing_at

Note = Callable[[str], object]


class Task(Protocol):
    """Data, and what is done with candidates on them."""

    def fingerprint(self) -> str:
        """Of the data."""

    def job(self, candidate: dict[str, Any]) -> "Job":
        """The work on one candidate."""

    def final(self, request: FinalRequest, *, watch: Watch, note: Note) -> dict[str, Any]:
        """The training of the model that a search keeps."""


class Job(Protocol):
    """The work on one candidate."""

    def build(self) -> keras.Model:
        """Its model, compiled."""

    def parent(self, candidate: dict[str, Any]) -> keras.Model:
        """The model of another candidate, to give it that one's weights."""

    def data_bytes(self) -> float:
        """What `fit` may have copied of the data."""

    def latency(self, model: keras.Model) -> float:
        """Seconds for one example."""

    def fit(self, model: keras.Model, request: TrialRequest, *, watch: Watch) -> Trained:
        """Trains it."""

    def told(self, trained: Trained) -> dict[str, Any]:
        """The metrics in the best epoch, and what the study must know besides."""


def task_of(setup: Setup) -> Task:
    """The task that a search has set up, in the process that trains.

    Raises:
        TypeError, ValueError: for data that cannot be used.
    """
    for about in setup.imports:
        user_code.bring_in(about)
    if setup.task is None:
        return ImagesTask(_dataset(setup), UserSettings.of(setup))
    space = HyperModelSpace.from_config(setup.task["space"])
    place = setup.task["data"]
    if place is None:
        data = GivenData.from_dataset(_dataset(setup))
    else:
        data = GivenData.from_function(thing_at(place), place["label"], setup.task["data_id"])
    return GivenTask(space, data, UserSettings.of(setup))


def _dataset(setup: Setup) -> Dataset:
    return load_dataset(setup.data, seed=setup.seed, image_size=setup.image_size, memory=setup.data_memory)


@dataclasses.dataclass(frozen=True)
class UserSettings:
    """What the user of a search has set of its trainings, besides what is drawn.

    Attributes:
        where: the function is that makes the user's callbacks, if any.
        folds: of cross-validation, if any.
        seed: of the search.
        tracker: to which trainings are logged, if any.
    """

    where: Where | None = None
    folds: int | None = None
    seed: int = 0
    tracker: Tracker | None = None

    @classmethod
    def of(cls, setup: Setup) -> "UserSettings":
        return cls(setup.callbacks, setup.folds, setup.seed, setup.tracker)

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """New ones."""
        return callbacks_at(self.where)


def _on_each_fold(
    job: "Job",
    own: UserSettings,
    data: Divided,
    model: keras.Model,
    request: TrialRequest,
    train: Callable[[keras.Model, Any, Any, Watch | None], Trained],
    watch: Watch,
) -> Trained:
    """Trains once or, with folds, on each of them."""
    if (count := own.folds) is None:
        return train(model, data, None, watch)
    return fold_training.fit(
        model,
        job.build,
        lambda one, number, before, watch: train(one, fold_of(data, number, count, own.seed), before, watch),
        folds=count,
        epochs=request.epochs,
        monitor=request.monitor,
        seed=request.seed,
        path=request.checkpoint,
        signature=request.signature,
        watch=watch,
    )


@contextlib.contextmanager
def _trial_options(
    request: TrialRequest, own: UserSettings, folds: Any, watch: Watch | None, note: Note
) -> Iterator[dict[str, Any]]:
    """The keywords of a trial's training, whatever it trains."""
    name = f"trial-{request.number}" if folds is None else f"trial-{request.number}-fold-{len(folds)}"
    with tracked(own.tracker, name, _values(request.candidate), note) as logging:
        yield {
            "epochs": request.epochs,
            "patience": request.patience,
            "path": request.checkpoint,
            "signature": request.signature,
            "watch": watch,
            "folds": folds,
            "deciding": request.deciding,
            "batches": request.batches,
            "callbacks": [*own.callbacks(), *logging],
        }


def _values(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """What was drawn of a candidate, by its name."""
    return {**candidate.get("metaparameters", {}), **candidate.get("hyperparameters", {})}


@contextlib.contextmanager
def _final_options(request: FinalRequest, own: UserSettings, watch: Watch, note: Note) -> Iterator[dict[str, Any]]:
    """The keywords of the last training, whatever it trains."""
    with tracked(own.tracker, "final", _values(request.candidate), note) as logging:
        yield {
            "epochs": request.epochs,
            "seed": request.seed,
            "watch": watch,
            "callbacks": [*own.callbacks(), *logging],
            "note": note,
            "notes": request.notes,
        }


class ImagesTask:
    """Images in classes, and architectures of this library's kind.

    Args:
        dataset: a `Dataset`.
        own: what the user has set besides.
    """

    def __init__(self, dataset: Dataset, own: UserSettings | None = None) -> None:
        self._dataset, self._own = dataset, own or UserSettings()

    def fingerprint(self) -> str:
        return self._dataset.fingerprint()

    def job(self, candidate: dict[str, Any]) -> "ImagesJob":
        return ImagesJob(self._dataset, Candidate(**candidate), self._own)

    def final(self, request: FinalRequest, *, watch: Watch, note: Note) -> dict[str, Any]:
        with _final_options(request, self._own, watch, note) as options:
            return final_training.train_and_keep(
                RunFolder(request.folder), self._dataset, Candidate(**request.candidate), **options
            )


class ImagesJob:
    """See `Job`."""

    def __init__(self, dataset: Dataset, candidate: Candidate, own: UserSettings) -> None:
        self._dataset, self.candidate, self._own = dataset, candidate, own

    def build(self) -> keras.Model:
        data = self._dataset
        return self.candidate.compiled(scale=data.scale, flips=data.flips, class_names=data.class_names)

    def parent(self, candidate: dict[str, Any]) -> keras.Model:
        if Candidate(**candidate).architecture != self.candidate.architecture:
            raise ValueError("its parent is of another architecture")
        # Trained as this one, so that the layers before the first are the same: the weights are all that is asked for.
        theirs = dataclasses.replace(self.candidate, metaparameters=candidate["metaparameters"])
        return ImagesJob(self._dataset, theirs, self._own).build()

    def data_bytes(self) -> float:
        return float(bytes_held(self._dataset.x_train) + bytes_held(self._dataset.x_val))

    def latency(self, model: keras.Model) -> float:
        return measuring.measure(model, self._dataset.image_shape)

    def fit(self, model: keras.Model, request: TrialRequest, *, watch: Watch) -> Trained:
        notes: list[str] = []
        hyperparameters = dict(self.candidate.hyperparameters)
        if request.parent is not None:  # a lottery would draw other weights than the parent's
            hyperparameters["lottery"] = DEFAULTS["lottery"]

        def train(model: keras.Model, dataset: Any, folds: Any, watch: Watch | None) -> Trained:
            with _trial_options(request, self._own, folds, watch, notes.append) as options:
                return resumable.fit(
                    model,
                    hyperparameters,
                    dataset,
                    monitor=request.monitor or "val_accuracy",
                    **options,
                )

        trained = _on_each_fold(self, self._own, self._dataset, model, request, train, watch)
        trained.notes.extend(notes)
        return trained

    def told(self, trained: Trained) -> dict[str, Any]:
        best = {name: values[trained.best] for name, values in trained.history.items()}
        return {"metrics": best, "val_accuracy": best["val_accuracy"], "val_loss": best["val_loss"]}


class GivenTask:
    """A user's own hypermodel on data of their own.

    Args:
        space: a `HyperModelSpace`.
        data: a `GivenData`.
        own: what the user has set besides.
    """

    def __init__(self, space: HyperModelSpace, data: GivenData, own: UserSettings | None = None) -> None:
        self._space, self._data, self._own = space, data, own or UserSettings()

    def fingerprint(self) -> str:
        return self._data.fingerprint()

    def job(self, candidate: dict[str, Any]) -> "GivenJob":
        return GivenJob(self._data, self._space.candidate(candidate["hyperparameters"]), self._own, self._space)

    def final(self, request: FinalRequest, *, watch: Watch, note: Note) -> dict[str, Any]:
        with _final_options(request, self._own, watch, note) as options:
            return given_training.train_and_keep(
                RunFolder(request.folder),
                self._data,
                self._space.candidate(request.candidate["hyperparameters"]),
                about=request.candidate,
                monitor=request.monitor,
                **options,
            )


class GivenJob:
    """See `Job`."""

    def __init__(
        self, data: GivenData, candidate: HyperModelCandidate, own: UserSettings, space: HyperModelSpace
    ) -> None:
        self._data, self.candidate, self._own, self._space = data, candidate, own, space

    def build(self) -> keras.Model:
        return self.candidate.build()

    def parent(self, candidate: dict[str, Any]) -> keras.Model:
        return self._space.candidate(candidate["hyperparameters"]).build()

    def data_bytes(self) -> float:
        return math.inf  # of a user's own data and model, nobody knows

    def latency(self, model: keras.Model) -> float:
        return measuring.measure_on(model, self._data.example())

    def fit(self, model: keras.Model, request: TrialRequest, *, watch: Watch) -> Trained:
        notes: list[str] = []

        def train(model: keras.Model, data: Any, folds: Any, watch: Watch | None) -> Trained:
            with _trial_options(request, self._own, folds, watch, notes.append) as options:
                return given_training.fit(self.candidate, model, data, monitor=request.monitor, **options)

        trained = _on_each_fold(self, self._own, self._data, model, request, train, watch)
        trained.notes.extend(notes)
        return trained

    def told(self, trained: Trained) -> dict[str, Any]:
        metrics = given_training.at_best(trained)
        found = self.candidate.found()
        return {
            "metrics": metrics,
            **{name: metrics[name] for name in ("val_accuracy", "val_loss") if name in metrics},
            **({"found": found, "values": self.candidate.values} if found else {}),
        }
