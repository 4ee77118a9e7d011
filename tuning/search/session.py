"""What all processes of one search share: its study, its space, and workers that run its trials."""

import copy
import dataclasses
import functools
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_blocks.tuning import layer_times
from keras_blocks.tuning.console import is_place
from keras_blocks.tuning.memory import memory_of_machine
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.progress import NoProgress, Progress
from keras_blocks.tuning.search.settings import SearchSettings
from keras_blocks.tuning.search.worker import Worker
from keras_blocks.tuning.seeds import CANDIDATES, derived_seed
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.budget import inspected
from keras_blocks.tuning.spaces.families import space_from_config
from keras_blocks.tuning.spaces.table import GivenSource
from keras_blocks.tuning.storage.place import Place
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.store import StudyStorage, sqlite_url, stored_study
from keras_blocks.tuning.study.pruners import Rungs, make_pruner
from keras_blocks.tuning.study.samplers import make_sampler
from keras_blocks.tuning.study.sources import SizedDrawable
from keras_blocks.tuning.study.study import Study
from keras_blocks.tuning.trials.protocol import FinalRequest, Setup
from keras_blocks.tuning.trials.supervisor import MEMORY_SHARE, OnEpoch, Outcome, Supervisor
from keras_blocks.tuning.trials.trackers import Tracker, tracker_of
from keras_blocks.tuning.user_spaces import user_code
from keras_blocks.tuning.user_spaces.given_data import GivenData
from keras_blocks.tuning.user_spaces.hyper_model import HyperModelSpace
from keras_blocks.tuning.user_spaces.user_things import Where, named_here, thing_at


