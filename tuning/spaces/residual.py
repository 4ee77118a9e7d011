"""The search spaces of ResNet, ResNeXt and SENet."""

import math

from keras_blocks.blocks.residual import EXPANSIONS
from keras_blocks.core import validation
from keras_blocks.core.registration import register
from keras_blocks.models.output_stride import STEM_STRIDES
from keras_blocks.models.resnet import ResNet
from keras_blocks.models.resnext import ResNeXt
from keras_blocks.models.senet import SENet
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.widths import (
    by_side,
    geometric,
    group_counts,
    merged_stages,
    most_groups,
    regnet_stages,
)
from keras_blocks.tuning.study.dimension import Values, hp_range

RATIO = 4
"""Channels of a bottleneck's output over `filters`."""

REFERENCE_FILTERS = 64
"""Of the group that has `base_width` channels in each group of a ResNeXt's convolution."""


class HyperResidual(HyperArchitecture):
    """The groups and blocks of residual networks. See `HyperResNet`.

    A subclass adds its own dimensions to the table, and says by `expansion` and `divisor` which widths its blocks take.
    """

    per_group = ("blocks",)

    conditions = {
        **dict.fromkeys(("groups", "filters", "growth", "blocks"), ("widths", "geometric")),
        **dict.fromkeys(("w0", "wa", "wm", "depth"), ("widths", "regnet")),
    }

    large_stem = "imagenet"

    def table(self) -> Values:
        return {
            "stem": self._stem(),
            "widths": "geometric",
            "groups": group_counts(self._side_behind_stem()),
            "filters": by_side(self.side, [16, 24, 32], [16, 24, 32], [32, 48, 64]),
            "growth": [1.5, 2.0],
            "blocks": hp_range(1, 3),
            "w0": hp_range(16, 64, step=8),
            "wa": hp_range(8.0, 48.0, sampling="log"),
            "wm": hp_range(2.0, 3.0),
            "depth": hp_range(4, 12),
            "se_ratio": [None, 4, 8],
            "drop_rate": hp_range(0.0, 0.2, step=0.1),
            "dropout": hp_range(0.0, 0.4, step=0.1),
        }

    def expansion(self, drawn: Values) -> int:
        """Channels of a block's output over `filters`."""
        return RATIO

    def divisor(self, drawn: Values) -> int:
        """Of which numbers of filters are multiples, so that the blocks' groups and ratios come out even."""
        ratio = drawn.get("se_ratio") or 1
        return math.lcm(2, ratio // math.gcd(ratio, self.expansion(drawn)))

    def arguments_from(self, drawn: Values) -> Values:
        validation.choice("widths", drawn["widths"], ("geometric", "regnet"))
        divisor, ratio = self.divisor(drawn), self.expansion(drawn)
        if drawn["widths"] == "regnet":
            numbers = [drawn[name] for name in ("w0", "wa", "wm", "depth")]
            stages = regnet_stages(*numbers, quantum=math.lcm(8, ratio * divisor))
            widths, depths = merged_stages(*stages, most=most_groups(self._side_behind_stem()))
            filters = [width // ratio for width in widths]
        else:
            step = math.lcm(divisor, math.gcd(4, drawn["filters"]))
            filters, depths = geometric(drawn["filters"], drawn["growth"], drawn["groups"], step), drawn["blocks"]
        groups = [{"filters": width, "blocks": blocks} for width, blocks in zip(filters, depths)]
        return {**super().arguments_from(drawn), "groups": groups}

    def _stem(self) -> str:
        return by_side(self.side, "cifar", "cifar", self.large_stem)

    def _side_behind_stem(self) -> int:
        return self.side_behind(self._stem(), STEM_STRIDES)


@register
class HyperResNet(HyperResidual):
    """ResNets: groups, blocks in each, filters and their growth, kind and version of the blocks and more are drawn.

    The stem follows from the smaller side: "cifar" to 64 pixels, "imagenet" above. There are as many groups at most as
    leave a feature map of 2 pixels.

    With `widths="regnet"`, groups follow from four numbers instead, `w0`, `wa`, `wm` and `depth`, by the quantized
    linear function of RegNet: `wa` and `w0` are slope and begin of the output's channels over the blocks' numbers, `wm`
    the ratio of two groups. Groups beyond those that the image allows are added to the last. With
    `widths=["geometric", "regnet"]` both are searched.

    See `HyperArchitecture` for the arguments; other dimensions are any of `ResNet`'s.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", 2015; Zagoruyko and Komodakis, "Wide Residual
        Networks", 2016 (`width`); Radosavovic et al., "Designing Network Design Spaces", 2020, equations 2 to 4.

    Example:

    >>> import keras_tuner
    >>> from keras_blocks.tuning import HyperResNet, hp_range
    >>> space = HyperResNet((32, 32, 3), 10, groups=hp_range(2, 4), version="v2", filters=[16, 32])
    >>> space.candidate(keras_tuner.HyperParameters()).metaparameters["groups"]
    [{'filters': 16, 'blocks': 1}, {'filters': 24, 'blocks': 1}]
    """

    architecture = ResNet

    def table(self) -> Values:
        return {
            **super().table(),
            "block": ["basic", "bottleneck"],
            "version": ["v1.5", "v1", "v2"],
            "width": [1, 2],
        }

    def expansion(self, drawn: Values) -> int:
        return EXPANSIONS[drawn["block"]]


@register
class HyperResNeXt(HyperResidual):
    """ResNeXts: groups, blocks in each, filters and their growth, cardinality, base width and more are drawn.

    Stem, number of groups and `widths="regnet"` are as in `HyperResNet`. See `HyperArchitecture` for the arguments;
    other dimensions are any of `ResNeXt`'s.

    Reference:
        Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", 2017; Radosavovic et al., "Designing
        Network Design Spaces", 2020, equations 2 to 4.

    Example:

    >>> import keras_tuner
    >>> from keras_blocks.tuning import HyperResNeXt
    >>> space = HyperResNeXt((32, 32, 3), classes=10, cardinality=8)
    >>> space.candidate(keras_tuner.HyperParameters()).metaparameters["cardinality"]
    8
    """

    architecture = ResNeXt

    least_group_width = 1
    """Channels of which each group of a convolution has a multiple."""

    def table(self) -> Values:
        return {**super().table(), "cardinality": [4, 8, 16], "base_width": [8, 16, 32]}

    def divisor(self, drawn: Values) -> int:
        """A group of a convolution has `filters * base_width // 64` channels."""
        whole = self.least_group_width * REFERENCE_FILTERS
        return math.lcm(super().divisor(drawn), whole // math.gcd(whole, drawn["base_width"]))


@register
class HyperSENet(HyperResNeXt):
    """SENets: as ResNeXts, with squeeze-excitation in every block, whose ratio is drawn.

    The stem is "deep" for images above 64 pixels. See `HyperResNeXt`, and `HyperArchitecture` for the arguments; other
    dimensions are any of `SENet`'s. `HyperResNet` and `HyperResNeXt` draw squeeze-excitation, too.

    Reference:
        Hu et al., "Squeeze-and-Excitation Networks", 2017, section 6.1.

    Example:

    >>> import keras_tuner
    >>> from keras_blocks.tuning import HyperSENet
    >>> space = HyperSENet((32, 32, 3), classes=10, se_ratio=16)
    >>> space.candidate(keras_tuner.HyperParameters()).metaparameters["se_ratio"]
    16
    """

    architecture = SENet

    large_stem = "deep"

    least_group_width = 2  # the first convolution of a block has half

    def table(self) -> Values:
        return {**super().table(), "se_ratio": [4, 8, 16], "base_width": [16, 32]}
