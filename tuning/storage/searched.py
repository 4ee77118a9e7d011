"""How long a search took, whose sessions follow one another or run side by side, on machines whose clocks differ."""

import math
from collections.abc import Iterable, Mapping, Sequence


def span_of(session: str, seconds: float, spans: Mapping[str, Sequence[float]]) -> list[float]:
    """From when to when a session searches, on a line of time of the search's own.

    It begins where the others had come to when it told the first time: no clock of the day is asked, which may jump, or
    be another on each machine. In versions before 0.2 one was, and what they recorded is further on.

    Args:
        session: its name.
        seconds: since it began, where it first tells that it does.
        spans: of all sessions, as they were last told.
    """
    begin = spans[session][0] if session in spans else max((end for _, end in spans.values()), default=0.0)
    return [begin, round(begin + seconds, 3)]


def covered(spans: Iterable[Sequence[float]]) -> float:
    """The length of the union of spans.

    Example:

    >>> covered([[0.0, 10.0], [5.0, 12.0], [20.0, 21.0]])
    13.0
    """
    total, until = 0.0, -math.inf
    for begin, end in sorted(map(tuple, spans)):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
