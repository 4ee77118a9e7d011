"""Layers that an argument declares: a class, a layer as a pattern, a name or a dict become plain data."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import keras

from keras_blocks.core.immutable import FrozenDict
from keras_blocks.core.keywords import accepted, ours_alone, refuse_unknown
from keras_blocks.core.layer_kinds import OF_CODE
from keras_blocks.core.layers import serialized
from keras_blocks.core.registration import class_named, registered_name
from keras_blocks.core.signature import needed

Declaration: TypeAlias = type | str | Mapping[str, Any] | keras.layers.Layer | None
"""A layer yet to be made. See `layer_declaration`."""

THE_OWNERS = ("name", "dtype", "trainable")
"""Arguments that are those of the block in which the layer stands."""


def layer_declaration(argument: str, value: Any, given: Collection[str] = ()) -> FrozenDict | None:
    """A layer as plain data, `{"layer": its registered name, ...}` with its arguments, for `LayerFactory.declared`.

    Args:
        argument: what the error calls it.
        value: a class of layers; a layer that is not built, which is a pattern: what it was told other than its class'
            defaults; the class' name; or a dict of "layer", a class or its name, and arguments. `None` for none.
        given: names of arguments that the block will give the layer. One that needs any of these is made in `build`,
            and refuses then what does not go with them.

    Raises:
        TypeError: for what is none of these, and for arguments that the class does not take.
        ValueError: for a name that no imported class has, for layers that bring code with them, and for arguments that
            the class refuses.

    Example:

    >>> layer_declaration("attention", keras_blocks.EfficientChannelAttention(kernel_size=5))
    {'layer': 'keras_blocks>EfficientChannelAttention', 'kernel_size': 5}
    """
    if value is None:
        return None
    cls, options = _taken_apart(argument, value)
    if not (isinstance(cls, type) and issubclass(cls, keras.layers.Layer)) or issubclass(cls, keras.Model):
        raise TypeError(f"`{argument}` must be a layer: its class, name, pattern or dict; received {value!r}.")
    if issubclass(cls, OF_CODE):
        raise ValueError(
            f"`{argument}` must be a layer that any file may hold, and {cls.__name__} runs code that its arguments "
            "bring; received "
            f"{value!r}. Write a `keras_blocks.Block`, or a layer, with that code, register it, and give its class."
        )
    if own := [name for name in THE_OWNERS if name in options]:
        raise ValueError(f"`{argument}` must leave `{own[0]}` to the block that it stands in; received {value!r}.")
    options = serialized(options)
    try:
        if ours_alone(cls):
            refuse_unknown(cls, options, accepted(cls))
        if not set(given) & set(_needed(cls)):
            cls(**options)
    except (TypeError, ValueError) as error:
        raise type(error)(f"`{argument}` cannot be made: {error}") from error
    return FrozenDict({"layer": registered_name(cls), **options})


def _taken_apart(argument: str, value: Any) -> tuple[Any, dict[str, Any]]:
    """The class, and the arguments that are set."""
    if isinstance(value, keras.layers.Layer):
        if value.weights:
            raise TypeError(
                f"`{argument}` is a pattern, of which each block makes a layer of its own; received {value!r}, which "
                "is built already. Give its class, or one that is not built."
            )
        return type(value), _told(value)
    if isinstance(value, Mapping):
        if "layer" not in value:
            raise ValueError(f"`{argument}` must have the key 'layer', a class or its name; received {dict(value)!r}.")
        options = dict(value)
        cls = options.pop("layer")
    else:
        cls, options = value, {}
    if isinstance(cls, str):
        cls = class_named(argument, cls, keras.layers.Layer)
    elif callable(cls) and not isinstance(cls, type):
        raise TypeError(
            f"`{argument}` must be a layer, as a function is in no saved file; received {value!r}. Write a "
            "`keras_blocks.Block` with its layers in `chain`, register it, and give its class."
        )
    return cls, options


def _told(layer: Any) -> dict[str, Any]:
    """What a layer was told other than its class' defaults."""
    cls = type(layer)
    config = {key: value for key, value in layer.get_config().items() if key in accepted(cls) and key not in THE_OWNERS}
    must = {name: config[name] for name in _needed(cls) if name in config}
    usual = cls(**must).get_config()
    return {key: value for key, value in config.items() if key in must or value != usual.get(key)}


def _needed(cls: type) -> list[str]:
    init: Callable[..., Any] = vars(next(base for base in cls.__mro__ if "__init__" in vars(base)))["__init__"]
    return [name for name in needed(init) if name != "self"]
