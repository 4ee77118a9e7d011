"""What other releases call the layers of residual networks: Caffe's, timm's and Cadene's older ones, KerasHub's."""

from collections.abc import Callable, Mapping, Sequence

LayerNames = dict[str, str]
BlockNames = Callable[[Callable[[int, int, str], str]], LayerNames]
"""Path of a layer of the blocks -> its name elsewhere, by a function of group, block and layer, see `block_names`."""


def legacy_names(torch: Mapping[str, str]) -> LayerNames:
    """timm's `legacy_seresnet50` and its like, and Cadene's pretrained-models.pytorch, of the names of the blocks."""
    return {**torch, "stem/conv": "layer0.conv1", "stem/conv_bn": "layer0.bn1", "head/scores": "last_linear"}


def keras_hub_names(blocks: BlockNames) -> LayerNames:
    """KerasHub's ResNetBackbone, and its image classifier."""
    inner = {"pre_bn": "pre_activation_bn"}
    for k, conv in enumerate(("projection", "conv1", "conv2", "conv3")):
        inner |= {conv: f"{k}_conv", f"{conv}_bn": f"{k}_bn"}
    names = {"stem/conv": "conv1_conv", "stem/conv_bn": "conv1_bn", "last_bn": "post_bn", "head/scores": "predictions"}
    return names | blocks(lambda i, j, layer: f"stack{i - 1}_block{j - 1}_{inner.get(layer, layer)}")


def caffe_names(blocks: BlockNames, numbers: Sequence[int]) -> LayerNames:
    """He's ResNet-50, -101 and -152. The two deeper ones number the blocks of their middle groups: a, b1, b2, ...

    A normalization is "bn2a_branch2a" for its statistics, and "scale2a_branch2a" for its scale and shift.
    """

    branches = {"projection": "branch1", "conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c"}

    def rename(i: int, j: int, layer: str) -> str:
        long = i in (2, 3) and len(numbers) > 2 and numbers[2] > 6
        block = f"{i + 1}{'a' if j == 1 else f'b{j - 1}' if long else chr(ord('a') + j - 1)}"
        kind, _, bn = layer.partition("_")
        return f"{'bn' if bn else 'res'}{block}_{branches[kind]}"

    return {"stem/conv": "conv1", "stem/conv_bn": "bn_conv1", "head/scores": "fc1000", **blocks(rename)}


def caffe_se_names(blocks: BlockNames) -> LayerNames:
    """The authors' SE-ResNets and SE-ResNeXts. The scale of ".../bn" is called ".../bn/scale"."""
    inner = {"projection": "1x1_proj", "conv1": "1x1_reduce", "conv2": "3x3", "conv3": "1x1_increase"}
    inner |= {f"{ours}_bn": f"{theirs}/bn" for ours, theirs in inner.items()}
    inner |= {"se/reduce": "1x1_down", "se/restore": "1x1_up"}
    names = {"stem/conv": "conv1/7x7_s2", "stem/conv_bn": "conv1/7x7_s2/bn", "head/scores": "classifier"}
    return names | blocks(lambda i, j, layer: f"conv{i + 1}_{j}_{inner.get(layer, layer)}")
