"""Division of labelled examples into two parts."""

import numpy as np


def stratified(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws a share of each class.

    Args:
        labels: array of labels; each class must occur twice or more.
        share: of each class that is drawn; at least one example, and never all.
        seed: of the draw.

    Returns:
        (indices of the rest, indices drawn), each in increasing order.

    Example:

    >>> rest, drawn = stratified(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25, seed=1)
    >>> len(rest), len(drawn)
    (6, 2)
    """
    random = np.random.default_rng(seed)
    rest, drawn = [], []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        if len(members) < 2:
            raise ValueError(f"`labels` must hold each class twice or more; received label {label} once.")
        count = min(max(1, round(share * len(members))), len(members) - 1)
        drawn.append(members[:count])
        rest.append(members[count:])
    return np.sort(np.concatenate(rest)), np.sort(np.concatenate(drawn))
