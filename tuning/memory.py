"""What memory there is."""

import contextlib
from pathlib import Path

import psutil


def memory_of_machine() -> int:
    """Bytes that processes here may take: the machine's, or the container's where that is less."""
    limits: list[int] = [psutil.virtual_memory().total]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    return min(limits)


def check_fits(what: str, needed: int, fix: str) -> None:
    """Refuses what would not fit into the memory, before it is read.

    Args:
        what: is to be read, at the beginning of the message.
        needed: bytes.
        fix: what the user can do.

    Raises:
        ValueError: with both sizes, where the machine has less.
    """
    there = memory_of_machine()
    if needed > there:
        raise ValueError(f"{what} would take {in_units(needed)} of memory, of {in_units(there)} that are here. {fix}")


def in_units(size: float) -> str:
    """Bytes in words."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"
