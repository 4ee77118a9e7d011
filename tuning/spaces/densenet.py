"""The search space of DenseNet."""

from keras_blocks.core.registration import register
from keras_blocks.models.densenet import DenseNet
from keras_blocks.models.output_stride import STEM_STRIDES
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.widths import by_side, group_counts
from keras_blocks.tuning.study.dimension import Values, hp_range

STEM_RATIO = 2
"""Channels of the stem over the growth rate, as the paper has it."""


@register
class HyperDenseNet(HyperArchitecture):
    """DenseNets: groups, dense layers in each, growth rate, bottleneck, compression and dropout are drawn.

    The stem follows from the smaller side: "cifar" to 64 pixels, "imagenet" above; it has twice the growth rate of
    channels. There are as many groups at most as leave a feature map of 2 pixels.

    See `HyperArchitecture` for the arguments; other dimensions are any of `DenseNet`'s.

    Reference:
        Huang et al., "Densely Connected Convolutional Networks", 2016, section 3.

    Example:

    >>> import keras_tuner
    >>> from keras_blocks.tuning import HyperDenseNet
    >>> space = HyperDenseNet((32, 32, 3), classes=10, filters=12, layers=4)
    >>> space.candidate(keras_tuner.HyperParameters()).metaparameters["groups"]
    [{'layers': 4}, {'layers': 4}]
    """

    architecture = DenseNet

    per_group = ("layers",)

    most = {**HyperArchitecture.most, "layers": 128}  # each reads all before it

    def table(self) -> Values:
        stem = by_side(self.side, "cifar", "cifar", "imagenet")
        return {
            "stem": stem,
            "groups": group_counts(self.side_behind(stem, STEM_STRIDES)),
            "layers": hp_range(2, 6),
            "filters": [8, 12, 16, 24],
            "bottleneck": [4, 2, 0],
            "compression": [0.5, 0.75, 1.0],
            "dropout": hp_range(0.0, 0.2, step=0.1),
        }

    def arguments_from(self, drawn: Values) -> Values:
        groups = [{"layers": layers} for layers in drawn["layers"]]
        return {"stem_filters": STEM_RATIO * drawn["filters"], **super().arguments_from(drawn), "groups": groups}
