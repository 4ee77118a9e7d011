"""Selective search: the same regions each time, and kept."""

import subprocess
import sys

import numpy as np
import pytest

from keras_blocks import VOCDetection, region_proposals, selective_search

pytestmark = pytest.mark.once


@pytest.fixture
def scene(rng):
    """Three rectangles of their own colours on a ground with some noise."""
    image = rng.normal(90, 3, (60, 80, 3))
    for (x1, y1, x2, y2), colour in ((REGIONS[0], 230), (REGIONS[1], 20), (REGIONS[2], 160)):
        image[y1:y2, x1:x2] = colour
    return image.clip(0, 255)


REGIONS = [[8, 6, 30, 26], [40, 10, 70, 30], [20, 34, 60, 54]]


def test_objects_are_among_the_regions(scene):
    found = selective_search(scene)
    assert found.dtype == "float32" and found.shape[1] == 4 and len(np.unique(found, axis=0)) == len(found)
    assert (found[:, 2:] > found[:, :2]).all() and (found >= 0).all() and (found <= [80, 60, 80, 60]).all()
    for region in REGIONS:
        assert np.abs(found - region).max(axis=1).min() <= 1


SAME = """
import sys
import numpy as np
from keras_blocks import selective_search

scene = np.load(sys.argv[1])
found = selective_search(scene)
for _ in range(5):
    np.testing.assert_array_equal(selective_search(scene), found)
np.testing.assert_array_equal(selective_search(scene.round().astype("uint8")), found)
np.testing.assert_array_equal(selective_search(scene, max_regions=3), found[:3])
np.save(sys.argv[2], found)
"""


def test_the_same_image_has_the_same_regions_in_the_same_order(scene, tmp_path):
    """In a process of its own: what other tests have left running may draw from the C library's `rand`, too."""
    np.save(tmp_path / "scene.npy", scene)
    command = [sys.executable, "-c", SAME, tmp_path / "scene.npy", tmp_path / "found.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(np.load(tmp_path / "found.npy")) > 10


def test_more_thorough_modes_find_more(scene):
    counts = [len(selective_search(scene, mode)) for mode in ("single", "fast", "quality")]
    assert counts == sorted(counts) and counts[0] < counts[2]


def test_an_image_of_one_colour_has_the_region_of_all_of_it():
    assert selective_search(np.full((20, 30, 1), 90, "uint8")).tolist() == [[0, 0, 30, 20]]


def test_regions_are_computed_once_and_kept(boxed, tmp_path, monkeypatch):
    """Of an image, by its bytes: another dataset with some of the images goes on with the file."""
    three = boxed(
        [[box] for box in ([8, 6, 30, 26], [20, 10, 50, 30], [5, 5, 50, 38])], size=(40, 60), image_size=(40, 50)
    )
    file = tmp_path / "regions.npz"
    found = region_proposals(three, file, max_regions=12)
    assert found.shape == (3, 12, 4) and found.dtype == "float32"
    for row, path in zip(found, three.files):
        there = row[(row != -1).any(axis=1)]
        assert len(there) > 0 and (row[len(there) :] == -1).all() and path.exists()
        assert (there[:, 2:] <= [50, 33]).all(), "regions of the black border"
    four = boxed(
        [[box] for box in ([8, 6, 30, 26], [1, 1, 20, 20], [5, 5, 50, 38])], size=(40, 60), image_size=(40, 50)
    )
    searched = []
    monkeypatch.setattr("keras_blocks.detection.proposals.selective_search", lambda *a: searched.append(a) or found[1])
    again = region_proposals(four, file, max_regions=12)
    assert len(searched) == 1
    np.testing.assert_array_equal(again, found)
    assert [item.name for item in tmp_path.iterdir() if item.suffix != ".png"] == ["regions.npz"]


def damaged(**arrays):
    good = {"settings": "fast 5 40x60", "images": ["a"], "counts": [1], "regions": np.zeros((1, 4), "float32")}
    return lambda path: np.savez(path, **{key: value for key, value in {**good, **arrays}.items() if value is not None})


FILES = {
    "no archive": (lambda path: path.write_bytes(b"no archive"), "keeps no regions that can be read"),
    "empty": (lambda path: path.write_bytes(b""), "keeps no regions that can be read"),
    "a folder": (lambda path: path.mkdir(), "keeps no regions that can be read"),
    "other settings": (
        damaged(settings="fast 7 40x60"),
        r"made with other settings \(fast 7 40x60, and not fast 5 40x60",
    ),
    "other arrays": (damaged(regions=None), "keeps no regions that can be read"),
    "objects": (damaged(images=np.array([{}])), "keeps no regions that can be read"),
    "fewer regions": (damaged(counts=[2]), "damaged: its parts"),
    "more regions than asked": (damaged(counts=[9], regions=np.zeros((9, 4), "float32")), "damaged: its parts"),
    "NaN": (damaged(regions=np.full((1, 4), np.nan, "float32")), "damaged: its parts"),
    "more images": (damaged(images=["a", "b"]), "damaged: its parts"),
}


@pytest.mark.parametrize("what", FILES)
def test_files_of_others_are_refused(what, boxed, tmp_path):
    make, words = FILES[what]
    make(tmp_path / "regions.npz")
    with pytest.raises(ValueError, match=rf"`path`: .*regions\.npz.*{words}"):
        region_proposals(boxed([[]]), tmp_path / "regions.npz", max_regions=5)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"mode": "slow"}, "`mode` must be one of"),
        ({"max_regions": 0}, "`max_regions` must be an integer from 1"),
        ({"image": np.zeros((2, 2, 3))}, r"4 pixels or more on each side; received \(2, 2\)"),
        ({"image": np.zeros((1, 20, 20, 3))}, "`image` must be one image"),
        ({"image": np.full((20, 20, 3), 300.0)}, "pixels from 0 to 255; received 300"),
        ({"image": np.full((20, 20, 3), 0.5)}, r"give image \* 255"),
    ],
)
def test_wrong_arguments(arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        selective_search(**{"image": np.zeros((20, 20, 3)), **arguments})


def test_wrong_arguments_of_what_is_kept(boxed):
    dataset = boxed([[]])
    with pytest.raises(ValueError, match=r"`path` must end with '\.npz'; received 'regions'"):
        region_proposals(dataset, "regions")
    with pytest.raises(TypeError, match="`dataset` must be a DetectionDataset"):
        region_proposals([3])


def test_without_opencv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"needs cv2.*pip install 'keras-blocks\[proposals\]'"):
        selective_search(np.zeros((20, 20, 3)))


@pytest.mark.filterwarnings("ignore:VOCDetection:UserWarning")
def test_of_the_blood_cells_white_ones_are_found(bccd):
    """They are large and of one colour: most have a region with an IoU above a half."""
    dataset = VOCDetection(bccd, "test", labels=["WBC"], image_size=(120, 160))
    hits = []
    for i in range(8):
        found = selective_search(dataset.image(i), "single")
        for box in dataset.from_original(i, dataset.ground_truth()[i]["boxes"]):
            low, high = np.maximum(found[:, :2], box[:2]), np.minimum(found[:, 2:], box[2:])
            shared = np.clip(high - low, 0, None).prod(axis=1)
            union = (found[:, 2:] - found[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - shared
            hits.append((shared / union).max() > 0.5)
    assert len(hits) >= 8 and np.mean(hits) > 0.6
