"""Against timm itself: its outputs for seeded weights under its names, stored by make_timm_goldens.py."""

import golden_weights
import keras
import pytest
from golden_networks import assert_golden_outputs, golden_model
from thorough import run_alike, run_all

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
}
FEW = ["resnetv2_18", "seresnet50", *(["resnetv2_50", "legacy_senet154"] if run_alike() else [])]
"""The others differ in the number of layers, or by backend in nothing that is ours; KERAS_BLOCKS_ALL runs them."""
CHOSEN = list(NETWORKS) if run_all() else FEW


@pytest.mark.parametrize("name", CHOSEN)
def test_same_outputs_as_timm(name, record_property):
    golden = golden_weights.load("timm", name)
    variant, options = NETWORKS[name]
    assert_golden_outputs(golden_model(golden, variant, **options), golden, record_property)


@pytest.mark.skipif(not run_all(), reason="the ledger's counts, which are timm's, again; make test-all")
@pytest.mark.once
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "vgg11"])
def test_as_many_parameters_as_timm(name):
    """With 1000 classes; timm counts what is trained."""
    variant, options = NETWORKS[name]
    model = keras_blocks.create_model(variant, kernel_initializer="zeros", **options)
    trainable = sum(int(keras.ops.size(weight.value)) for weight in model.trainable_weights)
    assert trainable == golden_weights.load("timm", name)["trainable with 1000 classes"]
