"""SqueezeNet: few parameters by fire modules."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import keras

from keras_blocks.blocks.conv import ConvBlock
from keras_blocks.blocks.fire import Bypass, FireBlock
from keras_blocks.blocks.pooling import CeilMaxPooling2D
from keras_blocks.core import validation
from keras_blocks.core.block import register
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.network import Names
from keras_blocks.typing import ArchitectureOptions, Ints, Tensor

Stem = Literal["v1.0", "v1.1", "small", "tiny"]
STEM_KEYS = ("filters", "kernel_size", "strides", "padding", "pool")

STEMS: dict[str, dict[str, Any]] = {
    "v1.0": {"filters": 96, "kernel_size": 7, "strides": 2, "padding": "valid", "pool": True},
    "v1.1": {"filters": 64, "kernel_size": 3, "strides": 2, "padding": "valid", "pool": True},
    "small": {"filters": 64, "kernel_size": 3, "strides": 1, "padding": "same", "pool": True},
    "tiny": {"filters": 64, "kernel_size": 3, "strides": 1, "padding": "same", "pool": False},
}

GROUPS_1_0 = ({"filters": (16, 16, 32)}, {"filters": (32, 48, 48, 64)}, {"filters": (64,)})
GROUPS_1_1 = ({"filters": (16, 16)}, {"filters": (32, 32)}, {"filters": (48, 48, 64, 64)})


@register
class SqueezeNet(Architecture):
    """SqueezeNet, as an assembly of `FireBlock`s.

    Poolings round up, as in Caffe and torchvision, so that published weights give their published outputs.

    Args:
        groups: list of groups, each `{"filters": [...]}` with the squeeze channels of its fire blocks; a 3x3 max
            pooling of stride 2 stands between two groups.
        stem: "v1.0" (7x7 convolution, 96 filters) or "v1.1" (3x3, 64 filters), both of stride 2 and with pooling,
            for images of about 224 pixels; "small" (stride 1, then pooling) for 28 to 64 pixels; "tiny" (stride 1, no
            pooling) for 8 to 27; or a dict of `filters`, `kernel_size`, `strides`, `padding` and `pool`.
        expand_ratio: channels of each expand convolution over those of the squeeze convolution.
        bypass: `None`; "simple", the input added to the output of the fire blocks that keep the number of channels
            (fire 3, 5, 7, 9); "complex", those and, through a 1x1 convolution, all others.
        dropout: share of the features dropped before the classifier's convolution while training.
        classifier_padding: pixels of zeros around the last feature map, which the classifier's convolution and the mean
            then count in: 1 for the authors' weights of version 1.0 and of its form with simple bypasses.
        **kwargs: `input_shape`, `input_tensor`, `classes`, `include_top`, `pooling`, `classifier_activation`,
            `preprocess`, `labels`, `activation`, `batch_norm` (False, as in the paper), `use_bias`,
            `kernel_initializer`, `kernel_regularizer`, `data_format`, `dtype`, `name`: see `Architecture`.

    Input shape:
        `(batch, height, width, channels)`, by default (224, 224, 3); height and width may be `None`.

    Output shape:
        `(batch, classes)`; without the top, the feature map `(batch, new_height, new_width, channels)` or, pooled,
        `(batch, channels)`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016, table 1 and figure 2;
        version 1.1 as published by the authors and in torchvision (2.4 times fewer multiply-adds).

    Example:

    >>> import keras_blocks
    >>> keras_blocks.SqueezeNet.from_variant("squeezenet_1.1").count_params()
    1235496
    >>> model = keras_blocks.SqueezeNet(
    ...     groups=[{"filters": [16, 16]}, {"filters": [32]}], stem="tiny", input_shape=(8, 8, 1), classes=10
    ... )
    >>> list(model.features)
    ['stem', 'group1', 'group2']
    """

    variants = {
        "squeezenet_1.0": {"groups": GROUPS_1_0, "stem": "v1.0", "bypass": None},
        "squeezenet_1.1": {"groups": GROUPS_1_1, "stem": "v1.1", "bypass": None},
        "squeezenet_1.0_caffe": {"groups": GROUPS_1_0, "stem": "v1.0", "bypass": None, "classifier_padding": 1},
        "squeezenet_1.0_simple_bypass": {"groups": GROUPS_1_0, "stem": "v1.0", "bypass": "simple"},
        "squeezenet_1.0_complex_bypass": {"groups": GROUPS_1_0, "stem": "v1.0", "bypass": "complex"},
    }

    sources = {
        "squeezenet_1.0": "Iandola et al. 2016, table 1; torchvision's squeezenet1_0",
        "squeezenet_1.1": "the authors' SqueezeNet_v1.1; torchvision's squeezenet1_1",
        "squeezenet_1.0_caffe": "the authors' SqueezeNet_v1.0 as it was released: its last convolution is padded",
        "squeezenet_1.0_simple_bypass": "Iandola et al. 2016, figure 2, middle",
        "squeezenet_1.0_complex_bypass": "Iandola et al. 2016, figure 2, right",
    }

    def __init__(
        self,
        groups: Sequence[Mapping[str, Ints]] = GROUPS_1_0,
        stem: Stem | Mapping[str, Any] = "v1.0",
        *,
        expand_ratio: int = 4,
        bypass: Bypass = None,
        dropout: float = 0.5,
        classifier_padding: int = 0,
        **kwargs: Unpack[ArchitectureOptions],
    ):
        own = {
            "groups": [
                _group(f"groups[{i}]", group)
                for i, group in enumerate(validation.sequence("groups", groups, of="groups"))
            ],
            "stem": _stem(stem),
            "expand_ratio": validation.integer("expand_ratio", expand_ratio, most=256),
            "bypass": validation.choice("bypass", bypass, Bypass),
            "dropout": validation.share("dropout", dropout),
            "classifier_padding": validation.integer("classifier_padding", classifier_padding, least=0, most=64),
        }
        super().__init__(own, **kwargs)

    def stem(self, x: Tensor) -> Tensor:
        stem = self.metaparameters.stem
        options = dict(STEMS[stem] if isinstance(stem, str) else stem)
        pool = options.pop("pool")
        x = self.layer("stem_conv", ConvBlock, **options)(x)
        if pool:
            x = self.layer("stem_pool", CeilMaxPooling2D, pool_size=3, strides=2)(x)
        return self.feature("stem", x)

    def learner(self, x: Tensor) -> Tensor:
        m = self.metaparameters
        for i, group in enumerate(m.groups, start=1):
            if i > 1:
                x = self.layer(f"group{i - 1}_pool", CeilMaxPooling2D, pool_size=3, strides=2)(x)
            for j, filters in enumerate(group["filters"], start=1):
                same = self.channels(x.shape) == 2 * filters * m.expand_ratio
                bypass = None if m.bypass == "simple" and not same else m.bypass
                fire = self.layer(
                    f"group{i}_block{j}", FireBlock, filters=filters, expand_ratio=m.expand_ratio, bypass=bypass
                )
                x = fire(x)
            x = self.feature(f"group{i}", x)
        return x

    def classifier(self, x: Tensor) -> Tensor:
        m = self.metaparameters
        if m.dropout:
            x = self.layer("dropout", keras.layers.Dropout, rate=m.dropout)(x)
        if m.classifier_padding:
            x = self.layer("classifier_pad", keras.layers.ZeroPadding2D, padding=m.classifier_padding)(x)
        x = self.layer("classifier_conv", ConvBlock, filters=m.classes, kernel_size=1)(x)
        x = self.global_pool("classifier_pool", "avg")(x)
        return self.output_activation()(x)

    def weight_names(self) -> Names:
        caffe = {"stem_conv/conv": "conv1", "classifier_conv/conv": "conv10"}
        torch = {"stem_conv/conv": "features.0", "classifier_conv/conv": "classifier.1"}
        number, index = 2, 3  # of the next fire module, in the paper and in torchvision's `features`
        for i, group in enumerate(self.metaparameters.groups, start=1):
            for j in range(1, len(group["filters"]) + 1):
                for ours, theirs in (("squeeze", "squeeze"), ("expand_1x1", "expand1x1"), ("expand_3x3", "expand3x3")):
                    caffe[f"group{i}_block{j}/{ours}"] = f"fire{number}/{theirs.replace('squeeze', 'squeeze1x1')}"
                    torch[f"group{i}_block{j}/{ours}"] = f"features.{index}.{theirs}"
                number, index = number + 1, index + 1
            index += 1  # the pooling
        return {"caffe": caffe, "torchvision": torch}

    def misfit(self, convention: str) -> str | None:
        m = self.metaparameters
        padding = 1 if convention == "caffe" and m.stem == "v1.0" else 0
        if not m.include_top or m.stem not in ("v1.0", "v1.1") or m.classifier_padding == padding:
            return None
        owner = "the authors' network" if convention == "caffe" else "torchvision's"
        variant = " (the variant 'squeezenet_1.0_caffe')" * padding
        return (
            f"{owner} of the stem '{m.stem}' pads its last convolution by {padding} pixels, this model by "
            f"{m.classifier_padding}: `classifier_padding={padding}`{variant}, or `include_top=False`"
        )


def _group(name: str, group: Any) -> dict[str, list[int]]:
    """`{"filters": [...]}`, checked."""
    group = validation.mapping(name, group, keys=("filters",), required=("filters",))
    filters = validation.sequence(f"{name}['filters']", group["filters"], of="squeeze channels")
    return {"filters": [validation.integer(f"{name}['filters'][{i}]", item) for i, item in enumerate(filters)]}


def _stem(stem: Any) -> str | dict[str, Any]:
    """A name of `STEMS`, or a dict like those in it; the `ConvBlock` checks its values."""
    if not isinstance(stem, Mapping):
        return str(validation.choice("stem", stem, Stem))
    validation.mapping("stem", stem, keys=STEM_KEYS, required=("filters",))
    return {**STEMS["small"], **stem, "pool": validation.boolean("stem['pool']", stem.get("pool", True))}
