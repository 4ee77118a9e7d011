"""The head of two-stage detectors: from regions of a feature map to classes and boxes."""

from typing import Any, Unpack

import keras

from keras_blocks.blocks.heads import hidden_units
from keras_blocks.core import validation
from keras_blocks.core.block import Block, register
from keras_blocks.core.chain import Chain, Fork, LayerSpec
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.typing import BlockOptions, Config, Ints, Shape, Tensor


@register
class FlattenRegions(keras.layers.Layer):
    """The values of each region as a vector: `(batch, regions, height * width * channels)`."""

    def call(self, inputs: Tensor) -> Tensor:
        batch, regions = keras.ops.shape(inputs)[:2]
        return keras.ops.reshape(inputs, (batch, regions, self.compute_output_shape(inputs.shape)[2]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        size = 1
        for side in input_shape[2:]:
            if side is None:
                raise ValueError(f"regions must have a known size to be flattened; received the shape {input_shape}.")
            size *= side
        return (*input_shape[:2], size)

    def get_config(self) -> Config:
        """As of any layer: by itself, Keras makes none of a layer that was given a policy of dtypes."""
        config: Config = super().get_config()
        return config


@register
class BoxHead(Block):
    """Two-stage detectors' head: flattens each region, then dense layers, then scores of classes and moves of boxes.

    Args:
        classes: number of classes of objects, without the background.
        hidden: units of the dense layers that scores and moves share, each with an activation and a dropout.
        dropout: share dropped after each hidden layer while training.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer`, `kernel_regularizer`,
            `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, regions, height, width, channels)`, as `RoIAlign` and `RoIPool` give; all but batch and regions known.

    Output shape:
        `{"scores": (batch, regions, classes + 1), "deltas": (batch, regions, 4 * (classes + 1))}`: scores without
        activation, the background's first, and for each class, the background included, how the region is to be moved
        for it, see `keras_blocks.ops.decode_boxes`. In float32 also under a mixed policy.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build for regions of unknown size.

    Reference:
        Girshick, "Fast R-CNN", 2015, section 2.1 and figure 1: two layers of 4096; torchvision's `TwoMLPHead` of 1024
        and `FastRCNNPredictor`.

    Example:

    >>> import keras, keras_blocks
    >>> outputs = keras_blocks.BoxHead(20)(keras.Input((100, 7, 7, 256)))
    >>> outputs["scores"].shape, outputs["deltas"].shape
    ((None, 100, 21), (None, 100, 84))
    """

    input_axes = 5
    wide_outputs = True

    def __init__(
        self, classes: int, *, hidden: Ints = (1024, 1024), dropout: float = 0.0, **kwargs: Unpack[BlockOptions]
    ):
        super().__init__(**kwargs)
        self.classes = validation.integer("classes", classes)
        self.hidden = hidden_units(hidden)
        self.dropout = validation.share("dropout", dropout)

    @property
    def input_channel_axis(self) -> int:
        return -1 if self.channel_axis == -1 else 2  # behind the batch and its regions

    def chain(self, channels: Any) -> Chain:
        outputs = {"scores": (self.classes + 1, 0.01), "deltas": (4 * (self.classes + 1), 0.001)}
        branches = {
            name: [self._last(name, units, stddev), self.probabilities(f"{name}_float", "linear")]
            for name, (units, stddev) in outputs.items()
        }
        return [self.layer("flatten", FlattenRegions), *self.hidden_layers(), Fork(FrozenDict(branches))]

    def hidden_layers(self) -> list[LayerSpec]:
        """From the values of a region to what its class is told from."""
        steps: list[LayerSpec] = []
        for i, units in enumerate(self.hidden, start=1):
            steps += [self.dense(f"dense{i}", units), self.activate(f"dense{i}_activation")]
            steps += [self.layer(f"drop{i}", keras.layers.Dropout, rate=self.dropout)] if self.dropout else []
        return steps

    def _last(self, name: str, units: int, stddev: float) -> LayerSpec:
        """A dense layer with weights as small as the paper's, section 3.1: at first all classes are as likely."""
        start = keras.initializers.RandomNormal(stddev=stddev)
        return self.layer(
            name,
            keras.layers.Dense,
            units=units,
            kernel_initializer=start,
            kernel_regularizer=self.kernel_regularizer,
        )
