"""Region proposals: where in an image there may be an object, of whatever class."""

import math
from collections.abc import Sequence
from typing import Any, Unpack

import keras

from keras_blocks.blocks.anchors import AnchorGenerator, anchor_ratios, anchor_sizes
from keras_blocks.blocks.pyramid import checked_levels
from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.block import Block, Chain, register
from keras_blocks.core.chain import Assign, Fork, Split, Take
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.core.layers import wide_policy
from keras_blocks.ops.boxes import clip_boxes, decode_boxes
from keras_blocks.ops.nms import batched_nms
from keras_blocks.ops.written import largest, taken
from keras_blocks.typing import BlockOptions, Config, DataFormat, Ints, LayerOptions, Numbers, Pair, Shape, Tensor

IMAGE_SIZE = "image_size"
"""What the input is called that says how much of each map is image, the rest being padding."""

SINGLE = "features"
"""The level of a single feature map."""

SMALLEST = 1e-3
"""Pixels of the narrowest proposal, as in torchvision."""


@register
class RegionProposalNetwork(Block):
    """A region proposal network (RPN): at each anchor, whether there is an object, and how its box lies to the anchor.

    A 3x3 convolution with an activation, then two 1x1 convolutions, the same for all levels. The best boxes of each
    level, without those that overlap a better one of it, are the proposals. What their places are made of is not
    differentiated.

    Args:
        filters: number of channels of the 3x3 convolution; `None` for as many as the input has.
        sizes: sizes of the anchors in pixels: a list for each level, in their order; one list for a single map.
        aspect_ratios: heights of the anchors divided by their widths, for all levels.
        strides: pixels of the image between two pixels of each level, an integer or two, (height, width), for each;
            `None` follows from the levels' names, 2**i for "Pi", and is 16 for a single map.
        pre_nms_top_n: how many boxes of each level are looked at, those with the best scores: in training, and else.
        post_nms_top_n: how many proposals there are at most: in training, and else.
        iou_threshold: of two boxes of a level that overlap by more, the better one stays.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer` (a normal distribution of 0.01),
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`, or a dict of such feature maps by the names of their levels, as
        `FeaturePyramid` gives. A dict may have "image_size" too, `(batch, 2)` integers: proposals are cut to that
        height and width; without it, to what the largest map covers.

    Output shape:
        A dict, in float32 also under a mixed policy: "proposals", `(batch, post_nms_top_n, 4)`, the best first, in
        pixels, padded with -1; and what losses are computed of, of all anchors of all levels: "anchors",
        `(anchors, 4)`, "objectness", `(batch, anchors)`, without activation, and "deltas", `(batch, anchors, 4)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build for other inputs.

    Reference:
        Ren et al., "Faster R-CNN", 2015, section 3.1 and figure 3; Lin et al., "Feature Pyramid Networks", 2016,
        section 4.1; torchvision's `RegionProposalNetwork`.

    Example:

    >>> import keras, keras_blocks
    >>> rpn = keras_blocks.RegionProposalNetwork(sizes=[128, 256, 512], post_nms_top_n=(2000, 300))
    >>> {name: x.shape for name, x in rpn(keras.Input((37, 50, 512))).items()}  # doctest: +NORMALIZE_WHITESPACE
    {'anchors': (16650, 4), 'deltas': (None, 16650, 4), 'objectness': (None, 16650), 'proposals': (None, 300, 4)}
    """

    wide_outputs = True
    default_settings = FrozenDict({"kernel_initializer": keras.initializers.RandomNormal(stddev=0.01)})

    def __init__(
        self,
        filters: int | None = None,
        *,
        sizes: Numbers | Sequence[Numbers] = ((32,), (64,), (128,), (256,), (512,)),
        aspect_ratios: Numbers = (0.5, 1.0, 2.0),
        strides: Sequence[Pair] | None = None,
        pre_nms_top_n: Ints = (2000, 1000),
        post_nms_top_n: Ints = (2000, 1000),
        iou_threshold: float = 0.7,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.filters = validation.optional(validation.integer, "filters", filters)
        self.sizes = sizes_of_levels(sizes)
        self.aspect_ratios = anchor_ratios("aspect_ratios", aspect_ratios)
        self.strides = None if strides is None else _strides(strides)
        self.pre_nms_top_n = training_and_else("pre_nms_top_n", pre_nms_top_n)
        self.post_nms_top_n = training_and_else("post_nms_top_n", post_nms_top_n)
        self.iou_threshold = validation.number("iou_threshold", iou_threshold, least=0.0, most=1.0)

    def chain(self, channels: Any) -> Chain:
        single = not isinstance(channels, dict)
        channels = {SINGLE: channels} if single else channels
        levels, strides = self._levels(channels)
        filters = self.filters or channels[levels[0]]
        conv = [self.conv2d("conv", filters, 3), self.activate("conv_activation")]
        anchors = len(self.sizes[0]) * len(self.aspect_ratios)
        objectness = [self.conv2d("objectness", anchors, 1), self.layer("objectness_list", ListAnchors, values=1)]
        deltas = [self.conv2d("deltas", 4 * anchors, 1), self.layer("deltas_list", ListAnchors, values=4)]
        steps = [Assign(SINGLE, [])] if single else []
        if IMAGE_SIZE not in channels:
            size = self.layer("size", CoveredSize, stride=strides[0])
            steps.append(Assign(IMAGE_SIZE, [Take(levels[0]), size]))
        for level, sizes, stride in zip(levels, self.sizes, strides):
            generator = self.layer(
                f"anchors_{level}", AnchorGenerator, sizes=sizes, aspect_ratios=self.aspect_ratios, stride=stride
            )
            steps += [
                Assign(f"{level}_conv", [Take(level), *conv]),
                Assign(f"{level}_objectness", [Take(f"{level}_conv"), *objectness]),
                Assign(f"{level}_deltas", [Take(f"{level}_conv"), *deltas]),
                Assign(f"{level}_anchors", [Take(level), generator]),
            ]
        kinds = ("anchors", "deltas", "objectness")
        parts = {kind: tuple([Take(f"{level}_{kind}")] for level in levels) for kind in kinds}
        joined = {
            "anchors": [Split(parts["anchors"], self._join("anchors_join", axis=0))],
            "deltas": [Split(parts["deltas"], self._join("deltas_join", axis=1))],
            "objectness": [Split(parts["objectness"], self._join("objectness_join", axis=1))],
        }
        select = self.layer(
            "proposals",
            SelectProposals,
            pre_nms_top_n=self.pre_nms_top_n,
            post_nms_top_n=self.post_nms_top_n,
            iou_threshold=self.iou_threshold,
            dtype=wide_policy(self.dtype_policy),
        )
        of_levels = tuple(branch for kind in kinds for branch in parts[kind])
        joined["proposals"] = [Split(([Take(IMAGE_SIZE)], *of_levels), select)]
        return [*steps, Fork(FrozenDict(joined))]

    def _levels(self, channels: Any) -> tuple[list[str], Sequence[Pair]]:
        """The names of the levels, and their strides."""
        names = [name for name in channels if name != IMAGE_SIZE]
        strides: Sequence[Pair]
        if names == [SINGLE]:
            levels, strides = names, (16,)
        else:
            numbers = checked_levels(self._title(), {name: channels[name] for name in names})
            levels, strides = [f"P{i}" for i in numbers], tuple(2**i for i in numbers)
        strides = strides if self.strides is None else self.strides
        for name, given in (("sizes", self.sizes), ("strides", strides)):
            if len(given) != len(levels):
                raise ValueError(
                    f"{self._title()} must have as many `{name}` as there are levels, {len(levels)}: {levels}; "
                    f"received {len(given)}: {given}."
                )
        if len({channels[level] for level in levels}) > 1:
            raise ValueError(
                f"{self._title()} looks at all levels with the same convolutions, so they must have as many channels; "
                f"received { {level: channels[level] for level in levels} }: put a `FeaturePyramid` in front."
            )
        return levels, strides

    def _join(self, name: str, axis: int) -> Any:
        return self.layer(name, keras.layers.Concatenate, axis=axis, dtype=wide_policy(self.dtype_policy))


@register
class ListAnchors(NamedArguments, keras.layers.Layer):
    """The channels of a feature map as `values` of each of the anchors at each pixel, in the order of the anchors.

    Args:
        values: numbers that an anchor has; for 1, there is no axis of them.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.
    """

    def __init__(self, values: int, *, data_format: DataFormat | None = None, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.values = validation.integer("values", values)
        self.data_format = keras_arguments.data_format("data_format", data_format)

    def call(self, inputs: Tensor) -> Tensor:
        if self.data_format == "channels_first":
            inputs = keras.ops.transpose(inputs, (0, 2, 3, 1))
        last = () if self.values == 1 else (self.values,)
        _, count, *_ = ListAnchors.compute_output_shape(self, inputs.shape)
        # Where the size is known, the shape is static but for the batch.
        first = (keras.ops.shape(inputs)[0], -1) if count is None else (-1, count)
        return keras.ops.reshape(inputs, (*first, *last))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, *sizes = input_shape
        known = [size for size in sizes if size is not None]
        count = math.prod(known) // self.values if len(known) == len(sizes) else None
        return (batch, count, *(() if self.values == 1 else (self.values,)))

    def get_config(self) -> Config:
        return {**super().get_config(), "values": self.values, "data_format": self.data_format}


@register
class CoveredSize(NamedArguments, keras.layers.Layer):
    """How much of an image a feature map covers: `(batch, 2)`, height and width in pixels, as integers.

    Args:
        stride: pixels of the image between two pixels of the map, an integer or two.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.
    """

    def __init__(self, stride: Pair = 1, *, data_format: DataFormat | None = None, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.stride = validation.pair("stride", stride)
        self.data_format = keras_arguments.data_format("data_format", data_format)

    def call(self, inputs: Tensor) -> Tensor:
        shape = keras.ops.shape(inputs)
        size = shape[1:3] if self.data_format == "channels_last" else shape[2:4]
        covered = keras.ops.stack([keras.ops.cast(side * step, "int32") for side, step in zip(size, self.stride)])
        return keras.ops.broadcast_to(covered, (shape[0], 2))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], 2)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), "int32")

    def get_config(self) -> Config:
        return {**super().get_config(), "stride": self.stride, "data_format": self.data_format}


