"""What a class's constructor takes, read once a class: for configs, for defaults, for the command line."""

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def cached(function: F) -> F:
    """`functools.cache`, but that the function keeps its type."""
    return cast(F, functools.cache(function))


@cached
def arguments(cls: type) -> dict[str, Any]:
    """Name -> default of every named argument of the constructor, its bases' included where it passes **kwargs on.

    A base that is Keras' own ends the search: name, dtype and trainable are its business; unless the constructor is
    Keras' own, too. An argument without a default has `inspect.Parameter.empty`. A class' `default_settings` stand for
    the defaults of what its bases take.
    """
    found: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    seen = False
    for base in cls.__mro__:
        if seen and base.__module__.startswith("keras."):
            break
        defaults = defaults or vars(base).get("default_settings", {})
        if "__init__" not in vars(base):
            continue
        seen, passes_on = True, False
        for parameter in list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]:
            if parameter.kind is parameter.VAR_KEYWORD:
                passes_on = True
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                found.setdefault(parameter.name, defaults.get(parameter.name, parameter.default))
        if not passes_on:
            break
    return found


@cached
def takes(cls: type, name: str) -> bool:
    """Whether the constructor takes an argument of this name, itself or through its bases, Keras' own among them."""
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            if name in parameters:
                return True
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
                return False
    return False


def needed(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments that a call of the function must give."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [item.name for item in parameters if item.default is item.empty and item.kind not in several]


def check_kept(title: str, owner: Any, names: Collection[str]) -> None:
    """Refuses a layer or a model whose class keeps an argument of its constructor elsewhere than its config looks.

    Args:
        title: what the error calls it.
        owner: the layer or model.
        names: of the arguments.

    Raises:
        TypeError: with the first that is no attribute.
    """
    if missing := [name for name in names if not hasattr(owner, name)]:
        raise TypeError(
            f"{title} must keep its argument `{missing[0]}` as an attribute of that name, or it is in "
            f"no saved file: write `self.{missing[0]} = {missing[0]}` in `__init__`."
        )


def followed_by(init: Callable[..., None], check: Callable[[Any], None]) -> Callable[..., None]:
    """A class' constructor, and what is to be checked of an object when all of its constructors have run."""

    @functools.wraps(init)
    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        outermost = next(base for base in type(self).__mro__ if "__init__" in vars(base))
        if vars(outermost)["__init__"] is made:
            check(self)

    made.__signature__ = inspect.signature(init)  # type: ignore[attr-defined]  # Keras asks in a way that sees no wraps
    return made
