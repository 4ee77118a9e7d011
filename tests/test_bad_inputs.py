"""Bad input is refused at construction or build, by an error that names the argument, the value and what is allowed."""

import keras
import numpy as np
import pytest

import keras_blocks
from keras_blocks import (
    VGG,
    AutoEncoder,
    AuxiliaryClassifier,
    CeilMaxPooling2D,
    ChannelPadding,
    ClassifierHead,
    ContrastiveLoss,
    ConvBlock,
    DecoderBlock,
    DenseBlock,
    DenseLayer,
    DenseNet,
    EncoderBlock,
    FireBlock,
    GridReductionA,
    GridReductionB,
    GroupedConv2D,
    ImageNormalization,
    Inception,
    InceptionA,
    InceptionB,
    InceptionBlock,
    InceptionC,
    LocalResponseNormalization,
    MultiLabelHead,
    PairwiseDistance,
    PassThroughReduction,
    ResidualBlock,
    ResNet,
    ResNetStem,
    ResNeXt,
    ResNeXtBlock,
    SENet,
    Siamese,
    SqueezeExciteBlock,
    SqueezeNet,
    TransitionBlock,
    TripletLoss,
    VariationalBottleneck,
    VGGGroup,
    decode_predictions,
)

SMALL = {"groups": [{"filters": [4]}], "stem": "tiny", "input_shape": (8, 8, 1), "classes": 3}


def unregistered(x):
    return x


