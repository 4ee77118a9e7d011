"""One seed given by the user, and from it one for each thing that is drawn."""

import numpy as np

SPLIT, CANDIDATES, TRIAL, FINAL = range(4)
"""What a seed is for. Numbers are part of what makes a run repeatable: never renumber."""


def derived_seed(seed: int, purpose: int, number: int = 0) -> int:
    """A seed for one purpose, unrelated to those of other purposes, numbers and seeds.

    Args:
        seed: the user's, from 0.
        purpose: `SPLIT`, `CANDIDATES`, `TRIAL` or `FINAL`.
        number: of the trial.

    Returns:
        An integer from 1 to 2**31 - 1: KerasTuner takes 0 for "no seed".

    Example:

    >>> derived_seed(0, TRIAL, 3) == derived_seed(0, TRIAL, 3) != derived_seed(1, TRIAL, 3)
    True
    """
    drawn = np.random.SeedSequence([seed, purpose, number]).generate_state(1)[0]
    return int(drawn) % (2**31 - 1) + 1
