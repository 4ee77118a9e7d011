"""What a candidate may cost, checked before it is built."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_blocks.core import validation
from keras_blocks.costs.cost import Cost
from keras_blocks.tuning import latency
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.storage.trial import Trial

UNITS = {"params": "parameters", "macs": "multiply-adds", "activation_bytes": "bytes of activations"}


@dataclasses.dataclass(frozen=True)
class Budget:
    """The most that a candidate may cost.

    Args:
        max_params: parameters.
        max_macs: multiply-adds for one image.
        max_activation_bytes: bytes of all layers' outputs for one image.
        max_latency: seconds for one image, measured on the machine that trains. Candidates that are far slower, by
            layers that were timed there once, or by what others of the search took, are not built; the others are
            measured before they are trained.

    Raises:
        TypeError, ValueError: for a value out of range.

    Example:

    >>> Budget(max_params=10_000).refusal(keras_blocks.cost(keras_blocks.FireBlock(16), (8, 8, 64)))
    '11,408 parameters are more than 10,000'
    """

    max_params: int | None = None
    max_macs: int | None = None
    max_activation_bytes: int | None = None
    max_latency: float | None = None

    def __post_init__(self) -> None:
        for name in UNITS:
            if getattr(self, f"max_{name}") is not None:
                validation.integer(f"max_{name}", getattr(self, f"max_{name}"), least=1, most=2**60)
        if self.max_latency is not None:
            validation.number("max_latency", self.max_latency, least=1e-9, most=1e6)

    def refusal(self, cost: Cost, trials: Sequence[Trial] = (), seconds: float | None = None) -> str | None:
        """Why a candidate of this cost must not be built, or `None`.

        Args:
            cost: a `Cost`.
            trials: of the search so far, from which latency is predicted.
            seconds: for an image, predicted from timed layers, where that can be told.
        """
        for name, unit in UNITS.items():
            most, value = getattr(self, f"max_{name}"), getattr(cost, name)
            if most is not None and value > most:
                return f"{value:,} {unit} are more than {most:,}"
        if self.max_latency is not None:
            doubt, source = latency.LAYERS_DOUBT, "layers timed on this machine"
            if seconds is None:
                seconds, doubt, source = latency.predicted(cost, trials), latency.DOUBT, "other trials"
            if seconds is not None and seconds > doubt * self.max_latency:
                return f"{seconds:.4f} seconds for an image, predicted from {source}, are more than {self.max_latency}"
        return None


def inspected(candidate: Candidate, budget: Budget, trials: Sequence[Trial] = ()) -> dict[str, Any]:
    """Its arguments, cost and signatures, and why it must not be built, where it costs too much. Nothing is built.

    Args:
        candidate: a `Candidate`.
        budget: a `Budget`.
        trials: of the search so far, from which latency is predicted.
    """
    found = {field.name: getattr(candidate, field.name) for field in dataclasses.fields(candidate)}
    try:
        cost = candidate.cost()
    except (ValueError, TypeError) as error:  # a combination that makes no model
        return {**found, "refused": f"invalid: {' '.join(str(error).split())[:500]}"}
    found |= {name: getattr(cost, name) for name in UNITS}
    seconds = None
    if budget.max_latency is not None:
        seconds = latency.by_layers(candidate.architecture, candidate.metaparameters, trials)
    if reason := budget.refusal(cost, trials, seconds):
        return {**found, "refused": reason}
    signatures = {"signature": candidate.signature(), "architecture_signature": candidate.architecture_signature()}
    return {**found, **signatures}
