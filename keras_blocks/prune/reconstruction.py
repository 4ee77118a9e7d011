"""Layers behind what was pruned, fitted so that they give again what they gave: least squares, layer by layer."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from keras_blocks.core.arrays import as_float64
from keras_blocks.core.graphs import calls, replay
from keras_blocks.core.native_layers import own_class
from keras_blocks.core.shapes import check_fit
from keras_blocks.prune.coupling import Coupling, Kept

Array = npt.NDArray[Any]

BATCH = 32
"""Images that go through a layer at a time."""

MANY_ROWS, MOST_NUMBERS = 16384, 2**24
"""Places that a layer is fitted to, where the images have so many; fewer where these, times weights or channels, would
be more numbers than that, but twice as many as it has weights for an output channel."""

RIDGE = 1e-3
"""What holds a kernel to what pruning left of it, as a share of the mean square of what the layer is given."""

LEAST_GAIN = 1e-3
"""Of a normalization's channel, so that what is added behind it can be made up for."""


class _Held:
    """A tensor of all images, in batches; let go of where no layer needs it any more."""

    def __init__(self, batches: list[Any]):
        self.batches = batches


class _Wanted(NamedTuple):
    """What a layer gave before, at some of the places that it looks at."""

    places: Array
    """(image, row, column) of each; of a dense layer the number of the vector."""
    given: Array
    """(places, channels)."""
    beside: Array | None
    """What was added to it behind its normalization, likewise."""


def checked_images(flat: keras.Model, images: Any) -> list[Array]:
    """Arrays for each of the model's inputs.

    Raises:
        TypeError, ValueError: for anything else.
    """
    if isinstance(images, dict):
        names = [tensor.name for tensor in flat.inputs]
        keys = sorted(flat.input) if isinstance(flat.input, dict) and {*flat.input} <= {*images} else names
        missing = [key for key in keys if key not in images]
        if missing:
            raise ValueError(f"`reconstruct` must have images for the inputs {missing}; it has {[*images]}.")
        each = [images[key] for key in keys]
    else:
        several = isinstance(images, list | tuple) and (len(flat.inputs) > 1 or len(images) == 1)
        each = list(images) if several else [images]
    try:
        arrays = [np.asarray(keras.ops.convert_to_numpy(one)) for one in each]
    except (TypeError, ValueError) as error:
        raise TypeError(f"`reconstruct` must be images as an array; received {type(images).__name__}.") from error
    for array, tensor in zip(arrays, flat.inputs):
        if array.dtype == object or array.ndim != len(tensor.shape):
            raise ValueError(
                f"`reconstruct` must be a batch of images of the shape {tuple(tensor.shape)}; received an array of the "
                f"shape {array.shape}."
            )
        check_fit(tuple(tensor.shape), array.shape)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError("`reconstruct` must be images of finite numbers; some are NaN or infinite.")
    if len(arrays) != len(flat.inputs) or len({len(array) for array in arrays}) != 1 or not len(arrays[0]):
        raise ValueError(
            f"`reconstruct` must have as many images for each of {len(flat.inputs)} inputs, one at least; received "
            f"{[len(array) for array in arrays]}."
        )
    return arrays


def reconstruct(pruned: keras.Model, coupling: Coupling, kept: Kept, images: list[Array]) -> None:
    """Fits the kernels of the pruned model's convolutions and dense layers, in the order in which they compute.

    Each is given what the layers before it give now, and is to give what the whole model's layer gives: so it makes up
    for the channels that went, and for what is left of the errors before it; where its sum with something else is what
    is passed on, as at the end of a residual block, for those of the other summand, too. Layers that are called twice,
    and convolutions in groups, are left as they are.
    """
    fitted = [layer for layer in _called_once(coupling.flat) if _is_fitted(layer)]
    numbers = {layer.name: number for number, layer in enumerate(fitted)}
    wanted: dict[str, _Wanted] = {}
    before, behind = _behind(coupling.flat), _behind(pruned)

    def remember(layer: Any, x: _Held, held: Mapping[int, _Held]) -> None:
        if layer.name not in numbers:
            return
        rng = np.random.default_rng(numbers[layer.name])
        places = _places(layer, x, rng)
        part = coupling.parts.get(id(layer))
        given = _rows(layer, x, places) @ _matrix(layer)
        if layer.bias is not None:
            given += as_float64(layer.bias)
        beside = _beside(layer, before.get(id(layer)), places, held)
        if part is not None and part.followed.out is not None and part.followed.made:
            mask = kept.mask(part.followed.out)
            given, beside = given[:, mask], None if beside is None else beside[:, mask]
        with np.errstate(over="ignore"):
            given = _finite(layer, given.astype("float32"))  # all layers' are held at a time
        wanted[layer.name] = _Wanted(places, given, beside)

    def fit(layer: Any, x: _Held, held: Mapping[int, _Held]) -> None:
        if layer.name not in wanted:
            return
        places, given, beside = wanted[layer.name]
        mine = behind.get(id(layer))
        now = None if beside is None else _beside(layer, mine, places, held)
        if mine is not None and now is not None:
            given = given + (beside - now) * mine.scale
        _fit(layer, _rows(layer, x, places), given, None if mine is None else mine.normalization)

    _pass(coupling.flat, images, remember)
    _pass(pruned, images, fit)


