"""RegNet's design rule: widths and depths of stages from four numbers."""

import itertools
import math

from keras_blocks.core import validation


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
