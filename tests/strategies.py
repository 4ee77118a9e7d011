"""Random valid configurations of every block, for property tests."""

import keras
from hypothesis import strategies as st

import keras_blocks

backend = keras.backend.backend()

ACTIVATIONS = st.sampled_from(["relu", "elu", "silu", "tanh", None])
BATCH_NORM = st.one_of(
    st.booleans(),
    st.fixed_dictionaries(
        {},
        optional={
            "momentum": st.floats(0.1, 0.999),
            "epsilon": st.floats(1e-5, 1e-2),
            "center": st.booleans(),
            "scale": st.booleans(),
        },
    ),
)
SHARED = {
    "activation": ACTIVATIONS,
    "batch_norm": BATCH_NORM,
    "use_bias": st.sampled_from([None, True, False]),
    "kernel_initializer": st.sampled_from(["he_normal", "glorot_uniform", "lecun_uniform"]),
    "kernel_regularizer": st.sampled_from([None, "l2"]),
    "remat": st.booleans(),
}


def size(least, most):
    """An integer or a pair of them."""
    return st.one_of(st.integers(least, most), st.tuples(st.integers(least, most), st.integers(least, most)))


@st.composite
def conv_blocks(draw, groups=True, dilation=True):
    count = draw(st.sampled_from([1, 2, 3])) if groups else 1
    dilation = draw(st.sampled_from([1, 2])) if dilation else 1
    arguments = {
        "filters": count * draw(st.integers(1, 3)),
        "kernel_size": draw(size(1, 4)),
        "strides": 1 if dilation > 1 else draw(size(1, 3)),
        "padding": draw(st.sampled_from(["same", "valid"])),
        "groups": count,
        "dilation_rate": dilation,
        "pre_activation": draw(st.booleans()),
    }
    return keras_blocks.ConvBlock, arguments, count * draw(st.integers(1, 3))


@st.composite
def fire_blocks(draw):
    filters, ratio = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    bypass = draw(st.sampled_from([None, "simple", "complex"]))
    channels = 2 * filters * ratio if bypass == "simple" else draw(st.integers(1, 8))
    return keras_blocks.FireBlock, {"filters": filters, "expand_ratio": ratio, "bypass": bypass}, channels


@st.composite
def coding_blocks(draw, cls):
    """An encoder's or a decoder's block."""
    arguments = {
        "filters": draw(st.integers(1, 3)),
        "blocks": draw(st.integers(1, 2)),
        "kernel_size": draw(size(2, 4)),
        "strides": draw(size(1, 2)),
        "kind": draw(st.sampled_from(["plain", "residual"])),
    }
    if cls is keras_blocks.DecoderBlock:
        steps = arguments["strides"]
        most = [steps, steps] if isinstance(steps, int) else steps
        arguments["trim"] = tuple(draw(st.integers(0, step - 1)) for step in most)
        arguments["activated"] = draw(st.booleans())
    return cls, arguments, draw(st.integers(1, 3))


@st.composite
def residual_blocks(draw):
    filters, kind = draw(st.integers(1, 3)), draw(st.sampled_from(["basic", "bottleneck"]))
    shortcut = draw(st.sampled_from(["auto", "projection", "identity", "pad"]))
    output = filters * (4 if kind == "bottleneck" else 1)
    fitting = {"identity": output, "pad": output - 2 if output > 2 else output}
    channels = fitting[shortcut] if shortcut in fitting else draw(st.integers(1, 6))
    atrous = draw(st.booleans())
    strides = draw(st.integers(1, 2))
    arguments = {
        "filters": filters,
        "kind": kind,
        "version": draw(st.sampled_from(["v1", "v1.5", "v2"])),
        "strides": strides,
        "shortcut": shortcut,
        "atrous": atrous,
        "dilation_rate": draw(st.integers(1, 2)) if atrous or strides == 1 else 1,
        "width": draw(st.integers(1, 2)),
        "drop_rate": draw(st.sampled_from([0.0, 0.5])),
        "block_dropout": draw(st.sampled_from([0.0, 0.5])),
        **draw(squeeze_excitations(output)),
    }
    return keras_blocks.ResidualBlock, arguments, channels


@st.composite
def squeeze_excitations(draw, channels):
    ratios = [None, *(ratio for ratio in range(1, channels + 1) if channels % ratio == 0)]
    return {"se_ratio": draw(st.sampled_from(ratios)), "se_use_bias": draw(st.booleans())}


