"""The ledger: every variant's exact parameters and multiply-adds, against sources that nobody here wrote.

Each class' `sources` names them. Published are: by torchvision 0.29, in the `num_params` and `_ops` of its weights,
what is trained, and the multiply-adds in units of 1e9, rounded to three places; by keras.applications 3.15, what
`count_params()` gives, with BatchNormalization's statistics; what is trained by timm 1.0.31, by Cadene's
pretrained-models.pytorch (with squeeze-excitation) and by pytorchcv (osmr/imgclsmob, its table of CIFAR-10).
Everything, published or not, is counted from the papers' layer lists in layer_lists.py; the multiply-adds of
keras.applications' own graphs, in test_keras_parity.py.
"""

import keras
import pytest
from inception_lists import AUXILIARY_LISTS, INCEPTION_LISTS, bn_inception
from layer_lists import BIAS_FREE_GATES, BIAS_FREE_LISTS
from layer_lists import LISTS as OTHER_LISTS
from thorough import ONCE, run_all

import keras_blocks
from keras_blocks.models.registry import ARCHITECTURES, architecture_of

pytestmark = pytest.mark.once

LISTS = {**OTHER_LISTS, **INCEPTION_LISTS}

# name: what was published of (trainable, with statistics, multiply-adds / 1e9)
LEDGER = {
    "autoencoder_cifar": (None, None, None),
    "beta_vae": (None, None, None),
    "densenet40_cifar": (1_019_722, None, None),
    "densenet100_cifar": (769_162, None, None),
    "densenet190_cifar": (25_624_430, None, None),
    "densenet121": (7_978_856, 8_062_504, 2.834),
    "densenet161": (28_681_000, None, 7.728),
    "densenet169": (14_149_480, 14_307_880, 3.36),
    "densenet201": (20_013_928, 20_242_984, 4.291),
    "densenet264": (None, None, None),
    "googlenet": (None, None, None),
    "googlenet_cifar": (None, None, None),
    "googlenet_torchvision": (6_624_904, None, 1.498),
    "inception_v2": (None, None, None),
    "inception_v3": (None, 23_851_784, None),
    "inception_v4": (42_679_816, None, None),
    "inception_resnet_v2": (55_843_464, None, None),
    "inception_v3_cifar": (None, None, None),
    "inception_v3_torchvision": (None, None, 5.713),
    "se_bn_inception": (None, None, None),
    "resnet18": (11_689_512, None, 1.814),
    "resnet34": (21_797_672, None, 3.664),
    "resnet18_v2": (11_687_720, None, None),
    "resnet34_v2": (21_795_880, None, None),
    "resnet26": (15_995_176, None, None),
    "resnet18d": (11_708_744, None, None),
    "resnet34d": (21_816_904, None, None),
    "resnet50d": (25_576_264, None, None),
    "resnet101d": (44_568_392, None, None),
    "resnet152d": (60_212_040, None, None),
    "ecaresnet50d": (25_576_350, None, None),
    "seresnet18": (11_779_624, None, None),
    "seresnet34": (21_960_416, None, None),
    "skresnet18": (11_958_056, None, None),
    "skresnet34": (22_282_376, None, None),
    "resnext50d_32x4d": (25_048_136, None, None),
    "seresnext26d_32x4d": (16_809_512, None, None),
    "resnet50": (25_557_032, None, 4.089),
    "resnet101": (44_549_160, None, 7.801),
    "resnet152": (60_192_808, None, 11.514),
    "resnet50_v1": (None, 25_636_712, None),
    "resnet101_v1": (None, 44_707_176, None),
    "resnet152_v1": (None, 60_419_944, None),
    "resnet50_v2": (None, 25_613_800, None),
    "resnet101_v2": (None, 44_675_560, None),
    "resnet152_v2": (None, 60_380_648, None),
    "wide_resnet50_2": (68_883_240, None, 11.398),
    "wide_resnet101_2": (126_886_696, None, 22.753),
    "wide_resnet28_10_cifar": (36_479_194, None, None),
    "wide_resnet16_8_cifar": (None, None, None),
    "wide_resnet40_2_cifar": (None, None, None),
    "seresnet50": (28_088_024, None, None),
    "seresnet101": (49_326_872, None, None),
    "seresnet152": (66_821_848, None, None),
    "resnext50_32x4d": (25_028_904, None, 4.23),
    "resnext101_32x4d": (44_177_704, None, None),
    "resnext152_32x4d": (59_951_400, None, None),
    "resnext101_64x4d": (83_455_272, None, 15.46),
    "resnext101_32x8d": (88_791_336, None, 16.414),
    "resnext101_32x16d": (194_026_792, None, None),
    "resnext29_8x64d_cifar": (None, None, None),
    "resnext29_16x64d_cifar": (68_155_210, None, None),
    "seresnext50_32x4d": (27_559_896, None, None),
    "seresnext101_32x4d": (48_955_416, None, None),
    "seresnext152_32x4d": (66_580_440, None, None),
    "seresnext101_64x4d": (88_232_984, None, None),
    "seresnext101_32x8d": (93_569_048, None, None),
    "regnetx_002": (2_684_792, None, None),
    "regnetx_032": (15_296_552, None, None),
    "regnety_002": (3_162_996, None, None),
    "regnety_004": (4_344_144, None, None),
    "regnety_032": (19_436_338, None, None),
    "senet154": (115_088_984, None, None),
    **{f"resnet{depth}_cifar": (None, None, None) for depth in (20, 32, 44, 56, 110)},
    **{f"resnet{depth}_cifar_v2": (None, None, None) for depth in (20, 32, 44, 56, 110)},
    "resnet164_cifar_v2": (1_703_258, None, None),
    "resnet1001_cifar_v2": (10_327_706, None, None),
    "siamese_koch2015": (38_951_745, None, None),
    "squeezenet_1.0": (1_248_424, 1_248_424, 0.819),
    "squeezenet_1.1": (1_235_496, 1_235_496, 0.349),
    "squeezenet_1.0_caffe": (1_248_424, 1_248_424, None),
    "squeezenet_1.0_simple_bypass": (1_248_424, 1_248_424, None),
    "squeezenet_1.0_complex_bypass": (None, None, None),
    "vgg11": (132_863_336, 132_863_336, 7.609),
    "vgg11_bn": (132_868_840, None, 7.609),
    "vgg13": (133_047_848, 133_047_848, 11.308),
    "vgg13_bn": (133_053_736, None, 11.308),
    "vgg16": (138_357_544, 138_357_544, 15.47),
    "vgg16_bn": (138_365_992, None, 15.47),
    "vgg19": (143_667_240, 143_667_240, 19.632),
    "vgg19_bn": (143_678_248, None, 19.632),
}

