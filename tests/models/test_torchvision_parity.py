"""Against torchvision itself: its outputs for seeded weights, stored by make_torchvision_goldens.py."""

import golden_weights
import keras
import numpy as np
import pytest

import keras_blocks

NETWORKS = [
    *(f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn")),
    "resnet18",
    "resnet34",
    "resnet50",
    "wide_resnet50_2",
    "densenet121",
    "densenet161",
]
ON_ALL_BACKENDS = {"vgg11", "vgg16_bn", "resnet18", "resnet50", "wide_resnet50_2", "densenet121"}

# DenseNet's epsilon is keras.applications' by default.
OPTIONS = {"densenet": {"batch_norm": {"epsilon": 1e-5, "momentum": 0.9}}}

BACKEND = keras.backend.backend()


@pytest.mark.parametrize("name", [name for name in NETWORKS if BACKEND == "tensorflow" or name in ON_ALL_BACKENDS])
def test_same_outputs_as_torchvision(name):
    golden = golden_weights.load("torchvision", name)
    model = keras_blocks.create_model(
        name,
        input_shape=golden["images"][1:],
        classes=10,
        classifier_activation=None,
        kernel_initializer="zeros",
        **OPTIONS.get(name.rstrip("0123456789"), {}),
    )
    keras_blocks.convert_weights(golden_weights.weights(golden["shapes"]), model)
    expected = np.array(golden["outputs"]["logits"], "float32")
    largest = np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * largest, "a dead network gives these outputs, too"
    images = golden_weights.images(golden["images"])
    # JAX compiles each operation of an eager call, which takes far longer than one graph.
    outputs = model.predict(images, verbose=0) if BACKEND == "jax" else keras.ops.convert_to_numpy(model(images))
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-4 * largest)
