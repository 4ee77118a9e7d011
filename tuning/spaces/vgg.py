"""The search space of VGG."""

import math

from keras_blocks.core.registration import register
from keras_blocks.models.vgg import VGG
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.widths import geometric
from keras_blocks.tuning.study.dimension import Values, hp_choice, hp_range

MOST_GROUPS = 5  # of the paper

MOST_FLATTENED = 8
"""Greatest side of the feature map that is flattened, whose every pixel has weights of its own in the head."""

DIVISOR = 4


@register
class HyperVGG(HyperArchitecture):
    """VGGs: groups, convolutions in each, filters and their growth, the head's dense layers and dropout are drawn.

    Each group halves the size; there are as many as leave a feature map of 1 to 8 pixels.

    See `HyperArchitecture` for the arguments; other dimensions are any of `VGG`'s.

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014.

    Example:

    >>> import keras_tuner
    >>> from keras_blocks.tuning import HyperVGG
    >>> space = HyperVGG((32, 32, 3), classes=10, filters=16, growth=2, hidden=(128,))
    >>> space.candidate(keras_tuner.HyperParameters()).metaparameters["groups"]
    [{'filters': 16, 'layers': 1}, {'filters': 32, 'layers': 1}]
    """

    architecture = VGG

    per_group = ("layers",)

    def table(self) -> Values:
        height, width = self.input_shape[:2]
        most = max(1, min(MOST_GROUPS, int(math.log2(min(height, width)))))
        least = math.ceil(math.log2(max(height, width) / MOST_FLATTENED))
        return {
            "groups": hp_range(min(max(1, least), most), most),
            "layers": hp_range(1, 3),
            "filters": [16, 32, 64],
            "growth": [1.5, 2.0],
            "hidden": hp_choice((), (128,), (512,), (256, 256)),
            "dropout": hp_range(0.0, 0.5, step=0.1),
        }

    def arguments_from(self, drawn: Values) -> Values:
        widths = geometric(drawn["filters"], drawn["growth"], drawn["groups"], DIVISOR)
        groups = [{"filters": width, "layers": layers} for width, layers in zip(widths, drawn["layers"])]
        return {**super().arguments_from(drawn), "groups": groups}
