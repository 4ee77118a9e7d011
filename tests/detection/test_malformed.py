"""Malformed data: files and arrays that are no images with boxes are refused at construction, by a clear error.

Boxes that are none are left out and counted, or refused as well.
"""

import json
import os

import numpy as np
import pytest
import scenes
from PIL import Image
from scenes import coco_contents, write_coco, write_voc, xml, xml_object

from keras_blocks import COCODetection, DetectionDataset, VOCDetection

pytestmark = pytest.mark.once

GOOD = xml_object((5, 5, 20, 20))
BOMB = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;&b;">]>' + xml(xml_object((5, 5, 20, 20), "&c;"))
OUTWARD = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + xml(xml_object((5, 5, 20, 20), "&b;"))

# What is wrong: the text of one.xml -> what the error says, beside the file's name.
TEXTS = {
    "an empty file": ("", "is no XML that can be read: no element found"),
    "no XML": ("not xml", "is no XML that can be read: syntax error"),
    "broken off": (xml(GOOD)[:-20], "is no XML that can be read"),
    "bytes of no encoding": (b"<annotation>\xff\xfe</annotation>", "is no XML that can be read"),
    "an unknown encoding": ('<?xml version="1.0" encoding="none-such"?>' + xml(GOOD), "is no XML that can be read"),
    "entities that grow": (BOMB, "a document type .* is not read"),
    "entities that read files": (OUTWARD, "a document type .* is not read"),
    "entities in UTF-16": (BOMB.encode("utf-16"), "a document type .* is not read"),
    "something else": ("<html/>", "must hold an <annotation>; it holds a <html>"),
    "no name": (xml(GOOD.replace("name", "title")), "object 1 has no <name>"),
    "a blank name": (xml(GOOD, xml_object((1, 1, 9, 9), " ")), "object 2 has no <name>"),
    "no box": (xml("<object><name>cat</name></object>"), "object 1 has no <bndbox>"),
    "a side that is missing": (xml(GOOD.replace("<xmax>20</xmax>", "")), "object 1 has no <xmax>"),
    "a side that is no number": (xml(xml_object((5, "five", 20, 20))), "a box of numbers; received .*'ymin': 'five'"),
    "a side in hexadecimal": (xml(xml_object(("0x5", 5, 20, 20))), "a box of numbers; received .*'xmin': '0x5'"),
    "difficult, but how": (
        xml(xml_object((5, 5, 20, 20), difficult="yes")),
        "<difficult> must be 0 or 1; received 'yes'",
    ),
    "a width that is none": (xml(GOOD, size=(40, "wide")), "<width> must be a whole number; received 'wide'"),
    "a negative height": (xml(GOOD, size=(-40, 60)), "<height> must be a whole number; received '-40'"),
    "another image's size": (
        xml(GOOD, size=(400, 600)),
        "must be those of the image; received 400x600, and .* has 40x60",
    ),
    "swapped sides": (xml(GOOD, size=(60, 40)), "must be those of the image; received 60x40, and .* has 40x60"),
    "shares of the image": (xml(xml_object((0.1, 0.2, 0.5, 0.9))), "boxes must be in pixels; received 1 that all lie"),
}


@pytest.mark.parametrize("what", TEXTS)
def test_texts_of_voc(what, tmp_path):
    text, words = TEXTS[what]
    folder = write_voc(tmp_path / "voc", {"one": text})
    with pytest.raises(ValueError, match=words) as caught:
        VOCDetection(folder)
    assert "one.xml" in str(caught.value) or "shares" in what


def put(folder, name, text):
    (folder / name).write_text(text)


