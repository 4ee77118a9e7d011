"""Who is whose child among the trials of a search that breeds: as rows of a tree, and as the best one's ancestors."""

from collections.abc import Sequence
from typing import NamedTuple

from keras_blocks.tuning.storage.trial import Trial


class Member(NamedTuple):
    """A trial in its family's tree, and how many ancestors it has."""

    trial: Trial
    depth: int


def members(trials: Sequence[Trial]) -> list[Member]:
    """All trials that count, each before its children, which come before its next sibling; empty where none has one.

    Args:
        trials: `Trial`s. A child whose parent is not among them begins a family of its own.

    Example:

    >>> family = [Trial(0, "completed", {}), Trial(1, "failed", {}), Trial(2, "completed", {}, parent=0)]
    >>> [(member.trial.number, member.depth) for member in members(family)]
    [(0, 0), (2, 1), (1, 0)]
    """
    counted = sorted((trial for trial in trials if trial.counted), key=lambda trial: trial.number)
    known = {trial.number for trial in counted}
    children: dict[int | None, list[Trial]] = {}
    for trial in counted:
        children.setdefault(trial.parent if trial.parent in known else None, []).append(trial)
    if not any(trial.parent is not None for trial in counted):
        return []
    found, waiting = [], [Member(trial, 0) for trial in reversed(children.get(None, []))]
    while waiting:  # a parent's number is below its child's, so this ends
        member = waiting.pop()
        found.append(member)
        waiting += [Member(child, member.depth + 1) for child in reversed(children.get(member.trial.number, []))]
    return found


def descent(trial: Trial | None, trials: Sequence[Trial]) -> list[Trial]:
    """A trial's ancestors from the first on, and itself; empty where it has none.

    Args:
        trial: a `Trial`, or `None`.
        trials: all of the search.
    """
    known = {other.number: other for other in trials}
    line = [] if trial is None else [trial]
    while line and line[-1].parent in known:
        line.append(known[line[-1].parent])
    return line[::-1] if len(line) > 1 else []
