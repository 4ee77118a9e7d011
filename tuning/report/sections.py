"""What stands in each section of a report, as plain data; `page/sections.html.jinja` has a macro that lays each out."""

import collections
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_blocks.core.registration import class_named, short_name
from keras_blocks.look.rows import BlockRow, cost_rows
from keras_blocks.models.architecture import Architecture
from keras_blocks.tuning.objectives import Objective, front, measure, measured
from keras_blocks.tuning.report import figures
from keras_blocks.tuning.report.descriptions import described, described_changes, described_value, differing
from keras_blocks.tuning.report.family import descent, members
from keras_blocks.tuning.report.page import Data, Plot
from keras_blocks.tuning.report.parallel import MOST_AXES, parallel
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study.importances import TooFewTrials, importances

Trials = Sequence[Trial]
Objectives = Sequence[Objective]
Shares = Mapping[str, Mapping[str, float]]
"""Names of objectives, with each hyperparameter's importance for them."""

METRICS = ("val_accuracy", "val_loss", "accuracy", "loss")
"""Learning curves of these metrics come first."""

PAIR = ("loss", "accuracy")
"""Metrics of a classifier's training."""

NO_METRICS = ("learning_rate",)
"""What a training logs besides."""

SIZES = ("params", "macs")
"""These measures are known of every candidate; the others, of trials that completed."""

MOST_DEPTH = 12
"""As many generations are set in; those beyond stand below each other."""

MOST_NUMBERS = 12
"""As many numbers of trials are listed for a reason."""


def history(trials: Trials, objectives: Objectives) -> Data:
    """Each objective of the trials in the order of the search."""
    plots: list[Plot] = []
    for objective in objectives if trials else ():
        name, label = objective.name, objective.label
        best = objective.text(objective.best(_values(trials, name, objectives)))
        words = f"{label} of each trial in the order of the search, and the best so far: {best}"
        plots.append(Plot(f"history-{len(plots)}", figures.history(trials, objectives, name), words, label))
    return {"plots": plots}


def trade_off(trials: Trials, objectives: Objectives) -> Data:
    """The first objective against each cost that is known, and the trials on the Pareto front."""
    first, names = objectives[0], [objective.name for objective in objectives]
    costs = ["macs", "params", "latency", *(["activation_bytes"] if "activation_bytes" in names else [])]
    costs = [name for name in costs if name != first.name and _values(trials, name, objectives)]
    if not costs or not _values(trials, first.name, objectives):
        return {"plots": []}
    over = objectives if len(objectives) > 1 else [first, measure(costs[0])]
    best = front(trials, over, given=objectives)[::-1]
    measures = [measure(name, objectives) for name in dict.fromkeys([*names, *costs])]
    describe = _describer(best)
    plots = []
    for cost in costs:
        words = f"{first.label} of each trial against its {measure(cost).label}, with the Pareto front"
        plots.append(Plot(f"trade-off-{cost}", figures.trade_off(trials, objectives, first.name, cost), words))
    return {
        "plots": plots,
        "over": " and ".join(one.label for one in over),
        "measures": [one.label for one in measures],
        "rows": [
            (trial, [one.text(measured(trial, one.name, objectives)) for one in measures], describe(trial))
            for trial in best
        ],
    }


def best(trial: Trial | None, objectives: Objectives) -> Data:
    """The best trial, and its model's blocks; empty where there is none."""
    if trial is None:
        return {}
    values = {one.label: one.text(measured(trial, one.name, objectives)) for one in objectives}
    return model(trial.architecture or "", trial.metaparameters, trial.hyperparameters, trial=trial.number, **values)


def model(
    architecture: str, metaparameters: Mapping[str, Any], hyperparameters: Mapping[str, Any], **further: Any
) -> Data:
    """A model, and what each of its blocks costs, counted with nothing built.

    Args:
        architecture: registered name of its class.
        metaparameters: the class's arguments.
        hyperparameters: of its training.
        **further: what is known besides.
    """
    rows: list[BlockRow] = []
    why = ""
    if not metaparameters:
        why = "It was built by a hypermodel of the user's own, of which this page has no blocks."
    try:
        if not why:
            rows = cost_rows(class_named("architecture", architecture, Architecture), **metaparameters)
            if any(row.params is None for row in rows):
                raise ValueError("the size of its images is not known.")
    except (TypeError, ValueError) as error:
        why = f"Its blocks cannot be listed: {error}"
    rows = [] if why else rows
    sums = {size: sum(getattr(row, size) for row in rows) for size in SIZES}
    return {
        "about": {**further, "architecture": short_name(architecture) or "-"},
        "metaparameters": metaparameters,
        "hyperparameters": hyperparameters,
        "blocks": [(row, _shape(row.shape)) for row in rows],
        "why_no_blocks": why,
        **sums,
    }


