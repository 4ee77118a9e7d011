"""How the command line speaks: what it says, how it ends, and what a user can get wrong."""

import contextlib
from collections.abc import Iterator
from typing import NoReturn

import typer
from rich.console import Console

USAGE, FAILED, INTERRUPTED = 2, 1, 130
"""Exit codes: a wrong argument; a command that did not succeed; Ctrl-C."""


def say(text: str) -> None:
    """On the screen, in one line where the text is."""
    Console().print(text, highlight=False, soft_wrap=True, markup=False)


def complain(message: object) -> None:
    """Says what is wrong, in one line. Keras adds a dump of the arguments, which is left out."""
    text = str(message).partition("Arguments received by")[0]
    typer.echo(f"keras-blocks: {' '.join(text.split())}", err=True)


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
