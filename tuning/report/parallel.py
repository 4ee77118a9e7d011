"""Parallel coordinates: what was drawn in each trial, as a line through an axis for each drawn value."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from keras_blocks.tuning.objectives import Objective, measured
from keras_blocks.tuning.report.figures import BLUE, GREY, plain, powers
from keras_blocks.tuning.storage.trial import Trial

MOST_AXES = 12
"""More axes cannot be told apart."""

LOW_TO_HIGH = [[0.0, "#9fb3c8"], [0.5, BLUE], [1.0, "#d9480f"]]
"""The colours of lines, from the worst to the best."""


def parallel(trials: Sequence[Trial], objectives: Sequence[Objective], order: Sequence[str] = ()) -> go.Figure | None:
    """A line for each completed trial, coloured by the first objective.

    Args:
        trials: `Trial`s.
        objectives: the study's.
        order: names of drawn values whose axes come first.

    Returns:
        `None` with fewer than two trials, or where nothing differs.
    """
    first = objectives[0]
    values = [(trial, value) for trial in trials if (value := measured(trial, first.name, objectives)) is not None]
    # The best are drawn last, above the others.
    values.sort(key=lambda item: -first.loss(item[1]))
    there = dict.fromkeys(key for trial, _ in values for key in trial.values)
    drawn = [*(key for key in order if key in there), *(key for key in there if key not in order)]
    axes = [axis for key in drawn if (axis := _axis(key, [trial.values.get(key) for trial, _ in values]))]
    if len(values) < 2 or not axes:
        return None
    scaled = [value * first.factor for _, value in values]
    figure = go.Figure(
        go.Parcoords(
            dimensions=[_number_axis(f"<b>{plain(first.title)}</b>", scaled), *axes[:MOST_AXES]],
            line={
                "color": scaled,
                "colorscale": LOW_TO_HIGH,
                "reversescale": first.direction == "minimize",
                "showscale": False,
            },
            labelangle=-25,
            labelside="top",
            unselected={"line": {"color": GREY, "opacity": 0.12}},
        )
    )
    figure.update_layout(template="none", margin={"l": 85, "r": 50, "t": 110, "b": 25}, meta={"axes": len(axes)})
    return figure


def _axis(name: str, values: Sequence[Any]) -> dict[str, Any] | None:
    """The axis of what was drawn under a name: with a place for each value, or a scale of numbers."""
    kinds = {repr(value): value for value in values if value is not None}
    if len({repr(value) for value in values}) < 2:
        return None
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in kinds.values())
    if numeric and len(kinds) > 6:
        return _number_axis(plain(name, 26), values)
    # In an order that does not depend on the trials'.
    ordered = sorted(kinds, key=lambda kind: kinds[kind] if numeric else kind)
    ticks = [f"{kinds[kind]:.3g}" if isinstance(kinds[kind], float) else str(kinds[kind]) for kind in ordered]
    places = [None if value is None else ordered.index(repr(value)) for value in values]
    return _dimension(plain(name, 26), places, range(len(ordered)), [plain(tick, 18) for tick in ticks])


def _number_axis(title: str, values: Sequence[float | None]) -> dict[str, Any]:
    """Logarithmic where the numbers span much."""
    there = [value for value in values if value is not None]
    low, high = min(there), max(there)
    logarithmic = low > 0 and high >= 8 * low
    marks = powers(low, high) if logarithmic else _round_numbers(low, high)
    place = math.log10 if logarithmic else float
    places = [None if value is None else place(value) for value in values]
    return _dimension(title, places, [place(mark) for mark in marks], [f"{mark:g}" for mark in marks])


def _round_numbers(low: float, high: float) -> list[float]:
    """A few numbers from `low` to `high`, of few digits each."""
    if high == low:
        return [low]
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(digit for digit in (1, 2, 5, 10) if digit * power >= rough)
    return [round(place * step, 12) for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _dimension(
    title: str, values: Sequence[float | None], places: Sequence[float], ticks: Sequence[str]
) -> dict[str, Any]:
    """An axis of plotly's. What a trial did not draw lies below the rest, as "-"."""
    there = [value for value in values if value is not None]
    low, high = min([*there, *places]), max([*there, *places])
    missing = [low - 0.15 * ((high - low) or 1)] if len(there) < len(values) else []
    return {
        "label": title,
        "values": [missing[0] if value is None else value for value in values],
        "range": [min([*missing, low]), high if high > low else low + 1],
        "tickvals": [*missing, *places],
        "ticktext": [*("-" for _ in missing), *ticks],
    }