# What is wrong: what is done to a good folder of one image -> what the error says.
FOLDERS = {
    "no folder": (lambda folder: os.rename(folder, folder.parent / "moved"), "must be a folder with Annotations and"),
    "no annotations": (lambda folder: os.rename(folder / "Annotations", folder / "labels"), "must be a folder with"),
    "no images": (lambda folder: os.rename(folder / "JPEGImages", folder / "images"), "must be a folder with"),
    "no split": (
        lambda folder: os.remove(folder / "ImageSets/Main/train.txt"),
        "`split` must be None where there is no",
    ),
    "another split": (
        lambda folder: os.rename(folder / "ImageSets/Main/train.txt", folder / "ImageSets/Main/training.txt"),
        r"`split` must be one of \['training'\]; received 'train'. Did you mean 'training'",
    ),
    "an empty split": (
        lambda folder: put(folder, "ImageSets/Main/train.txt", "\n"),
        "must have names, each of them once",
    ),
    "a name twice": (lambda folder: put(folder, "ImageSets/Main/train.txt", "one\none"), "each of them once; it has 2"),
    "a split of one class": (
        lambda folder: put(folder, "ImageSets/Main/train.txt", "one -1"),
        "received 'one -1'. Texts of",
    ),
    "a name that leads elsewhere": (
        lambda folder: put(folder, "ImageSets/Main/train.txt", "../one"),
        "received '../one'",
    ),
    "a split of bytes": (
        lambda folder: (folder / "ImageSets/Main/train.txt").write_bytes(b"\xff\xfe\x00"),
        "must be a text of names",
    ),
    "a text that is missing": (lambda folder: os.remove(folder / "Annotations/one.xml"), "one.xml cannot be read"),
    "a text that is a folder": (
        lambda folder: (os.remove(folder / "Annotations/one.xml"), os.mkdir(folder / "Annotations/one.xml")),
        "one.xml must be a file; it is something else",
    ),
    "a text that is a pipe": (
        lambda folder: (os.remove(folder / "Annotations/one.xml"), os.mkfifo(folder / "Annotations/one.xml")),
        "one.xml must be a file; it is something else",
    ),
    "a text of gigabytes": (
        lambda folder: os.truncate(folder / "Annotations/one.xml", 2**32),
        "bytes at most; it has 4,29",
    ),
    "an image that is missing": (lambda folder: os.remove(folder / "JPEGImages/one.png"), "1 are missing, such as one"),
    "an image that is none": (
        lambda folder: put(folder, "JPEGImages/one.png", "png"),
        "one.png is not an image that can",
    ),
    "an empty image": (lambda folder: put(folder, "JPEGImages/one.png", ""), "one.png is not an image that can"),
    "an image that is a pipe": (
        lambda folder: (os.remove(folder / "JPEGImages/one.png"), os.mkfifo(folder / "JPEGImages/one.png")),
        "one.png is not an image that can be read: no regular file",
    ),
    "a link to nothing": (
        lambda folder: (os.remove(folder / "JPEGImages/one.png"), os.symlink("none", folder / "JPEGImages/one.png")),
        "one.png is not an image that can",
    ),
    "two images of a name": (
        lambda folder: scenes.save_image(folder / "JPEGImages/one.jpg"),
        "one image must have a name; one have",
    ),
    "no objects anywhere": (
        lambda folder: put(folder, "Annotations/one.xml", xml()),
        "`labels` must be given where no",
    ),
    "another text is broken": (lambda folder: put(folder, "Annotations/two.xml", "<"), "two.xml is no XML that can"),
}


@pytest.mark.parametrize("what", FOLDERS)
def test_folders_of_voc(what, tmp_path):
    change, words = FOLDERS[what]
    folder = write_voc(tmp_path / "voc", {"one": xml(GOOD)})
    change(folder)
    with pytest.raises(ValueError, match=words):
        VOCDetection(folder)


def test_huge_images_are_refused_before_they_are_read(tmp_path, monkeypatch):
    folder = write_voc(tmp_path / "voc", {"one": xml(GOOD)})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"one\.png must have 1,000 pixels at most"):
        VOCDetection(folder)


def test_an_image_that_breaks_off_is_refused_where_it_is_read(tmp_path):
    folder = write_voc(tmp_path / "voc", {"one": xml(GOOD)})
    image = folder / "JPEGImages" / "one.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*scenes.SIZE, 3), "uint8")).save(image)
    os.truncate(image, 2000)
    with pytest.raises(ValueError, match=r"one\.png is not an image that can be read"):
        VOCDetection(folder)[0]


def test_images_of_16_bits_are_refused(tmp_path):
    folder = write_voc(tmp_path / "voc", {"one": xml(GOOD)})
    Image.fromarray(np.zeros(scenes.SIZE, "uint16")).save(folder / "JPEGImages" / "one.png")
    with pytest.raises(ValueError, match="its pixels, of the mode 'I;16', are not of 8 bits"):
        VOCDetection(folder)


def without(key):
    return lambda made: made.pop(key)


def with_(key, value):
    return lambda made: made.update({key: value})


def first(part, **changes):
    return lambda made: made[part][0].update(changes)


DELETED = object()

