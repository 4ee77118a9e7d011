"""COCO's files: categories by their ids, images by theirs, and the way back to both."""

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
import scenes
from scenes import coco_contents, write_coco

from keras_blocks import COCODetection, evaluate_detections

pytestmark = pytest.mark.once

BOXES = [[(10, 8, 20, 16), (1, 2, 8, 8)], [], [(0, 0, 60, 40), (30, 20, 10, 10), (5, 5, 50, 30)]]


@pytest.fixture
def contents():
    made = coco_contents(BOXES)
    made["annotations"][-1]["iscrowd"] = 1
    return made


def test_classes_are_the_categories_in_the_order_of_their_ids(tmp_path, contents):
    dataset = COCODetection(*write_coco(tmp_path, contents), image_size=scenes.SIZE, batch_size=3)
    assert dataset.labels == ("cat", "dog") and dataset.category_ids == [4, 9]
    assert dataset.image_ids == [100, 97, 94]
    _, targets = dataset[0]
    np.testing.assert_array_equal(targets["boxes"][0], [[10, 8, 30, 24], [1, 2, 9, 10]])
    assert targets["labels"].tolist() == [[1, 0], [-1, -1], [1, 0]], "the crowd is in no batch"
    truth = dataset.ground_truth()[2]
    assert truth["iscrowd"].tolist() == [False, False, True] and truth["area"].tolist() == [50.0] * 3


def test_some_categories_alone(tmp_path, contents):
    with pytest.warns(UserWarning, match="of 5 boxes are left out 2 of unknown classes"):
        dataset = COCODetection(*write_coco(tmp_path, contents), labels=["dog"])
    assert dataset.category_ids == [9] and dataset.max_boxes == 1


def test_what_may_be_missing(tmp_path, contents):
    """Sizes, areas, crowds; 80 further keys are no matter."""
    for one in contents["images"]:
        del one["height"], one["width"]
    for one in contents["annotations"]:
        del one["iscrowd"], one["area"]
        one["segmentation"] = []
    dataset = COCODetection(*write_coco(tmp_path, {**contents, "info": {}, "licenses": []}))
    assert dataset.ground_truth()[0]["area"].tolist() == [320, 64]


def test_images_in_folders_within(tmp_path):
    contents = coco_contents()
    contents["images"][0]["file_name"] = "train/deep/0.png"
    path, images = write_coco(tmp_path, contents)
    scenes.save_image(images / "train" / "deep" / "0.png")
    assert len(COCODetection(path, images).files) == 1


def predictions(dataset, rng):
    """Boxes near those that there are, in pixels of the batches, with some that are wrong."""
    images, most = len(dataset.files), 4
    found = {"boxes": np.full((images, most, 4), -1.0), "scores": np.full((images, most), -1.0)}
    found["labels"] = np.full((images, most), -1)
    for i, one in enumerate(dataset.ground_truth()):
        count = len(one["boxes"])
        found["boxes"][i, :count] = dataset.from_original(i, one["boxes"] + rng.normal(0, 1, (count, 4)))
        found["boxes"][i, count] = [2, 2, 30, 30]
        found["scores"][i, : count + 1] = rng.uniform(0.1, 1, count + 1)
        found["labels"][i, : count + 1] = [*one["labels"], i % 2]
    return found


def test_results_are_those_that_pycocotools_reads_and_figures_are_its(tmp_path, contents, rng):
    """The file and the results as COCO's own programs take them, with its ids and in its pixels."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    path, images = write_coco(tmp_path, contents)
    dataset = COCODetection(path, images, image_size=(80, 90))
    found = predictions(dataset, rng)
    with redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        run = COCOeval(truth, truth.loadRes(dataset.results(found)), "bbox")
        run.evaluate(), run.accumulate(), run.summarize()
    figures = evaluate_detections(found, dataset)
    ours = [value for value in figures.values() if not isinstance(value, dict)]
    np.testing.assert_allclose(ours, np.where(run.stats == -1, np.nan, run.stats), atol=1e-12)
    assert 0 < figures["mAP"] < 1
    with pytest.raises(ValueError, match="`predictions` must be of the 3 images; received 2"):
        dataset.results({key: value[:2] for key, value in found.items()})
