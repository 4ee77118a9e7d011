"""The figures of a search's report, by plotly: each a `Figure` of what trials tried and what came of it.

Their colours are readable on light and on dark pages; text, grid and background are the page's.
"""

import html
import itertools
import math
import textwrap

import plotly.graph_objects as go

from keras_blocks.tuning.report.descriptions import described
from keras_blocks.tuning.study.objectives import OBJECTIVES, front, measure, measured, ranking
from keras_blocks.tuning.study.status import Status

BLUE, ORANGE, PURPLE, RED, GREEN, GREY = "#3b82c4", "#e07b1f", "#9467bd", "#d64545", "#2e9e6b", "#8a8f98"

MARKS = {
    Status.COMPLETED: (BLUE, "circle"),
    Status.PRUNED: (PURPLE, "triangle-down-open"),
    Status.FAILED: (RED, "x"),
    Status.RUNNING: (GREEN, "circle-open"),
}
"""Colour and symbol of a status: never the colour alone."""

KINDS = (
    (BLUE, "circle"),
    (GREEN, "square"),
    (PURPLE, "diamond"),
    (RED, "triangle-up"),
    (GREY, "cross"),
    (BLUE, "star"),
)
"""Of architectures."""

MOST_AXES = 12
"""Parallel coordinates that can be told apart."""

LOW_TO_HIGH = [[0.0, "#9fb3c8"], [0.5, BLUE], [1.0, "#d9480f"]]


def history(trials, objectives, name) -> go.Figure:
    """An objective's value of each trial and the best so far; at the foot, the trials that have none.

    Args:
        trials: `Trial`s.
        objectives: the study's.
        name: of the one that is shown.
    """
    figure = _figure(name_x="trial", name_y=name)
    objective = measure(name, objectives)
    completed = [trial for trial in trials if measured(trial, name, objectives) is not None]
    values = [measured(trial, name, objectives) for trial in completed]
    pruned = [trial for trial in trials if trial.status is Status.PRUNED and _last(trial, name) is not None]
    lasts = [_last(trial, name) for trial in pruned]
    everything = [*values, *lasts]
    if completed:
        so_far = list(itertools.accumulate(values, lambda *both: objective.best(both)))
        figure.add_scatter(
            x=[*(trial.number for trial in completed), max(trial.number for trial in trials)],
            y=_scaled(name, [*so_far, so_far[-1]]),
            name="best so far",
            mode="lines",
            line={"color": ORANGE, "width": 2.5, "shape": "hv"},
            hoverinfo="skip",
        )
        _add_points(figure, Status.COMPLETED, completed, values, name, objectives)
    if pruned:
        _add_points(figure, Status.PRUNED, pruned, lasts, name, objectives)
    low, high = min(everything, default=0.0), max(everything, default=1.0)
    foot = low - 0.07 * ((high - low) or abs(high) or 1)
    for status in (Status.FAILED, Status.RUNNING):
        if those := [trial for trial in trials if trial.status == status]:
            _add_points(figure, status, those, [foot] * len(those), name, objectives)
    if trials:
        last = max(trial.number for trial in trials)
        figure.update_xaxes(range=[-0.03 * last - 0.5, 1.03 * last + 0.5], dtick=1 if last < 10 else None)
    if not everything:
        figure.update_yaxes(showticklabels=False)
    return figure


def trade_off(trials, objectives, name, against) -> go.Figure:
    """One measure against another, and the front that no trial is beyond.

    Args:
        trials: `Trial`s.
        objectives: the study's.
        name: of an objective, upwards.
        against: name of a measure of which less is better.
    """
    figure = _figure(name_x=against, name_y=name)
    shown = [trial for trial in trials if _both(trial, name, against, objectives)]
    best = front(shown, [measure(name, objectives), measure(against)], given=objectives)
    if best:
        figure.add_scatter(
            x=_scaled(against, [measured(trial, against, objectives) for trial in reversed(best)]),
            y=_scaled(name, [measured(trial, name, objectives) for trial in reversed(best)]),
            name="Pareto front",
            mode="lines+markers",
            line={"color": ORANGE, "width": 2, "shape": "hv"},
            marker={"size": 13, "symbol": "circle-open", "line": {"width": 2}, "color": ORANGE},
            hoverinfo="skip",
        )
    kinds = list(dict.fromkeys(trial.architecture_label for trial in shown))
    for place, kind in enumerate(sorted(kinds, key=str)):
        those = [trial for trial in shown if trial.architecture_label == kind]
        figure.add_scatter(
            x=_scaled(against, [measured(trial, against, objectives) for trial in those]),
            y=_scaled(name, [measured(trial, name, objectives) for trial in those]),
            name=_plain(str(kind)) if len(kinds) > 1 else "trial",
            mode="markers",
            marker={"color": KINDS[place % len(KINDS)][0], "symbol": KINDS[place % len(KINDS)][1], "size": 8},
            **_hover(those, objectives),
        )
    sizes = [measured(trial, against, objectives) for trial in shown]
    if sizes and min(sizes) > 0 and max(sizes) > 8 * min(sizes):
        figure.update_xaxes(type="log", dtick="D2" if max(sizes) < 1000 * min(sizes) else 1)
    return figure