# What is wrong: what is done to good contents, or the text -> what the error says.
CONTENTS = {
    "no JSON": ("{", "is no JSON that can be read"),
    "an empty file": ("", "is no JSON that can be read"),
    "a list": ("[]", "must hold a dict; it holds a list"),
    "nothing": ("null", "must hold a dict; it holds a NoneType"),
    "lists within lists": ("[" * 100_000, "is no JSON that can be read"),
    "no images": (without("images"), r"must have a list of 'images'; it has \['annotations', 'categories'\]"),
    "no annotations, as of test parts": (without("annotations"), "must have a list of 'annotations'"),
    "no categories, as of captions": (without("categories"), "must have a list of 'categories'"),
    "images by name": (with_("images", {}), "must have a list of 'images'"),
    "an empty list of images": (with_("images", []), "must have images; there are none"),
    "an empty list of categories": (with_("categories", []), "must have categories; there are none"),
    "an image that is none": (with_("images", [3]), r"images\[0\] must be a dict with an integer 'id'; received 3"),
    "an image without an id": (with_("images", [{}]), r"images\[0\] must be a dict with an integer 'id'; received {}"),
    "an id that is a text": (first("images", id="100"), r"images\[0\] must be a dict with an integer 'id'"),
    "an id that is true": (first("images", id=True), r"images\[0\] must be a dict with an integer 'id'"),
    "an id twice": (lambda made: made["images"].append(made["images"][0]), "must have an id of its own; 100 is there"),
    "a category twice": (first("categories", id=4), "must have an id of its own; 4 is there twice"),
    "a name twice": (first("categories", name="cat"), "categories of different names; 'cat' has several"),
    "a category without a name": (first("categories", name=None), "category 9 must have a name; received None"),
    "no name of a file": (first("images", file_name=None), "image 100 must have a 'file_name'; received None"),
    "a file elsewhere": (
        first("images", file_name="../../etc/passwd"),
        "within the folder of images; received '../../",
    ),
    "a file at the root": (first("images", file_name="/etc/passwd"), "within the folder of images; received '/etc/"),
    "a file of Windows": (first("images", file_name="C:\\x.png"), "within the folder of images"),
    "a file up and down": (first("images", file_name="a\\..\\..\\x.png"), "within the folder of images"),
    "a file with NUL": (first("images", file_name="a\0.png"), "image 100 must have a 'file_name'"),
    "an image that is missing": (first("images", file_name="gone.jpg"), "1 are missing, such as gone.jpg"),
    "another image's size": (first("images", width=640, height=480), "image 100: height and width .* received 480x640"),
    "a width that is a text": (first("images", width="60"), "image 100 must have an integer as 'width'; received '60'"),
    "a height below 0": (first("images", height=-1), "image 100 must have an integer as 'height'; received -1"),
    "an annotation that is none": (with_("annotations", [None]), r"annotations\[0\] must be a dict; received None"),
    "an image that is not known": (
        first("annotations", image_id=5),
        "must have the 'image_id' of an image; received 5",
    ),
    "an image's id as a text": (first("annotations", image_id="100"), "the 'image_id' of an image; received '100'"),
    "no category": (first("annotations", category_id=None), "an integer 'category_id'; received None"),
    "no box": (first("annotations", bbox=None), "a 'bbox' of four numbers, .* received None"),
    "a box of three": (first("annotations", bbox=[1, 2, 3]), r"a 'bbox' of four numbers, .* received \[1, 2, 3\]"),
    "a box of texts": (first("annotations", bbox=["1", 2, 3, 4]), r"a 'bbox' of four numbers, .* received \['1', 2"),
    "a box of truths": (first("annotations", bbox=[True, 2, 3, 4]), r"a 'bbox' of four numbers, .* received \[True"),
    "a box in a box": (first("annotations", bbox=[[1, 2, 3, 4]]), "a 'bbox' of four numbers"),
    "half a crowd": (first("annotations", iscrowd=0.5), "an 'iscrowd' of 0 or 1; received 0.5"),
    "an area that is a text": (first("annotations", area="50"), "a number as 'area'; received '50'"),
    "shares of the image": (first("annotations", bbox=[0.1, 0.1, 0.5, 0.5]), "boxes must be in pixels"),
}


@pytest.mark.parametrize("what", CONTENTS)
def test_contents_of_coco(what, tmp_path):
    change, words = CONTENTS[what]
    contents = change
    if callable(change):
        contents = coco_contents()
        change(contents)
    with pytest.raises(ValueError, match=words):
        COCODetection(*write_coco(tmp_path, contents))


@pytest.mark.parametrize(
    "change, words", [(os.remove, "cannot be read"), (lambda p: (os.remove(p), os.mkfifo(p)), "a pipe")]
)
def test_files_of_coco(change, words, tmp_path):
    path, images = write_coco(tmp_path, coco_contents())
    change(path)
    with pytest.raises(ValueError, match=f"`annotations`: .*instances.json.*{words}"):
        COCODetection(path, images)


NAN, INF = float("nan"), float("inf")

