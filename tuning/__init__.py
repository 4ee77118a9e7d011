"""Search spaces, searches and the command line.

Names are imported at first use, so that the command line starts without KerasTuner. `__init__.pyi` says where each is,
to type checkers and to this module.
"""

import ast
import importlib
import pathlib
from typing import Any

_STUB = ast.parse(pathlib.Path(__file__).with_suffix(".pyi").read_text())
_HOMES = {item.name: line.module for line in _STUB.body if isinstance(line, ast.ImportFrom) for item in line.names}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
