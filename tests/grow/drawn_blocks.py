"""Blocks of the catalog in small models, drawn at random, and changes of their arguments."""

from typing import Any, NamedTuple

import catalog
import keras
from pairs import MOST_CHANGES, numbers_in, replaced

import keras_blocks
from keras_blocks.core.signature import arguments

CBAM = {"layer": "keras_blocks>ConvolutionalBlockAttention", "ratio": 2, "kernel_size": 3}
SE = {"layer": "keras_blocks>SqueezeExciteBlock", "ratio": 2}
ECA = {"layer": "keras_blocks>EfficientChannelAttention", "kernel_size": 3}
SELECTIVE = {"layer": "keras_blocks>SelectiveKernelBlock", "divisor": 2}
FLAGS = (
    *("activated", "atrous", "count_include_pad", "deep", "narrow_entry", "pooled", "pre_activated"),
    *("pre_activation", "remat", "se_use_bias", "split"),
)
CHOICES: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(FLAGS, (False, True)),
    "activation": ("relu", "elu", "gelu"),
    "attention": (None, SE, CBAM, ECA),
    "batch_norm": (False, True, {"scale": False}, {"center": False, "epsilon": 1e-4}, {"groups": 1}),
    "border": ("zero", "lowest", "ceil"),
    "bypass": (None, "simple", "complex"),
    "compression": (0.25, 0.5, 0.75, 1.0),
    "convolution": (None, "keras_blocks>ConvBlock", SELECTIVE),
    "dilation_rate": (1, 2),
    "gate": ("sigmoid", "hard_sigmoid"),
    "kernel_size": (1, 3, 5, (3, 5)),
    "kind": ("basic", "bottleneck", "plain", "residual"),
    "mode": ("tf", "caffe", "torch"),
    "padding": ("same", "valid", "symmetric"),
    "pool_size": (2, 3),
    "pooling": ("avg", "max", "flatten", "strided", "adaptive"),
    "projection_size": (1, 3),
    "ratio": (2, 4),
    "scale": (None, 0.2, 0.5),
    "se_ratio": (None, 2, 4),
    "shortcut": ("auto", "projection", "identity", "pad", "pooled"),
    "size": (3, 5),
    "strides": (1, 2),
    "trim": (0, 1),
    "use_bias": (None, False, True),
    "version": ("v1", "v1.5", "v2", "v3"),
}
"""Name of an argument -> values, of which a block takes some. Other numbers become larger or smaller."""

LEFT = (*catalog.SHARED, "data_format", "dropout", "block_dropout", "drop_rate", "seed", "names", "labels")
"""Arguments of the catalog that are drawn, or do nothing in inference."""

SIZES = {"AuxiliaryClassifier": 14, "ResNetStem": 16, "InceptionB": 5, "InceptionC": 5}
"""Of images for which a block is made; of the others 8."""

FRONT, WIDER = 8, (12, 16)
"""Channels that the block is given, and to which they may become more."""

LARGER = ("base_width", "bottleneck", "branches", "channels", "expand_ratio", "filters", "width")
DEEPER = ("blocks", "depth", "hidden", "layers")


class Change(NamedTuple):
    """An argument, or "front", and what it becomes."""

    name: str
    before: Any
    after: Any
    kind: str
    """"more", "less" or "longer"; "other" of choices."""


def choices_of(row):
    return [name for name in arguments(row.cls) if name in CHOICES]


def parent_of(row, rng):
    """Arguments of a block: the catalog's or their defaults, and some choices drawn."""
    given = {name: value for name, value in row.arguments.items() if name not in LEFT}
    defaults = arguments(row.cls)
    for name in choices_of(row):
        drawn = rng.random()
        if drawn < 0.4:
            given.pop(name, None)
        elif drawn < 0.6:
            given[name] = rng.choice(CHOICES[name])
        if name not in given and name in row.arguments and not isinstance(defaults[name], int | str | float | None):
            given[name] = row.arguments[name]  # there is no default
    return given


