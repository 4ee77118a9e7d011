"""RegNet: groups of blocks whose widths and depths follow from four numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from keras_blocks.blocks.regnet import RegNetBlock
from keras_blocks.core import validation
from keras_blocks.core.block import register
from keras_blocks.core.chain import LayerSpec
from keras_blocks.models.network import Names
from keras_blocks.models.regnet_stages import regnet_stages
from keras_blocks.models.residual_network import TORCH_SETTINGS, ResidualNetwork, ResNetOptions, Shortcut, Stem

# w0, wa, wm, depth, group width; Radosavovic et al. 2020, tables 7 and 8 (figures 20 and 21), as in the authors' pycls.
SIZES = {
    "regnetx_002": (24, 36.44, 2.49, 13, 8),
    "regnetx_032": (88, 26.31, 2.25, 25, 48),
    "regnety_002": (24, 36.44, 2.49, 13, 8),
    "regnety_004": (48, 27.89, 2.09, 16, 8),
    "regnety_032": (80, 42.63, 2.66, 21, 24),
}


def _variant(name: str) -> dict[str, Any]:
    rule = dict(zip(("w0", "wa", "wm", "depth", "group_width"), SIZES[name]))
    return {**rule, "se_ratio": 4 if name.startswith("regnety") else None, **TORCH_SETTINGS}


@register
class RegNet(ResidualNetwork):
    """RegNet, as an assembly of a stem and `RegNetBlock`s in groups, each of half the size of the one before.

    Block j would have `w0 + wa * j` channels; that is rounded to a power of `wm` times `w0`, then to a multiple of 8
    and of the group width, and blocks of one width are a group: see `keras_blocks.tuning.regnet_stages`.

    Args:
        w0: width of the first block.
        wa: slope of the widths.
        wm: ratio of two groups' widths, about.
        depth: number of blocks.
        group_width: channels of each group of the 3x3 convolutions; of a narrower block, as many as that has.
        stem: "regnet", a 3x3 convolution of stride 2; or another of `ResNet`'s.
        shortcut: as in `ResNet`.
        se_ratio: `None` for RegNetX; 4 for RegNetY: see `RegNetBlock`.
        stem_filters: of the stem's output, 32 by default.
        drop_rate, output_stride, se_use_bias, dropout, block_dropout, attention, convolution: see `ResNet`.
        batch_norm: True by default; use_bias: False by default.
        **kwargs: `input_shape`, `input_tensor`, `classes`, `include_top`, `pooling`, `classifier_activation`,
            `preprocess`, `labels`, `activation`, `kernel_initializer` ("he_normal"), `kernel_regularizer`,
            `data_format`, `dtype`, `name`: see `Architecture`.

    Input shape:
        `(batch, height, width, channels)`, by default (224, 224, 3); height and width may be `None`.

    Output shape:
        `(batch, classes)`; without the top, the feature map, or pooled, `(batch, channels)`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        Radosavovic et al., "Designing Network Design Spaces", 2020, equations 2 to 4 and the tables of the appendix.

    Example:

    >>> import keras_blocks
    >>> model = keras_blocks.RegNet(16, 8.0, 2.0, depth=3, group_width=8, input_shape=(64, 64, 3), classes=10)
    >>> {name: x.shape[1:] for name, x in model.features.items()}
    {'stem': (32, 32, 32), 'group1': (16, 16, 16), 'group2': (8, 8, 32)}
    """

    block_class = RegNetBlock
    first_strides = 2

    variants = {name: _variant(name) for name in SIZES}

    sources = {name: f"Radosavovic et al. 2020, appendix; timm's {name}" for name in SIZES}

    def __init__(
        self,
        w0: float = 24,
        wa: float = 36.44,
        wm: float = 2.49,
        depth: int = 13,
        *,
        group_width: int = 8,
        stem: Stem = "regnet",
        shortcut: Shortcut = "auto",
        **kwargs: Unpack[ResNetOptions],
    ):
        regnet_stages(w0, wa, wm, depth, group_width=group_width)  # refuses what is out of range
        rule = {"w0": w0, "wa": wa, "wm": wm, "depth": depth}
        own = {**rule, "group_width": validation.integer("group_width", group_width)}
        kwargs.setdefault("stem_filters", 32)
        super().__init__(own, stem, shortcut, **kwargs)

    @classmethod
    def groups_from(cls, metaparameters: Mapping[str, Any]) -> Sequence[Mapping[str, int]]:
        m = metaparameters
        widths, depths = regnet_stages(m["w0"], m["wa"], m["wm"], m["depth"], group_width=m["group_width"])
        return [{"filters": width, "blocks": blocks} for width, blocks in zip(widths, depths)]

    def block(self, name: str, **options: Any) -> LayerSpec:
        return super().block(name, group_width=min(self.metaparameters.group_width, options["filters"]), **options)

    def weight_names(self) -> Names:
        inner = {f"conv{k}": f"conv{k}.conv" for k in (1, 2, 3)} | {f"conv{k}_bn": f"conv{k}.bn" for k in (1, 2, 3)}
        inner |= {"projection": "downsample.conv", "projection_bn": "downsample.bn"}
        inner |= {"se/reduce": "se.fc1", "se/restore": "se.fc2"}
        names = self.block_names(lambda i, j, layer: f"s{i}.b{j}.{inner.get(layer, layer)}")
        stem = {"stem/conv": "stem.conv", "stem/conv_bn": "stem.bn"}
        return {"timm": {**stem, **names, "head/scores": "head.fc"}}
