"""How the command line speaks: what it says, how it ends, and what a user can get wrong."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import typer
from rich.console import Console

USAGE, FAILED, INTERRUPTED = 2, 1, 130
"""Exit codes: a wrong argument; a command that did not succeed; Ctrl-C."""

COLOURS = re.compile(r"\x1b\[\d*m")


def say(text: str) -> None:
    """On the screen, in one line where the text is."""
    Console().print(text, highlight=False, soft_wrap=True, markup=False)


def complain(message: object) -> None:
    """Says what is wrong, in one line."""
    typer.echo(f"keras-blocks: {without_dump(message)}", err=True)


def without_dump(message: object) -> str:
    """What an error says, in one line; without what Keras adds: a call's arguments, configs, and colours."""
    text = str(message).partition("Arguments received by")[0]
    text = text.rpartition("Exception encountered: ")[2].partition(" Full object config")[0]
    return " ".join(COLOURS.sub("", text).split())


def stop(message: object, code: int) -> NoReturn:
    """Says why, in one line, and ends the command."""
    complain(message)
    raise typer.Exit(code)


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """What a user can get wrong, or has not installed, ends the command with one line, and no traceback."""
    try:
        yield
    except (ValueError, TypeError, ImportError) as error:
        stop(error, USAGE)


def say_begin(model: str, data: Any, folder: Any) -> None:
    height, width, channels = data.image_shape
    say(
        f"{model} on {data.name}: {len(data.x_train)} images to train, {len(data.x_val)} to validate, "
        f"{len(data.x_test)} held out, {height}x{width}x{channels}, {data.classes} classes"
    )
    for note in data.notes:
        say(note)
    say(f"run folder: {folder}")


def say_result(result: dict[str, Any], folder: Any) -> None:
    say(
        f"kept in {folder.best}: epoch {result['kept_epoch']} of {result['epochs']}, {result['params']:,} parameters, "
        f"{100 * result['val_accuracy']:.2f} % validation accuracy",
    )
    say(f"test accuracy: {accuracy_of(result)}")
    say(f"report: {folder.report}")


def say_own(result: dict[str, Any]) -> None:
    """What a model came to on data of a user's own."""
    told = ", ".join(f"{name} {value:.4g}" for name, value in result["metrics"].items())
    say(f"test of {result['model']} on {result['data']}: {told}")


NAME = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"


def is_place(given: object) -> bool:
    """Whether a setting says where a user's own thing is, as "my_module:my_data"; a path that exists is none."""
    return isinstance(given, str) and re.fullmatch(f"{NAME}:{NAME}", given) is not None and not os.path.exists(given)


def accuracy_of(result: dict[str, Any]) -> str:
    return f"{100 * result['test_accuracy']:.2f} % ({result['test_correct']} of {result['test_images']} images)"
