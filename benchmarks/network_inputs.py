"""What the networks of contestants.py are made with, given and trained on: random numbers, as each takes them.

Detectors are measured on small square canvases, with fewer regions, as on the published ones a step takes minutes on
two cores; R-CNN, which sends each region through VGG-16, with four of 64x64 pixels. Others are as published.
"""

import numpy as np

import keras_blocks
from keras_blocks.models.registry import architecture_of

CANVASES = {"FastRCNN": 192, "FasterRCNN": 192, "RCNN": 128}
"""Class -> height and width of a detector's images; a multiple of 64, the pyramid's smallest level."""

REGIONS = {"FastRCNN": 64, "RCNN": 4}
"""Class -> regions of an image that a detector is told to look at."""

PROPOSED = {"pre_nms_top_n": (500, 250), "post_nms_top_n": (200, 100), "head_samples": 64}
"""Faster R-CNN's regions, in training and else, and those of an image that its head learns of."""

OWN_SIZES = {"InceptionV4": 299, "inception_v3": 299, "inception_v3_torchvision": 299}


def class_of(name: str) -> str:
    return architecture_of(name).__name__


def size_of(name: str) -> int:
    """Height and width of a network's images."""
    cls, own = architecture_of(name), architecture_of(name).variants[name].get("input_shape")
    known = {**OWN_SIZES, **CANVASES, "AutoEncoder": (own or cls.default_input_shape)[0], "Siamese": 105}
    return known.get(name) or known.get(cls.__name__, 224)


def options_of(name: str, size: int) -> dict:
    """What `create_model` is given."""
    cls, shape = class_of(name), (size, size, 3)
    if cls in ("AutoEncoder", "Siamese"):
        return {"input_shape": (size, size, _channels(name))}
    if cls not in CANVASES:
        return {"input_shape": shape, "classes": 1000}
    made = {"input_shape": shape, "preprocess": keras_blocks.ImageNormalization("torch")}
    if cls == "RCNN":
        return {**made, "region_size": (64, 64), "head_samples": REGIONS[cls]}
    return {**made, "image_size": (size, size), **(PROPOSED if cls == "FasterRCNN" else {})}


def inputs_of(name: str, batch: int, size: int):
    """Of `batch` examples, in the structure that the model takes: images, pairs, or images with regions."""
    cls, rng = class_of(name), np.random.default_rng(0)

    def images(channels=3):
        return rng.normal(size=(batch, size, size, channels)).astype("float32")

    if cls == "Siamese":
        return [images(_channels(name)), images(_channels(name))]
    if cls == "AutoEncoder":
        return rng.uniform(size=(batch, size, size, _channels(name))).astype("float32")
    if cls not in CANVASES:
        return images()
    pixels = rng.uniform(0, 255, (batch, size, size, 3)).astype("float32")
    return {"image": pixels, "proposals": _boxes(rng, batch, REGIONS[cls], size)} if cls in REGIONS else pixels


def truth_of(name: str, inputs):
    """(what a training step of these inputs compares with, Keras' loss); `None` for a detector's own losses."""
    cls, rng = class_of(name), np.random.default_rng(1)
    if cls == "AutoEncoder":
        return inputs, "mse"
    if cls == "Siamese":
        return rng.integers(0, 2, (len(inputs[0]), 1)).astype("float32"), "binary_crossentropy"
    if cls not in CANVASES:
        return rng.integers(0, 1000, len(inputs)), "sparse_categorical_crossentropy"
    images = inputs["image"] if isinstance(inputs, dict) else inputs
    boxes = _boxes(rng, len(images), 4, images.shape[1])
    return {"boxes": boxes, "labels": rng.integers(0, 20, boxes.shape[:2])}, None


def _channels(name):
    return 1 if name in ("beta_vae", "siamese_koch2015") else 3


def _boxes(rng, batch, count, size):
    """(x1, y1, x2, y2) within an image, of a quarter of its side to a half."""
    corner = rng.uniform(0, size / 2, (batch, count, 2))
    return np.concatenate([corner, corner + rng.uniform(size / 4, size / 2, (batch, count, 2))], -1).astype("float32")
