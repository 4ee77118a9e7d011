"""A disk that is full, of whatever library the error comes."""

import errno

NUMBERS = (errno.ENOSPC, errno.EDQUOT)
WORDS = ("disk is full", "No space left on device")
"""SQLite's, and those of libraries that give no number."""


class DiskFull(RuntimeError):
    """Nothing can be written any more."""


def is_full(error) -> bool:
    """Whether an error, or one that it came from, says that the disk is full."""
    while error is not None:
        told = getattr(error, "errno", None) in NUMBERS or any(words in str(error) for words in WORDS)
        if told:
            return True
        error = error.__cause__ or error.__context__
    return False
