"""Starts a search's workers on a Ray cluster."""

import math
import os
from typing import Any

from keras_blocks.tuning.search.progress import NoProgress, Progress
from keras_blocks.tuning.search.search import Search

WAIT_SECONDS = 1.0
"""Between two looks at the workers."""


def run_workers(search: Search, address: str, progress: Progress | None = None) -> list[str]:
    """Runs a search's trials on a Ray cluster, as many at a time as `settings.workers`.

    Ray gives each worker its processors and devices, and starts one again whose machine was lost; its trial goes on
    elsewhere, from the study. The storage must be one that all machines reach, and the run folder, for trials to go on
    from their checkpoints, too.

    Args:
        search: a `Search`.
        address: of the cluster, as `ray.init` takes it: "auto", "ray://host:10001", or "local" for a new one here.
        progress: shows what happens, see `report.terminal.Progress`.

    Returns:
        Why each worker ended.

    Raises:
        ValueError: where Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ValueError("`ray` needs Ray: install keras-blocks[ray].") from error
    progress, session = progress or NoProgress(), search.session
    started = not ray.is_initialized()
    if started:
        ray.init(address=address, log_to_driver=False, include_dashboard=False if address == "local" else None)
    try:
        gpus = share_of_device(ray.cluster_resources().get("GPU", 0), search.settings.workers)
        work = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=-1)(_work)
        folder, told = str(search.folder.path.absolute()), session.copy()
        waiting = [work.remote(told, folder, 0 < gpus < 1) for _ in range(search.settings.workers)]
        ended = []
        while waiting:
            done, waiting = ray.wait(waiting, timeout=WAIT_SECONDS)
            ended += ray.get(done)
            progress.update(
                search.trials, objectives=search.settings.judged_by, max_trials=search.settings.trials, max_seconds=None
            )
        return ended
    finally:
        if started:
            ray.shutdown()


def share_of_device(devices: float, workers: int) -> float:
    """How much of a device each worker gets: one, or where there are fewer, such a part that all find a place."""
    return math.floor(1e4 / math.ceil(workers / devices)) / 1e4 if devices else 0.0  # as Ray counts them


def _work(told: dict[str, Any], folder: str, shares: bool) -> str:
    """In a process of Ray: one worker, until no trial is left."""
    if shares:  # TensorFlow and JAX take nearly all of a device's memory else
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    from keras_blocks.tuning.run_folder import RunFolder
    from keras_blocks.tuning.search.session import Session
    from keras_blocks.tuning.storage.store import quiet_optuna

    with quiet_optuna():
        session = Session.copied(told, RunFolder(folder))
        try:
            return session.run()
        finally:
            session.stop()
            session.study.close()
