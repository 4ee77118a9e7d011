"""The search space of ResNeXt."""

import math
from typing import Any

from keras_blocks.core.registration import register
from keras_blocks.models.resnext import ResNeXt
from keras_blocks.tuning.spaces.residual import HyperResidual

REFERENCE_FILTERS = 64
"""Of the group that has `base_width` channels in each group of a convolution."""


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

    def table(self) -> dict[str, Any]:
        return {**super().table(), "cardinality": [4, 8, 16], "base_width": [8, 16, 32]}

    def divisor(self, drawn: dict[str, Any]) -> int:
        """A group of a convolution has `filters * base_width // 64` channels."""
        whole = self.least_group_width * REFERENCE_FILTERS
        return math.lcm(super().divisor(drawn), whole // math.gcd(whole, drawn["base_width"]))
