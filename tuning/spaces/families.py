"""The search spaces by name, and HyperAny, a search across several."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

from keras_blocks.core import validation
from keras_blocks.core.registration import class_named, register
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.spaces.architecture import RATE, HyperArchitecture
from keras_blocks.tuning.spaces.densenet import HyperDenseNet
from keras_blocks.tuning.spaces.inception import HyperInception
from keras_blocks.tuning.spaces.residual import HyperResNet, HyperResNeXt, HyperSENet
from keras_blocks.tuning.spaces.squeezenet import HyperSqueezeNet
from keras_blocks.tuning.spaces.table import Table
from keras_blocks.tuning.spaces.vgg import HyperVGG
from keras_blocks.tuning.study.dimension import Choice, Dimension, Fixed, Values, dimension_from_config

FAMILIES: dict[str, type[HyperArchitecture]] = {
    space.architecture.__name__.lower(): space
    for space in (HyperDenseNet, HyperInception, HyperResNet, HyperResNeXt, HyperSENet, HyperSqueezeNet, HyperVGG)
}
"""Name -> the search space of each architecture."""

FAMILY = "family"
"""The name of the choice of the space."""


@register
class HyperAny(HyperArchitecture):
    """Several spaces as one: which of them a model comes from is drawn, too.

    Each dimension of a space is known by the space's name, such as "resnet/groups", and drawn only where that space was
    drawn. How models are trained is drawn once for all.

    Args:
        spaces: list of `HyperArchitecture`s of different names, for the same images and classes. Dimensions of the
            training are not theirs, but given here.
        name: of the space.
        **overrides: those of the training, see `HyperArchitecture`.

    Raises:
        TypeError, ValueError: for spaces that do not go together, and dimensions out of range.

    Example:

    >>> import keras_tuner
    >>> from keras_blocks.tuning import HyperAny, HyperDenseNet, HyperResNet
    >>> images = {"input_shape": (32, 32, 3), "classes": 10}
    >>> space = HyperAny([HyperResNet(**images, version="v2"), HyperDenseNet(**images)], optimizer="sgd")
    >>> hp = keras_tuner.HyperParameters()
    >>> space.candidate(hp).architecture, hp.get("family"), hp.get("resnet/groups")
    ('keras_blocks>ResNet', 'resnet', 2)
    """

    def __init__(self, spaces: Sequence[HyperArchitecture], *, name: str = "any", **overrides: Any):
        spaces = validation.sequence("spaces", spaces, of="search spaces")
        for i, space in enumerate(spaces):
            if not isinstance(space, HyperArchitecture) or isinstance(space, HyperAny):
                raise TypeError(f"`spaces[{i}]` must be a HyperArchitecture; received {space!r}.")
            if trained := [each for each in space.overrides if each in space.training_dimensions]:
                raise ValueError(f"`spaces[{i}]` must leave {trained} to this space, which draws them once for all.")
            if space.images() != spaces[0].images():
                raise ValueError(
                    f"`spaces` must be for the same images; received {spaces[0].images()} and {space.images()}."
                )
        self.spaces = {space.name: space for space in spaces}
        if len(self.spaces) < len(spaces):
            raise ValueError(f"`spaces` must have different names; received {[space.name for space in spaces]}.")
        super().__init__(**spaces[0].images(), name=name, **overrides)
        self.class_names = spaces[0].class_names

    @classmethod
    def from_dataset(
        cls, dataset: Dataset, families: Sequence[str] | None = None, *, name: str = "any", **overrides: Any
    ) -> Self:
        """A search across families for the images of a `Dataset`.

        Args:
            dataset: the `Dataset`.
            families: names of `FAMILIES`; all of them by default.
            name, **overrides: as for the constructor.
        """
        names = tuple(FAMILIES) if families is None else validation.sequence("families", families, of="names")
        spaces = [FAMILIES[validation.choice("families", family, tuple(FAMILIES))] for family in names]
        return cls([space.from_dataset(dataset) for space in spaces], name=name, **overrides)

    def declared(self) -> Table:
        return {RATE: Fixed(None), **self.training_dimensions}

    def architecture_of(self, drawn: Values) -> type:
        return self.spaces[drawn[FAMILY]].architecture

    def assembled(self, drawn: Values) -> Values:
        scope = f"{drawn[FAMILY]}/"
        its = {name.removeprefix(scope): value for name, value in drawn.items() if name.startswith(scope)}
        return self.spaces[drawn[FAMILY]].assembled(its)

    def sizes(self) -> list[str]:
        return [FAMILY, *super().sizes()]

    def _architecture_table(self) -> Table:
        """The choice of the space, and all their dimensions, each drawn where its space is."""
        found: Table = {FAMILY: Choice(tuple(self.spaces))}
        for scope, space in self.spaces.items():
            for name, dimension in space.architecture_dimensions.items():
                inner = tuple((f"{scope}/{parent}", values) for parent, values in dimension.conditions)
                found[f"{scope}/{name}"] = dataclasses.replace(dimension, conditions=((FAMILY, (scope,)), *inner))
        return found

    def get_config(self) -> Values:
        config = {key: value for key, value in super().get_config().items() if key in ("space", "name", "parts")}
        return {**config, "spaces": [space.get_config() for space in self.spaces.values()]}

    @classmethod
    def from_config(cls, config: Values) -> Self:
        return super().from_config({**config, "spaces": [space_from_config(space) for space in config["spaces"]]})


def space_from_config(config: Values) -> HyperArchitecture:
    """The space that its `get_config()` described, in this process or another.

    Args:
        config: plain data, also after a round trip through JSON.

    Returns:
        A space of the same class, with the same dimensions.

    Raises:
        ValueError: for a space whose class is not imported, with the nearest names.

    Example:

    >>> space = HyperSqueezeNet((8, 8, 1), classes=10, bypass="simple")
    >>> space_from_config(space.get_config()).get_config() == space.get_config()
    True
    """
    cls: type[HyperArchitecture] = class_named("space", config["space"], HyperArchitecture)
    return cls.from_config(config)


SPACES: dict[str, type[HyperArchitecture]] = {"any": HyperAny, **FAMILIES}
"""Name on the command line -> search space."""


def space_of(model: str) -> type[HyperArchitecture]:
    """The search space of this name; "any" is a search across all architectures.

    Raises:
        ValueError: for an unknown name, with the nearest ones.
    """
    return SPACES[validation.choice("model", model, tuple(SPACES))]


def space_for(model: str, dataset: Dataset, overrides: Mapping[str, Any]) -> HyperArchitecture:
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
    texts = {name: given for name, given in overrides.items() if isinstance(given, str)}
    dimensions: Values = {
        name: given if isinstance(given, Dimension) else dimension_from_config(copy.deepcopy(given))
        for name, given in overrides.items()
        if name not in texts
    }
    if texts:
        declared = cls.from_dataset(dataset)
        dimensions |= {name: declared.parsed(name, text) for name, text in texts.items()}
    space = cls.from_dataset(dataset, **dimensions)
    if None in space.training_dimensions["batch_size"].edge_values():
        raise ValueError("`batch_size` must be numbers: a search's images are arrays; received None.")
    return space


def space_of_architecture(architecture: type) -> type[HyperArchitecture]:
    """The search space over an architecture, or the plain one that takes its variants as they are."""
    for space in FAMILIES.values():
        if space.architecture is architecture:
            return space
    return type(f"Hyper{architecture.__name__}", (HyperArchitecture,), {"architecture": architecture})
