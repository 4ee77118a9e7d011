"""The training of the model that a run keeps, and its one look at the test images."""

import time

import keras

from keras_blocks.tuning import plots, training
from keras_blocks.tuning.atomic import write_json
from keras_blocks.tuning.seeds import FINAL, derived_seed


def train_and_keep(
    folder, dataset, architecture, metaparameters, hyperparameters, *, epochs, seed, progress, notes=None
) -> dict:
    """Trains a model from the beginning, keeps its best epoch, and evaluates that on the test images.

    The best epoch is the one with the lowest validation loss, which tells apart what equal accuracies do not.

    Args:
        folder: a `RunFolder`, which gets best.keras, test.npz, curves.png and result.json.
        dataset: a `Dataset`.
        architecture: class of the model.
        metaparameters, hyperparameters: as `training.compiled` takes them.
        epochs: of the training.
        seed: from which the training's is derived.
        progress: told of each epoch.
        notes: further plain data for result.json.

    Returns:
        What result.json holds.

    Raises:
        TrainingDiverged: where the loss became NaN or infinite.
    """
    began = time.perf_counter()
    keras.utils.clear_session()
    keras.utils.set_random_seed(derived_seed(seed, FINAL))
    model = training.compiled(architecture, metaparameters, hyperparameters, scale=dataset.scale, flips=dataset.flips)
    keep = keras.callbacks.EarlyStopping(monitor="val_loss", mode="min", patience=epochs, restore_best_weights=True)
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress.epoch())
    history = training.fit(
        model,
        hyperparameters,
        dataset.x_train,
        dataset.y_train,
        validation_data=(dataset.x_val, dataset.y_val),
        epochs=epochs,
        callbacks=[keep, watch],
        verbose=0,
    ).history
    best = min(range(len(history["val_loss"])), key=lambda epoch: history["val_loss"][epoch])
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
        "metaparameters": metaparameters,
        "hyperparameters": hyperparameters,
        "history": history,
        **(notes or {}),
    }
    plots.plot_curves(history, best, folder.curves_png, title=f"Training of the model that is kept, on {dataset.name}")
    return write_json(folder.result, result)
