"""The report of a search: one HTML page with everything in it, which asks nothing of the network."""

import collections
import re
from collections.abc import Mapping
from pathlib import Path

from keras_blocks.core.registration import class_named
from keras_blocks.costs.cost import cost_rows
from keras_blocks.models.architecture import Architecture
from keras_blocks.tuning.files import replacing
from keras_blocks.tuning.report import figures
from keras_blocks.tuning.report.descriptions import described, differing
from keras_blocks.tuning.report.page import Page, escaped, facts, none, sortable, table, tabs
from keras_blocks.tuning.study.importances import TooFewTrials, importances
from keras_blocks.tuning.study.objectives import front, measure, measured, ranking
from keras_blocks.tuning.study.status import Status
from keras_blocks.tuning.study.trial import architectures

METRICS = ("val_accuracy", "val_loss", "accuracy", "loss")

MOST_NUMBERS = 12
"""Of trials that are listed for a reason."""


def write_report(trials, objectives, path, *, title: str, notes: Mapping | None = None, study=None) -> Path:
    """Writes what a search found as a single HTML page, with plotly's figures in it.

    Args:
        trials: list of `Trial`, of any status.
        objectives: the study's `Objective`s, the one that models are chosen by first.
        path: of the file.
        title: of the page.
        notes: name -> value of what the reader should know: budget, settings, data. A value may be a dict, too.
        study: Optuna's, which the trials are of, for importances.

    Returns:
        The path.

    Raises:
        ValueError: without objectives.

    Example:

    >>> from keras_blocks.tuning.study.objectives import OBJECTIVES
    >>> from keras_blocks.tuning.study.trial import Trial
    >>> trials = [Trial(0, "failed", {"filters": 8}, error="OutOfMemory")]
    >>> write_report(trials, [OBJECTIVES["val_accuracy"]], "report.html", title="SqueezeNets on digits").name
    'report.html'
    """
    trials = sorted(trials, key=lambda trial: trial.number)
    if not objectives:
        raise ValueError("`objectives` must have one `Objective` at least; received none.")
    page = Page()
    best = next(iter(ranking(trials, objectives)), None)
    shares, why_none = _shares(study, objectives)
    sections = [
        ("history", "Objective", _history(page, trials, objectives)),
        ("trade-off", "Accuracy against cost", _trade_offs(page, trials, objectives)),
        ("best", "The best architecture", _best(best, objectives)),
        ("importance", "What mattered", _importances(page, shares, why_none)),
        ("drawn", "What was drawn", _drawn(page, trials, objectives, shares)),
        ("curves", "Learning curves", _curves(page, trials, objectives)),
        ("outcomes", "What became of the trials", _outcomes(trials)),
        ("trials", "Trials", _trials(trials, objectives, best)),
        ("settings", "Budget and settings", _notes(notes or {})),
    ]
    path = Path(path)
    with replacing(path) as part:
        part.write_text(page.whole(title, _cards(trials, objectives, best), sections), encoding="utf-8", newline="\n")
    return path


def _cards(trials, objectives, best) -> str:
    counts = collections.Counter(trial.status for trial in trials)
    counted = sum(trial.counted for trial in trials)
    seconds = sum(trial.seconds for trial in trials)
    epochs = sum(trial.epochs for trial in trials)
    others = [f"{counts[status]} {status}" for status in Status if status is not Status.COMPLETED and counts[status]]
    shown = []
    ranked = ranking(trials, objectives)
    for objective in objectives:
        losses = [objective.loss(measured(trial, objective.name, objectives)) for trial in ranked]
        first = ranked[losses.index(min(losses))] if ranked else None  # of equal ones the one that is ranked first
        value = measured(first, objective.name, objectives) if ranked else None
        about = (
            f"trial {first.number}, {first.architecture_label or 'no architecture'}" if ranked else "no trial completed"
        )
        extreme = "highest" if objective.direction == "maximize" else "lowest"
        shown.append(("best", f"{extreme} {objective.label}", objective.text(value), about))
    if best is not None:
        spent = f"{measure('macs').text(best.macs)} multiply-adds"
        shown.append(("", f"parameters of trial {best.number}", measure("params").text(best.params), spent))
    shown += [
        ("", "trials completed", f"{counts[Status.COMPLETED]} of {counted}", ", ".join(others) or "no others"),
        ("", "architectures", f"{architectures([trial for trial in trials if trial.counted])}", "different ones"),
        ("", "time in trials", _duration(seconds), f"{epochs:,} epochs"),
    ]
    return f'<dl class="cards">{"".join(_card(*card) for card in shown)}</dl>'


