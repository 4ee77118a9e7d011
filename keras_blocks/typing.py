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
Numbers: TypeAlias = Sequence[float]
Activation: TypeAlias = str | Callable[..., Any] | None
BatchNorm: TypeAlias = bool | Mapping[str, float | bool]
Initializer: TypeAlias = str | Mapping[str, Any] | keras.initializers.Initializer
Regularizer: TypeAlias = str | Mapping[str, Any] | keras.regularizers.Regularizer | None
DType: TypeAlias = str | Mapping[str, Any] | keras.DTypePolicy | None
DataFormat: TypeAlias = Literal["channels_last", "channels_first"]
Padding: TypeAlias = Literal["valid", "same", "symmetric"]
KerasPadding: TypeAlias = Literal["valid", "same"]
Config: TypeAlias = dict[str, Any]
"""What `get_config` gives."""


class DatasetOptions(TypedDict, total=False):
    """What every `keras.utils.PyDataset` takes."""

    workers: int
    use_multiprocessing: bool
    max_queue_size: int


class NamedOptions(TypedDict, total=False):
    """What every Keras layer and model takes."""

    name: str | None
    dtype: DType
    trainable: bool


class LayerOptions(NamedOptions, total=False):
    """What every Keras layer takes."""

    activity_regularizer: Regularizer


class Settings(TypedDict, total=False):
    """What an architecture hands to each of its blocks, see `Block`."""

    activation: Activation
    batch_norm: BatchNorm
    use_bias: bool | None
    kernel_initializer: Initializer
    kernel_regularizer: Regularizer
    data_format: DataFormat | None
    remat: bool


class BlockOptions(Settings, LayerOptions, total=False):
    """What every block takes, see `Block`."""


class NetworkOptions(Settings, NamedOptions, total=False):
    """What every model of the library takes, see `Architecture`."""

    input_shape: Sequence[int | None] | None
    input_tensor: Any
    preprocess: Any


class ArchitectureOptions(NetworkOptions, total=False):
    """What every architecture that classifies images takes, see `Architecture`."""

    classes: int
    include_top: bool
    pooling: Literal["avg", "max"] | None
    classifier_activation: Activation
    labels: Sequence[str] | None
