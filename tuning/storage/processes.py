"""Which process something was, and whether it is still there."""

import contextlib
import os
from pathlib import Path
from typing import Any

import psutil

from keras_blocks.tuning.files import this_machine


def this_process() -> dict[str, Any]:
    """What tells this process from all others, on all machines, as plain data."""
    return {"host": this_machine(), "pid": os.getpid(), "since": _began(os.getpid())}


def is_gone(owner: dict[str, Any]) -> bool:
    """Whether a process that `this_process` described was one of this machine, and has ended."""
    if owner.get("host") != this_machine():
        return False
    try:
        return bool(abs(_began(owner["pid"]) - owner["since"]) > 1)
    except psutil.NoSuchProcess:
        return True


def _began(pid: int) -> float:
    """When a process began: seconds after the machine's start, where the system tells these.

    psutil adds the machine's start by the clock, which moves when somebody sets that.
    """
    process = psutil.Process(pid)
    with contextlib.suppress(OSError):
        told = Path("/proc", str(pid), "stat").read_text(errors="replace")
        return int(told.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")  # "starttime", the 22nd
    return process.create_time()
