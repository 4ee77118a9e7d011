"""What a constructor does not take is refused by the class that was called, with what is to be written."""

import keras
import pytest

import keras_blocks as kb

pytestmark = pytest.mark.once

SIX = (4, 4, 4, 4, 4, 4)
GROUPS = [{"filters": 4, "blocks": 1}]
MLP = {"filters": 4}

BY_POSITION = [
    (lambda: kb.FireBlock(16, 64), "FireBlock(16, expand_ratio=..., bypass=...)"),
    (lambda: kb.FireBlock(16, 64, 64), "received 3 by position, (16, 64, 64)"),
    (lambda: kb.VGGGroup(64, 3), "VGGGroup(64, depth=..."),
    (lambda: kb.EncoderBlock(32, 3), "EncoderBlock(32, blocks=..., kernel_size=..., strides=...)"),
    (lambda: kb.DecoderBlock(32, 3), "DecoderBlock(32, blocks="),
    (lambda: kb.DenseBlock(6, 32), "DenseBlock(6, layers=..., bottleneck=..."),
    (lambda: kb.DenseLayer(32, 3), "DenseLayer(32, bottleneck="),
    (lambda: kb.TransitionBlock(0.5, 2), "TransitionBlock(0.5, atrous="),
    (lambda: kb.GroupedConv2D(128, 3, 2), "GroupedConv2D(128, 3, groups=..., strides=..."),
    (lambda: kb.ConvBlock(64, 3, 2, "same", 2), "ConvBlock(64, 3, 2, 'same', groups="),
    (lambda: kb.CeilMaxPooling2D(3, 2, "same"), "CeilMaxPooling2D(3, 2, data_format="),
    (lambda: kb.ClassifierHead(10, "avg", 0.5), "ClassifierHead(10, 'avg', hidden=..., dropout=...)"),
    (lambda: kb.MultiLabelHead([2, 2], ["a", "b"]), "MultiLabelHead([2, 2], names=..., labels=..."),
    (lambda: kb.AuxiliaryClassifier(10, "v1", "strided", 768), "width=..., hidden=..."),
    (lambda: kb.InceptionBlock(SIX, "v1", 3), "kernel_size="),
    (lambda: kb.InceptionB(SIX, 7), "n="),
    (lambda: kb.InceptionA(SIX, 7), "count_include_pad="),
    (lambda: kb.GridReductionB((4, 4, 4, 4), 7, "same"), "GridReductionB((4, 4, 4, 4), n="),
    (lambda: kb.GridReductionA((4, 4, 4), "same", 2), "GridReductionA((4, 4, 4), 'same', se_ratio="),
    (lambda: kb.ResidualBlock(64, "basic", "v1", 2), "ResidualBlock(64, 'basic', 'v1', strides="),
    (lambda: kb.ResNeXtBlock(64, 32, 4), "ResNeXtBlock(64, cardinality=..., base_width="),
    (lambda: kb.ResNetStem(64, 7), "ResNetStem(64, pre_activated="),
    (lambda: kb.VariationalBottleneck(8, "flatten", 4), "hidden=..., beta="),
    (lambda: kb.PairwiseDistance("l1", True), "PairwiseDistance('l1', componentwise="),
    (lambda: kb.ResNet(GROUPS, "basic", "v1", "cifar", "auto", 2), "width=..., downsample="),
    (lambda: kb.ResNeXt(GROUPS, 32), "cardinality=..."),
    (lambda: kb.SENet(GROUPS, 32), "cardinality=..."),
    (lambda: kb.DenseNet(GROUPS, 32), "filters=..."),
    (lambda: kb.VGG(GROUPS, (10,)), "hidden=..."),
    (lambda: kb.SqueezeNet(GROUPS, "v1.0", 4), "expand_ratio=..."),
    (lambda: kb.Inception([], "v1", True), "auxiliary=..."),
    (lambda: kb.AutoEncoder(GROUPS, None, 3), "kernel_size=..."),
    (lambda: kb.Siamese("resnet20_cifar", "l2", 64), "embedding=..."),
    (lambda: kb.Block("relu"), "takes nothing by position"),
]


@pytest.mark.parametrize(("call", "says"), BY_POSITION)
def test_what_can_be_mistaken_is_given_by_name(call, says):
    with pytest.raises(TypeError) as error:
        call()
    assert says in str(error.value) and "by position, and all else by name" in str(error.value)


