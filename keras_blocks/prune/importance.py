"""How much channels matter: by their kernels, their normalizations' scales, or the loss without them."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import keras
import numpy as np
import numpy.typing as npt

from keras_blocks.core import validation
from keras_blocks.core.arrays import as_float64
from keras_blocks.core.graphs import calls, renamed
from keras_blocks.core.layer_kinds import DEPTHWISE, NORMALIZATIONS, TRANSPOSED
from keras_blocks.core.native_layers import own_class
from keras_blocks.look.grad_cam import squashes
from keras_blocks.ops.gradients import gradients_of
from keras_blocks.prune.channels import Labels
from keras_blocks.prune.coupling import Coupling, Part

Array: TypeAlias = npt.NDArray[Any]
Scorer = Callable[[Any, Array], Any]
"""Of a layer and its kernel, whose last axis is the channels it makes, to a score for each."""

Criterion: TypeAlias = Literal["l1", "bn", "taylor", "jacobian"] | Scorer

KNOWN = ("l1", "bn", "taylor", "jacobian")

BY_GRADIENT = ("taylor", "jacobian")
"""Those that look at data, and whose scores add up: squared changes of a number."""

BATCH = 32
"""Images in a batch of what is given as arrays."""


def checked_criterion(by: Any) -> Any:
    """What `by=` may be.

    Raises:
        TypeError, ValueError: for anything else.
    """
    if not callable(by):
        if not isinstance(by, str):
            raise TypeError(f"`by` must be one of {KNOWN} or a function of a layer and its kernel; received {by!r}.")
        validation.choice("by", by, KNOWN)
    return by


def scores(coupling: Coupling, by: Criterion, data: Any, loss: Any) -> Array:
    """A score for each label's set, at the place of the label that stands for it; infinite where nothing tells one."""
    if by == "taylor":
        return _by_gradient(coupling, _loss_of(coupling.flat, loss), _batches(data, answers=True))
    if by == "jacobian":
        outputs = _outputs_of(coupling.flat)
        return _by_gradient(
            coupling,
            _along(outputs),
            _with_directions(_batches(data, answers=False, inputs=len(outputs.inputs)), outputs),
        )
    if by == "bn":
        rows = [(part, np.abs(as_float64(part.layer.gamma))) for part in _normalizations(coupling)]
        if not rows:
            raise ValueError("`by='bn'` needs normalizations with a scale behind what is pruned; 'l1' does without.")
    else:
        score = _norms if by == "l1" else by
        rows = [(part, _scored(score, part)) for part in coupling.parts.values() if part.followed.made]
    totals, times = np.zeros(len(coupling.channels)), np.zeros(len(coupling.channels))
    for part, found in rows:
        mean = found.mean()
        _add(coupling, totals, part.followed.out, found / mean if mean > 0 else found)
        _add(coupling, times, part.followed.out, np.ones_like(found))
    means: Array = np.divide(totals, times, out=np.full(len(totals), np.inf), where=times > 0)
    return means


def _norms(layer: Any, kernel: Array) -> Any:
    return np.abs(kernel).reshape(-1, kernel.shape[-1]).sum(0)


def _scored(score: Any, part: Part) -> Array:
    """What a function says of a layer's channels.

    Raises:
        ValueError: where that is not a number for each.
    """
    kernel = _kernel(part)
    told = score(part.layer, kernel)
    try:
        found = np.asarray(told, dtype="float64")
    except (TypeError, ValueError) as error:
        raise ValueError(f"`by` must give numbers for '{part.layer.name}', one for each channel: {error}") from error
    if found.shape != kernel.shape[-1:] or not np.isfinite(found).all() or (found < 0).any():
        raise ValueError(
            f"`by` must give a number of at least 0 for each channel, so {kernel.shape[-1]} of '{part.layer.name}'; "
            f"it gave {found.tolist() if found.size < 8 else f'an array of the shape {found.shape}'}."
        )
    return found


