"""Folders of images: which files are read, which are left out and said to be, and folders that are parts."""

import os
import shutil
import types

import numpy as np
import pytest
from PIL import Image

from keras_blocks.tuning import load_dataset

pytestmark = pytest.mark.once


def image(path, grey=100, *, mode="L", size=(4, 4), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, grey).convert(mode).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Two classes of three images each, of one grey each."""
    for name, grey in (("a", 50), ("b", 200)):
        for i in range(3):
            image(tmp_path / "pets" / name / f"{i}.png", grey)
    return tmp_path / "pets"


def count(data):
    return sum(len(part) for part in (data.x_train, data.x_val, data.x_test))


def test_a_folder_that_is_read_whole_has_no_note(folder):
    (folder / ".DS_Store").write_text("x")
    (folder / "a" / "Thumbs.db").write_text("x")
    assert load_dataset(folder).notes == ()


def test_all_that_pillow_reads_is_read_and_folders_are_gone_into(folder):
    image(folder / "a" / "4.tif")
    image(folder / "a" / "5.TIFF")
    image(folder / "a" / "6.jfif", format="JPEG")
    image(folder / "b" / "7.ppm")
    image(folder / "b" / "8.tga")
    image(folder / "a" / "more" / "and more" / "9.png")
    (folder / "b" / "link").symlink_to(folder / "a" / "more")
    data = load_dataset(folder)
    assert (count(data), data.notes) == (6 + 7, ())


def test_what_is_left_out_is_said_in_one_line(folder):
    for name in ("a/._0.png", "a/.trashed-0.png", "__MACOSX/a/0.png", "a/@eaDir/0.png", ".cache/0.png"):
        image(folder / name)
    image(folder / "loose.png")
    (folder / "b" / "x.png").mkdir()
    for name in ("a/0.txt", "a/1.csv", "b/2.heic"):
        (folder / name).write_text("x")
    os.mkfifo(folder / "a" / "pipe.png")
    (folder / "a" / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "a" / "loop").symlink_to(folder / "a")
    (folder / "b" / "up").symlink_to(folder)  # else what is of the class a were of b, too
    data = load_dataset(folder)
    assert (count(data), data.class_names) == (6, ("a", "b"))
    (note,) = data.notes
    assert note.startswith(f"left out of {folder}: ")
    for said in (
        "5 hidden (.cache, __MACOSX ...)",
        "1 beside the classes' folders (loose.png)",
        "3 not read as images (a/0.txt, a/1.csv ...)",
        "2 links to nothing, pipes and the like (a/gone.png, a/pipe.png)",
        "1 folders named as an image (b/x.png)",
        "2 links to a folder around them (a/loop, b/up)",
    ):
        assert said in note


def test_of_moving_images_the_first_is_read_and_said(folder):
    frames = [Image.new("L", (4, 4), grey) for grey in (10, 20)]
    frames[0].save(folder / "a" / "moving.gif", save_all=True, append_images=frames[1:])
    (note,) = load_dataset(folder).notes
    assert "1 images' later frames (a/moving.gif)" in note


def test_sizes_are_read_before_pixels(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    image(folder / "b" / "large.png", size=(40, 40))  # Pillow warns
    for size in (None, 4):
        with pytest.raises(ValueError, match=r"large\.png must have 1,000 pixels at most"):
            load_dataset(folder, image_size=size)
    image(folder / "b" / "large.png", size=(60, 60))  # Pillow refuses
    with pytest.raises(ValueError, match=r"large\.png must have 1,000 pixels at most"):
        load_dataset(folder)
    (folder / "b" / "large.png").unlink()
    monkeypatch.setattr("keras_blocks.tuning.data.decoding._open", None)
    image(folder / "b" / "other.png", size=(5, 4))
    with pytest.raises(ValueError, match=r"`image_size` must be given.* 4x4, 4x5"):
        load_dataset(folder)
    monkeypatch.setattr("keras_blocks.tuning.data.decoding.memory_of_machine", lambda: 10**6)
    monkeypatch.setenv("KERAS_BLOCKS_IMAGES", str(folder.parent / "store"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=10**6))
    with pytest.raises(ValueError, match=r"7 images of 1024x1024 do not fit .* Give a smaller `image_size`"):
        load_dataset(folder, image_size=1024)


def test_no_other_program_is_run_for_an_image(folder):
    (folder / "a" / "9.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n")
    with pytest.raises(ValueError, match=r"9\.png is not an image"):
        load_dataset(folder)


def split(root, parts, count=3):
    """A folder with parts; each image's grey says its part and its class."""
    for i, (part, classes) in enumerate(parts.items()):
        for j, name in enumerate(classes):
            for k in range(count):
                image(root / part / name / f"{k}.png", 100 * j + 10 * i + 2)
    return root


