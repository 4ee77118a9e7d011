"""Names of published networks, and what is said of one that is none."""

import difflib
from collections.abc import Collection
from typing import Any

FEW = 8
"""So many names are listed in an error; of more, the nearest ones are."""


def known_name(argument: str, value: Any, names: Collection[str], where: str) -> str:
    """The name, if it is one of `names`, which the error says are found `where`.

    Raises:
        ValueError: for another, with the nearest ones.
    """
    if isinstance(value, str) and value in names:
        return value
    listed = str(sorted(names)) if len(names) <= FEW else f"the {len(names)} names of {where}"
    raise ValueError(f"`{argument}` must be one of {listed}; received {value!r}.{_nearest(str(value).lower(), names)}")


def _nearest(value: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(value, names, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
