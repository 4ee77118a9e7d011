"""Command-line options made from settings."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, get_origin

import typer

from keras_blocks.tuning.search.settings_table import SIZE, Setting, settings_of


def with_options(settings: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a command: it gets an option for each setting, and is called with those that the user gave.

    Args:
        settings: a class of settings. The command takes them as `**given`, to be read by `read_options`.
    """
    table = settings_of(settings)

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**options: Any) -> None:
            given = {item.name: options.pop(item.name) for item in table}
            command(**options, **{name: value for name, value in given.items() if value not in (None, [])})

        own = [item for item in inspect.signature(command).parameters.values() if item.kind is not item.VAR_KEYWORD]
        parameters = sorted([*map(_parameter, table), *own], key=lambda item: item.kind)
        vars(called)["__signature__"] = inspect.Signature(parameters)
        return called

    return decorated


def read_options(settings: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a user gave, from what was typed.

    Raises:
        ValueError: for a text that says nothing.
    """
    table = {item.name: item for item in settings_of(settings)}
    return {name: _read(table[name], value) for name, value in given.items()}


def sizes(option: str, text: str, counts: Sequence[int]) -> tuple[int, ...]:
    """Numbers from `64`, `48x64` or `224,224,3`; one number stands for two.

    Args:
        option: named in the error.
        text: what was typed.
        counts: how many numbers there may be.

    Raises:
        ValueError: for other texts.
    """
    numbers = re.split(r"[x,]", text)
    if len(numbers) not in counts or not all(re.fullmatch(r" *\d{1,6} *", item) for item in numbers):
        example = "224,224,3" if 3 in counts else "64 or 48x64"
        raise ValueError(f"{option} must be numbers such as {example}; received {text!r}.")
    return tuple(int(item) for item in numbers) * (2 if len(numbers) == 1 else 1)


def size(option: str, text: str) -> tuple[int, int]:
    """(height, width), see `sizes`."""
    height, width = sizes(option, text, (1, 2))
    return height, width


def _parameter(item: Setting) -> inspect.Parameter:
    """What a command's signature says of a setting. The default is `None`, so that what is given can be told."""
    typed = list[str] if item.takes_several else item.type if item.type in (int, float, bool) else str
    option = typer.Option(item.option, help=item.help.splitlines()[0], show_default=item.shown_default or False)
    return inspect.Parameter(
        item.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[typed | None, option]
    )


def _read(item: Setting, value: Any) -> Any:
    if item.type == SIZE:
        return size(item.option, value)
    return _parts(value) if get_origin(item.type) is dict else value


def _parts(texts: Sequence[str]) -> dict[str, Any]:
    """Texts by dimensions' names, from `name=value`, `name=value,value` and `name=low..high`: the space reads them."""
    parts = {}
    for text in texts:
        name, _, value = (item.strip() for item in text.partition("="))
        if not name or not value:
            raise ValueError(f"--set must be such as groups=3, version=v1,v2 or filters=16..64; received {text!r}.")
        parts[name] = value
    return parts
