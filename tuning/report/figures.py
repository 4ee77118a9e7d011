"""The figures of a report, by plotly: each a `Figure` of what trials tried, or of what came of it.

Their colours are readable on light and on dark pages; text, grid and background are the page's.
"""

import dataclasses
import html
import itertools
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from keras_blocks.tuning.objectives import Objective, front, measure, measured, ranking
from keras_blocks.tuning.report.descriptions import described
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.trial import Trial

BLUE, ORANGE, PURPLE, RED, GREEN, GREY = "#3b82c4", "#e07b1f", "#9467bd", "#d64545", "#2e9e6b", "#8a8f98"

MARKS = {
    Status.COMPLETED: (BLUE, "circle", None),
    Status.PRUNED: (PURPLE, "triangle-down-open", "dot"),
    Status.FAILED: (RED, "x", "dash"),
    Status.RUNNING: (GREEN, "circle-open", None),
}
"""A status has a colour, a symbol and a dash: it is never told by the colour alone."""

KINDS = (
    (BLUE, "circle"),
    (GREEN, "square"),
    (PURPLE, "diamond"),
    (RED, "triangle-up"),
    (GREY, "cross"),
    (BLUE, "star"),
)
"""Architectures have these colours and symbols, in turn."""

MOST_BARS = 12
"""More importances than these are left out."""


def history(trials: Sequence[Trial], objectives: Sequence[Objective], name: str) -> go.Figure:
    """An objective's value of each trial and the best so far; at the foot, the trials that have none.

    Args:
        trials: `Trial`s.
        objectives: the study's.
        name: of the one that is shown.
    """
    objective = measure(name, objectives)
    figure = _figure(measure("trial"), objective)
    done = {trial.number: value for trial in trials if (value := measured(trial, name, objectives)) is not None}
    values = {trial.number: last for trial in trials if (last := _last(trial, name)) is not None} | done
    if done:
        so_far = list(itertools.accumulate(done.values(), lambda *both: objective.best(both)))
        figure.add_scatter(
            x=[*done, max(trial.number for trial in trials)],
            y=_scaled(objective, [*so_far, so_far[-1]]),
            name="best so far",
            mode="lines",
            line={"color": ORANGE, "width": 2.5, "shape": "hv"},
            hoverinfo="skip",
        )
    low, high = min(values.values(), default=0.0), max(values.values(), default=1.0)
    foot = low - 0.07 * ((high - low) or abs(high) or 1)
    for status, (colour, symbol, _) in MARKS.items():
        those = [trial for trial in trials if trial.status is status]
        if status in (Status.COMPLETED, Status.PRUNED):
            those = [trial for trial in those if trial.number in values]
        if those:
            figure.add_scatter(
                x=[trial.number for trial in those],
                y=_scaled(objective, [values.get(trial.number, foot) for trial in those]),
                name=f"{status}, at its last epoch" if status is Status.PRUNED else status,
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 8},
                cliponaxis=False,
                **_hover(those, objectives),
            )
    # What was refused before the first trial has numbers, too, by which Optuna and files know trials; it has no room.
    numbers = [trial.number for trial in trials if trial.counted] or [0]
    first, last = min(numbers), max(numbers)
    margin = 0.03 * (last - first) + 0.5
    figure.update_xaxes(range=[first - margin, last + margin], dtick=1 if last - first < 10 else None)
    figure.update_yaxes(showticklabels=bool(values))
    return figure


def trade_off(trials: Sequence[Trial], objectives: Sequence[Objective], name: str, against: str) -> go.Figure:
    """One measure against another, and the front that no trial is beyond.

    Args:
        trials: `Trial`s.
        objectives: the study's.
        name: of an objective, upwards.
        against: name of a measure of which less is better.
    """
    up, cost = measure(name, objectives), measure(against)
    figure = _figure(cost, up)

    def places(those: Iterable[Trial]) -> dict[str, list[float | None]]:
        x, y = ([measured(trial, one.name, objectives) for trial in those] for one in (cost, up))
        return {"x": _scaled(cost, x), "y": _scaled(up, y)}

    shown = [trial for trial in trials if None not in (measured(trial, one, objectives) for one in (name, against))]
    if best := front(shown, [up, cost], given=objectives):
        figure.add_scatter(
            **places(best[::-1]),
            name="Pareto front",
            mode="lines+markers",
            line={"color": ORANGE, "width": 2, "shape": "hv"},
            marker={"size": 13, "symbol": "circle-open", "line": {"width": 2}, "color": ORANGE},
            hoverinfo="skip",
        )
    labels = sorted({trial.architecture_label for trial in shown})
    for label, (colour, symbol) in zip(labels, itertools.cycle(KINDS)):
        those = [trial for trial in shown if trial.architecture_label == label]
        figure.add_scatter(
            **places(those),
            name=plain(label) if len(labels) > 1 else "trial",
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 8},
            **_hover(those, objectives),
        )
    sizes = [size for size in places(shown)["x"] if size is not None]
    if sizes and min(sizes) > 0 and max(sizes) > 8 * min(sizes):
        figure.update_xaxes(type="log", tickvals=powers(min(sizes), max(sizes)))
    return figure


