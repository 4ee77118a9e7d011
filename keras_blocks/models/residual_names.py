"""What torchvision and timm call the layers of residual networks."""

from collections.abc import Callable
from typing import Any

ATTENTIONS = {
    "keras_blocks>SqueezeExciteBlock": {"reduce": "fc1", "restore": "fc2"},
    "keras_blocks>EfficientChannelAttention": {"conv": "conv"},
    "keras_blocks>ConvolutionalBlockAttention": {
        "reduce": "channel.fc1",
        "restore": "channel.fc2",
        "spatial": "spatial.conv.conv",
        "spatial_bn": "spatial.conv.bn",
    },
}
"""Registered name of an attention -> {its layer: timm's name}."""

SELECTIVE_KERNELS = {"reduce": "attn.fc_reduce", "reduce_bn": "attn.bn", "select": "attn.fc_select"}

DEEP_STEM = {"conv1": "conv1.0", "conv1_bn": "conv1.1", "conv2": "conv1.3", "conv2_bn": "conv1.4"}
DEEP_STEM |= {"conv3": "conv1.6", "conv3_bn": "bn1"}


def block_names(
    metaparameters: Any, groups: Any, pre_activated: bool, rename: Callable[[int, int, str], str], more: Any = ()
) -> dict[str, str]:
    """Path of a layer of the blocks -> its name elsewhere, by `rename(group, block, layer)`, all counted from 1.

    What the network never has must not be named: weights of a squeeze-excitation would count as a left-out top's.
    """
    layers = [f"{name}{suffix}" for name in ("projection", "conv1", "conv2", "conv3") for suffix in ("", "_bn")]
    layers += ["pre_bn"] * pre_activated
    layers += ["se/reduce", "se/restore"] * (metaparameters.se_ratio is not None)
    return {
        f"group{i}_block{j}/{layer}": rename(i, j, layer)
        for i, group in enumerate(groups, start=1)
        for j in range(1, group["blocks"] + 1)
        for layer in (*layers, *more)
    }


def torch_names(metaparameters: Any, pre_activated: bool, basic: bool, se: str = "se") -> dict[str, str]:
    """The names that torchvision and timm give; timm's older networks call the squeeze-excitation otherwise."""
    m = metaparameters
    pooled = m.shortcut == "pooled"
    inner = {"projection": f"downsample.{int(pooled)}", "projection_bn": f"downsample.{1 + pooled}"}
    inner |= {"se/reduce": f"{se}.fc1", "se/restore": f"{se}.fc2"}
    inner |= {f"conv{k}_bn": f"bn{k}" for k in (1, 2, 3)}
    if m.attention is not None:
        theirs = ATTENTIONS.get(m.attention["layer"], {})
        inner |= {f"attend/{mine}": f"{se}.{name}" for mine, name in theirs.items()}
    if m.convolution is not None and m.convolution["layer"] == "keras_blocks>SelectiveKernelBlock":
        inner |= _with_selective_kernels("conv1" if basic else "conv2", m.convolution.get("paths", 2))
    more = [name for name in inner if "/" in name and not name.startswith("se/")]
    names = block_names(
        m, m.groups, pre_activated, lambda i, j, layer: f"layer{i}.{j - 1}.{inner.get(layer, layer)}", more
    )
    deep = {f"stem/{mine}": name for mine, name in DEEP_STEM.items()}
    stem = deep if m.stem in ("deep", "resnet_c") else {"stem/conv": "conv1", "stem/conv_bn": "bn1"}
    return {**stem, "head/scores": "fc", **names}


def _with_selective_kernels(place: str, paths: int) -> dict[str, str]:
    """timm's names of the layers of a block in which a `SelectiveKernelBlock` stands in this place."""
    names = {f"conv{k}": f"conv{k}.conv" for k in (1, 2, 3)} | {f"conv{k}_bn": f"conv{k}.bn" for k in (1, 2, 3)}
    names |= {f"{place}/{mine}": f"{place}.{name}" for mine, name in SELECTIVE_KERNELS.items()}
    for i in range(paths):
        names |= {f"{place}/path{i + 1}": f"{place}.paths.{i}.conv", f"{place}/path{i + 1}_bn": f"{place}.paths.{i}.bn"}
    return names
