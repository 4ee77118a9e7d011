"""Against timm itself: its outputs for seeded weights under its names, stored by make_timm_goldens.py."""

import golden_weights
import keras
import pytest
from golden_networks import assert_golden_outputs, golden_model
from thorough import ONCE, run_alike, run_all

import keras_blocks

V2 = {"stem": "timm", "batch_norm": {"epsilon": 1e-5, "momentum": 0.9}}
NETWORKS = {
    "resnetv2_18": ("resnet18_v2", V2),
    "resnetv2_34": ("resnet34_v2", V2),
    "resnetv2_50": ("resnet50_v2", {**V2, "use_bias": False, "downsample": "first"}),
    "resnet26": ("resnet26", {}),
    "seresnet50": ("seresnet50", {}),
    "seresnext101_64x4d": ("seresnext101_64x4d", {}),
    "seresnext101_32x8d": ("seresnext101_32x8d", {}),
    "legacy_senet154": ("senet154", {}),
    "vgg11": ("vgg11", {}),
    **{f"resnet{depth}d": (f"resnet{depth}d", {}) for depth in (18, 34, 50, 101, 152)},
    **{name: (name, {}) for name in ("seresnext26d_32x4d", "resnext50d_32x4d", "ecaresnet50d")},
    **{name: (name, {}) for name in ("skresnet18", "skresnet34", "seresnet18", "seresnet34")},
    **{name: (name, {}) for name in ("regnetx_002", "regnetx_032", "regnety_002", "regnety_004", "regnety_032")},
    "inception_v4": ("inception_v4", {}),
    "inception_resnet_v2": ("inception_resnet_v2", {}),
    "cbamresnet18": ("resnet18", {"attention": keras_blocks.ConvolutionalBlockAttention}),
    "ecaresnet18d": ("resnet18d", {"attention": keras_blocks.EfficientChannelAttention()}),
}
FEW = ["resnetv2_18", "seresnet50", *(["resnetv2_50"] if run_alike() else [])]
FEW += ["ecaresnet18d", "skresnet18", "cbamresnet18", "regnety_002"] if ONCE else []
"""The others differ in the number of layers, or by backend in nothing that is ours; KERAS_BLOCKS_ALL runs them."""
DIFFER = {"resnet101d": 1e-3, "resnet152d": 1e-3, "inception_v4": 1e-3}
"""Of so many random layers without gates, noise comes out alike."""
CHOSEN = list(NETWORKS) if run_all() else FEW


@pytest.mark.parametrize("name", CHOSEN)
def test_same_outputs_as_timm(name, record_property):
    golden = golden_weights.load("timm", name)
    variant, options = NETWORKS[name]
    model = golden_model(golden, variant, **options)
    assert_golden_outputs(model, golden, record_property, differ=DIFFER.get(name, 0.01))


@pytest.mark.skipif(not run_all(), reason="a second size; make test-all")
@pytest.mark.parametrize("name", NETWORKS)
def test_same_outputs_as_timm_at_another_size(name, record_property):
    golden = golden_weights.load("timm", name)
    if "again" not in golden["outputs"]:
        pytest.skip("stored for one size")
    variant, options = NETWORKS[name]
    again = {"shapes": golden["shapes"], "images": golden["again"], "outputs": {"logits": golden["outputs"]["again"]}}
    model = golden_model(again, variant, **options)
    assert_golden_outputs(model, again, record_property, differ=DIFFER.get(name, 0.01))


@pytest.mark.skipif(not run_all(), reason="the ledger's counts, which are timm's, again; make test-all")
@pytest.mark.once
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "vgg11"])
def test_as_many_parameters_as_timm(name):
    """With 1000 classes; timm counts what is trained."""
    variant, options = NETWORKS[name]
    model = keras_blocks.create_model(variant, kernel_initializer="zeros", **options)
    trainable = sum(int(keras.ops.size(weight.value)) for weight in model.trainable_weights)
    assert trainable == golden_weights.load("timm", name)["trainable with 1000 classes"]
