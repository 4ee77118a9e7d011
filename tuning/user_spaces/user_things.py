"""Users' own classes, functions and objects, told to another process by where they are, and found there again."""

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np

from keras_blocks.core.registration import module_of
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.families import space_from_config
from keras_blocks.tuning.study.dimension import Dimension, dimension_from_config
from keras_blocks.tuning.user_spaces.user_code import bring_in, origin

Where = dict[str, Any]
"""Plain data: module, name in it, and where other processes find the module, see `user_code.origin`."""

MAIN = "__keras_blocks_main__"
"""The name under which another process imports the script that was started."""

WRAPPED = ("build", "_build")
"""What KerasTuner keeps in each hypermodel besides its own attributes: its method, in a wrapper."""


def place_of(thing: Any, argument: str, *, name: str | None = None) -> Where:
    """Where another process finds a function or a class.

    Args:
        thing: the function or class.
        argument: what the error calls it.
        name: in its module; by default its own.

    Raises:
        ValueError: for one that was made within a function, or at a prompt or in a notebook.
    """
    name = name or getattr(thing, "__qualname__", None) or type(thing).__qualname__
    fix = "Put it into a module (a file my_module.py, at its top level) and import it from there"
    if "<" in name or not hasattr(thing, "__module__"):
        raise ValueError(
            f"`{argument}`: {name} was made within a function, where trials, which run in processes of their own, do "
            f"not find it. {fix}."
        )
    try:
        about = origin(thing) or {"module": thing.__module__, "folder": None}
    except ValueError as error:
        raise ValueError(
            f"`{argument}`: {name} was defined at a prompt or in a notebook, where trials, which run in processes of "
            f"their own, do not find it. {fix}."
        ) from error
    return {**about, "name": name, "label": f"{module_of(thing)}:{name}"}


def thing_at(place: Where, *, importing: bool = True) -> Any:
    """What is at a place.

    Args:
        place: of `place_of`.
        importing: whether its module is imported. Where the place was said by a file or a database, which may come from
            anyone, it must have been imported already.

    Raises:
        ValueError: where it is not there.
    """
    module, name = place["module"], place["name"]
    if module == "__main__":
        if importing and "path" in place and _main_path() != place["path"] and MAIN not in sys.modules:
            bring_in(place)
        found: Any = sys.modules.get(MAIN, sys.modules["__main__"])
    else:
        if importing and module not in sys.modules:
            bring_in(place)
        if module not in sys.modules:
            raise ValueError(f"`space`: {module}:{name} is the user's own; import it first: --import {module}.")
        found = sys.modules[module]
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"`space`: {module} has no {name!r}.")
        found = getattr(found, part)
    return found


def _main_path() -> str | None:
    path = getattr(sys.modules["__main__"], "__file__", None)
    return str(Path(path).absolute()) if path else None


def named(text: str, argument: str) -> tuple[Any, Where]:
    """What "my_module:my_data" stands for, and its place. Modules are looked for in the working directory, too.

    Raises:
        ValueError: where there is no such module, or nothing of this name in it.
    """
    module, _, name = text.partition(":")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        imported: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"`{argument}`: there is no module {module!r} in the working directory, {os.getcwd()}, or on Python's "
            f"path; received {text!r}."
        ) from error
    thing = imported
    for part in name.split("."):
        try:
            thing = getattr(thing, part)
        except AttributeError as error:  # perhaps one inside a module's own `__getattr__`, which is told as the cause
            raise ValueError(
                f"`{argument}`: {module} has no {part!r}; it has {sorted(_own_names(imported))[:20]}."
            ) from error
    file = getattr(imported, "__file__", None)
    folder = (
        str(Path(file).absolute().parents[module.count(".") + (Path(file).name == "__init__.py")]) if file else None
    )
    return thing, {"module": module, "folder": folder, "name": name, "label": text}


def named_here(given: str, what: str, changes: Mapping[str, Any]) -> Where:
    """Where a user's function is that a search's setting names, on a machine that joins it.

    Args:
        given: the function, as "my_module:my_data".
        what: the setting's name, "data" or "callbacks".
        changes: what the user of this machine says: what a study says alone is not imported.

    Raises:
        ValueError: where the user has said nothing, and not imported its module either.
    """
    if given not in changes.values() and given.partition(":")[0] not in sys.modules:
        raise ValueError(
            f"`{what}`: the search's {what} are given by {given}, the user's own; say so here, too: --{what} {given}."
        )
    return named(given, what)[1]