@st.composite
def resnext_blocks(draw):
    filters, cardinality, narrow = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.booleans())
    atrous, strides = draw(st.booleans()), draw(st.integers(1, 2))
    arguments = {
        "filters": filters,
        "cardinality": cardinality,
        "base_width": 128 if narrow else draw(st.sampled_from([64, 128])),
        "strides": strides,
        "atrous": atrous,
        "dilation_rate": draw(st.integers(1, 2)) if atrous or strides == 1 else 1,
        "narrow_entry": narrow,
        "projection_size": draw(st.sampled_from([1, 3])),
        "version": draw(st.sampled_from(["v1.5", "v2"])),
        "block_dropout": draw(st.sampled_from([0.0, 0.5])),
        **draw(squeeze_excitations(4 * filters)),
    }
    return keras_blocks.ResNeXtBlock, arguments, draw(st.sampled_from([3, 4 * filters]))


@st.composite
def squeeze_excite_blocks(draw):
    ratio = draw(st.integers(1, 3))
    arguments = {"ratio": ratio, "gate": draw(st.sampled_from(["sigmoid", "hard_sigmoid"]))}
    return keras_blocks.SqueezeExciteBlock, arguments, ratio * draw(st.integers(1, 3))


GATE = st.sampled_from(["sigmoid", "hard_sigmoid"])


@st.composite
def convolutional_attentions(draw):
    ratio = draw(st.integers(1, 3))
    arguments = {"ratio": ratio, "kernel_size": draw(st.integers(1, 7)), "gate": draw(GATE)}
    return keras_blocks.ConvolutionalBlockAttention, arguments, ratio * draw(st.integers(1, 3))


@st.composite
def inverted_residual_blocks(draw):
    channels, ratio = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    arguments = {
        "filters": draw(st.sampled_from([channels, 3])),  # equal ones add the input
        "expand_ratio": ratio,
        "kernel_size": draw(size(1, 5)),
        "strides": draw(st.integers(1, 2)),
        "padding": draw(st.sampled_from(["same", "symmetric"])),
        "se_ratio": draw(st.sampled_from([None, ratio])),
        "drop_rate": draw(st.sampled_from([0.0, 0.5])),
    }
    return keras_blocks.InvertedResidualBlock, arguments, channels


@st.composite
def regnet_blocks(draw):
    group_width = draw(st.integers(1, 4))
    filters, strides = group_width * draw(st.integers(1, 2)), draw(st.integers(1, 2))
    arguments = {
        "filters": filters,
        "group_width": group_width,
        "strides": strides,
        "shortcut": draw(st.sampled_from(["auto", "projection", "pooled"])),
        "version": draw(st.sampled_from(["v1.5", "v2"])),
        **draw(squeeze_excitations(filters)),
    }
    return keras_blocks.RegNetBlock, arguments, draw(st.sampled_from([3, filters]))


@st.composite
def selective_kernel_blocks(draw):
    paths, groups = draw(st.integers(2, 3)), draw(st.integers(1, 2))
    split, channels = draw(st.booleans()), groups * draw(st.integers(1, 2))
    strides = draw(st.integers(1, 2))
    arguments = {
        "filters": paths * groups * draw(st.integers(1, 2)),
        "strides": strides,
        "dilation_rate": draw(st.integers(1, 2)) if strides == 1 else 1,
        "paths": paths,
        "groups": groups,
        "ratio": draw(st.integers(1, 4)),
        "divisor": draw(st.integers(1, 4)),
        "split": split,
    }
    return keras_blocks.SelectiveKernelBlock, arguments, channels * (paths if split else 1)


def branched_blocks(cls, **arguments):
    """A block of Inception."""
    filters = st.tuples(*(st.integers(1, 3) for _ in cls.filter_names))
    return plain(cls, filters=filters, se_ratio=st.sampled_from([None, 1]), **arguments)


def plain(cls, least_channels=1, **arguments):
    """A block whose arguments are independent of each other and of the input's channels."""
    return st.tuples(st.just(cls), st.fixed_dictionaries(arguments), st.integers(least_channels, 6))


PADDED = {"count_include_pad": st.booleans()}
REDUCED = {"padding": st.sampled_from(["valid", "same", "symmetric"])}

