"""How much each hyperparameter mattered, by PED-ANOVA."""

import warnings

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from keras_blocks.tuning.storage.store import quiet_optuna

FEWEST_TRIALS = 10
"""Importances of fewer completed trials would be noise."""

BETTER, FEWEST_BETTER = 0.1, 10
"""What sets this share of the trials apart counts, or so many trials where those are more, up to half of them."""


class TooFewTrials(ValueError):
    """There are no importances, and why."""


def importances(study: optuna.Study, objective: int) -> dict[str, float]:
    """Each drawn value's share in what makes the better trials better (Watanabe et al. 2023, PED-ANOVA).

    Conditional ones are assessed over the trials in which they were drawn (conditional PED-ANOVA, 2026).

    Args:
        study: of Optuna.
        objective: index of the objective that it is about.

    Returns:
        Optuna's names and shares that sum to 1, the largest first. Empty where nothing could have mattered.

    Raises:
        TooFewTrials: for fewer than 10 completed trials, or such that are all alike.
    """
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(completed) < FEWEST_TRIALS:
        raise TooFewTrials(f"Importances need {FEWEST_TRIALS} completed trials; there are {len(completed)}")
    if len({trial.values[objective] for trial in completed}) < 2:
        raise TooFewTrials("All trials came out alike, so that nothing made a difference")
    share = min(0.5, max(BETTER, FEWEST_BETTER / len(completed)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Some regimes for parameter")  # drawn in one trial only
        shares = get_param_importances(
            _copy(study, completed, objective),
            evaluator=PedAnovaImportanceEvaluator(target_quantile=share),
            normalize=True,
        )
    return {name: float(share) for name, share in shares.items()}


def _copy(study: optuna.Study, completed: list[FrozenTrial], objective: int) -> optuna.Study:
    """A study of one objective in memory, so that nothing is asked of the storage again."""
    with quiet_optuna():
        copy = optuna.create_study(direction=study.directions[objective])
    copy.add_trials(
        [
            optuna.trial.create_trial(
                params=trial.params, distributions=trial.distributions, value=trial.values[objective]
            )
            for trial in completed
        ]
    )
    return copy