class Session:
    """One process' part in a search.

    Args:
        settings: `SearchSettings`.
        space: a `HyperArchitecture`, or a `HyperModelSpace`.
        folder: a `RunFolder`, for checkpoints and models.
        place: of the study.
        backend: of Keras, by name.
        data_sha256: the data's fingerprint.
        data: where another process finds the function that gives the data, where they are a user's own.
        callbacks: the same of the user's callbacks.
        supervisor: makes what trains, as `Supervisor` is made.
        study: makes a connection to the study, as `Study` is made.
        inspect: function of a candidate, a budget and trials: what the candidate comes to.
        look_seconds: between two looks at the study, for the progress and the time that is left.
        save_seconds: between two notes of the time that was searched: what a kill can lose of it.
    """

    def __init__(
        self,
        settings: SearchSettings,
        space: HyperArchitecture | HyperModelSpace,
        folder: RunFolder,
        *,
        place: Place,
        backend: str,
        data_sha256: str,
        data: Where | None = None,
        callbacks: Where | None = None,
        supervisor: Callable[..., Supervisor] = Supervisor,
        study: Callable[..., Study] = Study,
        inspect: Callable[..., dict[str, Any]] = inspected,
        look_seconds: float = 1.0,
        save_seconds: float = 5.0,
    ) -> None:
        self.settings = settings
        self.rungs: Rungs | None = None
        self.space, self.folder, self.place = space, folder, place
        self._backend, self._data_sha256 = backend, data_sha256
        tracker = tracker_of(settings.tracker, settings.tracker_at, folder.path)
        self._setup = _setup(settings, space, data_sha256, data, callbacks, tracker)
        self._make_supervisor, self._make_study, self._inspect = supervisor, study, inspect
        self._look_seconds, self._save_seconds = look_seconds, save_seconds
        self.study = self.open_study()
        self.note: Callable[[str], None] = lambda text: None
        self._supervisors: list[Supervisor] = []

    @classmethod
    def joined(cls, name: str, url: str, folder: RunFolder, **changes: Any) -> "Session":
        """The session of a search that was begun elsewhere, from what its study says.

        Args:
            name: of the study.
            url: of its storage.
            folder: a `RunFolder`.
            **changes: settings that are others here, such as `workers` and `data`.

        Raises:
            ValueError: where there is no such study.
        """
        with stored_study(name, url) as stored:
            about, identity = stored.user_attrs["search"], stored.user_attrs["identity"]
        # What a study says of other places is not followed: only the search itself logs to its tracker.
        settings = SearchSettings.of(about["settings"], **{"tracker": None, "tracker_at": None, **changes})
        data = None
        try:
            space: HyperArchitecture | HyperModelSpace
            if "hypermodel" in about["space"]:
                space = HyperModelSpace.from_config(about["space"], importing=False)
                data = named_here(settings.data, "data", changes) if is_place(settings.data) else None
            else:
                space = space_from_config(about["space"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"`study`: the space of {name!r} cannot be read: {error!r}.") from error
        _check(space, settings, data)
        return cls(
            settings,
            space,
            folder,
            place=Place(name, url, identity.get("run")),
            backend=about["backend"],
            data_sha256=about["data_sha256"],
            data=data,
            callbacks=None if settings.callbacks is None else named_here(settings.callbacks, "callbacks", changes),
        )

    @classmethod
    def copied(cls, told: dict[str, Any], folder: RunFolder) -> "Session":
        """A session with one worker, as another process of the same user told of it by `copy`.

        What is theirs is imported here: nothing of it comes from a file or a database.
        """
        about = told["about"]
        for origin in told["imports"]:
            user_code.bring_in(origin)
        own, settings = "hypermodel" in about["space"], SearchSettings.of(about["settings"], workers=1)
        space = HyperModelSpace.from_config(about["space"]) if own else space_from_config(about["space"])
        _check(space, settings, told["data"])
        return cls(
            settings,
            space,
            folder,
            place=told["place"],
            backend=about["backend"],
            data_sha256=about["data_sha256"],
            data=told["data"],
            callbacks=told["callbacks"],
        )

    def copy(self) -> dict[str, Any]:
        """What `copied` takes, to be pickled."""
        setup = self._setup
        where = {"imports": setup.imports, "data": (setup.task or {}).get("data"), "callbacks": setup.callbacks}
        return {"about": self._about(), "place": self.place, **where}

    def open_study(self) -> Study:
        """A connection to the study; each thread needs one of its own."""
        settings, space = self.settings, self.space
        if isinstance(space, HyperModelSpace):
            space = copy.copy(space)
            if settings.sampler != "grid":  # which is fixed before the first trial
                space.found = lambda: study.found()
        storage = StudyStorage(self.place.url, grace=settings.grace)
        if self.rungs is None:
            begun = storage.identity_of(self.place.study)
            settings, self.rungs = settings.settled(begun, sized=isinstance(space, SizedDrawable))
            self.settings = settings
        study: Study = self._make_study(
            storage,
            self.place.study,
            space=space,
            sampler=make_sampler(settings.sampler, settings.seed, space, objectives=len(settings.objectives)),
            pruner=make_pruner(settings.pruner, settings.epochs, self.rungs.first),
            directions=[objective.direction for objective in settings.judged_by],
            identity={
                "settings": settings.identity(),
                "backend": self._backend,
                "data_sha256": self._data_sha256,
                "space": space.identity(),
                **({"rungs": self.rungs.kept()} if self.rungs.batches else {}),
                **({"run": self.place.run} if self.place.run else {}),
            },
            inspect=lambda values: self._inspected(study, space, values),
            max_trials=settings.trials,
            seed=derived_seed(settings.seed, CANDIDATES),
            begin=settings.begin,
            stops=settings.stop == "auto",
        )
        return study

    def publish(self) -> None:
        """Tells workers elsewhere what they need to join."""
        self.study.optuna.set_user_attr("search", self._about())
        if self.place.url != sqlite_url(self.folder.study):  # else it is copied with the folder
            self.study.keep_folder(self.folder.path.resolve())

    def _about(self) -> dict[str, Any]:
        return {
            "settings": dataclasses.asdict(self.settings),
            "space": self.space.get_config(),
            "backend": self._backend,
            "data_sha256": self._data_sha256,
        }

    def run(self, progress: Progress | None = None, *, devices: Sequence[str] = ()) -> str:
        """Runs trials with as many workers as the settings say, until none is left.

        Args:
            progress: shows what happens, see `report.terminal.Progress`.
            devices: CUDA devices, one for each worker; their number is the workers' then.

        Returns:
            Why it ended.

        Raises:
            DiskFull: where nothing can be written; what was running was given back.
        """
        progress, stop = progress or NoProgress(), threading.Event()
        self.note = progress.note
        session, began, saved = uuid.uuid4().hex[:8], time.monotonic(), 0.0
        spent = self.study.add_time(session, saved)
        if self._predicts_latency() and sum(trial.counted for trial in self.study.trials()) < self.settings.trials:
            layer_times.make_known(self.note, (self.settings.max_seconds or math.inf) / 4)
        environments: list[dict[str, str]] = [{"CUDA_VISIBLE_DEVICES": str(device)} for device in devices]
        environments = environments or [{}] * self.settings.workers
        threads = [
            _Running(functools.partial(self._worker, i, environment, len(environments), stop))
            for i, environment in enumerate(environments)
        ]
        why = None
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                seconds = time.monotonic() - began
                if seconds - saved > self._save_seconds:
                    spent, saved = self.study.add_time(session, seconds), seconds
                now = spent + seconds - saved  # writing it each time would be a load for a study on a server
                self._show(progress, now)
                if self.settings.max_seconds is not None and now >= self.settings.max_seconds:
                    why = f"its {self.settings.max_seconds:g} seconds are spent"
                    stop.set()
                if any(thread.error is not None for thread in threads):
                    stop.set()
                next((thread for thread in threads if thread.is_alive()), threads[0]).join(self._look_seconds)
            spent = self.study.add_time(session, time.monotonic() - began)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            for supervisor in self._supervisors[1:]:
                supervisor.stop()
        for thread in threads:
            if thread.error is not None:
                raise thread.error
        trials = self.study.trials()
        self.folder.keep_models(self.settings.kept_numbers(trials), self.settings.kept_weights(trials))
        self.folder.sweep([trial.number for trial in trials if trial.status in (Status.RUNNING, Status.WAITING)])
        self._show(progress, spent)
        return why or threads[0].why

    def _supervisor(self, name: str, *, workers: int = 1, environment: Mapping[str, str] | None = None) -> Supervisor:
        """One that trains with this search's data and backend."""
        made = self._make_supervisor(
            self._setup,
            self.folder.log(name),
            max_seconds=self.settings.max_trial_seconds,
            max_memory=self._most_memory(workers),
            environment={"KERAS_BACKEND": self._backend, **(environment or {})},
            note=lambda text: self.note(text),
        )
        self._supervisors.append(made)
        return made

    def _worker(self, number: int, environment: Mapping[str, str], workers: int, stop: threading.Event) -> Worker:
        name = f"{socket.gethostname()}-{os.getpid()}-{number}"
        supervisor = self._supervisor(f"worker{number}", workers=workers, environment=environment)
        study, note = self.open_study(), lambda text: self.note(text)
        sign = self.space.signature if isinstance(self.space, HyperModelSpace) else None
        return Worker(name, study, supervisor, self.folder, self.settings, stop, note, sign, self.rungs)

    def train_on(self, request: FinalRequest, *, epoch: OnEpoch) -> Outcome:
        """Trains the model that is kept, in the process of a worker that has ended, where there is one.

        Args:
            request: what is trained. It may take as much longer than a trial as it has more epochs, and has all
                workers' memory.
            epoch: see `Supervisor.run`.
        """
        supervisor = self._supervisors[0] if self._supervisors else self._supervisor("final")
        seconds = self.settings.max_trial_seconds * max(1, request.epochs / self.settings.epochs)
        return supervisor.run(request, epoch=epoch, max_seconds=seconds, max_memory=self._most_memory())

    def stop(self) -> None:
        """Ends the processes that train."""
        for supervisor in self._supervisors:
            supervisor.stop()
        self._supervisors.clear()

    def _most_memory(self, workers: int = 1) -> int:
        return self.settings.max_memory or int(memory_of_machine() * MEMORY_SHARE / workers)

    def _show(self, progress: Progress, spent: float) -> None:
        settings = self.settings
        progress.update(
            self.study.trials(),
            objectives=settings.judged_by,
            max_trials=settings.trials,
            max_seconds=settings.max_seconds,
            now=spent,
        )

    def _inspected(
        self, study: Study, space: HyperArchitecture | HyperModelSpace, values: dict[str, Any]
    ) -> dict[str, Any]:
        """What drawn values come to."""
        trials = study.trials() if self.settings.max_latency is not None else ()
        if isinstance(space, HyperModelSpace):
            return space.inspected(values, self.settings.budget, trials)
        budget = self.settings.budget
        if not self._predicts_latency():  # the trial itself is measured
            budget = dataclasses.replace(budget, max_latency=None)
        return self._inspect(space.candidate(GivenSource(values)), budget, trials)

    def _predicts_latency(self) -> bool:
        """Whether this process knows how long layers take in trials: of our spaces, on the backend that is its own."""
        own = keras.backend.backend() == self._backend and not isinstance(self.space, HyperModelSpace)
        return self.settings.max_latency is not None and own


def _check(space: HyperArchitecture | HyperModelSpace, settings: SearchSettings, where: Where | None) -> None:
    """Builds the first model of a user's own space for an example, as where the search began: the study asks for it."""
    if isinstance(space, HyperModelSpace):
        if where is None:
            data = GivenData.from_dataset(settings.dataset())
        else:
            data = GivenData.from_function(thing_at(where), where["label"], settings.data_id)
        space.check(settings.budget, data.example())


def _setup(
    settings: SearchSettings,
    space: HyperArchitecture | HyperModelSpace,
    data_sha256: str,
    data: Where | None,
    callbacks: Where | None,
    tracker: Tracker | None,
) -> Setup:
    """What a process that trains loads."""
    given = (settings.data, settings.seed, settings.image_size)
    if isinstance(space, HyperModelSpace):
        imports: list[Any] = []
        task: dict[str, Any] | None = {"space": space.get_config(), "data": data, "data_id": settings.data_id}
        if isinstance(space.hypermodel, HyperArchitecture):
            imports = user_code.origins(space.hypermodel)
    else:
        imports, task = user_code.origins(space), None
    return Setup(*given, data_sha256, imports, task, callbacks, settings.folds, settings.data_memory, tracker)


class _Running(threading.Thread):
    """A worker at work. Its connections are made and closed in its own thread."""

    def __init__(self, make: Callable[[], Worker]) -> None:
        super().__init__(daemon=True)
        self._make = make
        self.error: BaseException | None = None
        self.why = "it was stopped"

    def run(self) -> None:
        try:
            worker = self._make()
            try:
                self.why = worker.run()
            finally:
                worker.study.close()
        except BaseException as error:  # raised again in the main thread
            self.error = error
