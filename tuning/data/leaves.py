"""Arrays in tuples, lists and dicts, as `fit` takes them."""

from collections.abc import Iterator
from typing import Any


def are_arrays(part: Any) -> bool:
    """Whether it is (x, y) or (x, y, weights) of arrays, rather than what makes batches."""
    found = [leaf for _, leaf in leaves(part)] if isinstance(part, (tuple, list)) else []
    return bool(found) and len(part) in (1, 2, 3) and all(hasattr(leaf, "shape") for leaf in found)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All that is in tuples, lists and dicts, with where it is."""
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from leaves(value[key], f"{path}.{key}")
    elif isinstance(value, (tuple, list)):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}[{i}]")
    else:
        yield path, value