def changed(row, given, rng):
    """The arguments with one to three of them changed, and the changes."""
    changes = []
    for _ in range(rng.randint(1, MOST_CHANGES)):
        places = [path for path in numbers_in(given) if path[0] not in CHOICES]
        lists = [name for name in ("hidden", "branches") if isinstance(given.get(name), list | tuple) and given[name]]
        drawn = rng.random()
        if drawn < 0.55 and places:
            path = rng.choice(places)
            change = rng.choice((lambda n: 2 * n, lambda n: n + 1, lambda n: n + 2, lambda n: max(n - 1, 1)))
            before, given = given, replaced(given, path, change)
            old, new = (_at(one, path) for one in (before, given))
            kind = "more" if new > old else "less"
            changes.append(Change(path[0], old, new, kind))
        elif drawn < 0.7 and lists:
            name = rng.choice(lists)
            given = {**given, name: [*given[name], given[name][-1]]}
            changes.append(Change(name, None, None, "longer"))
        elif names := choices_of(row):
            name = rng.choice(names)
            old, new = given.get(name, arguments(row.cls)[name]), rng.choice(CHOICES[name])
            if old != new:
                given = {**given, name: new}
                changes.append(Change(name, old, new, "other"))
    return given, changes


def _at(value, path):
    for key in path:
        value = value[key]
    return value


def fits(row, given, new, front, form):
    """Whether a block takes these arguments, with those that become others, and images of so many channels."""
    try:
        config = _block(row, given, form).get_config()
        block = row.cls.from_config({**config, **new})
        shape = (None, *_shape(row, front, form))
        block.compute_output_shape(shape) if isinstance(block, keras_blocks.Block) else block.build(shape)
    except (TypeError, ValueError):
        return False
    return True


def model_of(row, given, form):
    """A block behind a convolution, and a convolution, where it gives images, and a dense layer behind it."""
    same = {"padding": "same", "data_format": form}
    inputs = keras.Input(_shape(row, 3, form))
    x = inputs
    if row.name != "ImageNormalization":  # which is of images
        x = keras.layers.Conv2D(FRONT, 3, activation="elu", name="front", **same)(x)
    outputs = []
    for i, y in enumerate(keras.tree.flatten(_block(row, given, form)(x))):
        if len(y.shape) == 4:
            y = keras.layers.Conv2D(4, 3, name=f"behind{i}", **same)(y)
            y = keras.layers.GlobalAveragePooling2D(data_format=form)(y)
        outputs.append(keras.layers.Dense(3, name=f"last{i}")(y))
    return keras.Model(inputs, outputs)


def _shape(row, channels, form):
    size = SIZES.get(row.name, 8)
    channels = 3 if row.name == "ImageNormalization" else channels
    return (size, size, channels) if form == "channels_last" else (channels, size, size)


def _block(row, given, form):
    return row.cls(**given, data_format=form, name="block")


def is_promised(row, given, changes, outputs):
    """Whether docs/growing.md promises that such a child has its parent's outputs.

    `outputs` are the channels of the block's, before and after, less those that it is given.
    """
    ours = {**arguments(row.cls), **given}
    if any(not _is_kept(row, ours, change) for change in changes):
        return False
    wider = any(change.kind in ("more", "longer") for change in changes)
    norm = ours.get("batch_norm")
    if wider and isinstance(norm, dict) and "groups" in norm:
        return False  # statistics of several channels
    after = {**ours, **{change.name: change.after for change in changes if change.kind == "other"}}
    special = [str(after.get(name)) for name in ("attention", "convolution")]
    if wider and (row.name in ACROSS or any(name in one for one in special for name in ACROSS)):
        return False
    if len({difference == 0 for difference in outputs}) > 1:
        return False  # the input is added itself, or no more
    return ours.get("shortcut") != "pad" or not wider


ACROSS = (
    *("ConvolutionalBlockAttention", "EfficientChannelAttention", "LocalResponseNormalization"),
    "SelectiveKernelBlock",
)
"""What looks at several channels."""


def _is_kept(row, ours, change):
    if change.name in ("front", *LARGER):
        return change.kind in ("more", "longer")
    if change.name in DEEPER:
        return change.kind in ("more", "longer") and ours["activation"] == "relu"
    if change.name in ("attention", "se_ratio"):  # the first one
        return not (ours.get("attention") or ours.get("se_ratio"))
    if change.name == "kernel_size" and row.name not in ("DecoderBlock",):
        sizes = [one if isinstance(one, tuple) else (one, one) for one in (change.before, change.after)]
        odd = all(isinstance(size, int) and size % 2 for one in sizes for size in one)
        same = ours.get("padding", "same") != "valid"
        return odd and same and all(small <= size for small, size in zip(*sizes))
    return change.name == "remat" or (change.name == "use_bias" and change.after is True)
