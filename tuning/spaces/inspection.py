"""What a candidate comes to, as plain data that is kept with its trial."""

from keras_blocks.tuning.spaces.budget import Budget
from keras_blocks.tuning.spaces.candidate import Candidate


def inspected(candidate: Candidate, budget: Budget, trials=()) -> dict:
    """Its arguments, cost and signatures, and why it must not be built, where it costs too much. Nothing is built.

    Args:
        candidate: a `Candidate`.
        budget: a `Budget`.
        trials: of the search so far, from which latency is predicted.
    """
    found = {
        "architecture": candidate.architecture,
        "metaparameters": candidate.metaparameters,
        "hyperparameters": candidate.hyperparameters,
    }
    try:
        cost = candidate.cost()
    except (ValueError, TypeError) as error:  # a combination that makes no model
        return {**found, "refused": f"invalid: {' '.join(str(error).split())[:500]}"}
    found |= {
        "params": cost.params,
        "macs": cost.macs,
        "activation_bytes": cost.activation_bytes,
    }
    if reason := budget.refusal(cost, trials):
        return {**found, "refused": reason}
    return {
        **found,
        "signature": candidate.signature(),
        "architecture_signature": candidate.architecture_signature(),
    }
