"""Weights that a trial leaves to later ones of the same architecture, so that training goes on across trials."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from keras_blocks.tuning.files import replacing, set_aside


def take(model: keras.Model, path: str | Path, *, note: Callable[[str], object] = lambda text: None) -> bool:
    """Gives a model the weights of a file, if there is one of the same shapes that can be read.

    Args:
        model: of any architecture.
        path: of an `.npz` file. One that is torn is set aside.
        note: function of a text, told of that.

    Returns:
        Whether it did.
    """
    try:
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            weights = [file[f"weight{i}"] for i in range(len(file.files))]
    except FileNotFoundError:
        return False  # none yet
    except Exception as error:  # a torn file can fail anywhere
        note(f"{path} cannot be read: {error}; it was kept as {set_aside(path).name}")
        return False
    if [value.shape for value in weights] != [tuple(weight.shape) for weight in model.weights]:
        return False
    model.set_weights(weights)
    return True


def leave(model: keras.Model, path: str | Path) -> None:
    """Writes the weights; the old file stays until the new one is whole."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, **{f"weight{i}": value for i, value in enumerate(model.get_weights())})
