"""What others call the layers of Inception networks. A table's layers stand in the order of the block's chain."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Groups: TypeAlias = Sequence[Mapping[str, Any]]

V1 = ("conv_1x1", "reduce_3x3", "conv_3x3", "reduce_5x5", "conv_5x5", "pool_proj")
V2 = ("conv_1x1", "reduce_3x3", "conv_3x3", "reduce_double", "double_1", "double_2", "pool_proj")
A = ("conv_1x1", "reduce_5x5", "conv_5x5", "reduce_double", "double_1", "double_2", "pool_proj")
B = (
    *("conv_1x1", "reduce_nxn", "conv_1xn", "conv_nx1", "reduce_double"),
    *("double_1", "double_2", "double_3", "double_4", "pool_proj"),
)
C = (
    *("conv_1x1", "reduce_3x3", "expand_1x3", "expand_3x1", "reduce_double"),
    *("double_3x3", "double_1x3", "double_3x1", "pool_proj"),
)
REDUCTION_A = ("conv_3x3", "reduce_double", "double_1", "double_2")
REDUCTION_B = ("reduce_3x3", "conv_3x3", "reduce_nxn", "conv_1xn", "conv_nx1", "last_3x3")
PASS_THROUGH = ("reduce_3x3", "conv_3x3", "reduce_double", "double_1", "double_2")

LAYERS = {"v1": V1, "v2": V2, "a": A, "b": B, "c": C}
REDUCTION_LAYERS = {"a": REDUCTION_A, "b": REDUCTION_B, "pass_through": PASS_THROUGH, "max_pool": ()}

_DOUBLE = [f"branch3x3dbl_{i}" for i in (1, 2, 3)]
_DOUBLE_NXN = [f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)]
_EXPANDED = ["branch3x3_1", "branch3x3_2a", "branch3x3_2b", *_DOUBLE[:2], "branch3x3dbl_3a", "branch3x3dbl_3b"]
_NXN = [f"branch7x7_{i}" for i in (1, 2, 3)]

TORCHVISION = {
    "v1": dict(zip(V1, ("branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1"))),
    "a": dict(zip(A, ("branch1x1", "branch5x5_1", "branch5x5_2", *_DOUBLE, "branch_pool"))),
    "b": dict(zip(B, ("branch1x1", *_NXN, *_DOUBLE_NXN, "branch_pool"))),
    "c": dict(zip(C, ("branch1x1", *_EXPANDED, "branch_pool"))),
}
TORCHVISION_REDUCTIONS = {
    "a": dict(zip(REDUCTION_A, ("branch3x3", *_DOUBLE))),
    "b": dict(zip(REDUCTION_B, ("branch3x3_1", "branch3x3_2", *(f"branch7x7x3_{i}" for i in (1, 2, 3, 4))))),
}
CAFFE = dict(zip(V1, ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")))
CADENE = dict(zip(V2, ("1x1", "3x3_reduce", "3x3", "double_3x3_reduce", "double_3x3_1", "double_3x3_2", "pool_proj")))


def torchvision_names(groups: Groups, v3: bool) -> dict[str, str]:
    """torchvision's GoogLeNet, or its Inception v3."""
    stem = ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3") if v3 else ("1", "2", "3")
    names = {f"stem_conv{i}/conv": f"Conv2d_{n}" if v3 else f"conv{n}" for i, n in enumerate(stem, start=1)}
    for i, group in enumerate(groups, start=1):
        table = TORCHVISION.get(group["block"], {})
        for j in range(1, len(group["filters"]) + 1):
            # v3's groups begin with a: the stem's last pooling, and the reductions.
            theirs = f"Mixed_{4 + i}{_letter(j + 1)}" if v3 else f"inception{2 + i}{_letter(j)}"
            names |= {f"group{i}_block{j}/{layer}": f"{theirs}.{name}" for layer, name in table.items()}
        reduction = TORCHVISION_REDUCTIONS.get((group["reduction"] or {}).get("kind", ""), {})
        names |= {f"group{i}_reduction/{layer}": f"Mixed_{4 + i}a.{name}" for layer, name in reduction.items()}
    if v3:
        names |= {"aux_1_head/conv": "AuxLogits.conv0", "aux_1_head/conv2": "AuxLogits.conv1"}
    else:
        names |= {f"aux_{k}_head/conv": f"aux{k}.conv" for k in (1, 2)}
    names = {f"{ours}{bn}": f"{theirs}.{bn[1:] or 'conv'}" for ours, theirs in names.items() for bn in ("", "_bn")}
    if v3:
        names["aux_1_head/scores"] = "AuxLogits.fc"
    else:
        names |= {f"aux_{k}_head/{ours}": f"aux{k}.fc{n}" for k in (1, 2) for ours, n in (("dense1", 1), ("scores", 2))}
    return {**names, "head/scores": "fc"}


