"""Which process something was, whether it is still there, and what memory those of this machine may take."""

import functools
import socket
from typing import Any

import psutil


def this_process() -> dict[str, Any]:
    """What tells this process from all others, on all machines, as plain data."""
    process = psutil.Process()
    return {"host": _host(), "pid": process.pid, "since": process.create_time()}


@functools.cache
def _host() -> str:
    """This machine since it was started."""
    return f"{socket.gethostname()} {int(psutil.boot_time())}"


def is_gone(owner: dict[str, Any]) -> bool:
    """Whether a process that `this_process` described was one of this machine, and has ended."""
    if owner.get("host") != _host():
        return False
    try:
        return bool(abs(psutil.Process(owner["pid"]).create_time() - owner["since"]) > 1)
    except psutil.NoSuchProcess:
        return True
