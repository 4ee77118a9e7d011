"""Names and forms of older releases: timm's legacy and Cadene's networks, the authors' in Caffe, KerasHub's."""

import golden_weights
import keras
import numpy as np
import pytest
from calling import outputs_of
from golden_networks import assert_golden_outputs, golden_model
from thorough import run_all

import keras_blocks
from keras_blocks.weights.convert import named_weights

OLDER = {"version": "v1", "stem": "caffe"}
LEGACY = {
    "legacy_seresnet50": ("seresnet50", OLDER),
    "legacy_seresnext26_32x4d": (
        "seresnext50_32x4d",
        {"stem": "caffe", "groups": [{"filters": 64 * 2**i, "blocks": 2} for i in range(4)]},
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("name", LEGACY if run_all() else ["legacy_seresnext26_32x4d"])
def test_same_outputs_as_timms_older_networks(name, record_property):
    golden = golden_weights.load("timm", name)
    variant, options = LEGACY[name]
    assert_golden_outputs(golden_model(golden, variant, **options), golden, record_property)


SMALL = {"groups": [{"filters": 8, "blocks": 2}] * 2, "classes": 3, "input_shape": (32, 32, 3)}
SE = {**SMALL, "se_ratio": 4}
X = {**SE, "cardinality": 2, "base_width": 32}

MISFITS = [
    # class, arguments, convention, what the error must name; None where these weights are this network's
    (keras_blocks.ResNet, {**SE, **OLDER}, "timm_legacy", None),
    (keras_blocks.ResNet, {**SE, "version": "v1"}, "timm_legacy", "`stem='caffe'`"),
    (keras_blocks.ResNet, {**SE, "stem": "caffe"}, "timm_legacy", "Cadene's older network .*`version='v1'`"),
    (
        keras_blocks.ResNet,
        {**SE, "block": "basic", "stem": "caffe"},
        "timm_legacy",
        "ReLU before the squeeze-excitation",
    ),
    (keras_blocks.ResNet, {**SE, "stem": "caffe"}, "torchvision", "`stem='imagenet'`"),
    (keras_blocks.ResNet, {**SE, **OLDER}, "caffe", None),
    (keras_blocks.ResNet, {**SMALL, **OLDER}, "caffe", None),
    (keras_blocks.ResNet, {**SMALL, "version": "v1"}, "caffe", "the authors' Caffe network .*`stem='caffe'`"),
    (keras_blocks.ResNet, {**SMALL, **OLDER}, "keras", "`stem='imagenet'`"),
    (keras_blocks.ResNeXt, {**X, "stem": "caffe"}, "timm_legacy", None),
    (keras_blocks.ResNeXt, X, "timm_legacy", "`stem='caffe'`"),
    (keras_blocks.ResNeXt, X, "caffe", "`stem='caffe'`"),
    (keras_blocks.ResNeXt, {**X, "stem": "caffe"}, "torchvision", "torchvision's network .*`stem='imagenet'`"),
    (keras_blocks.ResNet, SMALL, "keras_hub", None),
    (keras_blocks.ResNet, {**SMALL, "version": "v1"}, "keras_hub", "KerasHub's network .*`version='v1.5'`"),
    (keras_blocks.ResNet, {**SMALL, "version": "v2", "stem": "timm"}, "keras_hub", None),
    (keras_blocks.ResNet, {**SMALL, "version": "v2"}, "keras_hub", "`stem='timm'`"),
]


@pytest.mark.once
@pytest.mark.parametrize(("cls", "arguments", "convention", "message"), MISFITS)
def test_names_of_a_network_of_equal_shapes_and_other_outputs(cls, arguments, convention, message):
    model = cls(**arguments)
    names = model.weight_names()[convention]
    source = {}
    for name, weight in named_weights(model).items():
        layer, _, variable = name.rpartition("/")
        source[f"{names[layer]}/{variable}"] = weight.numpy() + 1
    before = model.get_weights()
    if message is None:
        keras_blocks.convert_weights(source, model)
    else:
        with pytest.raises(ValueError, match=message):
            keras_blocks.convert_weights(source, model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old + (message is None), new)


CAFFE_LAYERS = [
    # variant, layers of the authors' prototxt
    ("resnet50", ["conv1", "bn_conv1", "res2a_branch1", "bn2a_branch1", "res2c_branch2c", "res4f_branch2a", "fc1000"]),
    ("resnet101", ["res3a_branch1", "res3b3_branch2b", "bn4b22_branch2c", "res5c_branch2a"]),
    ("resnet152", ["res3b7_branch2a", "res4b35_branch2b", "bn5b_branch2c"]),
    ("seresnet50", ["conv1/7x7_s2", "conv1/7x7_s2/bn", "conv2_1_1x1_reduce", "conv2_1_1x1_reduce/bn", "conv2_1_3x3"]),
    (
        "seresnet50",
        ["conv2_1_1x1_increase/bn", "conv2_3_1x1_down", "conv4_6_1x1_up", "conv5_1_1x1_proj/bn", "classifier"],
    ),
    ("seresnext50_32x4d", ["conv2_1_1x1_reduce", "conv5_3_1x1_increase", "conv3_1_1x1_proj", "classifier"]),
]


@pytest.mark.once
@pytest.mark.parametrize(("variant", "layers"), CAFFE_LAYERS)
def test_caffes_names_are_those_of_the_authors_prototxt(variant, layers):
    cls = keras_blocks.ResNeXt if "next" in variant else keras_blocks.ResNet
    outline = cls.outline(
        **{**cls.variants[variant], "version": "v1"} if cls is keras_blocks.ResNet else cls.variants[variant]
    )
    assert set(layers) <= set(outline.weight_names()["caffe"].values())


@pytest.mark.once
@pytest.mark.parametrize("options", [SMALL, SE])
def test_caffes_normalization_is_two_layers(options):
    """Statistics in one, scale and shift in another; kernels in Caffe's order; a bias before a normalization."""
    model = keras_blocks.ResNet(**options, **OLDER)
    names, source = model.weight_names()["caffe"], {}
    for name, weight in named_weights(model).items():
        layer, _, variable = name.rpartition("/")
        theirs = names[layer]
        if variable in ("gamma", "beta"):
            theirs = f"{theirs}/scale" if "/bn" in theirs else theirs.replace("bn", "scale", 1)
        value = golden_weights.weight(name, tuple(weight.shape))
        axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(value.ndim)
        source[f"{theirs}/{variable}"] = value.transpose(axes) if axes else value
    assert any(name.startswith("scale2a_branch1") or name.endswith("/bn/scale/gamma") for name in source)
    source[f"{names['stem/conv']}/bias"] = np.full(8, 0.5, "float32")
    keras_blocks.convert_weights(source, model)
    for name, weight in named_weights(model).items():
        bias = 0.5 * (name == "stem/conv_bn/moving_mean")
        np.testing.assert_allclose(weight.numpy(), golden_weights.weight(name, tuple(weight.shape)) - bias, atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    ("block", "pre", "options"),
    [
        ("basic_block", False, {"block": "basic", "version": "v1"}),
        ("bottleneck_block", False, {}),
        ("bottleneck_block", True, {"version": "v2", "stem": "timm"}),
    ],
)
def test_kerashubs_classifier(block, pre, options):
    """Its backbone is a model in the model."""
    keras_hub = pytest.importorskip("keras_hub", reason="the reference: pip install keras-hub")
    backbone = keras_hub.models.ResNetBackbone([64], [7], [64, 128], [2, 1], [1, 2], block, pre)
    theirs = keras_hub.models.ImageClassifier(backbone, num_classes=3)
    for weight in theirs.weights:
        weight.assign(golden_weights.weight(weight.path.replace("gamma", "weight"), tuple(weight.shape)))
    groups = [{"filters": 64, "blocks": 2}, {"filters": 128, "blocks": 1}]
    shared = {"input_shape": (64, 64, 3), "batch_norm": {"epsilon": 1e-5}}
    images = golden_weights.images((2, 64, 64, 3))
    ours = keras_blocks.ResNet(groups, classes=3, classifier_activation=None, **shared, **options)
    keras_blocks.convert_weights(theirs, ours)
    expected = outputs_of(theirs, images)
    np.testing.assert_allclose(outputs_of(ours, images), expected, atol=1e-4 * np.abs(expected).max())
    body = keras_blocks.ResNet(groups, include_top=False, **shared, **options)
    keras_blocks.convert_weights(backbone, body)
    expected = outputs_of(backbone, images)
    np.testing.assert_allclose(outputs_of(body, images), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.once
def test_layers_of_nested_models_that_are_called_alike_keep_their_models_name():
    def part(name):
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras.layers.Dense(4, name="dense")(inputs), name=name)

    inputs = keras.Input((4,))
    source = keras.Model(inputs, part("two")(part("one")(inputs)))
    target = keras.Model(inputs, part("two")(part("one")(inputs)))
    keras_blocks.convert_weights(source, target)
    for one, other in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
