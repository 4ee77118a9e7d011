"""Checks of arguments: each returns the normalized value, or raises an error with argument, value, what is allowed.

Those that need Keras are in `keras_arguments`: the command line checks without.
"""

import difflib
import math
import numbers
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, get_args

T = TypeVar("T")

NO_LIST = (str, bytes, bytearray, memoryview, Mapping)
"""What Python takes for sequences, or loops over, and nobody means as a list of items."""

SHORT = 20
"""So many names are listed in an error; of more, the nearest alone."""

MOST_CHANNELS = 2**20
"""No published network is wider; a larger number is a slip that would exhaust the memory in `build`."""


def integer(name: str, value: Any, *, least: int = 1, most: int = MOST_CHANNELS) -> int:
    """A whole number of an integer type, from `least` to `most`. Not a bool, and not a float, not even 8.0."""
    allowed = f"an integer from {least} to {most}"
    if isinstance(value, bool) or not issubclass(type(value), numbers.Integral):
        raise TypeError(f"`{name}` must be {allowed}; received {value!r} of type {type(value).__name__}.")
    if not least <= value <= most:
        raise ValueError(f"`{name}` must be {allowed}; received {value!r}.")
    return int(value)


def pair(name: str, value: Any, *, least: int = 1, most: int = 1024) -> tuple[int, int]:
    """Two integers, for height and width; a single one stands for both."""
    if isinstance(value, Sequence) and not isinstance(value, NO_LIST):
        if len(value) != 2:
            raise ValueError(f"`{name}` must be an integer or two of them, (height, width); received {value!r}.")
        height, width = (integer(f"{name}[{i}]", item, least=least, most=most) for i, item in enumerate(value))
        return height, width
    return (integer(name, value, least=least, most=most),) * 2


def number(name: str, value: Any, *, least: float, most: float, open_end: bool = False) -> float:
    """A finite number from `least` to `most`, the upper end excluded where `open_end`."""
    allowed = f"a number from {least} {'to below' if open_end else 'to'} {most}"
    if isinstance(value, bool) or not issubclass(type(value), numbers.Real):
        raise TypeError(f"`{name}` must be {allowed}; received {value!r} of type {type(value).__name__}.")
    if math.isnan(value) or not least <= value <= most or (open_end and value == most):
        raise ValueError(f"`{name}` must be {allowed}; received {value!r}.")
    return float(value)


def share(name: str, value: Any) -> float:
    """A number from 0 to below 1."""
    return number(name, value, least=0, most=1, open_end=True)


def seed(name: str, value: Any) -> int:
    """An integer that every library takes for a seed."""
    return integer(name, value, least=0, most=2**32 - 1)


def optional(check: Callable[..., T], name: str, value: Any, **bounds: Any) -> T | None:
    """`None`, or what the check lets pass."""
    return None if value is None else check(name, value, **bounds)


def boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be True or False; received {value!r} of type {type(value).__name__}.")
    return value


def choice(name: str, value: T, allowed: Any, *, where: str | None = None) -> T:
    """One of `allowed`, a `Literal` type or a collection; the error suggests the nearest names.

    Args:
        where: what lists all of them, for the error that cannot: "`keras_blocks.list_models()`".
    """
    allowed = tuple(get_args(allowed) or allowed)
    for item in allowed:
        alike = type(value) is type(item) or (
            isinstance(value, str) and isinstance(item, str)
        )  # numpy's texts are some
        if value is item or (alike and value == item):
            return item  # type: ignore[no-any-return]
    names = {item.lower(): item for item in allowed if isinstance(item, str)}
    near = [names[name] for name in difflib.get_close_matches(str(value).lower(), names, n=3, cutoff=0.5)]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    if len(allowed) <= SHORT:
        listed = str(list(allowed))
    else:
        listed = f"the {len(allowed)} names of {where}" if where else f"{len(allowed)} names, such as {allowed[:3]}"
    raise ValueError(f"`{name}` must be one of {listed}; received {value!r}.{hint}")


