"""Every example runs: those of the docstrings, and every code block of the README."""

import doctest
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import pytest

import keras_blocks

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def modules():
    """All of ours; `tuning` lies in a folder of its own, and is tested on one backend."""
    found = [keras_blocks]
    packages = [keras_blocks]
    if keras.backend.backend() == "tensorflow":
        packages.append(importlib.import_module("keras_blocks.tuning"))
    for package in packages:
        names = [entry.name for entry in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
        found += [importlib.import_module(name) for name in names]
    return found


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder that holds a finished run, runs/demo, for the examples that speak of one."""
    folder = tmp_path_factory.mktemp("workplace")
    if keras.backend.backend() == "tensorflow":
        from keras_blocks.tuning import Search, SearchSettings

        Search(SearchSettings(trials=1, epochs=1, final_epochs=1), folder / "runs" / "demo").run()
    return folder


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_docstring_examples(module, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = doctest.testmod(module, extraglobs={"keras": keras, "keras_blocks": keras_blocks, "model": model})
    assert found.failed == 0


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_readme_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for number, code in enumerate(blocks("python"), start=1):
        exec(compile(code, f"README.md, python block {number}", "exec"), namespace)
    assert (tmp_path / "model.keras").exists()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the command line is tested once")
def test_readme_commands(tmp_path):
    """The `keras-blocks` commands, in their order, in a folder of their own. CI itself runs make and pip."""
    commands = [line for code in blocks("bash") for line in code.splitlines() if line.startswith("keras-blocks ")]
    assert commands
    for command in commands:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("keras-blocks")), *shlex.split(command, comments=True)[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"


def test_readme_table_has_every_public_name():
    for name in keras_blocks.__all__:
        assert f"`{name}`" in README, f"{name} is not in the README"
    for name in keras_blocks.list_models():
        assert f"`{name}`" in README, f"{name} is not in the README"
