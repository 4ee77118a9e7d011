"""What a study tries before its sampler draws: random candidates of certain sizes, or a space's defaults."""

import random
from collections.abc import Callable
from typing import Any

from keras_blocks.tuning.study.sources import DefaultSource, Drawable, RandomSource, SizedDrawable

LARGEST, DRAWS = 10, 200
"""Of so many random draws within the budget, so many with the most parameters are the largest."""

SIZES, SIZED_DRAWS = (0.75, 0.1, 0.9, 0.5), 50
"""Where those of several sizes stand by their multiply-adds among the draws, of so many, that are within the budget. In
front is a large one, which learns more than others in the same epochs; the largest may take all the time there is."""


def tried_first(
    begin: str, space: Drawable, inspect: Callable[[dict[str, Any]], dict[str, Any]], rng: random.Random
) -> list[tuple[dict[str, Any], str]]:
    """What Optuna is told to draw, and the signature of what it comes to. That is counted, and not trained.

    Args:
        begin: "largest", `LARGEST` random draws; "sizes", one for each of `SIZES`, each with the default training;
            "defaults", those of the space.
        space: from which they are drawn.
        inspect: see `Study`.
        rng: of the random draws.

    Raises:
        ValueError: for another word, and for sizes of a space that does not know which of its dimensions say them.
    """
    if begin == "defaults":
        default = DefaultSource()
        return [(default.params, inspect(space.draw(default)).get("signature", ""))]
    sized = space if begin == "sizes" and isinstance(space, SizedDrawable) else None
    if sized is None and begin != "largest":
        raise ValueError(f"`begin` must be 'largest' or 'defaults' for {type(space).__name__}; received {begin!r}.")
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    for _ in range(SIZED_DRAWS if sized else DRAWS):
        source = sized.size_source(rng) if sized else RandomSource(rng)
        candidate = inspect(space.draw(source))
        size = candidate.get("macs" if sized else "params")
        if not candidate.get("refused") and candidate.get("signature") and size is not None:
            found[candidate["signature"]] = size, source.params
    ordered = [(found[signature][1], signature) for signature in sorted(found, key=lambda one: found[one][0])]
    if not sized:
        return ordered[: -LARGEST - 1 : -1]
    return [ordered[int(share * len(ordered))] for share in SIZES] if ordered else []
