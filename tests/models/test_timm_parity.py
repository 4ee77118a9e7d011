"""Against timm itself: its outputs for seeded weights under its names, stored by make_timm_goldens.py."""

import golden_weights
import keras
import numpy as np
import pytest

import keras_blocks

V2 = {"stem": "timm", "batch_norm": {"epsilon": 1e-5, "momentum": 0.9}}
NETWORKS = {
    "resnetv2_18": ("resnet18_v2", V2),
    "resnetv2_34": ("resnet34_v2", V2),
    "resnetv2_50": ("resnet50_v2", {**V2, "use_bias": False, "downsample": "first"}),
    "vgg11": ("vgg11", {}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_same_outputs_as_timm(name):
    golden = golden_weights.load("timm", name)
    variant, options = NETWORKS[name]
    model = keras_blocks.create_model(
        variant,
        input_shape=golden["images"][1:],
        classes=10,
        classifier_activation=None,
        kernel_initializer="zeros",
        **options,
    )
    keras_blocks.convert_weights(golden_weights.weights(golden["shapes"]), model)
    expected = np.array(golden["outputs"]["logits"], "float32")
    largest = np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * largest, "a dead network gives these outputs, too"
    images = golden_weights.images(golden["images"])
    # JAX compiles each operation of an eager call, which takes far longer than one graph.
    jax = keras.backend.backend() == "jax"
    outputs = model.predict(images, verbose=0) if jax else keras.ops.convert_to_numpy(model(images))
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-4 * largest)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.startswith("resnet")])
def test_as_many_parameters_as_timm(name):
    """With 1000 classes; timm counts what is trained."""
    variant, options = NETWORKS[name]
    model = keras_blocks.create_model(variant, kernel_initializer="zeros", **options)
    trainable = sum(int(keras.ops.size(weight.value)) for weight in model.trainable_weights)
    assert trainable == golden_weights.load("timm", name)["trainable with 1000 classes"]
