"""Images of any size on a canvas of one, their sides in proportion."""

from typing import Any, Unpack

import keras

from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.core.registration import register
from keras_blocks.ops.boxes import as_coordinates, clip_boxes
from keras_blocks.ops.casting import as_float, wide
from keras_blocks.ops.written import is_written
from keras_blocks.typing import Config, DataFormat, LayerOptions, Pair, Shape, Tensor


@register
class Letterbox(NamedArguments, keras.layers.Layer):
    """Scales images by one factor such that they just fit a canvas, at its upper left; the rest of it is 0.

    Args:
        size: (height, width) of the canvas in pixels, or one integer for both; `None` leaves images as they are, for
            their size alone.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`; height and width may be any, also `None`, but for `size=None`.

    Output shape:
        A dict: "image", `(batch, *size, channels)`, by bilinear interpolation without smoothing, as torchvision's
        detectors resize; "image_size", `(batch, 2)`, integers, height and width that the image takes of the canvas;
        "scale", `(batch, 2)`, float32, those divided by the image's own.

    Raises:
        TypeError, ValueError: at construction for a size out of range.

    Reference:
        Ren et al., "Faster R-CNN", 2015, section 3.3: a single scale, both sides by one factor; torchvision's
        `GeneralizedRCNNTransform`.

    Example:

    >>> import keras, keras_blocks, numpy as np
    >>> outputs = keras_blocks.Letterbox((240, 320))(np.ones((1, 480, 480, 3)))
    >>> tuple(outputs["image"].shape), keras.ops.convert_to_numpy(outputs["image_size"]).tolist()
    ((1, 240, 320, 3), [[240, 240]])
    """

    def __init__(
        self, size: Pair | None = None, *, data_format: DataFormat | None = None, **kwargs: Unpack[LayerOptions]
    ):
        super().__init__(**kwargs)
        self.size = validation.optional(validation.pair, "size", size, most=2**14)
        self.data_format = keras_arguments.data_format("data_format", data_format)

    def call(self, inputs: Tensor) -> Any:
        images = as_float(inputs, self.compute_dtype)
        shape = keras.ops.shape(images)
        axes = self._axes()
        old = [shape[axis] for axis in axes]
        new = fitted(old, self.size) if self.size else old
        old_size, new_size = (
            keras.ops.stack([keras.ops.cast(side, "int32") for side in sides]) for sides in (old, new)
        )
        scale = keras.ops.cast(new_size, "float32") / keras.ops.cast(old_size, "float32")
        if self.size and tuple(images.shape[axis] for axis in axes) != self.size:  # those that are known
            canvas = list(shape)
            canvas[axes[0]], canvas[axes[1]] = self.size
            # Positions of pixels need more than 16 bits.
            dtype = wide(self.compute_dtype)
            images, scale = keras.ops.cast(images, dtype), keras.ops.cast(scale, dtype)
            if is_written():
                for axis, size, factor in zip(axes, self.size, (scale[0], scale[1])):
                    images = _scaled(images, axis, size, factor)
            else:
                images = keras.ops.image.scale_and_translate(
                    images, tuple(canvas), scale, keras.ops.zeros((2,), dtype), axes, "linear", antialias=False
                )
            static = self.compute_output_shape(inputs.shape)["image"]
            images = keras.ops.reshape(keras.ops.cast(images, self.compute_dtype), (-1, *static[1:]))
        return {
            "image": images,
            "image_size": keras.ops.broadcast_to(new_size, (shape[0], 2)),
            "scale": keras.ops.broadcast_to(scale, (shape[0], 2)),
        }

    def compute_output_shape(self, input_shape: Shape) -> dict[str, Shape]:
        canvas = list(input_shape)
        if self.size:
            for axis, size in zip(self._axes(), self.size):
                canvas[axis] = size
        pairs = (input_shape[0], 2)
        return {"image": tuple(canvas), "image_size": pairs, "scale": pairs}

    def compute_output_spec(self, inputs: Any) -> Any:
        dtypes = {"image": self.compute_dtype, "image_size": "int32", "scale": "float32"}
        shapes = self.compute_output_shape(inputs.shape)
        return {name: keras.KerasTensor(shape, dtypes[name]) for name, shape in shapes.items()}

    def get_config(self) -> Config:
        return {**super().get_config(), "size": self.size, "data_format": self.data_format}

    def _axes(self) -> tuple[int, int]:
        return (1, 2) if self.data_format == "channels_last" else (2, 3)


@register
class LetterboxBoxes(NamedArguments, keras.layers.Layer):
    """Boxes of images as they come, moved to the canvas of a `Letterbox`, and cut to what the image takes of it.

    Args:
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        A dict: "boxes", `(batch, n, 4)`, (x1, y1, x2, y2) in pixels; "image_size" and "scale", as `Letterbox` gives.

    Output shape:
        `(batch, n, 4)`; rows of no area within the image, or with a coordinate that is not finite, are -1.
    """

    def call(self, inputs: Any) -> Tensor:
        scale = keras.ops.flip(inputs["scale"], axis=-1)
        boxes = as_coordinates(inputs["boxes"])
        finite = keras.ops.all(keras.ops.isfinite(boxes), axis=-1, keepdims=True)
        boxes = keras.ops.where(finite, boxes, -1.0) * keras.ops.concatenate([scale, scale], axis=-1)[:, None]
        boxes = clip_boxes(boxes, inputs["image_size"])
        return keras.ops.where(keras.ops.all(boxes[..., 2:] > boxes[..., :2], axis=-1, keepdims=True), boxes, -1.0)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape["boxes"])

    def get_config(self) -> Config:
        """As of any layer: by itself, Keras makes none of a layer that was given a policy of dtypes."""
        config: Config = super().get_config()
        return config


def fitted(old: Any, canvas: tuple[int, int]) -> list[Any]:
    """The largest height and width in the proportion of `old` that fit the canvas; numbers, or integer tensors."""
    height, width = canvas
    if all(isinstance(side, int) for side in old):
        if height * old[1] <= width * old[0]:
            return [height, max(1, height * old[1] // old[0])]
        return [max(1, width * old[0] // old[1]), width]
    tall = height * old[1] <= width * old[0]
    return [
        keras.ops.where(tall, height, keras.ops.maximum(1, width * old[0] // old[1])),
        keras.ops.where(tall, keras.ops.maximum(1, height * old[1] // old[0]), width),
    ]


def _scaled(images: Tensor, axis: int, size: int, factor: Tensor) -> Tensor:
    """Along an axis, what `scale_and_translate` gives, by a product of matrices, which PyTorch's exporters have."""
    pixels = keras.ops.shape(images)[axis]
    places = (keras.ops.arange(size, dtype=images.dtype) + 0.5) * (1.0 / factor) - 0.5
    distance = keras.ops.abs(places - keras.ops.arange(pixels, dtype=images.dtype)[:, None])
    weights = keras.ops.relu(1.0 - distance)
    total = keras.ops.sum(weights, axis=0, keepdims=True)
    within = (places >= -0.5) & (places <= pixels - 0.5)
    weights = keras.ops.where(within & (total > 0), weights / keras.ops.where(total > 0, total, 1.0), 0.0)
    return keras.ops.moveaxis(keras.ops.matmul(keras.ops.moveaxis(images, axis, 3), weights), 3, axis)