def test_words_and_what_keras_users_know_stay_by_position():
    assert kb.ConvBlock(64, 3, 2, "valid").strides == (2, 2)  # as keras.layers.Conv2D
    assert kb.GroupedConv2D(8, 3, groups=2).kernel_size == (3, 3)
    assert kb.CeilMaxPooling2D(3, 2).strides == (2, 2)  # as keras.layers.MaxPooling2D
    assert kb.LocalResponseNormalization(5, 1e-4, 0.75, 1.0).beta == 0.75  # as torch.nn.LocalResponseNorm
    assert kb.ResidualBlock(64, "basic", "v2").version == "v2"
    assert kb.ClassifierHead(3, "flatten").pooling == "flatten"


class Own(kb.Block):
    def __init__(self, filters=4, **kwargs):
        self.popped = kwargs.pop("popped", None)
        super().__init__(**kwargs)
        self.filters = filters


class OwnNet(kb.Architecture):
    def __init__(self, width=4, **kwargs):
        super().__init__({"width": width}, **kwargs)


UNKNOWN = [
    (lambda: kb.ResNet(num_classes=10), "ResNet takes no argument `num_classes`", "`classes`"),
    (lambda: kb.create_model("resnet18", num_classes=10), "ResNet takes", "`classes`"),
    (lambda: kb.create_model("squeezenet_1.1", clases=10), "SqueezeNet takes", "`classes`"),
    (lambda: kb.ResNet(pretrained=True), "ResNet takes", "create_model"),
    (lambda: kb.ResNet(weights="imagenet"), "ResNet takes", "create_model"),
    (lambda: kb.Siamese("resnet20_cifar", distnce="l2"), "Siamese takes", "`distance`"),
    (lambda: kb.Siamese("resnet20_cifar", stride=2), "Siamese takes", "It takes"),
    (lambda: kb.Siamese("resnet20_cifar", kernel_regulariser="l2"), "Siamese takes", "`kernel_regularizer`"),
    (lambda: kb.AutoEncoder(noize=0.1), "AutoEncoder takes", "`noise`"),
    (lambda: kb.AutoEncoder(classes=10), "AutoEncoder takes", "It takes `groups`, `code`"),
    (lambda: kb.ConvBlock(8, stride=2), "ConvBlock takes no argument `stride`; received stride=2", "`strides`"),
    (lambda: kb.ConvBlock(8, kernel_sise=2), "ConvBlock takes", "`kernel_size`"),
    (lambda: kb.ConvBlock(8, dilation=2), "ConvBlock takes", "`dilation_rate`"),
    (lambda: kb.ConvBlock(8, bn=True), "ConvBlock takes", "`batch_norm`"),
    (lambda: kb.FireBlock(filter=16), "FireBlock takes", "`filters`"),
    (lambda: kb.FireBlock(squeeze=16), "FireBlock takes", "`filters`"),
    (lambda: kb.ClassifierHead(num_classes=10), "ClassifierHead takes", "`filters`"),
    (lambda: kb.MultiLabelHead(num_classes=10), "MultiLabelHead takes", "`classes`"),
    (lambda: kb.DenseBlock(32, num_layers=6), "DenseBlock takes", "`layers`"),
    (lambda: kb.VGGGroup(32, num_layers=6), "VGGGroup takes", "`depth`"),
    (lambda: kb.SqueezeExciteBlock(reduction=16), "SqueezeExciteBlock takes", "`ratio`"),
    (lambda: kb.GroupedConv2D(8, 3, group=2), "GroupedConv2D takes", "`groups`"),
    (lambda: kb.CeilMaxPooling2D(window=2), "CeilMaxPooling2D takes", "`pool_size`"),
    (lambda: kb.ChannelPadding(3, dataformat="channels_last"), "ChannelPadding takes", "`data_format`"),
    (lambda: kb.ImageNormalization(mod="tf"), "ImageNormalization takes", "`mode`"),
    (lambda: kb.PairwiseDistance(metric="l1"), "PairwiseDistance takes", "It takes `distance`, `componentwise`"),
    (lambda: Own(filterz=3), "Own takes", "`filters`"),
    (lambda: Own(3, popped=1, trainble=False), "Own takes", "`trainable`"),
    (lambda: OwnNet(num_classes=3), "OwnNet takes", "`classes`"),
]


@pytest.mark.parametrize(("call", "says", "meant"), UNKNOWN)
def test_an_unknown_argument_is_named_with_what_was_meant(call, says, meant):
    with pytest.raises(TypeError) as error:
        call()
    message = str(error.value)
    assert says in message and meant in message and "LayerFactory" not in message


def test_what_keras_takes_and_what_a_class_takes_by_itself_pass():
    assert Own(3, popped=1, autocast=False, name="it").popped == 1
    assert kb.ConvBlock(3, activity_regularizer="l2", trainable=False, dtype="float16").filters == 3
    assert isinstance(kb.FireBlock(3).__class__.from_config(kb.FireBlock(3).get_config()), keras.layers.Layer)
