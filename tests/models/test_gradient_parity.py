"""Gradients in training: against torchvision's in float64, stored by make_torchvision_goldens.py, on all backends; and
against keras.applications' own."""

import golden_weights
import keras
import numpy as np
import pytest
from golden_networks import golden_model
from gradients import gradients
from thorough import run_alike, run_all

import keras_blocks
from keras_blocks.weights.convert import named_weights

# float32's gradients of these networks differ from float64's by 1e-5 of their norm, measured in PyTorch. That holds as
# no ReLU's input is near its kink, which make_torchvision_goldens.py sees to. The worst on our backends: 6e-4.
RELATIVE = 1e-3
# Some gradients are zero but for rounding, which is 1e-6: of a shift that the next BatchNormalization takes away again.
ABSOLUTE = 5e-6

TORCH_VARIABLES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
OPTIONS = {"resnet50": {}, "densenet121": {"batch_norm": {"epsilon": 1e-5, "momentum": 0.9}}}


def by_name(model, images):
    """Name -> gradient, for each trainable weight."""
    found = dict(zip(map(id, model.trainable_weights), gradients(model, images)))
    return {name: found[id(weight)] for name, weight in named_weights(model).items() if id(weight) in found}


def assert_within(shares, record_property):
    """Name -> a gradient's difference over its bound; the worst goes to the report (pytest's --junitxml)."""
    worst = max(shares, key=shares.get)
    record_property("worst relative difference", f"{shares[worst] * RELATIVE:.1e}")
    assert shares[worst] <= 1, worst


FEW = {"tensorflow": ["resnet50"], "jax": []}
"""Where both are too much, but for KERAS_BLOCKS_ALL: XLA compiles each for a minute."""

NETWORKS = list(OPTIONS) if run_all() else FEW.get(keras.backend.backend(), list(OPTIONS))


@pytest.mark.parametrize("name", NETWORKS)
def test_same_gradients_as_torchvision(name, record_property):
    golden = golden_weights.load("torchvision", f"{name}_gradients")
    model = golden_model(golden, name, beta=golden["beta"], **OPTIONS[name])
    ours = by_name(model, golden_weights.images(golden["images"], golden["number"]))
    # The directions take the way of the weights, and so the order of their axes.
    directions = {name: golden_weights.direction(name, tuple(shape)) for name, shape in golden["shapes"].items()}
    keras_blocks.convert_weights(directions, model)
    names = model.weight_names()["torchvision"]
    shares = {}
    for path, weight in named_weights(model).items():
        if path in ours:
            layer, _, variable = path.rpartition("/")
            theirs = f"{names[layer]}.{TORCH_VARIABLES[variable]}"
            projection, norm = golden["gradients"][theirs]
            gradient = ours[path].astype("float64")
            difference = max(
                abs(np.linalg.norm(gradient) - norm),
                abs((gradient * keras.ops.convert_to_numpy(weight.value)).sum() - projection),
            )
            shares[theirs] = difference / (RELATIVE * norm + ABSOLUTE)
    assert_within(shares, record_property)
    assert set(shares) == set(golden["gradients"])


@pytest.mark.skipif(not run_alike(), reason="the same graph of Keras' layers; compared once")
@pytest.mark.parametrize(
    ("variant", "function"), [("resnet50_v1", "ResNet50")] + [("densenet121", "DenseNet121")] * run_all()
)
def test_same_gradients_as_keras_applications(variant, function, record_property):
    options = {"input_shape": (64, 64, 3), "classes": 10, "classifier_activation": None}
    theirs = getattr(keras.applications, function)(weights=None, **options)
    ranges = {"gamma": (0.5, 1.5), "beta": (2.8, 3.2)}  # of the golden weights, for the same reason
    for weight in theirs.weights:
        if weight.name in ranges:
            weight.assign(golden_weights.uniform(weight.path, tuple(weight.shape), *ranges[weight.name]))
    ours = keras_blocks.create_model(variant, kernel_initializer="zeros", **options)
    keras_blocks.convert_weights(theirs, ours)
    images = golden_weights.images((4, 64, 64, 3))
    expected, found = by_name(theirs, images), by_name(ours, images)
    names = ours.weight_names()["keras"]
    shares = {}
    for path, gradient in found.items():
        layer, _, variable = path.rpartition("/")
        other = expected.pop(f"{names[layer]}/{variable}")
        shares[path] = np.linalg.norm(gradient - other) / (RELATIVE * np.linalg.norm(other) + ABSOLUTE)
    assert_within(shares, record_property)
    assert not expected
