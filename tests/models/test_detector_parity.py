"""Faster R-CNN against torchvision's, with its weights: proposals, detections, losses, gradients."""

import functools
import re

import golden_weights
import keras
import numpy as np
import pytest
from gradients import gradients
from thorough import run_alike, run_all

import keras_blocks
from keras_blocks.weights.convert import named_weights

DETECTORS = {
    "faster_rcnn_resnet18_fpn_96x128": ("resnet18", {}),
    "faster_rcnn_resnet50_fpn_100x150": ("resnet50", {"batch_norm": {"epsilon": 0.0}}),
    "faster_rcnn_squeezenet_128x160": (
        "squeezenet_1.1",
        {"pyramid_filters": None, "anchor_sizes": [[32, 64, 128]]},
    ),
}

LOSSES = {
    "loss_objectness": "rpn_objectness_loss",
    "loss_rpn_box_reg": "rpn_box_loss",
    "loss_classifier": "class_loss",
    "loss_box_reg": "box_loss",
}


@functools.cache
def detector(name):
    """Our model with the golden file's weights, and the file."""
    golden = golden_weights.load("torchvision", name)
    backbone, options = DETECTORS[name]
    model = keras_blocks.FasterRCNN(
        backbone,
        classes=4,
        image_size=golden["canvas"],
        input_shape=golden["images"][1:],
        preprocess=keras_blocks.ImageNormalization("torch"),
        pre_nms_top_n=200,
        post_nms_top_n=100,
        score_threshold=0.2,
        rpn_samples=10**6,
        head_samples=10**6,
        **options,
    )
    return keras_blocks.convert_weights(golden_weights.weights(golden["shapes"], gains=golden["gains"]), model), golden


@pytest.mark.parametrize("name", DETECTORS if run_alike() else list(DETECTORS)[:1])
def test_proposals_and_detections_are_torchvisions(name, record_property):
    model, golden = detector(name)
    images = 255 * golden_weights.uniform("images of detectors", golden["images"], 0, 1)
    both = keras.Model(model.input, {"proposals": model.assembly.training["proposals"], **model.output})
    found = both.predict(images, verbose=0)
    largest = max(golden["canvas"])
    proposals = np.array(golden["proposals"])
    assert (found["proposals"][0, :, 0] >= 0).sum() == len(proposals)
    worst = np.abs(found["proposals"][0, : len(proposals)] - proposals).max() / largest
    count = len(golden["boxes"])
    assert found["num_detections"].tolist() == [count]
    assert (found["labels"][0, :count] + 1).tolist() == [int(label) for label in golden["labels"]]
    worst = max(worst, np.abs(found["boxes"][0, :count] - golden["boxes"]).max() / largest)
    worst = max(worst, np.abs(found["scores"][0, :count] - golden["scores"]).max())
    assert (found["boxes"][0, count:] == -1).all() and (found["labels"][0, count:] == -1).all()
    record_property("worst difference", f"{worst:.1e}")
    assert worst <= 1e-4


def padded(golden_training):
    boxes, labels = np.full((2, 4, 4), -1.0, "float32"), np.full((2, 4), -1)
    for i, (some, theirs) in enumerate(zip(golden_training["boxes"], golden_training["labels"])):
        boxes[i, : len(some)], labels[i, : len(some)] = some, np.array(theirs) - 1
    return {"boxes": boxes, "labels": labels}


class Loss:
    """A model with its loss, as a layer."""

    def __init__(self, model, truth):
        self.model, self.truth = model, truth
        self.trainable_weights, self.non_trainable_variables = model.trainable_weights, model.non_trainable_variables

    def __call__(self, inputs, training):
        return self.model.compute_loss(inputs, self.truth, self.model(inputs, training=training))


def slopes_of(model, golden, images):
    """torchvision's name -> the gradient of the loss along a direction."""
    weights = named_weights(model)
    kept = {name: keras.ops.convert_to_numpy(weight.value) for name, weight in weights.items()}
    shapes = {name: tuple(shape) for name, shape in golden["shapes"].items()}
    truth = padded(golden["training"])
    found = gradients(Loss(model, truth), images, of=lambda loss: loss)
    found = dict(zip(map(id, model.trainable_weights), found))
    # The directions take the way of the weights, and so the order of their axes.
    keras_blocks.convert_weights({name: golden_weights.direction(name, shape) for name, shape in shapes.items()}, model)
    names = model.weight_names()["torchvision"]
    slopes = {}
    for path, weight in weights.items():
        layer, _, variable = path.rpartition("/")
        theirs = f"{names[layer]}.{'bias' if variable == 'bias' else 'weight'}"
        if theirs in golden["training"]["slopes"] and id(weight) in found:
            slopes[theirs] = float((found[id(weight)].astype("float64") * np.asarray(weight.numpy())).sum())
        weight.assign(kept[path])
    return slopes


# XLA compiles them for seconds: on every backend, and of all three, where all is run.
@pytest.mark.once
@pytest.mark.parametrize("name", DETECTORS if run_all() else list(DETECTORS)[:1])
def test_losses_are_torchvisions(name, record_property):
    model, golden = detector(name)
    training = golden["training"]
    images = 255 * golden_weights.uniform("images to train detectors", (2, *golden["images"][1:]), 0, 1)
    model.freeze_normalization()
    model.compile("sgd")
    found = model.evaluate(images, padded(training), batch_size=2, verbose=0, return_dict=True)
    outputs = {theirs: found[ours] for theirs, ours in LOSSES.items()}
    assert outputs == pytest.approx(training["losses"], rel=1e-4)
    slopes = slopes_of(model, golden, images)
    assert set(slopes) == set(training["slopes"])
    # float32 puts a few inputs of ReLUs on the other side of the kink than float64; a wrong one differs by its norm.
    for weight, (expected, norm) in training["slopes"].items():
        assert abs(slopes[weight] - expected) < 0.02 * norm, weight
    assert found["loss"] == pytest.approx(sum(training["losses"].values()), rel=1e-4)


@pytest.mark.once
def test_weights_under_the_names_of_before_torchvision_0_13():
    """As its COCO weights are: what FeaturePyramidNetwork's and RPNHead's `_load_from_state_dict` rename today."""
    model, golden = detector("faster_rcnn_resnet18_fpn_96x128")
    weights = golden_weights.weights(golden["shapes"], gains=golden["gains"])
    expected = [weight.numpy() for weight in model.weights]
    older = {}
    for name, value in weights.items():
        for block in ("inner_blocks", "layer_blocks"):
            name = re.sub(rf"fpn\.{block}\.(\d)\.0\.", rf"fpn.{block}.\1.", name)
        older[name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")] = value
    assert len(set(older) - set(weights)) == 2 * (4 + 4 + 1)
    for weight in model.weights:
        weight.assign(weight * 0)
    keras_blocks.convert_weights(older, model)
    for weight, value in zip(model.weights, expected):
        np.testing.assert_array_equal(weight.numpy(), value)
