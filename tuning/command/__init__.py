"""The command `keras-blocks`, which shows its help at once: Keras is imported where a command runs, not before.

Installed as `keras_blocks_cli`, beside the package, whose import imports Keras.
"""

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def main() -> None:
    """The entry point."""
    hold_back()
    from keras_blocks.tuning import cli

    cli.main(release)


def hold_back() -> None:
    """Puts the package `keras_blocks` in place without running it.

    So those of its modules which need no Keras can be imported.
    """
    if "keras_blocks" not in sys.modules:
        spec = importlib.util.find_spec("keras_blocks")
        assert spec is not None  # it is installed with this file
        sys.modules["keras_blocks"] = importlib.util.module_from_spec(spec)


def release() -> None:
    """Runs the package, if it was held back: Keras is imported, and all classes are registered."""
    package = sys.modules["keras_blocks"]
    if not hasattr(package, "__version__"):
        assert package.__spec__ is not None and package.__spec__.loader is not None
        with _without_log():
            package.__spec__.loader.exec_module(package)


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Keeps TensorFlow's notes on the machine off the screen, unless the user asks for them, by 0 or 1.

    Some are written before it looks at the variable, from C++. Where the import fails, all are shown.
    """
    if os.environ.get(LOG_LEVEL, "2") in ("0", "1"):
        yield
        return
    os.environ.setdefault(LOG_LEVEL, "2")
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(screen, aside.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)
