"""R-CNN's parts: a network that sees each region as an image, and linear models of what it gives."""

from typing import Any, Self, Unpack

import keras

from keras_blocks.blocks.box_head import BoxHead, FlattenRegions
from keras_blocks.blocks.roi import WarpRegions
from keras_blocks.core import validation
from keras_blocks.core.block import Chain
from keras_blocks.core.chain import Assign, Fork, LayerSpec, Take
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.core.layers import wide_policy
from keras_blocks.core.registration import register
from keras_blocks.ops.written import is_written
from keras_blocks.typing import BlockOptions, Config, Ints, LayerOptions, Shape, Tensor


@register
class FittedDense(NamedArguments, keras.layers.Layer):
    """A dense layer whose weights are solved for or set, never trained: `units` products, and a bias for each.

    Args:
        units: number of outputs.
        bias: of all outputs, until they are set; the kernel is 0 until then.
        **kwargs: `name`, `dtype`, as in every Keras layer.
    """

    use_bias = True

    def __init__(self, units: int, bias: float = 0.0, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.units = validation.integer("units", units)
        self.start = validation.number("bias", bias, least=-1e6, most=1e6)

    def build(self, input_shape: Shape) -> None:
        shape = (input_shape[-1], self.units)
        start = keras.initializers.Constant(self.start)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="zeros", trainable=False)
        self.bias = self.add_weight(name="bias", shape=shape[1:], initializer=start, trainable=False)

    def call(self, inputs: Tensor) -> Tensor:
        return keras.ops.matmul(inputs, self.kernel) + self.bias

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> Config:
        return {**super().get_config(), "units": self.units, "bias": self.start}


@register
class RegionHead(BoxHead):
    """R-CNN's head: classes by dense layers, as of `BoxHead`; boxes, and classes by SVMs, by layers that are fitted.

    Args:
        classes, hidden, dropout: see `BoxHead`.
        svms: whether there are scores of SVMs.
        **kwargs: the settings of `Block`.

    Input shape:
        `(batch, regions, height, width, channels)`.

    Output shape:
        A dict: "values", each region's as they come, which boxes are told from; "features", behind the hidden layers,
        which classes are told from; "scores" and "deltas", as of `BoxHead`; with `svms` also "svm_scores", of each
        class behind the background, whose column is of no use.
    """

    def __init__(
        self,
        classes: int,
        *,
        hidden: Ints = (4096, 4096),
        dropout: float = 0.0,
        svms: bool = False,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(classes, hidden=hidden, dropout=dropout, **kwargs)
        self.svms = validation.boolean("svms", svms)

    def chain(self, channels: Any) -> Chain:
        fitted: dict[str, Any] = {"deltas": ("values", 4 * (self.classes + 1), 0.0)}
        if self.svms:
            # So that nothing is detected by SVMs that are not there yet.
            fitted["svm_scores"] = ("features", self.classes + 1, -100.0)
        branches: dict[str, Chain] = {}
        for name, (of, units, bias) in fitted.items():
            branches[name] = [Take(of), self._fitted(name, units, bias)]
        scores: Chain = [Take("features"), self._last("scores", self.classes + 1, 0.01)]
        branches["scores"] = [*scores, self.probabilities("scores_float", "linear")]
        branches |= {
            name: [Take(name), self.probabilities(f"{name}_float", "linear")] for name in ("values", "features")
        }
        return [
            Assign("values", [self.layer("flatten", FlattenRegions)]),
            Assign("features", [Take("values"), *self.hidden_layers()]),
            Fork(FrozenDict(branches)),
        ]

    def _fitted(self, name: str, units: int, bias: float) -> LayerSpec:
        return self.layer(name, FittedDense, units=units, bias=bias, dtype=wide_policy(self.dtype_policy))


@register
class EachRegion(NamedArguments, keras.layers.Layer):
    """A network that sees the pixels of each region, warped to one size, as an image of its own.

    Args:
        network: a Keras model of one image and one output.
        context, fill: see `WarpRegions`.
        at_once: regions of an image that are looked at together, but in training, where all are; what more there are
            wait, so that they need no memory.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        A list: images, `(batch, height, width, channels)`, and boxes, `(batch, n, 4)`, in pixels.

    Output shape:
        `(batch, n, *shape)`, of the network's output for an image.
    """

    def __init__(
        self,
        network: keras.Model,
        context: int = 16,
        *,
        fill: Any = 0.0,
        at_once: int = 64,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(autocast=False, **kwargs)
        self.network = network
        self.at_once = validation.integer("at_once", at_once)
        self.warp = WarpRegions(
            image_size_of(network),
            context,
            fill=fill,
            data_format=getattr(network, "data_format", None),
            name="warp",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Any) -> None:
        self.warp.build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        images, boxes = inputs
        count = boxes.shape[1]
        # PyTorch's exporters write no loop over as many as there will be.
        if training or is_written() or (count is not None and count <= self.at_once):
            return self._seen(images, boxes, training)
        batch, count = keras.ops.shape(boxes)[:2]
        times = (count + self.at_once - 1) // self.at_once
        boxes = keras.ops.pad(boxes, ((0, 0), (0, times * self.at_once - count), (0, 0)))
        parts = keras.ops.transpose(keras.ops.reshape(boxes, (batch, times, self.at_once, 4)), (1, 0, 2, 3))
        found = keras.ops.map(lambda part: self._seen(images, part, training), parts)
        rest = tuple(found.shape[3:])
        found = keras.ops.transpose(found, (1, 0, 2, *range(3, 3 + len(rest))))
        return keras.ops.reshape(found, (batch, times * self.at_once, *rest))[:, :count]

    def _seen(self, images: Tensor, boxes: Tensor, training: bool | None) -> Tensor:
        batch, count = keras.ops.shape(boxes)[:2]
        crops = self.warp([images, boxes])
        found = self.network(keras.ops.reshape(crops, (-1, *crops.shape[2:])), training=training)
        return keras.ops.reshape(found, (batch, count, *found.shape[1:]))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (*self.warp.compute_output_shape(input_shape)[:2], *self.network.output_shape[1:])

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        shape = self.compute_output_shape([tuple(one.shape) for one in inputs])
        return keras.KerasTensor(shape, self.network.outputs[0].dtype)

    def get_config(self) -> Config:
        network = keras.saving.serialize_keras_object(self.network)
        own = {"context": self.warp.context, "fill": self.warp.fill, "at_once": self.at_once}
        return {**super().get_config(), "network": network, **own}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        return cls(**{**config, "network": keras.saving.deserialize_keras_object(config["network"])})


def image_size_of(network: Any) -> tuple[int, int]:
    """Height and width of the images that the network takes.

    Raises:
        ValueError: for a network of several inputs or outputs, or that takes images of any size.
    """
    shape, after = getattr(network, "input_shape", None), getattr(network, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or not isinstance(after, tuple) or None in after[1:]:
        raise ValueError(
            "`network` must have one input, images of a known size, and one output; it has inputs of the shape "
            f"{shape} and outputs of the shape {after}."
        )
    first = getattr(network, "data_format", None) or keras.config.image_data_format()
    height, width = shape[1:3] if first == "channels_last" else shape[2:4]
    return height, width
