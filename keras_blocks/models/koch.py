"""The convolutional network of Koch's Siamese twins."""

from keras import layers

from keras_blocks.blocks.conv import ConvBlock
from keras_blocks.core import validation
from keras_blocks.core.registration import register
from keras_blocks.models.architecture import Architecture

GROUPS = tuple({"filters": filters, "kernel_size": size} for filters, size in ((64, 10), (128, 7), (128, 4), (256, 4)))


@register
class KochNet(Architecture):
    """One of the twins: unpadded convolutions with poolings between them, then a dense layer of sigmoids.

    The backbone of `Siamese` by the name "koch2015". What the paper leaves open is Keras' default, so is the
    initialization, since the paper's (dense weights of deviation 0.2) saturates the sigmoids of 9,216 inputs.

    Args:
        groups: list of groups, each `{"filters": 64, "kernel_size": 10}`; a 2x2 pooling stands between two of them.
        **kwargs: see `Architecture`; `classes` are the units of the dense layer.

    Reference:
        Koch et al., "Siamese Neural Networks for One-shot Image Recognition", 2015, figure 4.
    """

    variants = {"koch2015": {"classes": 4096, "classifier_activation": "sigmoid", "include_top": True}}

    sources = {"koch2015": "Koch et al. 2015, figure 4"}

    default_input_shape = (105, 105, 1)

    def __init__(self, groups=GROUPS, **kwargs):
        groups = validation.records("groups", groups, {"filters": None, "kernel_size": None})
        super().__init__({"groups": groups}, **kwargs)

    def stem(self, x):
        """There is none: the first group is the stem."""
        return x

    def learner(self, x):
        for i, group in enumerate(self.metaparameters.groups, start=1):
            if i > 1:
                x = self.layer(f"group{i}_pool", layers.MaxPooling2D, pool_size=2)(x)
            x = self.feature(f"group{i}", self.layer(f"group{i}", ConvBlock, padding="valid", **group)(x))
        return x

    def classifier(self, x):
        x = self.layer("flatten", layers.Flatten)(x)
        return self.output_activation()(self.dense("dense", self.metaparameters.classes)(x))
