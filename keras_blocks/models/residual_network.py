"""What ResNet, ResNeXt and SENet have in common: a stem, residual blocks in groups, a head."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Unpack

from keras_blocks.blocks.conv import ConvBlock
from keras_blocks.blocks.heads import ClassifierHead
from keras_blocks.blocks.residual import ResidualOptions, ResidualUnit
from keras_blocks.blocks.resnet_stem import ResNetStem
from keras_blocks.core import validation
from keras_blocks.core.chain import LayerSpec
from keras_blocks.core.declaration import Declaration, layer_declaration
from keras_blocks.core.layers import NORMALIZED
from keras_blocks.core.signature import arguments
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.network import Names
from keras_blocks.models.older_names import caffe_se_names, legacy_names
from keras_blocks.models.output_stride import StridePlan
from keras_blocks.models.residual_names import block_names, torch_names
from keras_blocks.typing import ArchitectureOptions, Tensor

Stem = Literal["imagenet", "timm", "deep", "resnet_c", "caffe", "regnet", "cifar"]
Shortcut = Literal["auto", "projection", "pad", "pooled"]

STEM_OPTIONS: dict[str, dict[str, Any]] = {
    "imagenet": {},
    "timm": {"border": "lowest"},
    "caffe": {"border": "ceil"},
    "deep": {"border": "ceil", "deep": True},
    "resnet_c": {"deep": True},
}
OLDER = ("timm_legacy", "caffe")
"""Conventions of networks whose strides are in the first convolution of a bottleneck, and whose pooling rounds up."""

OWNERS = {
    "keras": "keras.applications'",
    "keras_hub": "KerasHub's",
    "timm": "timm's",
    "timm_legacy": "timm's and Cadene's older",
    "caffe": "the authors' Caffe",
}
"""Convention -> whose network has these names; torchvision's, where it is not here."""

TORCH_SETTINGS = {"batch_norm": {"epsilon": 1e-5, "momentum": 0.9}}


class ResidualNetworkOptions(ResidualOptions, ArchitectureOptions, total=False):
    """What ResNet, ResNeXt and SENet take by name, see `ResNet`."""

    output_stride: int | None
    stem_filters: int | None


class ResNetOptions(ResidualNetworkOptions, total=False):
    """What ResNet and ResNeXt take by name; SENet has other defaults for these."""

    se_ratio: int | None
    dropout: float


def groups_of(*blocks: int, filters: int = 64) -> tuple[dict[str, int], ...]:
    """Groups of so many blocks, each group of twice the filters of the one before."""
    return tuple({"filters": filters * 2**i, "blocks": n} for i, n in enumerate(blocks))


def checked_groups(groups: Any) -> list[dict[str, int]]:
    return validation.records("groups", groups, {"filters": None, "blocks": None})


