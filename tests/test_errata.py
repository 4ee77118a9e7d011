"""A test for each mistake of the slides, as ../shared/references.md lists them, that would make it fail."""

import copy

import keras
import numpy as np
import pytest

import keras_blocks

pytestmark = pytest.mark.once


def output(layer, x, **options):
    return keras.ops.convert_to_numpy(layer(x, **options))


def built(block, *shape):
    block.build((None, *shape))
    return block


def kinds(block):
    """What a block is made of, in the order of its layers."""
    return [type(getattr(block, spec.name)).__name__ for spec in block.chain_for(None)]


def tiny_resnet(**options):
    groups = [{"filters": 2, "blocks": 3}, {"filters": 4, "blocks": 2}]
    return keras_blocks.ResNet(**{"groups": groups, "input_shape": (32, 32, 3), "classes": 3, **options})


# -- SqueezeNet -----------------------------------------------------------------------------------------------------


def test_fires_expand_3x3_has_a_3x3_kernel():
    block = built(keras_blocks.FireBlock(16), 55, 55, 96)
    assert block.expand_3x3.kernel.shape == (3, 3, 16, 64)
    assert block.count_params() == 11_920 != 3_728


def test_squeezenets_dropout_is_applied_before_the_classifiers_convolution(rng):
    model = keras_blocks.create_model("squeezenet_1.1", input_shape=(64, 64, 3), classes=4)
    names = [layer.name for layer in model.layers]
    assert names.index("dropout") == names.index("classifier_conv") - 1
    images = rng.normal(size=(2, 64, 64, 3)).astype("float32")
    assert np.abs(output(model, images, training=True) - output(model, images, training=False)).max() > 0
    assert model.get_layer("dropout").rate == 0.5


# -- ResNet ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v1.5", "v2"])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_the_shortcut_is_the_blocks_input_and_is_added(kind, version, rng):
    """With a main branch of zeros an identity block passes its input on."""
    block = keras_blocks.ResidualBlock(4, kind, version, kernel_initializer="zeros")
    x = np.abs(rng.normal(size=(2, 8, 8, block.output_channels))).astype("float32")
    np.testing.assert_array_equal(output(block, x), x)


@pytest.mark.parametrize(
    ("kind", "version", "strided"),
    [
        ("basic", "v1", "conv1"),
        ("basic", "v2", "conv1"),
        ("bottleneck", "v1", "conv1"),
        ("bottleneck", "v1.5", "conv2"),
        ("bottleneck", "v2", "conv2"),
    ],
)
def test_the_projection_blocks_main_path_is_strided(kind, version, strided):
    block = built(keras_blocks.ResidualBlock(4, kind, version, strides=2), 8, 8, 8)
    convs = [name for name in ("conv1", "conv2", "conv3") if hasattr(block, name)]
    assert {name: getattr(block, name).strides for name in convs} == {
        name: (2, 2) if name == strided else (1, 1) for name in convs
    }
    assert block.projection.strides == (2, 2)


def test_v2_ends_with_a_normalization_and_relu():
    model = tiny_resnet(version="v2")
    after = model.layers[model.layers.index(model.get_layer("group2_block2")) + 1 :]
    assert [type(layer).__name__ for layer in after[:2]] == ["BatchNormalization", "Activation"]
    assert after[1].activation is keras.activations.relu
    assert model.get_layer("head").input is after[1].output
    assert after[0].input is model.get_layer("group2_block2").output
    assert "last_bn" not in [layer.name for layer in tiny_resnet(version="v1").layers]


def test_the_stem_pools_3x3_with_stride_2(rng):
    stem = built(keras_blocks.ResNetStem(4), 32, 32, 3)
    assert (stem.pool.pool_size, stem.pool.strides) == ((3, 3), (2, 2))
    # One pixel of the convolution's map, at an even place, is seen by one window of 2x2, but by two along each axis
    # of 3x3 if its place is odd.
    x = np.zeros((1, 16, 16, 4), "float32")
    x[0, 5, 5] = 1
    assert (output(stem.pool, output(stem.pool_pad, x))[0, :, :, 0] == 1).sum() == 4


@pytest.mark.parametrize("downsample", ["first", "last"])
@pytest.mark.parametrize("version", ["v1", "v1.5", "v2"])
def test_a_group_is_one_projection_and_its_identity_blocks(version, downsample):
    model = tiny_resnet(version=version, downsample=downsample)
    blocks = [layer for layer in model.layers if isinstance(layer, keras_blocks.ResidualBlock)]
    assert [(block.name, hasattr(block, "projection")) for block in blocks] == [
        ("group1_block1", True),
        ("group1_block2", False),
        ("group1_block3", False),
        ("group2_block1", True),
        ("group2_block2", False),
    ]


def test_resnet50_has_50_layers_and_not_62():
    model = keras_blocks.create_model("resnet50", kernel_initializer="zeros")
    kernels = [w.path for w in model.trainable_weights if w.name == "kernel" and "projection" not in w.path]
    assert len(kernels) == 50


@pytest.mark.parametrize(
    ("cls", "groups", "options"),
    [
        (keras_blocks.ResNet, [{"filters": 2, "blocks": 2}, {"filters": 4, "blocks": 1}], {}),
        (keras_blocks.DenseNet, [{"layers": 2}, {"layers": 1}], {"filters": 2, "stem_filters": 4}),
        (keras_blocks.SqueezeNet, [{"filters": [2, 2]}, {"filters": [4]}], {"stem": "tiny"}),
        (keras_blocks.VGG, [{"filters": 2, "layers": 2}, {"filters": 4, "layers": 1}], {"hidden": [4]}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_metaparameters_are_never_mutated(cls, groups, options):
    """A shared list from which the first model pops a block gives the second another network."""
    before = copy.deepcopy(groups)
    options = {"groups": groups, "input_shape": (32, 32, 3), "classes": 3, **options}
    first, second = cls(**options), cls(**options)
    assert groups == before
    assert first.get_config()["groups"] == second.get_config()["groups"] == before
    assert [w.shape for w in first.weights] == [w.shape for w in second.weights]


# -- DenseNet -------------------------------------------------------------------------------------------------------


def test_densenet_ends_with_a_normalization_and_relu():
    model = keras_blocks.DenseNet(
        groups=[{"layers": 1}, {"layers": 1}], filters=2, stem_filters=4, input_shape=(32, 32, 3), classes=3
    )
    after = model.layers[model.layers.index(model.get_layer("group2")) + 1 :]
    assert [type(layer).__name__ for layer in after[:2]] == ["BatchNormalization", "Activation"]
    assert after[1].activation is keras.activations.relu
    assert after[0].input is model.get_layer("group2").output
    assert model.get_layer("head").input is after[1].output


def test_the_transition_has_a_relu(rng):
    block = built(keras_blocks.TransitionBlock(kernel_initializer="ones"), 4, 4, 4)
    assert kinds(block) == ["BatchNormalization", "Activation", "Conv2D", "AveragePooling2D"]
    # Without it, a negative image would give a negative output.
    np.testing.assert_array_equal(output(block, -np.ones((1, 4, 4, 4), "float32")), np.zeros((1, 2, 2, 2)))


# -- VGG ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_a_vgg_group_has_as_many_convolutions_as_it_says(layers):
    block = built(keras_blocks.VGGGroup(4, depth=layers), 8, 8, 3)
    assert kinds(block) == ["Conv2D", "Activation"] * layers + ["MaxPooling2D"]
