"""Replaces strides by dilation once a network's output stride is reached."""

from collections.abc import Mapping
from typing import Any

from keras_blocks.core import validation

STEM_STRIDES = {"imagenet": 4, "timm": 4, "deep": 4, "resnet_c": 4, "caffe": 4, "regnet": 2, "cifar": 1}
"""Pixels of the image for one of the stem's feature map."""


class StridePlan:
    """Hands each block of a network what its strides become, and keeps what they come to.

    Args:
        metaparameters: the network's: its `stem`, the first of its `groups`, each of which but the first halves the
            size, and its `output_stride`.
    """

    def __init__(self, metaparameters: Mapping[str, Any]):
        self.reached, self.dilation = STEM_STRIDES[metaparameters["stem"]], 1
        self.wanted = metaparameters["output_stride"]
        allowed = [self.reached * 2**i for i in range(len(metaparameters["groups"]))]
        if self.wanted is not None and validation.integer("output_stride", self.wanted) not in allowed:
            raise ValueError(
                f"`output_stride` must be None or one of {allowed} for this stem and these groups; received "
                f"{self.wanted!r}."
            )

    def take(self, strides: int) -> dict[str, Any]:
        """The dilation of a block that is to have these strides, and whether they become dilation."""
        options = {"dilation_rate": self.dilation, "atrous": False}
        if self.wanted is not None and self.reached * strides > self.wanted:
            options["atrous"] = True
            self.dilation *= strides
        else:
            self.reached *= strides
        return options
