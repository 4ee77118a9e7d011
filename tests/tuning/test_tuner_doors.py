"""Private names of KerasTuner, each in the files that use it, and there in the version that is installed."""

import ast
import inspect

import keras_tuner
import pytest
from test_doors import our_files

NAMES = {
    "_build_hypermodel": (keras_tuner.Tuner, ["self", "hp"], {"given_hypermodel.py"}),
    "_retrieve": (keras_tuner.HyperParameters, ["self", "hp"], {"given_hypermodel.py", "hyper_model.py"}),
    "_register": (keras_tuner.HyperParameters, ["self", "hyperparameter", "overwrite"], {"hyper_model.py"}),
}
"""Whose they are, what they are called with, and the files that call or replace them."""


def uses(path, name):
    """Whether a file calls or defines a method of this name."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    called = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return name in called | {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", NAMES)
def test_each_private_name_of_keras_tuner_is_there(name):
    cls, arguments, files = NAMES[name]
    assert list(inspect.signature(getattr(cls, name)).parameters) == arguments
    assert {path.name for path in our_files() if uses(path, name)} == files


def test_hyperparameters_are_asked_for_through_them():
    """`hp.Int` must call `_retrieve`, and that `_register`, of the object that it is called on."""
    called = []

    class Told(keras_tuner.HyperParameters):
        def _retrieve(self, hp):
            called.append(("retrieved", hp.name))
            return super()._retrieve(hp)

        def _register(self, hyperparameter, overwrite=False):
            called.append(("registered", hyperparameter.name))
            return super()._register(hyperparameter, overwrite)

    assert Told().Int("units", 1, 4) == 1
    assert called == [("retrieved", "units"), ("registered", "units")]
