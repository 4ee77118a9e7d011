"""DenseNet: dense blocks and transitions."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

from keras_blocks.blocks.conv import ConvBlock
from keras_blocks.blocks.dense import DenseBlock, TransitionBlock
from keras_blocks.blocks.heads import ClassifierHead
from keras_blocks.blocks.resnet_stem import ResNetStem
from keras_blocks.core import validation
from keras_blocks.core.block import register
from keras_blocks.core.layers import NORMALIZED
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.network import Names
from keras_blocks.models.output_stride import StridePlan
from keras_blocks.typing import ArchitectureOptions, Tensor

Stem = Literal["imagenet", "cifar"]

BATCH_NORM = {"epsilon": 1.001e-5}
"""The BatchNormalization of keras.applications' DenseNets; torchvision's epsilon is 1e-5."""


def _variant(*layers: int, filters: int = 32, stem_filters: int = 64) -> dict[str, Any]:
    return {"groups": tuple({"layers": n} for n in layers), "filters": filters, "stem_filters": stem_filters}


def _cifar(depth: int, filters: int) -> dict[str, Any]:
    """DenseNet-BC for CIFAR: three blocks of (depth - 4) / 6 dense layers, a 3x3 stem of twice the growth rate."""
    groups = ({"layers": (depth - 4) // 6},) * 3
    shape = {"input_shape": (32, 32, 3), "classes": 10}
    return {"groups": groups, "filters": filters, "stem_filters": 2 * filters, "stem": "cifar", **shape}


def _plain_cifar(depth: int, filters: int) -> dict[str, Any]:
    """DenseNet for CIFAR: (depth - 4) / 3 dense layers in a block, of one convolution each, 16 channels at first."""
    groups = ({"layers": (depth - 4) // 3},) * 3
    return {**_cifar(depth, filters), "groups": groups, "stem_filters": 16, "bottleneck": 0, "compression": 1.0}


@register
class DenseNet(Architecture):
    """DenseNet, by default DenseNet-BC, as an assembly of `DenseBlock`s and `TransitionBlock`s.

    Args:
        groups: list of groups, each `{"layers": 6}`, the number of its dense layers.
        filters: channels that each dense layer adds, the paper's growth rate k.
        stem: "imagenet", the 7x7 convolution and pooling of `ResNetStem`; "cifar", a 3x3 convolution.
        stem_filters: channels of the stem.
        bottleneck: channels of a dense layer's 1x1 convolution over `filters`; 0 for none.
        compression: by which a transition multiplies the channels, the paper's theta.
        dropout: share of each dense layer's new features dropped while training.
        output_stride: pixels of the image for one of the last feature map, from which on pooling is replaced by
            dilation, with the same weights: 16 gives the same at the pixels that pooling would keep, 8 nearly so, as
            the second pooling that is replaced still averages neighbours; `None` for all pooling.
        batch_norm, use_bias: as in keras.applications by default.
        **kwargs: `input_shape`, `input_tensor`, `classes`, `include_top`, `pooling`, `classifier_activation`,
            `preprocess`, `labels`, `activation`, `kernel_initializer`, `kernel_regularizer`, `data_format`, `dtype`,
            `name`: see `Architecture`.

    Input shape:
        `(batch, height, width, channels)`, by default (224, 224, 3); height and width may be `None`.

    Output shape:
        `(batch, classes)`; without the top, the feature map, or pooled, `(batch, channels)`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        Huang et al., "Densely Connected Convolutional Networks", 2016, table 1; keras.applications, torchvision.

    Example:

    >>> import keras_blocks
    >>> keras_blocks.cost(keras_blocks.DenseNet, **keras_blocks.DenseNet.variants["densenet121"]).params
    8062504
    """

    variants = {
        "densenet121": _variant(6, 12, 24, 16),
        "densenet161": _variant(6, 12, 36, 24, filters=48, stem_filters=96),
        "densenet169": _variant(6, 12, 32, 32),
        "densenet201": _variant(6, 12, 48, 32),
        "densenet264": _variant(6, 12, 64, 48),
        "densenet40_cifar": _plain_cifar(40, 12),
        "densenet100_cifar": _cifar(100, 12),
        "densenet190_cifar": _cifar(190, 40),
    }

    sources = {
        **{f"densenet{n}": f"Huang et al. 2016, table 1; keras.applications' DenseNet{n}" for n in (121, 169, 201)},
        "densenet161": "torchvision's densenet161, but for BatchNormalization's epsilon, as keras.applications has it",
        "densenet264": "Huang et al. 2016, table 1",
        "densenet40_cifar": "Huang et al. 2016, section 3 and table 2 (DenseNet, k = 12)",
        "densenet100_cifar": "Huang et al. 2016, section 3 and table 2 (DenseNet-BC, k = 12)",
        "densenet190_cifar": "Huang et al. 2016, section 3 and table 2 (DenseNet-BC, k = 40)",
    }

    published = {f"densenet{depth}": f"DenseNet{depth}" for depth in (121, 169, 201)}

    default_settings = {**NORMALIZED, "batch_norm": BATCH_NORM}

    def __init__(
        self,
        groups: Sequence[Mapping[str, int]] = variants["densenet121"]["groups"],
        *,
        filters: int = 32,
        stem: Stem = "imagenet",
        stem_filters: int = 64,
        bottleneck: int = 4,
        compression: float = 0.5,
        dropout: float = 0.0,
        output_stride: int | None = None,
        **kwargs: Unpack[ArchitectureOptions],
    ):
        own = {
            "groups": validation.records("groups", groups, {"layers": None}),
            "filters": filters,
            "stem": validation.choice("stem", stem, Stem),
            "stem_filters": stem_filters,
            "bottleneck": bottleneck,
            "compression": compression,
            "dropout": dropout,
            "output_stride": output_stride,
        }
        StridePlan(own)  # refuses an output stride that cannot be reached
        super().__init__(own, **kwargs)

    def stem(self, x: Tensor) -> Tensor:
        m = self.metaparameters
        if m.stem == "imagenet":
            stem = self.layer("stem", ResNetStem, filters=m.stem_filters)
        else:  # the first dense layer normalizes
            stem = self.layer("stem", ConvBlock, filters=m.stem_filters, batch_norm=False, activation=None)
        return self.feature("stem", stem(x))

    def learner(self, x: Tensor) -> Tensor:
        m = self.metaparameters
        plan, options = StridePlan(m), {"filters": m.filters, "bottleneck": m.bottleneck, "dropout": m.dropout}
        for i, group in enumerate(m.groups, start=1):
            if i > 1:
                atrous = plan.take(2)["atrous"]
                x = self.layer(f"transition{i - 1}", TransitionBlock, compression=m.compression, atrous=atrous)(x)
            dense = {"layers": group["layers"], "dilation_rate": plan.dilation, **options}
            x = self.layer(f"group{i}", DenseBlock, **dense)(x)
            if i < len(m.groups):
                x = self.feature(f"group{i}", x)
        for spec in (*self.norm_if_any("last"), self.activate("last_activation")):
            x = spec(x)
        return self.feature(f"group{len(m.groups)}", x)

    def classifier(self, x: Tensor) -> Tensor:
        x = self.layer("head", ClassifierHead, filters=self.metaparameters.classes)(x)
        return self.output_activation()(x)

    def weight_names(self) -> Names:
        keras = {"stem/conv": "conv1_conv", "stem/conv_bn": "conv1_bn", "last_bn": "bn", "head/scores": "predictions"}
        torch = {"stem/conv": "features.conv0", "stem/conv_bn": "features.norm0", "head/scores": "classifier"}
        groups = self.metaparameters.groups
        torch["last_bn"] = f"features.norm{len(groups) + 1}"
        for i, group in enumerate(groups, start=1):
            for j in range(1, group["layers"] + 1):
                ours, theirs = f"group{i}/layer{j}", f"features.denseblock{i}.denselayer{j}"
                for k in (1, 2):
                    keras[f"{ours}/conv{k}"] = f"conv{i + 1}_block{j}_{k}_conv"
                    keras[f"{ours}/conv{k}_bn"] = f"conv{i + 1}_block{j}_{k - 1}_bn"
                    torch[f"{ours}/conv{k}"] = f"{theirs}.conv{k}"
                    torch[f"{ours}/conv{k}_bn"] = f"{theirs}.norm{k}"
            keras[f"transition{i}/conv"], keras[f"transition{i}/conv_bn"] = f"pool{i + 1}_conv", f"pool{i + 1}_bn"
            torch[f"transition{i}/conv"] = f"features.transition{i}.conv"
            torch[f"transition{i}/conv_bn"] = f"features.transition{i}.norm"
        return {"keras": keras, "torchvision": torch}
