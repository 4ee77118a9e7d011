"""Pascal VOC's files, and the real blood cells in them."""

import os

import numpy as np
import pytest
import scenes
from scenes import write_voc, xml, xml_object

from keras_blocks import VOCDetection

pytestmark = pytest.mark.once

DOG = xml_object((5, 5, 20, 20), "dog")
CAT = xml_object((10, 8, 30, 24), "cat", difficult=1)


@pytest.fixture
def folder(tmp_path):
    texts = {"one": xml(DOG, CAT), "two": xml(), "three": xml(xml_object((0, 0, 60, 40), "ape"))}
    return write_voc(tmp_path / "voc", texts, {"train": "one\ntwo\n", "val": "three\n\n"})


def test_a_split_is_read_in_its_order(folder):
    dataset = VOCDetection(folder, "train", image_size=scenes.SIZE)
    assert dataset.image_ids == ["one", "two"] and dataset.labels == ("ape", "cat", "dog")
    images, targets = dataset[0]
    assert images.shape == (2, 40, 60, 3) and targets["labels"].tolist() == [[2], [-1]]
    np.testing.assert_array_equal(targets["boxes"][0], [[5, 5, 20, 20]])
    one, two = dataset.ground_truth()
    assert one["labels"].tolist() == [2, 1] and one["difficult"].tolist() == [False, True] and len(two["boxes"]) == 0


def test_all_splits_have_the_same_classes(folder):
    """Else a detector's class 0 would be another animal in the validation part."""
    splits = [VOCDetection(folder, split).labels for split in ("train", "val", None)]
    assert splits == [("ape", "cat", "dog")] * 3
    assert VOCDetection(folder, None).image_ids == ["one", "three", "two"]


def test_classes_may_be_given_in_an_order_of_ones_own(folder):
    with pytest.warns(
        UserWarning, match=r"of 2 boxes are left out 1 of unknown classes \(the first: .*one.xml, box 2\)"
    ):
        dataset = VOCDetection(folder, "train", labels=["dog", "ape"])
    assert dataset[0][1]["labels"].tolist() == [[0], [-1]]


def test_numbers_and_sizes_are_read_as_programs_write_them(tmp_path):
    """With decimals, with blanks, and with 0 for a size that a program does not know."""
    text = xml(xml_object((" 5.5 ", "5e0", "20", "20.25"), " dog\n"), size=(0, 0))
    dataset = VOCDetection(write_voc(tmp_path / "voc", {"one": text}), image_size=scenes.SIZE)
    np.testing.assert_array_equal(dataset[0][1]["boxes"], [[[5.5, 5, 20, 20.25]]])
    assert dataset.labels == ("dog",)


def test_a_folder_around_the_right_one_is_told(folder):
    with pytest.raises(ValueError, match=r"is none\. Did you mean .*voc\?"):
        VOCDetection(folder.parent)


def test_the_home_and_paths_are_taken(folder, monkeypatch):
    monkeypatch.setenv("HOME", os.fspath(folder.parent))
    assert len(VOCDetection("~/voc", "val").files) == 1


def test_blood_cells_are_read_but_for_the_two_boxes_without_area(bccd):
    """The notice's counts: 4155 red cells, of which two boxes have no area, 372 white ones, 361 platelets."""
    with pytest.warns(UserWarning, match="of 4,888 boxes are left out 2 of zero area") as seen:
        dataset = VOCDetection(bccd, None)
    assert len(seen) == 1 and dataset.left_out == 2
    assert dataset.labels == ("Platelets", "RBC", "WBC") and len(dataset.files) == 364
    found = np.concatenate([one["labels"] for one in dataset.ground_truth()])
    assert np.bincount(found).tolist() == [361, 4153, 372]
    assert (dataset.original_sizes == (480, 640)).all()


@pytest.mark.filterwarnings("ignore:VOCDetection:UserWarning")
def test_the_official_splits_of_the_blood_cells(bccd):
    counts = [len(VOCDetection(bccd, split).files) for split in ("train", "val", "test", "trainval")]
    assert counts[:3] == [205, 87, 72] and counts[3] == 292
    images, targets = VOCDetection(bccd, "train")[3]
    assert images.shape == (2, 240, 320, 3) and 50 < images.mean() < 250 and (targets["labels"] >= 0).any()


@pytest.mark.parametrize("split, name, box", [("train", "BloodImage_00343", 4), ("val", "BloodImage_00338", 13)])
def test_the_boxes_without_area_are_errors_of_a_strict_dataset(bccd, split, name, box):
    with pytest.raises(ValueError, match=rf"{name}\.xml, box {box}: the box .* is of zero area"):
        VOCDetection(bccd, split, strict=True)
