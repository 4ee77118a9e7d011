"""Against keras.applications: the same random weights, moved by `convert_weights`, give the same outputs."""

import math

import keras
import numpy as np
import pytest
from checks import as_trained
from golden_networks import assert_close
from thorough import run_all

import keras_blocks

PAIRS = {
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "resnet50_v1": "ResNet50",
    "resnet101_v1": "ResNet101",
    "resnet152_v1": "ResNet152",
    "resnet50_v2": "ResNet50V2",
    "resnet101_v2": "ResNet101V2",
    "resnet152_v2": "ResNet152V2",
    "densenet121": "DenseNet121",
    "densenet169": "DenseNet169",
    "densenet201": "DenseNet201",
    "inception_v3": "InceptionV3",
}
ONE_OF_A_FAMILY = {"vgg16", "resnet50_v1", "inception_v3"}
"""The others differ in the number of layers, or are compared in test_imagenet_weights.py, which are of resnet50_v2 and
densenet121; they run where KERAS_BLOCKS_ALL is set."""

VARIANTS = [name for name in PAIRS if run_all() or name in ONE_OF_A_FAMILY]


def multiply_adds(model):
    """Of plain layers: every weight of a kernel once for each pixel that comes out."""
    return sum(
        math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
        for layer in model.layers
        if hasattr(layer, "kernel")
    )


def as_array(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


@pytest.mark.once
@pytest.mark.parametrize("variant", VARIANTS)
def test_same_outputs_as_keras_applications(variant, record_property):
    # 97 pixels: an odd size at every level, where the kinds of padding differ.
    size = 96 if variant.startswith("vgg") else 97
    options = {"input_shape": (size, size, 3), "classes": 10, "classifier_activation": None}
    theirs = as_trained(getattr(keras.applications, PAIRS[variant])(weights=None, **options), 0.1)
    ours = keras_blocks.create_model(variant, kernel_initializer="zeros", **options)
    assert ours.count_params() == theirs.count_params()
    assert keras_blocks.cost(ours).macs == multiply_adds(theirs)
    keras_blocks.convert_weights(theirs, ours)
    images = np.random.default_rng(1).normal(size=(2, size, size, 3)).astype("float32")
    expected = as_array(theirs(images))
    assert expected.std() > 1e-4
    assert_close(as_array(ours(images)), expected, record_property)


@pytest.mark.once
def test_biases_fold_into_batch_normalization_exactly(record_property):
    options = {"input_shape": (64, 64, 3), "classes": 10, "classifier_activation": None}
    theirs = as_trained(keras.applications.ResNet50(weights=None, **options), 0.1)
    ours = keras_blocks.create_model("resnet50_v1", use_bias=False, kernel_initializer="zeros", **options)
    assert ours.count_params() < theirs.count_params()
    keras_blocks.convert_weights(theirs, ours)
    images = np.random.default_rng(1).normal(size=(2, 64, 64, 3)).astype("float32")
    expected = as_array(theirs(images))
    assert_close(as_array(ours(images)), expected, record_property)


@pytest.mark.once
def test_the_other_architecture_is_refused():
    options = {"include_top": False, "input_shape": (32, 32, 3)}
    theirs = keras.applications.VGG19(weights=None, **options)
    ours = keras_blocks.create_model("vgg16", kernel_initializer="zeros", **options)
    with pytest.raises(ValueError, match="do not fit 'vgg16', which is unchanged"):
        keras_blocks.convert_weights(theirs, ours)
    assert all(np.all(weight.numpy() == 0) for weight in ours.weights if weight.name == "kernel")
