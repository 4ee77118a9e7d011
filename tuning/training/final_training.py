"""The training of the model that a run keeps, and its one look at the test images."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.files import write_json
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.seeds import FINAL, derived_seed
from keras_blocks.tuning.training import fit as training
from keras_blocks.tuning.training import resumable
from keras_blocks.tuning.training.resumable import Watch


def train_and_keep(
    folder: RunFolder,
    dataset: Dataset,
    candidate: Any,
    *,
    epochs: int,
    seed: int,
    watch: Watch | None = None,
    note: Callable[[str], object] = lambda text: None,
    notes: Mapping[str, Any] | None = None,
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
        watch: function of (epochs done, the epoch's metrics).
        note: function of a text, told where a damaged file was set aside.
        notes: further plain data for result.json.

    Returns:
        What result.json holds.

    Raises:
        TrainingDiverged: where the loss became NaN or infinite.
    """
    began = time.perf_counter()
    keras.utils.clear_session()
    keras.utils.set_random_seed(derived_seed(seed, FINAL))
    model = candidate.compiled(scale=dataset.scale, flips=dataset.flips, class_names=dataset.class_names)
    trained = resumable.fit(
        model,
        candidate.hyperparameters,
        dataset,
        epochs=epochs,
        path=folder.final,
        signature=f"{candidate.signature()} {epochs} {seed}",
        watch=watch,
    )
    for text in trained.notes:
        note(text)
    history, best = trained.history, trained.best
    folder.save_model(model)
    folder.save_test(dataset)
    correct = training.correct_of(model, dataset.x_test, dataset.y_test)
    result = {
        "data": dataset.name,
        "class_names": dataset.class_names,
        "test_images": len(dataset.x_test),
        "test_correct": correct,
        "test_accuracy": correct / len(dataset.x_test),
        "val_accuracy": history["val_accuracy"][best],
        "val_loss": history["val_loss"][best],
        "kept_epoch": best + 1,
        "epochs": epochs,
        "params": model.count_params(),
        "seconds": round(time.perf_counter() - began, 3),
        "architecture": candidate.architecture,
        "metaparameters": candidate.metaparameters,
        "hyperparameters": candidate.hyperparameters,
        "history": history,
        **(notes or {}),
    }
    written: dict[str, Any] = write_json(folder.result, result)
    folder.final.unlink(missing_ok=True)
    return written
