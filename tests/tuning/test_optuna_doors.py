"""Optuna's private names are used in one file, and are all there in the version that is installed."""

import ast
import inspect
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.storages._rdb import models

import keras_blocks.tuning
from keras_blocks.tuning.storage import store
from keras_blocks.tuning.storage.store import quiet_optuna

TUNING = Path(keras_blocks.tuning.__file__).resolve().parent
DOORS = [TUNING / "storage" / name for name in ("store.py", "database.py")]
FOLDERS = (TUNING, Path(__file__).parent, TUNING.parent / "benchmarks")
FILES = sorted(path for folder in FOLDERS for path in folder.rglob("*.py") if path.name != Path(__file__).name)

METHODS = {
    "_set_trial_param": ["trial_id", "param_name", "param_value_internal", "distribution", "previous_distribution"],
    "_set_trial_param_without_commit": [
        "session",
        "trial_id",
        "param_name",
        "param_value_internal",
        "distribution",
        "previous_distribution",
    ],
    "_set_trial_attr_without_commit": ["session", "model_cls", "trial_id", "key", "value"],
    "_get_trials": ["study_id", "states", "included_trial_ids", "trial_id_greater_than"],
    "_build_frozen_trial_from_trial_model": ["trial"],
}
"""Those of `RDBStorage`, and the arguments that they are called with."""

ATTRIBUTES = ("_trial_id", "_study_id")


@pytest.mark.parametrize("name", METHODS)
def test_the_methods_take_what_they_are_given(name):
    assert list(inspect.signature(getattr(RDBStorage, name)).parameters)[1:] == METHODS[name]


def test_the_database_is_written_through_the_methods_that_are_replaced(tmp_path):
    """A draw is written whole only if Optuna calls these two, and calls them on the object that we gave it."""
    storage = store.StudyStorage(store.sqlite_url(tmp_path / "study.db"))
    study = storage.study("one", sampler=None, pruner=None, directions=["maximize"])
    with quiet_optuna():
        trial = study.ask()
    with storage.together():
        trial.suggest_int("depth", 1, 9)
        trial.set_user_attr("candidate", {})
        there = storage.current(trial)
        assert (there.params, there.user_attrs) == ({}, {})
    there = storage.current(trial)
    assert (there.params, there.user_attrs) == (trial.params, {"candidate": {}})
    storage.close()


def test_the_attributes_are_there():
    with quiet_optuna():
        study = optuna.create_study()
        trial = study.ask()
        study.tell(trial, 0.5)
    (frozen,) = study.get_trials()
    assert isinstance(study._study_id, int)
    assert isinstance(trial._trial_id, int) and frozen._trial_id == trial._trial_id
    assert models.TrialUserAttributeModel.__table__.columns.keys()
    assert {"trial_id", "heartbeat"} <= {*models.TrialHeartbeatModel.__table__.columns.keys()}


def test_what_the_door_uses_is_tested_here():
    assert set.union(*map(privates, DOORS)) == {*ATTRIBUTES, *METHODS, "optuna.storages._rdb"} - {
        "_set_trial_param_without_commit",  # which the database calls of itself
        "_set_trial_attr_without_commit",
        "_build_frozen_trial_from_trial_model",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_other_file_uses_a_private_name(path):
    found = privates(path)
    if path in DOORS:
        assert found
    elif imports_optuna(path):
        assert found == set()
    else:  # what it is given may still be Optuna's
        assert not found & {*METHODS, *ATTRIBUTES}


def privates(path):
    """Private attributes of other objects, and private modules of Optuna, that a file uses."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("_"):
            of_its_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not of_its_own and ast.unparse(node) != "os._exit":
                found.add(node.attr)
        for name in modules(node):
            if name.startswith("optuna") and "._" in name:
                found.add(name)
    return found


def imports_optuna(path):
    tree = ast.parse(path.read_text())
    return any(name.split(".")[0] == "optuna" for node in ast.walk(tree) for name in modules(node))


def modules(node):
    """The modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