# What is wrong with a box (x1, y1, x2, y2) -> how it is called.
BOXES = {
    "NaN": ((NAN, 5, 20, 20), "with NaN"),
    "all NaN": ((NAN,) * 4, "with NaN"),
    "NaN and infinite": ((INF, NAN, 20, 20), "with NaN"),
    "infinite": ((5, 5, INF, 20), "infinite"),
    "infinite below 0": ((-INF, 5, 20, 20), "infinite"),
    "sides swapped": ((20, 5, 5, 20), r"inverted \(x2 < x1 or y2 < y1\)"),
    "upside down": ((5, 20, 20, 5), "inverted"),
    "a point": ((5, 5, 5, 5), "of zero area"),
    "a line": ((5, 5, 20, 5), "of zero area"),
    "a hair": ((5, 5, 5.00001, 20), "of zero area"),
    "to the left": ((-30, 5, -10, 20), "outside of the image"),
    "to the right": ((60, 5, 80, 20), "outside of the image"),
    "above": ((5, -9, 20, 0), "outside of the image"),
    "far below": ((5, 1e9, 20, 2e9), "outside of the image"),
}


def of_arrays(tmp_path, box, **options):
    files = [scenes.save_image(tmp_path / f"{i}.png") for i in range(2)]
    annotations = [{"boxes": [(5, 5, 20, 20), box], "labels": [0, 0]}, {"boxes": [], "labels": []}]
    return DetectionDataset(files, annotations, ["cat"], image_size=scenes.SIZE, **options)


def of_voc(tmp_path, box, **options):
    return VOCDetection(write_voc(tmp_path / "voc", {"one": xml(GOOD, xml_object(box))}), **options)


def of_coco(tmp_path, box, **options):
    x1, y1, x2, y2 = box
    return COCODetection(
        *write_coco(tmp_path, coco_contents([[(5, 5, 15, 15), (x1, y1, x2 - x1, y2 - y1)]])), **options
    )


@pytest.mark.parametrize("made", [of_arrays, of_voc, of_coco])
@pytest.mark.parametrize("what", BOXES)
def test_boxes_that_are_none(what, made, tmp_path):
    """Left out and counted, in one warning that names the first; refused by a strict dataset."""
    box, words = BOXES[what]
    if made is of_coco and INF in np.abs(box):
        words = "with NaN|infinite"  # width and height of what is infinite are NaN or infinite
    with pytest.warns(UserWarning, match=f"of 2 boxes are left out 1 ({words}).*box 2") as seen:
        dataset = made(tmp_path / "left", box)
    assert len(seen) == 1 and dataset.left_out == 1
    assert len(dataset.ground_truth()[0]["boxes"]) == 1
    assert np.isfinite(dataset[0][1]["boxes"]).all() and (dataset[0][1]["labels"] >= 0).sum() == 1
    with pytest.raises(ValueError, match=f"box 2: the box .* is ({words})"):
        made(tmp_path / "strict", box, strict=True)


def test_one_warning_counts_all_kinds(tmp_path):
    boxes = [box for box, _ in BOXES.values()]
    file = scenes.save_image(tmp_path / "0.png")
    good = [5, 5, 20, 20]
    with pytest.warns(UserWarning) as seen:
        dataset = DetectionDataset([file], [{"boxes": [*boxes, good, good], "labels": ["cat"] * 15 + ["cow"]}], ["cat"])
    assert len(seen) == 1 and seen[0].filename == __file__
    counts = (
        "3 with NaN",
        "2 infinite",
        "2 inverted",
        "3 of zero area",
        "4 outside of the image",
        "1 of unknown classes",
    )
    assert all(f" {count} (" in str(seen[0].message) for count in counts[:2] + counts[3:])
    assert dataset.left_out == 15 and dataset[0][1]["labels"].tolist() == [[0]]


@pytest.mark.parametrize("label", ["cow", 2, -1, 2**40])
def test_unknown_classes(label, tmp_path):
    file = scenes.save_image(tmp_path / "0.png")
    one = {"boxes": [[5, 5, 20, 20]], "labels": [label]}
    with pytest.warns(UserWarning, match="1 of unknown classes"):
        assert (DetectionDataset([file], [one], ["cat", "dog"])[0][1]["labels"] == -1).all()
    with pytest.raises(ValueError, match="is of unknown classes"):
        DetectionDataset([file], [one], ["cat", "dog"], strict=True)


ONE = {"boxes": [[5, 5, 20, 20]], "labels": [0]}

