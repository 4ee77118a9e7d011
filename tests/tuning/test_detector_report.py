"""The page on a detector's training: its losses, COCO's figures, and pictures in it, of whatever files they were."""

import base64
import io

import pytest
from PIL import Image
from test_html_report import HOSTILE, Page

from keras_blocks.tuning.report.html_report import write_detector_report

FIGURES = {"mAP": 0.4, "mAP@0.5": 0.6, "mAP large": None, "AP": {"a": 0.5, "b": None}, "AP@0.5": {"a": 0.7, "b": None}}
HISTORY = {
    **{name: [2.0, 1.0] for name in ("loss", "rpn_objectness_loss", "rpn_box_loss", "class_loss", "box_loss")},
    **{name: [0.1, 0.4] for name in ("val_mAP", "val_mAP@0.5")},
    "learning_rate": [0.1, 0.0],
}
RESULT = {
    "class_names": ["a", "b"],
    "image_size": [64, 96],
    **{f"{part}_images": 3 for part in ("train", "val", "test")},
    "val": {**FIGURES, "mAP": 0.41},
    "test": FIGURES,
    "kept_epoch": 2,
    "epochs": 2,
    "params": 12_345,
    "seconds": 75.0,
    "history": HISTORY,
    "pictures": ["first.jpg", "second.jpg"],
}


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path in paths:
        Image.new("RGB", (1500, 900), "red").save(path)
    return paths


def images_of(page):
    return [Image.open(io.BytesIO(base64.b64decode(one["src"].partition(",")[2]))) for one in page.all("img")]


def test_it_shows_losses_figures_classes_and_pictures(pictures, tmp_path):
    page = Page(write_detector_report(RESULT, pictures, tmp_path / "report.html", title="Cells", notes={"seed": 3}))
    assert [one["id"] for one in page.all("section")] == ["losses", "coco", "detections", "settings"]
    losses, precisions = page.figures["losses"]["data"], page.figures["precisions"]["data"]
    assert [line["name"] for line in losses[:2]] == ["all together", "proposals: object or not"] and len(losses) >= 5
    assert [line["name"] for line in precisions[:2]] == ["mAP", "mAP@0.5"]
    text = page.section("coco")
    assert "a 0.500 0.700 0.500 0.700" in text and "b - - - -" in text
    assert "mAP 0.400 0.410" in text and "mAP large - -" in text
    assert "first.jpg" in page.section("detections") and "test images" in page.section("detections")
    assert [image.size for image in images_of(page)] == [(1000, 600)] * 2
    assert "1 min 15 s" in page.section("losses") and "seed" in page.section("settings")


def test_without_a_test_part_it_is_of_the_images_to_validate(pictures, tmp_path):
    result = {**RESULT, "test": None, "test_images": 0}
    del result["pictures"]  # as before they were told
    page = Page(write_detector_report(result, pictures[:1], tmp_path / "report.html", title="Cells"))
    assert "mAP 0.410" in page.section("coco") and "test images" not in page.section("coco")
    assert "image 1" in page.section("detections") and "validation images" in page.section("detections")
    empty = Page(write_detector_report(result, [], tmp_path / "report.html", title="Cells"))
    assert "There are no pictures." in empty.section("detections")


def test_names_are_text(pictures, tmp_path):
    classes = {kind: {HOSTILE: 0.5} for kind in ("AP", "AP@0.5")}
    hostile = {
        **RESULT,
        "class_names": [HOSTILE],
        "pictures": [HOSTILE, HOSTILE],
        "test": {**FIGURES, **classes},
        "val": {**FIGURES, **classes},
    }
    page = Page(write_detector_report(hostile, pictures, tmp_path / "report.html", title=HOSTILE, notes={HOSTILE: 1}))
    assert page.all("img", src="x") == [] and page.all("b") == []
    assert all(HOSTILE.split()[0] in page.section(name) for name in ("coco", "detections", "settings"))
