"""A compiled model from plain metaparameters and hyperparameters, and its training."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_blocks.blocks.image_normalization import ImageNormalization, Mode
from keras_blocks.tuning.data.batches import Batches, batched
from keras_blocks.tuning.data.stored import Images
from keras_blocks.tuning.training.augmentation import augmentation_layers
from keras_blocks.tuning.training.fit_arguments import fit_arguments
from keras_blocks.tuning.training.hyperparameters import DEFAULTS, OPTIMIZERS, SCHEDULES, TrainingDiverged, checked
from keras_blocks.tuning.training.lottery import lottery


def compiled(
    architecture: type[keras.Model],
    metaparameters: Mapping[str, Any],
    hyperparameters: Mapping[str, Any],
    *,
    scale: float = 1.0,
    flips: bool = False,
    pixels: Mode | None = None,
) -> keras.Model:
    """A new model of an architecture, with the pixels' scale and the augmentation inside, ready to fit.

    Args:
        architecture: class of the model.
        metaparameters: its constructor's arguments.
        hyperparameters: `optimizer`, `learning_rate`, `weight_decay`, `augmentation`, as `HyperArchitecture` draws
            them.
        scale: what the pixels are multiplied by.
        flips: whether augmentation may mirror the images.
        pixels: how published weights want them, see `ImageNormalization`; by default from 0 to 1.

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
            *([keras.layers.Rescaling(255.0, name="pixels"), ImageNormalization(pixels)] if pixels else ()),
        ],
    )
    model.compile(
        optimizer=optimizer(hyperparameters["learning_rate"], hyperparameters["weight_decay"]),
        loss=loss_of(hyperparameters["label_smoothing"]),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    # TensorFlow traces the training step twice if its first trace creates variables: the optimizer's, or those of a
    # metric given by name. Half of the time of a short trial went there.
    model.optimizer.build(model.trainable_variables)
    return model


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels, of which a share is spread over all classes; Keras has it for one-hot ones.

    It is of the training alone: see `without_smoothing`.

    Args:
        smoothing: the share.
    """

    def __init__(self, smoothing: float) -> None:
        super().__init__(name="smoothed_crossentropy")
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels = keras.ops.reshape(y_true, keras.ops.shape(y_pred)[:-1])
        one_hot = keras.ops.one_hot(keras.ops.cast(labels, "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
        return keras.losses.categorical_crossentropy(one_hot, y_pred, label_smoothing=self.smoothing)


def loss_of(smoothing: float) -> Any:
    """The loss of integer labels."""
    return SmoothedCrossentropy(smoothing) if smoothing else "sparse_categorical_crossentropy"


def without_smoothing(model: keras.Model) -> None:
    """Compiles a trained model with Keras' own loss, so that its file is read without this package."""
    if isinstance(model.loss, SmoothedCrossentropy):
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        model.compile(model.optimizer, "sparse_categorical_crossentropy", metrics=metrics)


def class_weights(hyperparameters: Mapping[str, Any], labels: np.ndarray) -> dict[int, float] | None:
    """Class -> the weight of its images: balanced, all classes weigh as much as each other."""
    if {**DEFAULTS, **hyperparameters}["class_weight"] == "none":
        return None
    found, counts = np.unique(labels, return_counts=True)
    return {int(label): len(labels) / (len(found) * int(count)) for label, count in zip(found, counts)}


def rate_at(epoch: float, hyperparameters: Mapping[str, Any], epochs: int) -> float:
    """The learning rate at a point of the training: it follows from nothing else, so that a training can be continued.

    It rises linearly through the first `warmup` of the epochs, then falls as the `schedule` has it: by default to zero
    along half a cosine.

    Args:
        epoch: passed so far; within the warm-up, and in the epoch in which it ends, also parts of one.
        hyperparameters: `learning_rate`, and, if given, `warmup`, a share of the epochs, and `schedule`.
        epochs: of the whole training.

    Reference:
        Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2 (the linear warm-up); Loshchilov and Hutter,
        "SGDR", 2016, equation 5 (the cosine).

    Example:

    >>> how = {"learning_rate": 1.0, "warmup": 0.25}
    >>> [round(rate_at(epoch, how, 8), 3) for epoch in (0.5, 1, 2, 5, 8)]
    [0.25, 0.5, 1.0, 0.5, 0.0]
    """
    rate = float(hyperparameters["learning_rate"])
    rising: float = {**DEFAULTS, **hyperparameters}["warmup"] * epochs
    if epoch < rising:
        return rate * epoch / rising
    schedule = SCHEDULES[{**DEFAULTS, **hyperparameters}["schedule"]]
    return rate * schedule((epoch - rising) / max(epochs - rising, 1e-9))


def learning_rate_of(model: keras.Model) -> float:
    """Of the optimizer, as it is."""
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


class RateSchedule(keras.callbacks.Callback):
    """Sets `rate_at` before each epoch, and before each step of those in which the warm-up is.

    Args:
        hyperparameters, epochs: see `rate_at`.
    """

    def __init__(self, hyperparameters: Mapping[str, Any], epochs: int) -> None:
        super().__init__()
        self._hyperparameters, self._epochs = hyperparameters, epochs
        self._rising = {**DEFAULTS, **hyperparameters}["warmup"] * epochs
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch
        if epoch >= self._rising:
            self._set(epoch)

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        # A step has the rate of its end: at the rate of its begin, the first would change nothing.
        if self._epoch < self._rising:
            steps = self.params["steps"]
            self._set(self._epoch + ((batch + 1) / steps if steps else 1))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = learning_rate_of(self.model)

    def _set(self, epoch: float) -> None:
        self.model.optimizer.learning_rate = rate_at(epoch, self._hyperparameters, self._epochs)


def fit(model: keras.Model, hyperparameters: Mapping[str, Any], *args: Any, **kwargs: Any) -> keras.callbacks.History:
    """`model.fit` with the batch size, and with the learning rate of `rate_at`; before that, the lottery.

    Args:
        model: a compiled model.
        hyperparameters: `learning_rate` and `batch_size`, which is None for data that make their own batches, as a
            `tf.data.Dataset` does; and, if given, `warmup`, see `rate_at`, and `lottery`, see `lottery`, which a
            training that is continued does not hold again, and which weighs no samples or classes.
        *args, **kwargs: as in `model.fit`; with a lottery, images and labels are arrays.

    Returns:
        The Keras history.

    Raises:
        WrongCall: a ValueError, for arguments that `model.fit` does not take or that the hyperparameters decide.
        TrainingDiverged: where a loss or a metric became NaN or infinite. Its accuracy would look like a low but valid
            one, since the largest of NaN predictions is the first class.
    """
    given = fit_arguments(model.fit, hyperparameters, args, kwargs)
    draws = {**DEFAULTS, **hyperparameters}["lottery"]
    if draws > 1 and given["initial_epoch"] == 0:
        lottery(model, given["x"], given["y"], draws=draws, hyperparameters=hyperparameters)
    given["callbacks"] += [RateSchedule(hyperparameters, given["epochs"]), keras.callbacks.TerminateOnNaN()]
    history = model.fit(**batched(model, given))
    for name, values in history.history.items():
        if not np.all(np.isfinite(values)):
            raise TrainingDiverged(f"the training diverged: its {name} became {values[-1]} in epoch {len(values)}.")
    return history


def correct_of(model: keras.Model, images: Images, labels: np.ndarray) -> int:
    """How many of the images the model gives their own class.

    Raises:
        ValueError: where the model's outputs are NaN, of which NumPy's largest would be class 0.
    """
    given: Any = images if isinstance(images, np.ndarray) else Batches(images, batch_size=256)
    size = {"batch_size": 256} if given is images else {}
    scores = model.predict(given, **size, verbose=0)
    if undefined := int(np.isnan(scores).any(axis=-1).sum()):
        raise ValueError(
            f"`model`: its outputs are NaN for {undefined} of {len(images)} images, so they are of no class. Look for "
            "weights that are NaN or infinite, and for 16-bit types that overflow."
        )
    return int((scores.argmax(axis=-1) == labels).sum())
