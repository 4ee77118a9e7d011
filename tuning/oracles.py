"""KerasTuner's four ways to choose candidates, each bound to draw only what is accepted."""

import math

import keras_tuner
from keras_tuner import oracles

OBJECTIVE = keras_tuner.Objective("val_accuracy", "max")

MOST_DRAWS = 1000
"""Draws of one candidate before the search ends for want of one."""

MOST_FAILURES = 5
"""Trials that may fail one after another before the search is ended: then it is not the candidates' fault."""


class Accepting:
    """Mixed into an oracle: a candidate that `accepts` refuses is drawn again, before it becomes a trial.

    It hooks in where KerasTuner 1.4 draws: `_random_values` for random search, for Hyperband and for the first points
    of Bayesian optimization, `populate_space` for the rest.
    """

    accepts = None

    def _random_values(self):
        for _ in range(MOST_DRAWS):
            values = super()._random_values()
            if values is None or self.accepts(values):
                return values
        return None

    def populate_space(self, trial_id):
        response = super().populate_space(trial_id)
        values = response.get("values")
        if response["status"] != "RUNNING" or "tuner/trial_id" in values or self.accepts(values):
            return response
        other = self._instead_of(values)
        return {"status": "STOPPED" if other is None else "RUNNING", "values": other}

    def planned_epochs(self, epochs) -> int:
        """How many epochs all trials take together, if each takes so many at most."""
        return self.max_trials * epochs

    def _instead_of(self, values):
        return self._random_values()


class RandomOracle(Accepting, oracles.RandomSearchOracle):
    """Draws at random."""


class BayesianOracle(Accepting, oracles.BayesianOptimizationOracle):
    """Draws where a Gaussian process expects the best."""


class HyperbandOracle(Accepting, oracles.HyperbandOracle):
    """Draws many for few epochs, and gives the better ones more."""

    def count(self) -> int:
        """How many trials all brackets hold."""
        return sum(size for size, _ in self._stages())

    def planned_epochs(self, epochs) -> int:
        whole = sum(size * each for size, each in self._stages())
        return math.ceil(whole * self.max_trials / self.count())

    def _stages(self):
        """(number of trials, epochs of each) for each round of each bracket."""
        for bracket in range(self._get_num_brackets()):
            for stage in range(self._get_num_rounds(bracket)):
                yield self._get_size(bracket, stage), self._get_epochs(bracket, stage)


class GridOracle(Accepting, oracles.GridSearchOracle):
    """Goes through all combinations in order."""

    def _get_next_combination(self, values):
        for _ in range(MOST_DRAWS):
            values = super()._get_next_combination(values)
            if values is None or self.accepts(values):
                return values
        return None

    def _instead_of(self, values):
        return self._get_next_combination(values)


def make_oracle(tuner: str, accepts, *, trials: int | None, epochs: int, seed: int):
    """An oracle for the highest validation accuracy.

    Args:
        tuner: "random", "bayesian", "hyperband" or "grid".
        accepts: function of a dict of values, whether they may be a candidate.
        trials: how many; `None`, with Hyperband only, for all that its brackets hold.
        epochs: for Hyperband, the most of one trial.
        seed: not 0, which KerasTuner takes for none.

    Returns:
        A `keras_tuner.Oracle`.
    """
    options = {"objective": OBJECTIVE, "seed": seed, "max_consecutive_failed_trials": MOST_FAILURES}
    if tuner == "hyperband":
        oracle = HyperbandOracle(max_epochs=epochs, **options)
        oracle.max_trials = min(trials or oracle.count(), oracle.count())
    elif tuner == "bayesian":
        oracle = BayesianOracle(max_trials=trials, num_initial_points=max(3, math.ceil(trials / 4)), **options)
    else:
        oracle = {"random": RandomOracle, "grid": GridOracle}[tuner](max_trials=trials, **options)
    oracle.accepts = accepts
    oracle.verbose = 0
    return oracle
