"""Inception: GoogLeNet, BN-Inception and Inception v3, with auxiliary classifiers that train and then leave."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import keras

from keras_blocks.blocks.auxiliary import AuxiliaryClassifier
from keras_blocks.blocks.conv import ConvBlock
from keras_blocks.blocks.grid_reduction import GridReductionA, GridReductionB, PassThroughReduction
from keras_blocks.blocks.heads import ClassifierHead
from keras_blocks.blocks.inception import InceptionA, InceptionB, InceptionBlock, InceptionC
from keras_blocks.blocks.local_response_normalization import LocalResponseNormalization
from keras_blocks.blocks.pooling import CeilMaxPooling2D
from keras_blocks.core import validation
from keras_blocks.core.block import register
from keras_blocks.core.chain import LayerSpec
from keras_blocks.core.signature import takes
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.inception_names import cadene_names, caffe_names, keras_names, torchvision_names
from keras_blocks.models.inception_variants import GOOGLENET_GROUPS, INCEPTION_STEMS, SOURCES, VARIANTS
from keras_blocks.models.network import Names
from keras_blocks.typing import ArchitectureOptions, Tensor

Stem = Literal["v1", "v2", "v3", "small", "tiny", "v3_tiny"]

# name in a group: (class, what it fixes, what a group may set)
BLOCKS: dict[str, tuple[type, dict[str, Any], tuple[str, ...]]] = {
    "v1": (InceptionBlock, {"version": "v1"}, ("kernel_size", "pooling")),
    "v2": (InceptionBlock, {"version": "v2"}, ("kernel_size", "pooling")),
    "a": (InceptionA, {}, ()),
    "b": (InceptionB, {}, ("n",)),
    "c": (InceptionC, {}, ()),
}
REDUCTIONS: dict[str, tuple[type, dict[str, Any], tuple[str, ...]]] = {
    "max_pool": (CeilMaxPooling2D, {"strides": 2}, ("pool_size",)),
    "a": (GridReductionA, {}, ("filters", "padding")),
    "b": (GridReductionB, {}, ("filters", "padding", "n")),
    "pass_through": (PassThroughReduction, {}, ("filters", "padding")),
}
STEM_LAYERS: dict[str, tuple[type, tuple[str, ...]]] = {
    "conv": (ConvBlock, ("filters", "kernel_size", "strides", "padding")),
    "pool": (keras.layers.MaxPooling2D, ("pool_size", "strides", "padding")),
    "ceil_pool": (CeilMaxPooling2D, ("pool_size", "strides")),
    "lrn": (LocalResponseNormalization, ("size", "alpha", "beta", "bias")),
}
AUXILIARY = ("version", "pooling", "width", "hidden", "dropout")


@register
class Inception(Architecture):
    """Inception networks, as an assembly of `InceptionBlock`s, `InceptionA`s, `InceptionB`s, `InceptionC`s.

    Args:
        groups: list of groups, each a dict of
            `block`: "v1" or "v2", for `InceptionBlock`s, or "a", "b", "c";
            `filters`: for each of its blocks, the numbers that the block takes;
            `reduction`: what halves the size before the blocks, `None`, `{"kind": "max_pool", "pool_size": 3}`, or
            `{"kind": "a", "filters": [...]}`, likewise "b" and "pass_through", with their block's further arguments;
            `auxiliary`: numbers of the blocks, from 1, after which an auxiliary classifier stands;
            and, for all blocks or as a list for each of them, the blocks' `kernel_size`, `pooling` or `n`.
        stem: "v1" (GoogLeNet's, with local response normalization), "v2" (the same without), "v3"; "small" for images
            of about 64 pixels, "tiny" and "v3_tiny" for about 32; or a list of layers, each a dict of
            `layer`: "conv", "pool", "ceil_pool" or "lrn", and arguments of `ConvBlock`, `keras.layers.MaxPooling2D`,
            `CeilMaxPooling2D` or `LocalResponseNormalization`.
        auxiliary: whether the groups' auxiliary classifiers are part of the model's top; its output is then a dict of
            "predictions", "aux_1", "aux_2" and so on. See `compile` and `without_auxiliary`.
        auxiliary_classifier: arguments of `AuxiliaryClassifier`: `version`, `pooling`, `width`, `hidden`, `dropout`.
        auxiliary_weight: of each auxiliary loss, where the main one has 1, unless `compile` is told otherwise.
        count_include_pad: whether average poolings count the zeros of their border; see `InceptionBlock`.
        se_ratio: `None`, or the ratio of the squeeze-excitation at the end of every block and reduction.
        dropout: share of the pooled features dropped before the classifier while training.
        **kwargs: `input_shape`, `input_tensor`, `classes`, `include_top`, `pooling`, `classifier_activation`,
            `preprocess`, `activation`, `batch_norm` (False, as in GoogLeNet's paper), `use_bias`,
            `kernel_initializer`, `kernel_regularizer`, `data_format`, `dtype`, `name`: see `Architecture`.

    Input shape:
        `(batch, height, width, channels)`, by default (224, 224, 3); height and width may be `None`, but with
        auxiliary classifiers of version "v1" and "strided" pooling.

    Output shape:
        `(batch, classes)`, or a dict of such; without the top, the feature map, or pooled, `(batch, channels)`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", 2014, table 1; Ioffe and Szegedy, "Batch Normalization", 2015,
        figure 5; Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015, table 1; Hu et
        al., "Squeeze-and-Excitation Networks", 2017. `Inception.sources` names each variant's.

    Example:

    >>> import keras_blocks
    >>> model = keras_blocks.create_model("googlenet_cifar", auxiliary=True)
    >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> {name: output.shape for name, output in model.output.items()}
    {'predictions': (None, 10), 'aux_1': (None, 10), 'aux_2': (None, 10)}
    >>> keras_blocks.cost(keras_blocks.Inception, **keras_blocks.Inception.variants["googlenet"]).params
    6998552
    """

    variants = VARIANTS

    sources = SOURCES

    published = {"inception_v3": "InceptionV3"}

    def __init__(
        self,
        groups: Sequence[Mapping[str, Any]] = GOOGLENET_GROUPS,
        stem: Stem | Sequence[Mapping[str, Any]] = "v1",
        *,
        auxiliary: bool = False,
        auxiliary_classifier: Mapping[str, Any] | None = None,
        auxiliary_weight: float = 0.3,
        count_include_pad: bool = False,
        se_ratio: int | None = None,
        dropout: float = 0.4,
        **kwargs: Unpack[ArchitectureOptions],
    ):
        own: dict[str, Any] = {
            "groups": [
                _group(f"groups[{i}]", group)
                for i, group in enumerate(validation.sequence("groups", groups, of="groups"))
            ],
            "stem": _stem(stem),
            "auxiliary": validation.boolean("auxiliary", auxiliary),
            "auxiliary_classifier": validation.mapping(
                "auxiliary_classifier", auxiliary_classifier or {}, keys=AUXILIARY
            ),
            "auxiliary_weight": validation.number("auxiliary_weight", auxiliary_weight, least=0, most=1e3),
            "count_include_pad": validation.boolean("count_include_pad", count_include_pad),
            "se_ratio": validation.optional(validation.integer, "se_ratio", se_ratio),
            "dropout": validation.share("dropout", dropout),
        }
        if auxiliary and not any(group["auxiliary"] for group in own["groups"]):
            raise ValueError(f"`auxiliary=True` needs a group with `auxiliary` blocks; received groups={groups!r}.")
        super().__init__(own, **kwargs)

    def stem(self, x: Tensor) -> Tensor:
        counts: dict[str, int] = {}
        for step in self._stem_layers():
            options = dict(step)
            kind = options.pop("layer")
            counts[kind] = counts.get(kind, 0) + 1
            x = self.layer(f"stem_{kind}{counts[kind]}", STEM_LAYERS[kind][0], **options)(x)
        return self.feature("stem", x)

    def learner(self, x: Tensor) -> Tensor:
        m, auxiliaries = self.metaparameters, 0
        for i, group in enumerate(m.groups, start=1):
            if group["reduction"]:
                options = dict(group["reduction"])
                cls, fixed, _ = REDUCTIONS[options.pop("kind")]
                x = self._module(f"group{i}_reduction", cls, **fixed, **options)(x)
            cls, fixed, more = BLOCKS[group["block"]]
            for j, filters in enumerate(group["filters"], start=1):
                options = {key: group[key][j - 1] for key in more if group[key] is not None}
                x = self._module(f"group{i}_block{j}", cls, filters=filters, **fixed, **options)(x)
                if j in group["auxiliary"] and m.auxiliary and m.include_top:
                    auxiliaries += 1
                    self._auxiliary_classifier(f"aux_{auxiliaries}", x)
            x = self.feature(f"group{i}", x)
        return x

    def classifier(self, x: Tensor) -> Tensor:
        m = self.metaparameters
        x = self.layer("head", ClassifierHead, filters=m.classes, dropout=m.dropout)(x)
        return self.output_activation()(x)

    def weight_names(self) -> Names:
        groups = self.metaparameters.groups
        kinds = {group["block"] for group in groups}
        if kinds <= {"v1"}:
            return {"torchvision": torchvision_names(groups, v3=False), "caffe": caffe_names(groups)}
        if kinds <= {"v2"}:
            return {"cadene": cadene_names(groups)}
        stem_convs = sum(step["layer"] == "conv" for step in self._stem_layers())
        return {"keras": keras_names(groups, stem_convs), "torchvision": torchvision_names(groups, v3=True)}

    def from_torch(self, name: str, value: Any) -> Any:
        """PyTorch flattens the channels first: the rows of an auxiliary classifier's dense kernel stand otherwise."""
        path, _, variable = name.rpartition("/")
        head, _, layer = path.partition("/")
        if value.ndim != 2 or (layer, variable) != ("dense1", "kernel"):
            return value
        if not any(head == mine.name for mine in self.layers):
            return value
        block = self.get_layer(head)
        shape = block.pool.compute_output_shape(block.input.shape)
        height, width = shape[1:3] if self.data_format == "channels_last" else shape[2:]
        rows = value.reshape(-1, height, width, value.shape[1]).transpose(1, 2, 0, 3)
        return rows.reshape(value.shape)

    def _module(self, name: str, cls: type, **options: Any) -> LayerSpec:
        """A block or reduction, told the settings of the whole network that it takes."""
        m = self.metaparameters
        shared = {"se_ratio": m.se_ratio, "count_include_pad": m.count_include_pad}
        return self.layer(name, cls, **{key: value for key, value in shared.items() if takes(cls, key)}, **options)

    def _auxiliary_classifier(self, name: str, x: Tensor) -> None:
        m = self.metaparameters
        x = self.layer(f"{name}_head", AuxiliaryClassifier, filters=m.classes, **m.auxiliary_classifier)(x)
        self.side_output(name, self.output_activation(name)(x), weight=m.auxiliary_weight)

    def _stem_layers(self) -> Sequence[Mapping[str, Any]]:
        stem: str | Sequence[Mapping[str, Any]] = self.metaparameters.stem
        return INCEPTION_STEMS[stem] if isinstance(stem, str) else stem


def _group(name: str, group: Any) -> dict[str, Any]:
    """A group, checked, with all keys that its block has."""
    validation.mapping(
        name, group, keys=(*_GROUP, *{key for _, _, more in BLOCKS.values() for key in more}), required=_GROUP[:2]
    )
    block = validation.choice(f"{name}['block']", group["block"], tuple(BLOCKS))
    more = BLOCKS[block][2]
    validation.mapping(name, group, keys=(*_GROUP, *more))
    filters = validation.sequence(f"{name}['filters']", group["filters"], of="each block's numbers of filters")
    return {
        "block": block,
        "filters": [validation.sequence(f"{name}['filters'][{i}]", row, of="numbers") for i, row in enumerate(filters)],
        "reduction": _reduction(f"{name}['reduction']", group.get("reduction")),
        "auxiliary": _block_numbers(f"{name}['auxiliary']", group.get("auxiliary", ()), len(filters)),
        **{key: _of_each_block(f"{name}['{key}']", group.get(key), len(filters)) for key in more},
    }


_GROUP = ("block", "filters", "reduction", "auxiliary")


def _reduction(name: str, reduction: Any) -> Mapping[str, Any] | None:
    if reduction is None:
        return None
    keys = ("kind", *{key for _, _, more in REDUCTIONS.values() for key in more})
    validation.mapping(name, reduction, keys=keys, required=("kind",))
    kind = validation.choice(f"{name}['kind']", reduction["kind"], tuple(REDUCTIONS))
    return validation.mapping(
        name, reduction, keys=("kind", *REDUCTIONS[kind][2]), required=() if kind == "max_pool" else ("filters",)
    )


def _block_numbers(name: str, numbers: Any, most: int) -> list[int]:
    numbers = () if numbers in ((), [], None) else validation.sequence(name, numbers, of="numbers of blocks")
    return sorted({validation.integer(f"{name}[{i}]", number, most=most) for i, number in enumerate(numbers)})


def _of_each_block(name: str, value: Any, blocks: int) -> list[Any] | None:
    """A list with a value for each block, from one value or such a list; `None` for the block's own default."""
    if value is None or not isinstance(value, (list, tuple)):
        return None if value is None else [value] * blocks
    if len(value) != blocks:
        raise ValueError(f"`{name}` must be one value or one for each of {blocks} blocks; received {value!r}.")
    return list(value)


def _stem(stem: Any) -> str | list[Mapping[str, Any]]:
    """A name of `INCEPTION_STEMS`, or a list like those in it; the layers check the values."""
    if isinstance(stem, str) or stem is None:
        return str(validation.choice("stem", stem, Stem))
    layers = []
    for i, step in enumerate(validation.sequence("stem", stem, of="layers")):
        keys = {key for _, more in STEM_LAYERS.values() for key in more}
        validation.mapping(f"stem[{i}]", step, keys=("layer", *sorted(keys)), required=("layer",))
        kind = validation.choice(f"stem[{i}]['layer']", step["layer"], tuple(STEM_LAYERS))
        layers.append(validation.mapping(f"stem[{i}]", step, keys=("layer", *STEM_LAYERS[kind][1])))
    return layers