# (what makes it, the argument that the error must name, the value it must show)
AT_CONSTRUCTION = [
    (lambda: FireBlock(8.0), "filters", "8.0"),
    (lambda: FireBlock(None), "filters", "None"),
    (lambda: FireBlock(8.5), "filters", "8.5"),
    (lambda: FireBlock(float("nan")), "filters", "nan"),
    (lambda: FireBlock("16"), "filters", "'16'"),
    (lambda: FireBlock(True), "filters", "True"),
    (lambda: FireBlock(0), "filters", "0"),
    (lambda: FireBlock(-4), "filters", "-4"),
    (lambda: FireBlock(2**40), "filters", str(2**40)),
    (lambda: FireBlock([16, 16]), "filters", "[16, 16]"),
    (lambda: FireBlock(16, expand_ratio=0), "expand_ratio", "0"),
    (lambda: FireBlock(16, expand_ratio=2.5), "expand_ratio", "2.5"),
    (lambda: FireBlock(16, bypass="simpel"), "bypass", "simpel"),
    (lambda: FireBlock(16, bypass=True), "bypass", "True"),
    (lambda: FireBlock(16, activation="reluu"), "activation", "reluu"),
    (lambda: FireBlock(16, activation=lambda x: x), "activation", "lambda"),
    (lambda: FireBlock(16, activation=unregistered), "activation", "unregistered"),
    (lambda: FireBlock(16, activation=keras.layers.ReLU()), "activation", "ReLU"),
    (lambda: FireBlock(16, activation=3), "activation", "3"),
    (lambda: FireBlock(16, batch_norm="yes"), "batch_norm", "yes"),
    (lambda: FireBlock(16, batch_norm={"momentum": 2}), "momentum", "2"),
    (lambda: FireBlock(16, batch_norm={"epsilon": -1}), "epsilon", "-1"),
    (lambda: FireBlock(16, batch_norm={"axis": 7}), "batch_norm", "axis"),
    (lambda: FireBlock(16, batch_norm={"groups": 0}), "groups", "0"),
    (lambda: FireBlock(16, batch_norm={"groups": 4, "momentum": 0.9}), "groups", "momentum"),
    (lambda: FireBlock(16, batch_norm={"scale": 1}), "scale", "1"),
    (lambda: FireBlock(16, use_bias="no"), "use_bias", "no"),
    (lambda: FireBlock(16, kernel_initializer="he_normel"), "kernel_initializer", "he_normel"),
    (lambda: FireBlock(16, kernel_initializer=5), "kernel_initializer", "5"),
    (lambda: FireBlock(16, kernel_regularizer="l3"), "kernel_regularizer", "l3"),
    (lambda: FireBlock(16, kernel_regularizer=1e-4), "kernel_regularizer", "0.0001"),
    (lambda: FireBlock(16, data_format="NHWC"), "data_format", "NHWC"),
    (lambda: ConvBlock(8, kernel_size=0), "kernel_size", "0"),
    (lambda: ConvBlock(8, kernel_size=(3, 3, 3)), "kernel_size", "(3, 3, 3)"),
    (lambda: ConvBlock(8, kernel_size=(3, "3")), "kernel_size", "'3'"),
    (lambda: ConvBlock(8, strides=0), "strides", "0"),
    (lambda: ConvBlock(8, strides=1.5), "strides", "1.5"),
    (lambda: ConvBlock(8, padding="full"), "padding", "full"),
    (lambda: ConvBlock(8, groups=3), "groups", "3"),
    (lambda: ConvBlock(8, strides=2, dilation_rate=2), "dilation_rate", "2"),
    (lambda: ConvBlock(8, pre_activation="yes"), "pre_activation", "yes"),
    (lambda: ResidualBlock(16, "bottle"), "kind", "bottle"),
    (lambda: ResidualBlock(16, version="v3"), "version", "v3"),
    (lambda: ResidualBlock(16, version=2), "version", "2"),
    (lambda: ResidualBlock(16, strides=(2, 2)), "strides", "(2, 2)"),
    (lambda: ResidualBlock(16, shortcut="option_a"), "shortcut", "option_a"),
    (lambda: ResidualBlock(16, width=0), "width", "0"),
    (lambda: ResidualBlock(16, drop_rate=1), "drop_rate", "1"),
    (lambda: ResidualBlock(16, block_dropout=-0.1), "block_dropout", "-0.1"),
    (lambda: ResidualBlock(16, dilation_rate=0), "dilation_rate", "0"),
    (lambda: ResidualBlock(16, atrous="yes"), "atrous", "'yes'"),
    (lambda: ResidualBlock(16, remat=1), "remat", "1"),
    (lambda: DenseLayer(32, dilation_rate=1.5), "dilation_rate", "1.5"),
    (lambda: TransitionBlock(atrous=None), "atrous", "None"),
    (lambda: ResNet(output_stride="16"), "output_stride", "'16'"),
    (lambda: DenseNet(output_stride=64), "output_stride", "64"),
    (lambda: DenseNet(remat="dense"), "remat", "'dense'"),
    (lambda: ResNetStem(64, pre_activated=1), "pre_activated", "1"),
    (lambda: DenseLayer(32, bottleneck=-1), "bottleneck", "-1"),
    (lambda: DenseBlock(32, layers=0), "layers", "0"),
    (lambda: DenseBlock(32, layers=2, dropout="half"), "dropout", "half"),
    (lambda: TransitionBlock(1.5), "compression", "1.5"),
    (lambda: VGGGroup(64, depth=[1, 2]), "depth", "[1, 2]"),
    (lambda: ClassifierHead(10, hidden=4096), "hidden", "4096"),
    (lambda: ClassifierHead(10, hidden=(0,)), "hidden[0]", "0"),
    (lambda: ClassifierHead(10, pooling="sum"), "pooling", "sum"),
    (lambda: EncoderBlock(8.0), "filters", "8.0"),
    (lambda: EncoderBlock(8, blocks=0), "blocks", "0"),
    (lambda: EncoderBlock(8, kernel_size=2, strides=3), "kernel_size", "strides=3"),
    (lambda: EncoderBlock(8, kind="resnet"), "kind", "resnet"),
    (lambda: DecoderBlock(8, trim=2), "trim", "2"),
    (lambda: DecoderBlock(8, trim=(0, -1)), "trim[1]", "-1"),
    (lambda: DecoderBlock(8, activated=None), "activated", "None"),
    (lambda: VariationalBottleneck(0), "filters", "0"),
    (lambda: VariationalBottleneck(8, "sum"), "pooling", "sum"),
    (lambda: VariationalBottleneck(8, hidden=(4,)), "hidden", "(4,)"),
    (lambda: VariationalBottleneck(8, beta=-1), "beta", "-1"),
    (lambda: VariationalBottleneck(8, beta=float("inf")), "beta", "inf"),
    (lambda: VariationalBottleneck(8, seed=-1), "seed", "-1"),
    (lambda: VariationalBottleneck(8, seed=1.5), "seed", "1.5"),
    (lambda: AutoEncoder([]), "groups", "[]"),
    (lambda: AutoEncoder([{"filters": 8, "layers": 2}]), "groups[0]", "layers"),
    (lambda: AutoEncoder([{"filters": 8.0}]), "groups[0]['filters']", "8.0"),
    (lambda: AutoEncoder(code=128), "code", "128"),
    (lambda: AutoEncoder(code={}), "code", "{}"),
    (lambda: AutoEncoder(code={"filters": 8, "units": 8}), "code", "units"),
    (lambda: AutoEncoder(code={"filters": 8, "hidden": [8]}), "code", "hidden"),
    (lambda: AutoEncoder(code={"units": 0}), "code['units']", "0"),
    (lambda: AutoEncoder(code={"units": 4}, input_shape=(None, 8, 3)), "code", "None"),
    (lambda: AutoEncoder(kernel_size=1), "kernel_size", "1"),
    (lambda: AutoEncoder(kind="dense"), "kind", "dense"),
    (lambda: AutoEncoder(noise=-0.1), "noise", "-0.1"),
    (lambda: AutoEncoder(variational=True), "code", "None"),
    (lambda: AutoEncoder(variational=1), "variational", "1"),
    (lambda: AutoEncoder(output_activation="sigmoyd"), "output_activation", "sigmoyd"),
    (lambda: AutoEncoder(input_shape=(32, 32)), "input_shape", "(32, 32)"),
    (lambda: AutoEncoder.from_variant("beta_vaee"), "variant", "beta_vae"),
    (lambda: MultiLabelHead([]), "classes", "[]"),
    (lambda: MultiLabelHead([3, 1]), "classes[1]", "1"),
    (lambda: MultiLabelHead("3"), "classes", "'3'"),
    (lambda: MultiLabelHead(3, names=["a"]), "names", "['a']"),
    (lambda: MultiLabelHead([3, 2], names=["a"]), "names", "['a']"),
    (lambda: MultiLabelHead([3, 2], names=["a", "a"]), "names", "'a'"),
    (lambda: MultiLabelHead([3, 2], names=["a", "is it"]), "names", "'is it'"),
    (lambda: MultiLabelHead([3, 2], labels=["a", "b"]), "labels[0]", "'a'"),
    (lambda: MultiLabelHead([3, 2], labels=[["a", "b", "c"]]), "labels", "1"),
    (lambda: MultiLabelHead([3, 2], labels=[["a", "b", "c"], ["d"]]), "labels[1]", "['d']"),
    (lambda: MultiLabelHead(2, labels=["a"]), "labels", "['a']"),
    (lambda: MultiLabelHead(2).decode_predictions(np.zeros((1, 2))), "labels", "no `labels`"),
    (lambda: MultiLabelHead(2, pooling="sum"), "pooling", "sum"),
    (lambda: ResidualBlock(16, se_ratio=2.5), "se_ratio", "2.5"),
    (lambda: ResidualBlock(16, se_use_bias=None), "se_use_bias", "None"),
    (lambda: ResNeXtBlock(64, cardinality=0), "cardinality", "0"),
    (lambda: ResNeXtBlock(64, base_width="4"), "base_width", "'4'"),
    (lambda: ResNeXtBlock(8), "base_width", "filters=8"),
    (lambda: ResNeXtBlock(64, base_width=3, narrow_entry=True), "narrow_entry", "base_width=3"),
    (lambda: ResNeXtBlock(64, version="v1"), "version", "'v1'"),
    (lambda: ResNeXtBlock(64, projection_size=5), "projection_size", "5"),
    (lambda: ResNeXtBlock(64, narrow_entry=1), "narrow_entry", "1"),
    (lambda: ResNetStem(64, deep="yes"), "deep", "yes"),
    (lambda: ResNetStem(64, border="same"), "border", "same"),
    (lambda: ResNeXt(cardinality=2.0), "cardinality", "2.0"),
    (lambda: ResNeXt(stem="small"), "stem", "small"),
    (lambda: ResNeXt(groups=[{"filters": 8, "blocks": 1}]), "base_width", "filters=8"),
    (lambda: SENet(se_ratio=3), "ratio", "ratio=3"),
    (lambda: SENet(dropout=1.0), "dropout", "1.0"),
    (lambda: GroupedConv2D(8.0, 3, groups=2), "filters", "8.0"),
    (lambda: GroupedConv2D(8, 3, groups=True), "groups", "True"),
    (lambda: GroupedConv2D(8, 3, groups=3), "groups", "groups=3"),
    (lambda: GroupedConv2D(8, 0, groups=2), "kernel_size", "0"),
    (lambda: GroupedConv2D(8, 3, groups=2, padding="symmetric"), "padding", "symmetric"),
    (lambda: GroupedConv2D(8, 3, groups=2, strides=2, dilation_rate=2), "dilation_rate", "(2, 2)"),
    (lambda: GroupedConv2D(8, 3, groups=2, data_format="NHWC"), "data_format", "NHWC"),
    *((lambda ratio=ratio: SqueezeExciteBlock(ratio), "ratio", repr(ratio)) for ratio in (0, -4, 2.5, True, "16")),
    (lambda: SqueezeExciteBlock(gate="relu"), "gate", "relu"),
    (lambda: ChannelPadding(0), "channels", "0"),
    (lambda: ImageNormalization("pytorch"), "mode", "'pytorch'"),
    (lambda: ImageNormalization("tf", "NHWC"), "data_format", "NHWC"),
    (lambda: VGG(groups=[{"filters": 64}]), "layers", "64"),
    (lambda: VGG(input_shape=(None, None, 3)), "flatten", "(None, None, None, 512)"),
    (lambda: ResNet(groups=[{"filters": 64, "blocks": 0}]), "groups[0]['blocks']", "0"),
    (lambda: ResNet(downsample="middle"), "downsample", "middle"),
    (lambda: DenseNet(stem="small"), "stem", "small"),
    (lambda: AuxiliaryClassifier(10, "v2"), "version", "v2"),
    (lambda: AuxiliaryClassifier(10, pooling="avg"), "pooling", "avg"),
    (lambda: AuxiliaryClassifier(10, hidden=0), "hidden", "0"),
    (lambda: AuxiliaryClassifier(10, dropout=1.0), "dropout", "1.0"),
    (lambda: AuxiliaryClassifier(10, width="wide"), "width", "wide"),
    (lambda: GridReductionA((384, 64)), "3x3, double 3x3 reduce, double 3x3", "(384, 64)"),
    (lambda: GridReductionA((384, 64, 96), padding="full"), "padding", "full"),
    (lambda: GridReductionB((4, 4, 4, 4), n=0), "n", "0"),
    (lambda: InceptionA(64), "filters", "64"),
    (lambda: InceptionA((1, 2, 3, 4, 5, 6), count_include_pad=1), "count_include_pad", "1"),
    (lambda: InceptionB((1, 2, 3, 4, 5, 6), n=(1, 7)), "n", "(1, 7)"),
    (lambda: InceptionBlock((64, (96, 128), (16, 32), 32)), "pool proj", "(64, (96, 128), (16, 32), 32)"),
    (lambda: InceptionBlock((64, 96, 128, 16, 32, 0)), "filters[5]", "0"),
    (lambda: InceptionBlock((64, 96, 128, 16, 32, 32), "v4"), "version", "v4"),
    (lambda: InceptionBlock((64, 96, 128, 16, 32, 32), kernel_size=0), "kernel_size", "0"),
    (lambda: InceptionBlock((64, 96, 128, 16, 32, 32), pooling="sum"), "pooling", "sum"),
    (lambda: InceptionC((1, 2, 3, 4, 5, 6), se_ratio=0), "se_ratio", "0"),
    (lambda: Inception(groups=[{"block": "v1"}]), "filters", "v1"),
    (lambda: Inception(groups=[{"block": "d", "filters": [[1] * 6]}]), "groups[0]['block']", "'d'"),
    (lambda: Inception(groups=[{"block": "a", "filters": [[1] * 6], "n": 7}]), "groups[0]", "'n'"),
    (lambda: Inception(groups=[{"block": "a", "filters": 64}]), "groups[0]['filters']", "64"),
    (lambda: Inception(groups=[{"block": "a", "filters": [64]}]), "groups[0]['filters'][0]", "64"),
    (lambda: Inception(groups=[{"block": "v1", "filters": [[1] * 5]}]), "filters", "(1, 1, 1, 1, 1)"),
    (lambda: Inception(groups=[{"block": "v1", "filters": [[1] * 6], "auxiliary": [2]}]), "auxiliary", "2"),
    (lambda: Inception(groups=[{"block": "v1", "filters": [[1] * 6], "pooling": ["avg"] * 2}]), "pooling", "avg"),
    (lambda: Inception(groups=[{"block": "v1", "filters": [[1] * 6], "reduction": "a"}]), "reduction", "'a'"),
    (lambda: Inception(groups=[{"block": "v1", "filters": [[1] * 6], "reduction": {"kind": "c"}}]), "kind", "'c'"),
    (lambda: Inception(groups=[{"block": "v1", "filters": [[1] * 6], "reduction": {"kind": "a"}}]), "filters", "'a'"),
    (lambda: Inception(stem="v4"), "stem", "v4"),
    (lambda: Inception(stem=[{"layer": "convolution"}]), "stem[0]['layer']", "convolution"),
    (lambda: Inception(stem=[{"layer": "conv", "pool_size": 3}]), "stem[0]", "pool_size"),
    (lambda: Inception(auxiliary="yes"), "auxiliary", "yes"),
    (lambda: Inception(auxiliary_classifier={"rate": 1}), "auxiliary_classifier", "rate"),
    (lambda: Inception(auxiliary_classifier=3), "auxiliary_classifier", "3"),
    (lambda: Inception(auxiliary_weight=-1), "auxiliary_weight", "-1"),
    (lambda: Inception(se_ratio=2.5), "se_ratio", "2.5"),
    (lambda: keras_blocks.create_model("inception_v2", auxiliary=True), "auxiliary", "v2"),
    (lambda: keras_blocks.create_model("googlenet", auxiliary=True, input_shape=(64, 64, 3)), "pool", "4, 4, 512"),
    (lambda: LocalResponseNormalization(0), "size", "0"),
    (lambda: LocalResponseNormalization(alpha=-1), "alpha", "-1"),
    (lambda: LocalResponseNormalization(beta="0.75"), "beta", "0.75"),
    (lambda: LocalResponseNormalization(bias=0), "bias", "0"),
    (lambda: PassThroughReduction((128, 160, 64, 96.0)), "filters[3]", "96.0"),
    (lambda: CeilMaxPooling2D(2, 3), "strides", "3"),
    (lambda: CeilMaxPooling2D(2, 0), "strides", "0"),
    (lambda: SqueezeNet(groups=[]), "groups", "[]"),
    (lambda: SqueezeNet(groups=3), "groups", "3"),
    (lambda: SqueezeNet(groups=[{"filter": [16]}]), "groups[0]", "filter"),
    (lambda: SqueezeNet(groups=[{"filters": 16}]), "groups[0]['filters']", "16"),
    (lambda: SqueezeNet(groups=[{"filters": [16, 0]}]), "groups[0]['filters'][1]", "0"),
    (lambda: SqueezeNet(stem="v1.2"), "stem", "v1.2"),
    (lambda: SqueezeNet(stem={"filters": 8, "size": 3}), "stem", "size"),
    (lambda: SqueezeNet(stem={"filters": 8.0}), "filters", "8.0"),
    (lambda: SqueezeNet(dropout=1.0), "dropout", "1.0"),
    (lambda: SqueezeNet(dropout=float("nan")), "dropout", "nan"),
    (lambda: SqueezeNet(classes=0), "classes", "0"),
    (lambda: SqueezeNet(classes=3, labels=["a", "b"]), "labels", "['a', 'b']"),
    (lambda: SqueezeNet(classes=1, labels="a"), "labels", "'a'"),
    (lambda: SqueezeNet(classes=2, labels=["a", 2]), "labels[1]", "2"),
    (lambda: SqueezeNet(**SMALL).decode_predictions(np.zeros((1, 3))), "labels", "no `labels`"),
    (lambda: decode_predictions(np.zeros((1, 3)), ["a", "b"]), "predictions", "(1, 3)"),
    (lambda: decode_predictions(np.zeros((1, 1)), ["a"], top=0), "top", "0"),
    (lambda: decode_predictions(np.zeros((1, 1)), ["a"], threshold="half"), "threshold", "half"),
    (lambda: decode_predictions(np.full((1, 1), np.nan), ["a"]), "predictions", "NaN"),
    (lambda: decode_predictions({"x": np.zeros((1, 1))}, {"y": ["a"]}), "labels", "y"),
    (lambda: SqueezeNet(include_top="yes"), "include_top", "yes"),
    (lambda: SqueezeNet(pooling="mean"), "pooling", "mean"),
    (lambda: SqueezeNet(classifier_activation="softmx"), "classifier_activation", "softmx"),
    (lambda: SqueezeNet(input_shape=(224, 224)), "input_shape", "(224, 224)"),
    (lambda: SqueezeNet(input_shape=(224, 224, None)), "input_shape", "None"),
    (lambda: SqueezeNet(input_shape=(-1, 224, 3)), "input_shape", "-1"),
    (lambda: SqueezeNet(input_shape="224"), "input_shape", "224"),
    (lambda: SqueezeNet(preprocess="rescale"), "preprocess", "rescale"),
    (lambda: SqueezeNet(preprocess=keras.layers.CutMix()), "preprocess", "CutMix"),
    (lambda: SqueezeNet(input_tensor=np.zeros((1, 8, 8, 3))), "input_tensor", "ndarray"),
    (lambda: SqueezeNet(input_shape=(4, 4, 3)), "stem_conv", "(None, 4, 4, 3)"),
    (lambda: SqueezeNet(**SMALL, name=3), "name", "3"),
    (lambda: keras_blocks.create_model("squeeznet_1.1"), "variant", "squeezenet_1.1"),
    (lambda: keras_blocks.create_model("squeezenet_1.1", weights="imagenet"), "weights", "squeezenet_1.1"),
    (lambda: keras_blocks.create_model("squeezenet_1.1", weights=3), "weights", "3"),
    (lambda: SqueezeNet.from_variant("1.1"), "variant", "1.1"),
    (lambda: PairwiseDistance("l3"), "distance", "l3"),
    (lambda: PairwiseDistance(componentwise=1), "componentwise", "1"),
    (lambda: PairwiseDistance("cosine", componentwise=True), "componentwise", "cosine"),
    (lambda: ContrastiveLoss(-1.0), "margin", "-1.0"),
    (lambda: ContrastiveLoss("1"), "margin", "'1'"),
    (lambda: TripletLoss(float("nan")), "margin", "nan"),
    (lambda: TripletLoss(mining="semihard"), "mining", "Did you mean 'semi-hard'"),
    (lambda: TripletLoss(distance="cosine"), "distance", "cosine"),
    (lambda: Siamese(7), "backbone", "7"),
    (lambda: Siamese("resnet21"), "backbone", "resnet21"),
]