class ResidualNetwork(Architecture):
    """A stem, groups of residual blocks, a head. A subclass says by `block_class` of which blocks.

    It passes the arguments that it does not name itself on to this constructor, by name: a model whose constructor
    takes both *args and **kwargs is cloned by Keras as a `keras.Functional`.

    Args:
        own: the subclass' own metaparameters, with `groups` (`checked_groups`) unless `groups_from` makes them.
        stem, ... convolution: see `ResNet`.
        batch_norm, use_bias, kernel_initializer, **kwargs: see `Architecture`.
    """

    block_class: type[ResidualUnit]
    """The class of the blocks."""

    first_strides = 1
    """Of the first group: the others halve the size."""

    default_settings = NORMALIZED

    def __init__(
        self,
        own: Mapping[str, Any],
        stem: Stem = "imagenet",
        shortcut: Shortcut = "auto",
        drop_rate: float = 0.0,
        output_stride: int | None = None,
        se_ratio: int | None = None,
        se_use_bias: bool = True,
        dropout: float = 0.0,
        block_dropout: float = 0.0,
        stem_filters: int | None = None,
        attention: Declaration = None,
        convolution: Declaration = None,
        **kwargs: Unpack[ArchitectureOptions],
    ):
        own = {
            "stem": validation.choice("stem", stem, Stem),
            "shortcut": validation.choice("shortcut", shortcut, Shortcut),
            "drop_rate": validation.share("drop_rate", drop_rate),
            "output_stride": output_stride,
            "se_ratio": se_ratio,
            "se_use_bias": se_use_bias,
            "dropout": validation.share("dropout", dropout),
            "block_dropout": validation.share("block_dropout", block_dropout),
            "stem_filters": validation.optional(validation.integer, "stem_filters", stem_filters),
            "attention": layer_declaration("attention", attention),
            "convolution": layer_declaration("convolution", convolution, given=["filters"]),
            **own,
        }
        self._stride_plan(own)  # refuses an output stride that cannot be reached
        super().__init__(own, **kwargs)

    @classmethod
    def groups_from(cls, metaparameters: Mapping[str, Any]) -> Sequence[Mapping[str, int]]:
        """The groups, each with its `filters` and number of `blocks`."""
        found: Sequence[Mapping[str, int]] = metaparameters["groups"]
        return found

    @classmethod
    def _stride_plan(cls, metaparameters: Mapping[str, Any]) -> StridePlan:
        groups = cls.groups_from(metaparameters)
        return StridePlan({**metaparameters, "groups": [*groups, *groups[: cls.first_strides - 1]]})

    @property
    def pre_activated(self) -> bool:
        """Whether blocks normalize first: then the stem does not, and the last group's output is normalized."""
        return False

    def block(self, name: str, **options: Any) -> LayerSpec:
        """The residual block of this name, of `options`, and of the metaparameters that are called as an option is."""
        m = self.metaparameters
        own = {option: m[option] for option in arguments(self.block_class) if option in m}
        return self.layer(name, self.block_class, **{**own, **options})

    def downsampling(self, i: int, j: int) -> dict[str, Any]:
        """Strides and shortcut of the j-th block of group i."""
        strides = self.first_strides if i == 1 else 2
        return {"strides": strides if j == 1 else 1, "shortcut": self.metaparameters.shortcut}

    def stem(self, x: Tensor) -> Tensor:
        m = self.metaparameters
        filters = m.stem_filters or self.groups_from(m)[0]["filters"] * (2 if m.stem == "deep" else 1)
        strides = {"strides": 2, "padding": "symmetric"} if m.stem == "regnet" else {}
        if m.stem in STEM_OPTIONS:
            options = {"filters": filters, "pre_activated": self.pre_activated, **STEM_OPTIONS[m.stem]}
            stem = self.layer("stem", ResNetStem, **options)
        elif self.pre_activated:
            stem = self.layer("stem", ConvBlock, filters=filters, **strides, batch_norm=False, activation=None)
        else:
            stem = self.layer("stem", ConvBlock, filters=filters, **strides)
        return self.feature("stem", stem(x))

    def learner(self, x: Tensor) -> Tensor:
        m = self.metaparameters
        groups = self.groups_from(m)
        plan, number, total = self._stride_plan(m), 0, sum(group["blocks"] for group in groups)
        for i, group in enumerate(groups, start=1):
            for j in range(1, group["blocks"] + 1):
                number += 1
                step = self.downsampling(i, j)
                options = {**step, **plan.take(step["strides"]), "drop_rate": m.drop_rate * number / total}
                x = self.block(f"group{i}_block{j}", filters=group["filters"], **options)(x)
            if i < len(groups):
                x = self.feature(f"group{i}", x)
        if self.pre_activated:
            for spec in (*self.norm_if_any("last"), self.activate("last_activation")):
                x = spec(x)
        return self.feature(f"group{len(groups)}", x)

    def classifier(self, x: Tensor) -> Tensor:
        m = self.metaparameters
        x = self.layer("head", ClassifierHead, filters=m.classes, dropout=m.dropout)(x)
        return self.output_activation()(x)

    def block_names(self, rename: Callable[[int, int, str], str]) -> dict[str, str]:
        """Path of a layer of the blocks -> its name elsewhere, by `rename(group, block, layer)`, all counted from 1."""
        return block_names(self.metaparameters, self.groups_from(self.metaparameters), self.pre_activated, rename)

    def torch_names(self, se: str = "se") -> dict[str, str]:
        """The names that torchvision and timm give; timm's older networks call the squeeze-excitation otherwise."""
        return torch_names(self.metaparameters, self.pre_activated, self.metaparameters.get("block") == "basic", se)

    def older_se_names(self) -> Names:
        """The conventions of older networks with squeeze-excitation: timm's and Cadene's, and the authors' in Caffe."""
        legacy = legacy_names(self.torch_names(se="se_module"))
        return {"timm_legacy": legacy, "caffe": caffe_se_names(self.block_names)}

    def wanted_stem(self, convention: str) -> dict[str, str]:
        """The stem of the network that has these names, where this one's pooling has its windows elsewhere."""
        if convention in OLDER:
            return {"stem": "caffe"}
        return {"stem": "imagenet"} if self.metaparameters.stem == "caffe" else {}
