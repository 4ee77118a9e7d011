"""Which process something was, and whether it is still there."""

from typing import Any

import psutil

from keras_blocks.tuning.files import this_machine


def this_process() -> dict[str, Any]:
    """What tells this process from all others, on all machines, as plain data."""
    process = psutil.Process()
    return {"host": this_machine(), "pid": process.pid, "since": process.create_time()}


def is_gone(owner: dict[str, Any]) -> bool:
    """Whether a process that `this_process` described was one of this machine, and has ended."""
    if owner.get("host") != this_machine():
        return False
    try:
        return bool(abs(psutil.Process(owner["pid"]).create_time() - owner["since"]) > 1)
    except psutil.NoSuchProcess:
        return True
