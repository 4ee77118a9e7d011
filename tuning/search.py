"""Search: candidates from a space, trials, the best one trained on and kept, all under one run folder."""

import dataclasses
import gc
import importlib.metadata
import json
import platform
import warnings

import keras

from keras_blocks.tuning import final, plots
from keras_blocks.tuning.data import load_dataset
from keras_blocks.tuning.oracles import make_oracle
from keras_blocks.tuning.quiet import Quiet
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.seeds import CANDIDATES, derived_seed
from keras_blocks.tuning.settings import SearchSettings
from keras_blocks.tuning.spaces import space_of
from keras_blocks.tuning.trials import TrialRecord, architectures
from keras_blocks.tuning.tuner import RecordedTuner

PACKAGES = ("keras-blocks", "keras", "keras-tuner", "numpy")


class SearchFailed(RuntimeError):
    """The search ended without a model."""


class Search:
    """A search of an architecture's metaparameters and hyperparameters, kept in a run folder.

    Creating it checks everything that a user can get wrong and makes, or finds, the folder; `run` does the work.

    Args:
        settings: `SearchSettings`.
        run: path of the run folder.
        resume: go on with the run that is there, which must have been started with the same settings, data, backend
            and search space.
        replace: remove the run that is there. Never removes anything else.

    Raises:
        TypeError, ValueError: for data or a folder that cannot be used; nothing was changed then.

    Example:

    >>> search = Search(SearchSettings(data="digits", trials=2, epochs=1, final_epochs=1), "runs/first")
    >>> result = search.run()
    >>> result["test_images"]
    359
    """

    def __init__(self, settings: SearchSettings, run, *, resume=False, replace=False):
        if resume and replace:
            raise ValueError("`resume` and `replace` exclude each other; received both.")
        self.settings = settings
        self.folder = RunFolder(run)
        found = self.folder.describe() if resume else None
        self.dataset = load_dataset(settings.data, seed=settings.seed, image_size=settings.image_size)
        self.space = space_of(settings.model).from_dataset(self.dataset)
        self.oracle = make_oracle(
            settings.tuner,
            self._accepts,
            trials=settings.trials,
            epochs=settings.epochs,
            seed=derived_seed(settings.seed, CANDIDATES),
        )
        self._smallest_refused = None
        description = self._description()
        if resume:
            self._check_same(description, found)
        else:
            self.folder.create(description, replace=replace)
        self.record = TrialRecord(self.folder.trials_json, self.folder.trials_csv)

    def run(self, progress=None) -> dict:
        """Runs the trials that are left, trains the best candidate on, and evaluates it on the test images.

        Args:
            progress: told of each trial and epoch, see `report.Progress`.

        Returns:
            What result.json holds.

        Raises:
            SearchFailed: where no candidate could be drawn, or none could be trained.
        """
        progress = progress or Quiet()
        settings, data = self.settings, self.dataset
        progress.begin(self.oracle.max_trials, self.oracle.planned_epochs(settings.epochs), settings.final_epochs)
        self._search(progress)
        best = self.record.best()
        if best is None:
            raise SearchFailed(self._why_none())
        plots.plot_trials(self.record.trials, best, self.folder.trials_png, title=self._title())
        if result := self.folder.results():
            return result
        progress.training()
        try:
            return final.train_and_keep(
                self.folder,
                data,
                self.space.architecture,
                best.metaparameters,
                best.hyperparameters,
                epochs=settings.final_epochs,
                seed=settings.seed,
                progress=progress,
                notes={
                    "trial": best.number,
                    "trials": len(self.record.trials),
                    "architectures": architectures(self.record.trials),
                },
            )
        except final.training.TrainingDiverged as error:
            raise SearchFailed(f"the best candidate, trial {best.number}, could not be trained on: {error}") from error

    def _search(self, progress):
        data = self.dataset
        self.folder.wipe_project()
        tuner = RecordedTuner(
            self.oracle,
            self.space,
            record=self.record,
            seed=self.settings.seed,
            epochs=self.settings.epochs,
            progress=progress,
            directory=self.folder.path,
            project_name=self.folder.project.name,
        )
        gc.freeze()  # clearing the session collects garbage before each trial, and would look at all modules each time
        try:
            with warnings.catch_warnings():
                # A Gaussian process that is fitted to few trials says so at each of them.
                warnings.filterwarnings("ignore", module="sklearn")
                tuner.search(data.x_train, data.y_train, validation_data=(data.x_val, data.y_val), verbose=0)
        except RuntimeError as error:
            if "consecutive failures" not in str(error):
                raise
            failed = [trial for trial in self.record.trials if not trial.completed]
            raise SearchFailed(f"{len(failed)} trials failed, the last ones in a row: {failed[-1].error}") from error
        finally:
            gc.unfreeze()

    def _accepts(self, values) -> bool:
        """Whether a candidate has few enough parameters, counted without building it."""
        if self.settings.max_params is None:
            return True
        hp = self.oracle.get_space()
        hp.values = dict(values)
        params = self.space.cost(hp).params
        if params <= self.settings.max_params:
            return True
        self._smallest_refused = min(params, self._smallest_refused or params)
        return False

    def _why_none(self) -> str:
        if self.record.trials:
            return f"all {len(self.record.trials)} trials failed, the last with: {self.record.trials[-1].error}"
        return (
            f"no candidate has {self.settings.max_params} parameters or fewer; the smallest one drawn has "
            f"{self._smallest_refused}."
        )

    def _title(self) -> str:
        return f"Trials of {self.settings.model} on {self.dataset.name}"

    def _description(self) -> dict:
        """What run.json says of the search."""
        return {
            "kind": "search",
            "settings": dataclasses.asdict(self.settings),
            "backend": keras.backend.backend(),
            "data_sha256": self.dataset.fingerprint(),
            "space": self._space_config(),
            "versions": {
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in PACKAGES},
            },
        }

    def _space_config(self) -> dict:
        """The search space as plain data."""
        hp = self.oracle.get_space()
        self.space.declare_hyperparameters(hp)
        return hp.get_config()["space"]

    def _check_same(self, description, found):
        """Refuses to go on with a run of other settings, data, backend or space."""
        if found.get("kind") != "search":
            raise ValueError(f"`resume`: {self.folder} holds no search, but a {found.get('kind')!r} run.")
        different = self.settings.differences(SearchSettings(**found["settings"]))
        if found["backend"] != description["backend"]:
            different.append(f"backend={found['backend']!r} there and {description['backend']!r} here")
        if not different and found["data_sha256"] != description["data_sha256"]:
            different.append("the images or labels of the data")
        if not different and found["space"] != json.loads(json.dumps(description["space"])):
            different.append("the search space, which another version of keras_blocks declared")
        if different:
            raise ValueError(
                f"`resume`: {self.folder} was started otherwise, and its trials would not compare: "
                f"{'; '.join(different)}. Give the same, or another run folder."
            )