def _card(kind, words, value, about) -> str:
    inside = f"<dt>{escaped(words)}</dt><dd>{escaped(value)}<small>{escaped(about)}</small></dd>"
    return f'<div class="{kind}">{inside}</div>'


def _history(page, trials, objectives) -> str:
    if not trials:
        return none("There are no trials yet.")
    panels = []
    for objective in objectives:
        values = [value for trial in trials if (value := measured(trial, objective.name, objectives)) is not None]
        best = objective.text(objective.best(values))
        words = f"{objective.label} of each trial in the order of the search, and the best so far: {best}"
        figure = figures.history(trials, objectives, objective.name)
        panels.append((objective.label, page.plot(f"history-{len(panels)}", figure, words)))
    return tabs("history", "Objectives", panels) + (
        '<p class="soft">Each trial in the order in which it was drawn. Trials that failed or still run have no value; '
        "they are marked at the foot. Click a trial to see it in the table.</p>"
    )


def _trade_offs(page, trials, objectives) -> str:
    name = objectives[0].name
    costs = [
        cost
        for cost in ("macs", "params", "latency", "activation_bytes")
        if cost != name
        and any(measured(trial, cost, objectives) is not None for trial in trials)
        and (cost != "activation_bytes" or cost in [objective.name for objective in objectives])
    ]
    shown = [trial for trial in trials if measured(trial, name, objectives) is not None]
    if not shown or not costs:
        return none("No trial completed, so there is nothing to compare.")
    plots = "".join(
        page.plot(
            f"trade-off-{cost}",
            figures.trade_off(trials, objectives, name, cost),
            f"{objectives[0].label} of each trial against its {measure(cost).label}, with the Pareto front",
        )
        for cost in costs
    )
    over = objectives if len(objectives) > 1 else [*objectives, measure(costs[0])]
    best = list(reversed(front(trials, over, given=objectives)))
    measures = list(dict.fromkeys([*(one.name for one in objectives), *costs]))
    names = differing([trial.metaparameters for trial in best])
    rows = [
        [
            ("number", f"{trial.number}"),
            *(("number", measure(one).text(measured(trial, one, objectives))) for one in measures),
            ("about", escaped(_summary(trial, names, best))),
        ]
        for trial in best
    ]
    heads = ["trial", *(measure(one).label for one in measures), "how"]
    about = " and ".join(one.label for one in over)
    return (
        f'<p class="soft">A model on the front is one that no other beats in both.</p><div class="pair">{plots}</div>'
        f"<h3>On the Pareto front of {escaped(about)}</h3>" + table(heads, rows, caption=None)
    )


def _best(best, objectives) -> str:
    if best is None:
        return none("No trial completed, so there is no best one.")
    about = {
        "trial": str(best.number),
        **{one.label: one.text(measured(best, one.name, objectives)) for one in objectives},
        "architecture": best.architecture_label or "-",
        "metaparameters": described(best.metaparameters),
        "hyperparameters": described(best.hyperparameters),
    }
    return facts(about) + _blocks(best)


def _blocks(trial) -> str:
    """A row for each block, counted with nothing built."""
    try:
        cls = class_named("architecture", trial.architecture or "", Architecture)
    except ValueError:
        return none(f"The class {trial.architecture!r} is not imported here, so its blocks are not listed.")
    try:
        rows = cost_rows(cls, **trial.metaparameters)
    except (TypeError, ValueError) as error:
        return none(f"Its blocks cannot be listed: {error}")
    total = rows[0].cost
    for row in rows[1:]:
        total += row.cost
    cells = [
        [
            ("name", escaped(row.name)),
            ("kind", escaped(row.kind)),
            ("number shape", escaped(_shape(row.shape))),
            ("number share", _share(row.cost.params, total.params)),
            ("number share", _share(row.cost.macs, total.macs)),
        ]
        for row in rows
    ]
    foot = ["all", "", "", f"{total.params:,}", f"{total.macs:,}"]
    heads = ["block", "kind", "output shape", "parameters", "multiply-adds"]
    numbers = ("output shape", "parameters", "multiply-adds")
    return table(heads, cells, numbers=numbers, foot=foot, caption="In the order of the forward pass, for one image")