def _called_once(graph: keras.Model) -> list[Any]:
    made = [operation for operation, *_ in calls(graph)]
    times = Counter(map(id, made))
    return [one for one in made if times[id(one)] == 1]


def _is_fitted(layer: Any) -> bool:
    cls = own_class(layer)
    plain = cls is keras.layers.Dense or (cls is keras.layers.Conv2D and layer.groups == 1)
    return plain and getattr(layer, "quantization_mode", None) is None and not getattr(layer, "lora_enabled", False)


class _Behind(NamedTuple):
    """What is behind a layer that alone is given what it gives."""

    normalization: Any
    """Whose mean can take up a bias."""
    beside: int
    """Identity of the tensor that is added to what the normalization gives; 0 where none is."""

    @property
    def scale(self) -> Array:
        """What the normalization divides by; 0 where that is nearly without end."""
        one = self.normalization
        gain = 1 / np.sqrt(as_float64(one.moving_variance) + one.epsilon)
        gain = gain if one.gamma is None else gain * as_float64(one.gamma)
        return np.where(np.abs(gain) > LEAST_GAIN, 1 / np.where(gain == 0, 1, gain), 0)


def _behind(graph: keras.Model) -> dict[int, _Behind]:
    """By the layer's identity."""
    takers: dict[int, list[tuple[Any, list[Any], list[Any]]]] = {}
    made = list(calls(graph))
    for call in made:
        for tensor in call[1]:
            takers.setdefault(id(tensor), []).append(call)
    last = {id(tensor) for tensor in keras.tree.flatten(graph.output)}
    once = {id(layer) for layer in _called_once(graph)}

    def taker(tensor: Any) -> tuple[Any, list[Any], list[Any]]:
        (found, *others) = takers.get(id(tensor), [(None, [], [])])
        return (None, [], []) if others or id(tensor) in last or id(found[0]) not in once else found

    found: dict[int, _Behind] = {}
    for operation, _, outputs in made:
        for tensor in outputs:
            normalization, _, normalized = taker(tensor)
            if isinstance(normalization, keras.layers.BatchNormalization) and _shifts(operation, normalization, tensor):
                addition, added, _ = taker(normalized[0])
                adds = own_class(addition) is keras.layers.Add and len(added) == 2
                others = [one for one in added if one is not normalized[0]] if adds else []
                same = len(others) == 1 and others[0].shape == normalized[0].shape
                found[id(operation)] = _Behind(normalization, id(others[0]) if same else 0)
    return found


def _beside(layer: Any, behind: _Behind | None, places: Array, held: Mapping[int, _Held]) -> Array | None:
    """What is added to what a layer gives, at some places, where that is known before the layer computes."""
    if behind is None or behind.beside not in held or own_class(layer) is keras.layers.Dense:
        return None
    found: list[Array] = []
    for batch, inside in _at(held[behind.beside], places):
        batch = np.moveaxis(batch, 1, -1) if layer.data_format == "channels_first" else batch
        found.append(batch[tuple(inside.T)])
    return np.concatenate(found).astype("float32")


def _shifts(layer: Any, normalization: Any, tensor: Any) -> bool:
    """Whether another mean of the normalization is a bias of the layer: of the same channels, no activation between."""
    linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
    channels = 1 if getattr(layer, "data_format", None) == "channels_first" else len(tensor.shape) - 1
    return linear and normalization.axis % len(tensor.shape) == channels


def _pass(graph: keras.Model, images: list[Array], meet: Callable[[Any, _Held, Mapping[int, _Held]], None]) -> None:
    """Sends images through a graph; before a layer of one input computes, `meet` is told of it and what it is given.

    And of all tensors that are still needed, by their identities in the graph.
    """
    coming = iter([call for call in calls(graph) if call[1]])
    left = Counter(id(tensor) for _, given, _ in calls(graph) for tensor in given)
    held: dict[int, _Held] = {}
    starts = range(0, len(images[0]), BATCH)
    inputs = [
        _Held([keras.ops.convert_to_tensor(array[start : start + BATCH], dtype=tensor.dtype) for start in starts])
        for array, tensor in zip(images, graph.inputs)
    ]
    held.update({id(tensor): one for tensor, one in zip(graph.inputs, inputs)})

    def each(operation: Any) -> Callable[..., Any]:
        _, given, made = next(coming)

        def call(*args: Any, **kwargs: Any) -> Any:
            if _takes_training(operation):
                kwargs["training"] = False
            if len(given) == 1 and isinstance(operation, keras.layers.Layer):
                meet(operation, held[id(given[0])], held)
            found = [_computed(operation, args, kwargs, number) for number in range(len(starts))]
            flat = [_Held(list(batches)) for batches in zip(*map(keras.tree.flatten, found))]
            held.update({id(tensor): one for tensor, one in zip(made, flat)})
            for tensor in given:
                left[id(tensor)] -= 1
                if not left[id(tensor)]:
                    held.pop(id(tensor)).batches = []
            return keras.tree.pack_sequence_as(found[0], flat)

        return call

    replay(graph, inputs, each)


