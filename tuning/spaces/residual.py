"""What the search spaces of ResNet, ResNeXt and SENet have in common."""

import math

from keras_blocks.core import validation
from keras_blocks.models.output_stride import STEM_STRIDES
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.dimension import hp_range
from keras_blocks.tuning.spaces.widths import geometric, merged_stages, most_groups, regnet_stages

MOST_GROUPS = 4

LARGE = 65
"""Smaller side from which on the stem divides the size by 4."""

RATIO = 4
"""Channels of a bottleneck's output over `filters`."""


class HyperResidual(HyperArchitecture):
    """The groups and blocks of residual networks. See `HyperResNet`.

    A subclass adds its own parts to the table, and says by `expansion` and `divisor` which widths its blocks take.
    """

    per_group = ("blocks",)

    conditions = {
        **dict.fromkeys(("groups", "filters", "growth", "blocks"), ("widths", "geometric")),
        **dict.fromkeys(("w0", "wa", "wm", "depth"), ("widths", "regnet")),
    }

    large_stem = "imagenet"

    def table(self):
        large = min(self.input_shape[:2]) >= LARGE
        stem = self.large_stem if large else "cifar"
        return {
            "stem": stem,
            "widths": "geometric",
            "groups": hp_range(min(2, self.most()), self.most()),
            "filters": ([32, 48, 64] if large else [16, 24, 32]),
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

    def most(self) -> int:
        """How many groups the image allows, behind any of the stems that may be drawn."""
        stem = self.large_stem if min(self.input_shape[:2]) >= LARGE else "cifar"
        pixels = max(STEM_STRIDES.get(name, 1) for name in self.possible("stem", stem))
        return most_groups(math.ceil(min(self.input_shape[:2]) / pixels), MOST_GROUPS)

    def expansion(self, part) -> int:
        """Channels of a block's output over `filters`."""
        return RATIO

    def divisor(self, part) -> int:
        """Of which numbers of filters are multiples, so that the blocks' groups and ratios come out even."""
        ratio = part.get("se_ratio") or 1
        return math.lcm(2, ratio // math.gcd(ratio, self.expansion(part)))

    def own(self, part):
        validation.choice("widths", part["widths"], ("geometric", "regnet"))
        divisor, ratio = self.divisor(part), self.expansion(part)
        if part["widths"] == "regnet":
            stages = regnet_stages(
                part["w0"], part["wa"], part["wm"], part["depth"], quantum=math.lcm(8, ratio * divisor)
            )
            widths, depths = merged_stages(*stages, most=self.most())
            filters = [width // ratio for width in widths]
        else:
            step = math.lcm(divisor, math.gcd(4, part["filters"]))
            filters, depths = geometric(part["filters"], part["growth"], part["groups"], step), part["blocks"]
        groups = [{"filters": width, "blocks": blocks} for width, blocks in zip(filters, depths)]
        return {**super().own(part), "groups": groups}