def parallel(trials, objectives, order=()) -> go.Figure | None:
    """What was drawn in each completed trial, a line through an axis for each value, coloured by the first objective.

    Args:
        trials: `Trial`s.
        objectives: the study's.
        order: names of drawn values whose axes come first.

    Returns:
        `None` with fewer than two trials, or where nothing differs.
    """
    first, name = objectives[0], objectives[0].name
    shown = [trial for trial in trials if measured(trial, name, objectives) is not None]
    there = dict.fromkeys(key for trial in shown for key in trial.values)
    drawn = [*(key for key in order if key in there), *(key for key in there if key not in order)]
    axes = [axis for key in drawn if (axis := _axis(key, [trial.values.get(key) for trial in shown])) is not None]
    if len(shown) < 2 or not axes:
        return None
    values = [measured(trial, name, objectives) for trial in shown]
    scaled = _scaled(name, values)
    # The best are drawn last, above the others.
    rising = sorted(range(len(shown)), key=lambda i: -first.loss(values[i]))
    dimensions = [
        {**axis, "values": [axis["values"][i] for i in rising]}
        for axis in (_number_axis(_plain(first.title), scaled), *axes[:MOST_AXES])
    ]
    dimensions[0]["label"] = f"<b>{dimensions[0]['label']}</b>"
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line={
                "color": [scaled[i] for i in rising],
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


def importance(shares: dict) -> go.Figure:
    """Bars of each hyperparameter's importance.

    Args:
        shares: name of an objective -> {hyperparameter: share}; the first objective's order counts.
    """
    figure = _figure(name_x="share of the importance", name_y=None)
    names = list(dict.fromkeys(name for found in shares.values() for name in found))[:MOST_AXES]
    for (objective, found), colour in zip(shares.items(), (BLUE, ORANGE, GREEN, PURPLE)):
        figure.add_bar(
            x=[100 * found.get(name, 0.0) for name in names],
            y=[_plain(textwrap.shorten(name, 44, placeholder="…")) for name in names],
            name=f"for {_plain(measure(objective).label)}",
            orientation="h",
            marker={"color": colour},
            hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        )
    figure.update_yaxes(autorange="reversed", automargin=True, ticksuffix="  ", showgrid=False)
    figure.update_xaxes(ticksuffix=" %", rangemode="tozero")
    figure.update_layout(barmode="group", showlegend=len(shares) > 1, bargap=0.25, hovermode="closest")
    return figure


def curves(trials, objectives, metric) -> go.Figure | None:
    """A metric after each epoch of each trial, the best one's line thick.

    Returns:
        `None` where no trial has such values.
    """
    figure = _figure(name_x="epoch", name_y=metric)
    best = next(iter(ranking(trials, objectives)), None)
    groups = [
        ("completed", Status.COMPLETED, BLUE, None),
        ("pruned", Status.PRUNED, PURPLE, "dot"),
        ("failed", Status.FAILED, RED, "dash"),
        ("running", Status.RUNNING, GREEN, None),
    ]
    for name, status, colour, dash in groups:
        those = [trial for trial in trials if trial.status == status and trial is not best]
        _add_lines(figure, those, metric, name, {"color": colour, "width": 1.3, "dash": dash}, 0.7)
    if best is not None:
        _add_lines(figure, [best], metric, f"best, trial {best.number}", {"color": ORANGE, "width": 3.5}, 1)
    figure.update_layout(hovermode="closest")
    longest = max((len(trial.curves.get(metric) or []) for trial in trials), default=0)
    figure.update_xaxes(range=[0.5, longest + 0.5], dtick=1 if longest < 10 else None)
    return figure if figure.data else None


def _figure(*, name_x, name_y) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="none",
        margin={"l": 64, "r": 16, "t": 30, "b": 48},
        legend={"orientation": "h", "yanchor": "top", "y": -0.25, "xanchor": "left", "x": 0},
        hovermode="closest",
        showlegend=True,
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(
        title={"text": _plain(measure(name_x).title), "standoff": 6}, **_ticks(name_x), showline=True, zeroline=False
    )
    figure.update_yaxes(title=_plain(measure(name_y).title) if name_y else None, **_ticks(name_y), zeroline=False)
    return figure


def _add_points(figure, status, trials, values, name, objectives):
    colour, symbol = MARKS[status]
    figure.add_scatter(
        x=[trial.number for trial in trials],
        y=_scaled(name, values),
        name=f"{status}, at its last epoch" if status is Status.PRUNED else status,
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 8},
        cliponaxis=False,
        **_hover(trials, objectives),
    )


