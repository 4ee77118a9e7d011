"""The report of a search or of a training: one HTML page with everything in it, which asks nothing of the network."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_blocks.tuning.objectives import Objective, measure, measured, ranking
from keras_blocks.tuning.report import detector_sections, sections
from keras_blocks.tuning.report.page import Data, write_page
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.trial import Trial, architectures


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

    >>> from keras_blocks.tuning.storage.trial import Trial
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
        **({"family": family} if (family := sections.family(trials, judged, best)) else {}),
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
    return write_page(Path(path), title=title, cards={"result": result}, sections=shown)


def write_detector_report(
    result: Mapping[str, Any],
    pictures: Sequence[Path],
    path: str | Path,
    *,
    title: str,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Writes what came of the training of a detector as an HTML page.

    Args:
        result: what result.json says.
        pictures: files of what was found in some images, which go into the page.
        path, title, notes: as of `write_report`.

    Returns:
        The path.
    """
    shown = {
        "losses": detector_sections.losses(result),
        "coco": detector_sections.coco(result),
        "detections": detector_sections.detections(result, pictures),
        "settings": sections.settings(notes or {}),
    }
    return write_page(Path(path), title=title, cards={"result": result}, sections=shown)


def _objective(name: str, direction: Any) -> Objective:
    return dataclasses.replace(measure(name), direction=direction)


def _cards(trials: Sequence[Trial], objectives: Sequence[Objective], ranked: Sequence[Trial]) -> Data:
    counted = [trial for trial in trials if trial.counted]
    counts = collections.Counter(trial.status for trial in trials)
    firsts = []
    for one in objectives:
        # Of equal ones the one that is ranked first.
        values = [(trial, measured(trial, one.name, objectives)) for trial in ranked]
        firsts.append((one, *min(values, key=lambda item: one.loss(item[1]), default=(None, None))))
    return {
        "firsts": firsts,
        "best": ranked[0] if ranked else None,
        "completed": counts.pop(Status.COMPLETED, 0),
        "counted": len(counted),
        "others": [f"{counts[status]} {status}" for status in Status if counts[status]],
        "architectures": architectures(counted),
        "seconds": sum(trial.seconds for trial in trials),
        "epochs": sum(trial.epochs for trial in trials),
    }