def _kernel(part: Part) -> Array:
    """The kernel that makes the channels, with these last."""
    kernel = as_float64(getattr(part.layer, part.followed.made))
    if own_class(part.layer) in TRANSPOSED:
        return kernel.swapaxes(-1, -2)
    return kernel.reshape(*kernel.shape[:-2], 1, -1) if own_class(part.layer) in DEPTHWISE else kernel


def _normalizations(coupling: Coupling) -> Iterator[Part]:
    for part in coupling.parts.values():
        if type(part.layer) in NORMALIZATIONS and part.layer.gamma is not None:
            yield part


def _by_gradient(coupling: Coupling, number: Callable[..., Any], batches: Iterator[tuple[Any, Any]]) -> Array:
    """The squared first-order change of a number without a channel, the mean of the batches.

    A channel's share is weight times gradient, added over the normalizations that scale it, or, where there are none,
    over the kernels and biases that make it; with their signs, as all of them are gone at once.
    """
    normalized = np.zeros(len(coupling.channels), dtype=bool)
    for part in _normalizations(coupling):
        normalized[_roots(coupling, part.followed.out)] = True
    entries = list(_entries(coupling, normalized))
    variables = [variable for _, variable, _ in entries]
    gradients = gradients_of(number, variables)
    totals, times = np.zeros(len(coupling.channels)), 0
    for x, y in batches:
        change = np.zeros(len(totals))
        for (labels, variable, axis), gradient in zip(entries, gradients(x, y), strict=True):
            if gradient is not None:
                share = (as_float64(variable) * as_float64(gradient)).sum(axis=axis).ravel()
                _add(coupling, change, labels, share)
        totals, times = totals + change**2, times + 1
    if not times:
        raise ValueError("`data` must have at least one batch of images; it has none.")
    told = np.zeros(len(totals), dtype=bool)
    for labels, *_ in entries:
        told[_roots(coupling, labels)] = True
    return np.where(told, totals / times, np.inf)


def _entries(coupling: Coupling, normalized: npt.NDArray[np.bool_]) -> Iterator[tuple[Labels, Any, tuple[int, ...]]]:
    """(labels, variable, the axes of its that are added up) of what tells of a channel."""
    for part in coupling.parts.values():
        out = part.followed.out
        if out is None:
            continue
        if type(part.layer) in NORMALIZATIONS and part.layer.gamma is not None:
            yield from ((out, variable, ()) for name, variable, _ in part.weights() if name in ("gamma", "beta"))
        elif part.followed.made and not normalized[_roots(coupling, out)].all():
            last = {"kernel", "pointwise_kernel", "bias"}
            for name, variable, _ in part.weights():
                if name in last:
                    rank = len(variable.shape)
                    cls = own_class(part.layer)
                    own = {-2, -1} if cls in DEPTHWISE else {-2 if cls in TRANSPOSED else -1}
                    own = {-1} if name == "bias" else own
                    yield out, variable, tuple(axis for axis in range(rank) if axis - rank not in own)


def _loss_of(flat: keras.Model, loss: Any) -> Callable[..., Any]:
    """A function of images and answers to the mean loss, without what regularizers add."""
    if loss is None:
        raise ValueError("`by='taylor'` needs a `loss`, as the model is not compiled with one.")
    try:
        losses = keras.tree.map_structure(keras.losses.get, loss)
    except ValueError as error:
        raise ValueError(f"`loss` must be a Keras loss, or the name of one; received {loss!r}: {error}") from error

    def number(x: Any, y: Any) -> Any:
        found = flat(x, training=False)
        if callable(losses):
            return keras.ops.mean(losses(y, found))
        for name, mine in (("loss", losses), ("data", y)):
            try:
                keras.tree.assert_same_structure(mine, found)
            except (TypeError, ValueError) as error:
                wanted = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), found)
                raise ValueError(f"`{name}` must have the structure of the model's outputs, {wanted}.") from error
        each = keras.tree.map_structure(lambda one, true, given: keras.ops.mean(one(true, given)), losses, y, found)
        return sum(keras.tree.flatten(each))

    return number


