"""RunFolder: everything that a search or a training leaves, under one folder, and nothing else in it."""

import contextlib
import datetime
import fcntl
import itertools
import json
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.data.npz import write_arrays
from keras_blocks.tuning.files import PART_PREFIX, changed, is_left, replacing, whole_name, write_json

RUN_MARK = "keras_blocks run, version 1"
"""In every run.json. A folder without it is no run, and nothing in it is ever touched."""

NEEDED: dict[str, dict[str, type]] = {
    "search": {"settings": dict, "backend": str, "versions": dict},
    "train": {"model": str, "data": str},
    "detector": {"model": str, "data": str},
    "worker": {"study": str},
}
"""What run.json says of a run of each kind, and of which type that is."""

RUN_FILES = (
    *("run.json", "study.db", "trials.csv", "best.keras", "test.npz", "result.json", "final.npz", "report.html"),
    *("trials.png", "curves.png"),  # of version 0.1.0
)
FILES_BESIDE = re.compile(r"(study\.db|final\.npz|result\.json)(\.lock|(\.damaged-\d+)?(-wal|-shm|-journal)?)")
"""What SQLite writes beside its file, and files that were damaged and set aside."""

RUN_FOLDERS = {
    "checkpoints": r"\d+\.npz(\.damaged-\d+)?",
    "models": r"\d+\.keras",
    "weights": r"([0-9a-f]{64}|\d{1,9})\.npz(\.damaged-\d+)?",
    "logs": r"[A-Za-z0-9._-]+\.log",
    "pictures": r"\d+\.png",
}
"""Folders of a search or of a detector's training, and the names of what is in them."""

TRACKED = "tracker"
"""The folder of what TensorBoard's or MLflow's callbacks write, who name their files themselves."""

MOST_WEIGHTS = 100
"""Architectures whose weights are kept for later trials: those used last."""

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""The names that a run's folder may have."""


