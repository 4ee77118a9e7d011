"""What is given to users: the files of the source distribution, the requirements, the links of the page on PyPI."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

ALWAYS = {"README.md", "LICENSE", "pyproject.toml", "MANIFEST.in"}
"""What setuptools takes besides packages."""


@pytest.fixture(scope="module")
def listed():
    """The files that MANIFEST.in lists."""
    egg_info = pytest.importorskip("setuptools.command.egg_info")
    files = egg_info.FileList()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        for line in (ROOT / "MANIFEST.in").read_text().splitlines():
            files.process_template_line(line)
    return set(files.files)


def test_the_source_distribution_has_all_that_the_tests_and_the_docs_need(listed):
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("no checkout")
    packages = ("keras_blocks/",)
    wanted = {path for path in tracked.stdout.splitlines() if not path.startswith((".", *packages))}
    assert wanted - listed - ALWAYS == {"keras_blocks"} & wanted


@pytest.mark.parametrize(
    "name", ["tests/catalog.py", "tests/fixtures", "docs/searches.md", "mkdocs.yml", "Makefile", "SECURITY.md"]
)
def test_the_source_distribution_has(name, listed):
    assert any(path == name or path.startswith(f"{name}/") for path in listed)


def test_nothing_that_was_made_is_distributed(listed):
    assert not [path for path in listed if "__pycache__" in path or path.endswith(".pyc")]


def imported(folder):
    """Top-level names of what the modules of a folder import, wherever in them."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names)


def named(requirements):
    """The requirements' names, in one spelling."""
    return {re.match(r"[\w.-]+", line)[0].lower().replace("-", "_") for line in requirements}


DISTRIBUTIONS = {
    "PIL": "pillow",
    "sklearn": "scikit_learn",
    "cv2": "opencv_contrib_python_headless",
    "google": "protobuf",
    "grpc": "grpcio",
}
"""Import -> distribution, where they are called otherwise."""


def missing(imports, requirements):
    return {name for name in imports if DISTRIBUTIONS.get(name, name).lower() not in named(requirements)}


def test_what_the_package_imports_is_required():
    extras = PROJECT["optional-dependencies"]
    ours = {"keras_blocks", "keras_blocks_cli"}
    users = [line for name, lines in extras.items() if name != "dev" for line in lines]
    tuning = PROJECT["dependencies"] + extras["tuning"]
    assert missing(imported(ROOT / "keras_blocks") - ours, PROJECT["dependencies"] + users) == set()
    optional = {"tensorflow", "jax", "torch", "ray", "optuna_dashboard", "psycopg"}
    assert missing(imported(ROOT / "tuning") - ours - optional, tuning) == set()


def test_what_keras_tuner_imports_is_required_by_it_or_by_us():
    """It imports six, which TensorFlow happens to bring: without it, no search began on JAX alone."""
    import keras_tuner

    its = [line for line in importlib.metadata.requires("keras-tuner") if "extra ==" not in line]
    required = its + PROJECT["dependencies"] + PROJECT["optional-dependencies"]["tuning"]
    optional = {"keras_tuner", "tensorflow", "kubernetes", "pandas", "IPython", "namex", "portpicker", "pytest"}
    assert missing(imported(Path(keras_tuner.__file__).parent) - optional, required) == set()


def test_links_of_the_readme_lead_somewhere(listed):
    """To files that come along; and, once the project has an address, to that, as the page on PyPI has no files beside
    it."""
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    here = {link for link in links if not link.startswith(("https://", "#"))}
    assert here <= listed
    assert not (here and PROJECT.get("urls")), "project.urls has an address: links of README.md begin with it"


def test_every_extra_is_tried_in_an_environment_of_its_own():
    import try_extras

    tried = {name for extras in try_extras.EXTRAS for name in extras.split(",")}
    assert set(PROJECT["optional-dependencies"]) - tried == {"dev", "docs"}
    assert "tests/try_extras.py" in (ROOT / "Makefile").read_text()
