"""The state of a training after an epoch, in one file from which another process goes on."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_blocks.tuning.files import replacing, set_aside

FORMAT = 1
"""The format of the file. From one of another format no training goes on."""


def save(path: str | Path, *, model: keras.Model, best: Sequence[np.ndarray], state: Mapping[str, Any]) -> None:
    """Writes the model's variables, its optimizer's, the best epoch's weights, and plain data.

    A file that is there stays until the new one is whole.

    Args:
        path: of an `.npz` file.
        model: compiled, its optimizer built.
        best: list of arrays, the weights of the best epoch so far.
        state: plain data.
    """
    arrays = {"state": np.frombuffer(json.dumps({"format": FORMAT, **state}).encode(), "uint8")}
    for name, values in (("model", model.variables), ("optimizer", model.optimizer.variables)):
        arrays.update({f"{name}{i}": np.asarray(value) for i, value in enumerate(values)})
    arrays.update({f"best{i}": value for i, value in enumerate(best)})
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # none is named allow_pickle


def load(path: str | Path, model: keras.Model) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Gives a model the state that a file holds.

    Args:
        path: of the file.
        model: as it was saved: the same architecture, compiled, its optimizer built.

    Returns:
        (the plain data, the weights of the best epoch).

    Raises:
        ValueError: where the file is torn, or of another model. The model is unchanged.
    """
    try:
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)  # reads all, and so checks all
        state = json.loads(arrays.pop("state").tobytes())
        values = {name: _numbered(arrays, name) for name in ("model", "optimizer", "best")}
    except Exception as error:  # a torn file can fail anywhere
        raise ValueError(f"{path} cannot be read: {error}") from error
    targets = {"model": model.variables, "optimizer": model.optimizer.variables}
    for name, variables in targets.items():
        if [tuple(variable.shape) for variable in variables] != [value.shape for value in values[name]]:
            raise ValueError(f"{path} is of another {name}")
    for name, variables in targets.items():
        for variable, value in zip(variables, values[name]):
            variable.assign(value)
    return state, values["best"]


def taken_up(
    path: str | Path, model: keras.Model, signature: str, note: Callable[[str], object]
) -> tuple[dict[str, Any], list[np.ndarray]] | None:
    """What `load` gives; `None` for a file that is torn or of another training, which is set aside.

    Args:
        path, model: see `load`.
        signature: of what is trained.
        note: told where the file was set aside.
    """
    try:
        state, best = load(path, model)
        if (state["signature"], state["format"]) != (signature, FORMAT):
            raise ValueError(f"{path} is of another training")
    except ValueError as error:
        note(f"{error}; it was kept as {set_aside(path).name}")
        return None
    return state, best


def state_of(path: str | Path) -> dict[str, Any] | None:
    """The plain data of a file; `None` where there is none, or it cannot be read."""
    try:
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            state: dict[str, Any] = json.loads(file["state"].tobytes())
    except Exception:  # a torn file can fail anywhere
        return None
    return state if state.get("format") == FORMAT else None


def _numbered(arrays: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    return [arrays[f"{name}{i}"] for i in range(sum(key.removeprefix(name).isdigit() for key in arrays))]
