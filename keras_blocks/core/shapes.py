"""Shapes of one tensor, or of several by name."""

import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_blocks.core.graphs import unallocated
from keras_blocks.typing import Shape


def as_pair(value: Any) -> tuple[int, int]:
    """Height and width of what layers take as an integer or two: a kernel, a window, strides, a dilation."""
    return (value, value) if isinstance(value, int) else tuple(value)


def as_shapes(shape: Any) -> Any:
    """A shape as a tuple, or of several inputs or outputs a dict of them, however a file has them."""
    if isinstance(shape, Mapping):
        return {name: as_shapes(one) for name, one in shape.items()}
    return tuple(shape)


def map_shapes(function: Callable[[Any], Any], shape: Any) -> Any:
    """What a function gives for a shape, or for each of those in a list or a dict of them."""
    if isinstance(shape, Mapping):
        return {name: map_shapes(function, one) for name, one in shape.items()}
    if isinstance(shape, (list, tuple)) and shape and isinstance(shape[0], (list, tuple, Mapping)):
        return [map_shapes(function, one) for one in shape]
    return function(shape)


def shapes_of(tensors: Any) -> Any:
    """The shape of a tensor, or of each of those in a list or a dict of them."""
    if isinstance(tensors, Mapping):
        return {name: shapes_of(one) for name, one in tensors.items()}
    return [shapes_of(one) for one in tensors] if isinstance(tensors, (list, tuple)) else tuple(tensors.shape)


def with_batch(input_shape: Any) -> Any:
    """The shape of one image, or a list or a dict of shapes, with a batch of any size in front.

    Raises:
        ValueError: for what is no shape.
    """

    def one(sizes: Any) -> Shape:
        known = [size for size in sizes if size is not None] if isinstance(sizes, (list, tuple)) else [None]
        if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in known):
            raise ValueError(
                "`input_shape` must be the sizes of one image, such as (224, 224, 3), without the batch, or of several "
                f"inputs a list or a dict of such; received {input_shape!r}."
            )
        return (None, *sizes)

    return map_shapes(one, input_shape)


def check_fit(own: Shape, given: Shape) -> None:
    """Refuses a shape, with the batch, that a model made for its own cannot take.

    Raises:
        ValueError: naming both.
    """
    if len(own) != len(given) or any(a != b for a, b in zip(own[1:], given[1:]) if a is not None and b is not None):
        raise ValueError(f"`input_shape` must fit the model's {tuple(own[1:])}; received {tuple(given[1:])}.")


def known_sizes(x: Any) -> Shape:
    """The shape of a tensor, with `None` for what is not known yet."""
    return tuple(map(_known, x.shape))


def _known(size: Any) -> int | None:
    if isinstance(size, int):
        return size
    if not keras.ops.is_tensor(size):  # some tracers have symbolic sizes
        return None
    with warnings.catch_warnings():  # PyTorch's, which makes ONNX, has tensors, and warns that the graph has them not
        warnings.simplefilter("ignore")
        return int(size)


def compatible(shapes: Sequence[Shape]) -> bool:
    """Whether the shapes can be equal, where None stands for any size."""
    ranks = {len(shape) for shape in shapes}
    return len(ranks) == 1 and all(len({size for size in sizes if size is not None}) <= 1 for sizes in zip(*shapes))


def traced_shape(layer: Any, shape: Any, *, values: bool = False) -> Any:
    """What a layer gives for a shape, or for several; one of a user's own may have a `call` alone, which is traced.

    Args:
        layer: built or not; one that is traced is built for it.
        shape: of what it takes.
        values: whether its weights get values then, as those of a layer that is to be used.
    """
    try:
        return layer.compute_output_shape(shape)
    except NotImplementedError:
        if not layer.built:
            with contextlib.nullcontext() if values else unallocated():
                layer.build(shape)
        several = bool(shape) and isinstance(shape[0], (tuple, list))
        given = [keras.KerasTensor(one) for one in shape] if several else keras.KerasTensor(shape)
        return keras.tree.map_structure(lambda one: tuple(one.shape), layer.compute_output_spec(given))
