"""The widths and depths of groups from few numbers, as the design spaces of the literature have them."""

import math
from typing import TypeVar

from keras_blocks.models.regnet_stages import regnet_stages as regnet_stages
from keras_blocks.tuning.study.dimension import Range, hp_range

T = TypeVar("T")

MOST_GROUPS = 4

MIDDLE, LARGE = 28, 65
"""Smaller sides of images from which on stems are larger: that of MNIST's, and more than 64 as in TinyImageNet."""


def by_side(side: int, small: T, middle: T, large: T) -> T:
    """What goes with images of this smaller side: to 27 pixels, to 64, above."""
    return small if side < MIDDLE else middle if side < LARGE else large


def most_groups(side: int) -> int:
    """How many groups, each of half the size of the one before, leave a feature map of 2 pixels at least.

    Example:

    >>> [most_groups(side) for side in (1, 2, 7, 8, 224)]
    [1, 1, 2, 3, 4]
    """
    return min(MOST_GROUPS, max(1, int(math.log2(max(side, 1)))))


def group_counts(side: int) -> Range:
    """The numbers of groups that are drawn for a feature map of this side behind the stem."""
    return hp_range(min(2, most_groups(side)), most_groups(side))


def geometric(filters: int, growth: float, groups: int, divisor: int = 1) -> list[int]:
    """`filters`, and for each further group about `growth` times as many, in steps of `divisor`.

    Example:

    >>> geometric(16, 1.5, 4, divisor=8)
    [16, 24, 32, 56]
    """
    return [filters + round(filters * (growth**i - 1) / divisor) * divisor for i in range(groups)]


def merged_stages(widths: list[int], depths: list[int], most: int) -> tuple[list[int], list[int]]:
    """At most `most` stages: those beyond are added to the last one as blocks of its width.

    Example:

    >>> merged_stages([24, 56, 152, 368], [1, 1, 4, 7], most=2)
    ([24, 56], [1, 12])
    """
    return widths[:most], [*depths[: most - 1], sum(depths[most - 1 :])]