@register
class SelectProposals(NamedArguments, keras.layers.Layer):
    """The best boxes of all levels, without those that overlap a better one of their level.

    Args:
        pre_nms_top_n, post_nms_top_n, iou_threshold: see `RegionProposalNetwork`.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        A list: the images' sizes, `(batch, 2)`; then of each level the anchors, `(anchors, 4)`, then of each the
        deltas, `(batch, anchors, 4)`, then of each the objectness, `(batch, anchors)`.

    Output shape:
        `(batch, post_nms_top_n, 4)`, padded with -1.
    """

    def __init__(
        self, pre_nms_top_n: Ints, post_nms_top_n: Ints, iou_threshold: float = 0.7, **kwargs: Unpack[LayerOptions]
    ):
        super().__init__(**kwargs)
        self.pre_nms_top_n = training_and_else("pre_nms_top_n", pre_nms_top_n)
        self.post_nms_top_n = training_and_else("post_nms_top_n", post_nms_top_n)
        self.iou_threshold = validation.number("iou_threshold", iou_threshold, least=0.0, most=1.0)

    def call(self, inputs: Sequence[Tensor], training: bool | None = None) -> Tensor:
        image_size, *parts = inputs
        count = len(parts) // 3
        before, after = (n[0 if training else 1] for n in (self.pre_nms_top_n, self.post_nms_top_n))
        boxes, scores, levels = [], [], []
        for level, (anchors, deltas, objectness) in enumerate(
            zip(parts[:count], parts[count : 2 * count], parts[2 * count :])
        ):
            best, index = largest(keras.ops.stop_gradient(objectness), before)
            chosen = taken(keras.ops.stop_gradient(deltas), index)
            boxes.append(decode_boxes(chosen, keras.ops.take(anchors, index, axis=0), (1.0, 1.0, 1.0, 1.0)))
            scores.append(best)
            levels.append(keras.ops.full_like(index, level))
        all_boxes = clip_boxes(keras.ops.concatenate(boxes, axis=1), image_size)
        sides = all_boxes[..., 2:] - all_boxes[..., :2]
        wide = keras.ops.all(sides >= SMALLEST, axis=-1)
        all_scores = keras.ops.where(wide, keras.ops.concatenate(scores, axis=1), -float("inf"))
        all_levels = keras.ops.concatenate(levels, axis=1)
        return gathered(all_boxes, batched_nms(all_boxes, all_scores, all_levels, self.iou_threshold, after))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (input_shape[0][0], self.post_nms_top_n[1], 4)

    def get_config(self) -> Config:
        own = {name: getattr(self, name) for name in ("pre_nms_top_n", "post_nms_top_n", "iou_threshold")}
        return {**super().get_config(), **own}


