"""SingleTraining: a named model trained from random weights, or from those of others, kept in a run folder."""

import dataclasses
from pathlib import Path
from typing import Any, get_args

import keras

from keras_blocks.core.registration import registered_name
from keras_blocks.core.signature import arguments
from keras_blocks.costs.cost import cost
from keras_blocks.models.registry import check_weights, classifier_of, take_weights
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.progress import NoProgress, Progress
from keras_blocks.tuning.search.settings import Pixels, TrainingSettings
from keras_blocks.tuning.seeds import FINAL, derived_seed
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.spaces.families import space_of_architecture
from keras_blocks.tuning.training.final_training import images_of, train_and_keep
from keras_blocks.tuning.training.hyperparameters import LATER
from keras_blocks.tuning.trials.callbacks import callbacks_at, place_of_callbacks
from keras_blocks.weights.published import HUB, IN_KERAS


class SingleTraining:
    """The training of a published architecture on a dataset. Creating it checks everything; `run` does the work.

    Args:
        name: one of `keras_blocks.list_models()`.
        settings: `TrainingSettings`.
        run: path of the run folder.
        replace: remove the run that is there. Never removes anything else.

    Raises:
        TypeError, ValueError: for a name that is unknown, and for data, weights or a folder that cannot be used.
        ImportError, OSError: for weights that are not there, or cannot be fetched.

    Example:

    >>> training = SingleTraining("squeezenet_1.1", TrainingSettings(data="digits", epochs=1), "runs/single")
    >>> training.run()["epochs"]
    1
    """

    def __init__(self, name: str, settings: TrainingSettings, run: str | Path, *, replace: bool = False) -> None:
        self.settings = settings
        self.architecture = classifier_of(name)
        hyperparameters = {
            name: getattr(settings, name)
            for name in (*("optimizer", "learning_rate", "weight_decay", "batch_size", "augmentation"), *LATER)
        }
        self._callbacks = None if settings.callbacks is None else place_of_callbacks(settings.callbacks)
        self.notes: list[str] = []
        self.folder = RunFolder(run)
        self.dataset = settings.dataset()
        space = space_of_architecture(self.architecture).from_dataset(self.dataset)
        published = self.architecture.variants[name]
        fitted = space.fitted_to_images(dict(published))
        if settings.weights is not None:  # of the published network, whatever the images are
            check_weights(name, settings.weights)
            fitted = dict(published)
        self.changes = [
            f"{key} is {value!r}, for the images' size" for key, value in fitted.items() if value != published[key]
        ]
        self.metaparameters = {**fitted, **space.fixed_by_data()}
        normalizes = published.get("batch_norm", arguments(self.architecture)["batch_norm"])
        if settings.batch_norm and not normalizes and settings.weights is None:
            self.metaparameters["batch_norm"] = space.batch_norm
            self.changes.append("with batch normalization (--no-batch-norm: without)")
        try:
            cost(self.architecture, **self.metaparameters)  # finds out with nothing built
        except ValueError as error:
            raise ValueError(f"`data`: images of {self.dataset.image_shape} do not fit {name!r}: {error}") from error
        self.candidate = Candidate(registered_name(self.architecture), self.metaparameters, hyperparameters)
        self._begun = None if settings.weights is None else self._with_weights(name, settings.weights)
        self.folder.create(
            {"kind": "train", "model": name, **dataclasses.asdict(settings), **hyperparameters},
            replace=replace,
        )

    def _with_weights(self, name: str, weights: str) -> keras.Model:
        """The compiled model, with all of the weights that fit its classes and channels."""
        pixels = self.settings.normalization or self._published_pixels(name, weights)
        if pixels != "tf" and self.dataset.image_shape[-1] != 3:
            raise ValueError(
                f"`data`: weights that want their pixels as {pixels!r} take images of 3 channels; these have the shape "
                f"{self.dataset.image_shape}. Without --weights any number will do."
            )
        keras.utils.clear_session()
        keras.utils.set_random_seed(derived_seed(self.settings.seed, FINAL))
        model = self.candidate.compiled(**images_of(self.dataset), pixels=pixels)
        self.notes = take_weights(model, name, weights, self.dataset.classes)
        return model

    def _published_pixels(self, name: str, weights: str) -> Pixels:
        """How published weights want their pixels; of others the user alone knows it."""
        if weights != "imagenet":
            raise ValueError(
                f"`normalization` must be given with these weights, which do not say how they want their pixels: one "
                f"of {[*get_args(Pixels)]}; docs/weights.md names it for those that are published."
            )
        function = self.architecture.published.get(name)
        return HUB[name].pixels if function is None else IN_KERAS[function]

    def run(self, progress: Progress | None = None) -> dict[str, Any]:
        """Trains, keeps the best epoch, evaluates it on the test images.

        Args:
            progress: told of each epoch, see `report.terminal.Progress`.

        Returns:
            What result.json holds.

        Raises:
            TrainingDiverged: where the loss became NaN or infinite.
            RunIsHeld: where another process trains in the run's folder.
        """
        from keras_blocks.tuning.report.run_report import write_run_report  # plotly takes a while

        with self.folder.held():
            result = self._run(progress or NoProgress())
            write_run_report(self.folder)
        return result

    def _run(self, progress: Progress) -> dict[str, Any]:
        progress.training(self.settings.epochs)
        return train_and_keep(
            self.folder,
            self.dataset,
            self.candidate,
            epochs=self.settings.epochs,
            seed=self.settings.seed,
            patience=self.settings.patience,
            callbacks=callbacks_at(self._callbacks),
            watch=progress.epoch,
            note=progress.note,
            begun=self._begun,
        )
