"""The architectures whose variants serve as backbones of other models, by name."""

from typing import Any

from keras_blocks.core import validation
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.densenet import DenseNet
from keras_blocks.models.inception import Inception
from keras_blocks.models.koch import KochNet
from keras_blocks.models.resnet import ResNet
from keras_blocks.models.resnext import ResNeXt
from keras_blocks.models.senet import SENet
from keras_blocks.models.squeezenet import SqueezeNet
from keras_blocks.models.vgg import VGG

BACKBONES: tuple[type[Architecture], ...] = (DenseNet, Inception, ResNeXt, ResNet, SENet, SqueezeNet, VGG)


def backbone_class(backbone: str | type[Architecture]) -> type[Architecture]:
    """The architecture of a backbone that is given by a variant's name, or as that class."""
    if not isinstance(backbone, str):
        return backbone
    architectures: tuple[type[Architecture], ...] = (*BACKBONES, KochNet)
    classes = {variant: cls for cls in architectures for variant in cls.variants}
    return classes[validation.choice("backbone", backbone, classes, where="`keras_blocks.list_models()` that classify")]


def make_backbone(backbone: str | type[Architecture], **metaparameters: Any) -> Architecture:
    """A backbone by a variant's name, or by an architecture's class; without its classifier, unless it embeds."""
    cls = backbone_class(backbone)
    if isinstance(backbone, str):
        return cls.from_variant(backbone, **{"include_top": False, **cls.variants[backbone], **metaparameters})
    return cls(**{"include_top": False, **metaparameters})