def gathered(values: Tensor, indices: Tensor) -> Tensor:
    """What lies at the indices along axis 1, and -1 for indices of -1."""
    found = taken(values, keras.ops.maximum(indices, 0))
    there = keras.ops.reshape(indices >= 0, (*keras.ops.shape(indices), *(1,) * (len(values.shape) - 2)))
    return keras.ops.where(there, found, keras.ops.cast(-1.0, found.dtype))


def sizes_of_levels(sizes: Any) -> tuple[tuple[float, ...], ...]:
    """Anchor sizes of each level, as many for each; a list of numbers is that of a single one."""
    items = validation.sequence("sizes", sizes, of="sizes of anchors, or lists of them, one for each level")
    if not any(isinstance(item, (list, tuple)) for item in items):
        return (anchor_sizes("sizes", items),)
    found = tuple(anchor_sizes(f"sizes[{i}]", item) for i, item in enumerate(items))
    if len({len(level) for level in found}) > 1:
        raise ValueError(
            f"`sizes` must have as many for each level, as the same convolution scores them; received {sizes!r}."
        )
    return found


def training_and_else(name: str, value: Any) -> tuple[int, int]:
    """A number for training, and one else; a single one stands for both."""
    return validation.pair(name, value, most=2**17)


def _strides(strides: Any) -> tuple[tuple[int, int], ...]:
    items = validation.sequence("strides", strides, of="pixels, one or two for each level")
    return tuple(validation.pair(f"strides[{i}]", item, most=1024) for i, item in enumerate(items))
