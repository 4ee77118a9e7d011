"""Against torchvision itself: its outputs for seeded weights, stored by make_torchvision_goldens.py."""

import golden_weights
import pytest
from golden_networks import assert_golden_outputs, golden_model
from thorough import run_alike, run_all

NETWORKS = [
    *(f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn")),
    "resnet18",
    "resnet34",
    "resnet50",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "densenet121",
    "densenet161",
]
ONE_OF_A_FAMILY = {"resnet18"}
if run_alike():
    ONE_OF_A_FAMILY |= {"resnext50_32x4d", "densenet121"}
"""The others differ in the number of layers, and by backend in nothing that is ours but what tests of layers cover; VGG
is compared with keras.applications and with torch's modules, ResNet's bottlenecks by their gradients. Where
KERAS_BLOCKS_ALL is set, all run."""

# DenseNet's epsilon is keras.applications' by default.
OPTIONS = {"densenet": {"batch_norm": {"epsilon": 1e-5, "momentum": 0.9}}}


@pytest.mark.parametrize("name", [name for name in NETWORKS if run_all() or name in ONE_OF_A_FAMILY])
def test_same_outputs_as_torchvision(name, record_property):
    golden = golden_weights.load("torchvision", name)
    model = golden_model(golden, name, **OPTIONS.get(name.rstrip("0123456789"), {}))
    assert_golden_outputs(model, golden, record_property)
