"""Outputs become class names, which travel in the saved file."""

import keras
import numpy as np
import pytest

import keras_blocks

pytestmark = pytest.mark.once

NAMES = ["ant", "bee", "cat"]


def test_the_best_come_first_and_equal_ones_in_their_order():
    scores = np.array([[0.25, 0.5, 0.25], [0.125, 0.25, 0.625]], "float32")
    assert keras_blocks.decode_predictions(scores, NAMES) == [
        [(1, "bee", 0.5), (0, "ant", 0.25), (2, "cat", 0.25)],
        [(2, "cat", 0.625), (1, "bee", 0.25), (0, "ant", 0.125)],
    ]
    best = keras_blocks.decode_predictions(keras.ops.convert_to_tensor(scores), NAMES, top=1)
    assert best == [[(1, "bee", 0.5)], [(2, "cat", 0.625)]]


def test_sigmoids_decide_for_none_or_several():
    scores = np.array([[0.75, 0.25, 0.5], [0.25, 0.125, 0.0]])
    decided = keras_blocks.decode_predictions(scores, NAMES, top=None, threshold=0.5)
    assert decided == [[(0, "ant", 0.75), (2, "cat", 0.5)], []]


def test_several_outputs_give_a_dict_for_each_image():
    outputs = {"animal": np.eye(3)[[2, 0]], "tame": np.array([[0.25, 0.75], [0.5, 0.5]])}
    decoded = keras_blocks.decode_predictions(outputs, {"animal": NAMES, "tame": ["no", "yes"]}, top=1)
    assert decoded == [
        {"animal": [(2, "cat", 1.0)], "tame": [(1, "yes", 0.75)]},
        {"animal": [(0, "ant", 1.0)], "tame": [(0, "no", 0.5)]},
    ]


BOXES = np.array([[[1, 2, 3, 4], [5, 6, 7, 8], [-1] * 4], [[0, 0, 9, 9], [-1] * 4, [-1] * 4]], "float32")
SCORES = np.array([[0.5, 0.75, -1], [0.25, -1, -1]], "float32")
CLASSES = np.array([[2, 0, -1], [1, -1, -1]])
DECODED = [
    [("ant", 0.75, (5.0, 6.0, 7.0, 8.0)), ("cat", 0.5, (1.0, 2.0, 3.0, 4.0))],
    [("bee", 0.25, (0.0, 0.0, 9.0, 9.0))],
]


@pytest.mark.parametrize("keys", [("confidence", "labels"), ("confidence", "classes"), ("scores", "labels")])
def test_detections_of_keras_detectors(keys):
    """KerasHub's and KerasCV's NonMaxSuppression give dicts of these keys, padded with -1."""
    found = {"boxes": BOXES, keys[0]: SCORES, keys[1]: keras.ops.convert_to_tensor(CLASSES, "int32")}
    assert keras_blocks.decode_predictions(found, NAMES) == DECODED
    assert keras_blocks.decode_predictions(found, NAMES, top=1) == [image[:1] for image in DECODED]
    assert keras_blocks.decode_predictions(found, NAMES, threshold=0.5) == [DECODED[0], []]
    fewer = {**found, "num_detections": np.array([1, 0])}
    assert keras_blocks.decode_predictions(fewer, NAMES) == [DECODED[0][1:], []]


def test_detections_as_torchvisions():
    found = [
        {"boxes": boxes[:n], "labels": classes[:n], "scores": scores[:n]}
        for boxes, classes, scores, n in zip(BOXES, CLASSES, SCORES, (2, 1))
    ]
    assert keras_blocks.decode_predictions(found, NAMES) == DECODED
    nothing = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0), "scores": np.zeros(0)}
    assert keras_blocks.decode_predictions([nothing, *found], NAMES, top=None) == [[], *DECODED]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": CLASSES + 3}, "from 0 to 2.*received 5"),
        ({"labels": CLASSES - 0.5}, "received"),
        ({"confidence": np.where(SCORES > 0, np.nan, SCORES)}, "finite"),
        ({"boxes": np.where(BOXES > 8, np.inf, BOXES)}, "finite"),
        ({"boxes": BOXES[0]}, r"shape \(images, detections, 4\)"),
        ({"confidence": SCORES[:, :2]}, r"\(2, 2\)"),
    ],
)
def test_detections_that_are_none_are_refused(changed, message):
    found = {"boxes": BOXES, "confidence": SCORES, "labels": CLASSES, **changed}
    with pytest.raises(ValueError, match=message):
        keras_blocks.decode_predictions(found, NAMES)


def test_detections_without_classes_are_refused():
    with pytest.raises(ValueError, match="'labels', 'classes'"):
        keras_blocks.decode_predictions({"boxes": BOXES, "scores": SCORES}, NAMES)


def test_names_travel_in_the_file(tmp_path):
    model = keras_blocks.SqueezeNet(
        groups=[{"filters": [4]}], stem="tiny", input_shape=(8, 8, 1), classes=3, labels=NAMES
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.metaparameters.labels == tuple(NAMES)
    images = np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype("float32")
    found = again.decode_predictions(again(images), top=1)
    assert [image[0][1] for image in found] == [NAMES[i] for i in again.predict(images, verbose=0).argmax(axis=1)]
