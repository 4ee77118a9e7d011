"""Candidate: one draw from a search space, as plain data that anyone can build, count and compare."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras

from keras_blocks.blocks.image_normalization import Mode
from keras_blocks.core.immutable import thaw
from keras_blocks.core.registration import class_named, full_name
from keras_blocks.core.signature import takes
from keras_blocks.costs.cost import Cost, cost
from keras_blocks.models.architecture import Architecture
from keras_blocks.tuning.digest import architecture_digest, digest
from keras_blocks.tuning.training import fit as training
from keras_blocks.tuning.training.hyperparameters import told_apart_by


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What a model is and how it is trained.

    Args:
        architecture: registered name of the class, such as "keras_blocks>ResNet", or of this library's the bare one.
        metaparameters: arguments of its constructor, plain data.
        hyperparameters: of the training, see `training.fit`.

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
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        return architecture_digest(self.architecture_class, self.metaparameters)

    def signature(self) -> str:
        """A digest that is equal for two candidates that are the same model, trained in the same way."""
        return digest([self.architecture_signature(), told_apart_by(self.hyperparameters)])

    def compiled(
        self,
        *,
        scale: float = 1.0,
        flips: bool = False,
        class_names: Sequence[str] | None = None,
        pixels: Mode | None = None,
    ) -> keras.Model:
        """A new model, ready to fit; see `training.fit.compiled`.

        Args:
            scale, flips, pixels: as there.
            class_names: the model's `labels`, where its architecture takes them, has none, and has as many classes.
                They are no part of the candidate: its digest is that of a model, whatever its classes are called.
        """
        cls, metaparameters = self.architecture_class, dict(self.metaparameters)
        known = takes(cls, "labels") and metaparameters.get("labels") is None
        if class_names is not None and known and metaparameters.get("classes") == len(class_names):
            metaparameters["labels"] = tuple(class_names)
        return training.compiled(cls, metaparameters, self.hyperparameters, scale=scale, flips=flips, pixels=pixels)
