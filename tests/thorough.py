"""What takes too long for every run of the tests: `make test-all` sets KERAS_BLOCKS_ALL, and then it runs, too."""

import os


def run_all() -> bool:
    return os.environ.get("KERAS_BLOCKS_ALL", "") not in ("", "0")
