"""What the search spaces of ResNet, ResNeXt and SENet have in common."""

import math
from typing import Any

from keras_blocks.core import validation
from keras_blocks.models.output_stride import STEMS
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.dimension import hp_range
from keras_blocks.tuning.spaces.widths import (
    by_side,
    geometric,
    group_counts,
    merged_stages,
    most_groups,
    regnet_stages,
)

RATIO = 4
"""Channels of a bottleneck's output over `filters`."""


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

    def table(self) -> dict[str, Any]:
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

    def expansion(self, drawn: dict[str, Any]) -> int:
        """Channels of a block's output over `filters`."""
        return RATIO

    def divisor(self, drawn: dict[str, Any]) -> int:
        """Of which numbers of filters are multiples, so that the blocks' groups and ratios come out even."""
        ratio = drawn.get("se_ratio") or 1
        return math.lcm(2, ratio // math.gcd(ratio, self.expansion(drawn)))

    def arguments_from(self, drawn: dict[str, Any]) -> dict[str, Any]:
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

    def _stem(self):
        return by_side(self.side, "cifar", "cifar", self.large_stem)

    def _side_behind_stem(self):
        return self.side_behind(self._stem(), STEMS)
