"""The search space of Inception."""

import math

from keras_blocks.core.registration import register
from keras_blocks.models.inception import Inception
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.widths import by_side, geometric, group_counts
from keras_blocks.tuning.study.dimension import Values, hp_range

DIVISOR = 16
"""Of which the channels of each further group are a multiple more."""

SHARES = {
    "v1": (4, 6, 8, 1, 2, 2),
    "v2": (4, 4, 4, 4, 6, 2),
    "a": (4, 3, 4, 4, 6, 2),
    "b": (4, 3, 4, 3, 4, 4),
    "c": (2, 3, 3, 3, 3, 2),
}
"""Block -> sixteenths of its channels for each of its numbers of filters, as in the first such module of the papers."""

OUTPUTS = {"c": (1, 0, 2, 0, 2, 1)}
"""How often each number counts in the output's channels; in all other blocks, the first, third, fifth and sixth."""

REDUCTIONS = {"max_pool": (), "a": (2, 1, 1), "pass_through": (1, 2, 1, 1)}
"""Reduction -> quarters of half of the group's channels for each of its numbers of filters."""


def _conv(filters: int, kernel_size: int = 3, strides: int = 1) -> Values:
    return {"layer": "conv", "filters": filters, "kernel_size": kernel_size, "strides": strides, "padding": "symmetric"}


POOL = {"layer": "ceil_pool", "pool_size": 3, "strides": 2}


@register
class HyperInception(HyperArchitecture):
    """Inceptions: groups, kind and number of modules in each, their channels and growth, and the reduction are drawn.

    A module's channels are split between its branches as in the papers. The stem follows from the smaller side: a
    convolution to 27 pixels, with a pooling to 64, GoogLeNet's without its normalization above, a quarter to a half as
    wide as a module. There are as many groups at most as leave a feature map of 2 pixels.

    See `HyperArchitecture` for the arguments; other dimensions are any of `Inception`'s.

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", 2014, table 1 (`block="v1"`); Ioffe and Szegedy, "Batch
        Normalization", 2015, figure 5 ("v2"); Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, table 1 ("a", "b", "c").

    Example:

    >>> import keras_tuner
    >>> from keras_blocks.tuning import HyperInception
    >>> space = HyperInception((16, 16, 3), classes=10, block="v1", filters=64, groups=1)
    >>> space.candidate(keras_tuner.HyperParameters()).metaparameters["groups"]
    [{'block': 'v1', 'filters': [[16, 24, 32, 4, 8, 8]], 'reduction': None}]
    """

    architecture = Inception

    per_group = ("block", "blocks")

    def table(self) -> Values:
        return {
            "groups": group_counts(math.ceil(self.side / self._divides())),
            "block": list(SHARES),
            "filters": [32, 64, 96, 128],
            "growth": [1.5, 2.0],
            "blocks": hp_range(1, 3),
            "reduction": list(REDUCTIONS),
            "se_ratio": [None, 4, 8],
            "dropout": hp_range(0.0, 0.5, step=0.1),
        }

    def arguments_from(self, drawn: Values) -> Values:
        step = math.lcm(DIVISOR, drawn.get("se_ratio") or 1)
        widths = geometric(drawn["filters"], drawn["growth"], drawn["groups"], step)
        groups = []
        for i, (width, kind, blocks) in enumerate(zip(widths, drawn["block"], drawn["blocks"])):
            reduction = self._reduction(drawn, widths[i - 1]) if i else None
            groups.append({"block": kind, "filters": [module_filters(kind, width)] * blocks, "reduction": reduction})
        return {"stem": self._stem(widths[0]), **super().arguments_from(drawn), "groups": groups}

    def _divides(self) -> int:
        """Pixels of the image for one behind the stem."""
        return by_side(self.side, 1, 2, 8)

    def _stem(self, filters: int) -> list[Values]:
        quarter, half = max(1, filters // 4), max(1, filters // 2)
        stems = {
            1: [_conv(half)],
            2: [_conv(quarter), POOL, _conv(half)],
            8: [_conv(quarter, 7, 2), POOL, _conv(quarter, 1), _conv(half), POOL],
        }
        return stems[self._divides()]

    def _reduction(self, drawn: Values, width: int) -> Values:
        kind = drawn["reduction"]
        if kind == "max_pool":
            return {"kind": kind, "pool_size": 3}
        divisor = drawn.get("se_ratio") or 1
        filters = [max(1, width * share // 8 // divisor) * divisor for share in REDUCTIONS[kind]]
        return {"kind": kind, "filters": filters, "padding": "symmetric"}


def module_filters(block: str, width: int) -> list[int]:
    """The six numbers of filters of a module with this many channels.

    Example: GoogLeNet's first, and Inception v3's.

    >>> module_filters("v1", 256), module_filters("a", 256)
    ([64, 96, 128, 16, 32, 32], [64, 48, 64, 64, 96, 32])
    """
    filters = [max(1, width * share // 16) for share in SHARES[block]]
    times = OUTPUTS.get(block, (1, 0, 1, 0, 1, 1))
    filters[0] += width - sum(number * count for number, count in zip(filters, times))
    return filters
