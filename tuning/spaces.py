"""Search spaces by the names that the command line knows."""

from keras_blocks import validation
from keras_blocks.tuning.hyper_model import HyperArchitecture
from keras_blocks.tuning.squeezenet_space import HyperSqueezeNet

SPACES = {"squeezenet": HyperSqueezeNet}


def space_of(model: str) -> type[HyperArchitecture]:
    """The search space of this name.

    Raises:
        ValueError: for an unknown name, with the nearest ones.
    """
    return SPACES[validation.choice("model", model, tuple(SPACES))]


def space_of_architecture(architecture: type) -> type[HyperArchitecture]:
    """The search space over an architecture, or the plain one that takes its variants as they are."""
    for space in SPACES.values():
        if space.architecture is architecture:
            return space
    return type(f"Hyper{architecture.__name__}", (HyperArchitecture,), {"architecture": architecture})
