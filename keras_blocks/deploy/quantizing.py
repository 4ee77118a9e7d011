"""int8 by the runtimes' own tools: what is asked of the file, and layers that stay in float until it holds."""

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_blocks.core import validation
from keras_blocks.core.graphs import all_layers
from keras_blocks.deploy.comparing import arrays_of
from keras_blocks.deploy.runtimes import batch_of

AT_A_TIME = 32
"""Images that a file is run on at once."""

FEW = 16
"""Of the calibration set, by which layers are compared."""

Run = Callable[[Any], Any]
"""Gives a file's outputs for inputs."""


@dataclasses.dataclass(frozen=True)
class QuantizedLayer:
    """A convolution or dense layer of a file that was made int8.

    Args:
        name: in the file.
        precision: "int8", or "float32", in which it was left.
        error: of its outputs, as they are in a file with all layers in int8, by calibration images: root mean square
            of the difference, as a share of their own. What earlier layers add is in it.
        seconds: it takes for one image in one thread, where the runtime tells it.
    """

    name: str
    precision: str
    error: float
    seconds: float | None = None


DROP = 0.01
"""Of the accuracy, at most, where nothing is said: one point."""


class Goal(NamedTuple):
    """What a file must keep: its score may be lower than the float file's by `most`."""

    score: Callable[[Run], float]
    most: float
    says: str
    """Of a drop, for an error and for users: "an accuracy lower by"."""

    def misses(self, lower: float) -> bool:
        """Whether a score that is lower by so much is too low; five of 500 are a point, whatever 0.346 is in binary."""
        return not lower <= self.most + 1e-9


def goal_of(
    validation_data: Any,
    max_drop: float | None,
    tolerance: float | None,
    differs: Callable[[Run], float],
    at_a_time: int = AT_A_TIME,
) -> Goal:
    """The goal, of the arguments of `export`.

    Args:
        validation_data: (inputs, labels), or `None`.
        max_drop: of the accuracy, or `None` for a point.
        tolerance: of the outputs, or `None`.
        differs: gives how far a file's outputs are from the model's.
        at_a_time: inputs that a file is run on at once.

    Raises:
        TypeError, ValueError: for both or neither, and for what is no such pair.
    """
    if (validation_data is None) == (tolerance is None):
        raise ValueError(
            "`precision='int8'` needs one goal: `validation_data=(inputs, labels)` with `max_drop` of the accuracy, or "
            f"`tolerance` of the outputs; received {'neither' if tolerance is None else 'both'}."
        )
    if tolerance is not None and max_drop is not None:
        raise ValueError(
            f"`max_drop` is of the accuracy on `validation_data`; received {max_drop!r} with a `tolerance`."
        )
    if tolerance is not None:
        return Goal(lambda run: -differs(run), tolerance, "outputs that differ by")
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
        raise TypeError(f"`validation_data` must be (inputs, labels); received {type(validation_data).__name__}.")
    inputs, labels = as_arrays(validation_data[0]), np.asarray(validation_data[1])
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or count_of(inputs) != len(labels) or not len(labels):
        raise ValueError(
            "`validation_data` must have a whole number for each of its inputs, its class; received "
            f"{count_of(inputs)} inputs, and labels of the shape {labels.shape} and the type {labels.dtype}."
        )
    most = validation.number("max_drop", DROP if max_drop is None else max_drop, least=0.0, most=1.0)
    return Goal(lambda run: accuracy(run, inputs, labels, at_a_time), most, "an accuracy lower by")


def accuracy(run: Run, inputs: Any, labels: np.ndarray, at_a_time: int = AT_A_TIME) -> float:
    """The share of inputs to which a file gives their own class.

    Raises:
        ValueError: where it does not give one score for each class.
    """
    right = 0
    for start, part in batches(inputs, at_a_time):
        found = run(part)
        arrays = arrays_of(found)
        if len(arrays) != 1 or arrays[0].ndim != 2 or arrays[0].shape[1] < 2:
            shapes = [array.shape for array in arrays]
            raise ValueError(
                "`validation_data` is for classifiers, which give one score for each class; this model gives "
                f"{shapes}: `tolerance` is for any."
            )
        right += int((arrays[0].argmax(axis=-1) == labels[start : start + len(arrays[0])]).sum())
    return right / len(labels)


