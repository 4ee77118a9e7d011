"""Search spaces by the names that the command line knows."""

from keras_blocks import validation
from keras_blocks.tuning.candidate import subclasses
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


def space_from_config(config: dict) -> HyperArchitecture:
    """The space that its `get_config()` described, in this process or another.

    Args:
        config: plain data, also after a round trip through JSON.

    Raises:
        ValueError: for a space whose class is not imported, with the nearest names.

    Example:

    >>> space = HyperSqueezeNet((8, 8, 1), classes=10, bypass="simple")
    >>> space_from_config(space.get_config()).get_config() == space.get_config()
    True
    """
    known = {cls.__name__: cls for cls in subclasses(HyperArchitecture)}
    return known[validation.choice("space", config["space"], tuple(known))].from_config(config)
