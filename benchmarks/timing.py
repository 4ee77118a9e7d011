"""Interleaved timings: the machine is noisy, so only ratios within one run count, and only their medians."""

import statistics
import time


def interleaved(functions: dict, rounds: int, clock=time.perf_counter) -> dict:
    """Name -> median seconds of each function, all of them once a round, after one round that is not counted."""
    seconds = {name: [] for name in functions}
    for round_number in range(rounds + 1):
        for name, function in functions.items():
            start = clock()
            function()
            if round_number:
                seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
