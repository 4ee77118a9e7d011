"""Drawings of every block and network, by `keras_blocks.draw`, of what the tests' catalog counts."""

import functools
from collections.abc import Iterator
from pathlib import Path

import keras
from catalog import DETECTION_LAYERS, OTHER_MODELS, ROWS

import keras_blocks

DRAWN_AS = {
    "FireBlock": (lambda: keras_blocks.FireBlock(16), (55, 55, 96)),
    "ConvBlock": (lambda: keras_blocks.ConvBlock(64), (56, 56, 3)),
    "ResNetStem": (lambda: keras_blocks.ResNetStem(), (224, 224, 3)),
    "MultiLabelHead": (lambda: keras_blocks.MultiLabelHead([3, 2], names=["animal", "tame"]), (7, 7, 512)),
    "FeaturePyramid": (
        lambda: keras_blocks.FeaturePyramid(256),
        {"P3": (64, 64, 512), "P4": (32, 32, 1024), "P5": (16, 16, 2048)},
    ),
}
"""Name -> a use of the block that shows more than the one that is counted, and the shape of its input."""

NETWORKS = {
    "VGG": "vgg16",
    "ResNet": "resnet50",
    "ResNeXt": "resnext50_32x4d",
    "RegNet": "regnety_002",
    "SENet": "senet154",
    "DenseNet": "densenet121",
    "Inception": "googlenet",
    "InceptionV4": "inception_v4",
    "SqueezeNet": "squeezenet_1.1",
    "AutoEncoder": "autoencoder_cifar",
    "Siamese": "siamese_koch2015",
    "FasterRCNN": "faster_rcnn_resnet50_fpn",
    "FastRCNN": "fast_rcnn_vgg16",
    "RCNN": "rcnn_vgg16",
}
"""Class -> the variant that is drawn."""


@functools.cache
def counted() -> dict[str, tuple[type, dict, tuple]]:
    """Name of a layer -> its class, arguments, and the shape of what it takes."""
    found = {row.name: (row.cls, row.counted, row.input_shape) for row in ROWS if not issubclass(row.cls, keras.Model)}
    for name, (arguments, shapes) in DETECTION_LAYERS.items():
        found[name] = (getattr(keras_blocks, name), arguments, shapes)
    return found


def drawing(name: str) -> keras_blocks.Drawing:
    """The figure of a block or a network."""
    if name in NETWORKS:
        return keras_blocks.draw(NETWORKS[name])
    if name in DRAWN_AS:
        make, shape = DRAWN_AS[name]
        return keras_blocks.draw(make(), shape)
    if name in counted() and issubclass(counted()[name][0], keras_blocks.Block):
        cls, arguments, shape = counted()[name]
        return keras_blocks.draw(cls(**arguments), shape)
    return keras_blocks.draw(OTHER_MODELS[name]())


def drawn() -> list[str]:
    """Names of all that is drawn: blocks, and networks. Layers that are one operation have no inside."""
    return [*(name for name, (cls, *_) in counted().items() if issubclass(cls, keras_blocks.Block)), *NETWORKS]


def write(folder: Path) -> Iterator[str]:
    """Writes an SVG of each; gives the names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in drawn():
        drawing(name).save(folder / f"{name}.svg")
        yield name


def alone(name: str) -> str:
    """What is drawn, in a line."""
    if name in NETWORKS:
        return f"`{NETWORKS[name]}`"
    cls, arguments, _ = counted()[name]
    if name in DRAWN_AS:
        return f"`{name}`"
    given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return f"`{cls.__name__}({given})`" if len(given) < 60 else f"`{cls.__name__}(...)`"
