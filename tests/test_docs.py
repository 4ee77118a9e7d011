"""Every example runs: those of the docstrings, of the README, and of the pages in docs."""

import doctest
import importlib.util
import pkgutil
import re
import shlex
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import keras
import pytest
import thorough

import keras_blocks
import keras_blocks.ops
import keras_blocks.tuning

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {path.stem: path.read_text() for path in (ROOT / "docs").glob("*.md")}

ON_THEIR_OWN = ["blocks", "fine_tuning", "index", "loading", "networks", "other_models", "quick_start"]
"""Pages of whose code no more is asked than that it runs. The others have a test; own_blocks a file."""


def modules():
    """All of ours; `tuning` lies in a folder of its own, and is tested on one backend."""
    names = [entry.name for entry in pkgutil.walk_packages(keras_blocks.__path__, "keras_blocks.")]
    if not thorough.ONCE:
        names = [name for name in names if not name.startswith("keras_blocks.tuning")]
    if importlib.util.find_spec("torch") is None:
        names.remove("keras_blocks.ops.torch_functions")  # which is what PyTorch calls
    return [keras_blocks, *map(importlib.import_module, names)]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder that holds a finished run, runs/demo, where the examples that need one are run."""
    folder = tmp_path_factory.mktemp("workplace")
    if thorough.run_all() and thorough.ONCE:
        from keras_blocks.tuning import Search, SearchSettings

        # What is narrowed is the quickest to trace.
        narrow = {"groups": 1, "augmentation": "none", "optimizer": "sgd", "bypass": None}
        parts = {name: {"fixed": value} for name, value in narrow.items()}
        Search(SearchSettings(trials=1, epochs=1, final_epochs=1, parts=parts), folder / "runs" / "demo").run()
    return folder


TRAINING = [
    f"keras_blocks.{name}"
    for name in (
        *("models.alternating", "models.fast_rcnn", "models.faster_rcnn", "models.rcnn", "models.rcnn_fitting"),
        *("tuning.oracle", "tuning.search.search", "tuning.single_training", "tuning.spaces.squeezenet"),
        "tuning.training.evaluation",
    )
]
"""They train, as do examples of the pages, which run each time."""


@pytest.mark.once
@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_docstring_examples(module, workplace, monkeypatch):
    if module.__name__ in TRAINING and not thorough.run_all():
        pytest.skip("trains; make test-all")
    monkeypatch.chdir(workplace)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = doctest.testmod(module, extraglobs={"keras": keras, "keras_blocks": keras_blocks, "model": model})
    assert found.failed == 0


def blocks(language, page):
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


def run(name, page, count=None):
    """Runs a page's Python, or so many blocks of it; gives the names that it has made."""
    namespace = {}
    for number, code in enumerate(blocks("python", page)[:count], start=1):
        exec(compile(code, f"{name}, python block {number}", "exec"), namespace)
    return namespace


def commands(page):
    """The arguments of each `keras-blocks` command."""
    lines = [line for code in blocks("bash", page) for line in code.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("keras-blocks ")]


@pytest.mark.once
def test_readme_python(tmp_path, monkeypatch, eager):
    monkeypatch.chdir(tmp_path)
    namespace = run("README.md", README)
    assert {item.name for item in tmp_path.iterdir()} == {"model.keras", "fire.svg"}
    assert namespace["squeezed"].output.shape == (None, 8, 8, 16)
    (code,) = blocks("python", README)
    assert len([line for line in code.splitlines() if line and not line.startswith(("import", "from"))]) <= 10


@pytest.mark.once
@pytest.mark.parametrize("page", ON_THEIR_OWN)
def test_python_of_a_page(page, tmp_path, monkeypatch, capsys, eager):
    monkeypatch.chdir(tmp_path)
    run(f"{page}.md", PAGES[page])
    printed = capsys.readouterr().out
    for comment in re.findall(r"print\(.*\)\s+# (\(.*\))$", PAGES[page], flags=re.MULTILINE):
        assert comment in printed


@pytest.mark.once
def test_python_of_the_page_on_spaces(tmp_path, monkeypatch, eager):
    """With one trial, which is not traced, where KERAS_BLOCKS_ALL is not set; the last block is a program: below."""
    monkeypatch.chdir(tmp_path)
    fewer = PAGES["spaces"] if thorough.run_all() else PAGES["spaces"].replace("max_trials=2,", "max_trials=1,")
    assert run("spaces.md", fewer, count=2)["candidate"].cost().params


def understood(arguments):
    """A command's parameters; it does not run."""
    import typer

    from keras_blocks.tuning.cli import app

    group = typer.main.get_command(app)
    _, command, rest = group.resolve_command(typer.Context(group), arguments)
    return command.make_context(arguments[0], list(rest)).params