def until_it_holds(
    write: Callable[[Collection[str]], float], ranked: Callable[[], Sequence[str]], misses: Callable[[float], bool]
) -> tuple[Collection[str], float]:
    """Writes a file with all layers in int8; while its score is too low, with twice as many of the worst in float.

    Args:
        write: writes it with these layers left in float, and gives its score.
        ranked: gives the layers, the worst first; asked only where some are to be left.
        misses: whether a score is too low.

    Returns:
        The layers that were left, and the score; too low where leaving all but one did not help.

    Example:

    >>> until_it_holds(lambda left: 0.9 + 0.01 * len(left), lambda: ["c", "a", "b"], lambda score: score < 0.915)
    (['c', 'a'], 0.92)
    """
    left: Sequence[str] = []
    score = write(left)
    order = ranked() if misses(score) else []
    while misses(score) and len(left) < len(order) - 1:
        left = order[: min(max(1, 2 * len(left)), len(order) - 1)]
        score = write(left)
    return left, score


def worst_first(
    layers: Sequence[str], write: Callable[[Collection[str]], None], run: Run, expected: Any, inputs: Any
) -> Sequence[str]:
    """The layers, first that which alone in int8 changes the outputs most.

    Args:
        layers: their names.
        write: writes the file with these left in float.
        run: runs what was written.
        expected: outputs of the float file.
        inputs: some, such as a few of the calibration set.
    """
    changes = {}
    for name in layers:
        write([other for other in layers if other != name])
        changes[name] = max(map(relative, arrays_of(expected), arrays_of(run(inputs))))
    return sorted(changes, key=changes.__getitem__, reverse=True)


def outside(operations: Iterable[tuple[str, Iterable[Any], Iterable[Any]]], layers: Collection[str]) -> list[str]:
    """Operations with no layer before them, such as preprocessing, or none behind, such as softmax: they stay in float.

    Images have 256 values, of which a subtraction in int8 makes other ones; and scores of classes that are rounded to
    256 values are equal where they should not be, and cut where they exceed those of the calibration set.

    Args:
        operations: (name, what it takes, what it gives), each behind those whose outputs it takes.
        layers: the names of those with weights.

    Example:

    >>> outside([("scale", ["image"], ["a"]), ("conv", ["a"], ["b"]), ("softmax", ["b"], ["scores"])], ["conv"])
    ['scale', 'softmax']
    """
    calls = [(name, set(taken), set(given)) for name, taken, given in operations]
    behind: set[Any] = set()
    before: set[Any] = set()
    for name, taken, given in calls:
        if name in layers or taken & behind:
            behind |= given
    for name, taken, given in reversed(calls):
        if name in layers or given & before:
            before |= taken
    return [name for name, taken, given in calls if name not in layers and not (taken & behind and given & before)]


def check_calibration(calibration: Any, deployed: keras.Model) -> Any:
    """The calibration set as arrays, in the structure of the model's inputs.

    Raises:
        ValueError: where there is none, and for inputs that the model does not take.
    """
    if calibration is None:
        raise ValueError(
            "`precision='int8'` needs `calibration`: inputs as the model takes them, by which the ranges of what is "
            "inside are found; a hundred images of training are common."
        )
    return checked_inputs("calibration", calibration, deployed)