# What is wrong: annotations, or further arguments -> what the error says.
ARGUMENTS = {
    "no annotations": (
        {"annotations": []},
        "`annotations` must be a list of 1 dicts, one for each image; received list of 0",
    ),
    "one for all": ({"annotations": ONE}, "`annotations` must be a list of 1 dicts"),
    "a list for a dict": ({"annotations": [[1]]}, r"`annotations\[0\]` .* must be a dict"),
    "another key": ({"annotations": [{**ONE, "scores": [1]}]}, "must be one of .*; received 'scores'"),
    "no labels": ({"annotations": [{"boxes": []}]}, "must have the key 'labels'"),
    "boxes of three": (
        {"annotations": [{**ONE, "boxes": [[1, 2, 3]]}]},
        r"must have the shape \(boxes, 4\); received \(1, 3",
    ),
    "one flat box": ({"annotations": [{**ONE, "boxes": [1, 2, 3, 4]}]}, r"must have the shape \(boxes, 4\)"),
    "ragged boxes": ({"annotations": [{**ONE, "boxes": [[1, 2], [3]]}]}, "'boxes' must be numbers"),
    "boxes of texts": ({"annotations": [{**ONE, "boxes": [["a"] * 4]}]}, "'boxes' must be numbers"),
    "fewer labels": ({"annotations": [{**ONE, "labels": []}]}, "'labels' must be one for each of 1 boxes"),
    "ragged labels": ({"annotations": [{**ONE, "labels": [[0], [0, 1]]}]}, "'labels' must be one for each box"),
    "labels of halves": ({"annotations": [{**ONE, "labels": [0.5]}]}, "'labels' must be integers or names"),
    "labels of truths": ({"annotations": [{**ONE, "labels": [True]}]}, "'labels' must be integers or names"),
    "half difficult": ({"annotations": [{**ONE, "difficult": [0.5]}]}, "'difficult' must be 0 or 1; received 0.5"),
    "crowds of others": ({"annotations": [{**ONE, "iscrowd": [0, 1]}]}, "'iscrowd' must be one for each of 1 boxes"),
    "a height of a half": ({"annotations": [{**ONE, "height": 40.5, "width": 60}]}, "height` must be an integer"),
    "no files": ({"files": []}, "`files` must be a list of paths and not empty"),
    "a path alone": ({"files": "0.png"}, "`files` must be a list of paths; received '0.png'"),
    "files of numbers": ({"files": [3]}, r"`files\[0\]` must be a string; received 3"),
    "a file that is missing": ({"files": ["none.png"]}, r"`files`: none\.png is not an image that can be read"),
    "no names": ({"labels": []}, "`labels` must be a list of names and not empty"),
    "a name alone": ({"labels": "cat"}, "`labels` must be a list of names; received 'cat'"),
    "a name twice": ({"labels": ["cat", "cat"]}, "`labels` must be different names; received 'cat' 2 times"),
    "ids of others": ({"image_ids": [1, 2]}, "`image_ids` must be 1 different names or numbers"),
    "no size": ({"image_size": 0}, "`image_size` must be an integer from 1"),
    "three sizes": ({"image_size": (1, 2, 3)}, "`image_size` must be an integer or two of them"),
    "half a batch": ({"batch_size": 0.5}, "`batch_size` must be an integer"),
    "no boxes in a batch": ({"max_boxes": 0}, "`max_boxes` must be an integer from 1"),
    "a word for shuffle": ({"shuffle": "yes"}, "`shuffle` must be True or False"),
    "a word for strict": ({"strict": 1}, "`strict` must be True or False"),
    "a seed below 0": ({"seed": -1}, "`seed` must be an integer from 0"),
}


@pytest.mark.parametrize("what", ARGUMENTS)
def test_arguments(what, tmp_path):
    changes, words = ARGUMENTS[what]
    file = scenes.save_image(tmp_path / "0.png")
    with pytest.raises((TypeError, ValueError), match=words):
        DetectionDataset(**{"files": [file], "annotations": [ONE], "labels": ["cat", "dog"], **changes})


def test_numbers_of_json_that_are_none(tmp_path):
    """Python reads NaN and Infinity in JSON, and integers of any length."""
    contents = json.dumps(coco_contents([[(1, 1, 9, 9), ("A", 1, 9, 9), ("B", 1, 9, 9), ("C", 1, 9, 9)]]))
    path, images = write_coco(tmp_path, coco_contents())
    path.write_text(contents.replace('"A"', "NaN").replace('"B"', "1e999").replace('"C"', "9" * 400))
    with pytest.warns(UserWarning, match="1 with NaN .* 2 infinite"):
        COCODetection(path, images)
    path.write_text(contents.replace('"A"', "9" * 5000))
    with pytest.raises(ValueError, match="is no JSON that can be read"):
        COCODetection(path, images)
