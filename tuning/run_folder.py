"""RunFolder: everything that a search or a training leaves, under one folder, and nothing else in it."""

import datetime
import json
import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.files import PART_PREFIX, replacing, whole_name, write_json

RUN_MARK = "keras_blocks run, version 1"
"""In every run.json. A folder without it is no run, and nothing in it is ever touched."""

RUN_FILES = (
    "run.json",
    "study.db",
    "trials.csv",
    "trials.png",
    "best.keras",
    "test.npz",
    "result.json",
    "curves.png",
    "final.npz",
    "report.html",
)
FILES_BESIDE = re.compile(r"(study\.db|final\.npz|result\.json)(\.lock|(\.damaged-\d+)?(-wal|-shm|-journal)?)")
"""What SQLite writes beside its file, and files that were damaged and set aside."""

RUN_FOLDERS = {
    "checkpoints": r"\d+\.npz(\.damaged-\d+)?",
    "models": r"\d+\.keras",
    "weights": r"[0-9a-f]{64}\.npz(\.damaged-\d+)?",
    "logs": r"[A-Za-z0-9._-]+\.log",
}
"""Folders of a search, and the names of what is in them."""

MOST_WEIGHTS = 100
"""Architectures whose weights are kept for later trials: those used last."""

LEFT_SECONDS = 3600
"""After so long, nobody is still writing a file."""

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""The names that a run's folder may have."""