# name: what torchvision 0.29.1 counts of its FasterRCNN with 91 classes, background included, on such backbones: what
# is trained, and statistics. The head of VGG-16 is one of 4096, as in its classifier.
DETECTORS = {
    "faster_rcnn_resnet18_fpn": (28_739_606, 9_600),
    "faster_rcnn_resnet50_fpn": (41_808_406, 53_120),
    "faster_rcnn_squeezenet": (30_327_890, 0),
    "faster_rcnn_vgg16": (138_507_572, 0),
}

GIVEN = {"fast_rcnn_squeezenet", "fast_rcnn_vgg16", "rcnn_vgg16"}  # counted in tests/test_errata_detection.py

# The others are counted without building them, and built where KERAS_BLOCKS_ALL is set. That networks of all kinds have
# as many weights as are counted is in test_costs.py, that large ones have other libraries' in the tests of parity.
ONE_OF_A_FAMILY = {
    "autoencoder_cifar",
    "beta_vae",
    "googlenet",
    "resnet18",
    "resnet18_v2",
    "resnet20_cifar",
    "resnet50_v2",
    "squeezenet_1.0_complex_bypass",
    "squeezenet_1.1",
    "vgg11",
    "vgg11_bn",
}


def is_built(variant):
    """On one backend: counts are the same everywhere."""
    return ONCE and (run_all() or variant in ONE_OF_A_FAMILY)