def _shares(study, objectives) -> tuple[dict, str]:
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


def _importances(page, shares, why_none) -> str:
    if not shares:
        return none(why_none)
    first = next(iter(shares.values()))
    words = "Importance of what was drawn: " + ", ".join(f"{name} {100 * part:.0f} %" for name, part in first.items())
    figure = figures.importance(shares)
    bars = len(figure.data[0].y)
    figure.update_layout(height=max(220, 90 + bars * (20 + 14 * len(shares))))
    more = len(set().union(*shares.values())) - bars
    return page.plot("importances", figure, words) + (
        '<p class="soft">Shares in what sets the best tenth of the trials, or the best ten, apart, by PED-ANOVA '
        "(Watanabe et al. 2023). Values that are drawn in some trials only are judged among those. With few trials "
        "they are rough." + (f" The {more} least important are left out." if more > 0 else "") + "</p>"
    )


def _drawn(page, trials, objectives, shares) -> str:
    figure = figures.parallel(trials, objectives, list(next(iter(shares.values()), {})))
    if figure is None:
        return none("This needs two completed trials that differ.")
    axes = figure.layout.meta["axes"]
    left = f" Of {axes} values that differ, {figures.MOST_AXES} are shown." if axes > figures.MOST_AXES else ""
    shown = len(figure.data[0].dimensions)
    words = f"A line for each completed trial through the values that were drawn for it, {shown} axes"
    return page.plot("parallel", figure, words, tall=True, least=77 * shown + 60) + (
        '<p class="soft">A line for each completed trial, the better the redder. Drag along an axis to keep the lines '
        f"that pass there, click the axis to let go; drag a name to move its axis. At “-” it was not drawn.{left}</p>"
    )


def _curves(page, trials, objectives) -> str:
    names = {name for trial in trials for name in trial.curves}
    panels = []
    for metric in [*(one for one in METRICS if one in names), *sorted(names - set(METRICS))]:
        figure = figures.curves(trials, objectives, metric)
        if figure is not None:
            words = f"{measure(metric).label} of the trials after each epoch"
            panels.append((measure(metric).label, page.plot(f"curves-{len(panels)}", figure, words, tall=True)))
    return tabs("curves", "Metrics", panels) if panels else none("No trial was trained for an epoch.")


def _outcomes(trials) -> str:
    counts = collections.Counter(trial.status for trial in trials)
    rows = [
        [(f"status {status}", status), ("number", f"{counts[status]}"), ("", escaped(status.meaning))]
        for status in Status
        if counts[status] or status in (Status.COMPLETED, Status.FAILED)
    ]
    found = table(["status", "trials", "meaning"], rows, numbers=("trials",), caption=None)
    reasons = collections.defaultdict(list)
    for trial in trials:
        if trial.error:
            # Reasons that differ in their numbers alone are one.
            reasons[trial.status, re.sub(r"\d[\d,.]*", "#", trial.error)].append(trial)
    if not reasons:
        return found
    rows = []
    for (status, _), those in sorted(reasons.items(), key=lambda item: (item[0][0], -len(item[1]))):
        numbers = ", ".join(str(trial.number) for trial in those[:MOST_NUMBERS])
        numbers += f" and {len(those) - MOST_NUMBERS} more" if len(those) > MOST_NUMBERS else ""
        same = len({trial.error for trial in those}) == 1
        rows.append(
            [
                (f"status {status}", status),
                ("number", f"{len(those)}"),
                ("about", escaped(("" if same else "such as: ") + those[-1].error)),
                ("", numbers),
            ]
        )
    heads = ["status", "trials", "reason", "numbers"]
    return found + "<h3>Reasons</h3>" + table(heads, rows, numbers=("trials",), caption=None)


