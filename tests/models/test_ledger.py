"""The ledger: every variant's exact parameters and multiply-adds, against sources that nobody here wrote.

Parameters: ../shared/references.md, which names torchvision 0.29 (T, trainable), keras.applications 3.15 (K, with
BatchNormalization's statistics) or a count from the paper's own layer list (C). Multiply-adds: torchvision's published
`_ops` of its weights, in units of 1e9, rounded to three places; keras.applications' own graph for v1 and v2, counted
in test_keras_parity.py. `None` where the source gives none.
"""

import keras
import pytest

import keras_blocks
from keras_blocks.models.registry import architecture_of

# name: (source, trainable, with statistics, multiply-adds / 1e9)
LEDGER = {
    "densenet100_cifar": ("C: Huang et al. 2016, table 2: 0.8M", None, None, None),
    "densenet121": ("T and K", 7_978_856, 8_062_504, 2.834),
    "densenet161": ("T", 28_681_000, None, 7.728),
    "densenet169": ("T and K", 14_149_480, 14_307_880, 3.36),
    "densenet201": ("T and K", 20_013_928, 20_242_984, 4.291),
    "densenet264": ("C", 33_337_704, None, None),
    "resnet18": ("T", 11_689_512, None, 1.814),
    "resnet34": ("T", 21_797_672, None, 3.664),
    "resnet18_v2": ("timm 1.0.31 resnetv2_18", 11_687_720, None, None),
    "resnet34_v2": ("timm 1.0.31 resnetv2_34", 21_795_880, None, None),
    "resnet50": ("T", 25_557_032, None, 4.089),
    "resnet101": ("T", 44_549_160, None, 7.801),
    "resnet152": ("T", 60_192_808, None, 11.514),
    "resnet50_v1": ("K", None, 25_636_712, None),
    "resnet101_v1": ("K", None, 44_707_176, None),
    "resnet152_v1": ("K", None, 60_419_944, None),
    "resnet50_v2": ("K", None, 25_613_800, None),
    "resnet101_v2": ("K", None, 44_675_560, None),
    "resnet152_v2": ("K", None, 60_380_648, None),
    "wide_resnet50_2": ("T", None, None, 11.398),
    "wide_resnet101_2": ("T", None, None, 22.753),
    "resnet20_cifar": ("C: He et al. 2015, section 4.2", 269_722, None, None),
    "resnet32_cifar": ("C: He et al. 2015, section 4.2", 464_154, None, None),
    "resnet44_cifar": ("C: He et al. 2015, section 4.2", 658_586, None, None),
    "resnet56_cifar": ("C: He et al. 2015, section 4.2", 853_018, None, None),
    "resnet110_cifar": ("C: He et al. 2015, section 4.2", 1_727_962, None, None),
    "squeezenet_1.0": ("T", 1_248_424, 1_248_424, 0.819),
    "squeezenet_1.1": ("T", 1_235_496, 1_235_496, 0.349),
    "squeezenet_1.0_simple_bypass": ("C", 1_248_424, 1_248_424, None),
    "squeezenet_1.0_complex_bypass": ("C", 1_589_672, 1_589_672, None),
    "vgg11": ("T", 132_863_336, 132_863_336, 7.609),
    "vgg11_bn": ("T", 132_868_840, None, 7.609),
    "vgg13": ("T", 133_047_848, 133_047_848, 11.308),
    "vgg13_bn": ("T", 133_053_736, None, 11.308),
    "vgg16": ("T and K", 138_357_544, 138_357_544, 15.47),
    "vgg16_bn": ("T", 138_365_992, None, 15.47),
    "vgg19": ("T and K", 143_667_240, 143_667_240, 19.632),
    "vgg19_bn": ("T", 143_678_248, None, 19.632),
}

# The bias-free counts of the paper's v1 and v2, by the argument that gives them: references.md, "bias-free".
TEXTBOOK = {
    "resnet50_v1": 25_557_032,
    "resnet101_v1": 44_549_160,
    "resnet152_v1": 60_192_808,
    "resnet50_v2": 25_549_352,
    "resnet101_v2": 44_541_480,
    "resnet152_v2": 60_185_128,
}

# No count of theirs was published that could be cited; other tests hold them to their blocks.
WITHOUT_A_SOURCE = {f"resnet{depth}_cifar_v2" for depth in (20, 32, 44, 56, 110)}


def test_every_variant_is_in_the_ledger():
    assert set(keras_blocks.list_models()) == set(LEDGER) | WITHOUT_A_SOURCE


@pytest.mark.parametrize("variant", LEDGER)
def test_cost_is_the_sources(variant):
    _, _, total, giga_macs = LEDGER[variant]
    cls = architecture_of(variant)
    counted = keras_blocks.cost(cls, **cls.variants[variant])
    if total is not None:
        assert counted.params == total
    if giga_macs is not None:
        assert round(counted.macs / 1e9, 3) == giga_macs


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts are the same everywhere; built once")
@pytest.mark.parametrize("variant", LEDGER)
def test_built_model_has_the_sources_count(variant):
    _, trainable, total, _ = LEDGER[variant]
    cls = architecture_of(variant)
    model = keras_blocks.create_model(variant, kernel_initializer="zeros")
    ours = sum(weight.value.shape.num_elements() for weight in model.trainable_weights)
    assert total in (None, model.count_params())
    assert trainable in (None, ours)
    assert keras_blocks.cost(cls, **cls.variants[variant]).params == model.count_params()
    assert model.name == variant


@pytest.mark.parametrize("variant", TEXTBOOK)
def test_without_biases_the_count_is_the_papers(variant):
    cls = architecture_of(variant)
    model = keras_blocks.create_model(variant, kernel_initializer="zeros", use_bias=False)
    trainable = sum(int(keras.ops.size(weight.value)) for weight in model.trainable_weights)
    assert trainable == TEXTBOOK[variant]
    assert keras_blocks.cost(cls, **{**cls.variants[variant], "use_bias": False}).params == model.count_params()


def test_densenet_bc_100_has_the_papers_0_8_million():
    """Table 2 of the paper: DenseNet-BC, k = 12, depth 100, 0.8M parameters."""
    cls = architecture_of("densenet100_cifar")
    assert round(keras_blocks.cost(cls, **cls.variants["densenet100_cifar"]).params / 1e6, 1) == 0.8


def test_cifar_resnets_have_the_papers_depth():
    """Section 4.2: 6n + 2 weighted layers, and projections have no part in it."""
    for depth in (20, 32, 44, 56, 110):
        for suffix in ("", "_v2"):
            model = keras_blocks.create_model(f"resnet{depth}_cifar{suffix}", kernel_initializer="zeros")
            kernels = [weight for weight in model.trainable_weights if weight.name == "kernel"]
            assert len(kernels) == depth
