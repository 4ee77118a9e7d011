"""What a study tries before its sampler draws: random candidates of certain sizes, or a space's defaults."""

import random
from collections.abc import Callable
from typing import Any

from keras_blocks.tuning.dimensions.sources import DefaultSource, Drawable, RandomSource, SizedDrawable, SizeSource

LARGEST, DRAWS = 10, 200
"""Of so many random draws within the budget, so many with the most parameters are the largest."""

SIZES, SIZED_DRAWS = (0.75, 0.1, 0.9, 0.5), 50
"""Where those of several sizes stand among so many draws in order of their multiply-adds: in front a large one, which
learns more than others in the same epochs; the largest may take all the time that there is."""

Told = list[tuple[dict[str, Any], str]]
"""What Optuna is told to draw, and the signature of what that comes to."""


def tried_first(
    begin: str, space: Drawable, inspect: Callable[[dict[str, Any]], dict[str, Any]], rng: random.Random
) -> Told:
    """The candidates, which are counted and not trained.

    Args:
        begin: "largest", `LARGEST` random draws; "sizes", one for each of `SIZES`, each with the default training;
            "defaults", those of the space.
        space: from which they are drawn.
        inspect: see `Study`.
        rng: of the random draws.
    """
    if begin == "defaults":
        default = DefaultSource()
        return [(default.params, inspect(space.draw(default)).get("signature", ""))]
    if begin == "largest":
        return _ordered("params", space, inspect, lambda: RandomSource(rng), DRAWS)[: -LARGEST - 1 : -1]
    assert isinstance(space, SizedDrawable), space
    found = _ordered("macs", space, inspect, lambda: space.size_source(rng), SIZED_DRAWS)
    return [found[int(share * len(found))] for share in SIZES] if found else []


def _ordered(
    by: str,
    space: Drawable,
    inspect: Callable[[dict[str, Any]], dict[str, Any]],
    source: Callable[[], RandomSource | SizeSource],
    draws: int,
) -> Told:
    """What is within the budget of some draws, the smallest first."""
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    for _ in range(draws):
        drawn = source()
        candidate = inspect(space.draw(drawn))
        if not candidate.get("refused") and candidate.get("signature") and candidate.get(by) is not None:
            found[candidate["signature"]] = candidate[by], drawn.params
    return [(found[signature][1], signature) for signature in sorted(found, key=lambda signature: found[signature][0])]