def trained(model):
    return sum(int(keras.ops.size(weight.value)) for weight in model.trainable_weights)


def test_every_variant_names_its_source_and_is_in_the_ledger():
    for cls in ARCHITECTURES:
        assert set(cls.sources) == set(cls.variants)
        assert all(cls.sources.values())
    assert set(keras_blocks.list_models()) - set(DETECTORS) - GIVEN == set(LEDGER) == set(LISTS)


@pytest.mark.parametrize("variant", LEDGER)
def test_counts_are_the_sources(variant):
    cls = architecture_of(variant)
    counted, listed = keras_blocks.cost(cls, **cls.variants[variant]), LISTS[variant]
    published_trainable, published_total, published_giga_macs = LEDGER[variant]
    assert published_trainable in (None, listed.trainable)
    assert published_total in (None, listed.total)
    assert published_giga_macs in (None, round(listed.macs / 1e9, 3))
    assert (counted.params, counted.macs) == (listed.total, listed.macs)
    if is_built(variant):
        model = keras_blocks.create_model(variant, kernel_initializer="zeros")
        assert (trained(model), model.count_params()) == (listed.trainable, listed.total)
        assert model.name == variant


@pytest.mark.parametrize("variant", DETECTORS)
def test_counts_of_detectors_are_torchvisions(variant):
    trainable, statistics = DETECTORS[variant]
    assert keras_blocks.cost(variant, classes=90).params == trainable + statistics
    if run_all() or variant == "faster_rcnn_resnet50_fpn":
        model = keras_blocks.create_model(variant, classes=90, image_size=(64, 64), kernel_initializer="zeros")
        assert (trained(model), model.count_params()) == (trainable, trainable + statistics)
        model.freeze_normalization()
        assert variant != "faster_rcnn_resnet50_fpn" or trained(model) == 41_755_286  # references.md


# With auxiliary classifiers: torchvision's published counts are of those (Inception_V3_Weights: num_params), the others
# of references.md.
AUXILIARY = {
    "googlenet": 13_378_280,
    "googlenet_torchvision": 13_004_888,
    "inception_v3_torchvision": 27_161_264,
}


@pytest.mark.parametrize("variant", AUXILIARY)
def test_counts_with_auxiliary_classifiers(variant):
    cls, listed = architecture_of(variant), AUXILIARY_LISTS[variant]
    assert listed.trainable == AUXILIARY[variant]
    counted = keras_blocks.cost(cls, **cls.variants[variant], auxiliary=True)
    assert (counted.params, counted.macs) == (listed.total, listed.macs)
    if is_built(variant):
        model = keras_blocks.create_model(variant, kernel_initializer="zeros", auxiliary=True)
        assert (trained(model), model.count_params()) == (listed.trainable, listed.total)


def test_inceptions_counts_are_those_of_the_references():
    """references.md; BN-Inception also with the biases of Cadene's convolutions, which BatchNormalization undoes."""
    expected = {"googlenet": 6_998_552, "inception_v2": 11_285_224, "se_bn_inception": 11_931_622}
    assert {name: INCEPTION_LISTS[name].trainable for name in expected} == expected
    assert INCEPTION_LISTS["inception_v3_torchvision"].trainable == 23_834_568
    cls, listed = keras_blocks.Inception, bn_inception(bias=True)
    assert listed.trainable == 11_295_240
    assert keras_blocks.cost(cls, **cls.variants["inception_v2"], use_bias=True).params == listed.total


# The paper's v1 and v2, by the argument that gives them: references.md, "bias-free".
TEXTBOOK = {
    "resnet50_v1": 25_557_032,
    "resnet101_v1": 44_549_160,
    "resnet152_v1": 60_192_808,
    "resnet50_v2": 25_549_352,
    "resnet101_v2": 44_541_480,
    "resnet152_v2": 60_185_128,
}


