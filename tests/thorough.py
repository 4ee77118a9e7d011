"""What takes too long for every run of the tests: `make test-all` sets KERAS_BLOCKS_ALL, and then it runs, too."""

import os

import keras


def run_all() -> bool:
    return os.environ.get("KERAS_BLOCKS_ALL", "") not in ("", "0")


ONCE = keras.backend.backend() == "torch"
"""Whether this is the backend of what is tested once: the quickest one, which traces and compiles nothing."""


def run_alike() -> bool:
    """Whether what every backend does alike runs on this one: on PyTorch, and by `make test-all` on all."""
    return run_all() or ONCE
