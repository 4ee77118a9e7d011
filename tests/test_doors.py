"""Private names of other libraries: each is used in one file alone, and is there in the version that is installed."""

import ast
import pathlib

import keras
import pytest

import keras_blocks  # noqa: F401
from keras_blocks.core.registration import subclasses

ROOT = pathlib.Path(__file__).parents[1]
KERAS_DOOR = ROOT / "keras_blocks" / "core" / "graphs.py"
"""The one file that may use private names of Keras."""


def our_files():
    """All of keras_blocks and tuning, which stands under keras_blocks once more, as a link."""
    link = ROOT / "keras_blocks" / "tuning"
    files = [path for path in ROOT.glob("keras_blocks/**/*.py") if link not in path.parents]
    return sorted(files + list(ROOT.glob("tuning/**/*.py")))


def foreign_attributes(path):
    """Names of the attributes that a file uses of any object, but for its own; texts, too, as `getattr` takes them."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    own |= {node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    own |= {
        node.attr
        for node in attributes
        if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return ({node.attr for node in attributes} | texts) - own


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
    assert [model.layers[-1](inputs)._keras_history.node_index for _ in range(2)] == [1, 2]  # after the model's own
    assert model._initial_epoch is None
    by_depth = model._nodes_by_depth
    first, last = (by_depth[depth][0] for depth in (max(by_depth), min(by_depth)))
    assert first.output_tensors[0] is inputs and last.input_tensors[0] is inputs
    assert last.operation is model.layers[-1]
    assert last in vars(last.operation)["_inbound_nodes"] and last in first.operation._outbound_nodes
    assert {"name", "build", "quantize"} <= {*vars(last.operation)}  # what `renamed` makes another of
    with keras.StatelessScope(initialize_variables=False):
        made = keras.Variable(lambda shape, dtype: keras.ops.zeros(shape, dtype), shape=(2,), dtype="float32")
        waiting = global_state.get_global_attribute("uninitialized_variables")
        assert any(variable is made for variable in waiting)
        global_state.set_global_attribute("uninitialized_variables", [])
    assert keras.Function in type(model).__mro__


HOOKS = {"_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"}
"""Of PyTorch's modules, which Keras' layers are there."""


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="hooks are PyTorch's")
def test_what_keeps_a_call_from_being_direct_is_there():
    from torch.nn.modules import module

    layer, *_ = made_by_keras()
    assert {name for name in HOOKS if getattr(layer, name) is not None} == HOOKS
    assert layer._remat_mode is None and layer._dtype_policy is layer.dtype_policy
    assert not module._has_any_global_hook()
    masked = keras.layers.Masking()(keras.ops.ones((1, 2, 3)))
    assert masked._keras_mask is not None


def test_the_door_uses_these_names_of_keras_and_no_others():
    used = {name for name in foreign_attributes(KERAS_DOOR) if is_private(name)}
    assert used == {
        "_run_through_graph",
        "_flatten_layers",
        "_keras_history",
        "_nodes_by_depth",
        "_inbound_nodes",
        "_outbound_nodes",
        "_initial_epoch",
        "_dtype_policy",
        "_keras_mask",
        "_remat_mode",
        *HOOKS,
    }
    assert set(imports_of(KERAS_DOOR, "keras.src")) == {"keras.src.backend.common"}


OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields"}


@pytest.fixture(scope="module")
def private_names_of_keras():
    return {name for made in made_by_keras() for name in dir(made) if is_private(name)}


@pytest.mark.parametrize("path", our_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_private_names_of_keras_are_behind_the_door(path, private_names_of_keras):
    if path != KERAS_DOOR:
        assert not foreign_attributes(path) & private_names_of_keras - OF_NAMED_TUPLES
        assert not list(imports_of(path, "keras.src"))


def test_no_layer_of_ours_takes_a_private_name_of_keras_for_its_own():
    """Keras would use it, too; or, as for `_layers`, leave it out of the saved file."""
    for cls in (cls for cls in subclasses(keras.layers.Layer) if cls.__module__.startswith("keras_blocks.")):
        theirs = {name for base in cls.__mro__ if base.__module__.startswith("keras.") for name in vars(base)}
        assert not {name for name in vars(cls) if is_private(name)} & theirs, cls


def test_private_names_of_runtimes_are_there():
    """Whether XLA compiles a graph is told by no public name of TensorFlow, a file's operations by none of LiteRT."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        assert tf.Graph()._get_control_flow_context() is None
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="the extra export is not installed here")
    assert callable(litert.Interpreter._get_ops_details)