def _add_lines(figure, trials, metric, name, line, opacity):
    """All lines of a group are one trace, with gaps: a legend entry for all, and quick to draw."""
    x, y, numbers = [], [], []
    for trial in trials:
        values = trial.curves.get(metric) or []
        if not values:
            continue
        x += [*range(1, len(values) + 1), None]
        y += [*_scaled(metric, values), None]
        numbers += [*[trial.number] * len(values), None]
    if not x:
        return
    longest = max(len(trial.curves.get(metric) or []) for trial in trials)
    figure.add_scatter(
        x=x,
        y=y,
        name=name,
        mode="lines" if longest > 1 else "lines+markers",
        line=line,
        opacity=opacity,
        customdata=numbers,
        hovertemplate=f"trial %{{customdata}}, epoch %{{x}}: %{{y:.4g}} {measure(metric).unit}<extra></extra>",
    )


def _hover(trials, objectives) -> dict:
    return {
        "hovertext": [_about(trial, objectives) for trial in trials],
        "customdata": [trial.number for trial in trials],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _about(trial, objectives) -> str:
    """A few lines on a trial, in plotly's kind of HTML."""
    names = [objective.name for objective in objectives]
    results = [(name, measured(trial, name, objectives)) for name in (*names, "val_accuracy", "latency")]
    sizes = [(name, getattr(trial, name)) for name in ("params", "macs")]
    facts = {
        name: f"{measure(name).text(value)} {measure(name).label}"
        for name, value in (*results, *sizes)
        if value is not None
    }
    lines = [f"<b>trial {trial.number}</b>, {trial.status}", _plain(", ".join(facts.values()))]
    for words in (
        trial.error,
        trial.architecture_label,
        described(trial.metaparameters),
        described(trial.hyperparameters),
    ):
        lines += [_plain(line) for line in textwrap.wrap(words or "", 72, max_lines=4, placeholder=" …")]
    return "<br>".join(line for line in lines if line)


def _plain(words: str) -> str:
    """Text in which plotly finds no HTML of its own."""
    return html.escape(words, quote=False)


def _ticks(name) -> dict:
    if name in OBJECTIVES and OBJECTIVES[name].is_count:
        return {"tickformat": "~s"}
    return {"tickformat": "d"} if name in ("trial", "epoch") else {}


def _scaled(name, values) -> list:
    return [None if value is None or not math.isfinite(value) else value * measure(name).factor for value in values]


def _both(trial, name, against, objectives) -> bool:
    return all(measured(trial, one, objectives) is not None for one in (name, against))


def _last(trial, name):
    """The last value of a metric that is finite."""
    values = trial.curves.get(name) or []
    return next((value for value in reversed(values) if value is not None and math.isfinite(value)), None)


def _axis(name, values) -> dict | None:
    """A dimension of parallel coordinates; what a trial did not draw lies below the rest, as "-"."""
    there = [value for value in values if value is not None]
    if len({repr(value) for value in values}) < 2:
        return None
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in there)
    title = _plain(textwrap.shorten(name, 26, placeholder="…"))
    if not numeric or len(set(there)) <= 6:
        kinds = sorted(set(there), key=lambda value: (isinstance(value, str), value)) if numeric else _kinds(there)
        ticks = [_plain(textwrap.shorten(_short(kind), 18, placeholder="…")) for kind in kinds]
        places = {repr(kind): place for place, kind in enumerate(kinds)}
        return _dimension(title, [places.get(repr(value)) for value in values], list(places.values()), ticks)
    return _number_axis(title, values)


def _number_axis(title, values) -> dict:
    there = [value for value in values if value is not None]
    low, high = min(there), max(there)
    if low > 0 and high >= 8 * low:
        powers = [math.log10(value) if value is not None else None for value in values]
        marks = [
            digit * 10.0**power
            for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for digit in ((1, 2, 5) if high < 1000 * low else (1,))
            if low <= digit * 10.0**power <= high
        ] or [low, high]
        return _dimension(title, powers, [math.log10(mark) for mark in marks], [f"{mark:g}" for mark in marks])
    marks = _round_numbers(low, high)
    return _dimension(title, values, marks, [f"{mark:g}" for mark in marks])


def _round_numbers(low, high) -> list:
    """A few numbers from `low` to `high`, of few digits each."""
    if high == low:
        return [low]
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(digit for digit in (1, 2, 5, 10) if digit * power >= rough)
    return [round(place * step, 12) for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _dimension(title, values, places, ticks) -> dict:
    there = [value for value in values if value is not None]
    low, high = min([*there, *places]), max([*there, *places])
    missing = len(there) < len(values)
    below = low - 0.15 * ((high - low) or 1)
    return {
        "label": title,
        "values": [below if value is None else value for value in values],
        "range": [below if missing else low, high if high > low else low + 1],
        "tickvals": [*([below] if missing else []), *places],
        "ticktext": [*(["-"] if missing else []), *ticks],
    }


def _kinds(values) -> list:
    """Each value once, in an order that does not depend on the trials'."""
    return sorted({repr(value): value for value in values}.values(), key=repr)


def _short(value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
