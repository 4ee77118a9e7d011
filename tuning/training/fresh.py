"""Evaluates a saved model in a new Python process that imports keras_blocks and nothing else of this project."""

import json
import os
import subprocess
import sys

import keras

SCRIPT = """
import json, sys
import keras
import numpy
import keras_blocks

model = keras.saving.load_model(sys.argv[1])
with numpy.load(sys.argv[2], allow_pickle=False) as file:
    images, labels = file["x_test"], file["y_test"]
correct = int((model.predict(images, batch_size=256, verbose=0).argmax(axis=-1) == labels).sum())
print(json.dumps({"test_correct": correct, "test_images": len(labels), "test_accuracy": correct / len(labels)}))
"""


class FreshProcessFailed(RuntimeError):
    """The new process could not load or evaluate the model."""


def evaluate_in_fresh_process(model_path, test_path, *, timeout=600) -> dict:
    """Loads a `.keras` file and a run's test.npz in a new process, and evaluates there.

    Args:
        model_path: of the `.keras` file.
        test_path: of an `.npz` file with x_test and y_test.
        timeout: seconds that the process may take.

    Returns:
        `test_correct`, `test_images` and `test_accuracy`.

    Raises:
        FreshProcessFailed: with the last line that the process said, where it does not succeed.

    Example:

    >>> evaluate_in_fresh_process("runs/demo/best.keras", "runs/demo/test.npz")["test_images"]
    359
    """
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend(), "TF_CPP_MIN_LOG_LEVEL": "2"}
    # -P: a file named keras.py in the working directory is not imported.
    command = [sys.executable, "-P", "-c", SCRIPT, str(model_path), str(test_path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, check=False)
    except subprocess.TimeoutExpired as error:
        raise FreshProcessFailed(f"the fresh process took longer than {timeout} seconds.") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise FreshProcessFailed(f"the fresh process failed: {said[-1] if said else done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])
