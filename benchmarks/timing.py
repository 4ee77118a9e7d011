"""Interleaved timings: the machine is noisy, so only ratios within one run count, and only their medians."""

import os
import pathlib
import platform
import statistics
import time

THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def interleaved(functions: dict, rounds: int, clock=time.perf_counter, ahead: int = 0) -> dict:
    """Name -> median seconds of each function, all of them once a round, after one round that is not counted.

    `ahead` calls of each function that are not counted come before each that is: some runtimes' threads go on for a
    while after a call, looking for work, and take time of whatever comes next.
    """
    seconds = {name: [] for name in functions}
    for round_number in range(rounds + 1):
        for name, function in functions.items():
            for _ in range(ahead):
                function()
            start = clock()
            function()
            if round_number:
                seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def use_threads(count: int) -> None:
    """How many threads libraries compute with that are imported after this; JAX takes as many as it may run on."""
    os.environ.update(dict.fromkeys(THREADS, str(count)))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def memory(record: str) -> float:
    """MB that the process holds ("VmRSS"), or held at most ("VmHWM")."""
    lines = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return int(lines[record].split()[0]) / 1024


def machine() -> dict:
    """What figures depend on: processor, cores, memory, load, versions."""
    info = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    model = next((line.split(":", 1)[1].strip() for line in info.splitlines() if "model name" in line), "")
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "memory": f"{gigabytes:.0f} GiB",
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
