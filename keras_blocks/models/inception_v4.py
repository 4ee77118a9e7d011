"""Inception v4 and Inception-ResNet v2: networks of modules that are data."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import keras

from keras_blocks.blocks.conv import ConvBlock
from keras_blocks.blocks.heads import ClassifierHead
from keras_blocks.blocks.inception_module import InceptionModule, checked_branches
from keras_blocks.core import validation
from keras_blocks.core.block import register
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.inception_v4_variants import SOURCES, V4_GROUPS, V4_STEM, VARIANTS, timm_names
from keras_blocks.models.network import Names
from keras_blocks.typing import ArchitectureOptions, Tensor

Modules = Sequence[Mapping[str, Any]]


@register
class InceptionV4(Architecture):
    """Inception v4, Inception-ResNet v2 and others of their form, as an assembly of `InceptionModule`s.

    Args:
        stem: list of modules, each a dict: of `branches`, and `scale`, `activated`, for an `InceptionModule`, `repeats`
            (1) times; or a step as in its branches, of `filters` or of `pool`.
        groups: list of groups, each such a list.
        dropout: share of the pooled features dropped before the classifier's scores while training.
        batch_norm: True by default; use_bias: False by default, but for the convolutions that a `scale` follows.
        **kwargs: `input_shape`, `input_tensor`, `classes`, `include_top`, `pooling`, `classifier_activation`,
            `preprocess`, `labels`, `activation`, `kernel_initializer`, `kernel_regularizer`, `data_format`, `dtype`,
            `name`: see `Architecture`.

    Input shape:
        `(batch, height, width, channels)`, by default (299, 299, 3); height and width may be `None`.

    Output shape:
        `(batch, classes)`; without the top, the feature map, or pooled, `(batch, channels)`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning", 2016.

    Example:

    >>> import keras_blocks
    >>> module = {"branches": [[{"filters": 8}], [{"filters": 4}, {"filters": 8, "kernel_size": 3}]], "scale": 0.2}
    >>> model = keras_blocks.InceptionV4(
    ...     stem=[{"filters": 16, "kernel_size": 3, "strides": 2}], groups=[[{**module, "repeats": 2}]],
    ...     input_shape=(32, 32, 3), classes=10,
    ... )
    >>> model.features["group1"].shape
    (None, 16, 16, 16)
    """

    default_input_shape = (299, 299, 3)

    default_settings = FrozenDict({"batch_norm": True})

    variants = VARIANTS

    sources = SOURCES

    def __init__(
        self,
        stem: Modules = V4_STEM,
        groups: Sequence[Modules] = V4_GROUPS,
        *,
        dropout: float = 0.2,
        **kwargs: Unpack[ArchitectureOptions],
    ):
        groups = validation.sequence("groups", groups, of="groups, each a list of modules")
        own = {
            "stem": _checked("stem", stem),
            "groups": [_checked(f"groups[{i}]", group) for i, group in enumerate(groups)],
            "dropout": validation.share("dropout", dropout),
        }
        super().__init__(own, **kwargs)

    def stem(self, x: Tensor) -> Tensor:
        return self.feature("stem", self._through(_named("stem", self.metaparameters.stem), x))

    def learner(self, x: Tensor) -> Tensor:
        for i, group in enumerate(self.metaparameters.groups, start=1):
            x = self.feature(f"group{i}", self._through(_named(f"group{i}_block", group), x))
        return x

    def classifier(self, x: Tensor) -> Tensor:
        m = self.metaparameters
        x = self.layer("head", ClassifierHead, filters=m.classes, dropout=m.dropout)(x)
        return self.output_activation()(x)

    def weight_names(self) -> Names:
        m = self.metaparameters
        modules = _named("stem", m.stem)
        for i, group in enumerate(m.groups, start=1):
            modules |= _named(f"group{i}_block", group)
        return {"timm": timm_names(modules)}

    def _through(self, modules: Mapping[str, Any], x: Tensor) -> Tensor:
        """Each of the modules by its name, in turn."""
        for name, step in modules.items():
            if "branches" in step:
                x = self.layer(name, InceptionModule, **step)(x)
            elif "filters" in step:
                x = self.layer(name, ConvBlock, **step)(x)
            else:
                pool = {"max": keras.layers.MaxPooling2D, "avg": keras.layers.AveragePooling2D}[step["pool"]]
                x = self.layer(name, pool, **{key: value for key, value in step.items() if key != "pool"})(x)
        return x


def _named(prefix: str, modules: Any) -> dict[str, Any]:
    """Name -> module, each as often as it is repeated."""
    each = [
        {key: value for key, value in module.items() if key != "repeats"}
        for module in modules
        for _ in range(module.get("repeats", 1))
    ]
    return {f"{prefix}{j}": module for j, module in enumerate(each, start=1)}


def _checked(name: str, modules: Any) -> list[dict[str, Any]]:
    found = []
    for i, module in enumerate(validation.sequence(name, modules, of="modules")):
        place = f"{name}[{i}]"
        validation.mapping(place, module)
        if "branches" not in module:
            ((step,),) = checked_branches(place, [[module]])
            found.append(step)
            continue
        validation.mapping(place, module, keys=("branches", "repeats", "scale", "activated"))
        found.append(
            {
                "branches": checked_branches(f"{place}['branches']", module["branches"]),
                "repeats": validation.integer(f"{place}['repeats']", module.get("repeats", 1)),
                "scale": module.get("scale"),
                "activated": module.get("activated", True),
            }
        )
    return found
