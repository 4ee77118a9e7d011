"""Private names of other libraries: each is used in one file alone, and is there in the version that is installed."""

import ast
import pathlib

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[1]
KERAS_DOOR = ROOT / "keras_blocks" / "core" / "graphs.py"
"""The one file that may use private names of Keras."""


def our_files():
    """All of keras_blocks and tuning, which stands under keras_blocks once more, as a link."""
    link = ROOT / "keras_blocks" / "tuning"
    files = [path for path in ROOT.glob("keras_blocks/**/*.py") if link not in path.parents]
    return sorted(files + list(ROOT.glob("tuning/**/*.py")))


def attributes(path):
    """Names of all attributes that a file reads, sets or deletes, on whatever object, but for `self._x` of its own."""
    tree = ast.parse(path.read_text())
    own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}, own


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def imports_of(path, package):
    """Modules of the package, such as "keras.src", that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        yield from (name for name in names if name == package or name.startswith(f"{package}."))


# -- Keras ------------------------------------------------------------------------------------------------------------


def made_by_keras():
    """An instance of each kind of Keras' objects whose private names we use, or might."""
    inputs = keras.Input((2,))
    layer = keras.layers.Dense(1)
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    return [layer, model, inputs, layer.kernel, keras.Sequential([layer]), keras.metrics.Mean(), model.optimizer]


def test_each_private_name_of_keras_is_there():
    from keras.src.backend.common import global_state

    _, model, inputs, *_ = made_by_keras()
    assert model._run_through_graph([3], operation_fn=lambda operation: lambda x: x + 1) == 4
    assert [layer.name for layer in model._flatten_layers(include_self=False, recursive=False)] == [
        layer.name for layer in model.layers
    ]
    assert isinstance(inputs._keras_history.operation, keras.layers.InputLayer)
    with keras.StatelessScope(initialize_variables=False):
        made = keras.Variable(lambda shape, dtype: keras.ops.zeros(shape, dtype), shape=(2,), dtype="float32")
        waiting = global_state.get_global_attribute("uninitialized_variables")
        assert any(variable is made for variable in waiting)
        global_state.set_global_attribute("uninitialized_variables", [])
    assert keras.Function in type(model).__mro__


def test_the_door_uses_these_names_of_keras_and_no_others():
    used, own = attributes(KERAS_DOOR)
    assert {name for name in used - own if is_private(name)} == {
        "_run_through_graph",
        "_flatten_layers",
        "_keras_history",
    }
    assert set(imports_of(KERAS_DOOR, "keras.src")) == {"keras.src.backend.common"}


@pytest.fixture(scope="module")
def private_names_of_keras():
    return {name for made in made_by_keras() for name in dir(made) if is_private(name)}


@pytest.mark.parametrize("path", our_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_private_names_of_keras_are_behind_the_door(path, private_names_of_keras):
    """Nor does a class of ours take one for an attribute of its own: it would be Keras', too."""
    if path != KERAS_DOOR:
        used, own = attributes(path)
        assert not (used | own) & private_names_of_keras
        assert not list(imports_of(path, "keras.src"))
