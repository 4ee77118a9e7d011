"""Optuna's samplers by name, seeded so that a search that was interrupted draws what it would have."""

import io
import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from pickle import Unpickler, UnpicklingError
from typing import Any

import optuna
from optuna import Study, samplers
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from keras_blocks.core import validation
from keras_blocks.tuning.seeds import CANDIDATES, derived_seed
from keras_blocks.tuning.study.breeding import Breeding
from keras_blocks.tuning.study.sources import Drawable

MOST_COMBINATIONS = 1_000_000
"""A grid may have so many, as Optuna holds it as a list."""


SAMPLERS: dict[str, Callable[[int, Any], BaseSampler]] = {
    "tpe": lambda seed, space: samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True),
    "random": lambda seed, space: samplers.RandomSampler(seed=seed),
    "gp": lambda seed, space: samplers.GPSampler(seed=seed, deterministic_objective=False),
    "cmaes": lambda seed, space: samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "nsgaii": lambda seed, space: samplers.NSGAIISampler(seed=seed, population_size=20),
    "qmc": lambda seed, space: samplers.QMCSampler(
        seed=0, scramble=True, warn_independent_sampling=False, warn_asynchronous_seeding=False
    ),
    "grid": lambda seed, space: samplers.GridSampler(grid_of(space), seed=0),
    "morph": lambda seed, space: Breeding(seed),
}
"""What makes the sampler of each name, of a seed and the space."""

SINGLE_OBJECTIVE = ("cmaes",)
"""Samplers that know one objective only."""

CMAES_STATE = {
    ("cmaes._cma", "CMA"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *(
        (module, name)
        for module in ("numpy._core.multiarray", "numpy.core.multiarray")
        for name in ("_reconstruct", "scalar")
    ),
}
"""What Optuna's CMA-ES sampler keeps of itself in the study is made of."""


def make_sampler(name: str, seed: int, space: Drawable | None = None, objectives: int = 1) -> BaseSampler:
    """An Optuna sampler, which draws a trial by its number: the same seed gives the same draws, after a kill too.

    Args:
        name: "tpe", "random", "gp", "cmaes", "nsgaii", "qmc", "grid" or "morph".
        seed: from 0.
        space: what is drawn from, for a grid.
        objectives: how many.

    Raises:
        ValueError: for another name, a sampler that cannot have several objectives, a grid too large.

    Example:

    >>> make_sampler("tpe", seed=0)
    SeededByTrial('tpe', seed=0)
    """
    validation.choice("sampler", name, tuple(SAMPLERS))
    if objectives > 1 and name in SINGLE_OBJECTIVE:
        raise ValueError(
            f"`sampler` must be one that takes {objectives} objectives, such as 'nsgaii'; received {name!r}."
        )
    return SeededByTrial(name, seed, space)


class SeededByTrial(BaseSampler):
    """Makes the named sampler anew for each trial, with a seed that follows from the trial's number.

    Optuna's samplers keep their random state in the process, so one that starts again repeats its first draws. What
    they must remember (generations, a covariance) they keep in the study.
    """

    def __init__(self, name: str, seed: int, space: Drawable | None = None) -> None:
        self._name, self._seed, self._space = name, seed, space
        self._number: int | None = None
        self._sampler: BaseSampler | None = None
        self._sound: set[int] = set()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if self._name == "cmaes":
            _check_cmaes_states(study, self._sound)
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._of(trial).before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        try:
            self._of(trial).after_trial(study, trial, state, values)
        except RuntimeError as error:  # a grid at its end stops `Study.optimize`, which we do not use
            if "Study.stop" not in str(error):
                raise

    def is_exhausted(self, study: Study) -> bool:
        """Whether there is nothing left to draw, as there is of a grid."""
        sampler = self._of(None) if self._name == "grid" else None
        return isinstance(sampler, optuna.samplers.GridSampler) and sampler.is_exhausted(study)

    def parent_of(self, trial: int) -> FrozenTrial | None:
        """The trial whose child the one of this number is, which was drawn last; `None` where it has no parent."""
        mine = self._sampler if trial == self._number else None
        return mine.parent if isinstance(mine, Breeding) else None

    def _of(self, trial: FrozenTrial | None) -> BaseSampler:
        # A grid has no seed, and is long to make.
        number = None if trial is None or self._name == "grid" else trial.number
        if self._sampler is None or number != self._number:
            seed = derived_seed(self._seed, CANDIDATES, number or 0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._sampler = SAMPLERS[self._name](seed, self._space)
            self._number = number
        return self._sampler

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r}, seed={self._seed})"


class _StateReader(Unpickler):
    """Reads what `CMAES_STATE` allows: a pickle can call any function, and a study may come from anyone."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in CMAES_STATE:
            raise UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)


def _check_cmaes_states(study: Study, sound: set[int]) -> None:
    """Refuses a study whose trials hold what is no state of CMA-ES, before Optuna unpickles it.

    Args:
        study: Optuna's.
        sound: numbers of the trials that were looked at, which are added to.
    """
    for trial in study.get_trials(deepcopy=False):
        parts = {key: value for key, value in trial.system_attrs.items() if key.startswith("cma:optimizer")}
        if not parts or trial.number in sound:
            continue
        try:
            state = "".join(parts[f"cma:optimizer:{i}"] for i in range(len(parts)))
            _StateReader(io.BytesIO(bytes.fromhex(state))).load()
        except Exception as error:  # as pickles go, of any kind
            raise ValueError(
                f"`study`: what trial {trial.number} holds as the state of 'cmaes' is none ({error!r}); the study was "
                "not written by this library. Nothing of it was run."
            ) from error
        if trial.state.is_finished():
            sound.add(trial.number)


def grid_of(space: Drawable) -> dict[str, list[Any]]:
    """All values of each dimension, by its name in Optuna.

    Raises:
        ValueError: where they have more combinations than can be held.
    """
    grid = space.grid()
    combinations = math.prod(len(values) for values in grid.values())
    if combinations > MOST_COMBINATIONS:
        largest = sorted(grid, key=lambda name: -len(grid[name]))
        raise ValueError(
            f"`sampler` 'grid' can go through {MOST_COMBINATIONS:,} combinations at most; this space has "
            f"{combinations:,}. Fix or narrow some of {', '.join(itertools.islice(largest, 5))}, or take 'qmc'."
        )
    return grid
