"""SENet: the squeeze-excitation network that won ImageNet 2017, and others of its form."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from keras_blocks.core.block import register
from keras_blocks.core.chain import LayerSpec
from keras_blocks.models.network import Names
from keras_blocks.models.residual_network import TORCH_SETTINGS, ResidualNetworkOptions, Shortcut, Stem, groups_of
from keras_blocks.models.resnext import ResNeXt


@register
class SENet(ResNeXt):
    """SENet, as an assembly of a deep stem and `ResNeXtBlock`s with squeeze-excitation.

    Other than a ResNeXt, the first convolution of each block is half as wide, and projections that stride are 3x3.
    SE-ResNets and SE-ResNeXts are variants of `ResNet` and `ResNeXt`.

    Args:
        groups, cardinality (64), base_width, stem ("deep"), shortcut, drop_rate, output_stride, se_ratio (16),
            se_use_bias, block_dropout, stem_filters, attention, convolution: see `ResNeXt`.
        dropout: 0.2 by default; share of the pooled features dropped before the classifier's scores while training.
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
        Hu et al., "Squeeze-and-Excitation Networks", 2017, section 6.1; Cadene's pretrained-models.pytorch and timm's
        `legacy_senet154`.

    Example:

    >>> import keras_blocks
    >>> model = keras_blocks.SENet(
    ...     groups=[{"filters": 8, "blocks": 1}, {"filters": 16, "blocks": 1}],
    ...     cardinality=4, base_width=32, se_ratio=8, input_shape=(64, 64, 3), classes=10,
    ... )
    >>> model.features["stem"].shape, model.features["group2"].shape
    ((None, 16, 16, 16), (None, 8, 8, 64))
    """

    variants = {"senet154": {"groups": groups_of(3, 8, 36, 3), **TORCH_SETTINGS}}

    sources = {"senet154": "Hu et al. 2017, section 6.1; Cadene's senet154, timm's legacy_senet154"}

    def __init__(
        self,
        groups: Sequence[Mapping[str, int]] = variants["senet154"]["groups"],
        *,
        cardinality: int = 64,
        base_width: int = 4,
        stem: Stem = "deep",
        shortcut: Shortcut = "auto",
        se_ratio: int | None = 16,
        dropout: float = 0.2,
        **kwargs: Unpack[ResidualNetworkOptions],
    ):
        own: Any = {"cardinality": cardinality, "base_width": base_width, "stem": stem, "shortcut": shortcut}
        super().__init__(groups, **own, se_ratio=se_ratio, dropout=dropout, **kwargs)

    def block(self, name: str, **options: Any) -> LayerSpec:
        size = 3 if options["strides"] > 1 else 1
        return super().block(name, narrow_entry=True, projection_size=size, **options)

    def weight_names(self) -> Names:
        stem = {f"stem/conv{k}{bn}": f"layer0.{'bn' if bn else 'conv'}{k}" for k in (1, 2, 3) for bn in ("", "_bn")}
        return {"timm": {**self.torch_names(se="se_module"), **stem, "head/scores": "last_linear"}}

    def misfit(self, convention: str) -> str | None:
        return None  # there is one network of these names
