"""COCO's figures: pycocotools' own, on hand-made cases and on the real blood cells."""

import io
import sys
from contextlib import redirect_stdout

import keras
import numpy as np
import pytest

from keras_blocks import DetectionDataset, VOCDetection, coco_metrics, evaluate_detections
from keras_blocks.detection.evaluation import FIGURES

pytestmark = pytest.mark.once

FAR = [200, 200, 260, 260]
TRUTH = [{"boxes": [[0, 0, 50, 50], [100, 100, 160, 150]], "labels": [0, 0]}]


def found(boxes, scores=None, labels=None):
    return [{"boxes": boxes, "scores": scores or [0.9, 0.8, 0.7][: len(boxes)], "labels": labels or [0] * len(boxes)}]


# What is found of two objects -> mAP@0.5, by hand: the precision at each of 101 recalls is the best from there on.
BY_HAND = {
    "both": (found([[0, 0, 50, 50], [100, 100, 160, 150]]), 1.0),
    "both, and after them a third that is none": (found([[0, 0, 50, 50], [100, 100, 160, 150], FAR]), 1.0),
    "one": (found([[0, 0, 50, 50]]), 51 / 101),
    "before both one that is none": (found([FAR, [0, 0, 50, 50], [100, 100, 160, 150]]), 2 / 3),
    "one, one that is none, the other": (found([[0, 0, 50, 50], FAR, [100, 100, 160, 150]]), (51 + 50 * 2 / 3) / 101),
    "one twice": (found([[0, 0, 50, 50], [1, 1, 50, 50]]), 51 / 101),
    "one, with less than half of it": (found([[0, 0, 50, 24]]), 0.0),
    "nothing": (found([]), 0.0),
    "both, as another class": (found([[0, 0, 50, 50], [100, 100, 160, 150]], labels=[1, 1]), 0.0),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_average_precision_by_hand(what):
    predictions, expected = BY_HAND[what]
    figures = coco_metrics(TRUTH, predictions, ["cat", "dog"])
    assert figures["mAP@0.5"] == pytest.approx(expected, abs=1e-6) == figures["AP@0.5"]["cat"]
    assert list(figures) == [*FIGURES, "AP", "AP@0.5"] and all(isinstance(figures[name], float) for name in FIGURES)
    assert np.isnan(figures["AP"]["dog"]), "what is not there has no precision, and is in no mean"


def test_thresholds_from_a_half_to_almost_all():
    """An IoU of 0.8 reaches seven of ten thresholds: 0.5 to 0.8."""
    figures = coco_metrics([{"boxes": [[0, 0, 50, 50]], "labels": [0]}], found([[0, 0, 50, 40]]), ["cat"])
    assert (figures["mAP"], figures["mAP@0.75"]) == pytest.approx((0.7, 1.0))
    assert figures["mAP_medium"] == pytest.approx(0.7) and np.isnan(figures["mAP_small"])


# Of the second object there is more to say -> mAP@0.5 of this box, and of one with a lower score that finds the first.
ASIDE = {
    "difficult, and found": ({"difficult": [0, 1]}, [100, 100, 160, 150], 1.0),
    "difficult, and within it a part of it": ({"difficult": [0, 1]}, [100, 100, 115, 110], 0.5),
    "a crowd, and within it a part of it": ({"iscrowd": [0, 1]}, [100, 100, 115, 110], 1.0),
    "neither": ({}, [100, 100, 115, 110], 51 / 101 / 2),
}


@pytest.mark.parametrize("what", ASIDE)
def test_what_counts_neither_for_nor_against(what):
    about, box, expected = ASIDE[what]
    truth = [{**TRUTH[0], **about}]
    figures = coco_metrics(truth, found([box, [0, 0, 50, 50]]), ["cat"])
    assert figures["mAP@0.5"] == pytest.approx(expected, abs=1e-6)


def test_areas_are_those_that_are_given():
    """COCO sorts objects by the area within their outline."""
    truth = [{"boxes": [[0, 0, 50, 50]], "labels": [0], "area": [1000.0]}]
    figures = coco_metrics(truth, found([[0, 0, 50, 50]]), ["cat"])
    assert figures["mAP_small"] == pytest.approx(1) and np.isnan(figures["mAP_medium"])


def test_all_forms_of_predictions():
    """Of one image each, as torchvision has them; or of all, padded, as ours and KerasHub's detectors give them."""
    alone = found([[0, 0, 50, 50], FAR])
    padded = {
        "boxes": np.array([[[0, 0, 50, 50], FAR, [-1] * 4, [0, 0, 1, 1]]]),
        "scores": np.array([[0.9, 0.8, -1, 0.99]]),
        "labels": np.array([[0, 0, -1, 0]]),
        "num_detections": np.array([2]),
    }
    renamed = {"boxes": padded["boxes"][:, :2], "confidence": [[0.9, 0.8]], "classes": [[0, 0]]}
    figures = [coco_metrics(TRUTH, one, ["cat"]) for one in (alone, padded, renamed)]
    assert str(figures[0]) == str(figures[1]) == str(figures[2])  # NaN equals nothing


@pytest.fixture(scope="module")
def cells(bccd):
    """Thirty images of them."""
    with pytest.warns(UserWarning, match="1 of zero area"):
        whole = VOCDetection(bccd, "val")
    return DetectionDataset(whole.files[:30], whole.ground_truth()[:30], whole.labels)


def near(dataset, rng, sigma):
    """All boxes that there are, moved by some pixels of the batches."""
    images, most = len(dataset.files), max(len(one["boxes"]) for one in dataset.ground_truth())
    made = {"boxes": np.full((images, most, 4), -1.0, "float32"), "scores": np.full((images, most), -1.0, "float32")}
    made["labels"] = np.full((images, most), -1)
    for i, one in enumerate(dataset.ground_truth()):
        count = len(one["boxes"])
        made["boxes"][i, :count] = dataset.from_original(i, one["boxes"]) + rng.normal(0, sigma, (count, 4))
        made["scores"][i, :count] = rng.uniform(0.1, 1, count)
        made["labels"][i, :count] = one["labels"]
    made["num_detections"] = (made["labels"] >= 0).sum(axis=1)
    return made


def test_of_the_blood_cells_what_is_there_has_the_precision_1(cells, rng):
    figures = evaluate_detections(near(cells, rng, 0), cells)
    assert figures["mAP"] == pytest.approx(1, abs=1e-5) and figures["AR@100"] == pytest.approx(1)
    assert figures["AP"] == pytest.approx({"Platelets": 1, "RBC": 1, "WBC": 1})


def test_of_the_blood_cells_figures_are_those_of_pycocotools(cells, rng):
    """Its own way: a file's dict, in the files' pixels, and a list of results."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    made = near(cells, rng, 2)
    rows, results = [], []
    for i, one in enumerate(cells.ground_truth()):
        for (x1, y1, x2, y2), place in zip(one["boxes"].tolist(), one["labels"].tolist()):
            about = {"image_id": i, "category_id": place, "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
            rows.append({"id": len(rows) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], **about})
        for j in range(made["num_detections"][i]):
            x1, y1, x2, y2 = np.clip(made["boxes"][i, j].astype(float) * 2, 0, [640, 480, 640, 480]).tolist()
            about = {"image_id": i, "category_id": int(made["labels"][i, j]), "score": float(made["scores"][i, j])}
            results.append({"bbox": [x1, y1, x2 - x1, y2 - y1], **about})
    with redirect_stdout(io.StringIO()):
        truth = COCO()
        images = [{"id": i} for i in range(len(cells.files))]
        truth.dataset = {"images": images, "annotations": rows, "categories": [{"id": i} for i in range(3)]}
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(results), "bbox")
        run.evaluate(), run.accumulate(), run.summarize()
    figures = evaluate_detections(made, cells)
    np.testing.assert_allclose([figures[name] for name in FIGURES], run.stats, atol=1e-9)
    of_classes = run.eval["precision"][:, :, :, 0, 2].mean(axis=(0, 1))
    np.testing.assert_allclose(list(figures["AP"].values()), of_classes, atol=1e-9)
    assert 0.2 < figures["mAP"] < 0.9


class Same(keras.layers.Layer):
    """Finds the same in every image: a box of the left half, of the second class."""

    def call(self, images):
        first = keras.ops.zeros_like(images[:, 0, 0, :1])
        boxes = keras.ops.convert_to_tensor([[0.0, 0.0, 30.0, 40.0]])
        return {"boxes": first[:, :, None] + boxes, "scores": first + 0.9, "labels": first + 1.0}


def test_a_model_is_evaluated_in_order_and_without_augmentation(boxed):
    flip = keras.layers.RandomFlip("horizontal", bounding_box_format="xyxy")
    right = [[30, 0, 60, 40]], [[0, 0, 30, 40]], [[0, 0, 30, 40]]
    dataset = boxed(right, classes=[["dog"]] * 3, shuffle=True, seed=0, augmentation=flip)
    inputs = keras.Input((40, 60, 3))
    model = keras.Model(inputs, Same()(inputs))
    figures = evaluate_detections(model, dataset)
    assert figures["AR@1"] == pytest.approx(2 / 3)
    found = {"boxes": np.tile([[[0.0, 0.0, 30.0, 40.0]]], (3, 1, 1)), "scores": [[0.9]] * 3, "labels": [[1]] * 3}
    assert str(figures) == str(evaluate_detections(found, dataset.in_order()))  # NaN equals nothing
    with pytest.raises(ValueError, match=r"this one is shuffled: predict on dataset\.in_order"):
        evaluate_detections(found, dataset)


def test_other_models_and_datasets_are_refused(boxed):
    dataset = boxed([[[30, 0, 60, 40]]])
    with pytest.raises(TypeError, match=r"`model` must be a detector, or a dict .* received list"):
        evaluate_detections([1], dataset)
    with pytest.raises(TypeError, match="`dataset` must be a DetectionDataset; received 3"):
        evaluate_detections([1], 3)
    one = {"boxes": [[[0, 0, 1, 1]]] * 2, "scores": [[0.5]] * 2, "labels": [[0]] * 2}
    with pytest.raises(ValueError, match=r"`predictions` must be of the 1 images .* received 2"):
        evaluate_detections(one, dataset)


ONE = {"boxes": [[5, 5, 20, 20]], "labels": [0]}
FOUND = {"boxes": [[5, 5, 20, 20]], "scores": [0.5], "labels": [0]}

# What is wrong: ground truth, predictions or names -> what the error says.
EVALUATED = {
    "fewer images": ({"predictions": []}, "`predictions` must be of the 1 images of the ground truth; received 0"),
    "more images": ({"predictions": [FOUND, FOUND]}, "`predictions` must be of the 1 images .* received 2"),
    "no images": ({"predictions": [], "ground_truth": []}, "`ground_truth` must be of one image or more"),
    "no scores": ({"predictions": [{key: FOUND[key] for key in ("boxes", "labels")}]}, "must be a dict like the first"),
    "fewer scores": ({"predictions": [{**FOUND, "scores": []}]}, "as many scores and classes"),
    "a score of NaN": ({"predictions": [{**FOUND, "scores": [float("nan")]}]}, "finite boxes and scores"),
    "an infinite box": ({"predictions": [{**FOUND, "boxes": [[5, 5, float("inf"), 20]]}]}, "finite boxes and scores"),
    "a class beyond": ({"predictions": [{**FOUND, "labels": [2]}]}, "classes from 0 to 1, .* received 2"),
    "a true box of NaN": ({"ground_truth": [{**ONE, "boxes": [[float("nan")] * 4]}]}, "the box .* is with NaN"),
    "a true box without area": ({"ground_truth": [{**ONE, "boxes": [[5, 5, 5, 9]]}]}, "is of zero area"),
    "a true class beyond": ({"ground_truth": [{**ONE, "labels": [2]}]}, "is of unknown classes"),
    "a name that is none": ({"ground_truth": [{**ONE, "labels": ["cow"]}]}, "is of unknown classes"),
}


@pytest.mark.parametrize("what", EVALUATED)
def test_what_is_evaluated(what):
    changes, words = EVALUATED[what]
    given = {"ground_truth": [ONE], "predictions": [FOUND], "labels": ["cat", "dog"], **changes}
    with pytest.raises((TypeError, ValueError), match=words):
        coco_metrics(**given)


def test_without_pycocotools_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(ImportError, match=r"needs pycocotools.*pip install 'keras-blocks\[detection\]'"):
        coco_metrics(TRUTH, found([FAR]), ["cat"])
