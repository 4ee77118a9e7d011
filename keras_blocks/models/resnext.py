"""ResNeXt: residual blocks whose 3x3 convolutions work in groups."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from keras_blocks.blocks.residual import ResNeXtBlock
from keras_blocks.core.block import register
from keras_blocks.models.network import Names
from keras_blocks.models.residual_network import (
    OWNERS,
    TORCH_SETTINGS,
    ResidualNetwork,
    ResNetOptions,
    Shortcut,
    Stem,
    checked_groups,
    groups_of,
)
from keras_blocks.models.resnet_variants import RESNET_D

SIZES = {26: groups_of(2, 2, 2, 2), 50: groups_of(3, 4, 6, 3), 101: groups_of(3, 4, 23, 3), 152: groups_of(3, 8, 36, 3)}


def _variant(depth: int, cardinality: int, base_width: int, **options: Any) -> dict[str, Any]:
    return {"groups": SIZES[depth], "cardinality": cardinality, "base_width": base_width, **TORCH_SETTINGS, **options}


@register
class ResNeXt(ResidualNetwork):
    """ResNeXt, as an assembly of a stem and `ResNeXtBlock`s.

    Args:
        groups: list of groups, each `{"filters": 64, "blocks": 3}`; all but the first halve the size.
        cardinality: number of groups of channels in each 3x3 convolution, the paper's C.
        base_width: channels of each of these where a group's `filters` are 64, in proportion elsewhere; the paper's d.
        stem, shortcut, drop_rate, output_stride, se_ratio, se_use_bias, dropout, block_dropout, stem_filters,
            attention, convolution: see `ResNet`.
        batch_norm: True by default; use_bias: False by default.
        **kwargs: `input_shape`, `input_tensor`, `classes`, `include_top`, `pooling`, `classifier_activation`,
            `preprocess`, `labels`, `activation`, `kernel_initializer` ("he_normal"), `kernel_regularizer`,
            `data_format`, `dtype`, `name`: see `Architecture`.

    Input shape:
        `(batch, height, width, channels)`, by default (224, 224, 3); height and width may be `None`.

    Output shape:
        `(batch, classes)`; without the top, the feature map, or pooled, `(batch, channels)`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", 2017, table 1 and section 5.2
        (CIFAR); torchvision. Hu et al., "Squeeze-and-Excitation Networks", 2017, for the variants with it, as in timm.

    Example:

    >>> import keras_blocks
    >>> model = keras_blocks.ResNeXt(
    ...     groups=[{"filters": 16, "blocks": 1}, {"filters": 32, "blocks": 2}],
    ...     cardinality=8, base_width=16, stem="cifar", input_shape=(32, 32, 3), classes=10,
    ... )
    >>> model.features["group2"].shape
    (None, 16, 16, 128)
    """

    block_class = ResNeXtBlock

    variants = {
        "resnext50_32x4d": _variant(50, 32, 4),
        "resnext101_32x4d": _variant(101, 32, 4),
        "resnext152_32x4d": _variant(152, 32, 4),
        "resnext101_64x4d": _variant(101, 64, 4),
        "resnext101_32x8d": _variant(101, 32, 8),
        "resnext101_32x16d": _variant(101, 32, 16),
        "resnext29_8x64d_cifar": {
            **_variant(50, 8, 64, stem="cifar", input_shape=(32, 32, 3), classes=10),
            "groups": groups_of(3, 3, 3),
        },
        "resnext29_16x64d_cifar": {
            **_variant(50, 16, 64, stem="cifar", input_shape=(32, 32, 3), classes=10),
            "groups": groups_of(3, 3, 3),
        },
        "seresnext50_32x4d": _variant(50, 32, 4, se_ratio=16),
        "seresnext101_32x4d": _variant(101, 32, 4, se_ratio=16),
        "seresnext152_32x4d": _variant(152, 32, 4, se_ratio=16),
        "seresnext101_64x4d": _variant(101, 64, 4, se_ratio=16),
        "seresnext101_32x8d": _variant(101, 32, 8, se_ratio=16),
        "resnext50d_32x4d": _variant(50, 32, 4, **RESNET_D),
        "seresnext26d_32x4d": _variant(26, 32, 4, se_ratio=16, **RESNET_D),
    }

    sources = {
        "resnext50_32x4d": "Xie et al. 2017, table 1; torchvision's resnext50_32x4d",
        "resnext101_32x4d": "Xie et al. 2017, table 3; timm's resnext101_32x4d",
        "resnext152_32x4d": "Xie et al. 2017, with the groups of ResNet-152",
        "resnext101_64x4d": "Xie et al. 2017, table 4; torchvision's resnext101_64x4d",
        "resnext101_32x8d": "torchvision's resnext101_32x8d",
        "resnext101_32x16d": "Mahajan et al. 2018, section 3; timm's resnext101_32x16d",
        "resnext29_8x64d_cifar": "Xie et al. 2017, section 5.2 and table 7",
        "resnext29_16x64d_cifar": "Xie et al. 2017, section 5.2 and table 7",
        **{
            f"seresnext{depth}_32x4d": f"Hu et al. 2017, table 1; timm's seresnext{depth}_32x4d"
            for depth in (50, 101, 152)
        },
        "seresnext101_64x4d": "timm's seresnext101_64x4d",
        "seresnext101_32x8d": "timm's seresnext101_32x8d",
        "resnext50d_32x4d": "He et al. 2018, figure 2; timm's resnext50d_32x4d",
        "seresnext26d_32x4d": "He et al. 2018, figure 2; timm's seresnext26d_32x4d",
    }

    def __init__(
        self,
        groups: Sequence[Mapping[str, int]] = SIZES[50],
        *,
        cardinality: int = 32,
        base_width: int = 4,
        stem: Stem = "imagenet",
        shortcut: Shortcut = "auto",
        **kwargs: Unpack[ResNetOptions],
    ):
        own = {"groups": checked_groups(groups), "cardinality": cardinality, "base_width": base_width}
        super().__init__(own, stem, shortcut, **kwargs)

    def weight_names(self) -> Names:
        older = self.older_se_names() if self.metaparameters.se_ratio is not None else {}
        return {"torchvision": self.torch_names(), **older}

    def misfit(self, convention: str) -> str | None:
        stem = self.metaparameters.stem
        wanted = self.wanted_stem(convention).get("stem", stem)
        if wanted == stem or stem == "cifar":
            return None
        owner = OWNERS.get(convention, "torchvision's")
        return f"{owner} network pads its first pooling otherwise than the stem '{stem}': `stem={wanted!r}`"