def family(trials: Sequence[Trial], objectives: Sequence[Objective], line: Sequence[Trial]) -> go.Figure:
    """The first objective of each trial, with a line from each parent to its child.

    Args:
        trials: `Trial`s.
        objectives: the study's.
        line: the best trial and its ancestors, whose lines are thick.
    """
    objective = objectives[0]
    figure = _figure(measure("trial"), objective)
    known = {trial.number: measured(trial, objective.name, objectives) for trial in trials}
    known = {number: value for number, value in known.items() if value is not None}
    best = {trial.number for trial in line}
    for name, thick in (("parent to child", False), ("how the best came about", True)):
        x: list[float | None] = []
        y: list[float | None] = []
        for trial in trials:
            if trial.parent is None or not {trial.parent, trial.number} <= known.keys():
                continue
            if thick == (best >= {trial.parent, trial.number}):
                x += [trial.parent, trial.number, None]
                y += [known[trial.parent], known[trial.number], None]
        drawn = {"color": ORANGE if thick else GREY, "width": 2.5 if thick else 1}
        if x:
            figure.add_scatter(x=x, y=_scaled(objective, y), name=name, mode="lines", line=drawn, hoverinfo="skip")
    for name, founds, symbol, colour in (
        ("without a parent", True, "diamond", GREEN),
        ("child", False, "circle", BLUE),
    ):
        those = [trial for trial in trials if trial.number in known and (trial.parent is None) == founds]
        if those:
            figure.add_scatter(
                x=[trial.number for trial in those],
                y=_scaled(objective, [known[trial.number] for trial in those]),
                name=name,
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 8},
                **_hover(those, objectives),
            )
    return figure