AT_BUILD = [
    (lambda: AuxiliaryClassifier(10).build((None, 4, 14, 8)), "pool", "(None, 4, 14, 8)"),
    (lambda: AuxiliaryClassifier(10, "v3").build((None, 14, 14, 8)), "conv2", "(None, 4, 4, 128)"),
    (lambda: AuxiliaryClassifier(10).build((None, None, 14, 8)), "flatten", "(None, None, 4, 128)"),
    (lambda: GridReductionA((4, 4, 4)).build((None, 2, 8, 4)), "conv_3x3", "(None, 2, 8, 4)"),
    (lambda: InceptionA((1, 2, 3, 4, 5, 6), se_ratio=4).build((None, 8, 8, 4)), "ratio", "15"),
    (lambda: ResidualBlock(16, shortcut="identity").build((None, 8, 8, 16)), "shortcut", "16"),
    (lambda: ResidualBlock(16, "basic", shortcut="pad").build((None, 8, 8, 13)), "shortcut", "13"),
    (lambda: ResidualBlock(16, "basic", shortcut="pad").build((None, 8, 8, 32)), "shortcut", "32"),
    (lambda: TransitionBlock(0.1).build((None, 8, 8, 4)), "compression", "0.1"),
    (lambda: TransitionBlock().build((None, 1, 8, 4)), "pool", "(None, 1, 8, 2)"),
    (lambda: VGGGroup(4).build((None, 8, 1, 4)), "pool", "(None, 8, 1, 4)"),
    (lambda: ClassifierHead(3, "flatten").build((None, None, 8, 4)), "flatten", "(None, None, 8, 4)"),
    (lambda: FireBlock(16, bypass="simple").build((None, 8, 8, 96)), "bypass", "96"),
    (lambda: FireBlock(16).build((None, 8, 8, None)), "channels", "None"),
    (lambda: FireBlock(16).build((None, 8, 96)), "4 axes", "(None, 8, 96)"),
    (lambda: ConvBlock(8, groups=2).build((None, 8, 8, 3)), "groups", "3"),
    (lambda: ConvBlock(8, 5, padding="valid").build((None, 4, 9, 3)), "conv", "(None, 4, 9, 3)"),
    (lambda: CeilMaxPooling2D(5, 1).compute_output_shape((None, 4, 9, 3)), "pool_size", "(None, 4, 9, 3)"),
    (lambda: keras.Sequential([keras.Input((4, 4, 3)), CeilMaxPooling2D(5, 1)]), "pool_size", "(None, 4, 4, 3)"),
    (lambda: ResidualBlock(4, "basic", se_ratio=8).build((None, 8, 8, 4)), "ratio", "8"),
    (lambda: ResidualBlock(4, "basic", se_ratio=3).build((None, 8, 8, 4)), "ratio", "ratio=3"),
    (lambda: GroupedConv2D(8, 3, groups=4).build((None, 8, 8, 6)), "groups", "groups=4"),
    (lambda: GroupedConv2D(8, 3, groups=4).build((None, 8, 8, None)), "channels", "None"),
    (lambda: GroupedConv2D(8, 3, groups=4, data_format="channels_first").build((8,)), "4 axes", "(8,)"),
    (lambda: ImageNormalization("caffe").build((None, 8, 8, 1)), "mode", "(None, 8, 8, 1)"),
    (lambda: SqueezeExciteBlock(16).build((None, 8, 8, 8)), "ratio", "16"),
    (lambda: SqueezeExciteBlock(3).build((None, 8, 8, 16)), "ratio", "ratio=3"),
]

