"""A page for each public name, from its signature and its docstring, and the page of all names."""

import functools
import inspect
import re
from collections.abc import Iterator
from typing import Any

from generator.docstrings import as_markdown, first_sentence
from generator.names import KINDS, file_of, import_path, kind_of, linked, public

NOT_SHOWN = (
    *("build", "call", "get_config", "from_config", "compute_output_shape", "compute_output_spec"),
    *("get_build_config", "build_from_config", "compute_loss", "train_step", "test_step", "stateless_compute_loss"),
)
"""Methods that Keras calls."""

WIDE = 88


def page(name: str, figure: str | None = None) -> str:
    """The page of a public name.

    Args:
        name: the public name.
        figure: file of its drawing, from the page.
    """
    thing = public()[name]
    parts = [f"# {name}", f"```python\n{signature(import_path(name), thing)}\n```"]
    if figure:
        parts.append(f"![{name}, drawn by keras_blocks.draw]({figure})")
    parts.append(as_markdown(thing.__doc__, 2, functools.partial(described, thing)))
    if inspect.isclass(thing):
        parts += _methods(name, thing)
    return linked("\n\n".join(parts), "..", name) + "\n"


def _methods(name: str, cls: type) -> Iterator[str]:
    found = list(members(cls))
    if found:
        yield "## Methods and properties"
    for member, value in found:
        if isinstance(value, property | functools.cached_property):
            doc = value.__doc__
            yield f"### {member}\n\n{as_markdown(doc, 5)}"
        else:
            function = getattr(cls, member)
            text = as_markdown(function.__doc__, 5, functools.partial(described, function))
            yield f"### {member}\n\n```python\n{signature(member, function)}\n```\n\n{text}"
    bases = [base.__name__ for base in cls.__mro__[1:] if base.__name__ in public()]
    if bases:
        yield "It also has what " + ", ".join(f"`{base}`" for base in bases) + " has."


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """(name, value) of the methods and properties with a docstring that no base with a page of its own has."""
    known = [base for base in cls.__mro__[1:] if base.__name__ in public()]
    seen = set(NOT_SHOWN)
    for base in cls.__mro__:
        if not base.__module__.startswith("keras_blocks") or base in known:
            continue
        for member, value in vars(base).items():
            shown = isinstance(value, property | functools.cached_property | classmethod | staticmethod)
            doc = getattr(value, "__doc__", None)
            if member.startswith("_") or member in seen or not (shown or inspect.isfunction(value)) or not doc:
                continue
            if base is not cls and any(hasattr(other, member) for other in known):
                continue
            seen.add(member)
            yield member, value


def signature(path: str, thing: Any) -> str:
    """How it is called, with types, a line for each argument where one is too short."""
    try:
        parameters = [one for one in inspect.signature(thing).parameters.values() if one.name != "self"]
    except (TypeError, ValueError):
        return path
    written = []
    if any(one.kind is one.KEYWORD_ONLY for one in parameters):
        first = next(i for i, one in enumerate(parameters) if one.kind is one.KEYWORD_ONLY)
        if not any(one.kind is one.VAR_POSITIONAL for one in parameters):
            parameters.insert(first, None)  # type: ignore[arg-type]
    for one in parameters:
        written.append("*" if one is None else _parameter(one))
    whole = f"{path}({', '.join(written)})"
    if len(whole) <= WIDE:
        return whole
    return f"{path}(\n" + "".join(f"    {item},\n" for item in written) + ")"


def described(thing: Any, name: str) -> str:
    """An argument with its type and default, where the signature has it."""
    try:
        parameters = inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return f"`{name}`"
    one = parameters.get(name.lstrip("*"))
    return f"`{name}`" if one is None else f"`{_parameter(one)}`"


def _parameter(one: inspect.Parameter) -> str:
    stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
    text = stars + one.name
    if one.kind is not one.VAR_KEYWORD and one.annotation is not one.empty:
        text += f": {type_text(one.annotation)}"
    if one.default is not one.empty:
        default = repr(one.default)
        default = "..." if " at 0x" in default or len(default) > 60 else default
        text += f" = {default}" if ": " in text else f"={default}"
    return text


def type_text(annotation: Any) -> str:
    """A type as users write it."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\bkeras\.src\.[\w.]*\.(?=\w)", "keras.", text)
    return re.sub(r"\b(?:typing|collections\.abc|keras_blocks(?:\.\w+)*|os)\.(?=\w)", "", text)


def index() -> str:
    """All names, by kind, each with what its docstring begins with."""
    lines = ["# All names", "", "With their arguments, errors, sources and examples, from the docstrings.", ""]
    for kind in KINDS:
        lines += [f"## {kind}", "", "| name | |", "|---|---|"]
        for name in sorted((name for name in public() if kind_of(name) == kind), key=str.lower):
            what = first_sentence(public()[name].__doc__).replace("|", "\\|")
            lines.append(f"| [`{name}`]({file_of(name)}) | {linked(what, '..', name)} |")
        lines.append("")
    return "\n".join(lines)