def _outputs_of(flat: keras.Model) -> keras.Model:
    """A model to the outputs, before a softmax or sigmoid that ends it: that hides what the model is sure of.

    Raises:
        ValueError: where no output is a number that a channel could change.
    """
    last = {id(tensor) for tensor in keras.tree.flatten(flat.output)}
    ends = {id(made[0]): (operation, given) for operation, given, made in calls(flat) if id(made[0]) in last}

    def before(tensor: Any) -> Any:
        operation, given = ends.get(id(tensor), (None, [None]))
        if not squashes(operation):
            return tensor
        if isinstance(operation, keras.layers.Activation | keras.layers.Softmax):
            return given[0]
        linear = renamed(operation, f"{operation.name}_scores")  # the activation is a part of the layer
        linear.activation = keras.activations.linear
        return linear(given[0])

    outputs = [before(tensor) for tensor in keras.tree.flatten(flat.output) if "float" in tensor.dtype]
    if not outputs:
        raise ValueError("`by='jacobian'` needs outputs that are numbers, not integers.")
    return keras.Model(flat.input, outputs)


def _along(outputs: keras.Model) -> Callable[..., Any]:
    """A function of images and directions to how far the outputs are along these."""

    def number(x: Any, directions: Any) -> Any:
        found = keras.tree.flatten(outputs(x, training=False))
        pairs = zip(found, directions, strict=True)
        return sum(keras.ops.sum(keras.ops.cast(one, "float32") * along) for one, along in pairs)

    return number


def _with_directions(batches: Iterator[tuple[Any, Any]], outputs: keras.Model) -> Iterator[tuple[Any, Any]]:
    """Random ones for each image: squares of sums over a batch are then, in the mean, sums of squares."""
    rng = np.random.default_rng(0)
    for x, _ in batches:
        shapes = [tuple(one.shape) for one in keras.tree.flatten(outputs(x, training=False))]
        yield x, [_tensor(rng.normal(size=shape).astype("float32")) for shape in shapes]


def _batches(data: Any, answers: bool, inputs: int = 1) -> Iterator[tuple[Any, Any]]:
    """(images, answers) as tensors; images alone have none."""
    pair = isinstance(data, tuple) and len(data) == 2 and (answers or inputs == 1)
    if pair or (not answers and _are_images(data, inputs)):
        sides = data if pair else (data, ())
        whole = tuple(keras.tree.map_structure(np.atleast_1d, side) for side in (sides if answers else (sides[0], ())))
        starts = range(0, len(keras.tree.flatten(whole)[0]), BATCH)
        batches: Any = (keras.tree.map_structure(lambda one, i=i: one[i : i + BATCH], whole) for i in starts)
    elif isinstance(data, keras.utils.PyDataset):
        batches = (data[i] for i in range(len(data)))
    else:
        batches = data
    for batch in batches:
        if answers and (not isinstance(batch, (tuple, list)) or len(batch) < 2):
            raise ValueError(f"`data` must give (images, answers) for each batch; it gave {type(batch).__name__}.")
        given = batch if isinstance(batch, (tuple, list)) else (batch, ())
        x, y = (keras.tree.map_structure(_tensor, side) for side in (given[0], given[1] if answers else ()))
        yield x, y


def _are_images(data: Any, inputs: int) -> bool:
    """Whether it is all images, rather than what gives batches: of several inputs a list or a dict of arrays."""
    if isinstance(data, dict):
        return all(hasattr(one, "shape") for one in data.values())
    if isinstance(data, list | tuple):
        return inputs > 1 and all(hasattr(one, "shape") for one in data)
    return hasattr(data, "shape") and hasattr(data, "__getitem__")


def _tensor(value: Any) -> Any:
    """A tensor of this backend; others', such as those of a `tf.data.Dataset`, by way of arrays."""
    return keras.ops.convert_to_tensor(value if keras.ops.is_tensor(value) else np.asarray(value))


def _add(coupling: Coupling, totals: Array, labels: Labels | None, values: Array) -> None:
    np.add.at(totals, _roots(coupling, labels), values)


def _roots(coupling: Coupling, labels: Labels | None) -> Labels:
    return coupling.channels.roots(np.empty(0, dtype=np.int64) if labels is None else labels)
