"""Who publishes weights of ImageNet for which variant. The hub's rows are of timm 1.0.31; a test compares them."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from keras_blocks.core.immutable import FrozenDict
from keras_blocks.weights.files import way_round

FREE = ("apache-2.0", "bsd-3-clause", "mit")
"""Licences that `weights="imagenet"` takes: without conditions on who uses the weights, or for what."""


Pixels = Literal["torch", "tf"]


@dataclasses.dataclass(frozen=True)
class Published:
    """Weights that someone publishes as safetensors.

    Args:
        repository: on the Hugging Face hub.
        licence: as the hub and timm name it.
        pixels: how the images are prepared, see `ImageNormalization`.
        options: metaparameters of the published network that are not the variant's.
    """

    repository: str
    licence: str = "apache-2.0"
    pixels: Pixels = "torch"
    options: Mapping[str, Any] = FrozenDict()


def _timm(name: str, licence: str = "apache-2.0", pixels: Pixels = "torch", **options: Any) -> Published:
    return Published(f"timm/{name}", licence, pixels, FrozenDict(options))


BSD = "bsd-3-clause"

HUB: dict[str, Published] = {
    **{f"resnet{depth}": _timm(f"resnet{depth}.tv_in1k", BSD) for depth in (18, 34, 50, 101, 152)},
    **{f"wide_resnet{depth}_2": _timm(f"wide_resnet{depth}_2.tv_in1k", BSD) for depth in (50, 101)},
    **{f"vgg{depth}{bn}": _timm(f"vgg{depth}{bn}.tv_in1k", BSD) for depth in (11, 13, 16, 19) for bn in ("", "_bn")},
    **{f"densenet{depth}": _timm(f"densenet{depth}.tv_in1k") for depth in (121, 161, 169, 201)},
    "resnet26": _timm("resnet26.bt_in1k"),
    "resnet18_v2": _timm("resnetv2_18.ra4_e3600_r224_in1k", pixels="tf", stem="timm"),
    "resnet34_v2": _timm("resnetv2_34.ra4_e3600_r224_in1k", pixels="tf", stem="timm"),
    "resnext50_32x4d": _timm("resnext50_32x4d.tv_in1k", BSD),
    "resnext101_32x4d": _timm("resnext101_32x4d.gluon_in1k"),
    "resnext101_32x8d": _timm("resnext101_32x8d.tv_in1k", BSD),
    "resnext101_64x4d": _timm("resnext101_64x4d.tv_in1k", BSD),
    "resnext101_32x16d": _timm("resnext101_32x16d.fb_wsl_ig1b_ft_in1k", "cc-by-nc-4.0"),
    "seresnet50": _timm("seresnet50.ra2_in1k"),
    "seresnext50_32x4d": _timm("seresnext50_32x4d.gluon_in1k"),
    "seresnext101_32x4d": _timm("seresnext101_32x4d.gluon_in1k"),
    "seresnext101_32x8d": _timm("seresnext101_32x8d.ah_in1k"),
    "seresnext101_64x4d": _timm("seresnext101_64x4d.gluon_in1k"),
    "inception_v3_torchvision": _timm("inception_v3.tv_in1k", pixels="tf"),
    **{f"resnet{depth}d": _timm(f"resnet{depth}d.ra2_in1k") for depth in (18, 34, 50, 101, 152)},
    "resnext50d_32x4d": _timm("resnext50d_32x4d.bt_in1k"),
    "seresnext26d_32x4d": _timm("seresnext26d_32x4d.bt_in1k"),
    "ecaresnet50d": _timm("ecaresnet50d.miil_in1k"),
    **{f"skresnet{depth}": _timm(f"skresnet{depth}.ra_in1k") for depth in (18, 34)},
    **{f"regnet{name}": _timm(f"regnet{name}.pycls_in1k", "mit") for name in ("x_002", "x_032", "y_002", "y_004")},
    "regnety_032": _timm("regnety_032.ra_in1k"),
    "inception_v4": _timm("inception_v4.tf_in1k", pixels="tf"),
    "inception_resnet_v2": _timm("inception_resnet_v2.tf_in1k", pixels="tf"),
}
"""Variant -> weights of ImageNet on the hub."""

IN_KERAS: dict[str, Literal["tf", "caffe", "torch"]] = {
    **dict.fromkeys(("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"), "caffe"),
    **dict.fromkeys(("ResNet50V2", "ResNet101V2", "ResNet152V2", "InceptionV3"), "tf"),
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201"), "torch"),
}
"""keras.applications' function -> how its `preprocess_input` prepares images."""

TORCH = "https://download.pytorch.org/models/"
TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/"

PICKLES = {
    "squeezenet_1.0": ("torchvision", f"{TORCH}squeezenet1_0-b66bff10.pth"),
    "squeezenet_1.1": ("torchvision", f"{TORCH}squeezenet1_1-b8a52dc0.pth"),
    "googlenet_torchvision": ("torchvision", f"{TORCH}googlenet-1378be20.pth"),
    "inception_v2": ("Cadene", "http://data.lip6.fr/cadene/pretrainedmodels/bn_inception-52deb4733.pth"),
    "senet154": ("timm", f"{TIMM}v0.1-weights/legacy_senet154-e9eb9fe6.pth"),
    "seresnet101": ("timm, after Cadene,", f"{TIMM}v0.1-cadene/se_resnet101-7e38fcc6.pth"),
    "seresnet152": ("timm, after Cadene,", f"{TIMM}v0.1-cadene/se_resnet152-d17c99b7.pth"),
}
"""Variant -> who publishes a pickle, which is never read, and where."""

LEGACY = ("seresnet101", "seresnet152")
"""Of these the published network is an older one, with other strides and another pooling."""

CAFFE = {
    "squeezenet_1.0_caffe": "the authors, https://github.com/forresti/SqueezeNet",
    "googlenet": "BVLC, https://github.com/BVLC/caffe, bvlc_googlenet",
}
"""Variant -> who publishes a .caffemodel."""


def who_publishes(variant: str) -> str:
    """For a variant of which none publishes safetensors: who publishes what, and how it comes in; without an end."""
    if variant in PICKLES:
        owner, url = PICKLES[variant]
        name = url.rpartition("/")[2]
        older = ", with version='v1' and stem='caffe', as its network has them" if variant in LEGACY else ""
        return f"{owner} publishes {url}, a pickle, which can run any code when it is read. {way_round(name)}{older}"
    if variant in CAFFE:
        return (
            f"a .caffemodel is published by {CAFFE[variant]}: as .npz of its arrays under their names there, see "
            "`model.weight_names()['caffe']`, it comes in by weights='weights.npz'"
        )
    return "we know of none who publishes its weights of ImageNet in a form that is safe to read"