@pytest.mark.parametrize("variant", TEXTBOOK)
def test_without_biases_the_counts_are_the_papers(variant):
    cls, listed = architecture_of(variant), BIAS_FREE_LISTS[variant]
    assert listed.trainable == TEXTBOOK[variant]
    counted = keras_blocks.cost(cls, **{**cls.variants[variant], "use_bias": False})
    assert (counted.params, counted.macs) == (listed.total, listed.macs)
    if is_built(variant):
        model = keras_blocks.create_model(variant, kernel_initializer="zeros", use_bias=False)
        assert (trained(model), model.count_params()) == (listed.trainable, listed.total)


# references.md, "bias-free SE".
GATES = {"seresnet50": 28_071_976, "seresnet101": 49_292_328, "seresnet152": 66_770_984}


@pytest.mark.parametrize("variant", GATES)
def test_without_biases_of_the_gates(variant):
    cls, listed = architecture_of(variant), BIAS_FREE_GATES[variant]
    assert listed.trainable == GATES[variant]
    counted = keras_blocks.cost(cls, **{**cls.variants[variant], "se_use_bias": False})
    assert (counted.params, counted.macs) == (listed.total, listed.macs)


def test_a_variational_autoencoders_count_in_plain_arithmetic():
    """Burgess et al. 2018, appendix A: of the encoder 252,052, of the decoder 249,953."""
    encoder = (16 + 1) * 32 + 3 * (16 * 32 + 1) * 32 + (512 + 1) * 256 + (256 + 1) * 256 + (256 + 1) * 20
    decoder = (10 + 1) * 256 + (256 + 1) * 256 + (256 + 1) * 512 + 3 * (16 * 32 + 1) * 32 + 16 * 32 + 1
    assert (encoder, decoder) == (252_052, 249_953)
    assert LISTS["beta_vae"].total == encoder + decoder
    model = keras_blocks.create_model("beta_vae", kernel_initializer="zeros")
    assert (model.encoder.count_params(), model.decoder.count_params()) == (encoder, decoder)
    assert (model.encoder.output_shape, model.decoder.output_shape) == ((None, 10), (None, 64, 64, 1))


# Millions, as the papers print them: Xie et al. 2017, table 7; Huang et al. 2016, table 2; Zagoruyko and Komodakis
# 2016, tables 4 and 5, of pre-activated ResNets, too.
MILLIONS = {
    "resnext29_8x64d_cifar": 34.4,
    "densenet40_cifar": 1.0,
    "densenet100_cifar": 0.8,
    "densenet190_cifar": 25.6,
    "wide_resnet16_8_cifar": 11.0,
    "wide_resnet40_2_cifar": 2.2,
    "wide_resnet28_10_cifar": 36.5,
    "resnet164_cifar_v2": 1.7,
}


@pytest.mark.parametrize("variant", MILLIONS)
def test_as_many_millions_as_the_papers_print(variant):
    assert round(LISTS[variant].trainable / 1e6, 1) == MILLIONS[variant]


def test_two_papers_print_a_little_less():
    """68.1M of ResNeXt-29 16x64d, Xie et al. 2017, table 7; 10.2M of ResNet-1001, Zagoruyko and Komodakis, table 5."""
    assert 68.1e6 < LISTS["resnext29_16x64d_cifar"].trainable < 68.2e6
    assert 10.2e6 < LISTS["resnet1001_cifar_v2"].trainable < 10.4e6


def test_cifar_resnets_have_the_papers_depth():
    """Section 4.2: 6n + 2 weighted layers, and projections have no part in it."""
    for depth in (20, 32, 44, 56, 110) if run_all() else (20, 32):
        for suffix in ("", "_v2"):
            model = keras_blocks.create_model(f"resnet{depth}_cifar{suffix}", kernel_initializer="zeros")
            kernels = [weight for weight in model.trainable_weights if weight.name == "kernel"]
            assert len(kernels) == depth