AT_CALL = [
    (lambda: ConvBlock(8, 5, padding="valid")(np.zeros((1, 4, 9, 3), "float32")), "conv", "(1, 4, 9, 3)"),
    (lambda: dynamic(ConvBlock(8, 5, padding="valid")), "conv", "4, 4, 3"),
    (lambda: GroupedConv2D(8, 5, groups=4)(np.zeros((1, 4, 9, 8), "float32")), "output", "(1, 4, 9, 8)"),
    (lambda: dynamic(GroupedConv2D(3, 5, groups=3)), "output", "(1, 4, 4, 3)"),
    (lambda: built(GroupedConv2D(3, 3, groups=3))(np.zeros((1, 2, 8, 8, 3), "float32")), "ndim", "(1, 2, 8, 8, 3)"),
    (lambda: dynamic(CeilMaxPooling2D(5, 1)), "pool_size", "4, 4, 3"),
    (lambda: built(FireBlock(8))(np.zeros((1, 8, 8, 5), "float32")), "incompatible", "(1, 8, 8, 5)"),
    (lambda: built(FireBlock(8))(np.zeros((8, 8, 3), "float32")), "incompatible", "(8, 8, 3)"),
]


def built(layer):
    layer.build((None, None, None, 3))
    return layer


def dynamic(layer):
    """A layer built for any size, called on an image too small for it."""
    return built(layer)(np.zeros((1, 4, 4, 3), "float32"))