def importance(shares: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Bars of each hyperparameter's importance.

    Args:
        shares: name of an objective -> {hyperparameter: share}; the first objective's order counts.
    """
    figure = _figure(measure("share of the importance"), None)
    names = list(dict.fromkeys(name for found in shares.values() for name in found))[:MOST_BARS]
    for (objective, found), colour in zip(shares.items(), (BLUE, ORANGE, GREEN, PURPLE)):
        figure.add_bar(
            x=[100 * found.get(name, 0.0) for name in names],
            y=[plain(name, 44) for name in names],
            name=f"for {plain(measure(objective).label)}",
            orientation="h",
            marker={"color": colour},
            hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        )
    figure.update_yaxes(autorange="reversed", automargin=True, ticksuffix="  ", showgrid=False)
    figure.update_xaxes(ticksuffix=" %", rangemode="tozero")
    height = max(220, 90 + len(names) * (20 + 14 * len(shares)))
    figure.update_layout(barmode="group", showlegend=len(shares) > 1, bargap=0.25, height=height)
    return figure


def curves(trials: Sequence[Trial], objectives: Sequence[Objective], metric: str) -> go.Figure | None:
    """A metric after each epoch of each trial, the best one's line thick.

    Returns:
        `None` where no trial has such values.
    """
    figure = _figure(measure("epoch"), measure(metric))
    best = next(iter(ranking(trials, objectives)), None)
    for status, (colour, _, dash) in MARKS.items():
        those = [trial for trial in trials if trial.status is status and trial is not best]
        _add_lines(figure, those, metric, status, {"color": colour, "width": 1.3, "dash": dash}, 0.7)
    if best is not None:
        _add_lines(figure, [best], metric, f"best, trial {best.number}", {"color": ORANGE, "width": 3.5}, 1)
    _count_epochs(figure, max((len(trial.curves.get(metric) or []) for trial in trials), default=0))
    return figure if figure.data else None


TRAINED, VALIDATED = ("training", BLUE, "circle"), ("validation", ORANGE, "square")
"""Words, colour and symbol of the lines of a training."""


def training(history: Mapping[str, Sequence[float]], kept: int, name: str) -> go.Figure:
    """The loss or the accuracy after each epoch of one training, and the epoch whose weights are kept.

    Args:
        history: of Keras, with the metric of the training and of the validation images.
        kept: the epoch, from 1.
        name: "loss" or "accuracy".
    """
    shown = dataclasses.replace(measure(name), label="loss (nats)" if name == "loss" else name)
    lines = [line for line in ((name, *TRAINED), (f"val_{name}", *VALIDATED)) if line[0] in history]
    return by_epoch(history, kept, lines, shown)


def by_epoch(
    history: Mapping[str, Sequence[float]], kept: int, lines: Sequence[tuple[str, str, str, str]], shown: Objective
) -> go.Figure:
    """What a training logged after each epoch, and the epoch whose weights are kept.

    Args:
        history: of Keras.
        kept: the epoch, from 1.
        lines: of each its key in the history, its words, its colour and its symbol.
        shown: the measure that they are all of; losses that differ much have an axis of powers of ten.
    """
    figure = _figure(measure("epoch"), shown)
    epochs = list(range(1, len(history[lines[0][0]]) + 1))
    for key, words, colour, symbol in lines:
        figure.add_scatter(
            x=epochs,
            y=_scaled(shown, history[key]),
            name=words,
            mode="lines+markers" if len(epochs) <= 40 else "lines",
            line={"color": colour, "width": 2},
            marker={"symbol": symbol},
            hovertemplate=f"{words}, epoch %{{x}}: %{{y:.4g}} {shown.unit}<extra></extra>",
        )
    figure.add_vline(kept, line={"color": GREY, "dash": "dot"}, name=f"kept: epoch {kept}", showlegend=True)
    _count_epochs(figure, len(epochs))
    values = [value for key, *_ in lines for value in history[key]]
    if shown.name == "loss" and min(values) > 0 and max(values) > 10 * min(values):
        figure.update_yaxes(type="log", tickvals=powers(min(values), max(values)), tickformat="~g")
    return figure


def plain(words: str, most: int | None = None) -> str:
    """Text in which plotly finds no HTML of its own, of so many characters at most."""
    return html.escape(words if most is None else textwrap.shorten(words, most, placeholder="…"), quote=False)


def powers(low: float, high: float) -> list[float]:
    """Powers of ten from `low` to `high`, and their double and fivefold where they are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [digit * 10.0**power for power in powers for digit in ((1, 2, 5) if high < 1000 * low else (1,))]
    return [mark for mark in found if low <= mark <= high] or [low, high]


def _figure(x: Objective, y: Objective | None) -> go.Figure:
    """Without traces, with titles on its axes."""
    figure = go.Figure()
    figure.update_layout(
        template="none",
        margin={"l": 64, "r": 16, "t": 30, "b": 48},
        legend={"orientation": "h", "yanchor": "top", "y": -0.25, "xanchor": "left", "x": 0},
        hovermode="closest",
        showlegend=True,
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(title={"text": plain(x.title), "standoff": 6}, showline=True)
    figure.update_yaxes(title=None if y is None else plain(y.title))
    for axis, shown in ((figure.layout.xaxis, x), (figure.layout.yaxis, y)):
        axis.zeroline = False
        if shown is not None and (shown.is_count or shown.name in ("trial", "epoch")):
            axis.tickformat = "~s" if shown.is_count else "d"
    return figure


def _count_epochs(figure: go.Figure, epochs: int) -> None:
    figure.update_xaxes(range=[0.5, epochs + 0.5], dtick=1 if epochs < 10 else None)


def _add_lines(
    figure: go.Figure, trials: Sequence[Trial], metric: str, name: str, line: dict[str, Any], opacity: float
) -> None:
    """All lines of a group are one trace, with gaps: a legend entry for all, and quick to draw."""
    x, y, numbers = [], [], []
    lines = [(trial.number, values) for trial in trials if (values := trial.curves.get(metric))]
    for number, values in lines:
        x += [*range(1, len(values) + 1), None]
        y += [*_scaled(measure(metric), values), None]
        numbers += [*[number] * len(values), None]
    if not lines:
        return
    figure.add_scatter(
        x=x,
        y=y,
        name=name,
        mode="lines" if max(len(values) for _, values in lines) > 1 else "lines+markers",
        line=line,
        opacity=opacity,
        customdata=numbers,
        hovertemplate=f"trial %{{customdata}}, epoch %{{x}}: %{{y:.4g}} {measure(metric).unit}<extra></extra>",
    )


def _hover(trials: Sequence[Trial], objectives: Sequence[Objective]) -> dict[str, Any]:
    return {
        "hovertext": [_about(trial, objectives) for trial in trials],
        "customdata": [trial.number for trial in trials],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _about(trial: Trial, objectives: Sequence[Objective]) -> str:
    """A few lines on a trial, in plotly's kind of HTML."""
    names = dict.fromkeys([*(objective.name for objective in objectives), "val_accuracy", "latency", "params", "macs"])
    values = {
        name: getattr(trial, name) if name in ("params", "macs") else measured(trial, name, objectives)
        for name in names
    }
    facts = [
        f"{measure(name).text(value)} {measure(name).label}" for name, value in values.items() if value is not None
    ]
    how = (trial.error, trial.architecture_label, described(trial.metaparameters), described(trial.hyperparameters))
    wrapped = [line for words in how for line in textwrap.wrap(words or "", 72, max_lines=4, placeholder=" …")]
    lines = [f"<b>trial {trial.number}</b>, {trial.status}", *map(plain, [", ".join(facts), *wrapped])]
    return "<br>".join(line for line in lines if line)


def _scaled(shown: Objective, values: Iterable[float | None]) -> list[float | None]:
    return [None if value is None or not math.isfinite(value) else value * shown.factor for value in values]


def _last(trial: Trial, name: str) -> float | None:
    """Of a pruned trial, the last value of a metric that is finite."""
    values = trial.curves.get(name) or [] if trial.status is Status.PRUNED else []
    return next((value for value in reversed(values) if value is not None and math.isfinite(value)), None)
