"""The report of a search or of a training: one HTML page with everything in it, which asks nothing of the network."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_blocks.tuning.report import sections
from keras_blocks.tuning.report.descriptions import duration
from keras_blocks.tuning.report.page import Card, write_page
from keras_blocks.tuning.study.objectives import Objective, measure, measured, ranking
from keras_blocks.tuning.study.status import Status
from keras_blocks.tuning.study.trial import Trial, architectures


def write_report(
    trials: Sequence[Trial],
    objectives: Sequence[Objective | tuple[str, str]],
    path: str | Path,
    *,
    title: str,
    notes: Mapping[str, Any] | None = None,
    study: Any = None,
    result: Mapping[str, Any] | None = None,
) -> Path:
    """Writes what a search found as a single HTML page, with plotly's figures in it.

    Args:
        trials: list of `Trial`, of any status.
        objectives: the study's, the one that models are chosen by first: each an `Objective`, or its name and
            "maximize" or "minimize".
        path: of the file.
        title: of the page.
        notes: name -> value of what the reader should know: budget, settings, data. A value may be a dict, too.
        study: Optuna's, which the trials are of, for importances.
        result: what result.json says of the model that is kept, where it is trained.

    Returns:
        The path.

    Raises:
        ValueError: without objectives.

    Example:

    >>> from keras_blocks.tuning.study.trial import Trial
    >>> trials = [Trial(0, "failed", {"filters": 8}, error="OutOfMemory")]
    >>> write_report(trials, [("val_accuracy", "maximize")], "report.html", title="SqueezeNets on digits").name
    'report.html'
    """
    if not objectives:
        raise ValueError("`objectives` must have one `Objective` at least; received none.")
    judged = [one if isinstance(one, Objective) else _objective(*one) for one in objectives]
    trials = sorted(trials, key=lambda trial: trial.number)
    ranked = ranking(trials, judged)
    best = ranked[0] if ranked else None
    shares, why_none = sections.shares_of(study, judged)
    shown = {
        "history": sections.history(trials, judged),
        "trade-off": sections.trade_off(trials, judged),
        "best": sections.best(best, judged),
        **({"training": sections.training(result)} if result and "history" in result else {}),
        "importance": sections.importance(shares, why_none),
        "drawn": sections.drawn(trials, judged, shares),
        "curves": sections.curves(trials, judged),
        "outcomes": sections.outcomes(trials),
        "trials": sections.trials(trials, judged, best),
        "settings": sections.settings(notes or {}),
    }
    return write_page(Path(path), title=title, cards=_cards(trials, judged, ranked), sections=shown)


def write_training_report(
    result: Mapping[str, Any], path: str | Path, *, title: str, notes: Mapping[str, Any] | None = None
) -> Path:
    """Writes what came of the training of one model as an HTML page.

    Args:
        result: what result.json says.
        path, title, notes: as of `write_report`.

    Returns:
        The path.
    """
    shown = {
        "training": sections.training(result),
        "model": sections.model(result["architecture"], result["metaparameters"], result["hyperparameters"]),
        "settings": sections.settings(notes or {}),
    }
    accuracy = measure("val_accuracy")
    tested = f"{result['test_correct']:,} of {result['test_images']:,} images"
    spent = f"{measure('macs').text(shown['model']['macs'])} multiply-adds"
    cards = [
        Card("test accuracy", accuracy.text(result["test_accuracy"]), tested, best=True),
        Card("validation accuracy", accuracy.text(result["val_accuracy"]), f"epoch {result['kept_epoch']}, kept"),
        Card("parameters", measure("params").text(result["params"]), spent),
        Card("time", duration(result["seconds"]), f"{result['epochs']:,} epochs"),
    ]
    return write_page(Path(path), title=title, cards=cards, sections=shown)


def _objective(name: str, direction: Any) -> Objective:
    return dataclasses.replace(measure(name), direction=direction)


def _cards(trials: Sequence[Trial], objectives: Sequence[Objective], ranked: Sequence[Trial]) -> list[Card]:
    counts = collections.Counter(trial.status for trial in trials)
    counted = [trial for trial in trials if trial.counted]
    others = [f"{counts[status]} {status}" for status in Status if status is not Status.COMPLETED and counts[status]]
    cards = []
    for one in objectives:
        name = f"{'highest' if one.direction == 'maximize' else 'lowest'} {one.label}"
        # Of equal ones the one that is ranked first.
        values = [(one.loss(value := measured(trial, one.name, objectives)), value, trial) for trial in ranked]
        _, value, first = min(values, key=lambda item: item[0], default=(0, None, None))
        about = (
            f"trial {first.number}, {first.architecture_label or 'no architecture'}" if first else "no trial completed"
        )
        cards.append(Card(name, one.text(value), about, best=True))
    if ranked:
        spent = f"{measure('macs').text(ranked[0].macs)} multiply-adds"
        cards.append(Card(f"parameters of trial {ranked[0].number}", measure("params").text(ranked[0].params), spent))
    epochs = sum(trial.epochs for trial in trials)
    return [
        *cards,
        Card("trials completed", f"{counts[Status.COMPLETED]} of {len(counted)}", ", ".join(others) or "no others"),
        Card("architectures", f"{architectures(counted)}", "different ones"),
        Card("time in trials", duration(sum(trial.seconds for trial in trials)), f"{epochs:,} epochs"),
    ]
