"""The search space of ResNet."""

from typing import Any

from keras_blocks.blocks.residual import EXPANSION
from keras_blocks.core.registration import register
from keras_blocks.models.resnet import ResNet
from keras_blocks.tuning.spaces.residual import HyperResidual


@register
class HyperResNet(HyperResidual):
    """ResNets: groups, blocks in each, filters and their growth, kind and version of the blocks and more are drawn.

    The stem follows from the smaller side: "cifar" to 64 pixels, "imagenet" above. There are as many groups at most as
    leave a feature map of 2 pixels.

    With `widths="regnet"`, groups follow from four numbers instead, `w0`, `wa`, `wm` and `depth`, by the quantized
    linear function of RegNet: `wa` and `w0` are slope and begin of the output's channels over the blocks' numbers, `wm`
    the ratio of two groups. Groups beyond those that the image allows are added to the last. With
    `widths=["geometric", "regnet"]` both are searched.

    See `HyperArchitecture` for the arguments; other dimensions are any of `ResNet`'s.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", 2015; Zagoruyko and Komodakis, "Wide Residual
        Networks", 2016 (`width`); Radosavovic et al., "Designing Network Design Spaces", 2020, equations 2 to 4.

    Example:

    >>> import keras_tuner
    >>> from keras_blocks.tuning import HyperResNet, hp_range
    >>> space = HyperResNet((32, 32, 3), 10, groups=hp_range(2, 4), version="v2", filters=[16, 32])
    >>> space.candidate(keras_tuner.HyperParameters()).metaparameters["groups"]
    [{'filters': 16, 'blocks': 1}, {'filters': 24, 'blocks': 1}]
    """

    architecture = ResNet

    def table(self) -> dict[str, Any]:
        return {
            **super().table(),
            "block": ["basic", "bottleneck"],
            "version": ["v1.5", "v1", "v2"],
            "width": [1, 2],
        }

    def expansion(self, drawn: dict[str, Any]) -> int:
        return EXPANSION[drawn["block"]]
