"""Shapes of one tensor, or of several by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_blocks.typing import Shape


def as_shapes(shape: Any) -> Any:
    """A shape as a tuple, or of several inputs or outputs a dict of them, however a file has them."""
    if isinstance(shape, Mapping):
        return {name: as_shapes(one) for name, one in shape.items()}
    return tuple(shape)


def known_sizes(x: Any) -> Shape:
    """The shape of a tensor, with `None` for what is not known yet."""
    return tuple(size if isinstance(size, int) else None for size in x.shape)  # some tracers have symbolic sizes


def compatible(shapes: Sequence[Shape]) -> bool:
    """Whether the shapes can be equal, where None stands for any size."""
    ranks = {len(shape) for shape in shapes}
    return len(ranks) == 1 and all(len({size for size in sizes if size is not None}) <= 1 for sizes in zip(*shapes))
