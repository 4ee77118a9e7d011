"""The search space of SENet."""

from typing import Any

from keras_blocks.core.registration import register
from keras_blocks.models.senet import SENet
from keras_blocks.tuning.spaces.resnext import HyperResNeXt


@register
class HyperSENet(HyperResNeXt):
    """SENets: as ResNeXts, with squeeze-excitation in every block, whose ratio is drawn.

    The stem is "deep" for images above 64 pixels. See `HyperResNeXt`, and `HyperArchitecture` for the arguments; other
    dimensions are any of `SENet`'s. `HyperResNet` and `HyperResNeXt` draw squeeze-excitation, too.

    Reference:
        Hu et al., "Squeeze-and-Excitation Networks", 2017, section 6.1.

    Example:

    >>> import keras_tuner
    >>> from keras_blocks.tuning import HyperSENet
    >>> space = HyperSENet((32, 32, 3), classes=10, se_ratio=16)
    >>> space.candidate(keras_tuner.HyperParameters()).metaparameters["se_ratio"]
    16
    """

    architecture = SENet

    large_stem = "deep"

    least_group_width = 2  # the first convolution of a block has half

    def table(self) -> dict[str, Any]:
        return {**super().table(), "se_ratio": [4, 8, 16], "base_width": [16, 32]}
