"""When a search stops by itself: Optuna's terminator says that no better trial is to be expected."""

import warnings
from collections.abc import Sequence
from typing import Literal

import optuna
from optuna.terminator import BestValueStagnationEvaluator

from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.trial import Trial

LEAST = 20
"""So many trials must have ended, before which samplers draw at random or nearly so."""

STOPPED = "it stopped by itself"
"""How the reason begins."""

STAGNANT = 30
"""The search stops when so many trials have ended since the best one, and none was better."""


def reason_to_stop(trials: Sequence[Trial], direction: Literal["maximize", "minimize"]) -> str | None:
    """Why the search should stop, in a line; `None` while it should go on.

    Optuna's bound of the regret would need PyTorch, several trainings of a candidate to know their noise, and a space
    without conditions, so what is asked is whether the best value stagnates. A trial that a pruner has ended was not
    better than those that it was compared with.

    Args:
        trials: of the study, with one objective.
        direction: which of its values are better.
    """
    ended = [trial for trial in trials if trial.completed or trial.status is Status.PRUNED]
    ended.sort(key=lambda trial: (trial.ended or 0.0, trial.number))
    completed = [trial for trial in ended if trial.completed]
    if len(ended) < LEAST or not completed:
        return None
    worst = (min if direction == "maximize" else max)(trial.objectives[0] for trial in completed)
    values = [trial.objectives[0] if trial.completed else worst for trial in ended]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is experimental, and deprecated for Optuna 6, which is not allowed yet
        evaluator = BestValueStagnationEvaluator(max_stagnation_trials=STAGNANT)
        asked = [optuna.trial.create_trial(value=value) for value in values]
        left = evaluator.evaluate(asked, optuna.study.StudyDirection[direction.upper()])
    if left > 0:
        return None
    best = (max if direction == "maximize" else min)(completed, key=lambda trial: trial.objectives[0])
    since = STAGNANT - int(left)
    return f"{STOPPED}: none of the last {since} trials was better than trial {best.number}"
