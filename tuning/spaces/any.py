"""HyperAny: a search across several spaces."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

from keras_blocks.core import validation
from keras_blocks.core.registration import class_named, register
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.densenet import HyperDenseNet
from keras_blocks.tuning.spaces.dimension import Choice
from keras_blocks.tuning.spaces.inception import HyperInception
from keras_blocks.tuning.spaces.resnet import HyperResNet
from keras_blocks.tuning.spaces.resnext import HyperResNeXt
from keras_blocks.tuning.spaces.senet import HyperSENet
from keras_blocks.tuning.spaces.space import HyperSpace
from keras_blocks.tuning.spaces.squeezenet import HyperSqueezeNet
from keras_blocks.tuning.spaces.table import Table
from keras_blocks.tuning.spaces.vgg import HyperVGG

FAMILIES = {
    "densenet": HyperDenseNet,
    "inception": HyperInception,
    "resnet": HyperResNet,
    "resnext": HyperResNeXt,
    "senet": HyperSENet,
    "squeezenet": HyperSqueezeNet,
    "vgg": HyperVGG,
}
"""Name -> the search space of each architecture."""

FAMILY = "family"
"""The name of the choice of the space."""


@register
class HyperAny(HyperSpace):
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
            if not isinstance(space, HyperArchitecture):
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
        super().__init__(**spaces[0].images(), name=name, dimensions=overrides)

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

    def architecture_of(self, drawn: dict[str, Any]) -> type:
        return self.spaces[drawn[FAMILY]].architecture

    def assembled(self, drawn: dict[str, Any]) -> dict[str, Any]:
        scope = f"{drawn[FAMILY]}/"
        its = {name.removeprefix(scope): value for name, value in drawn.items() if name.startswith(scope)}
        return self.spaces[drawn[FAMILY]].assembled(its)

    def _architecture_table(self) -> Table:
        """The choice of the space, and all their dimensions, each drawn where its space is."""
        found = {FAMILY: Choice(tuple(self.spaces))}
        for scope, space in self.spaces.items():
            for name, dimension in space.architecture_dimensions.items():
                inner = tuple((f"{scope}/{parent}", values) for parent, values in dimension.conditions)
                found[f"{scope}/{name}"] = dataclasses.replace(dimension, conditions=((FAMILY, (scope,)), *inner))
        return found

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "spaces": [space.get_config() for space in self.spaces.values()]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return super().from_config({**config, "spaces": [space_from_config(space) for space in config["spaces"]]})


def space_from_config(config: dict) -> HyperSpace:
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
    return class_named("space", config["space"], HyperSpace).from_config(config)
