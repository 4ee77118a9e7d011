"""VGG: groups of 3x3 convolutions."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from keras_blocks.blocks.heads import ClassifierHead, hidden_units
from keras_blocks.blocks.vgg import VGGGroup
from keras_blocks.core import validation
from keras_blocks.core.block import register
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.network import Names
from keras_blocks.typing import ArchitectureOptions, BatchNorm, Ints, Tensor

TORCH_BATCH_NORM = {"epsilon": 1e-5, "momentum": 0.9}


def _variant(*layers: int, batch_norm: BatchNorm = False) -> dict[str, Any]:
    groups = tuple({"filters": filters, "layers": n} for filters, n in zip((64, 128, 256, 512, 512), layers))
    return {"groups": groups, "batch_norm": batch_norm, **({"use_bias": True} if batch_norm else {})}


@register
class VGG(Architecture):
    """VGG, as an assembly of `VGGGroup`s and a head of two dense layers.

    Args:
        groups: list of groups, each `{"filters": 64, "layers": 2}`.
        hidden: units of the head's dense layers before the last.
        dropout: share dropped after each of them while training.
        final_pool: whether the last group ends with its pooling; detectors look at the map before it.
        **kwargs: `input_shape`, `input_tensor`, `classes`, `include_top`, `pooling`, `classifier_activation`,
            `preprocess`, `labels`, `activation`, `batch_norm` (False, as in the paper), `use_bias`,
            `kernel_initializer`, `kernel_regularizer`, `data_format`, `dtype`, `name`: see `Architecture`.

    Input shape:
        `(batch, height, width, channels)`, by default (224, 224, 3); the head needs height and width to be known.

    Output shape:
        `(batch, classes)`; without the top, the feature map, a 32nd of the image's size, or pooled, `(batch, 512)`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014, table 1;
        torchvision for the variants with BatchNormalization.

    Example:

    >>> import keras_blocks
    >>> keras_blocks.cost(keras_blocks.VGG, **keras_blocks.VGG.variants["vgg16"]).params
    138357544
    """

    variants = {
        "vgg11": _variant(1, 1, 2, 2, 2),
        "vgg11_bn": _variant(1, 1, 2, 2, 2, batch_norm=TORCH_BATCH_NORM),
        "vgg13": _variant(2, 2, 2, 2, 2),
        "vgg13_bn": _variant(2, 2, 2, 2, 2, batch_norm=TORCH_BATCH_NORM),
        "vgg16": _variant(2, 2, 3, 3, 3),
        "vgg16_bn": _variant(2, 2, 3, 3, 3, batch_norm=TORCH_BATCH_NORM),
        "vgg19": _variant(2, 2, 4, 4, 4),
        "vgg19_bn": _variant(2, 2, 4, 4, 4, batch_norm=TORCH_BATCH_NORM),
    }

    sources = {
        **{f"vgg{n}": f"Simonyan and Zisserman 2014, table 1; torchvision's vgg{n}" for n in (11, 13)},
        **{f"vgg{n}": f"Simonyan and Zisserman 2014, table 1; keras.applications' VGG{n}" for n in (16, 19)},
        **{f"vgg{n}_bn": f"torchvision's vgg{n}_bn" for n in (11, 13, 16, 19)},
    }

    published = {"vgg16": "VGG16", "vgg19": "VGG19"}

    def __init__(
        self,
        groups: Sequence[Mapping[str, int]] = variants["vgg16"]["groups"],
        *,
        hidden: Ints = (4096, 4096),
        dropout: float = 0.5,
        final_pool: bool = True,
        **kwargs: Unpack[ArchitectureOptions],
    ):
        own = {
            "groups": validation.records("groups", groups, {"filters": None, "layers": None}),
            "hidden": hidden_units(hidden),
            "dropout": validation.share("dropout", dropout),
            "final_pool": validation.boolean("final_pool", final_pool),
        }
        super().__init__(own, **kwargs)

    def stem(self, x: Tensor) -> Tensor:
        """VGG has none: its first group is its stem."""
        return x

    def learner(self, x: Tensor) -> Tensor:
        m = self.metaparameters
        for i, group in enumerate(m.groups, start=1):
            pooled = m.final_pool or i < len(m.groups)
            options = {"filters": group["filters"], "depth": group["layers"], **({} if pooled else {"pooled": False})}
            x = self.feature(f"group{i}", self.layer(f"group{i}", VGGGroup, **options)(x))
        return x

    def classifier(self, x: Tensor) -> Tensor:
        m = self.metaparameters
        x = self.layer(
            "head", ClassifierHead, filters=m.classes, pooling="flatten", hidden=m.hidden, dropout=m.dropout
        )(x)
        return self.output_activation()(x)

    def weight_names(self) -> Names:
        kinds: Names = {"keras": {}, "torchvision": {}, "timm": {}}
        index = 0
        for i, group in enumerate(self.metaparameters.groups, start=1):
            for j in range(1, group["layers"] + 1):
                kinds["keras"][f"group{i}/conv{j}"] = f"block{i}_conv{j}"
                for torch in ("torchvision", "timm"):
                    kinds[torch][f"group{i}/conv{j}"] = f"features.{index}"
                    kinds[torch][f"group{i}/conv{j}_bn"] = f"features.{index + 1}"
                index += 3 if self.batch_norm else 2
            index += 1  # the pooling
        heads = [f"head/dense{i}" for i in range(1, len(self.metaparameters.hidden) + 1)] + ["head/scores"]
        for i, name in enumerate(heads):
            kinds["keras"][name] = "predictions" if name == "head/scores" else f"fc{i + 1}"
            kinds["torchvision"][name] = f"classifier.{3 * i}"
            kinds["timm"][name] = "head.fc" if name == "head/scores" else f"pre_logits.fc{i + 1}"
        return kinds

    def from_torch(self, name: str, value: Any) -> Any:
        """PyTorch flattens the channels first, so the rows of the first dense kernel stand in another order.

        Not those of timm's, which is a convolution.
        """
        hidden = self.metaparameters.hidden
        if value.ndim != 2 or name != ("head/dense1/kernel" if hidden else "head/scores/kernel"):
            return value
        image = self.get_layer("head").input.shape[1:]
        height, width, channels = image if self.data_format == "channels_last" else (*image[1:], image[0])
        return value.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(height * width * channels, -1)
