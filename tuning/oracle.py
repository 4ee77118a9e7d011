"""OptunaOracle: Optuna's samplers and storages for KerasTuner's tuners."""

import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine import trial as kt_trial
from optuna.samplers import BaseSampler

from keras_blocks.core import validation
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.budget import Budget, inspected
from keras_blocks.tuning.spaces.table import GivenSource
from keras_blocks.tuning.storage.leases import Lease
from keras_blocks.tuning.storage.sqlite_file import set_aside_if_damaged
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.storage.store import GRACE, StudyStorage, quiet_optuna, sqlite_url
from keras_blocks.tuning.storage.trial import Trial
from keras_blocks.tuning.study.drawing import StudyEnded
from keras_blocks.tuning.study.pruners import make_pruner
from keras_blocks.tuning.study.samplers import make_sampler
from keras_blocks.tuning.study.study import MOST_FAILURES, Study
from keras_blocks.tuning.user_spaces.keras_tuner_space import KerasTunerSpace

STATUSES = {
    Status.COMPLETED: "COMPLETED",
    Status.FAILED: "FAILED",
    Status.PRUNED: "STOPPED",
    Status.RUNNING: "RUNNING",
}
"""KerasTuner's words; what Optuna lets wait is idle there."""


class OptunaOracle(keras_tuner.Oracle):
    """Chooses a KerasTuner tuner's trials by Optuna, and keeps them in Optuna's storage.

    All state is in the storage, written in transactions: a process that is killed leaves it whole, and another one
    goes on. Several tuners, on several machines, may share a study by its name and storage; KerasTuner's own chief,
    which takes commands from anyone on the network, is not needed. A trial whose process is gone is run again.

    Our own `Search` adds what a tuner cannot do: trials in processes of their own, checkpoints, pruning.

    Args:
        objective: as KerasTuner takes it: a name, a `keras_tuner.Objective`, or a list of them, for which Optuna looks
            for the Pareto front.
        max_trials: to end after.
        sampler: "tpe", "random", "gp", "cmaes", "nsgaii", "qmc" or "grid", or a sampler of Optuna. "morph" is
            `Search`'s alone: a tuner's trials do not begin with others' weights.
        storage: URL, "sqlite:///..." or "postgresql://..."; by default the file optuna.db in the tuner's project.
        study_name: by default the tuner's project name.
        hypermodel: a `HyperArchitecture`: with it, candidates above the budget and those that come to the same model
            and training as an earlier one are drawn again, and a changed search space is found out.
        budget: a `Budget`; needs `hypermodel`.
        seed: from 0.
        grace: seconds without a sign of life until a trial is taken for left. A tuner gives signs when it reports, so
            this must be longer than its longest trial, unless all processes are on one machine.
        hyperparameters, allow_new_entries, tune_new_entries, max_consecutive_failed_trials: see `keras_tuner.Oracle`.

    Raises:
        TypeError, ValueError: for an argument out of range; for a study that was begun otherwise.

    Example:

    >>> import keras_tuner
    >>> from keras_blocks.tuning import HyperSqueezeNet, OptunaOracle, load_dataset
    >>> data = load_dataset("digits")
    >>> oracle = OptunaOracle("val_accuracy", max_trials=1, sampler="tpe", seed=0)
    >>> hyper = HyperSqueezeNet.from_dataset(data)
    >>> tuner = keras_tuner.Tuner(oracle, hyper, directory="runs", project_name="optuna")
    >>> tuner.search(data.x_train, data.y_train, validation_data=(data.x_val, data.y_val), epochs=1, verbose=0)
    >>> len(oracle.get_best_trials())
    1
    """

    def __init__(
        self,
        objective: str | keras_tuner.Objective | list[keras_tuner.Objective] = "val_accuracy",
        max_trials: int = 10,
        *,
        sampler: str | BaseSampler = "tpe",
        storage: str | None = None,
        study_name: str | None = None,
        hypermodel: HyperArchitecture | None = None,
        budget: Budget | None = None,
        seed: int = 0,
        grace: int = 100 * GRACE,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_consecutive_failed_trials: int = MOST_FAILURES,
    ) -> None:
        validation.integer("max_trials", max_trials, most=1_000_000)
        seed = validation.integer("seed", seed, least=0, most=2**32 - 1)
        self._leases: dict[str, Lease] = {}
        self._known: dict[str, kt_trial.Trial] = {}
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            seed=seed,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.seed = seed  # KerasTuner takes 0 for none
        if budget is not None and not isinstance(budget, Budget):
            raise TypeError(f"`budget` must be a Budget; received {budget!r}.")
        if hypermodel is not None and not isinstance(hypermodel, HyperArchitecture):
            raise TypeError(f"`hypermodel` must be a search space, such as a HyperResNet; received {hypermodel!r}.")
        if budget is not None and hypermodel is None:
            raise ValueError("`hypermodel` must be given with `budget`, to know what a candidate costs; received None.")
        self._hypermodel, self._budget = hypermodel, budget or Budget()
        self._sampler, self._grace = sampler, validation.integer("grace", grace, most=10_000_000)
        self._study_name, self._storage = study_name, storage
        self._study: Study | None = None
        if not isinstance(sampler, BaseSampler):
            self._made_sampler(None)  # refuses what is unknown

    # -- KerasTuner's side -------------------------------------------------------------------------------------------

    @property
    def study(self) -> Study:
        """The study, opened when it is first needed: the tuner says where its project is."""
        if self._study is None:
            own = Path(self._project_dir) / "optuna.db"
            if self._storage is None:
                set_aside_if_damaged(own)
            storage = StudyStorage(self._storage or sqlite_url(own), grace=self._grace)
            with quiet_optuna():
                self._study = Study(
                    storage,
                    self._study_name or self.project_name or self._project_name,
                    space=KerasTunerSpace(self.hyperparameters.space),
                    sampler=None,  # made when the space is known
                    pruner=make_pruner("none", 1),
                    directions=["maximize" if item.direction == "max" else "minimize" for item in self._objectives],
                    identity={
                        "objectives": [[item.name, item.direction] for item in self._objectives],
                        "sampler": self._sampler if isinstance(self._sampler, str) else type(self._sampler).__name__,
                        "seed": self.seed,
                    },
                    inspect=self._inspected,
                    max_trials=self.max_trials,
                    seed=self.seed,
                    most_failures=self.max_consecutive_failed_trials,
                )
            self._check_space()
        return self._study

    @property
    def trials(self) -> dict[str, kt_trial.Trial]:
        """All trials that count, by their ids."""
        if "_study" not in self.__dict__:  # KerasTuner's constructor
            return {}
        return {item.trial_id: item for item in map(self._converted, self._counted())}

    @trials.setter
    def trials(self, value: Any) -> None: ...

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def create_trial(self, tuner_id: str) -> kt_trial.Trial:
        """The trial that the tuner is to run: a new one, or one that another process left.

        Args:
            tuner_id: name of the tuner.

        Returns:
            A trial of KerasTuner, with the status "RUNNING", "IDLE" or "STOPPED".
        """
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        self.study.space = KerasTunerSpace(self.hyperparameters.space)
        self.study.optuna.sampler = self._made_sampler(self.study.space)
        try:
            lease = self.study.next(tuner_id)
        except StudyEnded:
            return self._made(None, {}, "STOPPED")
        if lease is None:
            time.sleep(0.2)  # a tuner asks again at once
            return self._made(None, {}, "IDLE")
        trial = self._made(lease.number, lease.values, "RUNNING")
        self._leases[trial.trial_id] = lease
        self._known[trial.trial_id] = self.ongoing_trials[tuner_id] = trial
        self._display.on_trial_begin(trial)
        return trial

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> kt_trial.Trial:
        """Reports metrics of a running trial."""
        self._check_objective_found(metrics)
        trial = self._known[trial_id]
        for name, value in metrics.items():
            if not trial.metrics.exists(name):
                trial.metrics.register(name, direction=_direction(self._objectives, name))
            trial.metrics.update(name, value, step=step)
        self.study.beat(self._leases[trial_id])
        return trial

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def end_trial(self, trial: kt_trial.Trial) -> None:
        """Ends a trial: with its objectives, or as failed, which NaN and infinite objectives are, too."""
        mine = self._known[trial.trial_id]
        mine.status, mine.message, mine.hyperparameters = trial.status, trial.message, trial.hyperparameters
        self.update_space(trial.hyperparameters)
        lease = self._leases[trial.trial_id]
        if mine.hyperparameters.values != lease.values:  # building asked for more
            candidate = {**lease.candidate, "values": dict(mine.hyperparameters.values)}
            lease.trial.set_user_attr("candidate", candidate)
        if mine.status == kt_trial.TrialStatus.COMPLETED:
            values = [_best(mine, item) for item in self._objectives]
            curves = {
                name: [float(item.mean()) for item in history.get_history()]
                for name, history in mine.metrics.metrics.items()
            }
            result = {"curves": curves, **{name: values[-1] for name, values in curves.items() if values}}
            try:
                self.study.complete(lease, values, result)
                self.score_trial(mine)
            except ValueError as error:
                mine.status, mine.message, mine.score = kt_trial.TrialStatus.FAILED, str(error), None
        if mine.status != kt_trial.TrialStatus.COMPLETED:
            mine.status = kt_trial.TrialStatus.FAILED
            self.study.fail(lease, mine.message or "the tuner gave no reason")
        self._display.on_trial_end(mine)
        for tuner_id, running in list(self.ongoing_trials.items()):
            if running.trial_id == trial.trial_id:
                del self.ongoing_trials[tuner_id]
        ended = [item for item in self._counted() if item.ended is not None]
        last = sorted(ended, key=lambda item: item.ended or 0.0)[-self.max_consecutive_failed_trials :]
        if len(last) == self.max_consecutive_failed_trials and all(item.status is Status.FAILED for item in last):
            raise RuntimeError(
                f"Number of consecutive failures exceeded the limit of {len(last)}.\n{last[-1].error or ''}"
            )

    def get_trial(self, trial_id: str) -> kt_trial.Trial:
        """The trial of this id."""
        return self._known[trial_id] if trial_id in self._known else self.trials[trial_id]

    def get_best_trials(self, num_trials: int = 1) -> list[kt_trial.Trial]:
        """The best completed trials; of several objectives, by KerasTuner's sum."""
        completed = [trial for trial in self.trials.values() if trial.status == kt_trial.TrialStatus.COMPLETED]
        worst_first = self.objective.direction == "max"
        return sorted(completed, key=lambda trial: trial.score or 0.0, reverse=worst_first)[:num_trials]

    def remaining_trials(self) -> int:
        return int(self.max_trials) - len(self._counted())

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Not used: `create_trial` draws under the storage's lock."""
        raise NotImplementedError("OptunaOracle draws in `create_trial`.")

    def save(self) -> None:
        """Nothing: the storage has it all already."""
        if self._study is not None:
            self._check_space()

    def reload(self) -> None:
        """Takes the space that the study was begun with, and checks the hypermodel's against it."""
        stored = self.study.optuna.user_attrs.get("space")
        if stored is not None:
            self.hyperparameters.merge(
                keras_tuner.HyperParameters.from_config({"space": copy.deepcopy(stored), "values": {}})
            )
        if self._hypermodel is not None:
            hp = keras_tuner.HyperParameters()
            self._hypermodel.declare_hyperparameters(hp)
            self.update_space(hp)
            _compare(stored or [], hp.get_config()["space"], self.study.name, gone=True)

    # -- between the two ---------------------------------------------------------------------------------------------

    @property
    def _objectives(self) -> list[keras_tuner.Objective]:
        return list(getattr(self.objective, "objectives", None) or [self.objective])

    def _made_sampler(self, space: KerasTunerSpace | None) -> BaseSampler:
        if isinstance(self._sampler, BaseSampler):
            return self._sampler
        if self._sampler == "morph":
            raise ValueError(
                "`sampler` must not be 'morph', which breeds: trials of KerasTuner's tuners cannot begin with the "
                "weights of others. Search with `Search(SearchSettings(sampler='morph'), ...)`, or take 'nsgaii'."
            )
        return make_sampler(self._sampler, self.seed, space, objectives=len(self._objectives))

    def _check_space(self) -> None:
        """Refuses ranges that the study was begun with otherwise; what is new to it is added."""
        space = self.hyperparameters.get_config()["space"]
        stored = self.study.optuna.user_attrs.get("space") or []
        _compare(stored, space, self.study.name)
        if len(space) > len(stored):
            self.study.optuna.set_user_attr("space", space)

    def _inspected(self, values: dict[str, Any]) -> dict[str, Any]:
        if self._hypermodel is None:
            return {}
        trials = self.study.trials() if self._budget.max_latency is not None else ()
        return inspected(self._hypermodel.candidate(GivenSource(values)), self._budget, trials)

    def _counted(self) -> list[Trial]:
        return [trial for trial in self.study.trials() if trial.counted]

    def _made(self, number: int | None, values: dict[str, Any], status: str) -> kt_trial.Trial:
        hp = self.hyperparameters.copy()
        hp.values = dict(values)
        return kt_trial.Trial(hyperparameters=hp, trial_id=None if number is None else _id(number), status=status)

    def _converted(self, trial: Trial) -> kt_trial.Trial:
        """A trial of KerasTuner from a record."""
        if _id(trial.number) in self._known:
            return self._known[_id(trial.number)]
        made = self._made(trial.number, trial.values, STATUSES.get(trial.status, "IDLE"))
        made.message = trial.error
        for item, value in zip(self._objectives, trial.objectives):
            made.metrics.register(item.name, direction=item.direction)
            made.metrics.update(item.name, value)
        if trial.completed:
            values = {item.name: value for item, value in zip(self._objectives, trial.objectives)}
            several = len(self._objectives) > 1
            made.score = self.objective.get_value(values) if several else next(iter(values.values()))
        return made

    def score_trial(self, trial: kt_trial.Trial) -> None:
        """The objective, or KerasTuner's sum of several."""
        if len(self._objectives) > 1:
            best = {item.name: _best(trial, item) for item in self._objectives}
            trial.score = self.objective.get_value(best)
        else:
            super().score_trial(trial)