def training(result: Mapping[str, Any]) -> Data:
    """The training of the model that is kept, as result.json tells it."""
    plots = []
    for i, name in enumerate(_trained_by(result["history"])):
        words = f"{name} on the training and the validation images after each epoch, with the kept epoch"
        figure = figures.training(result["history"], result["kept_epoch"], name)
        plots.append(Plot(f"training-{name if name in PAIR else i}", figure, words))
    return {"plots": plots, "result": result, "metrics": _metrics(result)}


def _trained_by(history: Mapping[str, Sequence[float]]) -> list[str]:
    """Names of the metrics whose curves are shown: of a user's own model all that it has logged."""
    if {*PAIR} <= {*history}:
        return list(PAIR)
    names = dict.fromkeys(
        name.removeprefix("val_") if name.removeprefix("val_") in history else name for name in history
    )
    return [name for name in names if name not in NO_METRICS]


def _metrics(result: Mapping[str, Any]) -> dict[str, str]:
    """The metrics of a user's own model, in the kept epoch and on the test part."""
    found = {name: f"{value:.4g}" for name, value in (result.get("metrics") or {}).items()}
    return found | {f"test: {name}": f"{value:.4g}" for name, value in (result.get("test_metrics") or {}).items()}


def shares_of(study: Any, objectives: Objectives) -> tuple[Shares, str]:
    """Importances by objective, and why there are none."""
    if study is None:
        return {}, "Importances are told where the report is written from the study."
    shares, why = {}, "Nothing was drawn that could have mattered."
    for index, objective in enumerate(objectives):
        try:
            if found := importances(study, index):
                shares[objective.name] = found
        except TooFewTrials as error:
            why = f"{error}."
    return shares, why


def family(trials: Trials, objectives: Objectives, best: Trial | None) -> Data:
    """Who is whose child, what is another in it, and how it began; empty where no trial has a parent."""
    if not (found := members(trials)):
        return {}
    line = descent(best, trials)
    numbers = {trial.number for trial in line}
    words = f"{objectives[0].label} of each trial, with a line from each parent to its child"
    rows = [
        {
            "trial": trial,
            "depth": min(depth, MOST_DEPTH),
            "generation": depth,
            "values": [one.text(measured(trial, one.name, objectives)) for one in objectives],
            "changed": described_changes(trial.changed),
            "best": trial is best,
            "of_best": trial.number in numbers,
        }
        for trial, depth in found
    ]
    figure = figures.family([trial for trial, _ in found], objectives, line)
    return {
        "plots": [Plot("family-tree", figure, words)] if figure.data else [],
        "measures": [one.label for one in objectives],
        "rows": rows,
    }


def importance(shares: Shares, why_none: str) -> Data:
    """Bars of what mattered."""
    if not shares:
        return {"plots": [], "why_none": why_none}
    first = next(iter(shares.values()))
    words = "Importance of what was drawn: " + ", ".join(f"{name} {100 * part:.0f} %" for name, part in first.items())
    figure = figures.importance(shares)
    left_out = len(set().union(*shares.values())) - len(figure.data[0].y)
    return {"plots": [Plot("importances", figure, words)], "left_out": left_out}


def drawn(trials: Trials, objectives: Objectives, shares: Shares) -> Data:
    """Lines through what was drawn, the most important first."""
    figure = parallel(trials, objectives, list(next(iter(shares.values()), {})))
    if figure is None:
        return {"plots": []}
    axes, shown = figure.layout.meta["axes"], len(figure.data[0].dimensions)
    words = f"A line for each completed trial through the values that were drawn for it, {shown} axes"
    plot = Plot("parallel", figure, words, tall=True, least=77 * shown + 60)
    return {"plots": [plot], "axes": axes, "shown": min(axes, MOST_AXES)}


