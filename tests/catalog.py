"""One row for each public layer and architecture. A meta-test holds this list to `keras_blocks.__all__`."""

import dataclasses
import functools

import keras
import numpy as np
from checks import randomize
from thorough import run_all

import keras_blocks

# Not the default of any block, so that a setting lost in a config or not handed down is seen.
SHARED = {
    "activation": "elu",
    "batch_norm": {"momentum": 0.9, "epsilon": 1e-5, "scale": True},
    "use_bias": True,
    "kernel_initializer": keras.initializers.HeUniform(seed=3),
    "kernel_regularizer": keras.regularizers.L2(1e-4),
    "remat": True,
}


# Of residual blocks.
DECLARED = {
    "attention": {"layer": "keras_blocks>EfficientChannelAttention", "kernel_size": 5},
    "convolution": keras_blocks.ConvBlock,
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A class with arguments that all differ from their defaults, and one published or hand-countable use of it.

    `counted` are the arguments for which, on images of `input_shape`, `output_shape` and the numbers of trainable and
    other weights are known from `source`. The shape of several outputs is that of all of them, concatenated.
    """

    cls: type
    arguments: dict
    input_shape: tuple
    counted: dict
    output_shape: tuple
    trainable: int
    other: int
    source: str
    any_size: dict = dataclasses.field(default_factory=dict)
    """Arguments that differ where the image's size is not known."""
    dtype: str = "bfloat16"
    """Of the outputs under mixed_bfloat16."""

    @property
    def name(self):
        return self.cls.__name__


LAYERS = [
    Row(
        keras_blocks.ConvBlock,
        {
            "filters": 6,
            "kernel_size": (3, 5),
            "strides": (2, 1),
            "padding": "valid",
            "groups": 2,
            "dilation_rate": 1,
            "pre_activation": True,
            **SHARED,
        },
        (18, 18, 4),
        {"filters": 6, "kernel_size": 3, "strides": 2},
        (9, 9, 6),
        3 * 3 * 4 * 6 + 2 * 6,
        2 * 6,
        "counted by hand: bias-free convolution, gamma and beta, moving mean and variance",
    ),
    Row(
        keras_blocks.DecoderBlock,
        {
            "filters": 4,
            "blocks": 2,
            "kernel_size": (4, 3),
            "strides": (2, 1),
            "kind": "residual",
            "trim": (1, 0),
            "activated": False,
            **SHARED,
        },
        (4, 4, 16),
        {"filters": 32},
        (8, 8, 32),
        9 * 16 * 32 + 2 * 32,
        2 * 32,
        "counted by hand: bias-free transposed convolution, gamma and beta, moving mean and variance",
    ),
    Row(
        keras_blocks.EncoderBlock,
        {"filters": 4, "blocks": 2, "kernel_size": (4, 3), "strides": (2, 1), "kind": "residual", **SHARED},
        (8, 8, 32),
        {"filters": 16},
        (4, 4, 16),
        9 * 32 * 16 + 2 * 16,
        2 * 16,
        "counted by hand from Ferlitsch's zoo/autoencoder: its last layer, bias-free",
    ),
    Row(
        keras_blocks.FireBlock,
        {"filters": 4, "expand_ratio": 2, "bypass": "complex", **SHARED},
        (12, 12, 96),
        {"filters": 16},
        (12, 12, 128),
        11_920,
        0,
        "Iandola et al. 2016, table 1: fire2 has 11,920 parameters",
    ),
    Row(
        keras_blocks.CeilMaxPooling2D,
        {"pool_size": 3, "strides": 2},
        (13, 16, 4),
        {"pool_size": 3, "strides": 2},
        (6, 8, 4),
        0,
        0,
        "torch.nn.MaxPool2d(3, 2, ceil_mode=True): ceil((16 - 3) / 2) + 1 = 8",
    ),
    Row(
        keras_blocks.ChannelPadding,
        {"channels": 3},
        (8, 8, 16),
        {"channels": 8},
        (8, 8, 32),
        0,
        0,
        "He et al. 2015, section 3.3: option A has no parameters",
    ),
    Row(
        keras_blocks.ClassifierHead,
        {"filters": 5, "pooling": "flatten", "hidden": (6, 7), "dropout": 0.25, **SHARED, "batch_norm": True},
        (4, 4, 2048),
        {"filters": 1000},
        (1000,),
        2_049_000,
        0,
        "torchvision resnet50: fc",
        any_size={"pooling": "avg"},
    ),
    Row(
        keras_blocks.DenseBlock,
        {"filters": 3, "layers": 2, "bottleneck": 2, "dropout": 0.25, "dilation_rate": 2, **SHARED},
        (8, 8, 64),
        {"filters": 32, "layers": 6},
        (8, 8, 256),
        335_040,
        3_264,
        "torchvision densenet121: features.denseblock1",
    ),
    Row(
        keras_blocks.DenseLayer,
        {"filters": 3, "bottleneck": 2, "dropout": 0.25, "dilation_rate": 2, **SHARED},
        (8, 8, 64),
        {"filters": 32},
        (8, 8, 96),
        45_440,
        384,
        "torchvision densenet121: features.denseblock1.denselayer1",
    ),
    Row(
        keras_blocks.GroupedConv2D,
        {
            "filters": 6,
            "kernel_size": (3, 5),
            "groups": 2,
            "strides": (2, 1),
            "padding": "same",
            "dilation_rate": 1,
            "use_bias": False,
        },
        (8, 8, 128),
        {"filters": 128, "kernel_size": 3, "groups": 32, "use_bias": False, "padding": "same"},
        (8, 8, 128),
        4_608,
        0,
        "torchvision resnext50_32x4d: layer1.0.conv2",
    ),
    Row(
        keras_blocks.AuxiliaryClassifier,
        {
            "filters": 5,
            "version": "v3",
            "pooling": "adaptive",
            "width": 3,
            "hidden": 6,
            "dropout": 0.25,
            **SHARED,
        },
        (14, 14, 8),
        {"filters": 1000},
        (1000,),
        8 * 128 + 128 + 2048 * 1024 + 1024 + 1024 * 1000 + 1000,
        0,
        "counted by hand from BVLC bvlc_googlenet: loss1, on 8 channels",
    ),
    Row(
        keras_blocks.GridReductionA,
        {"filters": (4, 3, 4), "padding": "same", "se_ratio": 2, **SHARED},
        (9, 9, 8),
        {"filters": (384, 64, 96)},
        (4, 4, 488),
        9 * 8 * 384 + 8 * 64 + 9 * 64 * 96 + 9 * 96 * 96 + 2 * (384 + 64 + 2 * 96),
        2 * (384 + 64 + 2 * 96),
        "counted by hand from figure 10 of Szegedy et al. 2015, with BatchNormalization",
    ),
    Row(
        keras_blocks.GridReductionB,
        {"filters": (3, 4, 5, 4), "n": 3, "padding": "same", "se_ratio": 2, **SHARED},
        (9, 9, 8),
        {"filters": (192, 320, 192, 192)},
        (4, 4, 520),
        8 * 192 + 9 * 192 * 320 + 8 * 192 + 2 * 7 * 192**2 + 9 * 192**2 + 2 * (5 * 192 + 320),
        2 * (5 * 192 + 320),
        "counted by hand from keras.applications InceptionV3: mixed8, on 8 channels",
    ),
    Row(
        keras_blocks.InceptionA,
        {"filters": (2, 3, 4, 3, 4, 2), "count_include_pad": True, "se_ratio": 2, **SHARED},
        (5, 5, 192),
        {"filters": (64, 48, 64, 64, 96, 32)},
        (5, 5, 256),
        255_904,
        928,
        "torchvision inception_v3: Mixed_5b",
    ),
    Row(
        keras_blocks.InceptionB,
        {"filters": (2, 3, 4, 3, 4, 2), "n": 3, "count_include_pad": True, "se_ratio": 2, **SHARED},
        (5, 5, 8),
        {"filters": (192, 128, 192, 128, 192, 192)},
        (5, 5, 768),
        3 * 8 * 192 + 2 * 8 * 128 - 8 * 192 + 4 * 7 * 128**2 + 2 * 7 * 128 * 192 + 2 * (6 * 128 + 4 * 192),
        2 * (6 * 128 + 4 * 192),
        "counted by hand from figure 6 of Szegedy et al. 2015, n = 7, on 8 channels",
    ),
    Row(
        keras_blocks.InceptionBlock,
        {
            "filters": (2, 3, 4, 3, 4, 2),
            "version": "v2",
            "kernel_size": 5,
            "pooling": "avg",
            "count_include_pad": True,
            "se_ratio": 2,
            **SHARED,
        },
        (5, 5, 192),
        {"filters": (64, 96, 128, 16, 32, 32)},
        (5, 5, 256),
        163_696,
        0,
        "Szegedy et al. 2014, table 1: inception (3a), 159K = 163,328 / 1024 weights, and 368 biases",
    ),
    Row(
        keras_blocks.InceptionC,
        {"filters": (2, 3, 4, 3, 4, 2), "count_include_pad": True, "se_ratio": 2, **SHARED},
        (5, 5, 8),
        {"filters": (320, 384, 384, 448, 384, 192)},
        (5, 5, 2048),
        8 * (320 + 384 + 448 + 192) + 9 * 448 * 384 + 4 * 3 * 384**2 + 2 * (320 + 6 * 384 + 448 + 192),
        2 * (320 + 6 * 384 + 448 + 192),
        "counted by hand from figure 7 of Szegedy et al. 2015, on 8 channels",
    ),
    Row(
        keras_blocks.InceptionModule,
        {
            "branches": [
                [{"filters": 3}, {"branches": [[{"filters": 2, "kernel_size": (1, 3)}], [{"filters": 2}]]}],
                [{"pool": "avg"}, {"filters": 2}],
                [{"pool": "max"}],
            ],
            "scale": 0.5,
            "activated": False,
            **SHARED,
        },
        (5, 5, 320),
        {
            "branches": [
                [{"filters": 32}],
                [{"filters": 32}, {"filters": 32, "kernel_size": 3}],
                [{"filters": 32}, {"filters": 48, "kernel_size": 3}, {"filters": 64, "kernel_size": 3}],
            ],
            "scale": 0.17,
        },
        (5, 5, 320),
        123_168,
        2 * (4 * 32 + 48 + 64),
        "timm inception_resnet_v2: repeat.0",
    ),
    Row(
        keras_blocks.LocalResponseNormalization,
        {"size": 3, "alpha": 0.5, "beta": 0.5, "bias": 2.0},
        (8, 8, 7),
        {},
        (8, 8, 7),
        0,
        0,
        "Krizhevsky et al. 2012, section 3.3: it has no parameters",
    ),
    Row(
        keras_blocks.PassThroughReduction,
        {"filters": (3, 4, 3, 4), "padding": "valid", "se_ratio": 2, **SHARED},
        (9, 9, 8),
        {"filters": (128, 160, 64, 96)},
        (5, 5, 264),
        8 * 128 + 9 * 128 * 160 + 8 * 64 + 9 * 64 * 96 + 9 * 96 * 96 + 2 * (128 + 160 + 64 + 2 * 96),
        2 * (128 + 160 + 64 + 2 * 96),
        "counted by hand from Cadene bninception: inception_3c without its biases, on 8 channels",
    ),
    Row(
        keras_blocks.ImageNormalization,
        {"mode": "caffe"},
        (8, 6, 3),
        {"mode": "torch"},
        (8, 6, 3),
        0,
        0,
        "keras.applications.imagenet_utils.preprocess_input has no parameters",
    ),
    Row(
        keras_blocks.MultiLabelHead,
        {
            "classes": [3, 4],
            "names": ["animal", "age"],
            "labels": [["ant", "bee", "cat"], ["egg", "young", "grown", "old"]],
            "pooling": "flatten",
            "hidden": (6,),
            "dropout": 0.25,
            **SHARED,
            "batch_norm": True,
        },
        (4, 4, 8),
        {"classes": [5, 3, 10]},
        (18,),
        8 * 18 + 18,
        0,
        "counted by hand: a dense layer with bias for each label",
        any_size={"pooling": "avg"},
        dtype="float32",
    ),
    Row(
        keras_blocks.ResidualBlock,
        {
            "filters": 4,
            "kind": "basic",
            "version": "v2",
            "strides": 2,
            "shortcut": "projection",
            "width": 2,
            "drop_rate": 0.25,
            "dilation_rate": 2,
            "atrous": True,
            "se_ratio": 2,
            "se_use_bias": False,
            "block_dropout": 0.25,
            **DECLARED,
            **SHARED,
        },
        (8, 8, 64),
        {"filters": 64},
        (8, 8, 256),
        75_008,
        1_280,
        "torchvision resnet50: layer1.0",
    ),
    Row(
        keras_blocks.ResNeXtBlock,
        {
            "filters": 4,
            "cardinality": 2,
            "base_width": 32,
            "strides": 2,
            "shortcut": "projection",
            "narrow_entry": True,
            "projection_size": 3,
            "drop_rate": 0.25,
            "dilation_rate": 2,
            "atrous": True,
            "se_ratio": 4,
            "se_use_bias": False,
            "block_dropout": 0.25,
            "version": "v2",
            **DECLARED,
            **SHARED,
        },
        (8, 8, 64),
        {"filters": 64},
        (8, 8, 256),
        63_488,
        1_536,
        "torchvision resnext50_32x4d: layer1.0",
    ),
    Row(
        keras_blocks.RegNetBlock,
        {
            "filters": 4,
            "group_width": 2,
            "strides": 2,
            "shortcut": "projection",
            "drop_rate": 0.25,
            "dilation_rate": 2,
            "atrous": True,
            "se_ratio": 4,
            "se_use_bias": False,
            "block_dropout": 0.25,
            "version": "v2",
            **DECLARED,
            **SHARED,
        },
        (6, 6, 16),
        {"filters": 24, "strides": 2, "se_ratio": 4},
        (3, 3, 24),
        16 * 24 + 9 * 8 * 24 + 24 * 24 + 16 * 24 + 4 * 2 * 24 + 2 * 24 * 4 + 4 + 24,
        4 * 2 * 24,
        "Radosavovic et al. 2020, figure 4, counted by hand; squeezed to a quarter of the input, as in timm",
    ),
    Row(
        keras_blocks.ResNetStem,
        {
            "filters": 4,
            "pre_activated": True,
            "border": "lowest",
            "deep": True,
            **SHARED,
            "batch_norm": {"momentum": 0.9},
        },
        (16, 16, 3),
        {},
        (4, 4, 64),
        9_536,
        128,
        "torchvision resnet50: conv1, bn1, maxpool",
    ),
    Row(
        keras_blocks.EfficientChannelAttention,
        {"kernel_size": 3, "gate": "hard_sigmoid", **SHARED},
        (6, 6, 8),
        {},
        (6, 6, 8),
        3,
        0,
        "timm ecaresnet50d: layer1.0.se has 5 of 256 channels; Wang et al. 2020, equation 12: 3 of 8",
    ),
    Row(
        keras_blocks.ConvolutionalBlockAttention,
        {"ratio": 2, "kernel_size": 3, "gate": "hard_sigmoid", **SHARED, "batch_norm": {"epsilon": 1e-5}},
        (6, 6, 64),
        {"use_bias": False},
        (6, 6, 64),
        2 * 64 * 4 + 7 * 7 * 2 + 2,
        2,
        "timm CbamModule(64)",
    ),
    Row(
        keras_blocks.SelectiveKernelBlock,
        {
            "filters": 4,
            "strides": 2,
            "dilation_rate": 1,
            "paths": 3,
            "groups": 2,
            "ratio": 2,
            "divisor": 2,
            "split": True,
            **SHARED,
        },
        (7, 7, 12),
        {"filters": 16, "ratio": 8, "divisor": 16, "split": True},
        (7, 7, 16),
        2 * (9 * 6 * 16 + 2 * 16) + 16 * 16 + 2 * 16 + 16 * 32,
        2 * 2 * 16 + 2 * 16,
        "timm SelectiveKernel(12, 16, rd_ratio=1 / 8, rd_divisor=16), counted by hand",
    ),
    Row(
        keras_blocks.SqueezeExciteBlock,
        {"ratio": 2, "gate": "hard_sigmoid", "filters": 6, "divisor": 4, **SHARED, "use_bias": False},
        (8, 8, 256),
        {},
        (8, 8, 256),
        8_464,
        0,
        "Cadene senet.py: SEModule(256, 16), 256 * 16 + 16 and 16 * 256 + 256",
    ),
    Row(
        keras_blocks.TransitionBlock,
        {"compression": 0.25, "atrous": True, **SHARED},
        (8, 8, 256),
        {},
        (4, 4, 128),
        33_280,
        512,
        "torchvision densenet121: features.transition1",
    ),
    Row(
        keras_blocks.InvertedResidualBlock,
        {
            "filters": 4,
            "expand_ratio": 2,
            "kernel_size": (3, 5),
            "strides": 2,
            "padding": "same",
            "se_ratio": 2,
            "attention": keras_blocks.EfficientChannelAttention,
            "drop_rate": 0.25,
            **SHARED,
        },
        (7, 7, 24),
        {"filters": 24},
        (7, 7, 24),
        8_832,
        2 * (144 + 144 + 24),
        "torchvision mobilenet_v2: features.3, parameters; running means and variances",
    ),
    Row(
        keras_blocks.XceptionBlock,
        {"filters": (4, 6), "strides": 2, "activated": False, **SHARED},
        (7, 7, 64),
        {"filters": (128, 128), "strides": 2},
        (4, 4, 128),
        9 * 64 + 64 * 128 + 9 * 128 + 128 * 128 + 64 * 128 + 3 * 2 * 128,
        3 * 2 * 128,
        "keras.applications Xception: block2, its two SeparableConv2D, and the convolution beside it",
    ),
    Row(
        keras_blocks.VariationalBottleneck,
        {"filters": 3, "pooling": "avg", "hidden": (6,), "beta": 0.5, "seed": 3, **SHARED},
        (4, 4, 32),
        {"filters": 10, "pooling": "flatten", "hidden": (256, 256)},
        (10,),
        (512 + 1) * 256 + (256 + 1) * 256 + (256 + 1) * 20,
        0,
        "counted by hand from Burgess et al. 2018, appendix A: 4x4x32 features, 256, 256, 20 units",
    ),
    Row(
        keras_blocks.VGGGroup,
        {"filters": 4, "depth": 3, "pooled": False, **SHARED},
        (8, 8, 3),
        {"filters": 64},
        (4, 4, 64),
        38_720,
        0,
        "torchvision vgg16: features.0 to features.4",
    ),
]

TOP = {
    "include_top": False,
    "pooling": "max",
    "classifier_activation": None,
    "preprocess": [keras.layers.Rescaling(1 / 255)],
    "input_shape": (18, 18, 3),
    "classes": 5,
    "labels": ["ant", "bee", "cat", "dog", "eel"],
}

RESNEXT = {
    "cardinality": 2,
    "base_width": 32,
    "stem": "cifar",
    "shortcut": "projection",
    "drop_rate": 0.25,
    "output_stride": 1,
    "se_ratio": 2,
    "se_use_bias": False,
    "dropout": 0.25,
    "block_dropout": 0.5,
    "stem_filters": 6,
    **DECLARED,
    **TOP,
    **SHARED,
}

ARCHITECTURES = [
    Row(
        keras_blocks.DenseNet,
        {
            "groups": [{"layers": 2}, {"layers": 1}],
            "filters": 3,
            "stem": "cifar",
            "stem_filters": 4,
            "bottleneck": 2,
            "compression": 0.75,
            "dropout": 0.25,
            "output_stride": 1,
            **TOP,
            **SHARED,
        },
        (224, 224, 3),
        {},
        (1000,),
        7_978_856,
        83_648,
        "torchvision densenet121 (trainable), keras.applications DenseNet121 (all)",
    ),
    Row(
        keras_blocks.Inception,
        {
            "groups": [
                {"block": "v2", "filters": [(2, 3, 4, 3, 4, 2)], "pooling": "avg", "kernel_size": 5, "auxiliary": [1]},
                {
                    "block": "b",
                    "filters": [(2, 3, 4, 3, 4, 2)],
                    "n": 3,
                    "reduction": {"kind": "a", "filters": (4, 3, 4)},
                },
            ],
            "stem": [{"layer": "conv", "filters": 4}, {"layer": "lrn", "size": 3}, {"layer": "ceil_pool"}],
            "auxiliary": True,
            "auxiliary_classifier": {"pooling": "adaptive", "width": 3, "hidden": 6, "dropout": 0.25},
            "auxiliary_weight": 0.5,
            "count_include_pad": True,
            "se_ratio": 2,
            "dropout": 0.25,
            **TOP,
            **SHARED,
        },
        (224, 224, 3),
        {},
        (1000,),
        6_998_552,
        0,
        "BVLC bvlc_googlenet without its auxiliary classifiers",
    ),
    Row(
        keras_blocks.ResNet,
        {
            "groups": [{"filters": 4, "blocks": 2}, {"filters": 8, "blocks": 1}],
            "block": "basic",
            "version": "v2",
            "stem": "cifar",
            "shortcut": "projection",
            "width": 2,
            "downsample": "last",
            "drop_rate": 0.25,
            "output_stride": 1,
            "se_ratio": 2,
            "se_use_bias": False,
            "dropout": 0.25,
            "block_dropout": 0.5,
            "stem_filters": 6,
            **DECLARED,
            **TOP,
            **SHARED,
        },
        (224, 224, 3),
        {},
        (1000,),
        25_557_032,
        53_120,
        "torchvision resnet50; keras.applications ResNet50 has as many statistics",
    ),
    Row(
        keras_blocks.InceptionV4,
        {
            "stem": [{"filters": 6, "kernel_size": 3, "strides": 2}, {"pool": "max", "strides": 2}],
            "groups": [[{"branches": [[{"filters": 4}], [{"pool": "avg"}]], "repeats": 2}], [{"filters": 5}]],
            "dropout": 0.25,
            **TOP,
            **SHARED,
        },
        (299, 299, 3),
        {},
        (1000,),
        42_679_816,
        63_168,
        "timm inception_v4: parameters; running means and variances",
    ),
    Row(
        keras_blocks.RegNet,
        {
            "w0": 8,
            "wa": 8.0,
            "wm": 2.0,
            "depth": 2,
            "group_width": 4,
            **{name: value for name, value in RESNEXT.items() if name not in ("cardinality", "base_width")},
        },
        (224, 224, 3),
        {},
        (1000,),
        2_684_792,
        20_848,
        "timm regnetx_002: parameters; running means and variances",
    ),
    Row(
        keras_blocks.ResNeXt,
        {**RESNEXT, "groups": [{"filters": 4, "blocks": 2}, {"filters": 8, "blocks": 1}]},
        (224, 224, 3),
        {},
        (1000,),
        25_028_904,
        2 * 34_112,
        "torchvision resnext50_32x4d: parameters; running means and variances, as many as scales and shifts",
    ),
    Row(
        keras_blocks.SENet,
        {**RESNEXT, "groups": [{"filters": 4, "blocks": 1}, {"filters": 8, "blocks": 1}]},
        (224, 224, 3),
        {},
        (1000,),
        115_088_984,
        2 * 123_776,
        "Cadene senet154: parameters; running means and variances, as many as scales and shifts",
    ),
    Row(
        keras_blocks.SqueezeNet,
        {
            "groups": [{"filters": [4, 4]}, {"filters": [6]}],
            "stem": {"filters": 16, "kernel_size": 3, "strides": 1, "padding": "same", "pool": True},
            "expand_ratio": 2,
            "bypass": "complex",
            "dropout": 0.25,
            "classifier_padding": 2,
            **TOP,
            **SHARED,
        },
        (224, 224, 3),
        {},
        (1000,),
        1_248_424,
        0,
        "torchvision squeezenet1_0",
    ),
    Row(
        keras_blocks.VGG,
        {
            "groups": [{"filters": 4, "layers": 1}, {"filters": 6, "layers": 2}],
            "hidden": (8,),
            "dropout": 0.25,
            "final_pool": False,
            **TOP,
            **SHARED,
        },
        (224, 224, 3),
        {},
        (1000,),
        138_357_544,
        0,
        "keras.applications VGG16, torchvision vgg16",
    ),
]

MODELS = [
    Row(
        keras_blocks.AutoEncoder,
        {
            "groups": [{"filters": 4, "blocks": 2}, {"filters": 6, "blocks": 1}],
            "code": {"units": 5, "hidden": [7]},
            "kernel_size": (4, 3),
            "kind": "residual",
            "noise": 0.25,
            "variational": True,
            "beta": 0.5,
            "output_activation": "sigmoid",
            "seed": 3,
            "preprocess": [keras.layers.Rescaling(1 / 255)],
            "input_shape": (13, 10, 3),
            **SHARED,
        },
        (32, 32, 3),
        {},
        (32, 32, 3),
        9 * 2 * (3 * 64 + 64 * 32 + 32 * 16) + 3 + 2 * (64 + 32 + 16 + 32 + 64),
        2 * (64 + 32 + 16 + 32 + 64),
        "counted by hand from Ferlitsch's zoo/autoencoder: its encoder, bias-free, and the mirror image",
    ),
]
"""Models that classify nothing."""

ROWS = LAYERS + ARCHITECTURES + MODELS

KINDS = {
    "AutoEncoder",  # of two models, with a loss and a random state of its own
    "CeilMaxPooling2D",  # Keras' own, changed
    "ConvBlock",  # a chain
    "EncoderBlock",  # blocks in a block
    "GroupedConv2D",  # with weights of its own
    "Inception",  # with several outputs
    "InceptionBlock",  # branches
    "MultiLabelHead",  # a dict of outputs
    "ResNeXtBlock",  # a shortcut
    "SENet",
    "SqueezeNet",
    "VariationalBottleneck",  # a random state
}
"""What stands for its siblings where a contract is kept by what they share: the bases, a file's format, Keras."""


def of_each_kind(rows):
    """The rows for such a contract: all, where KERAS_BLOCKS_ALL is set."""
    return rows if run_all() else [row for row in rows if row.name in KINDS]


NOT_LAYERS = {
    "AnchorGenerator": "layer; tests/blocks/test_detection_layers.py",
    "BoxHead": "takes regions; tests/blocks/test_detection_layers.py",
    "DetectionDecoder": "takes several inputs; tests/blocks/test_detection_layers.py",
    "FeaturePyramid": "takes several inputs; tests/blocks/test_detection_layers.py",
    "Letterbox": "gives several outputs; tests/blocks/test_detection_layers.py",
    "RegionProposalNetwork": "takes several inputs; tests/blocks/test_detection_layers.py",
    "FasterRCNN": "a detector; tests/models/test_faster_rcnn.py",
    "Architecture": "base class; its subclasses have rows",
    "Block": "base class; its subclasses have rows",
    "BlockRow": "result of cost_rows; tests/look/test_rows.py",
    "COCODetection": "dataset; tests/detection/test_coco.py",
    "ContrastiveLoss": "loss; tests/test_metric_losses.py",
    "Cost": "result of cost; tests/test_costs.py",
    "DetectionDataset": "dataset; tests/detection/test_dataset.py",
    "Drawing": "result of draw; tests/look/test_draw.py",
    "FastRCNN": "takes images and proposals; tests/models/test_given_proposals.py",
    "Memory": "result of memory; tests/look/test_memory.py",
    "PKSampler": "dataset; tests/test_samplers.py",
    "PairSampler": "dataset; tests/test_samplers.py",
    "PairwiseDistance": "takes pairs; tests/blocks/test_pairwise_distance.py",
    "RCNN": "takes images and proposals; tests/models/test_given_proposals.py",
    "RoIAlign": "takes features and boxes; tests/blocks/test_roi_layers.py",
    "RoIPool": "takes features and boxes; tests/blocks/test_roi_layers.py",
    "Siamese": "takes pairs; tests/models/test_siamese.py",
    "TripletLoss": "loss; tests/test_metric_losses.py",
    "TripletSampler": "dataset; tests/test_samplers.py",
    "WarpRegions": "takes images and boxes; tests/blocks/test_roi_layers.py",
    "VOCDetection": "dataset; tests/detection/test_voc.py",
    "coco_metrics": "function; tests/detection/test_evaluation.py",
    "convert_weights": "function; tests/test_weights.py",
    "cost": "function; tests/test_costs.py",
    "cost_rows": "function; tests/look/test_rows.py",
    "decode_predictions": "function; tests/test_decoding.py",
    "create_model": "function; tests/models/test_registry.py",
    "deploy": "function; tests/deploy/test_deploying.py",
    "draw": "function; tests/look/test_draw.py",
    "draw_detections": "function; tests/detection/test_drawing.py",
    "evaluate_detections": "function; tests/detection/test_evaluation.py",
    "expand": "function; tests/look/test_expanding.py",
    "export": "function; tests/deploy/test_exporting.py",
    "Exported": "what `export` returns; tests/deploy/test_exporting.py",
    "feature_maps": "function; tests/look/test_seeing.py",
    "grow": "function; tests/grow/test_growing.py",
    "grad_cam": "function; tests/look/test_seeing.py",
    "list_models": "function; tests/models/test_registry.py",
    "memory": "function; tests/look/test_memory.py",
    "one_shot_accuracy": "function; tests/models/test_siamese.py",
    "plan_pruning": "function; tests/prune/test_pruning.py",
    "prune": "function; tests/prune/test_pruning.py",
    "PrunedLayer": "row of a plan; tests/prune/test_pruning.py",
    "PruningPlan": "what `plan_pruning` returns; tests/prune/test_pruning.py",
    "region_proposals": "function; tests/detection/test_proposals.py",
    "selective_search": "function; tests/detection/test_proposals.py",
    "summary": "function; tests/look/test_table.py",
    "train_alternating": "function; tests/models/test_alternating.py",
}


def small_siamese(**options):
    """Pairs of images through a small network, compared by angle."""
    return keras_blocks.Siamese(
        keras_blocks.ResNet,
        **{
            "distance": "cosine",
            "embedding": 5,
            "pooling": "max",
            "normalize": True,
            "include_top": False,
            "groups": [{"filters": 4, "blocks": 1}],
            "block": "basic",
            "stem": "cifar",
            "input_shape": (8, 8, 1),
            **options,
        },
    )


def small_koch(**options):
    """Koch's twins, made small."""
    groups = [{"filters": 3, "kernel_size": 5}, {"filters": 4, "kernel_size": 3}]
    return keras_blocks.Siamese("koch2015", **{"groups": groups, "classes": 6, "input_shape": (13, 13, 1), **options})


def _distance():
    pair = [keras.Input((4,)), keras.Input((4,))]
    return keras.Model(pair, keras_blocks.PairwiseDistance("l1", componentwise=True)(pair))


REGIONS = {
    "RoIAlign": {"output_size": (2, 3), "spatial_scale": 6.0, "sampling_ratio": 1, "aligned": True},
    "RoIPool": {"output_size": (2, 3), "spatial_scale": 6.0},
    "WarpRegions": {"output_size": (8, 10), "context": 3, "fill": [0.5, 1.0]},
}
"""Layers on [maps, boxes], with arguments that are no defaults; boxes up to 1 are spread over the map."""


def _regions(name):
    inputs = [keras.Input((6, 7, 2)), keras.Input((3, 4))]
    return keras.Model(inputs, getattr(keras_blocks, name)(**REGIONS[name])(inputs))


_MAPS = {"P3": (8, 8, 4), "P4": (4, 4, 6), "P5": (2, 2, 8)}
_LEVELS = {"P3": (8, 8, 4), "P4": (4, 4, 4)}
_FOUND = {"scores": (5, 4), "deltas": (5, 16), "proposals": (5, 4), "image_size": (2,), "scale": (2,)}

DETECTION_LAYERS = {
    "AnchorGenerator": ({"sizes": (8, 16), "aspect_ratios": (1.0, 2.0), "stride": (8, 4)}, (4, 6, 3)),
    "BoxHead": ({"classes": 3, "hidden": (6, 5), "dropout": 0.25, **SHARED}, (5, 2, 2, 3)),
    "DetectionDecoder": (
        {
            "score_threshold": 0.1,
            "iou_threshold": 0.4,
            "max_detections": 7,
            "pre_nms_top_n": 12,
            "box_weights": (5, 5, 2, 2),
        },
        _FOUND,
    ),
    "FeaturePyramid": ({"filters": 5, "extra_level": False, **SHARED}, _MAPS),
    "Letterbox": ({"size": (16, 24)}, (8, 8, 3)),
    "RegionProposalNetwork": (
        {
            "filters": 6,
            "sizes": ((8, 16), (16, 32)),
            "aspect_ratios": (1.0, 2.0),
            "strides": (8, (16, 16)),
            "pre_nms_top_n": (20, 10),
            "post_nms_top_n": (8, 6),
            "iou_threshold": 0.6,
            **SHARED,
        },
        _LEVELS,
    ),
}
"""Name -> arguments that are no defaults, and the shapes of the inputs, without the batch."""


def named_inputs(shapes):
    """A `keras.Input` of a shape, or a dict of them."""
    if isinstance(shapes, dict):
        return {
            name: keras.Input(shape, dtype=INTEGERS.get(name, "float32"), name=name) for name, shape in shapes.items()
        }
    return keras.Input(shapes)


INTEGERS = {"image_size": "int32"}


def _detection_layer(name):
    arguments, shapes = DETECTION_LAYERS[name]
    inputs = named_inputs(shapes)
    return keras.Model(inputs, getattr(keras_blocks, name)(**arguments)(inputs))


def small_detector(**options):
    """Faster R-CNN with a pyramid, on images that it enlarges."""
    own = {
        "groups": [{"filters": 4, "blocks": 1}, {"filters": 5, "blocks": 1}],
        "stem": "cifar",
        "block": "basic",
        "levels": ["P0", "P1"],
        "pyramid_filters": 4,
        "anchor_sizes": [[8], [16], [32]],
        "hidden": [6],
        "region_size": (2, 3),
        "image_size": (16, 24),
        "input_shape": (12, 16, 3),
        "classes": 2,
        "labels": ["cat", "dog"],
        "pre_nms_top_n": 20,
        "post_nms_top_n": 8,
        "max_detections": 5,
        "score_threshold": 0.1,
    }
    return keras_blocks.FasterRCNN(keras_blocks.ResNet, **{**own, **options})


GIVEN = {
    "groups": [{"filters": 4, "blocks": 1}],
    "stem": "cifar",
    "block": "basic",
    "hidden": [6],
    "input_shape": (12, 16, 3),
    "classes": 2,
    "labels": ["cat", "dog"],
    "max_detections": 5,
    "score_threshold": 0.1,
}
"""Of small detectors that are told where to look."""


def small_fast_rcnn():
    options = {**GIVEN, "levels": ["P0"], "region_size": (2, 3), "image_size": (16, 24)}
    return keras_blocks.FastRCNN(keras_blocks.ResNet, **options)


def small_rcnn():
    options = {**GIVEN, "region_size": 6, "context": 1, "regions_at_once": 2, "scorer": "svm"}
    return keras_blocks.RCNN(keras_blocks.ResNet, **options)


def _with_contrastive_loss():
    model = small_siamese()
    model.compile("sgd", keras_blocks.ContrastiveLoss(margin=0.5))
    return model


def _with_triplet_loss():
    model = small_siamese().embedding
    model.compile("sgd", keras_blocks.TripletLoss(margin=0.5, mining="hard", distance="l2"))
    return model


OTHER_MODELS = {
    "ContrastiveLoss": _with_contrastive_loss,
    "PairwiseDistance": _distance,
    "FastRCNN": small_fast_rcnn,
    "FasterRCNN": small_detector,
    "RCNN": small_rcnn,
    "Siamese": small_koch,
    "TripletLoss": _with_triplet_loss,
    **{name: functools.partial(_regions, name) for name in REGIONS},
    **{name: functools.partial(_detection_layer, name) for name in DETECTION_LAYERS},
}
"""Name -> makes a model that holds what has no row; each has a fixture, too."""


def small_model(row: Row):
    """The row's layer or architecture as a functional model, with arguments that are not the defaults."""
    if issubclass(row.cls, keras.Model):
        return row.cls(**row.arguments)
    inputs = keras.Input(row.input_shape)
    return keras.Model(inputs, row.cls(**row.arguments)(inputs))


@functools.cache
def _random_model(name):
    model = small_model(next(row for row in ROWS if row.name == name))
    randomize(model)
    return model


def random_model(row: Row):
    """A `small_model` with random weights, built once for all tests, which leave it as it is."""
    return _random_model(row.name)


def image_shape(row: Row):
    """Shape of an image that `small_model` takes."""
    return row.arguments.get("input_shape", row.input_shape)


def inputs_for(model):
    """A batch of two for each input of a model."""
    rng = np.random.default_rng(0)
    return [
        rng.integers(16, 33, (2, *tensor.shape[1:])).astype("int32")
        if tensor.dtype == "int32"
        else boxes_in(rng, (2, 3))
        if tensor.shape[1:] == (None, 4)
        else rng.uniform(0, 1, (2, *tensor.shape[1:])).astype("float32")
        for tensor in model.inputs
    ]


def boxes_in(rng, shape):
    """Boxes of some pixels, in the upper left of an image."""
    corners = rng.uniform(0, 6, (*shape, 2))
    return np.concatenate([corners, corners + rng.uniform(3, 6, corners.shape)], axis=-1).astype("float32")
