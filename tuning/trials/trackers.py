"""Where trainings are logged besides, by Keras' own callback for TensorBoard, or by MLflow's own."""

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from keras_blocks.tuning.console import without_dump

Tracker = dict[str, Any]
"""Plain data: its name, where it logs, under which experiment, and in which folder what it keeps besides lies."""

NEEDS = {"tensorboard": ("tensorflow", "tensorboard"), "mlflow": ("mlflow", "pandas")}
"""The packages without which there are no logs."""

SERVERS = ("http://", "https://")


def tracker_of(name: str | None, at: str | None, folder: Path) -> Tracker | None:
    """What a search's trainings log to; `None`: nothing. Where nothing is said, that is in the run's own folder.

    Args:
        name: "tensorboard" or "mlflow".
        at: a folder, or a tracking URI of MLflow's.
        folder: of the run.

    Raises:
        ValueError: for a place without a tracker, with a password in it, or of another kind.
        ImportError: where the tracker is not installed.
    """
    if name is None:
        if at is not None:
            raise ValueError(f"`tracker_at` must be left out without a `tracker`; received {at!r}.")
        return None
    own = folder.resolve() / "tracker"
    if at is not None and "@" in at.partition("://")[2].partition("/")[0]:
        raise ValueError(
            "`tracker_at` must hold no password, as it is kept with the run; received one. Set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment."
        )
    if name == "tensorboard" and at is not None and "://" in at:
        raise ValueError(f"`tracker_at` must be a folder, into which TensorBoard's files go; received {at!r}.")
    if missing := [package for package in NEEDS[name] if importlib.util.find_spec(package) is None]:
        raise ImportError(
            f"`tracker`: {name} needs {' and '.join(missing)}, which is not installed: pip install "
            f"'keras-blocks[{'mlflow' if name == 'mlflow' else 'tensorflow,tuning'}]'."
        )
    if at is None or "://" not in at:
        place = own if at is None else Path(at).absolute()
        # MLflow refuses to begin a store of plain files, and says how one that is there becomes a database.
        plain = name == "tensorboard" or any(place.glob("*/meta.yaml"))
        at = str(place) if plain else f"sqlite:///{place / 'mlflow.db'}"
    return {"name": name, "at": at, "experiment": folder.name, "folder": str(own)}


def check(tracker: Tracker | None) -> None:
    """Refuses what cannot be logged to, before a search begins.

    Raises:
        ValueError: where MLflow's server or its file cannot be reached.
    """
    if tracker is not None and tracker["name"] == "mlflow" and tracker["folder"] not in tracker["at"]:
        try:
            _mlflow(tracker).get_experiment_by_name(tracker["experiment"])
        except Exception as error:  # of whatever stands between here and there
            raise ValueError(
                f"`tracker_at`: {tracker['at']} cannot be logged to: {without_dump(error)[:300]}"
            ) from error


def shown(tracker: Tracker) -> str:
    """How people see what was logged: an address, or a command. A server that is lost by then has its own address."""
    if tracker["name"] == "tensorboard":
        return f"tensorboard --logdir {tracker['at']}"
    if tracker["at"].startswith(SERVERS):
        with contextlib.suppress(Exception):  # of whatever stands between here and there
            return f"{tracker['at'].rstrip('/')}/#/experiments/{_experiment(tracker)}"
        return str(tracker["at"])
    return f"mlflow ui --backend-store-uri {tracker['at']}"


@contextlib.contextmanager
def tracked(
    tracker: Tracker | None, training: str, values: Mapping[str, Any], note: Callable[[str], object]
) -> Iterator[list[keras.callbacks.Callback]]:
    """The callbacks that log one training. One that was interrupted goes on in its own log.

    A log that cannot be written takes nothing from a training: it is noted, and there are no callbacks.

    Args:
        tracker: of `tracker_of`.
        training: its name in the search, as "trial-3".
        values: of its hyperparameters, for people.
        note: told what went wrong.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = _callbacks(tracker, training, values, stack) if tracker is not None else []
        except Exception as error:  # of whatever stands between here and there
            note(f"{training} is not logged: {type(error).__name__}: {without_dump(error)[:300]}")
            found = []
        yield found


def _callbacks(
    tracker: Tracker, training: str, values: Mapping[str, Any], stack: contextlib.ExitStack
) -> list[keras.callbacks.Callback]:
    if tracker["name"] == "tensorboard":
        # Its graph would be traced anew for each trial, and opened by none.
        return [keras.callbacks.TensorBoard(os.path.join(tracker["at"], training), write_graph=False)]
    mlflow, experiment = _mlflow(tracker), _experiment(tracker)
    known = mlflow.MlflowClient().search_runs([experiment], f"tags.training = '{training}'", max_results=1)
    how: dict[str, Any] = (
        {"run_id": known[0].info.run_id} if known else {"run_name": training, "tags": {"training": training}}
    )
    mlflow.end_run("FAILED")  # of a training whose end was not seen
    stack.enter_context(mlflow.start_run(experiment_id=experiment, **how))
    stack.callback(mlflow.flush_async_logging)
    if not known:
        mlflow.log_params({name: str(value)[:500] for name, value in values.items()})
    return [mlflow.keras.MlflowCallback()]


def _experiment(tracker: Tracker) -> str:
    """The search's experiment, which is made where there is none."""
    mlflow, name = _mlflow(tracker), tracker["experiment"]
    Path(tracker["folder"]).mkdir(parents=True, exist_ok=True)
    if (known := mlflow.get_experiment_by_name(name)) is not None:
        return str(known.experiment_id)
    server = "://" in tracker["at"] and not tracker["at"].startswith(("sqlite:", "file:"))
    artifacts = None if server else Path(tracker["folder"], "artifacts").as_uri()
    return str(mlflow.create_experiment(name, artifact_location=artifacts))


def _mlflow(tracker: Tracker) -> Any:
    """The module, which reaches nothing but the place that the user has named."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    mlflow = importlib.import_module("mlflow")  # an extra, which takes seconds
    mlflow.set_tracking_uri(tracker["at"])
    return mlflow
