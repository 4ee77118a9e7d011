"""The command `keras-blocks`, which shows its help at once: Keras is imported where a command runs, not before."""

import importlib.util
import os
import sys


def hold_back() -> None:
    """Puts the package `keras_blocks` in place without running it, so that those of its modules that need no Keras can
    be imported first. `keras_blocks.tuning.cli` runs it before any command."""
    if "keras_blocks" not in sys.modules:
        spec = importlib.util.find_spec("keras_blocks")
        sys.modules["keras_blocks"] = importlib.util.module_from_spec(spec)


def main() -> None:
    """The entry point."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on the machine are no part of the output
    hold_back()
    from keras_blocks.tuning import cli

    cli.main()
