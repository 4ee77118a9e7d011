"""BatchNormalization's statistics, taken anew before a validation that decides.

They are moving averages, which lag behind the weights: after one epoch, a model validated with them may have 61 % where
the same weights have 85 %, and what a rung drops then is dropped for its momentum.
"""

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_blocks.core.graphs import sublayers
from keras_blocks.tuning.data.leaves import are_arrays
from keras_blocks.tuning.data.stored import StoredImages

InputBatches = Iterable[Any]
"""The inputs of one batch after another, without what belongs to them."""


class _InTraining(keras.Model):
    """A model as it is in training, whatever is asked of it; compiled as the model is."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(name="in_training")  # TensorFlow takes no name that begins with "_"
        self.inner = model
        self.compile(jit_compile=model.jit_compile, run_eagerly=model.run_eagerly)

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs, training=True)


class PreciseBatchNorm(keras.callbacks.Callback):
    """Validates some epochs with BatchNormalization's statistics taken anew. The training goes on with its own.

    The mean of the batches' means, and of their variances, takes the place of the moving averages of each
    `keras.layers.BatchNormalization` that is trained, and of what is derived from it.

    Args:
        epochs: whose validation decides, from 1.
        batches: gives the inputs to take them from.
        note: told where that could not be done.

    Reference:
        Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3 (precise BatchNorm); pycls' code has the mean
        of the variances, as here.
    """

    def __init__(
        self,
        epochs: Collection[int],
        batches: Callable[[], InputBatches],
        note: Callable[[str], object] = lambda text: None,
    ) -> None:
        super().__init__()
        self._epochs, self._batches, self._note = set(epochs), batches, note
        self._epoch = 0
        self._own: list[tuple[Any, np.ndarray]] = []
        self._taken: dict[int, np.ndarray] = {}
        self._forward: _InTraining | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._forward = None  # another model, or other layers that are trained

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch, self._taken = epoch + 1, {}

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        layers = trained_normalizations(self.model) if self._epoch in self._epochs else []
        if not layers:
            return
        before = [(variable, _value(variable)) for variable in self.model.non_trainable_variables]
        try:
            self._forward = self._forward or _InTraining(self.model)  # compiled once for all epochs
            taken = statistics(self._forward, layers, self._batches())
        except Exception as error:  # a user's own model may have no `call`, and their data be gone through but once
            self._epochs.clear()
            self._note(f"its BatchNormalization is validated with moving averages: {type(error).__name__}: {error}")
            taken = []
        for variable, value in before:  # of random layers and of others, too
            variable.assign(value)
        own = [variable for variable, _ in taken]
        self._own = [(variable, value) for variable, value in before if any(variable is one for one in own)]
        for variable, value in taken:
            variable.assign(value)
        self._taken = {id(variable): value for variable, value in taken}

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        for variable, value in self._own:
            variable.assign(value)
        self._own = []

    def weights(self, model: keras.Model) -> list[np.ndarray]:
        """The model's weights with those statistics with which this epoch was validated."""
        return [self._taken.get(id(variable), value) for variable, value in zip(model.weights, model.get_weights())]


def trained_normalizations(layer: keras.layers.Layer) -> list[keras.layers.BatchNormalization]:
    """Those in a layer or a model that take a batch's statistics in training."""
    found: dict[int, Any] = {}
    waiting = [layer]
    while waiting:
        one = waiting.pop()
        waiting += sublayers(one)
        if isinstance(one, keras.layers.BatchNormalization) and one.trainable and one.built:
            found[id(one)] = one
    return list(found.values())


def statistics(
    forward: _InTraining, layers: Collection[keras.layers.BatchNormalization], batches: InputBatches
) -> list[tuple[Any, np.ndarray]]:
    """Each moving average's variable, with its value from batches alone. They all are left as the batches left them.

    Args:
        forward: of a model that is built, compiled.
        layers: the model's normalizations.
        batches: the inputs of one batch after another.
    """
    variables = [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]
    sums, count = [np.zeros(variable.shape) for variable in variables], 0
    with _of_one_batch(layers):
        for inputs in batches:
            forward.predict_on_batch(inputs)
            sums = [total + _value(variable) for total, variable in zip(sums, variables)]
            count += 1
    if not count:
        raise ValueError("there was no batch")
    return [(variable, (total / count).astype("float32")) for variable, total in zip(variables, sums)]


@contextlib.contextmanager
def _of_one_batch(layers: Collection[keras.layers.BatchNormalization]) -> Iterator[None]:
    """What these keep is that of the last batch alone."""
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, before):
            layer.momentum = momentum


def _value(variable: Any) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))  # a copy: PyTorch's would change with the variable


def batches_of(part: Any, size: int | None, count: int) -> InputBatches:
    """The inputs of some batches.

    Args:
        part: (x, y) or (x, y, weights) of arrays, or what makes batches, as `GivenData` has it.
        size: of a batch of arrays; `None` for 32, as in `fit`.
        count: most of them.
    """
    if are_arrays(part):
        leaves = keras.tree.flatten(part[0])
        drawn = np.random.default_rng(0).permutation(len(leaves[0]))  # of all classes, if they are sorted, too
        whole = max(1, len(drawn) // (size or 32))
        for rows in np.array_split(drawn[: whole * (size or 32)], whole)[:count]:
            yield keras.tree.map_structure(lambda leaf, rows=rows: np.asarray(_rows(leaf, rows)), part[0])
        return
    is_indexed = isinstance(part, keras.utils.PyDataset)
    batches = (part[i] for i in range(part.num_batches or count)) if is_indexed else iter(part)
    for batch in itertools.islice(batches, count):
        inputs = keras.utils.unpack_x_y_sample_weight(batch)[0]
        yield keras.tree.map_structure(np.asarray, inputs)


def _rows(leaf: Any, rows: np.ndarray) -> Any:
    """Some rows; of images in a file, those alone are read."""
    return leaf[rows] if isinstance(leaf, StoredImages) else np.asarray(leaf)[rows]
