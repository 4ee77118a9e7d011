"""A compiled model from plain metaparameters and hyperparameters, and its training."""

import math

import keras
import numpy as np

from keras_blocks import validation
from keras_blocks.tuning.augmentation import STRENGTHS, augmentation_layers

OPTIMIZERS = {
    "adamw": lambda rate, decay: keras.optimizers.AdamW(rate, weight_decay=decay),
    "sgd": lambda rate, decay: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay),
}


DEFAULTS = {"warmup": 0.0, "lottery": 1}
"""Hyperparameters that may be left out: no warm-up, and the first initialization that is drawn."""


class TrainingDiverged(ValueError):
    """The loss became NaN or infinite."""


def checked(hyperparameters: dict) -> dict:
    """The hyperparameters, with those that were left out.

    Raises:
        TypeError, ValueError: for one out of range, or missing, naming it, its value and what is allowed.
    """
    found = {**DEFAULTS, **hyperparameters}
    required = ("optimizer", "learning_rate", "weight_decay", "batch_size", "augmentation")
    validation.mapping("hyperparameters", found, keys=(*required, *DEFAULTS), required=required)
    validation.choice("optimizer", found["optimizer"], tuple(OPTIMIZERS))
    validation.number("learning_rate", found["learning_rate"], least=1e-12, most=1e6)
    validation.number("weight_decay", found["weight_decay"], least=0, most=1e6)
    validation.integer("batch_size", found["batch_size"])
    validation.choice("augmentation", found["augmentation"], tuple(STRENGTHS))
    validation.number("warmup", found["warmup"], least=0, most=1, open_end=True)
    validation.integer("lottery", found["lottery"], most=10_000)
    return found


def compiled(architecture: type, metaparameters: dict, hyperparameters: dict, *, scale=1.0, flips=False):
    """A new model of an architecture, with the pixels' scale and the augmentation inside, ready to fit.

    Args:
        architecture: class of the model.
        metaparameters: its constructor's arguments.
        hyperparameters: `optimizer`, `learning_rate`, `weight_decay`, `augmentation`, as `HyperArchitecture` draws
            them.
        scale: what the pixels are multiplied by.
        flips: whether augmentation may mirror the images.

    Returns:
        A compiled model for integer labels.
    """
    hyperparameters = checked(hyperparameters)
    optimizer = OPTIMIZERS[hyperparameters["optimizer"]]
    model = architecture(
        **metaparameters,
        preprocess=[
            keras.layers.Rescaling(scale, name="rescale"),
            *augmentation_layers(hyperparameters["augmentation"], flips=flips),
        ],
    )
    model.compile(
        optimizer=optimizer(hyperparameters["learning_rate"], hyperparameters["weight_decay"]),
        loss="sparse_categorical_crossentropy",
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    # TensorFlow traces the training step twice if its first trace creates variables: the optimizer's, or those of a
    # metric given by name. Half of the time of a short trial went there.
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, hyperparameters: dict, *args, callbacks=(), epochs=1, **kwargs):
    """`model.fit` with the batch size, and with a learning rate that falls to zero along half a cosine.

    Args:
        model: a compiled model.
        hyperparameters: `learning_rate` and `batch_size` are used.
        *args, callbacks, epochs, **kwargs: as in `model.fit`.

    Returns:
        The Keras history.

    Raises:
        TrainingDiverged: where a loss or a metric became NaN or infinite. Its accuracy would look like a low but valid
            one, since the largest of NaN predictions is the first class.
    """
    rate = hyperparameters["learning_rate"]
    decay = keras.callbacks.LearningRateScheduler(
        lambda epoch, _: rate * 0.5 * (1 + math.cos(math.pi * epoch / max(epochs, 1)))
    )
    history = model.fit(
        *args,
        batch_size=hyperparameters["batch_size"],
        epochs=epochs,
        callbacks=[*callbacks, decay, keras.callbacks.TerminateOnNaN()],
        **kwargs,
    )
    for name, values in history.history.items():
        if not np.all(np.isfinite(values)):
            raise TrainingDiverged(f"the training diverged: its {name} became {values[-1]} in epoch {len(values)}.")
    return history


def correct_of(model, images, labels) -> int:
    """How many of the images the model gives their own class."""
    predicted = model.predict(images, batch_size=256, verbose=0).argmax(axis=-1)
    return int((predicted == labels).sum())
