"""Docstrings of the house style as Markdown."""

import inspect
import re
from collections.abc import Callable, Iterator

SECTIONS = (
    *("Args", "Attributes", "Call arguments", "Input shape", "Output shape", "Returns", "Yields", "Raises"),
    *("Reference", "References", "Example", "Examples"),
)
TITLES = {"Args": "Arguments", "Example": "Example", "Examples": "Example", "References": "Reference"}
LISTS = ("Args", "Attributes", "Call arguments", "Raises")
"""Sections of items, `name: what it is`; all others are text and examples."""

HEADING = re.compile(rf"({'|'.join(SECTIONS)}):(?: (.*))?$")
NAME = r"\*{0,2}[\w.]+(?: \([^()]*\))?"
ITEM = re.compile(rf"({NAME}(?:, {NAME})*): (.*)$")

Described = Callable[[str], str]
"""From an argument's name to how it is written with its type and default."""


def sections(doc: str | None) -> Iterator[tuple[str, str]]:
    """(title, text) of each section, the first of which has no title."""
    title, lines = "", list[str]()
    for line in inspect.cleandoc(doc or "").splitlines():
        if found := HEADING.match(line):
            yield title, "\n".join(lines)
            title, lines = found[1], [found[2]] if found[2] else []
        else:
            lines.append(line)
    yield title, "\n".join(lines)


def first_sentence(doc: str | None) -> str:
    """What the first paragraph begins with, on one line."""
    paragraph = inspect.cleandoc(doc or "").partition("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[.:]) (?=[A-Z])", paragraph)[0]


def as_markdown(doc: str | None, level: int, described: Described = lambda name: f"`{name}`") -> str:
    """The whole docstring; its sections have headings of this level, or are bold where that is above 4.

    Args:
        doc: the docstring.
        level: of the headings.
        described: from an argument's name to its text.
    """
    parts = []
    for title, text in sections(doc):
        if title:
            shown = TITLES.get(title, title)
            parts.append(f"{'#' * level} {shown}" if level <= 4 else f"**{shown}**")
        body = listed(text, described) if title in LISTS else running(text)
        parts.append(body)
    return "\n\n".join(part for part in parts if part.strip()) + "\n"


def listed(text: str, described: Described) -> str:
    """The items of a section as a list; what is none stays text."""
    lines = []
    for item in re.split(r"\n(?! )", inspect.cleandoc("\n" + text)):
        if found := ITEM.match(" ".join(line.strip() for line in item.splitlines())):
            lines.append(
                f"- {', '.join(_named(name, described) for name in found[1].split(', '))}: {escaped(found[2])}"
            )
        elif item.strip():
            lines.append(running(item) + "\n")
    return "\n".join(lines)


def _named(name: str, described: Described) -> str:
    """An argument, behind which its default may stand in brackets."""
    plain, space, default = name.partition(" ")
    return described(plain) + space + default


def running(text: str) -> str:
    """Paragraphs, and examples as code that can be copied: what a line gives is a comment behind it."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc("\n" + text)):
        before, sign, example = paragraph.partition(">>> ")
        if before.strip():
            parts.append(escaped(before.strip("\n")))
        if sign:
            parts.append(f"```python\n{without_prompts(sign + example)}\n```")
    return "\n\n".join(parts)


def without_prompts(example: str) -> str:
    """Lines of a doctest as a program."""
    lines = []
    for line in example.splitlines():
        if line.startswith((">>> ", "... ")):
            lines.append(line[4:])
        elif line.rstrip() in (">>>", "..."):
            lines.append("")
        else:
            lines.append(f"# {line}".rstrip())
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text whose signs are no Markdown outside of backticks."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([*\[\]])", r"\\\1", part).replace("<", "&lt;") for part in parts
    )
