"""What a constructor is called with: what it does not take is refused in the words of the class that was called."""

import difflib
import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NoReturn, Self

import keras

from keras_blocks.core.signature import cached

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "act": ("activation",),
    "bias": ("use_bias",),
    "bn": ("batch_norm",),
    "channels": ("filters",),
    "class_names": ("labels",),
    "depth": ("blocks", "layers"),
    "dilation": ("dilation_rate",),
    "drop": ("dropout",),
    "dropout_rate": ("dropout",),
    "expansion": ("expand_ratio",),
    "growth_rate": ("filters",),
    "image_size": ("input_shape",),
    "img_size": ("input_shape",),
    "initializer": ("kernel_initializer",),
    "kernel": ("kernel_size",),
    "n_classes": ("classes", "filters"),
    "nb_classes": ("classes", "filters"),
    "norm": ("batch_norm",),
    "normalization": ("batch_norm",),
    "num_classes": ("classes", "filters"),
    "num_filters": ("filters",),
    "num_layers": ("layers", "depth", "blocks"),
    "out_channels": ("filters",),
    "pool": ("pooling", "pool_size"),
    "rate": ("dropout",),
    "reduction": ("ratio", "se_ratio"),
    "regularizer": ("kernel_regularizer",),
    "shape": ("input_shape",),
    "squeeze": ("filters",),
    "stride": ("strides",),
    "top": ("include_top",),
    "units": ("filters", "hidden"),
    "use_batch_norm": ("batch_norm",),
    "weight_decay": ("kernel_regularizer",),
    "window": ("pool_size",),
}
"""Name of an argument elsewhere, as in Keras, PyTorch and timm -> what it may be called here, the likeliest first."""

LOADED = dict.fromkeys(
    ("weights", "pretrained"), ' `keras_blocks.create_model(variant, weights="imagenet")` loads some.'
)


class NamedArguments:
    """Mixed into the library's layers and models: refuses at once what their constructors do not take.

    Python's own messages count arguments, or name the class within which a keyword ended up.
    """

    takes_more = False
    """Whether the constructor hands keywords that it does not name to something else, which refuses them itself."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        check_call(cls, args, kwargs, takes_more=cls.takes_more)
        return super().__new__(cls, *args, **kwargs)


def check_call(cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, takes_more: bool) -> None:
    """Refuses what a class' constructor does not take, see `NamedArguments`."""
    names, most = by_position(cls)
    if len(args) > most:
        refuse_positions(cls, args, names)
    if not takes_more and ours_alone(cls):
        refuse_unknown(cls, kwargs, accepted(cls))


@cached
def by_position(cls: type) -> tuple[tuple[str, ...], float]:
    """The names that the constructor takes by position, and how many it takes."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    names = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    return names, float("inf") if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(names)


@cached
def by_keyword(cls: type) -> tuple[str, ...]:
    """The names that the constructor itself takes by keyword alone."""
    parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


@cached
def accepted(cls: type) -> tuple[str, ...]:
    """The names of all arguments, those of the bases too: the class' own first, Keras' last."""
    found: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base) and not (_of_keras(base) and issubclass(cls, keras.Model)):
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            found |= {p.name: None for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    return tuple(found)


@cached
def ours_alone(cls: type) -> bool:
    """Whether all constructors are the library's or Keras': another's may take keywords that it does not name."""
    return all(
        _of_keras(base) or base.__module__.partition(".")[0] in ("keras_blocks", "builtins")
        for base in cls.__mro__
        if "__init__" in vars(base)
    )


def _of_keras(base: type) -> bool:
    return base.__module__.partition(".")[0] in ("keras", "tensorflow", "torch")


def refuse_unknown(
    cls: type, given: Mapping[str, Any], known: Collection[str], offered: Collection[str] | None = None
) -> None:
    """Raises a TypeError for the first name that is not known, with the nearest of those `offered`, or known."""
    for name, value in given.items():
        if name not in known:
            meant = _meant(name, known if offered is None else offered)
            raise TypeError(f"{cls.__name__} takes no argument `{name}`; received {name}={value!r}.{meant}")


def _meant(name: str, offered: Iterable[str]) -> str:
    known = [candidate for candidate in offered if candidate != "own"]
    if name in LOADED:
        return LOADED[name]
    usual = [other for other in OTHER_NAMES.get(name.lower(), ()) if other in known][:1]
    near = usual or difflib.get_close_matches(name, known, n=2, cutoff=0.7)
    if near:
        return f" Did you mean {' or '.join(f'`{other}`' for other in near)}?"
    return f" It takes {', '.join(f'`{candidate}`' for candidate in known)}."


def refuse_positions(cls: type, args: tuple[Any, ...], names: tuple[str, ...]) -> NoReturn:
    first = ", ".join(f"`{name}`" for name in names) or "nothing"
    shown = [repr(arg) for arg in args[: len(names)]]
    named = [f"{name}=..." for name in (by_keyword(cls) or accepted(cls))[:3]]
    raise TypeError(
        f"{cls.__name__} takes {first} by position, and all else by name; received {len(args)} by position, "
        f"{args!r}. Write {cls.__name__}({', '.join([*shown, *named])}), with the name of what you mean."
    )
