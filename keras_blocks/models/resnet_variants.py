"""The published ResNets, as data."""

from typing import Any

from keras_blocks.blocks.residual import Version
from keras_blocks.models.residual_network import TORCH_SETTINGS, groups_of

KERAS = {"batch_norm": {"epsilon": 1.001e-5}}
KERAS_V1: dict[str, Any] = {**KERAS, "version": "v1", "use_bias": True}
KERAS_V2: dict[str, Any] = {**KERAS, "version": "v2", "use_bias": None, "downsample": "last"}


def _cifar(depth: int, version: Version) -> dict[str, Any]:
    """Three groups of (depth - 2) / 6 basic blocks on 16 to 64 channels, and parameter-free shortcuts."""
    return {
        "groups": groups_of(*((depth - 2) // 6,) * 3, filters=16),
        "block": "basic",
        "version": version,
        "stem": "cifar",
        "shortcut": "pad",
        "input_shape": (32, 32, 3),
        "classes": 10,
        **TORCH_SETTINGS,
    }


def _deep_cifar(depth: int) -> dict[str, Any]:
    """Three groups of (depth - 2) / 9 bottlenecks to 64, 128 and 256 channels, which project where these change."""
    groups = groups_of(*((depth - 2) // 9,) * 3, filters=16)
    return {**_cifar(depth, "v2"), "groups": groups, "block": "bottleneck", "shortcut": "auto"}


def _wide_cifar(depth: int, factor: int) -> dict[str, Any]:
    """Three groups of (depth - 4) / 6 basic blocks, `factor` times as wide as a CIFAR ResNet's."""
    groups = groups_of(*((depth - 4) // 6,) * 3, filters=16 * factor)
    return {**_cifar(depth, "v2"), "groups": groups, "stem_filters": 16, "shortcut": "auto"}


RESNET_D = {"stem": "resnet_c", "shortcut": "pooled"}

ROUNDED_SE = {"layer": "keras_blocks>SqueezeExciteBlock", "ratio": 16, "divisor": 8, "use_bias": True}
"""timm's squeeze-excitation, of at least 8 channels."""

SELECTIVE_KERNELS = {"layer": "keras_blocks>SelectiveKernelBlock", "ratio": 8, "divisor": 16, "split": True}

WIDE_CIFAR = ((28, 10), (16, 8), (40, 2))

SIZES = {
    18: ("basic", groups_of(2, 2, 2, 2)),
    34: ("basic", groups_of(3, 4, 6, 3)),
    50: ("bottleneck", groups_of(3, 4, 6, 3)),
    101: ("bottleneck", groups_of(3, 4, 23, 3)),
    152: ("bottleneck", groups_of(3, 8, 36, 3)),
}


def _variants() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for depth, (block, groups) in SIZES.items():
        size = {"block": block, "groups": groups}
        if block == "basic":
            found[f"resnet{depth}"] = {**size, "version": "v1", **TORCH_SETTINGS}
            found[f"resnet{depth}_v2"] = {**size, "version": "v2", **TORCH_SETTINGS}
        else:
            found[f"resnet{depth}"] = {**size, "version": "v1.5", **TORCH_SETTINGS}
            found[f"resnet{depth}_v1"] = {**size, **KERAS_V1}
            found[f"resnet{depth}_v2"] = {**size, **KERAS_V2}
    for depth in (50, 101, 152):
        found[f"seresnet{depth}"] = {**found[f"resnet{depth}"], "se_ratio": 16}
    for depth in (50, 101):
        found[f"wide_resnet{depth}_2"] = {**found[f"resnet{depth}"], "width": 2}
    for depth in (20, 32, 44, 56, 110):
        found[f"resnet{depth}_cifar"] = _cifar(depth, "v1")
        found[f"resnet{depth}_cifar_v2"] = _cifar(depth, "v2")
    for depth in (164, 1001):
        found[f"resnet{depth}_cifar_v2"] = _deep_cifar(depth)
    for depth, factor in WIDE_CIFAR:
        found[f"wide_resnet{depth}_{factor}_cifar"] = _wide_cifar(depth, factor)
    found["resnet26"] = {**found["resnet50"], "groups": groups_of(2, 2, 2, 2)}
    for depth in SIZES:
        found[f"resnet{depth}d"] = {**found[f"resnet{depth}"], **RESNET_D}
    found["ecaresnet50d"] = {**found["resnet50d"], "attention": {"layer": "keras_blocks>EfficientChannelAttention"}}
    for depth in (18, 34):
        found[f"seresnet{depth}"] = {**found[f"resnet{depth}"], "attention": ROUNDED_SE}
        found[f"skresnet{depth}"] = {**found[f"resnet{depth}"], "convolution": SELECTIVE_KERNELS}
    return found


def _sources() -> dict[str, str]:
    v1, v2 = "He et al. 2015, table 1", "He et al. 2016, figure 4(e)"
    found = {}
    for depth in (18, 34):
        found[f"resnet{depth}"] = f"{v1}; torchvision's resnet{depth}"
        found[f"resnet{depth}_v2"] = f"{v2}; timm's resnetv2_{depth}, but for the border of the stem's pooling"
    for depth in (50, 101, 152):
        found[f"resnet{depth}"] = f"torchvision's resnet{depth}"
        found[f"resnet{depth}_v1"] = f"{v1}; keras.applications' ResNet{depth}, with its biases"
        found[f"resnet{depth}_v2"] = f"{v2}; keras.applications' ResNet{depth}V2, with its biases and strides"
        found[f"seresnet{depth}"] = f"Hu et al. 2017, figure 3 and table 1; timm's seresnet{depth}"
    for depth in (50, 101):
        found[f"wide_resnet{depth}_2"] = f"torchvision's wide_resnet{depth}_2"
    for depth in (20, 32, 44, 56, 110):
        found[f"resnet{depth}_cifar"] = "He et al. 2015, section 4.2"
        found[f"resnet{depth}_cifar_v2"] = f"He et al. 2015, section 4.2, with the blocks of {v2}"
    for depth in (164, 1001):
        found[f"resnet{depth}_cifar_v2"] = f"{v2} and table 4 (ResNet-{depth}, pre-activated)"
    for depth, factor in WIDE_CIFAR:
        wide = f"WRN-{depth}-{factor}"
        found[f"wide_resnet{depth}_{factor}_cifar"] = f"Zagoruyko and Komodakis 2016, table 1 ({wide}), without dropout"
    found["resnet26"] = "timm's resnet26"
    for depth in SIZES:
        found[f"resnet{depth}d"] = f"He et al. 2018, figure 2; timm's resnet{depth}d"
    found["ecaresnet50d"] = "Wang et al. 2020, section 3.2; timm's ecaresnet50d"
    for depth in (18, 34):
        found[f"seresnet{depth}"] = f"timm's seresnet{depth}, which squeezes to 8 channels at least"
        found[f"skresnet{depth}"] = f"Li et al. 2019, section 3.1; timm's skresnet{depth}, whose paths share the input"
    return found


VARIANTS = _variants()
SOURCES = _sources()
