"""HyperAny: a search across several spaces."""

from keras_blocks.core import validation
from keras_blocks.core.registration import class_named, register, registered_name
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.spaces.densenet import HyperDenseNet
from keras_blocks.tuning.spaces.inception import HyperInception
from keras_blocks.tuning.spaces.resnet import HyperResNet
from keras_blocks.tuning.spaces.resnext import HyperResNeXt
from keras_blocks.tuning.spaces.senet import HyperSENet
from keras_blocks.tuning.spaces.space import HyperSpace
from keras_blocks.tuning.spaces.squeezenet import HyperSqueezeNet
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
"""KerasTuner's name for the choice of the space."""


@register
class HyperAny(HyperSpace):
    """Several spaces as one: which of them a model comes from is drawn, too.

    KerasTuner knows each part of a space by the space's name, such as "resnet/groups", and draws it only where that
    space was drawn. How models are trained is drawn once for all.

    Args:
        spaces: list of `HyperArchitecture`s of different names, for the same images and classes. Parts of the training
            are not theirs, but given here.
        name: of the space.
        **parts: those of the training, see `HyperArchitecture`.

    Raises:
        TypeError, ValueError: for spaces that do not go together, and parts out of range.

    Example:

    >>> import keras_tuner
    >>> from keras_blocks.tuning import HyperAny, HyperDenseNet, HyperResNet
    >>> images = {"input_shape": (32, 32, 3), "classes": 10}
    >>> space = HyperAny([HyperResNet(**images, version="v2"), HyperDenseNet(**images)], optimizer="sgd")
    >>> hp = keras_tuner.HyperParameters()
    >>> space.candidate(hp).architecture, hp.get("family"), hp.get("resnet/groups")
    ('keras_blocks>ResNet', 'resnet', 2)
    """

    def __init__(self, spaces, *, name="any", **parts):
        spaces = validation.sequence("spaces", spaces, of="search spaces")
        for i, space in enumerate(spaces):
            if not isinstance(space, HyperArchitecture):
                raise TypeError(f"`spaces[{i}]` must be a HyperArchitecture; received {space!r}.")
            if trained := [part for part in space.narrowed if part in space.training_parts]:
                raise ValueError(f"`spaces[{i}]` must leave {trained} to this space, which draws them once for all.")
            if space.images() != spaces[0].images():
                raise ValueError(
                    f"`spaces` must be for the same images; received {spaces[0].images()} and {space.images()}."
                )
        self.spaces = {space.name: space for space in spaces}
        if len(self.spaces) < len(spaces):
            raise ValueError(f"`spaces` must have different names; received {[space.name for space in spaces]}.")
        super().__init__(**spaces[0].images(), name=name, parts=parts)
        for part in self.narrowed:
            validation.choice("part", part, tuple(self.training_parts))
        self._refuse_what_is_never_drawn(self.training_parts)
        for part, given in self.narrowed.items():
            for value in given.extremes():
                self._check_training({part: value})

    @classmethod
    def from_dataset(cls, dataset, families=None, *, name="any", **parts):
        """A search across families for the images of a `Dataset`.

        Args:
            dataset: the `Dataset`.
            families: names of `FAMILIES`; all of them by default.
            name, **parts: as for the constructor.
        """
        names = tuple(FAMILIES) if families is None else validation.sequence("families", families, of="names")
        spaces = [FAMILIES[validation.choice("families", family, tuple(FAMILIES))] for family in names]
        return cls([space.from_dataset(dataset) for space in spaces], name=name, **parts)

    def chosen(self, hp) -> HyperArchitecture:
        """The space that is drawn."""
        return self.spaces[hp.Choice(FAMILY, list(self.spaces))]

    def metaparameters(self, hp):
        """Draws what the model is: arguments for the architecture of the space that is drawn."""
        chosen, found = self.chosen(hp), {}
        for name, space in self.spaces.items():  # all are declared, in their scopes
            with hp.conditional_scope(FAMILY, [name]), hp.name_scope(name):
                drawn = space.drawn(hp)
                if space is chosen:
                    found = space.assembled(drawn)
        return found

    def candidate(self, hp):
        metaparameters, hyperparameters = self.metaparameters(hp), self.hyperparameters(hp)
        return Candidate(registered_name(self.chosen(hp).architecture), metaparameters, hyperparameters)

    def get_config(self):
        return {**super().get_config(), "spaces": [space.get_config() for space in self.spaces.values()]}

    @classmethod
    def from_config(cls, config):
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
