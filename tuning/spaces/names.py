"""Search spaces by the names that the command line knows."""

import copy
from collections.abc import Mapping
from typing import Any

from keras_blocks.core import validation
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.spaces.any import FAMILIES, HyperAny, space_from_config
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.dimension import Dimension, dimension_from_config
from keras_blocks.tuning.spaces.space import HyperSpace

__all__ = ["SPACES", "space_for", "space_from_config", "space_of", "space_of_architecture"]

SPACES = {"any": HyperAny, **FAMILIES}


def space_of(model: str) -> type[HyperSpace]:
    """The search space of this name; "any" is a search across all architectures.

    Raises:
        ValueError: for an unknown name, with the nearest ones.
    """
    return SPACES[validation.choice("model", model, tuple(SPACES))]


def space_for(model: str, dataset: Dataset, overrides: Mapping[str, Any]) -> HyperSpace:
    """The search space of this name for a dataset, fixed, narrowed and widened as users say.

    Args:
        model: name of the space.
        dataset: the `Dataset`.
        overrides: name of a dimension -> a `Dimension`, its `get_config()`, or text as on a command line, which is
            read in the light of what the space declares.

    Raises:
        TypeError, ValueError: for an unknown name, with the nearest ones, and for what the dimension cannot be.
    """
    cls = space_of(model)
    plain = cls.from_dataset(dataset) if any(isinstance(given, str) for given in overrides.values()) else None

    def dimension(name, given) -> Dimension:
        if isinstance(given, str):
            return plain.parsed(name, given)
        return given if isinstance(given, Dimension) else dimension_from_config(copy.deepcopy(given))

    return cls.from_dataset(dataset, **{name: dimension(name, given) for name, given in overrides.items()})


def space_of_architecture(architecture: type) -> type[HyperArchitecture]:
    """The search space over an architecture, or the plain one that takes its variants as they are."""
    for space in FAMILIES.values():
        if space.architecture is architecture:
            return space
    return type(f"Hyper{architecture.__name__}", (HyperArchitecture,), {"architecture": architecture})