class RunIsHeld(ValueError):
    """Another training writes into the run's folder."""


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
        self.lock = self.path / "final.npz.lock"

    @classmethod
    def holds_run(cls, path: str | Path) -> bool:
        """Whether a path, of any kind, is that of a run's folder."""
        try:
            return cls(path).is_run()
        except ValueError:
            return False

    def is_run(self) -> bool:
        """Whether the folder holds a run of ours."""
        return self._mark() == RUN_MARK

    def _mark(self) -> str:
        """What run.json says that it is; "" where it says nothing, or is not there."""
        try:
            return "" if self.path.is_symlink() else str(self._read("run.json").get("mark"))
        except (OSError, ValueError):
            return ""

    def describe(self, kind: str | None = None) -> dict[str, Any]:
        """What run.json says. Nothing in it is to be trusted: the folder may come from anyone.

        Args:
            kind: "search", "train", "detector" or "worker", where it must be one.

        Raises:
            ValueError: where the folder is no run, is one of a newer version or of another kind, or has links in it:
                what is written to them would be written elsewhere.
        """
        self._refuse_newer()
        if not self.is_run():
            raise ValueError(f"`run` must be the folder of a run, with its run.json; received {str(self.path)!r}.")
        self._check_plain()
        said = self._read("run.json")
        if kind is not None and said.get("kind") != kind:
            raise ValueError(f"`run` must be the folder of a {kind}; {self.path} is a {said.get('kind')!r} run.")
        for name, needed in NEEDED.get(kind or "", {}).items():
            if not isinstance(said.get(name), needed):
                raise ValueError(
                    f"`run`: {self.description} must say {name!r}, a {needed.__name__}, as it does where a run begins; "
                    f"it says {said.get(name)!r}. Take back what changed it, or begin a run in another folder."
                )
        return said

    def _refuse_newer(self) -> None:
        mark = self._mark()
        if mark != RUN_MARK and mark.startswith(RUN_MARK.rstrip("1")):
            raise ValueError(
                f"`run`: {self.path} was written by a newer version of keras-blocks, as {mark!r}; this one knows "
                f"{RUN_MARK!r}. Install the newer one."
            )

    def _check_plain(self) -> None:
        """Our files are files, and our folders folders: no links, no pipes."""
        ours = [entry for entry in self.path.iterdir() if entry.name in RUN_FOLDERS or _is_our_name(entry.name)]
        tracked = self.path / TRACKED
        for link in filter(Path.is_symlink, itertools.chain([tracked], tracked.rglob("*"))):
            raise ValueError(f"`run`: {link} is a link, which a run never makes. Move its target here.")
        rooms = (self.path / name for name in RUN_FOLDERS)
        for entry in itertools.chain(
            ours, *(room.iterdir() for room in rooms if room.is_dir() and not room.is_symlink())
        ):
            kind = Path.is_dir if entry.name in RUN_FOLDERS and entry.parent == self.path else Path.is_file
            if entry.is_symlink() or not kind(entry):
                raise ValueError(
                    f"`run`: {entry} is a link, or no {'folder' if kind is Path.is_dir else 'file'}, which a run never "
                    "makes; nothing was changed. Move what it points to in its place."
                )

    def results(self) -> dict[str, Any] | None:
        """What result.json says, or `None` while the run is not finished.

        Raises:
            ValueError: where it cannot be read.
        """
        return self._read("result.json") if self.result.exists() else None

    def create(self, description: dict[str, Any], *, replace: bool = False) -> None:
        """Makes the folder and its run.json.

        Args:
            description: plain data; the mark and the time are added.
            replace: whether a run that is there is removed.

        Raises:
            ValueError: where the folder exists: always if it is no run, else unless `replace`.
            RunIsHeld: where a training or a search runs in it.
        """
        # run.json goes last: what is left by an interruption is still known as a run.
        entries = sorted(self.replaceable(replace=replace), key=lambda entry: entry.name == "run.json")
        with self.held():
            for entry in [*entries, self.lock]:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)
        self.path.mkdir(parents=True, exist_ok=True)
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_json(self.description, {"mark": RUN_MARK, "started": started, **description})

    @contextlib.contextmanager
    def held(self, *, together: bool = False) -> Iterator[None]:
        """Lets one training at a time write into the folder of a run. The lock ends with the process that holds it.

        Args:
            together: whether others that say so, too, may work in it: the processes of one search.

        Raises:
            RunIsHeld: where there is another one.
        """
        if not self.is_run():  # nothing that another could write into
            yield
            return
        self._check_plain()
        with self.lock.open("a") as file:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if together else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunIsHeld(
                    f"`run`: another process works in {self.path}. Nothing was changed. Wait until it ends, or end "
                    "it; or give another name."
                ) from error
            yield

    def refuse_held(self) -> None:
        """Refuses a folder that another training, or a search, writes into now.

        Raises:
            RunIsHeld: where there is one.
        """
        if self.lock.exists():  # else none was ever held, and nothing is to be changed
            with self.held():
                pass

    def change(self, **described: Any) -> None:
        """Replaces parts of run.json."""
        write_json(self.description, {**self.describe(), **described})

    def refuse_copy(self, before: str | None, run: str | None) -> None:
        """Refuses a copy of a run's folder, which would write into the study of the one that it was copied from.

        Args:
            before: where the folder was when its study was last gone on with, as the study says; `None`: it does not.
            run: what tells the run from all others.

        Raises:
            ValueError: where a folder of this run is still there. One that was moved is not.
        """
        if before is None or not self.is_run() or not self.holds_run(before):
            return
        other = RunFolder(before)
        if other.path.samefile(self.path) or other._read("run.json").get("run") != run:
            return
        raise ValueError(
            f"`run`: {self.path} is a copy of {before}, which is still there, and both would write into one study. "
            "Nothing was changed. Go on in that folder, or begin a run of another name; if the copy is to take its "
            f"place, move {before} away first."
        )

    def replaceable(self, *, replace: bool = False) -> list[Path]:
        """What a run has written, which may be removed for a new one. Removes nothing.

        Args:
            replace: whether a run may be there.

        Raises:
            ValueError: where anything else is there, too.
        """
        if not self.path.exists() and not self.path.is_symlink():
            return []
        if self.is_run() and not replace:
            raise ValueError(f"`run`: {self.path} holds a run already. Give another name, or replace it (--fresh).")
        self._refuse_newer()
        if self.path.is_symlink() or not self.path.is_dir():
            raise ValueError(f"`run`: {self.path} exists and is no folder; nothing was changed.")
        entries = list(self.path.iterdir())
        strange = [entry.name for entry in entries if not self._may_remove(entry)]
        if not self.is_run():
            strange = strange or [entry.name for entry in entries if not entry.name.startswith(PART_PREFIX)]
        if strange:
            raise ValueError(
                f"`run`: {self.path} exists and is not the folder of a run, or holds more than that: "
                f"{sorted(strange)[:5]}. Nothing was changed."
            )
        return entries

    def _may_remove(self, entry: Path) -> bool:
        if entry.is_symlink():
            return False
        if entry.name == TRACKED:
            return entry.is_dir() and not any(map(Path.is_symlink, entry.rglob("*")))
        if entry.name in RUN_FOLDERS:
            return entry.is_dir() and all(
                re.fullmatch(RUN_FOLDERS[entry.name], whole_name(item.name)) and _is_own_file(item)
                for item in entry.iterdir()
            )
        return _is_our_name(entry.name) and _is_own_file(entry)

    def _read(self, name: str) -> dict[str, Any]:
        path = self.path / name
        if not _is_own_file(path):  # a pipe would be waited for
            raise ValueError(f"`run`: {path} is no file.")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except RecursionError as error:
            raise ValueError(f"`run`: {path} cannot be read: {error}") from error
        if not isinstance(data, dict):
            raise ValueError(f"`run`: {path} must hold a JSON object; it holds a {type(data).__name__}.")
        return data

    def save_model(self, model: keras.Model) -> None:
        """Keeps the model as best.keras: the old file stays until the new one is whole."""
        with replacing(self.best) as part:
            model.save(part)

    def pictures(self) -> list[Path]:
        """All pictures of a detector's run, in their order."""
        return sorted((self.path / "pictures").glob("[0-9]*.png"), key=lambda path: int(path.stem))

    def picture(self, number: int) -> Path:
        """Of an image with what a detector found in it; its folder is made."""
        folder = self.path / "pictures"
        folder.mkdir(exist_ok=True)
        return folder / f"{number}.png"

    def save_test(self, dataset: Dataset) -> None:
        """Keeps the held-out images and labels, so that a process without the data can evaluate."""
        with replacing(self.test) as part:
            others = {"y_test": dataset.y_test, "class_names": np.array(dataset.class_names)}
            write_arrays(part, {"x_test": dataset.x_test}, others)

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
        signature = str(candidate["architecture_signature"])
        if not re.fullmatch(r"[0-9a-f]{64}", signature):  # of a study that somebody else wrote
            raise ValueError(f"`architecture_signature` must be a SHA-256 digest; received {signature!r}.")
        return str(self.path / "weights" / f"{signature}.npz")

    def weights(self, number: int) -> str:
        """The file of the weights that a trial leaves to its children."""
        return str(self.path / "weights" / f"{number:d}.npz")

    def remove_checkpoint(self, number: int) -> None:
        """After the trial has ended."""
        self.checkpoint(number).unlink(missing_ok=True)

    def keep_models(self, numbers: Collection[int], weights: Collection[int] = ()) -> None:
        """Removes the models of all other trials, and the weights of all others that have left some."""
        for path in (self.path / "models").glob("*.keras"):
            if path.stem.isdigit() and int(path.stem) not in numbers:
                path.unlink(missing_ok=True)
        left = [path for path in (self.path / "weights").glob("*.npz") if not path.name.startswith(PART_PREFIX)]
        shared = [path for path in left if len(path.stem) == 64]
        for path in sorted(shared, key=changed, reverse=True)[MOST_WEIGHTS:]:
            path.unlink(missing_ok=True)
        for path in left:
            if path not in shared and path.stem.isdigit() and int(path.stem) not in weights:
                path.unlink(missing_ok=True)

    def sweep(self, unfinished: Collection[int]) -> None:
        """Removes what processes that were killed left: checkpoints of trials that have ended, files half written.

        Args:
            unfinished: numbers of the trials that run or wait.
        """
        for path in (self.path / "checkpoints").glob("*.npz"):
            if path.stem.isdigit() and int(path.stem) not in unfinished:
                path.unlink(missing_ok=True)
        for folder in (self.path, *(self.path / name for name in RUN_FOLDERS)):
            for path in folder.glob(f"{PART_PREFIX}*"):
                if is_left(path):
                    path.unlink(missing_ok=True)

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)


def _is_our_name(name: str) -> bool:
    """Whether a file of a run has this name, or has while it is being written."""
    name = whole_name(name)
    return name in RUN_FILES or FILES_BESIDE.fullmatch(name) is not None


def _is_own_file(entry: Path) -> bool:
    return entry.is_file() and not entry.is_symlink()