def checked_inputs(name: str, inputs: Any, deployed: keras.Model) -> Any:
    """Inputs as arrays of the model's types, in the structure of its inputs.

    Raises:
        ValueError: for what the model does not take, with the argument's name.
    """
    single = isinstance(deployed.input, keras.KerasTensor)
    arrays = as_arrays(inputs[0] if single and isinstance(inputs, (list, tuple)) and len(inputs) == 1 else inputs)
    try:
        keras.tree.assert_same_structure(deployed.input, arrays)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must have the structure of the model's inputs, of arrays: {error}") from error
    if len(counts := {len(array) for array in keras.tree.flatten(arrays) if array.ndim}) > 1:
        raise ValueError(f"`{name}` must have as many of each input; received {sorted(counts)}.")
    for tensor, array in zip(keras.tree.flatten(deployed.input), keras.tree.flatten(arrays)):
        fits = len(array.shape) == len(tensor.shape) and len(array)
        if not fits or any(size not in (None, given) for size, given in zip(tensor.shape[1:], array.shape[1:])):
            raise ValueError(
                f"`{name}` must be inputs of the shape {tuple(tensor.shape)}, one or more, as the model takes "
                f"them; received the shape {array.shape}."
            )
    own, count = batch_of(deployed), count_of(arrays)
    if own is not None and (count != own if name == "inputs" else count % own):  # others are run batch by batch
        often = "" if name == "inputs" else ", or a multiple of it"
        raise ValueError(
            f"`{name}` must be {own} in number{often}, as '{deployed.name}' has a fixed batch, "
            f"{tuple(keras.tree.flatten(deployed.input)[0].shape)}; received {count}."
        )
    return keras.tree.map_structure(
        lambda tensor, array: array.astype(tensor.dtype, copy=False), deployed.input, arrays
    )


def check_quantizable(model: keras.Model) -> None:
    """Refuses a flat model without a convolution or a dense layer, of which there is nothing to quantize.

    Raises:
        ValueError: for such a model.
    """
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.Embedding)]
    if not any(len(weight.shape) > 1 for layer in layers for weight in layer.weights):
        raise ValueError(
            f"`precision='int8'` is for convolutions and dense layers, and '{model.name}' has none: there is nothing "
            "to quantize. Export it in float32."
        )


def check_not_quantized(model: keras.Model) -> None:
    """Refuses a model that `quantize` has changed, itself or within, whose weights are rounded already.

    Raises:
        ValueError: with its quantized layers.
    """
    names = [layer.name for layer in all_layers(model) if getattr(layer, "quantization_mode", None)]
    if names:
        raise ValueError(
            f"`model` must not be quantized: Keras' `quantize` has changed {len(names)} layers of '{model.name}', "
            f"such as '{names[0]}'. Export the model as it was before, with `precision='int8'`, which takes "
            "convolutions, too."
        )


def as_arrays(inputs: Any) -> Any:
    return keras.tree.map_structure(np.asarray, inputs)


def count_of(inputs: Any) -> int:
    return len(keras.tree.flatten(inputs)[0])


def first(inputs: Any, count: int) -> Any:
    return keras.tree.map_structure(lambda array: array[:count], inputs)


def batches(inputs: Any, size: int = AT_A_TIME) -> Iterator[tuple[int, Any]]:
    """(place of its first, inputs) of each batch."""
    for start in range(0, count_of(inputs), size):
        yield start, keras.tree.map_structure(lambda array, start=start: array[start : start + size], inputs)


class Calibration(NamedTuple):
    """Inputs by which a tool finds the ranges of what is inside."""

    inputs: Any
    """As the model takes them."""
    own: int | None = None
    """How many it takes at once, and no other number, where it says so; the inputs are a multiple of it."""

    def some(self, count: int) -> Any:
        return first(self.inputs, self.own or count)

    def batches(self, size: int = AT_A_TIME) -> Iterator[Any]:
        return (part for _, part in batches(self.inputs, self.own or size))

    def even_batches(self, most: int) -> Iterator[Any]:
        """As many as `batches`, as even as can be."""
        count = count_of(self.inputs)
        for places in np.array_split(np.arange(count), math.ceil(count / (self.own or most))):
            yield keras.tree.map_structure(lambda array, places=places: array[places], self.inputs)


def relative(expected: np.ndarray, found: np.ndarray) -> float:
    """Root mean square of the difference, as a share of the expected's."""
    expected, found = expected.astype("float64"), found.astype("float64")
    scale = np.sqrt(np.mean(expected**2))
    return float(np.sqrt(np.mean((expected - found) ** 2)) / scale) if scale else 0.0