@pytest.mark.parametrize(
    ("make", "argument", "value"),
    [*(pytest.param(*case, marks=pytest.mark.once) for case in AT_CONSTRUCTION + AT_BUILD), *AT_CALL],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_is_refused_by_name(make, argument, value):
    with pytest.raises((ValueError, TypeError)) as refused:
        make()
    message = str(refused.value)
    assert argument in message and value in message, message


def test_suggests_the_nearest_name():
    with pytest.raises(ValueError, match=r"Did you mean 'squeezenet_1.1'"):
        keras_blocks.create_model("squeeznet_1.1")


def test_adding_branches_of_other_shapes_is_refused():
    """Keras broadcasts (8, 8, 16) + (8, 8, 1) in silence."""

    class Wrong(keras_blocks.Block):
        def chain(self, channels):
            return [self.sum_of("sum", [], [self.conv2d("narrow", 1, 1)])]

    with pytest.raises(ValueError, match=r"'sum'.*equal shapes.*16.*1"):
        Wrong().build((None, 8, 8, 16))


@pytest.mark.parametrize("name", ["filters", "_hidden", "not a name", "call", "twice"])
def test_layer_names_that_cannot_be_attributes_are_refused(name):
    class Wrong(keras_blocks.Block):
        def __init__(self):
            super().__init__()
            self.filters = 3

        def chain(self, channels):
            return [self.activate("twice"), self.activate(name)]

    with pytest.raises(ValueError, match="cannot have a layer named"):
        Wrong().build((None, 8, 8, 3))


def test_a_failed_build_leaves_the_block_as_it_was():
    block = FireBlock(4, bypass="simple")
    with pytest.raises(ValueError):
        block.build((None, 8, 8, 3))
    assert not block.built and block.weights == []
    block.build((None, 8, 8, 32))
    assert block.built


def test_a_block_without_a_chain_says_so():
    with pytest.raises(NotImplementedError, match="chain"):
        keras_blocks.Block()(np.zeros((1, 8, 8, 3), "float32"))


def test_there_are_enough():
    assert len(AT_CONSTRUCTION) + len(AT_BUILD) >= 30
