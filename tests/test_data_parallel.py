"""Training on two devices gives the single device's weights, normalization over all of them included.

In fresh processes, as devices are counted when a backend begins.
"""

import os
import pathlib
import subprocess
import sys

import keras
import pytest
from thorough import run_all


@pytest.mark.skipif(not run_all() and keras.backend.backend() != "jax", reason="a fresh process: in `make test-all`")
def test_two_devices_train_as_one():
    root = pathlib.Path(__file__).parents[1]
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend(), "PYTHONPATH": str(root)}
    command = [sys.executable, str(root / "tests" / "distributed.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert not done.returncode, done.stderr[-2000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("differs by")]
    assert float(line.split()[-1]) < 1e-4