@pytest.mark.once
def test_commands_of_the_quick_start(tmp_path, monkeypatch):
    """The `keras-blocks` commands, in their order, in a folder of their own. CI itself runs make and pip.

    In this process but for the first: to import Keras takes longer than most of them. What trains, and what looks at
    what was trained, is run in tests/tuning/test_cli.py, and here as it is written where KERAS_BLOCKS_ALL is set.
    """
    from typer.testing import CliRunner

    from keras_blocks.tuning.cli import app

    monkeypatch.chdir(tmp_path)
    first, *rest = commands(PAGES["quick_start"])
    script = Path(sys.executable).with_name("keras-blocks")
    done = subprocess.run([script, *first], capture_output=True, text=True)
    assert done.returncode == 0, f"{first}: {done.stderr[-2000:]}"
    for command in rest:
        if not thorough.run_all() and any(word.startswith("runs/") or word == "--space" for word in command):
            assert understood(command)
            continue
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, f"{command}: {result.output[-2000:]}"


@pytest.mark.skipif(not thorough.ONCE, reason="the command line is tested once")
@pytest.mark.parametrize(
    "arguments",
    [command for name, page in PAGES.items() if name != "quick_start" for command in commands(page)],
    ids=" ".join,
)
def test_commands_of_the_pages_are_understood(arguments):
    """Trials by the hundreds on many machines, detectors trained for hours: what they do is tested in tests/tuning."""
    assert understood(arguments)


@pytest.mark.skipif(not thorough.ONCE, reason="the command line is tested once")
@pytest.mark.parametrize(("page", "least"), [("searches", 16), ("own_search", 7), ("detection", 7)])
def test_options_of_the_pages_are_there(page, least):
    import typer

    from keras_blocks.tuning.cli import app

    ours = re.sub(r"^optuna-dashboard .*", "", PAGES[page], flags=re.MULTILINE)
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours))
    there = {
        name for command in typer.main.get_command(app).commands.values() for p in command.params for name in p.opts
    }
    assert len(told) >= least
    assert told <= there


@pytest.mark.skipif(not thorough.run_all(), reason="trains for minutes; make test-all")
@pytest.mark.skipif(not thorough.ONCE, reason="searches are tested once")
@pytest.mark.parametrize(
    "code",
    [
        *blocks("python", PAGES["searches"]),
        *blocks("python", PAGES["own_search"]),
        blocks("python", PAGES["spaces"])[-1],
    ],
)
def test_programs_of_the_pages_on_searches(code, tmp_path):
    """As a program of a user, with small numbers in place of large ones."""
    small = code.replace("cifar10", "digits").replace("trials=200", "trials=2, epochs=1, final_epochs=1")
    (tmp_path / "mine.py").write_text(small.replace("max_trials=20", "max_trials=2").replace("epochs=5", "epochs=1"))
    done = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.once
@pytest.mark.filterwarnings("ignore:VOCDetection:UserWarning")
def test_python_of_the_page_on_detection(tmp_path, monkeypatch, shared_data):
    """On the blood cells that it speaks of."""
    with zipfile.ZipFile(shared_data / "bccd" / "bccd_voc.zip") as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    namespace = run("detection.md", PAGES["detection"])
    assert namespace["train"].labels == ("Platelets", "RBC", "WBC") and namespace["train"].max_boxes == 28
    assert {item.name for item in tmp_path.iterdir()} >= {"found.png", "truth.png", "regions.npz"}
    assert namespace["regions"].shape == (2, 200, 4)


@pytest.mark.once
def test_python_of_the_page_on_looking_inside(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = run("looking_inside.md", PAGES["looking_inside"])
    printed = capsys.readouterr().out
    for comment in re.findall(r"print\(.*\)\s+# (.*)", PAGES["looking_inside"]):
        assert comment in printed
    assert namespace["heat"].shape == (2, 32, 32) and namespace["maps"].shape == (2, 16, 16, 32)


@pytest.mark.once
@pytest.mark.filterwarnings("ignore")  # from inside of the converters
def test_python_of_the_page_on_deploying(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = run("deploying.md", PAGES["deploying"])
    assert {item.name for item in tmp_path.iterdir()} >= {"small.keras", "resnet20.onnx", "resnet20.onnx.json"}
    assert namespace["done"].labels[3] == "cat"


@pytest.mark.once
def test_python_of_the_page_on_pruning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = run("pruning.md", PAGES["pruning"])
    assert keras_blocks.cost(namespace["model"]).macs <= 0.6 * namespace["whole"]


@pytest.mark.once
def test_python_of_the_page_on_growing(capsys):
    run("growing.md", PAGES["growing"])
    assert capsys.readouterr().out.endswith("True\n")


@pytest.mark.once
def test_every_public_name_is_on_a_written_page():
    code = "\n".join(part for page in PAGES.values() for part in re.findall(r"```.*?```|`[^`\n]+`", page, re.DOTALL))
    names = {*keras_blocks.__all__, *keras_blocks.ops.__all__, *keras_blocks.tuning.__all__}
    assert len(names) > 100
    assert {name for name in names if not re.search(rf"\b{name}\b", code)} == set()


def test_readme_has_every_public_name():
    for name in (*keras_blocks.__all__, *keras_blocks.ops.__all__):
        assert f"`{name}`" in README, f"{name} is not in the README"
