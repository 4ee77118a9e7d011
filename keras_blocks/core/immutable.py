"""Immutable, hashable plain data: what metaparameters are kept as."""

from collections.abc import Iterator, Mapping
from typing import Any, Never, Self


class FrozenDict(Mapping[str, Any]):
    """A mapping that cannot change, hashes by value, and reads `m.groups` as `m["groups"]`.

    Keras wraps lists and dicts that are assigned to a layer in containers of its own and tracks what is in them;
    it leaves a `FrozenDict` alone, so metaparameters stay plain and no two models can share a mutable one.
    """

    __slots__ = ("_hash", "_items")

    def __init__(self, items: Any = ()):
        object.__setattr__(self, "_items", {key: freeze(value) for key, value in dict(items).items()})
        object.__setattr__(self, "_hash", None)

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._items[name]
        except KeyError:
            raise AttributeError(f"no metaparameter '{name}'; there are {sorted(self._items)}") from None

    def __setattr__(self, name: str, value: Any) -> Never:
        raise TypeError(f"metaparameters cannot be changed; `{name}` was to be set to {value!r}")

    def __hash__(self) -> int:
        if self._hash is None:
            object.__setattr__(self, "_hash", hash(frozenset(self._items.items())))
        return int(self._hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._items == {key: freeze(value) for key, value in other.items()}

    def __repr__(self) -> str:
        return repr(thaw(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (self._items,)

    def __deepcopy__(self, memo: Any) -> Self:
        return self


def freeze(value: Any) -> Any:
    """Mappings become `FrozenDict`, lists become tuples, all the way down; anything else stays itself."""
    if isinstance(value, FrozenDict):
        return value
    if isinstance(value, Mapping):
        return FrozenDict(value)
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item) for item in value)
    return value


def thaw(value: Any) -> Any:
    """The opposite of `freeze`: plain dicts and lists, as a config holds them."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [thaw(item) for item in value]
    return value