def _computed(operation: Any, args: Any, kwargs: Any, number: int) -> Any:
    args, kwargs = keras.tree.map_structure(
        lambda value: value.batches[number] if isinstance(value, _Held) else value, (args, kwargs)
    )
    return keras.tree.map_structure(keras.ops.stop_gradient, operation(*args, **kwargs))


def _takes_training(operation: Any) -> bool:
    return isinstance(operation, keras.layers.Layer) and "training" in inspect.signature(operation.call).parameters


def _fit(layer: Any, rows: Array, wanted: Array, normalization: Any) -> None:
    kernel = _matrix(layer)
    bias = 0.0 if layer.bias is None else as_float64(layer.bias)
    missing = wanted - rows @ kernel - bias
    has_mean = layer.bias is not None or normalization is not None
    means = (rows.mean(0), missing.mean(0)) if has_mean else (np.zeros(rows.shape[1]), np.zeros(missing.shape[1]))
    centred = rows - means[0]
    change = _least_squares(centred, missing - means[1])
    layer.kernel.assign((kernel + change).reshape(layer.kernel.shape))
    shift = means[1] - means[0] @ change
    if layer.bias is not None:
        layer.bias.assign(bias + shift)
    elif normalization is not None:
        normalization.moving_mean.assign(as_float64(normalization.moving_mean) - shift)


def _least_squares(rows: Array, wanted: Array) -> Array:
    """What the rows are to be multiplied by, with a ridge: by the smaller one of two systems, which give the same."""
    count, weights = rows.shape
    ridge = RIDGE * max(float(np.square(rows).sum()) / weights, 1e-12)
    square = rows @ rows.T if count < weights else rows.T @ rows
    square[np.diag_indices_from(square)] += ridge
    found: Array = (
        rows.T @ np.linalg.solve(square, wanted) if count < weights else np.linalg.solve(square, rows.T @ wanted)
    )
    return found


def _matrix(layer: Any) -> Array:
    """The kernel as (weights for an output channel, output channels)."""
    kernel = as_float64(layer.kernel)
    return kernel.reshape(-1, kernel.shape[-1])


def _places(layer: Any, x: _Held, rng: np.random.Generator) -> Array:
    """At random, those of all outputs that the layer is fitted to."""
    sizes = [sum(len(batch) for batch in x.batches), *_output_sizes(layer, x.batches[0].shape)]
    count = int(np.prod(sizes))
    weights, channels = _matrix(layer).shape
    rows = max(2 * weights, min(MANY_ROWS, MOST_NUMBERS // max(weights, channels)))
    chosen = np.sort(rng.choice(count, min(rows, count), replace=False))
    return np.stack(np.unravel_index(chosen, sizes), axis=1)


def _output_sizes(layer: Any, shape: Any) -> tuple[int, ...]:
    output = layer.compute_output_shape((1, *shape[1:]))
    if own_class(layer) is keras.layers.Dense or layer.data_format == "channels_last":
        return tuple(output[1:-1])
    return tuple(output[2:])


def _rows(layer: Any, x: _Held, places: Array) -> Array:
    """What the layer multiplies by its kernel at some places, (places, weights for an output channel)."""
    found: list[Array] = []
    for batch, inside in _at(x, places):
        if own_class(layer) is keras.layers.Dense:
            found.append(batch[tuple(inside.T)])
        else:
            found.append(_windows(layer, batch, inside))
    return _finite(layer, np.concatenate(found).astype("float64"))


def _finite(layer: Any, rows: Array) -> Array:
    if not np.isfinite(rows).all():
        raise ValueError(
            f"`reconstruct`: what '{layer.name}' is given, or gives, is not finite, so nothing is fitted to it; give "
            "images on the scale that the model takes, or a model of float32."
        )
    return rows


def _at(x: _Held, places: Array) -> Iterator[tuple[Array, Array]]:
    """Batches, and those of the places that are in them, with the images counted in them."""
    first = 0
    for batch in x.batches:
        array = keras.ops.convert_to_numpy(keras.ops.cast(batch, "float32"))
        inside = places[(places[:, 0] >= first) & (places[:, 0] < first + len(array))]
        yield array, inside - [first, *[0] * (places.shape[1] - 1)]
        first += len(array)


def _windows(layer: Any, batch: Array, places: Array) -> Array:
    if layer.data_format == "channels_first":
        batch = np.moveaxis(batch, 1, -1)
    size, strides, dilation = layer.kernel_size, layer.strides, layer.dilation_rate
    if layer.padding == "same":
        reach = [(k - 1) * d + 1 for k, d in zip(size, dilation)]
        more = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(batch.shape[1:3], strides, reach)]
        batch = np.pad(batch, ((0, 0), *((one // 2, one - one // 2) for one in more), (0, 0)))
    image, row, column = places.T
    taps = [
        batch[image, row * strides[0] + i * dilation[0], column * strides[1] + j * dilation[1]]
        for i in range(size[0])
        for j in range(size[1])
    ]
    return np.stack(taps, axis=1).reshape(len(places), -1)
