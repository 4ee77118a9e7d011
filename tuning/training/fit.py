"""A compiled model from plain metaparameters and hyperparameters, and its training."""

import math

import keras
import numpy as np

from keras_blocks.core import validation
from keras_blocks.tuning.training.augmentation import STRENGTHS, augmentation_layers

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


def rate_at(epoch: float, hyperparameters: dict, epochs: int) -> float:
    """The learning rate at a point of the training: it follows from nothing else, so that a training can be continued.

    It rises linearly through the first `warmup` of the epochs, then falls to zero along half a cosine.

    Args:
        epoch: passed so far; within the warm-up, and in the epoch in which it ends, also parts of one.
        hyperparameters: `learning_rate`, and `warmup`, a share of the epochs.
        epochs: of the whole training.

    Reference:
        Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2 (the linear warm-up); Loshchilov and Hutter,
        "SGDR", 2016, equation 5 (the cosine).

    Example:

    >>> how = {"learning_rate": 1.0, "warmup": 0.25}
    >>> [round(rate_at(epoch, how, 8), 3) for epoch in (0.5, 1, 2, 5, 8)]
    [0.25, 0.5, 1.0, 0.5, 0.0]
    """
    rate, rising = hyperparameters["learning_rate"], {**DEFAULTS, **hyperparameters}["warmup"] * epochs
    if epoch < rising:
        return rate * epoch / rising
    return rate * 0.5 * (1 + math.cos(math.pi * (epoch - rising) / max(epochs - rising, 1e-9)))


class RateSchedule(keras.callbacks.Callback):
    """Sets `rate_at` before each epoch, and before each step of those in which the warm-up is.

    Args:
        hyperparameters, epochs: see `rate_at`.
    """

    def __init__(self, hyperparameters: dict, epochs: int):
        super().__init__()
        self._hyperparameters, self._epochs = hyperparameters, epochs
        self._rising = {**DEFAULTS, **hyperparameters}["warmup"] * epochs
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if epoch >= self._rising:
            self._set(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        # A step has the rate of its end: at the rate of its begin, the first would change nothing.
        if self._epoch < self._rising:
            steps = self.params["steps"]
            self._set(self._epoch + ((batch + 1) / steps if steps else 1))

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def _set(self, epoch):
        self.model.optimizer.learning_rate = rate_at(epoch, self._hyperparameters, self._epochs)


def fit(model, hyperparameters: dict, *args, callbacks=(), epochs=1, initial_epoch=0, **kwargs):
    """`model.fit` with the batch size, and with the learning rate of `rate_at`; before that, the lottery.

    Args:
        model: a compiled model.
        hyperparameters: `learning_rate` and `batch_size`; and, if given, `warmup`, see `rate_at`, and `lottery`, see
            `lottery`, which a training that is continued does not hold again.
        *args, callbacks, epochs, initial_epoch, **kwargs: as in `model.fit`; with a lottery, images and labels are
            arrays.

    Returns:
        The Keras history.

    Raises:
        TrainingDiverged: where a loss or a metric became NaN or infinite. Its accuracy would look like a low but valid
            one, since the largest of NaN predictions is the first class.
    """
    draws = {**DEFAULTS, **hyperparameters}["lottery"]
    if draws > 1 and initial_epoch == 0:
        images, labels = (*args, kwargs.get("x"), kwargs.get("y"))[:2]
        lottery(model, images, labels, draws=draws, hyperparameters=hyperparameters)
    history = model.fit(
        *args,
        batch_size=hyperparameters["batch_size"],
        epochs=epochs,
        initial_epoch=initial_epoch,
        callbacks=[*callbacks, RateSchedule(hyperparameters, epochs), keras.callbacks.TerminateOnNaN()],
        **kwargs,
    )
    for name, values in history.history.items():
        if not np.all(np.isfinite(values)):
            raise TrainingDiverged(f"the training diverged: its {name} became {values[-1]} in epoch {len(values)}.")
    return history


LOTTERY_STEPS = 16
"""Steps after which a draw of the lottery is judged."""


def lottery(model, images, labels, *, draws: int, hyperparameters: dict, steps: int = LOTTERY_STEPS) -> list[float]:
    """Draws initial weights several times, and leaves the model with those that learn fastest, untrained.

    Each draw is trained for a few steps on a few images, the same for all, at the rate with which the training proper
    begins or, with a warm-up, at a tenth of the full one, and judged by its loss on them. The first draw is the model's
    own weights.
    The same seed, `keras.utils.set_random_seed`, gives the same draws.

    Args:
        model: a compiled model, not yet trained.
        images, labels: of the training, NumPy arrays.
        draws: how many, 2 or more.
        hyperparameters: `learning_rate`, `batch_size` and, if given, `warmup`.
        steps: that each draw is trained.

    Returns:
        The loss of each draw; infinity for one that diverged.

    Raises:
        TypeError: for images or labels that are no arrays.
        TrainingDiverged: where all draws did.

    Reference:
        Frankle and Carbin, "The Lottery Ticket Hypothesis", 2018: how well a network trains is a matter of the draw of
        its initial weights.
    """
    validation.integer("draws", draws, least=2, most=10_000)
    size = hyperparameters["batch_size"]
    for name, array in (("images", images), ("labels", labels)):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"`{name}` must be a NumPy array, for a `lottery`; received {type(array).__name__}.")
    few = np.random.default_rng(0).permutation(len(images))[: size * steps]  # of all classes, if they are sorted, too
    passes = max(1, steps // -(-len(few) // size))
    images, labels = images[few], labels[few]
    states = [*model.non_trainable_variables, *model.optimizer.variables]  # of normalizations and random layers, too
    begin = [keras.ops.convert_to_numpy(variable) for variable in states]
    rate = hyperparameters["learning_rate"] * (0.1 if {**DEFAULTS, **hyperparameters}["warmup"] else 1)
    config, best, losses = model.get_config(), model.get_weights(), []
    for i in range(draws):
        drawn = best if i == 0 else type(model).from_config(config).get_weights()
        for variable, value in zip(states, begin):
            variable.assign(value)
        model.set_weights(drawn)
        model.optimizer.learning_rate = rate
        model.fit(images, labels, batch_size=size, epochs=passes, shuffle=False, verbose=0)
        found = model.evaluate(images, labels, batch_size=256, verbose=0, return_dict=True)["loss"]
        losses.append(found if math.isfinite(found) else math.inf)
        if losses[-1] == min(losses):
            best = drawn
    for variable, value in zip(states, begin):
        variable.assign(value)
    model.set_weights(best)
    if min(losses) == math.inf:
        raise TrainingDiverged(f"all {draws} initializations diverged.")
    return losses


def correct_of(model, images, labels) -> int:
    """How many of the images the model gives their own class."""
    predicted = model.predict(images, batch_size=256, verbose=0).argmax(axis=-1)
    return int((predicted == labels).sum())
