"""The names under which classes are registered with Keras' saving, and by which they are found again."""

import pathlib
import sys
from typing import Any, TypeVar

import keras

from keras_blocks.core import validation

PACKAGE = "keras_blocks"

T = TypeVar("T")


def register(cls: type[T]) -> type[T]:
    """Decorates every public class: a saved file finds `keras_blocks>ClassName` once `import keras_blocks` has run."""
    keras.saving.register_keras_serializable(package=PACKAGE)(cls)
    return cls


def registered_name(cls: type) -> str:
    """The name that tells a class from all others, whatever they are called and wherever it is moved.

    Args:
        cls: a class. One that its owner has not registered with Keras goes by its module; a script's classes by the
            script's file, which is a module of that name elsewhere.

    Example:

    >>> registered_name(keras_blocks.ResNet), registered_name(keras.layers.Conv2D)
    ('keras_blocks>ResNet', 'keras>Conv2D')
    """
    known: str = keras.saving.get_registered_name(cls)
    if ">" in known:
        return known
    if cls.__module__.partition(".")[0] == "keras":
        return f"keras>{cls.__name__}"
    return f"{module_of(cls)}>{cls.__qualname__}"


def module_of(cls: type) -> str:
    """The name by which other processes import the class' module, that of the script that runs here, too."""
    module = sys.modules.get(cls.__module__)
    spec, file = getattr(module, "__spec__", None), getattr(module, "__file__", None)
    if spec is not None and not spec.name.startswith("__"):
        return str(spec.name)  # also that of `python -m name`, which is called __main__
    return pathlib.Path(file).stem if file else cls.__module__


def class_named(argument: str, name: str, base: type) -> type:
    """The subclass of `base` that has this registered name.

    Args:
        argument: what the error calls the name.
        name: as `registered_name` gives it. One without a package is of this library.
        base: class of which it must be one, itself excluded.

    Raises:
        ValueError: where no imported class has the name, with the nearest ones.
    """
    name = full_name(name)
    found = keras.saving.get_registered_object(name)
    if isinstance(found, type) and issubclass(found, base) and found is not base:
        return found
    named: dict[str, type] = {}
    for cls in subclasses(base):  # Keras' own before those that go by its name, see core/native_layers.py
        named.setdefault(registered_name(cls), cls)
    known = {name: cls for name, cls in named.items() if not name.startswith(f"{PACKAGE}.")}  # the bases are no choice
    return known[validation.choice(argument, name, tuple(known))]


def full_name(name: str) -> str:
    """The name with its package: studies of version 0.1 have `ResNet` for `keras_blocks>ResNet`."""
    return name if ">" in name else f"{PACKAGE}>{name}"


def short_name(name: str) -> str:
    """The name as people read it: this library's classes without their package."""
    return name.removeprefix(f"{PACKAGE}>")


def subclasses(cls: type[Any]) -> list[type[Any]]:
    """All subclasses, those of subclasses too."""
    return [found for child in cls.__subclasses__() for found in (child, *subclasses(child))]
