"""Files of annotations, as strangers write them."""

import stat
from pathlib import Path


def read_bytes(name: str, file: Path, most: int | None = None) -> bytes:
    """What is in a file.

    Args:
        name: of the argument, for errors.
        file: its path.
        most: bytes that it may have; `None` for any number.

    Raises:
        ValueError: for a file that is missing, too large, or none, such as a folder or a pipe.
    """
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would be waited for
            raise ValueError(f"`{name}`: {file} must be a file; it is something else, such as a folder or a pipe.")
        if most is not None and about.st_size > most:
            raise ValueError(f"`{name}`: {file} must have {most:,} bytes at most; it has {about.st_size:,}.")
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"`{name}`: {file} cannot be read: {error}") from error
