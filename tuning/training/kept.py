"""The training of the model that a run keeps: what all kinds of models and data share of it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_blocks.tuning.files import write_json
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.seeds import FINAL, derived_seed
from keras_blocks.tuning.training.resumable import Trained


def train_and_keep(
    folder: RunFolder,
    build: Callable[[], keras.Model],
    train: Callable[[keras.Model], Trained],
    told: Callable[[keras.Model, Trained], Mapping[str, Any]],
    *,
    epochs: int,
    seed: int,
    note: Callable[[str], object],
    notes: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Trains a model from the beginning, keeps its best epoch, and writes what it came to.

    Args:
        folder: a `RunFolder`, which gets best.keras and result.json.
        build: function that makes the model.
        train: function of the model that trains it, with its checkpoint in `folder.final`.
        told: function of the model and its training: what result.json holds of them besides.
        epochs: of the training.
        seed: from which the training's is derived.
        note: function of a text, told where a damaged file was set aside.
        notes: further plain data for result.json.

    Returns:
        What result.json holds.
    """
    began = time.perf_counter()
    keras.utils.clear_session()
    keras.utils.set_random_seed(derived_seed(seed, FINAL))
    model = build()
    trained = train(model)
    for text in trained.notes:
        note(text)
    folder.save_model(model)
    result = {
        **told(model, trained),
        "kept_epoch": trained.best + 1,
        "epochs": epochs,
        "params": model.count_params(),
        "history": trained.history,
        **(notes or {}),
        "seconds": round(time.perf_counter() - began, 3),
    }
    written: dict[str, Any] = write_json(folder.result, result)
    folder.final.unlink(missing_ok=True)
    return written
