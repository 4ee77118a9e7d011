"""Images as arrays: which are taken, and on which scale their pixels are."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_blocks.tuning.data.stored import Images, StoredImages

MOST_PIXEL = 1e30
"""Near the end of float32, one over the largest pixel is 0 for the libraries that compute with it."""

APART = 8
"""Two parts of one dataset whose brightest and mean pixels differ by this factor are on different scales: the images of
one are darker or brighter than the other's, but not all of them by so much."""

FAR_APART = 64
"""The brightest pixel alone, as of images that a model was not trained on, says less: it must differ by this factor."""

SAMPLE = 1000
"""Images whose mean pixel stands for that of all."""

CHANNELS = 4
"""The most channels that images mostly have: where the last axis is longer and the first is not, they come first."""


def as_images(name: str, value: npt.ArrayLike | StoredImages) -> Images:
    """Images with a channel axis, uint8 or float32, all pixels finite.

    Raises:
        ValueError: for what are none, and for images in channels_first.
    """
    if isinstance(value, StoredImages):
        return value
    images = np.asarray(value)
    if images.dtype.kind not in "uif":
        raise ValueError(f"`{name}` must hold numbers; received an array of {images.dtype}.")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"`{name}` must be (number, height, width) or (number, height, width, channels), none of them 0; received "
            f"the shape {np.shape(value)}."
        )
    _check_layout(name, images.shape)
    if images.dtype == np.uint8:
        return images
    with np.errstate(over="ignore"):
        converted = images.astype("float32")
    most = largest(converted)
    if not most <= MOST_PIXEL:  # also of NaN
        raise ValueError(f"`{name}` must be finite{_how_infinite(images)}.")
    return converted


def largest(images: np.ndarray) -> float:
    """The largest absolute pixel; NaN where one is."""
    return max(float(images.max()), -float(images.min()))


def scale_of(images: Images) -> float:
    """What pixels are multiplied by to be at most 1."""
    if isinstance(images, StoredImages) or images.dtype == np.uint8:
        return 1 / 255
    return 1 / max(1.0, largest(images))


def check_same_scale(name: str, images: Images, other: str, others: Images) -> None:
    """Refuses images that are on another scale than those that they belong to, such as 0..1 and 0..255.

    Args:
        name, images: what is checked, and what it is called.
        other, others: what has the right scale.

    Raises:
        ValueError: with the range of both.
    """
    if isinstance(images, StoredImages) or isinstance(others, StoredImages):
        return  # they were decoded here
    bounds, means = (largest(images), largest(others)), (_mean(images), _mean(others))
    if images.dtype == others.dtype == np.uint8 and min(bounds) > 1:
        return  # images of 8 bits have one scale, and may be dark
    signs = {_signed(images), _signed(others)}
    if not (_apart(*bounds) and _apart(*means)) and signs != {True, False}:
        return
    raise ValueError(
        f"`{name}` must be on the scale of {other}; received pixels {_range(images)}, and there {_range(others)}. "
        "Bring both to one scale, as by x / 255 for both or for none of them."
    )


def check_expected(name: str, images: Images, expected: float) -> None:
    """Refuses images for a model that was trained on pixels up to `expected`, where these are quite others.

    Raises:
        ValueError: with both ranges.
    """
    if isinstance(images, StoredImages):
        images = images[:SAMPLE]
    most = largest(images)
    if images.dtype == np.uint8 and expected == 255 and most > 1:
        return
    if most and not expected / FAR_APART < most < expected * FAR_APART:
        raise ValueError(
            f"`{name}` must be on the scale of the images that the model was trained on, whose pixels go up to "
            f"{expected:g}; received pixels {_range(images)}. Bring them to that scale, as by x * 255 or x / 255."
        )


def _check_layout(name: str, shape: tuple[int, ...]) -> None:
    _, first, second, last = shape
    if last <= CHANNELS or not (first <= CHANNELS < second or first < second == last):
        return
    raise ValueError(
        f"`{name}` must be (number, height, width, channels), the channels last; received the shape {shape}, which "
        f"would be images {first} pixels high with {last} channels. Where the channels come first: "
        f"np.moveaxis({name}, 1, -1). Where the images really are so: swap height and width, np.swapaxes({name}, 1, 2)."
    )


def _how_infinite(images: np.ndarray) -> str:
    if count := int((~np.isfinite(images)).sum()):
        return f"; received {count} NaN or infinite pixels"
    return f", at most {MOST_PIXEL:g} as float32, in which models are trained; received pixels {_range(images)}"


def _mean(images: np.ndarray) -> float:
    some = images[:: math.ceil(len(images) / SAMPLE)]
    return float(np.abs(some).mean(dtype="float64"))


def _apart(one: float, other: float) -> bool:
    """Whether one is `APART` times the other. Of images that are all black nothing can be said."""
    return 0 < APART * min(one, other) <= max(one, other)


def _signed(images: np.ndarray) -> bool | None:
    """Whether there are pixels below 0 that are no rounding; `None` where that cannot be said."""
    low, high = float(images.min()), float(images.max())
    return False if low >= 0 and high > 0 else True if -low > high / 4 > 0 else None


def _range(images: np.ndarray) -> Any:
    return f"from {float(images.min()):g} to {float(images.max()):g} ({images.dtype})"
