"""Search spaces by the names that the command line knows."""

from keras_blocks.core import validation
from keras_blocks.tuning.spaces.any import FAMILIES, HyperAny, space_from_config
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.space import HyperSpace

__all__ = ["SPACES", "space_from_config", "space_of", "space_of_architecture"]

SPACES = {"any": HyperAny, **FAMILIES}


def space_of(model: str) -> type[HyperSpace]:
    """The search space of this name; "any" is a search across all architectures.

    Raises:
        ValueError: for an unknown name, with the nearest ones.
    """
    return SPACES[validation.choice("model", model, tuple(SPACES))]


def space_of_architecture(architecture: type) -> type[HyperArchitecture]:
    """The search space over an architecture, or the plain one that takes its variants as they are."""
    for space in FAMILIES.values():
        if space.architecture is architecture:
            return space
    return type(f"Hyper{architecture.__name__}", (HyperArchitecture,), {"architecture": architecture})
