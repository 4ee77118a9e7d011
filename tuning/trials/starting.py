"""The weights that a trial begins with, where they are not its own: those of its parent, grown into its model."""

from collections.abc import Callable
from pathlib import Path

import keras

from keras_blocks.grow.growing import carry
from keras_blocks.tuning.training import shared_weights
from keras_blocks.tuning.trials.protocol import TrialRequest
from keras_blocks.tuning.trials.tasks import Job

EXACT = "exact"
"""Of a trial that begins with its parent's outputs, but for the noise on copies."""

TIES = 0.01
"""Noise on copies of channels, over their kernel's standard deviation: without it they would learn the same."""

UNREAD = "own: its parent's weights cannot be read, or are not those of its model"

MOST_LETTERS = 300


def begin(model: keras.Model, job: Job, request: TrialRequest, note: Callable[[str], object]) -> str | None:
    """Gives a trial's model the weights that the request names, as far as that can be.

    What an earlier trial of the same architecture has left is taken as it is; that of a parent is grown into the model.
    Where it cannot be, the model keeps its own.

    Args:
        model: of the trial, as it was initialized.
        job: that builds it.
        request: of the trial.
        note: function of a text, told where a file is torn.

    Returns:
        How a child begins: "exact", or "nearest: " or "own: ", and why. `None` for a trial without a parent.
    """
    if request.weights is None:
        return None
    if request.parent is None:
        shared_weights.take(model, request.weights, note=note)
        return None
    own = model.get_weights()
    try:
        return _grown(model, job, request, request.parent, note)
    except Exception as error:  # as users' models go, of any kind; a trial that can be trained is
        model.set_weights(own)  # some may have been replaced
        told = str(error) if isinstance(error, ValueError | TypeError) else repr(error)
        return f"own: {' '.join(told.split())[:MOST_LETTERS]}"


def _grown(
    model: keras.Model, job: Job, request: TrialRequest, candidate: dict[str, object], note: Callable[[str], object]
) -> str:
    assert request.weights is not None
    if not Path(request.weights).exists():
        return "own: its parent's weights are not in this run's folder"
    alike = ("architecture", "metaparameters")
    if candidate["metaparameters"] and all(candidate[name] == request.candidate[name] for name in alike):
        taken = shared_weights.take(model, request.weights, note=note)
        return EXACT if taken else UNREAD
    parent = job.parent(candidate)
    if not shared_weights.take(parent, request.weights, note=note):
        return UNREAD
    carried = carry(parent, model, TIES)
    if carried.exact:
        return EXACT
    reasons = [f"'{name}' {reason}" for name, reason in carried.notes.items()] or ["it has fewer layers"]
    return f"nearest: {reasons[0]}{f'; and {len(reasons) - 1} more' if len(reasons) > 1 else ''}"[:MOST_LETTERS]
