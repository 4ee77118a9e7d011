"""Which trials give no sign of life any more, as one process hears it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

RESOLUTION = 1
"""Seconds: SQLite writes signs of life by whole ones, so that two can look like one."""


class Watch:
    """Tells from their signs of life which trials have been silent for too long.

    When a sign was given is written by a clock that somebody may set, and by others' clocks: it is only looked at
    whether it is another than before. How long it has been the same is told by this process' own clock, from when it
    was first heard here.

    Args:
        grace: seconds of silence that are allowed.
        clock: gives seconds, and never jumps.
    """

    def __init__(self, grace: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._grace, self._clock = grace, clock
        self._heard: dict[int, tuple[Any, float]] = {}

    def silent(self, signs: Mapping[int, Any]) -> set[int]:
        """The trials that are silent for too long.

        Args:
            signs: trial -> what tells its last sign of life from others; of all trials that run now.
        """
        now, heard = self._clock(), self._heard
        self._heard = {
            trial: heard[trial] if trial in heard and heard[trial][0] == sign else (sign, now)
            for trial, sign in signs.items()
        }
        return {trial for trial, (_, since) in self._heard.items() if now - since > self._grace + RESOLUTION}
