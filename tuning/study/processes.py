"""Which process something was, whether it is still there, and what memory those of this machine may take."""

import contextlib
import functools
import socket
from pathlib import Path
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


def memory_of_machine() -> int:
    """Bytes that processes here may take: the machine's, or the container's where that is less."""
    limits: list[int] = [psutil.virtual_memory().total]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    return min(limits)
