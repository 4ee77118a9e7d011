"""The widths and depths of groups from few numbers, as the design spaces of the literature have them."""

import itertools
import math
from typing import TypeVar

from keras_blocks.core import validation
from keras_blocks.tuning.spaces.dimension import Range, hp_range

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


def regnet_stages(
    w0: float, wa: float, wm: float, depth: int, *, group_width: int = 1, quantum: int = 8
) -> tuple[list[int], list[int]]:
    """Widths and depths of stages from a quantized linear function of the block's number.

    Block j of `depth` would be `w0 + wa * j` wide; that is rounded to a power of `wm` times `w0`, then to a multiple of
    `quantum`, and blocks of one width are a stage.

    Args:
        w0: width of the first block, above 0.
        wa: slope, at least 0.
        wm: ratio of two stages' widths, above 1.
        depth: number of blocks.
        group_width: of grouped convolutions; widths become multiples of it.
        quantum: of which widths are multiples before.

    Returns:
        (widths, depths), each a list with a number for each stage.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it.

    Reference:
        Radosavovic et al., "Designing Network Design Spaces", 2020, equations 2 to 4; group widths as in the authors'
        pycls.

    Example: RegNetX-200MF.

    >>> regnet_stages(24, 36.44, 2.49, 13, group_width=8)
    ([24, 56, 152, 368], [1, 1, 4, 7])
    """
    w0 = validation.number("w0", w0, least=1, most=2**20)
    wa = validation.number("wa", wa, least=0, most=2**20)
    wm = validation.number("wm", wm, least=1.001, most=2**20)
    depth = validation.integer("depth", depth, most=10_000)
    group_width = validation.integer("group_width", group_width)
    quantum = validation.integer("quantum", quantum)
    widths = []
    for j in range(depth):
        power = round(math.log(1 + wa * j / w0, wm))
        width = max(1, round(w0 * wm**power / quantum)) * quantum
        fitting = min(group_width, width)
        widths.append(max(1, round(width / fitting)) * fitting)
    stages = [(width, len(list(blocks))) for width, blocks in itertools.groupby(widths)]
    return [width for width, _ in stages], [blocks for _, blocks in stages]


def merged_stages(widths: list[int], depths: list[int], most: int) -> tuple[list[int], list[int]]:
    """At most `most` stages: those beyond are added to the last one as blocks of its width.

    Example:

    >>> merged_stages([24, 56, 152, 368], [1, 1, 4, 7], most=2)
    ([24, 56], [1, 12])
    """
    return widths[:most], [*depths[: most - 1], sum(depths[most - 1 :])]
