"""Search: candidates from a space, trials, the best one trained on and kept, all under one run folder."""

import contextlib
import dataclasses
import importlib.metadata
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.files import DiskFull, is_full, is_whole_archive, set_aside
from keras_blocks.tuning.objectives import ranking
from keras_blocks.tuning.report.family import descent
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.problem import Given, problem_of
from keras_blocks.tuning.search.progress import NoProgress, Progress
from keras_blocks.tuning.search.session import Session
from keras_blocks.tuning.search.settings import SearchSettings
from keras_blocks.tuning.storage.place import Place
from keras_blocks.tuning.storage.sqlite_file import set_aside_if_damaged
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.store import StudyStorage, quiet_optuna, without_password
from keras_blocks.tuning.storage.trial import Trial, architectures, write_csv
from keras_blocks.tuning.study.stopping import STOPPED
from keras_blocks.tuning.study.study import Study
from keras_blocks.tuning.trials import trackers
from keras_blocks.tuning.trials.protocol import CANDIDATE, FinalRequest

PACKAGES = ("keras-blocks", "keras", "keras-tuner", "optuna", "numpy")
"""Packages whose versions are written to run.json."""


class SearchFailed(RuntimeError):
    """The search ended without a model."""


class Search:
    """A search of architectures and their training, kept in a run folder and a study.

    Creating it checks everything that a user can get wrong and makes, or finds, the folder and the study; `run` does
    the work. Where a search was interrupted, the same call goes on with it.

    Args:
        settings: `SearchSettings`.
        run: path of the run folder.
        space: a `HyperArchitecture`; any `keras_tuner.HyperModel`, whose own `fit` trains; a function `build(hp)`;
            a `HyperFunction`; or where such a thing is, "my_module:MyHyperModel". By default the one that
            `settings.model` names, for the data. Trials run in processes of their own, which import its module.
        data: a function without arguments, or its place, "my_module:my_data", called in each trial's process. It
            returns (train, validation) or (train, validation, test), see `GivenData`. By default what `settings.data`
            names.
        callbacks: a function without arguments that returns a list of callbacks, new ones for each training, or its
            place, "my_module:my_callbacks". By default that which `settings.callbacks` names.
        storage: URL of the study's storage, "postgresql://..." where many machines search; by default an SQLite file
            in the run folder. It is given again to go on: what a folder says of other places is not followed.
        replace: remove the run and the study that are there. Never removes anything else.
        session: makes this process' part, as `Session` is made.

    Raises:
        TypeError, ValueError: for data or a folder that cannot be used, and where the run was begun with other
            settings, data, backend or search space. Nothing was changed then.

    Example:

    >>> search = Search(SearchSettings(data="digits", trials=2, epochs=1, final_epochs=1), "runs/first")
    >>> result = search.run()
    >>> result["test_images"]
    359
    """

    def __init__(
        self,
        settings: SearchSettings,
        run: str | Path,
        *,
        space: Given | None = None,
        data: Callable[[], Any] | str | None = None,
        callbacks: Callable[[], Any] | str | None = None,
        storage: str | None = None,
        replace: bool = False,
        session: Callable[..., Session] = Session,
    ) -> None:
        if not isinstance(settings, SearchSettings):
            raise TypeError(f"`settings` must be SearchSettings(...), such as trials=8; received {settings!r}.")
        self.folder = RunFolder(run)
        self.problem = problem_of(settings, space, data, callbacks)
        self.settings, self.space = settings, space = self.problem.settings, self.problem.space
        self._tracker = trackers.tracker_of(settings.tracker, settings.tracker_at, self.folder.path)
        trackers.check(self._tracker)
        self._storage, data_sha256 = storage, self.problem.data.fingerprint()
        going_on = self.folder.is_run() and not replace
        place = self._place_before(storage) if going_on else self._begun(storage, replace)
        with quiet_optuna():
            self.session = session(
                settings,
                space,
                self.folder,
                place=place,
                backend=keras.backend.backend(),
                data_sha256=data_sha256,
                **{name: where for name, where in self.problem.places().items() if where},
            )
            self.session.publish()
        if going_on:
            self.folder.change(
                settings=dataclasses.asdict(settings), study=place.study, storage=storage and without_password(storage)
            )

    def _place_before(self, storage: str | None) -> Place:
        """Where the study of the run that is there lies."""
        said = self.folder.describe("search")
        if storage is None and said.get("storage") is None:
            set_aside_if_damaged(self.folder.study)
        place = Place.before(said, self.folder.path.name, self.folder.study, storage)
        if storage is not None:
            self.folder.refuse_copy(place.folder_before(), place.run)
        return place

    def _begun(self, storage: str | None, replace: bool) -> Place:
        """Makes the folder of a new run, and room for its study."""
        self.folder.replaceable(replace=replace)
        self.folder.refuse_held()
        place = Place.begun(self.folder.path.name, self.folder.study, storage)
        if storage is not None:
            before = self.folder.describe() if self.folder.is_run() else {}
            with contextlib.closing(StudyStorage(storage)) as stored:
                self.folder.refuse_copy(stored.folder_of(place.study), before.get("run"))
                stored.make_room(place.study, before.get("run"))
        description = {
            "kind": "search",
            "run": place.run,
            "study": place.study,
            "settings": dataclasses.asdict(self.settings),
            "storage": storage and without_password(storage),
            "backend": keras.backend.backend(),
            "versions": {
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in PACKAGES},
            },
        }
        self.folder.create(description, replace=replace)
        return place

    @property
    def dataset(self) -> Dataset:
        """The images in classes that are searched on.

        Raises:
            AttributeError: where the data are a user's own: they are `problem.data`.
        """
        if not isinstance(self.problem.data, Dataset):
            raise AttributeError("the data of this search are the user's own: see `problem.data`")
        return self.problem.data

    @property
    def study(self) -> Study:
        """The `Study`."""
        return self.session.study

    @property
    def trials(self) -> list[Trial]:
        """All trials so far."""
        return self.study.trials()

    @property
    def best(self) -> Trial | None:
        """The completed trial that is the best so far, by the objectives; `None` where none is completed."""
        return next(iter(ranking(self.trials, self.settings.judged_by)), None)

    def run(self, progress: Progress | None = None, *, devices: Sequence[str] = ()) -> dict[str, Any]:
        """Runs the trials that are left, trains the best candidate on, and evaluates it on the test images.

        Args:
            progress: shows what happens, see `report.terminal.Progress`.
            devices: CUDA devices, a worker for each; by default `settings.workers` workers.

        Returns:
            What result.json holds.

        Raises:
            SearchFailed: where no candidate could be drawn, or none could be trained, or the disk is full.
            RunIsHeld: where a training of one model runs in the folder, or another process replaces it.
        """
        progress = progress or NoProgress()
        with quiet_optuna(), self.folder.held(together=True):
            try:
                why = self.session.run(progress, devices=devices)
                if why.startswith(STOPPED):
                    progress.note(why)
                result = self._finished(why, progress)
                self._write_report(progress)
                return result
            except (DiskFull, OSError) as error:
                if not is_full(error):
                    raise
                best = self.best
                has = f"the best of its trials so far is {best.number}" if best else "no trial is done"
                raise SearchFailed(
                    f"{error}. The search has ended with what it has: {has}. Free some, and start the same command "
                    "again to go on."
                ) from error
            finally:
                self.session.stop()

    def _write_report(self, progress: Progress) -> None:
        """A report that cannot be made takes nothing from a search that is done, unless the disk is full."""
        from keras_blocks.tuning.report.run_report import write_run_report  # plotly takes a while

        try:
            write_run_report(self.folder, storage=self._storage)
        except Exception as error:
            if isinstance(error, OSError) and is_full(error):
                raise
            progress.note(
                f"the report could not be written: {error!r}; `keras-blocks report {self.folder}` tries again"
            )

    def close(self) -> None:
        """Closes the connections to the study."""
        self.study.close()

    def _finished(self, why: str, progress: Progress) -> dict[str, Any]:
        trials, best = self.trials, self.best
        if best is None:
            failed = [trial for trial in trials if trial.error and trial.counted]
            raise SearchFailed(
                f"{why}{f'; {len(failed)} trials failed, the last: {failed[-1].error}' if failed else ''}"
            )
        write_csv(trials, self.folder.trials_csv, [objective.name for objective in self.settings.judged_by])
        notes = self._notes(why, trials, best)
        if (result := self._kept_before(notes, progress)) is not None:
            return result
        progress.training(self.settings.final_epochs)
        outcome = self.session.train_on(
            FinalRequest(
                folder=str(self.folder),
                candidate={field: getattr(best, field) for field in CANDIDATE},
                epochs=self.settings.final_epochs,
                seed=self.settings.seed,
                notes=notes,
                monitor=self.settings.monitor,
            ),
            epoch=progress.epoch,
        )
        if outcome.status is Status.FAILED:
            raise SearchFailed(f"the training of the best candidate failed: {outcome.reason}")
        return outcome.result

    def _kept_before(self, notes: dict[str, Any], progress: Progress) -> dict[str, Any] | None:
        """What result.json says, where it is of these trials, and the model is there and whole."""
        folder = self.folder
        try:
            result = folder.results() or {}
        except ValueError as error:
            aside = set_aside(folder.result)
            progress.note(f"{folder.result} cannot be read: {error}; it was kept as {aside.name}")
            return None
        same = {"trial": notes["trial"], "trials": notes["trials"], "epochs": self.settings.final_epochs}
        if not result.keys() >= self.problem.told or any(result.get(name) != value for name, value in same.items()):
            return None
        if not is_whole_archive(folder.best):
            progress.note(f"{folder.best} is not there, or torn; the best candidate is trained again")
            return None
        if self.problem.is_of_images and not is_whole_archive(folder.test):
            progress.note(f"{folder.test} is not there, or torn; it is written again")
            self.problem.save_test(folder)
        return result

    def _notes(self, why: str, trials: list[Trial], best: Trial) -> dict[str, Any]:
        """What result.json says of the search, besides the training's result."""
        return {
            "trial": best.number,
            "trials": sum(trial.counted for trial in trials),
            "trials_completed": sum(trial.completed for trial in trials),
            "architectures": architectures([trial for trial in trials if trial.completed]),
            "ended": why,
            **({"lineage": line} if (line := _lineage(best, trials)) else {}),
            **({"tracker": trackers.shown(self._tracker)} if self._tracker else {}),
            "pareto": [trial.number for trial in self.study.pareto()] if len(self.settings.objectives) > 1 else [],
        }


def _lineage(best: Trial, trials: list[Trial]) -> list[dict[str, Any]]:
    """The best trial's ancestors and itself, what is another in each, and how it began; empty where it has none."""
    return [{"trial": trial.number, "changed": trial.changed, "start": trial.start} for trial in descent(best, trials)]
