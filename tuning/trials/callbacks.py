"""A user's own callbacks: a function that makes them for each training, in the process that trains."""

import inspect
from collections.abc import Callable
from typing import Any

import keras

from keras_blocks.core.signature import needed
from keras_blocks.tuning.console import is_place
from keras_blocks.tuning.user_spaces.user_things import Where, named, place_of, thing_at


def place_of_callbacks(given: Callable[[], Any] | str) -> Where:
    """Where another process finds the function that makes the callbacks. It is called once, to see what it makes.

    Args:
        given: a function without arguments, or its place, "my_module:my_callbacks".

    Raises:
        TypeError, ValueError: for what makes no callbacks, and for a function that no other process finds.
    """
    if isinstance(given, str):
        if not is_place(given):
            raise ValueError(f"`callbacks` must be such as 'my_module:my_callbacks'; received {given!r}.")
        function, where = named(given, "callbacks")
    elif inspect.isfunction(given):
        function, where = given, place_of(given, "callbacks")
    else:
        raise TypeError(
            "`callbacks` must be a function that returns a list of callbacks, new ones for each training, or its "
            f"place, 'my_module:my_callbacks'; received a {type(given).__name__}."
        )
    _made(function, where["label"])
    return where


def callbacks_at(where: Where | None) -> list[keras.callbacks.Callback]:
    """New callbacks for a training."""
    return [] if where is None else _made(thing_at(where), where["label"])


def _made(function: Any, name: str) -> list[keras.callbacks.Callback]:
    if not callable(function) or (wanted := needed(function)):
        told = "is none" if not callable(function) else f"wants {wanted}"
        raise TypeError(f"`callbacks`: {name} must be a function without arguments; it {told}.")
    found = function()
    if not isinstance(found, (list, tuple)) or not all(isinstance(one, keras.callbacks.Callback) for one in found):
        raise TypeError(f"`callbacks`: {name} must return a list of keras.callbacks.Callback; it returned {found!r}.")
    return list(found)
