"""Candidate: one draw from a search space, as plain data that anyone can build, count and compare."""

import dataclasses
from typing import Any

import keras

from keras_blocks.core.immutable import thaw
from keras_blocks.core.registration import class_named, full_name
from keras_blocks.costs.cost import Cost, cost
from keras_blocks.models.architecture import Architecture
from keras_blocks.tuning.digest import architecture_digest, digest
from keras_blocks.tuning.training import fit as training
from keras_blocks.tuning.training.hyperparameters import DEFAULTS


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What a model is and how it is trained.

    Args:
        architecture: registered name of the class, such as "keras_blocks>ResNet", or of this library's the bare one.
        metaparameters: arguments of its constructor, plain data.
        hyperparameters: of the training, see `training.compiled` and `training.fit`.

    Example:

    >>> groups = [{"filters": 8, "blocks": 1}]
    >>> candidate = Candidate("ResNet", {"groups": groups, "stem": "cifar", "input_shape": (8, 8, 1)}, {})
    >>> candidate.cost().params
    34576
    >>> candidate.signature() == Candidate(**dataclasses.asdict(candidate)).signature()
    True
    """

    architecture: str
    metaparameters: dict[str, Any]
    hyperparameters: dict[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "architecture", full_name(self.architecture))
        object.__setattr__(self, "metaparameters", thaw(self.metaparameters))
        object.__setattr__(self, "hyperparameters", thaw(self.hyperparameters))

    @property
    def architecture_class(self) -> type:
        """The class.

        Raises:
            ValueError: where no imported class has the name.
        """
        return class_named("architecture", self.architecture, Architecture)

    def cost(self) -> Cost:
        """Parameters, multiply-adds and activation bytes, with nothing built."""
        return cost(self.architecture_class, **self.metaparameters)

    def architecture_signature(self) -> str:
        """A digest that is equal for two candidates whose models have the same layers."""
        return architecture_digest(self.architecture_class, self.metaparameters)

    def signature(self) -> str:
        """A digest that is equal for two candidates that are the same model, trained in the same way."""
        return digest([self.architecture_signature(), {**DEFAULTS, **self.hyperparameters}])

    def compiled(self, *, scale: float = 1.0, flips: bool = False) -> keras.Model:
        """A new model, ready to fit; see `training.compiled`."""
        return training.compiled(
            self.architecture_class, self.metaparameters, self.hyperparameters, scale=scale, flips=flips
        )
