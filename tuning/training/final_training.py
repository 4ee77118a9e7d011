"""The training of the model that a run keeps, and its one look at the test images."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.training import fit as training
from keras_blocks.tuning.training import kept, resumable
from keras_blocks.tuning.training.resumable import Trained, Watch


def images_of(dataset: Dataset) -> dict[str, Any]:
    """What a model that is compiled for a dataset is told of its images."""
    return {"scale": dataset.scale, "flips": dataset.flips, "class_names": dataset.class_names}


def train_and_keep(
    folder: RunFolder,
    dataset: Dataset,
    candidate: Any,
    *,
    epochs: int,
    seed: int,
    patience: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    watch: Watch | None = None,
    note: Callable[[str], object] = lambda text: None,
    notes: Mapping[str, Any] | None = None,
    begun: keras.Model | None = None,
) -> dict[str, Any]:
    """Trains a model from the beginning, keeps its best epoch, and evaluates that on the test images.

    Whatever a search's objectives were, the best epoch is the one with the lowest validation loss, which tells apart
    what equal accuracies do not. A training that was interrupted goes on after its last epoch.

    Args:
        folder: a `RunFolder`, which gets best.keras, test.npz and result.json.
        dataset: a `Dataset`.
        candidate: a `Candidate`, which is of the floor above.
        epochs: of the training.
        seed: from which the training's is derived.
        patience: epochs without a better one after which it ends.
        callbacks: further ones.
        watch: function of (epochs done, the epoch's metrics).
        note: function of a text, told where a damaged file was set aside.
        notes: further plain data for result.json.
        begun: the candidate's model, compiled, with the weights that it begins with; by default a new one, with
            random ones.

    Returns:
        What result.json holds.

    Raises:
        TrainingDiverged: where the loss became NaN or infinite.
    """
    how = candidate.hyperparameters

    def train(model: keras.Model) -> Trained:
        return resumable.fit(
            model,
            how,
            dataset,
            epochs=epochs,
            patience=patience,
            path=folder.final,
            signature=f"{candidate.signature()} {epochs} {seed}",
            watch=watch,
            deciding=range(epochs if patience is None else 1, epochs + 1),
            callbacks=callbacks,
        )

    def told(model: keras.Model, trained: Trained) -> dict[str, Any]:
        folder.save_test(dataset)
        correct = training.correct_of(model, dataset.x_test, dataset.y_test)
        return {
            "data": dataset.name,
            "class_names": dataset.class_names,
            "test_images": len(dataset.x_test),
            "test_correct": correct,
            "test_accuracy": correct / len(dataset.x_test),
            "val_accuracy": trained.history["val_accuracy"][trained.best],
            "val_loss": trained.history["val_loss"][trained.best],
            "architecture": candidate.architecture,
            "metaparameters": candidate.metaparameters,
            "hyperparameters": how,
        }

    return kept.train_and_keep(
        folder,
        lambda: begun or candidate.compiled(**images_of(dataset)),
        train,
        told,
        epochs=epochs,
        seed=seed,
        note=note,
        notes=notes,
    )
