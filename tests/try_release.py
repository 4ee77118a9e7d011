"""Installs the wheel into empty environments, and runs quick tests of the source distribution against it there.

    python tests/try_release.py dist/NAME.whl dist/NAME.tar.gz [python3.12:jax ...]

By default each backend on this Python. Needs a package index, and minutes for each environment.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

QUICK = (
    *("tests/test_declaration.py", "tests/test_costs.py", "tests/test_construction.py", "tests/test_own_blocks.py"),
    *("tests/blocks/test_pooling.py", "tests/models/test_squeezenet.py", "tests/look/test_draw.py"),
    "tests/test_saving.py::test_fixtures_of_released_versions_load",
)
"""Tests of what is counted, built, drawn and loaded, which take a minute."""


def tried(wheel: Path, source: Path, python: str, backend: str, folder: Path) -> bool:
    """Whether the tests pass with this Python and this backend, in an environment in this folder."""
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.glob("keras_blocks-*")
    inside = folder / "venv" / "bin"
    around = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    around |= {"KERAS_BACKEND": backend, "XLA_FLAGS": ""}  # another JAX may not know those of fast_xla.py, and ends
    tests = [name for name in QUICK if (unpacked / name.partition("::")[0]).is_file()]
    imported = (
        "import keras_blocks, sys; print(sys.version.split()[0], keras_blocks.__version__, keras_blocks.__file__)"
    )
    steps = (
        [python, "-m", "venv", folder / "venv"],
        [
            inside / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            f"{wheel.resolve()}[{backend}]",
            "pillow",
            "pytest",
            "hypothesis",
        ],
        [inside / "python", "-c", imported],
        [inside / "pytest", "--durations=3", *tests],  # not `python -m pytest`, which would import what was unpacked
    )
    for step in steps:
        where = unpacked if step is steps[-1] else folder
        if subprocess.run(step, cwd=where, env=around).returncode:
            return False
    return True


def main(wheel: str, source: str, *wanted: str) -> int:
    failed = 0
    for one in wanted or [f"{sys.executable}:{backend}" for backend in ("jax", "torch", "tensorflow")]:
        python, _, backend = one.rpartition(":")
        with tempfile.TemporaryDirectory(prefix="release-") as folder:
            good = tried(Path(wheel), Path(source), python, backend, Path(folder))
        print(f"{one}: {'good' if good else 'FAILED'}", flush=True)
        failed += not good
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