BLOCKS = {
    "AuxiliaryClassifier": plain(
        keras_blocks.AuxiliaryClassifier,
        filters=st.integers(1, 4),
        version=st.sampled_from(["v1", "v3"]),
        pooling=st.just("adaptive"),
        width=st.integers(1, 3),
        hidden=st.integers(1, 4),
        dropout=st.sampled_from([None, 0.0, 0.5]),
    ),
    "ClassifierHead": plain(
        keras_blocks.ClassifierHead,
        filters=st.integers(1, 4),
        pooling=st.sampled_from(["avg", "max", "flatten"]),
        hidden=st.sampled_from([(), (3,), (4, 2)]),
        dropout=st.sampled_from([0.0, 0.5]),
    ),
    "ConvBlock": conv_blocks(),
    "MultiLabelHead": plain(
        keras_blocks.MultiLabelHead,
        classes=st.sampled_from([1, 3, [2], [5, 3, 10]]),
        pooling=st.sampled_from(["avg", "max", "flatten"]),
        hidden=st.sampled_from([(), (3,)]),
        dropout=st.sampled_from([0.0, 0.5]),
    ),
    "DenseBlock": plain(
        keras_blocks.DenseBlock,
        filters=st.integers(1, 3),
        layers=st.integers(1, 3),
        bottleneck=st.integers(0, 2),
        dropout=st.sampled_from([0.0, 0.5]),
        dilation_rate=st.integers(1, 2),
    ),
    "DenseLayer": plain(
        keras_blocks.DenseLayer,
        filters=st.integers(1, 3),
        bottleneck=st.integers(0, 2),
        dilation_rate=st.integers(1, 2),
    ),
    "ConvolutionalBlockAttention": convolutional_attentions(),
    "EfficientChannelAttention": plain(
        keras_blocks.EfficientChannelAttention, kernel_size=st.sampled_from([None, 1, 3, 5]), gate=GATE
    ),
    "InvertedResidualBlock": inverted_residual_blocks(),
    "RegNetBlock": regnet_blocks(),
    "SelectiveKernelBlock": selective_kernel_blocks(),
    "XceptionBlock": plain(
        keras_blocks.XceptionBlock,
        filters=st.lists(st.integers(1, 4), min_size=1, max_size=3),
        strides=st.integers(1, 2),
        activated=st.booleans(),
    ),
    "DecoderBlock": coding_blocks(keras_blocks.DecoderBlock),
    "EncoderBlock": coding_blocks(keras_blocks.EncoderBlock),
    "FireBlock": fire_blocks(),
    "GridReductionA": branched_blocks(keras_blocks.GridReductionA, **REDUCED),
    "GridReductionB": branched_blocks(keras_blocks.GridReductionB, n=st.integers(1, 5), **REDUCED),
    "InceptionA": branched_blocks(keras_blocks.InceptionA, **PADDED),
    "InceptionB": branched_blocks(keras_blocks.InceptionB, n=st.integers(1, 5), **PADDED),
    "InceptionBlock": branched_blocks(
        keras_blocks.InceptionBlock,
        version=st.sampled_from(["v1", "v2"]),
        kernel_size=st.sampled_from([None, 3, 5]),
        pooling=st.sampled_from(["max", "avg"]),
        **PADDED,
    ),
    "InceptionC": branched_blocks(keras_blocks.InceptionC, **PADDED),
    "PassThroughReduction": branched_blocks(keras_blocks.PassThroughReduction, **REDUCED),
    "ResNeXtBlock": resnext_blocks(),
    "ResNetStem": plain(
        keras_blocks.ResNetStem,
        filters=st.integers(1, 4),
        pre_activated=st.booleans(),
        border=st.sampled_from(["zero", "lowest", "ceil"]),
        deep=st.booleans(),
    ),
    "ResidualBlock": residual_blocks(),
    "SqueezeExciteBlock": squeeze_excite_blocks(),
    "TransitionBlock": plain(
        keras_blocks.TransitionBlock,
        least_channels=4,
        compression=st.sampled_from([0.25, 0.5, 1.0]),
        atrous=st.booleans(),
    ),
    "VariationalBottleneck": plain(
        keras_blocks.VariationalBottleneck,
        filters=st.integers(1, 4),
        pooling=st.sampled_from([None, "avg", "max", "flatten"]),
        beta=st.sampled_from([0.0, 0.5]),
        seed=st.sampled_from([None, 0]),
    ),
    "VGGGroup": plain(keras_blocks.VGGGroup, filters=st.integers(1, 4), depth=st.integers(1, 3)),
}


@st.composite
def configurations(draw, name=None, strategy=None):
    """(class, all arguments, image shape) of a random valid block."""
    cls, arguments, channels = draw(BLOCKS[name] if strategy is None else strategy)
    shared = {key: draw(value) for key, value in SHARED.items()}
    image = (draw(st.sampled_from([8, 13])), draw(st.sampled_from([8, 11])), channels)
    return cls, {**arguments, **shared}, image
