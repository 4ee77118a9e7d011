"""Settings that are said once: a field's type, default, bounds and help make its check, option and documentation."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, Self, TypeVar, cast, get_args, get_origin, get_type_hints

from keras_blocks.core import validation

T = TypeVar("T")

SIZE = tuple[int, int]
"""The type of (height, width), for which one number stands, too."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting, as a class of settings declares it.

    Attributes:
        name: of the field.
        type: without `None`: int, float, bool, str, a `Literal`, `SIZE`, a tuple of a `Literal`'s names, or a dict.
        optional: whether it may be `None`.
        default: where it is not given; missing for an empty dict.
        help: its first line is shown on the command line. "{choices}" stands for the names that are allowed.
        least, most: bounds of a number.
        option: as it is typed; by default the name.
        shown_default: what is shown of a default that is worked out.
        changeable: whether it may be another when a search goes on: its trials still compare.
        read: function of one of several, for a setting that takes more than the names that are listed.
    """

    name: str
    type: Any
    optional: bool
    default: Any
    help: str
    least: float
    most: float
    option: str = ""
    shown_default: str | None = None
    changeable: bool = False
    read: Callable[[Any], str] | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        """The names that are allowed; none where anything is."""
        named = get_args(self.type)[0] if get_origin(self.type) is tuple else self.type
        named = next((one for one in get_args(named) if get_origin(one) is Literal), named)  # of a Literal and others
        return get_args(named) if get_origin(named) is Literal else ()

    @property
    def takes_several(self) -> bool:
        """Whether its option may be given several times."""
        return self.type != SIZE and get_origin(self.type) in (tuple, dict)

    def check(self, value: Any) -> Any:
        """The value, normalized.

        Raises:
            TypeError, ValueError: naming the setting, the value and what is allowed.
        """
        if value is None and self.optional:
            return None
        if self.type is int:
            return validation.integer(self.name, value, least=int(self.least), most=int(self.most))
        if self.type is float:
            return validation.number(self.name, value, least=self.least, most=self.most)
        if self.type is bool:
            return validation.boolean(self.name, value)
        if self.type == SIZE:
            return validation.pair(self.name, value)
        if get_origin(self.type) is tuple:
            alone = isinstance(value, str) or hasattr(value, "direction")
            names = validation.sequence(self.name, (value,) if alone else value, of="names")
            if self.read is not None:
                names = tuple(map(self.read, names))
            if len(set(names)) < len(names):
                raise ValueError(f"`{self.name}` must be different names; received {tuple(names)}.")
            if self.read is not None:
                return names
            return tuple(validation.choice(self.name, name, self.choices) for name in names)
        if self.type is str:
            return validation.text(self.name, value)
        if get_origin(self.type) is dict:
            return validation.mapping(self.name, value)
        return validation.choice(self.name, value, self.choices)


class NamedSettings:
    """Mixed into a class of settings: what is none is refused with what was meant, as Python's own message does not."""

    def __new__(cls, *args: Any, **given: Any) -> Self:
        names = tuple(field.name for field in dataclasses.fields(cls))  # type: ignore[arg-type]
        for name in given:
            try:
                validation.choice("setting", name, names, where=f"`help({cls.__name__})`")
            except ValueError as error:
                raise TypeError(f"{cls.__name__} takes no `{name}`: {error}") from error
        return super().__new__(cls)


def setting(default: T, help: str, least: float = 0, most: float = 2**60, **about: Any) -> T:
    """A field of a class of settings, see `Setting`."""
    about |= {"help": help, "least": least, "most": most}
    kept: Any = {"default_factory": dict} if default == {} else {"default": default}
    return cast(T, dataclasses.field(**kept, metadata=about))  # as `dataclasses.field` itself is typed


def settings_of(cls: type) -> tuple[Setting, ...]:
    """The settings that a class declares, in order."""
    hints, settings = get_type_hints(cls), []
    for field in dataclasses.fields(cls):
        hint, default, about = hints[field.name], field.default, dict(field.metadata)
        optional = type(None) in get_args(hint)
        made = Setting(field.name, get_args(hint)[0] if optional else hint, optional, default, **about)
        about["option"] = made.option or f"--{made.name.replace('_', '-')}"
        if made.shown_default is None and all(default is not item for item in (None, False, dataclasses.MISSING)):
            about["shown_default"] = ", ".join(default) if isinstance(default, tuple) else f"{default}"
        *names, last = made.choices or ("",)
        about["help"] = made.help.format(choices=f"{', '.join(names)} or {last}")
        settings.append(dataclasses.replace(made, **about))
    return tuple(settings)


def check_settings(settings: Any) -> None:
    """Checks and normalizes all settings of an object."""
    for item in settings_of(type(settings)):
        object.__setattr__(settings, item.name, item.check(getattr(settings, item.name)))


def documented(cls: type[T]) -> type[T]:
    """Decorates a class of settings: their help becomes part of its docstring."""
    lines = (f"        {item.name}: {' '.join(item.help.splitlines())}\n" for item in settings_of(cls))
    cls.__doc__ = (cls.__doc__ or "").replace("    Args:\n", f"    Args:\n{''.join(lines)}", 1)
    return cls
