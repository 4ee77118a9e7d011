"""The users' own architectures and spaces, imported in the process that trains, too."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from keras_blocks.core.registration import module_of
from keras_blocks.tuning.spaces.architecture import HyperArchitecture


def origins(space: HyperArchitecture) -> list[dict[str, Any]]:
    """Where another process finds a space and its architectures, as far as they are the user's own.

    Args:
        space: a search space.

    Returns:
        What `bring_in` takes.
    """
    spaces = [space, *getattr(space, "spaces", {}).values()]
    classes = [*map(type, spaces), *(each.architecture for each in spaces if hasattr(each, "architecture"))]
    places = [place for place in map(origin, dict.fromkeys(classes)) if place is not None]
    return [place for i, place in enumerate(places) if place not in places[:i]]


def origin(cls: type) -> dict[str, Any] | None:
    """Where another process finds a class: its module, and its file where that is the script which was started.

    Args:
        cls: a class.

    Returns:
        `None` for a class of this package.

    Raises:
        ValueError: for a class that was defined at a prompt, which no other process can import.
    """
    if cls.__module__.partition(".")[0] == "keras_blocks":
        return None
    main = sys.modules["__main__"]
    by_name = main.__spec__ is not None and hasattr(main, cls.__name__)  # it runs as `python -m name`
    if cls.__module__ != "__main__" or by_name:
        name = module_of(cls)
        return {"module": name, "folder": _import_folder(cls.__module__, name.count("."))}
    path = getattr(main, "__file__", None)
    if path is None:
        raise ValueError(f"`space`: {cls.__qualname__} must be defined in a file, since trials run in other processes.")
    return {"module": "__main__", "path": str(Path(path).absolute())}


def bring_in(about: dict[str, Any]) -> None:
    """Imports what `origin` described."""
    if about["module"] == "__main__":
        # As multiprocessing does: under another name, so that what is guarded by `if __name__ == "__main__"` rests.
        spec = importlib.util.spec_from_file_location("__keras_blocks_main__", about["path"])
        assert spec is not None and spec.loader is not None  # it is the path of a Python file
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return
    if about["folder"] is not None and about["folder"] not in sys.path:
        sys.path.append(about["folder"])
    importlib.import_module(about["module"])


def _import_folder(module: str, depth: int) -> str | None:
    """The folder on the path from which a module comes, that lies in so many packages."""
    path = getattr(sys.modules.get(module), "__file__", None)
    return str(Path(path).absolute().parents[depth]) if path else None
