"""Models that serve as backbones of other models: by name, and what their feature maps are."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_blocks.core import validation
from keras_blocks.core.keywords import accepted, refuse_unknown
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.densenet import DenseNet
from keras_blocks.models.inception import Inception
from keras_blocks.models.inception_v4 import InceptionV4
from keras_blocks.models.koch import KochNet
from keras_blocks.models.network import Network
from keras_blocks.models.regnet import RegNet
from keras_blocks.models.resnet import ResNet
from keras_blocks.models.resnext import ResNeXt
from keras_blocks.models.senet import SENet
from keras_blocks.models.squeezenet import SqueezeNet
from keras_blocks.models.vgg import VGG
from keras_blocks.typing import DType

BACKBONES: tuple[type[Architecture], ...] = (
    DenseNet,
    Inception,
    InceptionV4,
    RegNet,
    ResNeXt,
    ResNet,
    SENet,
    SqueezeNet,
    VGG,
)

BACKBONE = "backbone"
"""What `freeze` calls the whole backbone, and the name of its layer."""


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


def named_backbone(owner: type[Network], backbone: Any, dtype: DType, metaparameters: Mapping[str, Any]) -> Any:
    """The backbone, made where it is given by name or class, with metaparameters that must be its own.

    Raises:
        TypeError: for what is neither a name, a class nor a model; for metaparameters of a model that exists.
    """
    if isinstance(backbone, str) or (isinstance(backbone, type) and issubclass(backbone, Architecture)):
        cls = backbone_class(backbone)
        refuse_unknown(owner, metaparameters, accepted(cls), (*accepted(owner), *accepted(cls)))
        return make_backbone(backbone, dtype=dtype, **metaparameters)
    if not isinstance(backbone, keras.Model):
        raise TypeError(
            "`backbone` must be the name of a variant, an architecture's class or a Keras model; received "
            f"{backbone!r} of type {type(backbone).__name__}."
        )
    if metaparameters:
        raise TypeError(
            f"metaparameters go with a backbone given by its name or class, not with a model; received "
            f"{sorted(metaparameters)}."
        )
    return backbone


def made_backbone(
    owner: type[Network],
    backbone: Any,
    image_size: tuple[int, int] | None,
    input_shape: Sequence[int | None] | None,
    dtype: DType,
    metaparameters: Mapping[str, Any],
) -> Any:
    """A detector's backbone, for images of `image_size`, or of the detector's own input shape."""
    if not isinstance(backbone, keras.Model):
        first = metaparameters.get("data_format") == "channels_first"
        shape = tuple(input_shape) if input_shape is not None else (None, None, 3)
        if image_size is not None:
            channels = shape[0 if first else -1]
            shape = (channels, *image_size) if first else (*image_size, channels)
        metaparameters = {**metaparameters, "input_shape": shape}
    return named_backbone(owner, backbone, dtype, metaparameters)


def feature_names_of(backbone: keras.Model) -> tuple[str, ...]:
    """What a model around a backbone may be frozen up to: the backbone's feature maps, and its output, "backbone"."""
    return (*(backbone._feature_names() if isinstance(backbone, Network) else ()), BACKBONE)


def layers_up_to(backbone: keras.Model, feature: str) -> list[keras.layers.Layer]:
    """The backbone's layers up to one of those."""
    return [backbone] if feature == BACKBONE or not isinstance(backbone, Network) else backbone._layers_up_to(feature)