def _own_names(module: Any) -> list[str]:
    return [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]


def place_of_object(thing: Any) -> Where | None:
    """Where an object is a variable of a module: of its class' own, or of the script's."""
    for module in dict.fromkeys((type(thing).__module__, "__main__", *_users_modules())):
        for name, value in list(vars(sys.modules.get(module, object)).items()):
            if value is thing and name.isidentifier():
                owner = type("_Owner", (), {"__module__": module, "__qualname__": name})
                owner.__name__ = name
                return place_of(owner, "space", name=name)
    return None


def _users_modules() -> list[str]:
    """Modules that were not installed with Python, nor into its environment."""
    installed = tuple(os.path.abspath(folder) + os.sep for folder in (sys.prefix, sys.base_prefix))
    found = [(name, getattr(module, "__file__", None)) for name, module in list(sys.modules.items())]
    return [
        name
        for name, file in found
        if file and name not in (MAIN, "__main__") and not os.path.abspath(file).startswith(installed)
    ]


def encoded(value: Any, argument: str = "space") -> Any:
    """A hypermodel's attribute as plain data.

    Raises:
        TypeError: for what is none: a layer, an array.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [encoded(item, argument) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [encoded(item, argument) for item in value]}
    if isinstance(value, Mapping):
        return {"dict": [[encoded(key, argument), encoded(item, argument)] for key, item in value.items()]}
    if isinstance(value, Dimension):
        return {"dimension": value.get_config(), "conditions": [[it, list(those)] for it, those in value.conditions]}
    if isinstance(value, HyperArchitecture):
        return {"architecture": value.get_config()}
    if isinstance(value, keras_tuner.HyperModel):
        return {"hypermodel": place_of(type(value), argument), "state": state_of(value, argument)}
    if inspect.isfunction(value) or inspect.isclass(value):
        return {"at": place_of(value, argument)}
    raise TypeError(f"received {value!r} of type {type(value).__name__}")


def state_of(hypermodel: keras_tuner.HyperModel, argument: str = "space") -> dict[str, Any]:
    """A hypermodel's attributes as plain data.

    Raises:
        TypeError: for one with an attribute that is none, naming it and the fix.
    """
    found = {}
    for name, value in vars(hypermodel).items():
        if name not in WRAPPED:
            try:
                found[name] = encoded(value, argument)
            except TypeError as error:
                raise TypeError(
                    f"`{argument}`: the attribute {name!r} of this {type(hypermodel).__name__} is not plain data, so "
                    f"trials, which run in processes of their own, cannot have it ({error}). Make the hypermodel a "
                    "variable at the top level of a module, or give a function without arguments that makes it, as "
                    "'my_module:make'."
                ) from error
    return found


def decoded(data: Any, *, importing: bool = True) -> Any:
    """What `encoded` described."""
    if isinstance(data, list):
        return [decoded(item, importing=importing) for item in data]
    if not isinstance(data, dict):
        return data
    if "tuple" in data:
        return tuple(decoded(item, importing=importing) for item in data["tuple"])
    if "dict" in data:
        return {decoded(key, importing=importing): decoded(item, importing=importing) for key, item in data["dict"]}
    if "dimension" in data:
        dimension = dimension_from_config(data["dimension"])
        for parent, values in data["conditions"]:
            dimension = dimension.when(parent, *values)
        return dimension
    if "architecture" in data:
        return space_from_config(data["architecture"])
    if "hypermodel" in data:
        return hypermodel_of(data["hypermodel"], data["state"], importing=importing)
    return thing_at(data["at"], importing=importing)


def hypermodel_of(place: Where, state: Mapping[str, Any], *, importing: bool = True) -> keras_tuner.HyperModel:
    """A hypermodel with the attributes that `state_of` described; its class' constructor does not run."""
    cls = thing_at(place, importing=importing)
    made: keras_tuner.HyperModel = object.__new__(cls)
    keras_tuner.HyperModel.__init__(made)
    vars(made).update({name: decoded(value, importing=importing) for name, value in state.items()})
    return made
