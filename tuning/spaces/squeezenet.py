"""The search space of SqueezeNet."""

import math

from keras_blocks.core.registration import register
from keras_blocks.models.squeezenet import SqueezeNet
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.widths import by_side, geometric, group_counts
from keras_blocks.tuning.study.dimension import Values, hp_range

STEMS = {"tiny": 1, "small": 2, "v1.1": 4}
"""Stem of small, of middle and of large images -> by how much it divides the side."""

WIDTHS = {"tiny": (8, 12, 16), "small": (8, 16, 24, 32), "v1.1": (16, 24, 32)}
"""Squeeze channels of the first group, by the stem."""

MOST_BLOCKS = {"tiny": 2, "small": 3, "v1.1": 3}


@register
class HyperSqueezeNet(HyperArchitecture):
    """SqueezeNets: groups, blocks in each, filters and their growth, expand ratio, bypass and dropout are drawn.

    The stem follows from the smaller side: "tiny" to 27 pixels, "small" to 64, "v1.1" above. There are as many groups
    at most as leave a feature map of 2 pixels.

    See `HyperArchitecture` for the arguments.

    Reference:
        Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016, section 5, whose
        metaparameters are the base width, its growth and the expand ratio.

    Example: any KerasTuner tuner takes it.

    >>> import keras_tuner
    >>> from keras_blocks.tuning import HyperSqueezeNet, load_dataset
    >>> data = load_dataset("digits")
    >>> hyper = HyperSqueezeNet.from_dataset(data)
    >>> tuner = keras_tuner.RandomSearch(hyper, objective="val_accuracy", max_trials=2, seed=1, directory="runs")
    >>> tuner.search(data.x_train, data.y_train, validation_data=(data.x_val, data.y_val), epochs=1, verbose=0)
    """

    architecture = SqueezeNet

    per_group = ("blocks",)

    def table(self) -> Values:
        stem = by_side(self.side, *STEMS)
        return {
            "stem": stem,
            "groups": group_counts(math.ceil(self.side / STEMS[stem])),
            "filters": list(WIDTHS[stem]),
            "growth": [1.0, 1.5, 2.0],
            "blocks": hp_range(1, MOST_BLOCKS[stem]),
            "bypass": [None, "simple", "complex"],
            "expand_ratio": hp_range(2, 4),
            "dropout": hp_range(0.0, 0.5, step=0.1),
        }

    def arguments_from(self, drawn: Values) -> Values:
        widths = geometric(drawn["filters"], drawn["growth"], drawn["groups"])
        groups = [{"filters": [width] * blocks} for width, blocks in zip(widths, drawn["blocks"])]
        return {**super().arguments_from(drawn), "groups": groups}

    def fitted_to_images(self, metaparameters: Values) -> Values:
        """The published stems halve the image twice; smaller images get the stem of their size."""
        stem = by_side(self.side, *STEMS)
        return metaparameters if stem == "v1.1" else {**metaparameters, "stem": stem}
