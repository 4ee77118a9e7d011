"""Imports run one way, `import keras_blocks` is light, and private names of Keras are few and known."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted(ROOT.glob("keras_blocks/**/*.py")) + sorted(ROOT.glob("tuning/**/*.py"))
DISPATCHES = [ROOT / "keras_blocks" / "ops" / name for name in ("batch_norm.py", "grouped_conv.py")]
"""Files that may look at the backend; all others are written with keras.ops alone."""
HEAVY = ("keras_tuner", "matplotlib", "sklearn", "scipy", "typer", "rich", "PIL", "optuna", "plotly")


def floor(path):
    """The house has floors; a file imports from its own and those below."""
    parts = path.relative_to(ROOT).parts
    if parts[0] == "tuning":
        return 4
    if parts[1] in ("ops", "blocks", "models"):
        return {"ops": 0, "blocks": 2, "models": 3}[parts[1]]
    return 3 if parts[1] == "__init__.py" else 1


def imported(path):
    """Absolute names of the modules that a file imports, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(module):
    """The file of one of our modules, for a name that may be of something in it."""
    if module.startswith("keras_blocks.tuning"):
        module = module.replace("keras_blocks.tuning", "tuning", 1)
    while module:
        base = ROOT / module.replace(".", "/")
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
        module = module.rpartition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    for module in imported(path):
        if module.split(".")[0] == "keras_blocks":
            assert floor(file_of(module)) <= floor(path), f"{path.name} imports {module} from a floor above"
        assert module.split(".")[0] != "tuning", "a bare `import tuning` makes a second copy of the module"
        if floor(path) < 4:
            assert module.split(".")[0] not in HEAVY, f"only tuning may import {module}"
            backend = module.split(".")[0] in ("tensorflow", "jax", "torch")
            assert not backend or path in DISPATCHES, f"{path.name} imports {module}"


def test_private_parts_of_keras_are_few():
    """Each is a risk with the next release of Keras, and has a test of its own."""
    private = {module for path in FILES for module in imported(path) if module.startswith("keras.src")}
    assert private <= {"keras.src.backend.common.global_state"}


def test_importing_the_package_is_light():
    """Keras itself imports some of these; we add none."""
    code = "import sys, keras; before = set(sys.modules); import keras_blocks; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    added = {module.split(".")[0] for module in done.stdout.split()}
    assert "keras_blocks" in added
    assert added.isdisjoint(HEAVY)
    assert "keras_tuner" not in done.stdout


def test_no_lambda_layer_pickle_or_eval():
    for path in FILES:
        text = path.read_text()
        for word in ("layers.Lambda", "import pickle", "allow_pickle=True", "eval(", "safe_mode=False"):
            assert word not in text, f"{path.name} has {word}"