def caffe_names(groups: Groups) -> dict[str, str]:
    """BVLC's GoogLeNet."""
    names = {"stem_conv1/conv": "conv1/7x7_s2", "stem_conv2/conv": "conv2/3x3_reduce", "stem_conv3/conv": "conv2/3x3"}
    for i, group in enumerate(groups, start=1):
        for j in range(1, len(group["filters"]) + 1):
            ours, theirs = f"group{i}_block{j}", f"inception_{2 + i}{_letter(j)}"
            names |= {f"{ours}/{layer}": f"{theirs}/{name}" for layer, name in CAFFE.items()}
    for k in (1, 2):
        inner = {"conv": "conv", "dense1": "fc", "scores": "classifier"}
        names |= {f"aux_{k}_head/{layer}": f"loss{k}/{name}" for layer, name in inner.items()}
    return {**names, "head/scores": "loss3/classifier"}


def cadene_names(groups: Groups) -> dict[str, str]:
    """Cadene's BN-Inception, which has Caffe's names. A reduction is the last letter of the group before it."""
    names = {"stem_conv1/conv": "conv1_7x7_s2", "stem_conv2/conv": "conv2_3x3_reduce", "stem_conv3/conv": "conv2_3x3"}
    for i, group in enumerate(groups, start=1):
        if i > 1:
            theirs = f"inception_{1 + i}{_letter(len(groups[i - 2]['filters']) + 1)}"
            names |= {f"group{i}_reduction/{layer}": f"{theirs}_{CADENE[layer]}" for layer in PASS_THROUGH}
        for j in range(1, len(group["filters"]) + 1):
            theirs = f"inception_{2 + i}{_letter(j)}"
            names |= {f"group{i}_block{j}/{layer}": f"{theirs}_{name}" for layer, name in CADENE.items()}
    names = {f"{ours}{bn}": f"{theirs}{bn}" for ours, theirs in names.items() for bn in ("", "_bn")}
    return {**names, "head/scores": "last_linear"}


def keras_names(groups: Groups, stem_convs: int) -> dict[str, str]:
    """keras.applications' Inception v3, whose convolutions and normalizations are only counted."""
    units = [f"stem_conv{i}/conv" for i in range(1, stem_convs + 1)]
    for i, group in enumerate(groups, start=1):
        reduction = REDUCTION_LAYERS[(group["reduction"] or {"kind": "max_pool"})["kind"]]
        units += [f"group{i}_reduction/{layer}" for layer in reduction]
        for j in range(1, len(group["filters"]) + 1):
            units += [f"group{i}_block{j}/{layer}" for layer in LAYERS[group["block"]]]
    names: dict[str, str] = {}
    for number, unit in enumerate(units):
        count = f"_{number}" if number else ""
        names |= {unit: f"conv2d{count}", f"{unit}_bn": f"batch_normalization{count}"}
    return {**names, "head/scores": "predictions"}


def _letter(number: int) -> str:
    return chr(ord("a") + number - 1)
