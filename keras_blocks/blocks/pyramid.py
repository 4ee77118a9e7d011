"""Feature pyramids: maps of several sizes, each with what the smaller ones know."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.block import Block, Chain, register
from keras_blocks.core.chain import Assign, Fork, Split, Take
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.ops.casting import as_float
from keras_blocks.typing import BlockOptions, Config, DataFormat, LayerOptions, Shape, Tensor


@register
class FeaturePyramid(Block):
    """A feature pyramid network (FPN): from a backbone's maps to as many of one width, each with what is above it.

    Each map goes through a 1x1 convolution; from the smallest on, it is doubled in size and added to the next larger;
    a 3x3 convolution of each sum is the output.

    Args:
        filters: number of channels of all outputs.
        extra_level: whether there is one output more, every second pixel of the smallest one, for the largest anchors.
        **kwargs: the settings of `Block`: `batch_norm` (False), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ... No activation follows the convolutions.

    Input shape:
        A dict of feature maps, `(batch, height, width, channels)` each, by the names of their levels: "P2" has a
        quarter of the image's size, "P3" an eighth, and so on, without a gap; see `Architecture.pyramid_outputs`.

    Output shape:
        A dict of `(batch, height, width, filters)` by the same names, and one more with `extra_level`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build for other inputs.

    Reference:
        Lin et al., "Feature Pyramid Networks for Object Detection", 2016, section 3 and figure 3; torchvision's
        `FeaturePyramidNetwork` with `LastLevelMaxPool`.

    Example:

    >>> import keras, keras_blocks
    >>> maps = {"P3": keras.Input((28, 28, 128)), "P4": keras.Input((14, 14, 256)), "P5": keras.Input((7, 7, 512))}
    >>> {name: x.shape for name, x in keras_blocks.FeaturePyramid(64)(maps).items()}
    {'P3': (None, 28, 28, 64), 'P4': (None, 14, 14, 64), 'P5': (None, 7, 7, 64), 'P6': (None, 4, 4, 64)}
    """

    default_settings = FrozenDict({"kernel_initializer": "lecun_uniform"})

    def __init__(self, filters: int = 256, *, extra_level: bool = True, **kwargs: Unpack[BlockOptions]):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self.extra_level = validation.boolean("extra_level", extra_level)

    def chain(self, channels: Any) -> Chain:
        levels = checked_levels(self._title(), channels)
        steps = [Assign(f"lateral{i}", [Take(f"P{i}"), *self._conv(f"lateral{i}", 1)]) for i in levels]
        steps.append(Assign(f"sum{levels[-1]}", [Take(f"lateral{levels[-1]}")]))
        for i in levels[-2::-1]:
            upsampled = Split(
                ([Take(f"sum{i + 1}")], [Take(f"lateral{i}")]), self.layer(f"upsample{i + 1}", UpsampleLike)
            )
            steps.append(Assign(f"upsampled{i + 1}", [upsampled]))
            steps.append(
                Assign(f"sum{i}", [self.sum_of(f"add{i}", [Take(f"lateral{i}")], [Take(f"upsampled{i + 1}")])])
            )
        outputs = {f"P{i}": [Take(f"sum{i}"), *self._conv(f"output{i}", 3)] for i in levels}
        if self.extra_level:
            last = levels[-1]
            steps.append(Assign(f"output{last}", outputs[f"P{last}"]))
            outputs[f"P{last}"] = [Take(f"output{last}")]
            every_second = self.layer("extra", keras.layers.MaxPooling2D, pool_size=1, strides=2)
            outputs[f"P{last + 1}"] = [Take(f"output{last}"), every_second]
        return [*steps, Fork(FrozenDict(outputs))]

    def _conv(self, name: str, kernel_size: int) -> Chain:
        return self.conv_unit(name, self.filters, kernel_size, activated=False)


@register
class UpsampleLike(NamedArguments, keras.layers.Layer):
    """A feature map at twice its size, by the nearest pixels, cut to the size of another.

    Args:
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.
    """

    def __init__(self, *, data_format: DataFormat | None = None, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.data_format = keras_arguments.data_format("data_format", data_format)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        small, like = inputs
        first = 1 if self.data_format == "channels_last" else 2
        x = as_float(small, self.compute_dtype)
        sizes = keras.ops.shape(like)[first : first + 2]
        for axis, size in enumerate(sizes, start=first):
            x = keras.ops.repeat(x, 2, axis=axis)
            x = x[(slice(None),) * axis + (slice(0, size),)]
        return x

    def compute_output_shape(self, input_shape: Any) -> Shape:
        small, like = map(tuple, input_shape)
        first = 1 if self.data_format == "channels_last" else 2
        for mine, size in zip(small[first : first + 2], like[first : first + 2]):
            if None not in (mine, size) and not 2 * mine - 1 <= size <= 2 * mine:
                raise ValueError(
                    f"a level of a pyramid must be half as large as the one below it, rounded up; received maps of the "
                    f"shapes {small} and {like}."
                )
        return (*small[:first], *like[first : first + 2], *small[first + 2 :])

    def get_config(self) -> Config:
        return {**super().get_config(), "data_format": self.data_format}


def checked_levels(title: str, maps: Any) -> list[int]:
    """The numbers of a pyramid's levels, in order and without a gap, of a dict by their names."""
    names = list(maps) if isinstance(maps, dict) else []
    numbers = sorted(int(name[1:]) for name in names if name[:1] == "P" and name[1:].isdigit())
    if not names or len(numbers) != len(names) or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise ValueError(
            f"{title} takes a dict of feature maps by the names of their levels, such as 'P2', 'P3' and 'P4', without "
            f"a gap; received {names or 'one feature map'}."
        )
    return numbers
