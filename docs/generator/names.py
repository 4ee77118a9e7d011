"""Public names, where their pages are, and links to them."""

import functools
import inspect
import re
from typing import Any

import keras_blocks
import keras_blocks.ops
import keras_blocks.tuning

KINDS = {
    "Blocks and layers": ("blocks", "core"),
    "Networks": ("models",),
    "Count and look": ("costs", "look", "decode"),
    "Weights": ("weights",),
    "Change a trained model": ("grow", "prune", "deploy"),
    "Images with boxes": ("detection",),
    "Functions on boxes": ("ops",),
    "Alike or not": ("metric",),
    "Searches": ("tuning",),
}
"""Kind of a name -> rooms whose names are of it."""


@functools.cache
def public() -> dict[str, Any]:
    """Name -> object, of all that users are given."""
    rooms = (keras_blocks, keras_blocks.ops, keras_blocks.tuning)
    return {name: getattr(room, name) for room in rooms for name in room.__all__}


def file_of(name: str) -> str:
    """The file of a name's page. `Cost` and `cost` would be one where case counts for nothing."""
    twin = name != name.lower() and name.lower() in public()
    return f"{name}_class.md" if twin else f"{name}.md"


def kind_of(name: str) -> str:
    room = module_of(name).split(".")[1]
    return next(kind for kind, rooms in KINDS.items() if room in rooms)


def module_of(name: str) -> str:
    return str(inspect.getmodule(public()[name]).__name__)


def import_path(name: str) -> str:
    """How the name is written behind `import`."""
    room = {"Searches": "keras_blocks.tuning.", "Functions on boxes": "keras_blocks.ops."}
    return room.get(kind_of(name), "keras_blocks.") + name


def linked(text: str, at: str, besides: str = "") -> str:
    """The text with names in backticks, and pages in docs, as links.

    Args:
        text: Markdown.
        at: from the page to docs/generated, such as "..".
        besides: a name that is not linked, as the page is its own.
    """
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _linked(part, at, besides) for part in parts)


def _linked(text: str, at: str, besides: str) -> str:
    def link(found: re.Match[str]) -> str:
        name = found[2]
        known = name in public() and name != besides
        return f"[{found[1]}]({at}/api/{file_of(name)})" if known else found[0]

    text = re.sub(r"(?<!\[)(`(?:keras_blocks\.(?:ops\.|tuning\.)?)?(\w+)`)s?(?!\])", link, text)
    return re.sub(r"\bdocs/(\w+)\.md", rf"[\1]({at}/../\1.md)", text)
