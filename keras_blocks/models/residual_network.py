"""What ResNet, ResNeXt and SENet have in common: a stem, residual blocks in groups, a head."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from keras_blocks.blocks.conv import ConvBlock
from keras_blocks.blocks.heads import ClassifierHead
from keras_blocks.blocks.residual import ResidualUnit
from keras_blocks.blocks.resnet_stem import ResNetStem
from keras_blocks.core import validation
from keras_blocks.core.chain import LayerSpec
from keras_blocks.core.signature import arguments
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.output_stride import StridePlan

TORCH_SETTINGS = {"batch_norm": {"epsilon": 1e-5, "momentum": 0.9}}


def groups_of(*blocks: int, filters: int = 64) -> tuple[dict[str, int], ...]:
    """Groups of so many blocks, each group of twice the filters of the one before."""
    return tuple({"filters": filters * 2**i, "blocks": n} for i, n in enumerate(blocks))


class ResidualNetwork(Architecture):
    """A stem, groups of residual blocks, a head. A subclass says by `block_class` of which blocks.

    It passes the arguments that it does not name itself on to this constructor, by name: a model whose constructor
    takes both *args and **kwargs is cloned by Keras as a `keras.Functional`.

    Args:
        own: the subclass' own metaparameters.
        groups: list of groups, each `{"filters": 64, "blocks": 3}`; all but the first halve the size.
        stem: "imagenet", the 7x7 convolution and pooling of `ResNetStem`; "timm", the same with the pooling's border
            of timm's `resnetv2_50`; "deep", three 3x3 convolutions, to twice the filters of the first group, and a
            pooling that rounds up; "cifar", a 3x3 convolution of stride 1.
        shortcut: of the blocks: "auto", "projection" or "pad" (option A, without parameters).
        drop_rate: share of the images for which the last block is dropped while training, the blocks before it
            linearly less (stochastic depth).
        output_stride: pixels of the image for one of the last feature map, from which on strides are replaced by
            dilation, with the same weights; `None` for all strides.
        se_ratio: `None`, or the ratio of the squeeze-excitation in every block.
        se_use_bias: whether the squeeze-excitation has biases.
        dropout: share of the pooled features dropped before the classifier's scores while training.
        block_dropout: of the blocks: share dropped between their convolutions while training.
        stem_filters: of the stem's output; `None` for the first group's `filters`, twice as many for "deep".
        batch_norm, use_bias, kernel_initializer, **kwargs: see `Architecture`.
    """

    block_class: type[ResidualUnit]
    """The class of the blocks."""

    pre_activated = False
    """Whether blocks normalize first: then the stem does not, and the last group's output is normalized."""

    def __init__(
        self,
        own: Mapping[str, Any],
        groups: Sequence[Mapping[str, int]],
        stem: Literal["imagenet", "timm", "deep", "cifar"] = "imagenet",
        shortcut: Literal["auto", "projection", "pad"] = "auto",
        drop_rate: float = 0.0,
        output_stride: int | None = None,
        se_ratio: int | None = None,
        se_use_bias: bool = True,
        dropout: float = 0.0,
        block_dropout: float = 0.0,
        stem_filters: int | None = None,
        *,
        batch_norm: bool | Mapping[str, Any] = True,
        use_bias: bool | None = False,
        kernel_initializer: Any = "he_normal",
        **kwargs: Any,
    ):
        own = {
            "groups": validation.records("groups", groups, {"filters": None, "blocks": None}),
            "stem": validation.choice("stem", stem, ("imagenet", "timm", "deep", "cifar")),
            "shortcut": validation.choice("shortcut", shortcut, ("auto", "projection", "pad")),
            "drop_rate": validation.share("drop_rate", drop_rate),
            "output_stride": output_stride,
            "se_ratio": se_ratio,
            "se_use_bias": se_use_bias,
            "dropout": validation.share("dropout", dropout),
            "block_dropout": validation.share("block_dropout", block_dropout),
            "stem_filters": validation.optional(validation.integer, "stem_filters", stem_filters),
            **own,
        }
        StridePlan(own)  # refuses an output stride that cannot be reached
        super().__init__(own, batch_norm=batch_norm, use_bias=use_bias, kernel_initializer=kernel_initializer, **kwargs)

    def block(self, name: str, **options: Any) -> LayerSpec:
        """The residual block of this name, of `options`, and of the metaparameters that are called as an option is."""
        m = self.metaparameters
        own = {option: m[option] for option in arguments(self.block_class) if option in m}
        return self.layer(name, self.block_class, **{**own, **options})

    def downsampling(self, i: int, j: int) -> dict[str, Any]:
        """Strides and shortcut of the j-th block of group i."""
        return {"strides": 2 if i > 1 and j == 1 else 1, "shortcut": self.metaparameters.shortcut}

    def stem(self, x):
        m = self.metaparameters
        filters = m.stem_filters or m.groups[0]["filters"] * (2 if m.stem == "deep" else 1)
        kinds = {"imagenet": {}, "timm": {"border": "lowest"}, "deep": {"border": "ceil", "deep": True}}
        if m.stem in kinds:
            options = {"filters": filters, "pre_activated": self.pre_activated, **kinds[m.stem]}
            stem = self.layer("stem", ResNetStem, **options)
        elif self.pre_activated:
            stem = self.layer("stem", ConvBlock, filters=filters, batch_norm=False, activation=None)
        else:
            stem = self.layer("stem", ConvBlock, filters=filters)
        return self.feature("stem", stem(x))

    def learner(self, x):
        m = self.metaparameters
        plan, number, total = StridePlan(m), 0, sum(group["blocks"] for group in m.groups)
        for i, group in enumerate(m.groups, start=1):
            for j in range(1, group["blocks"] + 1):
                number += 1
                step = self.downsampling(i, j)
                options = {**step, **plan.take(step["strides"]), "drop_rate": m.drop_rate * number / total}
                x = self.block(f"group{i}_block{j}", filters=group["filters"], **options)(x)
            if i < len(m.groups):
                x = self.feature(f"group{i}", x)
        if self.pre_activated:
            for spec in (*self.norm_if_any("last"), self.activate("last_activation")):
                x = spec(x)
        return self.feature(f"group{len(m.groups)}", x)

    def classifier(self, x):
        m = self.metaparameters
        x = self.layer("head", ClassifierHead, filters=m.classes, dropout=m.dropout)(x)
        return self.output_activation()(x)

    def block_names(self, rename: Callable[[int, int, str], str]) -> dict[str, str]:
        """Path of a layer of the blocks -> its name elsewhere, by `rename(group, block, layer)`, all counted from 1."""
        layers = [f"{name}{suffix}" for name in ("projection", "conv1", "conv2", "conv3") for suffix in ("", "_bn")]
        # What the network never has must not be named: weights of a squeeze-excitation would count as a left-out top's.
        layers += ["pre_bn"] * self.pre_activated
        layers += ["se/reduce", "se/restore"] * (self.metaparameters.se_ratio is not None)
        return {
            f"group{i}_block{j}/{layer}": rename(i, j, layer)
            for i, group in enumerate(self.metaparameters.groups, start=1)
            for j in range(1, group["blocks"] + 1)
            for layer in layers
        }

    def torch_names(self, se: str = "se") -> dict[str, str]:
        """The names that torchvision and timm give; timm's older networks call the squeeze-excitation otherwise."""
        inner = {"projection": "downsample.0", "projection_bn": "downsample.1"}
        inner |= {"se/reduce": f"{se}.fc1", "se/restore": f"{se}.fc2"}
        inner |= {f"conv{k}_bn": f"bn{k}" for k in (1, 2, 3)}
        names = self.block_names(lambda i, j, layer: f"layer{i}.{j - 1}.{inner.get(layer, layer)}")
        return {"stem/conv": "conv1", "stem/conv_bn": "bn1", "head/scores": "fc", **names}