def mapping(
    name: str, value: Any, *, keys: Collection[str] | None = None, required: Collection[str] = ()
) -> Mapping[str, Any]:
    """A mapping with string keys among `keys`, `None` for any, all of `required` among them."""
    if not isinstance(value, Mapping):
        among = "" if keys is None else f" with keys among {list(keys)}"
        raise TypeError(f"`{name}` must be a dict{among}; received {value!r}.")
    for key in value if keys is not None else ():
        choice(f"{name}'s key", key, keys)
    for key in required:
        if key not in value:
            raise ValueError(f"`{name}` must have the key '{key}'; received {dict(value)!r}.")
    return value


def sequence(name: str, value: Any, *, of: str = "items") -> Sequence[Any]:
    """A list or tuple that is not empty."""
    if isinstance(value, NO_LIST) or not isinstance(value, Sequence):
        raise TypeError(f"`{name}` must be a list of {of}; received {value!r} of type {type(value).__name__}.")
    if not value:
        raise ValueError(f"`{name}` must be a list of {of} and not empty; received {value!r}.")
    return value


def names(name: str, value: Any, *, count: int | None = None, of: str = "classes") -> tuple[str, ...]:
    """A list of strings, `count` of them where that is known. Two may be equal: ImageNet has two cranes."""
    for i, item in enumerate(sequence(name, value, of="names")):
        if not isinstance(item, str):
            raise TypeError(f"`{name}[{i}]` must be a name; received {item!r} of type {type(item).__name__}.")
    if count is not None and len(value) != count:
        raise ValueError(f"`{name}` must be {count} names, as many as {of}; received {len(value)}: {list(value)}.")
    return tuple(value)


def text(name: str, value: Any) -> str:
    """A string that is not empty; of a path, its text."""
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a string; received {value!r} of type {type(value).__name__}.")
    if not value.strip():
        raise ValueError(f"`{name}` must be a string and not empty; received {value!r}.")
    return value


def divides(name: str, value: int, *, total_name: str, total: int) -> int:
    if total % value:
        raise ValueError(f"`{name}` must divide `{total_name}`; received {name}={value} with {total_name}={total}.")
    return value


BATCH_NORM_OPTIONS = ("momentum", "epsilon", "center", "scale", "synchronized", "groups")

OF_BATCHES = ("momentum", "synchronized")
"""Options of the statistics of batches, of which GroupNormalization has none."""


def batch_norm(name: str, value: Any) -> bool | dict[str, Any]:
    """True, False, or a dict of BatchNormalization's arguments (its axis follows from the data format).

    With "groups" it is GroupNormalization's, which has no statistics of batches.
    """
    if isinstance(value, bool):
        return value
    if not isinstance(value, Mapping):
        raise TypeError(
            f"`{name}` must be True, False or a dict with keys among {list(BATCH_NORM_OPTIONS)}; received {value!r}."
        )
    mapping(name, value, keys=BATCH_NORM_OPTIONS)
    if "groups" in value and (both := [key for key in OF_BATCHES if key in value]):
        raise ValueError(
            f"`{name}` must have 'groups', for GroupNormalization, or '{both[0]}', for BatchNormalization, not both; "
            f"received {dict(value)!r}."
        )
    # Without an epsilon, a constant channel is NaN in training; detectors' frozen normalization has none.
    least = {"momentum": 0.0, "epsilon": 0.0}
    return {
        key: number(f"{name}['{key}']", item, least=least[key], most=1.0)
        if key in least
        else integer(f"{name}['groups']", item)
        if key == "groups"
        else boolean(f"{name}['{key}']", item)
        for key, item in value.items()
    }


def record(name: str, value: Any, fields: Mapping[str, int | None]) -> dict[str, int]:
    """A mapping of integers: `fields` gives each key's default, `None` for a key that must be there."""
    required = [key for key, default in fields.items() if default is None]
    mapping(name, value, keys=tuple(fields), required=required)
    return {key: integer(f"{name}['{key}']", value.get(key, default)) for key, default in fields.items()}


def records(name: str, value: Any, fields: Mapping[str, int | None]) -> list[dict[str, int]]:
    """A list of such, not empty, as the groups of an architecture are."""
    items = sequence(name, value, of=name)
    return [record(f"{name}[{i}]", item, fields) for i, item in enumerate(items)]