def _id(number: int) -> str:
    """KerasTuner's tuners make folders of ids, which sort as they should."""
    return f"{number:06d}"


def _best(trial: kt_trial.Trial, objective: keras_tuner.Objective) -> float:
    """The best of what was reported; NaN where any of it is NaN or infinite."""
    values = [float(item.mean()) for item in trial.metrics.get_history(objective.name)]
    if not all(map(math.isfinite, values)):
        return math.nan
    return max(values) if objective.direction == "max" else min(values)


def _direction(objectives: list[keras_tuner.Objective], name: str) -> str | None:
    return next((item.direction for item in objectives if item.name == name), None)


def _compare(stored: list[Any], space: list[Any], study: str, *, gone: bool = False) -> None:
    """Raises where a hyperparameter has another range than when the study was begun, or is gone."""
    now = {_key(item): item for item in json.loads(json.dumps(space))}
    told = f"`hypermodel`: the study {study!r} was begun with %s. Its trials would not compare; give another project."
    for item in stored:
        there, here = item["config"], now.get(_key(item), item)["config"]
        if changed := [
            f"{part}={there[part]!r} there and {here.get(part)!r} here"
            for part in there
            if there[part] != here.get(part)
        ]:
            raise ValueError(told % f"another {there['name']!r}: {', '.join(changed)}")
    if gone and (names := [item["config"]["name"] for item in stored if _key(item) not in now]):
        raise ValueError(told % f"{names}, which are gone")


def _key(item: dict[str, Any]) -> str:
    """What makes two hyperparameters one: name and conditions."""
    return json.dumps([item["config"]["name"], item["config"]["conditions"]], sort_keys=True, default=str)
