"""From scores and moves of regions to detections."""

from typing import Any, Literal, Unpack

import keras

from keras_blocks.blocks.region_proposals import gathered
from keras_blocks.core import validation
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.core.registration import register
from keras_blocks.ops.boxes import clip_boxes, decode_boxes
from keras_blocks.ops.nms import batched_nms
from keras_blocks.ops.written import largest, taken
from keras_blocks.typing import Config, LayerOptions, Numbers, Shape

Scoring = Literal["softmax", "sigmoid"]

SMALLEST = 1e-2
"""Pixels of the narrowest detection, as in torchvision."""

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""What the moves of a region's box are multiplied by, so that they vary by about 1: of x, y, width, height."""


@register
class DetectionDecoder(NamedArguments, keras.layers.Layer):
    """The objects of an image: of each class the best boxes, without those that overlap a better one of it.

    Args:
        score_threshold: the least probability of a detection.
        iou_threshold: of two boxes of a class that overlap by more, the better one stays.
        max_detections: how many there are at most.
        pre_nms_top_n: how many boxes are looked at, those with the best scores.
        box_weights: what the moves were multiplied by, of x, y, width, height.
        activation: "softmax" for scores of classes that exclude each other; "sigmoid" for those of a classifier for
            each class, the background's then being of no use.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        A dict: "scores" and "deltas", as `BoxHead` gives; "proposals", `(batch, regions, 4)`, padded with -1;
        "image_size" and "scale", as `Letterbox` gives.

    Output shape:
        A dict: "boxes", `(batch, max_detections, 4)`, (x1, y1, x2, y2) in pixels of the image before it was scaled;
        "scores" and "labels", `(batch, max_detections)`, the best first, all padded with -1; "num_detections",
        `(batch,)`. Labels count from 0, the background left out.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Girshick, "Fast R-CNN", 2015, section 3.1; torchvision's `RoIHeads.postprocess_detections`, which looks at all
        boxes above the threshold.

    Example: two classes; of three regions the second overlaps the first, and the third is background.

    >>> import keras, keras_blocks, numpy as np
    >>> found = keras_blocks.DetectionDecoder(max_detections=2)({
    ...     "scores": np.array([[[0.0, 4.0, 0.0], [0.0, 3.0, 0.0], [6.0, 0.0, 0.0]]]),
    ...     "deltas": np.zeros((1, 3, 12)),
    ...     "proposals": np.array([[[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]]]),
    ...     "image_size": np.array([[40, 40]]),
    ...     "scale": np.array([[0.5, 0.5]]),
    ... })
    >>> {name: keras.ops.convert_to_numpy(found[name]).tolist() for name in ("boxes", "labels", "num_detections")}
    {'boxes': [[[0.0, 0.0, 20.0, 20.0], [-1.0, -1.0, -1.0, -1.0]]], 'labels': [[0, -1]], 'num_detections': [1]}
    """

    def __init__(
        self,
        *,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        max_detections: int = 100,
        pre_nms_top_n: int = 4000,
        box_weights: Numbers = BOX_WEIGHTS,
        activation: Scoring = "softmax",
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(autocast=False, **kwargs)  # boxes in pixels need more than 16 bits
        self.score_threshold = validation.number("score_threshold", score_threshold, least=0.0, most=1.0)
        self.iou_threshold = validation.number("iou_threshold", iou_threshold, least=0.0, most=1.0)
        self.max_detections = validation.integer("max_detections", max_detections, most=2**14)
        self.pre_nms_top_n = validation.integer("pre_nms_top_n", pre_nms_top_n, most=2**17)
        self.box_weights = box_weights_of(box_weights)
        self.activation = validation.choice("activation", activation, Scoring)

    def call(self, inputs: Any) -> Any:
        scores, deltas, proposals = (
            keras.ops.cast(inputs[name], "float32") for name in ("scores", "deltas", "proposals")
        )
        batch, regions = keras.ops.shape(proposals)[:2]
        classes = scores.shape[-1] - 1
        there = proposals[..., 2:3] > proposals[..., 0:1]
        scores = keras.ops.softmax(scores, axis=-1) if self.activation == "softmax" else keras.ops.sigmoid(scores)
        probabilities = keras.ops.where(there, scores[..., 1:], 0.0)
        flat = keras.ops.reshape(probabilities, (batch, regions * classes))
        best, index = largest(flat, self.pre_nms_top_n)
        region, label = index // classes, index % classes
        moves = keras.ops.reshape(deltas, (batch, regions * (classes + 1), 4))
        moves = taken(moves, region * (classes + 1) + label + 1)
        references = taken(proposals, region)
        boxes = clip_boxes(decode_boxes(moves, references, self.box_weights), inputs["image_size"])
        good = (best > self.score_threshold) & keras.ops.all(boxes[..., 2:] - boxes[..., :2] >= SMALLEST, axis=-1)
        kept = batched_nms(
            boxes,
            keras.ops.where(good, best, -float("inf")),
            label,
            self.iou_threshold,
            self.max_detections,
        )
        # height, width -> x1, y1, x2, y2
        scale = keras.ops.flip(keras.ops.cast(inputs["scale"], "float32"), axis=-1)
        boxes = boxes / keras.ops.concatenate([scale, scale], axis=-1)[:, None]
        return {
            "boxes": gathered(boxes, kept),
            "scores": gathered(best, kept),
            "labels": keras.ops.cast(gathered(label, kept), "int32"),
            "num_detections": keras.ops.cast(keras.ops.sum(kept >= 0, axis=-1), "int32"),
        }

    def compute_output_shape(self, input_shape: Any) -> dict[str, Shape]:
        batch, most = input_shape["proposals"][0], self.max_detections
        return {"boxes": (batch, most, 4), "scores": (batch, most), "labels": (batch, most), "num_detections": (batch,)}

    def compute_output_spec(self, inputs: Any) -> Any:
        shapes = self.compute_output_shape({"proposals": inputs["proposals"].shape})
        dtypes = {"labels": "int32", "num_detections": "int32"}
        return {name: keras.KerasTensor(shape, dtypes.get(name, "float32")) for name, shape in shapes.items()}

    def get_config(self) -> Config:
        names = ("score_threshold", "iou_threshold", "max_detections", "pre_nms_top_n", "box_weights", "activation")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def box_weights_of(value: Any) -> tuple[float, float, float, float]:
    """Four positive numbers."""
    items = validation.sequence("box_weights", value, of="numbers, for x, y, width and height")
    if len(items) != 4:
        raise ValueError(f"`box_weights` must be 4 numbers, for x, y, width and height; received {value!r}.")
    x, y, width, height = (
        validation.number(f"box_weights[{i}]", item, least=1e-6, most=1e6) for i, item in enumerate(items)
    )
    return x, y, width, height
