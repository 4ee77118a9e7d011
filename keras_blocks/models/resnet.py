"""ResNet: residual blocks in groups."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

from keras_blocks.blocks.residual import Kind, ResidualBlock, Version
from keras_blocks.core import validation
from keras_blocks.core.block import register
from keras_blocks.core.chain import LayerSpec
from keras_blocks.models.network import Names
from keras_blocks.models.older_names import caffe_names, keras_hub_names
from keras_blocks.models.residual_network import (
    OLDER,
    OWNERS,
    ResidualNetwork,
    ResNetOptions,
    Shortcut,
    Stem,
    checked_groups,
)
from keras_blocks.models.resnet_variants import SIZES, SOURCES, VARIANTS

Downsample = Literal["first", "last"]


@register
class ResNet(ResidualNetwork):
    """ResNet, as an assembly of a stem and `ResidualBlock`s.

    Args:
        groups: list of groups, each `{"filters": 64, "blocks": 3}`; all but the first halve the size.
        block: "basic" or "bottleneck".
        version: "v1", "v1.5" or "v2": see `ResidualBlock`.
        stem: "imagenet", the 7x7 convolution and pooling of `ResNetStem`; "timm", the same with the pooling's border
            of timm's `resnetv2_50`; "deep", three 3x3 convolutions, to twice the filters of the first group, and a
            pooling that rounds up; "resnet_c", three 3x3 convolutions, to as many filters, and the pooling of
            "imagenet"; "caffe", the 7x7 convolution with the pooling that rounds up, as in the authors' networks and
            timm's and Cadene's older ones; "regnet", a 3x3 convolution of stride 2; "cifar", one of stride 1.
        shortcut: of the blocks: "auto", "projection", "pad" (option A, without parameters) or "pooled" (ResNet-D).
        width: channels of the 3x3 convolutions over `filters`, 2 for the wide ResNets.
        downsample: "first", a group's first block has the stride; "last", the last block of the group before has it,
            as in keras.applications' v2.
        drop_rate: share of the images for which the last block is dropped while training, the blocks before it
            linearly less (stochastic depth).
        output_stride: pixels of the image for one of the last feature map, from which on strides are replaced by
            dilation, with the same weights: 8 or 16 for segmentation and detection; `None` for all strides.
        se_ratio: `None`, or the ratio of the squeeze-excitation in every block, 16 for SE-ResNets.
        se_use_bias: whether the squeeze-excitation has biases.
        dropout: share of the pooled features dropped before the classifier's scores while training.
        block_dropout: share of the values dropped between each block's convolutions while training.
        stem_filters: of the stem's output; `None` for the first group's `filters`, twice as many for "deep".
        attention, convolution: layers that stand in every block, see `ResidualBlock`.
        batch_norm: True by default; use_bias: False by default; see `ResidualBlock`.
        **kwargs: `input_shape`, `input_tensor`, `classes`, `include_top`, `pooling`, `classifier_activation`,
            `preprocess`, `labels`, `activation`, `kernel_initializer` ("he_normal"), `kernel_regularizer`,
            `data_format`, `dtype`, `name`: see `Architecture`.

    Input shape:
        `(batch, height, width, channels)`, by default (224, 224, 3); height and width may be `None`.

    Output shape:
        `(batch, classes)`; without the top, the feature map, or pooled, `(batch, channels)`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", 2015, table 1 and section 4.2 (CIFAR); He et al.,
        "Identity Mappings in Deep Residual Networks", 2016 (v2). Zagoruyko and Komodakis, "Wide Residual Networks",
        2016, for the wide ones, and for `block_dropout`, there 0.3. Hu et al., "Squeeze-and-Excitation Networks", 2017,
        figure 3, for the variants with it, as in timm (strides in the 3x3; biases in the gates: `se_use_bias=False`
        gives those without). `resnet50` and the basic ones follow torchvision,
        `resnet50_v1` and `resnet50_v2` keras.applications, whose convolutions have biases: `use_bias=False` gives the
        paper's. timm's `resnetv2_50` is `resnet50_v2` with `use_bias=False`, `downsample="first"`, `stem="timm"` and
        its BatchNormalization, `{"epsilon": 1e-5, "momentum": 0.9}`; its `resnetv2_18` is `resnet18_v2` with
        `stem="timm"`. He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks", 2018,
        for `resnet50d` and its like; Wang et al., "ECA-Net", 2020; Li et al., "Selective Kernel Networks", 2019.

    Example:

    >>> import keras_blocks
    >>> keras_blocks.cost(keras_blocks.ResNet, **keras_blocks.ResNet.variants["resnet50_v2"]).params
    25613800
    """

    block_class = ResidualBlock

    variants = VARIANTS

    sources = SOURCES

    published = {
        f"resnet{depth}_{version}": f"ResNet{depth}{suffix}"
        for depth in (50, 101, 152)
        for version, suffix in (("v1", ""), ("v2", "V2"))
    }

    def __init__(
        self,
        groups: Sequence[Mapping[str, int]] = SIZES[50][1],
        block: Kind = "bottleneck",
        version: Version = "v1.5",
        stem: Stem = "imagenet",
        shortcut: Shortcut = "auto",
        *,
        width: int = 1,
        downsample: Downsample = "first",
        **kwargs: Unpack[ResNetOptions],
    ):
        own = {
            "groups": checked_groups(groups),
            "block": validation.choice("block", block, Kind),
            "version": version,
            "width": width,
            "downsample": validation.choice("downsample", downsample, Downsample),
        }
        super().__init__(own, stem, shortcut, **kwargs)

    @property
    def pre_activated(self) -> bool:
        return bool(self.metaparameters.version == "v2")

    def block(self, name: str, **options: Any) -> LayerSpec:
        return super().block(name, kind=self.metaparameters.block, **options)

    def downsampling(self, i: int, j: int) -> dict[str, Any]:
        m = self.metaparameters
        if m.downsample == "first":
            return super().downsampling(i, j)
        last = j == m.groups[i - 1]["blocks"] and i < len(m.groups)
        return {"strides": 2 if last else 1, "shortcut": m.shortcut if j == 1 else "identity"}

    def weight_names(self) -> Names:
        keras = {
            "stem/conv": "conv1_conv",
            "stem/conv_bn": "conv1_bn",
            "last_bn": "post_bn",
            "head/scores": "predictions",
            **self.block_names(_in_keras),
        }
        m, hub = self.metaparameters, keras_hub_names(self.block_names)
        if m.version == "v2":  # torchvision has none
            timm = {"stem/conv": "stem.conv", "last_bn": "norm", "head/scores": "head.fc"}  # of resnetv2_50
            return {"keras": keras, "timm": {**timm, **self.block_names(_in_timm_v2)}, "keras_hub": hub}
        torch = self.torch_names()
        # The CIFAR nets of PyTorch call their classifier `linear`.
        names = {"keras": keras, "torchvision": torch, "torch_cifar": {**torch, "head/scores": "linear"}}
        if m.se_ratio is not None:
            return {**names, **self.older_se_names()}
        if m.block == "bottleneck":
            names["caffe"] = caffe_names(self.block_names, [group["blocks"] for group in m.groups])
        return {**names, "keras_hub": hub}

    def misfit(self, convention: str) -> str | None:
        m = self.metaparameters
        if convention == "timm_legacy" and m.block == "basic":
            return "basic blocks of timm's older networks have a ReLU before the squeeze-excitation, and ours none"
        wanted: dict[str, Any] = {}
        first = convention in ("timm", "keras_hub")
        if m.version == "v2" and first:
            wanted = {"downsample": "first", "stem": "timm"}
        elif m.block == "bottleneck":  # the versions of basic blocks are one
            late = {"version": "v1" if convention in ("keras", *OLDER) else "v1.5"}
            wanted = {"downsample": "last"} if m.version == "v2" else late
        if m.version != "v2":
            wanted |= self.wanted_stem(convention)
        other = {name: m[name] for name, value in wanted.items() if m[name] != value}
        if not other or m.stem == "cifar":  # nobody has published such under these names
            return None
        change = ", ".join(f"{name}={wanted[name]!r}" for name in other)
        owner = OWNERS.get(convention, "torchvision's")
        return f"{owner} network strides or pads elsewhere than this one, of {other}: `{change}`"


def _in_keras(i: int, j: int, layer: str) -> str:
    kinds = {"projection": "0_conv", "projection_bn": "0_bn", "pre_bn": "preact_bn"}
    kinds |= {f"conv{k}": f"{k}_conv" for k in (1, 2, 3)} | {f"conv{k}_bn": f"{k}_bn" for k in (1, 2, 3)}
    return f"conv{i + 1}_block{j}_{kinds.get(layer, layer)}"


def _in_timm_v2(i: int, j: int, layer: str) -> str:
    """A normalization is named after the convolution behind it."""
    kinds = {"projection": "downsample.conv", "pre_bn": "norm1", "conv1_bn": "norm2", "conv2_bn": "norm3"}
    return f"stages.{i - 1}.blocks.{j - 1}.{kinds.get(layer, layer)}"