def curves(trials: Trials, objectives: Objectives) -> Data:
    """Each metric after each epoch."""
    names = {name for trial in trials for name in trial.curves}
    plots: list[Plot] = []
    for metric in [*(one for one in METRICS if one in names), *sorted(names - set(METRICS))]:
        if (figure := figures.curves(trials, objectives, metric)) is not None:
            label = measure(metric).label
            words = f"{label} of the trials after each epoch"
            plots.append(Plot(f"curves-{len(plots)}", figure, words, label, tall=True))
    return {"plots": plots}


def outcomes(trials: Trials) -> Data:
    """How many trials have which status, and the reasons of those that were not trained to the end."""
    counts = collections.Counter(trial.status for trial in trials)
    shown = [status for status in Status if counts[status] or status in (Status.COMPLETED, Status.FAILED)]
    reasons = collections.defaultdict(list)
    for trial in trials:
        if trial.error:
            # Reasons that differ in their numbers alone are one.
            reasons[trial.status, re.sub(r"\d[\d,.]*", "#", trial.error)].append(trial)
    rows = []
    for (status, _), those in sorted(reasons.items(), key=lambda item: (item[0][0], -len(item[1]))):
        numbers = [str(trial.number) for trial in those]
        more = f" and {len(those) - MOST_NUMBERS} more" if len(those) > MOST_NUMBERS else ""
        reason = ("" if len({trial.error for trial in those}) == 1 else "such as: ") + (those[-1].error or "")
        rows.append((status, len(those), reason, ", ".join(numbers[:MOST_NUMBERS]) + more))
    return {"statuses": [(status, counts[status]) for status in shown], "reasons": rows}


def trials(trials: Trials, objectives: Objectives, best: Trial | None) -> Data:
    """A row for each trial."""
    names = dict.fromkeys([*(one.name for one in objectives), "val_accuracy", "val_loss", *SIZES, "latency"])
    measures = [measure(name, objectives) for name in names if name in SIZES or _values(trials, name, objectives)]
    describe = _describer(trials)
    rows = []
    for trial in trials:
        known = {name: getattr(trial, name) for name in SIZES}
        values = [known.get(one.name, measured(trial, one.name, objectives)) for one in measures]
        trained = described(trial.hyperparameters)
        how = "; ".join(part for part in (describe(trial), trained) if part) or described(trial.values)
        same = "" if trial.duplicate_of is None else f"the same as trial {trial.duplicate_of}; "
        cells = [(value, one.text(value)) for one, value in zip(measures, values)]
        rows.append({"trial": trial, "best": trial is best, "cells": cells, "how": same + how})
    return {
        "measures": [one.label for one in measures],
        "statuses": [status for status in Status if any(trial.status is status for trial in trials)],
        "rows": rows,
    }


def settings(notes: Mapping[str, Any]) -> Data:
    """Names and values; those of an inner dict with the outer name before theirs."""
    flat = {}
    for name, value in notes.items():
        inner = {f"{name}: {key}": item for key, item in value.items()} if isinstance(value, Mapping) else {name: value}
        flat.update(inner)
    return {"facts": {name: _setting(value) for name, value in flat.items()}}


def _values(trials: Trials, name: str, objectives: Objectives) -> list[float]:
    """A measure of those trials that have it."""
    return [value for trial in trials if (value := measured(trial, name, objectives)) is not None]


def _describer(trials: Trials) -> Callable[[Trial], str]:
    """What tells each of these trials from the others."""
    differ = differing([trial.metaparameters for trial in trials])
    several = len({trial.architecture for trial in trials}) > 1

    def describe(trial: Trial) -> str:
        parts = (trial.architecture_label if several else "", described(trial.metaparameters, differ))
        return "; ".join(part for part in parts if part)

    return describe


def _shape(shape: Any) -> str:
    if isinstance(shape, Mapping):
        return ", ".join(f"{name}: {_shape(inner[1:])}" for name, inner in shape.items())
    return " x ".join("any" if size is None else str(size) for size in shape)


def _setting(value: Any) -> str:
    if isinstance(value, int) and value >= 10_000:
        return f"{value:,}"
    return "-" if value is None else described_value(value)
