"""Optuna's database, read and written in few statements: its own take most of the time between two trials.

Private names of Optuna are in this file and in store.py; tests/tuning/test_optuna_doors.py has a list of them.
"""

import contextlib
import types
from collections.abc import Container, Iterator
from typing import Any, ClassVar

import optuna
import sqlalchemy.orm
from optuna.distributions import BaseDistribution
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState

TABLES = models.BaseModel.metadata.tables
"""The tables of a study, by name."""

_TRIALS = models.TrialModel.__table__
_BEATS = models.TrialHeartbeatModel.__table__
_BESIDE = {
    "params": models.TrialParamModel.__table__,
    "values": models.TrialValueModel.__table__,
    "user_attributes": models.TrialUserAttributeModel.__table__,
    "system_attributes": models.TrialSystemAttributeModel.__table__,
    "intermediate_values": models.TrialIntermediateValueModel.__table__,
}
"""What belongs to a trial, by Optuna's names of it."""

MOST_NAMED = 500
"""So many trials may be named in one statement."""


class Database(optuna.storages.RDBStorage):
    """Optuna's, which reads trials without making objects of their rows, and can write what belongs together at once.

    Each of Optuna's own reads and transactions takes milliseconds, and a trial needs dozens.
    """

    newest_tables: ClassVar[str | None] = None
    """The version of tables that this Optuna makes, which loads the programs of all its migrations to say it.

    That takes more time than all else when a study is opened, and is the same each time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._held: list[tuple[Any, ...]] | None = None
        self._seen: dict[Any, list[FrozenTrial]] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        super().__init__(*args, **{**kwargs, "skip_compatibility_check": True})
        Database.newest_tables = Database.newest_tables or self.get_head_version()
        if self.get_current_version() != Database.newest_tables:
            super().__init__(*args, **kwargs)  # which raises a RuntimeError that says what to do

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What one thread writes of a trial in this context is written at its end: all, or where it fails nothing.

        All trials, once they are read in it, stay as they were until its end.
        """
        held: list[tuple[Any, ...]] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
            self._seen.clear()
        with sqlalchemy.orm.Session(self.engine) as session, session.begin(), session.no_autoflush:
            for write, *arguments in held:
                write(session, *arguments)

    # -- what is read ------------------------------------------------------------------------------------------------

    def get_trial(self, trial_id: int) -> FrozenTrial:
        found = self._read(_TRIALS.c.trial_id == trial_id)
        return found[0] if found else super().get_trial(trial_id)  # which raises what Optuna expects

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        older = {trial_id for trial_id in included_trial_ids if trial_id <= trial_id_greater_than}
        if states is not None or len(older) > MOST_NAMED:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        key = (study_id, frozenset(older), trial_id_greater_than)
        if self._held is None or key not in self._seen:
            chosen = _TRIALS.c.trial_id > trial_id_greater_than
            chosen = sqlalchemy.or_(chosen, _TRIALS.c.trial_id.in_(older)) if older else chosen
            found = self._read(sqlalchemy.and_(_TRIALS.c.study_id == study_id, chosen))
            if self._held is None:
                return found
            self._seen[key] = found
        return self._seen[key]

    def signs_of_life(self, study_id: int) -> dict[int, Any]:
        """Of each trial that runs, as the database wrote it when it was last given; of none where there is none yet."""
        running = sqlalchemy.and_(_TRIALS.c.study_id == study_id, _TRIALS.c.state == TrialState.RUNNING)
        chosen = sqlalchemy.select(_BEATS.c.trial_id, _BEATS.c.heartbeat).join(_TRIALS).where(running)
        with self.engine.connect() as connection:
            return {row.trial_id: row.heartbeat for row in connection.execute(chosen)}

    def _read(self, chosen: Any) -> list[FrozenTrial]:
        """The trials for which a condition holds, in order.

        Their states are read first: what belongs to one that has ended is all there then.
        """
        with self.engine.connect() as connection:
            rows = connection.execute(sqlalchemy.select(_TRIALS).where(chosen).order_by(_TRIALS.c.trial_id)).mappings()
            found = {row["trial_id"]: {**row, **{name: [] for name in _BESIDE}} for row in rows}
            if not found:
                return []
            if len(found) <= MOST_NAMED:
                named: Any = list(found)
            else:
                named = sqlalchemy.select(_TRIALS.c.trial_id).where(chosen)
            for name, table in _BESIDE.items():
                for item in connection.execute(sqlalchemy.select(table).where(table.c.trial_id.in_(named))):
                    if item.trial_id in found:  # else it was begun meanwhile
                        found[item.trial_id][name].append(item)
        models_of: list[Any] = [types.SimpleNamespace(**row) for row in found.values()]  # with the names of Optuna's
        return list(map(self._build_frozen_trial_from_trial_model, models_of))

    # -- what is written ---------------------------------------------------------------------------------------------

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        arguments = (trial_id, param_name, param_value_internal, distribution)
        if self._held is None:
            super()._set_trial_param(*arguments, previous_distribution)
            return
        # Optuna looks for the name in all trials, and whether they go together: the same do, and were asked for before.
        known = previous_distribution or (distribution if self._distributions.get(param_name) == distribution else None)
        self._held.append((self._set_trial_param_without_commit, *arguments, known))
        self._distributions[param_name] = distribution

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        if self._held is None:
            super().set_trial_user_attr(trial_id, key, value)
        else:
            self._held.append(
                (self._set_trial_attr_without_commit, models.TrialUserAttributeModel, trial_id, key, value)
            )
