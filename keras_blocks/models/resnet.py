"""ResNet: residual blocks in groups."""

from keras_blocks import validation
from keras_blocks.block import register
from keras_blocks.blocks.conv import ConvBlock
from keras_blocks.blocks.heads import ClassifierHead
from keras_blocks.blocks.residual import EXPANSION, ResidualBlock, ResNetStem
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.output_stride import StridePlan

TORCH = {"batch_norm": {"epsilon": 1e-5, "momentum": 0.9}}
KERAS = {"batch_norm": {"epsilon": 1.001e-5}}
KERAS_V1 = {**KERAS, "version": "v1", "use_bias": True}
KERAS_V2 = {**KERAS, "version": "v2", "use_bias": None, "downsample": "last"}


def _groups(*blocks, filters=64):
    return tuple({"filters": filters * 2**i, "blocks": n} for i, n in enumerate(blocks))


def _cifar(depth, version):
    """Three groups of (depth - 2) / 6 basic blocks on 16 to 64 channels, and parameter-free shortcuts."""
    return {
        "groups": _groups(*((depth - 2) // 6,) * 3, filters=16),
        "block": "basic",
        "version": version,
        "stem": "cifar",
        "shortcut": "pad",
        "input_shape": (32, 32, 3),
        "classes": 10,
        **TORCH,
    }


SIZES = {
    18: ("basic", _groups(2, 2, 2, 2)),
    34: ("basic", _groups(3, 4, 6, 3)),
    50: ("bottleneck", _groups(3, 4, 6, 3)),
    101: ("bottleneck", _groups(3, 4, 23, 3)),
    152: ("bottleneck", _groups(3, 8, 36, 3)),
}


def _variants():
    found = {}
    for depth, (block, groups) in SIZES.items():
        size = {"block": block, "groups": groups}
        if block == "basic":
            found[f"resnet{depth}"] = {**size, "version": "v1", **TORCH}
            found[f"resnet{depth}_v2"] = {**size, "version": "v2", **TORCH}
        else:
            found[f"resnet{depth}"] = {**size, "version": "v1.5", **TORCH}
            found[f"resnet{depth}_v1"] = {**size, **KERAS_V1}
            found[f"resnet{depth}_v2"] = {**size, **KERAS_V2}
    for depth in (50, 101):
        found[f"wide_resnet{depth}_2"] = {**found[f"resnet{depth}"], "width": 2}
    for depth in (20, 32, 44, 56, 110):
        found[f"resnet{depth}_cifar"] = _cifar(depth, "v1")
        found[f"resnet{depth}_cifar_v2"] = _cifar(depth, "v2")
    return found


def _sources():
    v1, v2 = "He et al. 2015, table 1", "He et al. 2016, figure 4(e)"
    found = {}
    for depth in (18, 34):
        found[f"resnet{depth}"] = f"{v1}; torchvision's resnet{depth}"
        found[f"resnet{depth}_v2"] = f"{v2}; timm's resnetv2_{depth}, but for the border of the stem's pooling"
    for depth in (50, 101, 152):
        found[f"resnet{depth}"] = f"torchvision's resnet{depth}"
        found[f"resnet{depth}_v1"] = f"{v1}; keras.applications' ResNet{depth}, with its biases"
        found[f"resnet{depth}_v2"] = f"{v2}; keras.applications' ResNet{depth}V2, with its biases and strides"
    for depth in (50, 101):
        found[f"wide_resnet{depth}_2"] = f"torchvision's wide_resnet{depth}_2"
    for depth in (20, 32, 44, 56, 110):
        found[f"resnet{depth}_cifar"] = "He et al. 2015, section 4.2"
        found[f"resnet{depth}_cifar_v2"] = f"He et al. 2015, section 4.2, with the blocks of {v2}"
    return found


@register
class ResNet(Architecture):
    """ResNet, as an assembly of a stem and `ResidualBlock`s.

    Args:
        groups: list of groups, each `{"filters": 64, "blocks": 3}`; all but the first halve the size.
        block: "basic" or "bottleneck".
        version: "v1", "v1.5" or "v2": see `ResidualBlock`.
        stem: "imagenet", the 7x7 convolution and pooling of `ResNetStem`; "timm", the same with the pooling's border
            of timm's `resnetv2_50`; "cifar", a 3x3 convolution of stride 1.
        shortcut: of the blocks: "auto", "projection" or "pad" (option A, without parameters).
        width: channels of the 3x3 convolutions over `filters`, 2 for the wide ResNets.
        downsample: "first", a group's first block has the stride; "last", the last block of the group before has it,
            as in keras.applications' v2.
        drop_rate: share of the images for which the last block is dropped while training, the blocks before it
            linearly less (stochastic depth).
        output_stride: pixels of the image for one of the last feature map, from which on strides are replaced by
            dilation, with the same weights: 8 or 16 for segmentation and detection; `None` for all strides.
        batch_norm: True by default; use_bias: False by default; see `ResidualBlock`.
        **kwargs: `input_shape`, `input_tensor`, `classes`, `include_top`, `pooling`, `classifier_activation`,
            `preprocess`, `activation`, `kernel_initializer` ("he_normal"), `kernel_regularizer`, `data_format`,
            `dtype`, `name`: see `Architecture`.

    Input shape:
        `(batch, height, width, channels)`, by default (224, 224, 3); height and width may be `None`.

    Output shape:
        `(batch, classes)`; without the top, the feature map, or pooled, `(batch, channels)`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", 2015, table 1 and section 4.2 (CIFAR); He et al.,
        "Identity Mappings in Deep Residual Networks", 2016 (v2). `resnet50` and the basic ones follow torchvision,
        `resnet50_v1` and `resnet50_v2` keras.applications, whose convolutions have biases: `use_bias=False` gives the
        paper's. timm's `resnetv2_50` is `resnet50_v2` with `use_bias=False`, `downsample="first"`, `stem="timm"` and
        its BatchNormalization, `{"epsilon": 1e-5, "momentum": 0.9}`; its `resnetv2_18` is `resnet18_v2` with
        `stem="timm"`.

    Example:

    >>> import keras_blocks
    >>> keras_blocks.cost(keras_blocks.ResNet, **keras_blocks.ResNet.variants["resnet50_v2"]).params
    25613800
    """

    variants = _variants()

    sources = _sources()

    published = {
        f"resnet{depth}_{version}": f"ResNet{depth}{suffix}"
        for depth in (50, 101, 152)
        for version, suffix in (("v1", ""), ("v2", "V2"))
    }

    def __init__(
        self,
        groups=SIZES[50][1],
        block="bottleneck",
        version="v1.5",
        stem="imagenet",
        shortcut="auto",
        width=1,
        downsample="first",
        drop_rate=0.0,
        output_stride=None,
        *,
        batch_norm=True,
        use_bias=False,
        kernel_initializer="he_normal",
        **kwargs,
    ):
        own = {
            "groups": [
                validation.record(f"groups[{i}]", group, {"filters": None, "blocks": None})
                for i, group in enumerate(validation.sequence("groups", groups, of="groups"))
            ],
            "block": validation.choice("block", block, tuple(EXPANSION)),
            "version": version,
            "stem": validation.choice("stem", stem, ("imagenet", "timm", "cifar")),
            "shortcut": validation.choice("shortcut", shortcut, ("auto", "projection", "pad")),
            "width": width,
            "downsample": validation.choice("downsample", downsample, ("first", "last")),
            "drop_rate": validation.number("drop_rate", drop_rate, least=0, most=1, open_end=True),
            "output_stride": output_stride,
        }
        StridePlan(own)  # refuses an output stride that cannot be reached
        super().__init__(own, batch_norm=batch_norm, use_bias=use_bias, kernel_initializer=kernel_initializer, **kwargs)

    def stem(self, x):
        m = self.metaparameters
        pre_activated = m.version == "v2"
        filters = m.groups[0]["filters"]
        if m.stem != "cifar":
            border = "lowest" if m.stem == "timm" else "zero"
            stem = self.layer("stem", ResNetStem, filters=filters, pre_activated=pre_activated, border=border)
        elif pre_activated:
            stem = self.layer("stem", ConvBlock, filters=filters, batch_norm=False, activation=None)
        else:
            stem = self.layer("stem", ConvBlock, filters=filters)
        return self.feature("stem", stem(x))

    def learner(self, x):
        m = self.metaparameters
        plan, number, total = StridePlan(m), 0, sum(group["blocks"] for group in m.groups)
        for i, group in enumerate(m.groups, start=1):
            for j in range(1, group["blocks"] + 1):
                number += 1
                step = self._downsampling(i, j)
                options = {"filters": group["filters"], "drop_rate": m.drop_rate * number / total}
                x = self.layer(
                    f"group{i}_block{j}",
                    ResidualBlock,
                    kind=m.block,
                    version=m.version,
                    width=m.width,
                    **step,
                    **plan.take(step["strides"]),
                    **options,
                )(x)
            if i < len(m.groups):
                x = self.feature(f"group{i}", x)
        if m.version == "v2":
            for spec in (*self.normalized("last"), self.activate("last_activation")):
                x = spec(x)
        return self.feature(f"group{len(m.groups)}", x)

    def _downsampling(self, i, j):
        """Strides and shortcut of a group's j-th block."""
        m = self.metaparameters
        if m.downsample == "first":
            return {"strides": 2 if i > 1 and j == 1 else 1, "shortcut": m.shortcut}
        last = j == m.groups[i - 1]["blocks"] and i < len(m.groups)
        return {"strides": 2 if last else 1, "shortcut": m.shortcut if j == 1 else "identity"}

    def classifier(self, x):
        x = self.layer("head", ClassifierHead, filters=self.metaparameters.classes)(x)
        return self.output_activation()(x)

    def published_names(self):
        keras = {
            "stem/conv": "conv1_conv",
            "stem/conv_bn": "conv1_bn",
            "last_bn": "post_bn",
            "head/scores": "predictions",
        }
        torch = {"stem/conv": "conv1", "stem/conv_bn": "bn1", "head/scores": "fc"}
        timm = {"stem/conv": "stem.conv", "last_bn": "norm", "head/scores": "head.fc"}  # of resnetv2_50
        for i, group in enumerate(self.metaparameters.groups, start=1):
            for j in range(1, group["blocks"] + 1):
                ours, block, layer = f"group{i}_block{j}", f"conv{i + 1}_block{j}", f"layer{i}.{j - 1}"
                keras[f"{ours}/pre_bn"] = f"{block}_preact_bn"
                timm[f"{ours}/pre_bn"] = f"stages.{i - 1}.blocks.{j - 1}.norm1"
                for k, name in enumerate(("projection", "conv1", "conv2", "conv3")):
                    keras[f"{ours}/{name}"], keras[f"{ours}/{name}_bn"] = f"{block}_{k}_conv", f"{block}_{k}_bn"
                    timm[f"{ours}/{name}"] = f"stages.{i - 1}.blocks.{j - 1}.{name if k else 'downsample.conv'}"
                    timm[f"{ours}/{name}_bn"] = f"stages.{i - 1}.blocks.{j - 1}.norm{k + 1}"
                    torch[f"{ours}/{name}"] = f"{layer}.conv{k}" if k else f"{layer}.downsample.0"
                    torch[f"{ours}/{name}_bn"] = f"{layer}.bn{k}" if k else f"{layer}.downsample.1"
        if self.metaparameters.version == "v2":  # torchvision has none
            return {"keras": keras, "timm": timm}
        # The CIFAR nets of PyTorch call their classifier `linear`.
        return {"keras": keras, "torchvision": torch, "torch_cifar": {**torch, "head/scores": "linear"}}