def _trials(trials, objectives, best) -> str:
    if not trials:
        return none("There are no trials yet.")
    measures = [*(one.name for one in objectives), "val_accuracy", "val_loss", "params", "macs", "latency"]
    measures = [
        name
        for name in dict.fromkeys(measures)
        if any(measured(trial, name, objectives) is not None for trial in trials) or name in ("params", "macs")
    ]
    several = len({trial.architecture for trial in trials}) > 1
    names = differing([trial.metaparameters for trial in trials])
    heads = ["trial", "status", *(measure(name).label for name in measures), "epochs", "seconds", "how"]
    numbers = [head for head in heads if head not in ("status", "how")]
    rows = "".join(_trial(trial, trial is best, measures, objectives, names, several) for trial in trials)
    there = [status for status in Status if any(trial.status == status for trial in trials)]
    top = "".join(sortable(head, head in numbers, head == "trial") for head in heads)
    chips = "".join(f'<label><input type="checkbox" value="{status}" checked> {status}</label>' for status in there)
    return f"""<fieldset class="chips"><legend class="soft">Show</legend>{chips}
<input type="search" id="trials-search" aria-label="Words that a row must have" placeholder="words in the row">
<span class="soft" id="trials-count" role="status"></span></fieldset>
<div class="scroll" tabindex="0" role="region" aria-label="Table of trials">
<table id="trials-table"><thead><tr>{top}</tr></thead>
<tbody>{rows}</tbody></table></div>"""


def _trial(trial, is_best, measures, objectives, names, several) -> str:
    cells = []
    for name in measures:
        # Sizes are known of every candidate; the rest, of those that completed.
        value = getattr(trial, name) if name in ("params", "macs") else measured(trial, name, objectives)
        shown = "" if value is None else measure(name).text(value)
        cells.append(f'<td class="number" data-value="{"" if value is None else repr(value)}">{shown}</td>')
    how = described({name: trial.metaparameters[name] for name in names if name in trial.metaparameters})
    parts = [trial.architecture_label if several else "", how, described(trial.hyperparameters)]
    about = escaped("; ".join(part for part in parts if part) or described(trial.values))
    if trial.duplicate_of is not None:
        about = f"the same as trial {trial.duplicate_of}; {about}"
    error = f'<div class="error">{escaped(trial.error)}</div>' if trial.error else ""
    mark = " ★" if is_best else ""
    return (
        f'<tr id="trial-{trial.number}" data-status="{trial.status}"{" class=best" if is_best else ""}>'
        f'<th scope="row" class="number" data-value="{trial.number}">{trial.number}'
        f"{f'<span title=best>{mark}</span>' if mark else ''}</th>"
        f'<td class="status {trial.status}">{trial.status}</td>{"".join(cells)}'
        f'<td class="number" data-value="{trial.epochs}">{trial.epochs}</td>'
        f'<td class="number" data-value="{trial.seconds}">{trial.seconds:.1f}</td>'
        f'<td class="about">{error}{about}</td></tr>'
    )


def _notes(notes) -> str:
    if not notes:
        return none("None were given.")
    flat = {}
    for name, value in notes.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}: {inner}": _setting(item) for inner, item in value.items()})
        else:
            flat[name] = _setting(value)
    return facts(flat)


def _share(part, whole) -> str:
    width = 100 * part / whole if whole else 0
    return f'<i style="width:{width:.1f}%"></i><span>{part:,}</span>'


def _summary(trial, names, those) -> str:
    how = described({name: trial.metaparameters[name] for name in names if name in trial.metaparameters})
    several = len({one.architecture for one in those}) > 1
    return "; ".join(part for part in (trial.architecture_label if several else "", how) if part)


def _shape(shape) -> str:
    if isinstance(shape, Mapping):
        return ", ".join(f"{name}: {_shape(inner[1:])}" for name, inner in shape.items())
    return " x ".join("any" if size is None else str(size) for size in shape)


def _duration(seconds) -> str:
    """Example: 75 -> '1 min 15 s'."""
    seconds = round(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // smaller} {name}"
    return f"{seconds} s"


def _setting(value) -> str:
    """A setting's value."""
    if isinstance(value, int) and value >= 10_000:
        return f"{value:,}"
    return "-" if value is None else described({"": value}).strip()