class RunFolder:
    """The folder of one run, with the paths of its files.

    Args:
        path: of the folder. Its name may have letters, digits, ".", "_" and "-"; no part of the path may be "..".

    Raises:
        ValueError: for another path.

    Example:

    >>> RunFolder("runs/demo").best
    PosixPath('runs/demo/best.keras')
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if ".." in self.path.parts or not RUN_NAME.fullmatch(self.path.name):
            raise ValueError(
                "`run` must be a folder such as runs/first, whose name begins with a letter or digit and has letters, "
                f"digits, '.', '_' and '-' only, without '..' on the way; received {str(path)!r}."
            )
        self.description = self.path / "run.json"
        self.study = self.path / "study.db"
        self.trials_csv = self.path / "trials.csv"
        self.best = self.path / "best.keras"
        self.test = self.path / "test.npz"
        self.result = self.path / "result.json"
        self.final = self.path / "final.npz"
        self.report = self.path / "report.html"

    @classmethod
    def holds_run(cls, path: str | Path) -> bool:
        """Whether a path, of any kind, is that of a run's folder."""
        try:
            return cls(path).is_run()
        except ValueError:
            return False

    def is_run(self) -> bool:
        """Whether the folder holds a run of ours."""
        try:
            return not self.path.is_symlink() and self._read("run.json").get("mark") == RUN_MARK
        except (OSError, ValueError, AttributeError):
            return False

    def describe(self) -> dict[str, Any]:
        """What run.json says.

        Raises:
            ValueError: where the folder is no run.
        """
        if not self.is_run():
            raise ValueError(f"`run` must be the folder of a run, with its run.json; received {str(self.path)!r}.")
        return self._read("run.json")

    def results(self) -> dict[str, Any] | None:
        """What result.json says, or `None` while the run is not finished."""
        return self._read("result.json") if self.result.exists() else None

    def create(self, description: dict[str, Any], *, replace: bool = False) -> None:
        """Makes the folder and its run.json.

        Args:
            description: plain data; the mark and the time are added.
            replace: whether a run that is there is removed.

        Raises:
            ValueError: where the folder exists: always if it is no run, else unless `replace`.
        """
        if self.path.exists() or self.path.is_symlink():
            if self.is_run() and not replace:
                raise ValueError(f"`run`: {self.path} holds a run already. Give another name, or replace it (--fresh).")
            self._clear()
        self.path.mkdir(parents=True, exist_ok=True)
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_json(self.description, {"mark": RUN_MARK, "started": started, **description})

    def change(self, **described: Any) -> None:
        """Replaces parts of run.json."""
        write_json(self.description, {**self.describe(), **described})

    def _clear(self) -> None:
        """Removes what a run has written. Refuses, with nothing removed, where anything else is there."""
        if self.path.is_symlink() or not self.path.is_dir():
            raise ValueError(f"`run`: {self.path} exists and is no folder; nothing was changed.")
        entries = list(self.path.iterdir())
        strange = [entry.name for entry in entries if not self._may_remove(entry)]
        if strange or (
            entries and not self.is_run() and any(not entry.name.startswith(PART_PREFIX) for entry in entries)
        ):
            others = sorted(strange) or sorted(entry.name for entry in entries)
            raise ValueError(
                f"`run`: {self.path} exists and is not the folder of a run, or holds more than that: {others[:5]}. "
                "Nothing was changed."
            )
        # run.json goes last: what is left by an interruption is still known as a run.
        for entry in sorted(entries, key=lambda entry: entry.name == "run.json"):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _may_remove(self, entry: Path) -> bool:
        if entry.is_symlink():
            return False
        if entry.name in RUN_FOLDERS:
            return entry.is_dir() and all(
                re.fullmatch(RUN_FOLDERS[entry.name], whole_name(item.name)) and _is_own_file(item)
                for item in entry.iterdir()
            )
        name = whole_name(entry.name)
        return (name in RUN_FILES or FILES_BESIDE.fullmatch(name) is not None) and _is_own_file(entry)

    def _read(self, name: str) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        return data

    def save_model(self, model: keras.Model) -> None:
        """Keeps the model as best.keras: the old file stays until the new one is whole."""
        with replacing(self.best) as part:
            model.save(part)

    def save_test(self, dataset: Dataset) -> None:
        """Keeps the held-out images and labels, so that a process without the data can evaluate."""
        with replacing(self.test) as part:
            np.savez_compressed(
                part, x_test=dataset.x_test, y_test=dataset.y_test, class_names=np.array(dataset.class_names)
            )

    # -- of trials ---------------------------------------------------------------------------------------------------

    def checkpoint(self, number: int) -> Path:
        """Of a trial that runs."""
        return self.path / "checkpoints" / f"{number}.npz"

    def model(self, number: int) -> Path:
        """Of a trial that is among the best."""
        return self.path / "models" / f"{number}.keras"

    def log(self, worker: str) -> Path:
        """What a worker's process prints."""
        return self.path / "logs" / f"{re.sub(r'[^A-Za-z0-9._-]', '-', worker)}.log"

    def shared_weights(self, candidate: dict[str, Any]) -> str:
        """The file of the weights that trials of one architecture share."""
        return str(self.path / "weights" / f"{candidate['architecture_signature']}.npz")

    def remove_checkpoint(self, number: int) -> None:
        """After the trial has ended."""
        self.checkpoint(number).unlink(missing_ok=True)

    def keep_models(self, numbers: Collection[int]) -> None:
        """Removes the models of all other trials."""
        for path in (self.path / "models").glob("*.keras"):
            if path.stem.isdigit() and int(path.stem) not in numbers:
                path.unlink(missing_ok=True)
        weights = [path for path in (self.path / "weights").glob("*.npz") if not path.name.startswith(PART_PREFIX)]
        for path in sorted(weights, key=_changed, reverse=True)[MOST_WEIGHTS:]:
            path.unlink(missing_ok=True)

    def sweep(self, unfinished: Collection[int]) -> None:
        """Removes what processes that were killed left: checkpoints of trials that have ended, files half written.

        Args:
            unfinished: numbers of the trials that run or wait.
        """
        for path in (self.path / "checkpoints").glob("*.npz"):
            if path.stem.isdigit() and int(path.stem) not in unfinished:
                path.unlink(missing_ok=True)
        for path in self.path.glob(f"**/{PART_PREFIX}*"):
            if _changed(path) < time.time() - LEFT_SECONDS:
                path.unlink(missing_ok=True)

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)


def _changed(path: Path) -> float:
    """When a file was changed; 0 where another process has removed it."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _is_own_file(entry: Path) -> bool:
    return entry.is_file() and not entry.is_symlink()
