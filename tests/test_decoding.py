"""Outputs become class names, which travel in the saved file."""

import keras
import numpy as np

import keras_blocks

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
