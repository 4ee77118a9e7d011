"""Pictures of detections: where lines and names are, and what is refused."""

import sys

import numpy as np
import pytest
from PIL import Image

from keras_blocks import draw_detections
from keras_blocks.detection.drawing import COLOURS

pytestmark = pytest.mark.once

GREY = np.full((40, 60, 3), 90, "uint8")


def drawn(predictions, labels=("cat", "dog"), image=GREY, **options):
    return np.asarray(draw_detections(image, predictions, labels, **{"scale": 8, **options})).astype(int)


def has(picture, place):
    """How many pixels have the colour of a class."""
    return (picture == COLOURS[place]).all(axis=-1).sum()


def test_a_box_is_drawn_where_it_is_in_the_colour_of_its_class():
    picture = drawn({"boxes": [[10, 15, 50, 35]], "scores": [0.9], "labels": [1]})
    assert picture.shape == (320, 480, 3)
    rows, columns = np.nonzero((picture[120:] == COLOURS[1]).all(axis=-1))
    assert [columns.min(), rows.max() + 120, columns.max()] == [80, 279, 399]
    assert (picture[124:270, 90:390] == 90).all(), "the inside of a box is as it was"
    assert not has(picture, 0) and has(picture[:120], 1) > 500, "its name stands above it"


def test_names_and_scores_are_written():
    box = {"boxes": [[10, 15, 50, 35]], "labels": [1]}
    wide = [
        np.nonzero((picture[:119] == COLOURS[1]).any(axis=(0, 2)))[0].size
        for picture in (
            drawn(box),
            drawn({**box, "scores": [0.9]}),
            drawn({**box, "scores": [0.9]}, ("cat", "a long name")),
            drawn({**box, "scores": [0.9]}, None),
        )
    ]
    assert wide[3] < wide[1] < wide[2] and wide[0] < wide[1]


def test_what_scores_less_than_the_threshold_is_not_drawn():
    found = {"boxes": [[10, 15, 30, 35], [30, 15, 50, 35]], "scores": [0.6, 0.4], "labels": [0, 1]}
    assert [bool(has(drawn(found), place)) for place in (0, 1)] == [True, False]
    assert [bool(has(drawn(found, threshold=0.3), place)) for place in (0, 1)] == [True, True]


def test_padding_is_not_drawn():
    found = {"boxes": [[10, 15, 30, 35], [-1] * 4, [30, 15, 50, 35]], "scores": [0.6, 0.9, 0.9], "labels": [0, -1, 1]}
    counted = {**found, "num_detections": 1}
    truth = {"boxes": found["boxes"][:2], "labels": [0, -1]}
    assert has(drawn(found), 1) and not has(drawn(counted), 1)
    assert has(drawn(truth), 0) and (drawn({"boxes": [], "labels": []}) == 90).all()


def test_small_images_are_enlarged_and_large_ones_are_not():
    nothing = {"boxes": [], "labels": []}
    sizes = [
        draw_detections(np.zeros((h, w, 3)), nothing).size for h, w in ((32, 40), (240, 320), (480, 640), (900, 700))
    ]
    assert sizes == [(640, 512), (640, 480), (640, 480), (700, 900)]


def test_names_stay_within_the_picture_and_apart():
    """At every border, and where two boxes begin at one point."""
    boxes = [[0, 0, 59, 39], [0, 0, 59, 39], [55, 0, 60, 5], [0, 36, 5, 40], [-20, -20, 90, 90]]
    picture = drawn({"boxes": boxes, "labels": [0, 1, 0, 1, 1]}, ("a name", "another name"))
    assert picture.shape == (320, 480, 3)
    for place in (0, 1):
        assert has(picture, place) > 800, "one name hides the other"


@pytest.mark.parametrize("form", ["float32", "grey", "flat", "pillow"])
def test_all_forms_of_an_image(form):
    image = {
        "float32": GREY.astype("float32"),
        "grey": GREY[..., :1],
        "flat": GREY[..., 0],
        "pillow": Image.fromarray(GREY),
    }
    found = {"boxes": [[10, 15, 50, 35]], "scores": [0.9], "labels": [1]}
    np.testing.assert_array_equal(drawn(found, image=image[form]), drawn(found))


def test_more_classes_than_colours():
    found = {"boxes": [[10, 15, 50, 35]], "scores": [0.9], "labels": [len(COLOURS) + 3]}
    assert has(drawn(found, None), 3)


FOUND = {"boxes": [[10, 15, 50, 35]], "scores": [0.9], "labels": [0]}
REFUSED = {
    "a batch": ({"image": GREY[None]}, "one image"),
    "no pixels": ({"image": GREY[:0]}, "one image"),
    "from 0 to 1": ({"image": GREY / 255}, r"give image \* 255"),
    "NaN": ({"image": np.full((4, 4, 3), np.nan)}, "pixels from 0 to 255; received nan"),
    "below 0": ({"image": GREY.astype(float) - 128}, "pixels from 0 to 255; received -38"),
    "all images' detections": (
        {"predictions": {key: [value] for key, value in FOUND.items()}},
        "must have boxes of the",
    ),
    "a list": ({"predictions": [FOUND]}, "must be a dict of one image; received list"),
    "no boxes": ({"predictions": {"labels": [0]}}, "must have the key 'boxes'"),
    "no labels": ({"predictions": {"boxes": [[1, 2, 3, 4]]}}, "must have the key 'labels'"),
    "a class without a name": ({"predictions": {**FOUND, "labels": [2]}}, "classes from 0 to 1"),
    "a true class without a name": (
        {"predictions": {"boxes": FOUND["boxes"], "labels": [2]}},
        "must have classes among",
    ),
    "an infinite box": ({"predictions": {**FOUND, "boxes": [[0, 0, 9, np.inf]]}}, "finite boxes"),
    "a true box of NaN": ({"predictions": {"boxes": [[0, 0, 9, np.nan]], "labels": [0]}}, "finite boxes"),
    "a threshold that is none": ({"threshold": "high"}, "`threshold` must be a number"),
    "no scale": ({"scale": 0}, "`scale` must be an integer from 1 to 16"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what):
    changes, words = REFUSED[what]
    with pytest.raises((TypeError, ValueError), match=words):
        draw_detections(**{"image": GREY, "predictions": FOUND, "labels": ["cat", "dog"], **changes})


def test_without_pillow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"needs PIL.*pip install 'keras-blocks\[detection\]'"):
        draw_detections(GREY, FOUND)
