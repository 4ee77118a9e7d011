"""Every architecture trains a step in mixed precision, compiled by XLA where the backend has it.

Small networks of every kind, of which `make test` runs none: XLA compiles each for many seconds.
"""

import keras
import numpy as np
import pytest
from catalog import ARCHITECTURES, GIVEN, MODELS, small_detector, small_koch
from thorough import run_all

import keras_blocks

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.skipif(not run_all(), reason="XLA compiles for minutes: in `make test-all`")

COMPILED = BACKEND != "torch"
"""PyTorch has no XLA: there `jit_compile=True` is `torch.compile`, which needs a C++ compiler, and is not tried."""

OWN = {"include_top": True, "classes": 3, "labels": None, "remat": False}
"""Of classifiers, which are whole here; XLA is given what recomputes nothing, as tests/test_remat.py has that."""


def classifier(row):
    options = {name: value for name, value in row.arguments.items() if name not in ("pooling", "classifier_activation")}
    return row.cls(**{**options, **OWN})


def autoencoder():
    (row,) = MODELS
    return row.cls(**{**row.arguments, "remat": False})


# Not fewer filters: TensorFlow 2.21's gradient of a 1x1 convolution with strides corrupts the memory below 16 channels.
WIDE = [{"filters": 16, "blocks": 1}, {"filters": 16, "blocks": 1}]
TOLD = {**GIVEN, "groups": WIDE}
LEVEL = {"levels": ["P1"], "region_size": (2, 3), "image_size": (16, 24)}

NETWORKS = {
    **{row.name: (lambda row=row: classifier(row)) for row in ARCHITECTURES},
    "AutoEncoder": autoencoder,
    "Siamese": small_koch,
    "FasterRCNN": lambda: small_detector(groups=WIDE),
    "FastRCNN": lambda: keras_blocks.FastRCNN(keras_blocks.ResNet, **TOLD, **LEVEL),
    "RCNN": lambda: keras_blocks.RCNN(keras_blocks.ResNet, **TOLD, region_size=8, context=1, regions_at_once=2),
}


def test_every_architecture_is_here():
    from keras_blocks.models.registry import ARCHITECTURES as ALL

    assert {cls.__name__ for cls in ALL} == set(NETWORKS)


def data_for(model):
    """(inputs, targets) of a batch of four."""
    rng = np.random.default_rng(0)
    images = lambda tensor: rng.uniform(0, 1, (4, *tensor.shape[1:])).astype("float32")  # noqa: E731
    if isinstance(model, (keras_blocks.FasterRCNN, keras_blocks.FastRCNN, keras_blocks.RCNN)):
        boxes = np.tile(np.array([[[1, 1, 9, 8], [2, 3, 11, 10]]], "float32"), (4, 1, 1))
        truth = {"boxes": boxes, "labels": np.tile(np.array([[0, 1]]), (4, 1))}
        if not isinstance(model.input, dict):
            return images(model.input), truth
        return {"image": images(model.input["image"]), "proposals": boxes + 1}, truth
    inputs = keras.tree.map_structure(images, model.input)
    if isinstance(model, keras_blocks.AutoEncoder):
        return inputs, inputs
    return inputs, keras.tree.map_structure(first_class, model.output)


def first_class(output):
    """The targets of images that are all of the first class."""
    target = np.zeros((4, *output.shape[1:]), "float32")
    target[:, 0] = 1
    return target


def compiled(model):
    options = {"jit_compile": COMPILED}
    if isinstance(model, (keras_blocks.FasterRCNN, keras_blocks.FastRCNN, keras_blocks.RCNN)):
        model.compile(keras.optimizers.SGD(1e-3), **options)
    else:
        model.compile(keras.optimizers.SGD(1e-2), keras.tree.map_structure(lambda _: "mse", model.output), **options)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_trains_a_step(name, policy):
    keras.config.set_dtype_policy(policy)
    model = NETWORKS[name]()
    keras.config.set_dtype_policy("float32")
    assert policy in {layer.dtype_policy.name for layer in model.layers}
    compiled(model)
    inputs, targets = data_for(model)
    before = [np.array(weight) for weight in model.get_weights()]
    history = model.fit(inputs, targets, batch_size=4, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all(), history
    assert any((old != new).any() for old, new in zip(before, model.get_weights()))
    outputs = keras.tree.flatten(model.predict(inputs, verbose=0))
    assert {output.dtype for output in outputs} <= {np.dtype("float32"), np.dtype("int32")}
    assert all(np.isfinite(output).all() for output in outputs)