def greys(data):
    return [
        sorted({(int(x[0, 0, 0]), int(y)) for x, y in zip(images, labels)})
        for images, labels in ((data.x_train, data.y_train), (data.x_val, data.y_val), (data.x_test, data.y_test))
    ]


def test_folders_for_parts_are_parts(tmp_path):
    both = "ab"
    data = load_dataset(split(tmp_path / "three", {"train": both, "Val": both, "testing": both}))
    assert greys(data) == [[(2, 0), (102, 1)], [(12, 0), (112, 1)], [(22, 0), (122, 1)]]
    assert (data.name, data.class_names, data.notes) == ("three", ("a", "b"), ())
    data = load_dataset(split(tmp_path / "tested", {"train": both, "test": "b"}))
    assert greys(data) == [[(2, 0), (102, 1)], [(2, 0), (102, 1)], [(12, 1)]]
    data = load_dataset(split(tmp_path / "chosen", {"train": both, "valid": both}))
    assert greys(data) == [[(2, 0), (102, 1)], [(12, 0), (112, 1)], [(2, 0), (102, 1)]]
    assert count(data) == 12
    data = load_dataset(split(tmp_path / "single", {"train": both}))
    assert greys(data) == [[(2, 0), (102, 1)]] * 3


def test_parts_that_are_none_are_said(tmp_path):
    root = split(tmp_path / "unlabelled", {"train": "ab"})
    image(root / "test" / "0.png")
    (note,) = load_dataset(root).notes
    assert "1 folders that are no part with folders of classes (test)" in note
    more = split(tmp_path / "more", {"train": "ab", "test": "ab", "extra": "ab"})
    data = load_dataset(more)
    assert (count(data), data.class_names) == (12, ("a", "b"))
    assert "(extra)" in data.notes[0]


def test_classes_may_be_called_train_and_test(tmp_path):
    for name in ("train", "test"):
        for i in range(3):
            image(tmp_path / "vehicles" / name / f"{i}.png")
    assert load_dataset(tmp_path / "vehicles").class_names == ("test", "train")


@pytest.mark.parametrize(("name", "beside"), [("train", "bus/1.png"), ("Test", "bus/red/1.png"), ("train", "notes")])
def test_a_lone_part_beside_what_is_none_may_be_a_class_and_is_asked_for(tmp_path, name, beside):
    root = split(tmp_path / "x", {name: ("diesel", "steam")})
    for i in range(3):
        if beside.endswith(".png"):
            image((root / beside).with_name(f"{i}.png"))
    (root / beside.partition("/")[0]).mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=rf"'{name}' holds folders alone.*beside it are .*another name"):
        load_dataset(root)
    (root / name).rename(root / "trains")
    if beside.endswith(".png"):
        assert load_dataset(root).class_names == ("bus", "trains")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": "ab", "test": "ac"}, r"classes that .*train has, \['a', 'b'\]; \['c'\] are others"),
        ({"val": "ab", "test": "ab"}, "there is none to train on"),
        ({"train": "ab", "val": "ab", "valid": "ab"}, r"two are for \['val'\]"),
    ],
)
def test_parts_that_do_not_belong_together(tmp_path, parts, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(split(tmp_path / "x", parts))


@pytest.mark.parametrize(
    ("others", "least"), [((), "three images"), (("test",), "two images"), (("val", "test"), "one image")]
)
def test_a_class_has_images_for_each_part(tmp_path, others, least):
    root = split(tmp_path / "x", {"train": "ab", **dict.fromkeys(others, "ab")})
    (root / "train" / "c").mkdir()
    with pytest.raises(ValueError, match=rf"train/c: a class must have {least} or more.* it has 0"):
        load_dataset(root)


def test_notes_are_no_part_of_the_contents(folder):
    before = load_dataset(folder).fingerprint()
    (folder / "a" / "0.txt").write_text("x")
    data = load_dataset(folder)
    assert data.notes and data.fingerprint() == before
    assert np.unique(data.x_test).tolist() == [50, 200]


def test_a_table_in_another_encoding_is_named(tmp_path):
    (tmp_path / "table.csv").write_bytes("path,label\nfleur.png,fl\u00e9au\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"table\.csv, must be text in UTF-8"):
        load_dataset(tmp_path / "table.csv")
