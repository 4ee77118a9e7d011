"""Types of the library's arguments, for annotations and for users' own blocks.

A block of yours that hands its keywords on takes `**kwargs: Unpack[keras_blocks.typing.BlockOptions]`: a type checker
then finds a misspelled one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

import keras

Tensor: TypeAlias = Any
"""A tensor of the backend, a Keras tensor, or an array. They have no type in common."""

Shape: TypeAlias = tuple[int | None, ...]
"""Sizes of all axes, `None` for any."""

Pair: TypeAlias = int | Sequence[int]
"""An integer, or two of them, for height and width."""

Ints: TypeAlias = Sequence[int]
Activation: TypeAlias = str | Callable[..., Any] | None
BatchNorm: TypeAlias = bool | Mapping[str, float | bool]
Initializer: TypeAlias = str | Mapping[str, Any] | keras.initializers.Initializer
Regularizer: TypeAlias = str | Mapping[str, Any] | keras.regularizers.Regularizer | None
DType: TypeAlias = str | Mapping[str, Any] | keras.DTypePolicy | None
DataFormat: TypeAlias = Literal["channels_last", "channels_first"]
Padding: TypeAlias = Literal["valid", "same", "symmetric"]
Config: TypeAlias = dict[str, Any]
"""What `get_config` gives."""


class LayerOptions(TypedDict, total=False):
    """What every Keras layer takes."""

    name: str | None
    dtype: DType
    trainable: bool
    activity_regularizer: Regularizer


class SharedOptions(LayerOptions, total=False):
    """The settings of `Block`, but for those of which some blocks have defaults of their own."""

    activation: Activation
    kernel_regularizer: Regularizer
    data_format: DataFormat | None
    remat: bool


class ConvOptions(SharedOptions, total=False):
    """The settings of `Block` but for `batch_norm`."""

    use_bias: bool | None
    kernel_initializer: Initializer


class BlockOptions(ConvOptions, total=False):
    """All settings of `Block`."""

    batch_norm: BatchNorm
