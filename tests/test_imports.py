"""Imports run one way, `import keras_blocks` is light, and private names of Keras are few and known."""

import ast
import collections
import importlib.util
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted(ROOT.glob("tuning/**/*.py"))
FILES += sorted(
    path for path in ROOT.glob("keras_blocks/**/*.py") if (ROOT / "keras_blocks/tuning") not in path.parents
)
DISPATCHES = [
    ROOT / "keras_blocks" / "ops" / name
    for name in (
        "across_devices.py",
        "batch_norm.py",
        "gradients.py",
        "grouped_conv.py",
        "nms.py",
        "roi_bags.py",
        "roi_maxima.py",
        "roi_means.py",
        "roi_windows.py",
        "torch_functions.py",
        "torch_images.py",
        "written.py",
    )
]
DISPATCHES += [ROOT / "keras_blocks" / "deploy" / name for name in ("runtimes.py", "int8_litert.py")]
"""Files that may look at the backend; all others are written with keras.ops alone."""
HEAVY = ("keras_tuner", "matplotlib", "sklearn", "scipy", "typer", "rich", "PIL", "optuna", "plotly", "jinja2")
HEAVY += ("pycocotools", "cv2")
IN_FUNCTIONS = {
    "detection": ("PIL", "pycocotools", "cv2"),
    "core/pictures.py": ("PIL",),
    "look/canvas.py": ("PIL",),
    "models/rcnn_fitting.py": ("sklearn",),
}
"""What a room, or a file, of keras_blocks imports where it is used: that importing the package is light has a test."""


FLOORS = {
    "keras_blocks": (
        ("typing",),
        ("ops",),
        ("core",),
        ("decode",),
        ("blocks",),
        ("costs", "weights", "metric", "detection"),
        ("models",),
        ("look",),
        ("deploy", "grow"),
        ("prune",),
        ("",),
    ),
    "tuning": (
        ("files", "seeds", "digest", "memory", "console", "latency_model", "measuring"),
        ("data", "storage", "layer_times"),
        ("boxed_data", "objectives", "latency"),
        ("study",),
        ("run_folder",),
        ("training",),
        ("spaces",),
        ("user_spaces",),
        ("report", "oracle"),
        ("trials",),
        ("search",),
        ("options", "single_training", "inspecting"),
        ("detectors",),
        ("exporting",),
        ("cli", ""),
        ("command",),
    ),
}
"""The house, from the ground: rooms that stand on one floor. A room imports from itself and from floors below."""


def room_of(path):
    """("tuning", "study"), say; a file that lies in no room is one of its own, and `__init__.py` is the roof."""
    house, *rest = path.relative_to(ROOT).parts
    return house, "" if rest == ["__init__.py"] else rest[0].removesuffix(".py")


def file_in(path):
    """ "core/pictures.py", say: a file by its place in its house."""
    return path.relative_to(ROOT / path.relative_to(ROOT).parts[0]).as_posix()


def floor_of(room):
    house, name = room
    below = len(FLOORS["keras_blocks"]) if house == "tuning" else 0
    return below + next(i for i, rooms in enumerate(FLOORS[house]) if name in rooms)


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
            mine, theirs = room_of(path), room_of(file_of(module))
            below = floor_of(theirs) < floor_of(mine)
            assert mine == theirs or below, f"{path.name} imports {module}, from no floor below"
        assert module.split(".")[0] != "tuning", "a bare `import tuning` makes a second copy of the module"
        if room_of(path)[0] == "keras_blocks":
            needed = module.split(".")[0] in IN_FUNCTIONS.get(room_of(path)[1], ()) + IN_FUNCTIONS.get(
                file_in(path), ()
            )
            assert needed or module.split(".")[0] not in HEAVY, f"only tuning may import {module}"
            backend = module.split(".")[0] in ("tensorflow", "jax", "torch")
            assert not backend or path in DISPATCHES, f"{path.name} imports {module}"


ELSEWHERE = {"torchvision", "postgres"}
"""What benchmarks import that no environment of the tests has, or that lies among the tests."""


@pytest.mark.parametrize("path", sorted(ROOT.glob("benchmarks/*.py")), ids=lambda path: path.name)
def test_what_a_benchmark_imports_is_there(path):
    """Nothing else runs them: what one takes of another, and of ours, may be gone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_blocks"):
            module = importlib.import_module(node.module)
            assert all(
                hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}")
                for alias in node.names
            ), ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and (other := path.with_name(f"{node.module}.py")).exists():
            bound = {name for each in ast.parse(other.read_text()).body for name in _bound(each)}
            assert {alias.name for alias in node.names} <= bound, ast.unparse(node)
    for node in ast.parse(path.read_text()).body:  # what is imported in functions may be missing here
        if isinstance(node, ast.ImportFrom | ast.Import):
            for module in [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]:
                name = module.split(".")[0]
                known = name in ELSEWHERE or path.with_name(f"{name}.py").exists() or importlib.util.find_spec(name)
                assert known, ast.unparse(node)


def _bound(node):
    """Names that a statement at a module's top level binds, those within `try` and `if` too."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.Name):
        yield from [node.id] if isinstance(node.ctx, ast.Store) else []
    else:
        for inner in ast.iter_child_nodes(node):
            yield from _bound(inner)


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


def test_files_have_one_subject_and_rooms_are_few():
    assert {path.name: lines for path in FILES if (lines := len(path.read_text().splitlines())) > 400} == {}
    rooms = collections.Counter()
    for path in FILES:
        if ROOT / "tuning" in path.parents and path.parent != ROOT / "tuning":
            rooms[path.parent.name] += len(path.read_text().splitlines())
    assert rooms.pop("command") < 100  # no room, but the door: it is installed beside the house
    assert len(rooms) <= 10 and max(rooms.values()) <= 1700, rooms


def test_every_room_is_in_the_wheel():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    rooms = {path.parent.relative_to(ROOT).as_posix() for path in FILES if path.name == "__init__.py"}
    expected = {re.sub("^tuning", "keras_blocks.tuning", room).replace("/", ".") for room in rooms}
    assert {*packages} == {*expected, "keras_blocks_cli"}
