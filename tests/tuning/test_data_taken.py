"""What data may be: labels of every kind, pixels on one scale, files that say how large they are."""

import os
import zipfile

import numpy as np
import pytest

from keras_blocks.tuning import Dataset, SearchSettings, load_dataset
from keras_blocks.tuning.data.npz import read_arrays

pytestmark = pytest.mark.once

IMAGES = np.arange(8 * 36, dtype="uint8").reshape(8, 6, 6) % 251
PLACES = np.array([0, 1] * 4)


def made(x_train=IMAGES, y_train=PLACES, x_test=IMAGES, y_test=None, **options):
    return Dataset.from_arrays("made", x_train, y_train, x_test, y_train if y_test is None else y_test, **options)


def test_labels_of_every_kind_are_taken_with_their_names():
    for labels, names in (
        (PLACES, ("0", "1")),
        (PLACES[:, None].astype("uint8"), ("0", "1")),
        (PLACES == 1, ("False", "True")),
        (PLACES + 1.0, ("1", "2")),
        ((PLACES + 255).astype("uint16"), ("255", "256")),
        (np.eye(2)[PLACES], ("0", "1")),
        (np.eye(2, dtype=bool)[PLACES], ("0", "1")),
        (["cat", "dog"] * 4, ("cat", "dog")),
        (np.array([b"\xc3\xa9", b"\xc3\xa9\xc3\xa9"] * 4)[:, None], ("é", "éé")),
        (np.array(["cat", "dog"] * 4, dtype=object), ("cat", "dog")),
        ((PLACES * 2 - 1).astype(str), ("-1", "1")),
    ):
        data = made(y_train=labels)
        assert data.class_names == names, labels
        np.testing.assert_array_equal(data.y_test, PLACES)
        assert data.y_train.dtype == np.int64


def test_names_are_given_to_labels_of_every_kind():
    for labels in (PLACES, PLACES + 1, PLACES == 1, np.eye(2)[PLACES]):
        data = made(y_train=labels, class_names=np.array(["b", "a"]))
        assert (data.class_names, data.y_test.tolist()) == (("b", "a"), PLACES.tolist())
    data = made(y_train=["a", "b"] * 4, class_names=["b", "a"])
    assert (data.class_names, data.y_test.tolist()) == (("b", "a"), [1, 0] * 4)
    images = Dataset.from_images("pets", IMAGES, ["cat", "dog"] * 4)
    assert sorted(images.class_names) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"y_train": PLACES * 2_000_000_000}, "`y_train` must be whole numbers without a gap.*label 1 0 times"),
        ({"y_train": PLACES * 1e300}, "`y_train` must be whole numbers without a gap"),
        ({"y_train": PLACES * np.uint64(2**64 - 1)}, "`y_train` must be whole numbers without a gap"),
        ({"y_test": PLACES * 2_000_000_000}, "`y_test` must be labels from 0 to 1.* received 2000000000"),
        ({"y_train": PLACES + np.inf}, "`y_train` must be whole numbers, texts"),
        ({"y_train": PLACES - 1}, r"`y_train` must be labels from 0; received -1.*y_train\.astype\(str\)"),
        ({"y_train": PLACES * 5}, r"label 1 0 times.*`?astype\(str\)"),
        ({"y_train": ["a", "b"] * 4, "y_test": PLACES}, "`y_test` must be texts, as `y_train`; received numbers"),
        ({"y_train": ["a", "b"] * 4, "y_test": ["a", "c"] * 4}, r"`y_test` must be labels among \['a', 'b'\]"),
        ({"y_train": ["a", "b"] * 4, "class_names": ["a", "a"]}, "`class_names` must be different names"),
        ({"y_train": np.eye(3)[PLACES] + np.eye(3)[2]}, "`y_train` must be one label.*one-hot row"),
        ({"y_train": np.eye(2)[PLACES], "class_names": ["a", "b", "c"]}, "`class_names` must be 2 names"),
        ({"y_train": PLACES + 1, "class_names": ["a", "b", "c"]}, "label a 0 times, of 3 classes"),
        ({"y_train": PLACES + 2, "class_names": ["a", "b", "c"]}, "`y_train` must be labels from 0 to 2"),
        ({"class_names": "ab"}, "`class_names` must be a list of names"),
        ({"y_train": np.zeros(8, int)}, "two classes or more"),
        ({"y_train": [None] * 8}, "`y_train` must be whole numbers, texts"),
        ({"x_val": IMAGES}, "`x_val` and `y_val` must be given together"),
    ],
)
def test_labels_that_cannot_be_used(options, message):
    with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
        made(**options)


@pytest.mark.parametrize(
    ("train", "test", "fits"),
    [
        (IMAGES, IMAGES / 255, False),
        (IMAGES / 255, IMAGES, False),
        (IMAGES, (IMAGES > 99).astype("uint8"), False),
        (IMAGES * 257.0, IMAGES, False),
        (IMAGES / 255, IMAGES / 127.5 - 1, False),
        (IMAGES, IMAGES * 1.0, True),
        (IMAGES, IMAGES // 30, True),  # dark
        (IMAGES / 255, IMAGES / 255 * 0.2, True),
        (IMAGES, IMAGES * 0, True),
    ],
)
def test_parts_must_be_on_one_scale(train, test, fits):
    if fits:
        made(train, x_test=test)
    else:
        with pytest.raises(ValueError, match="`x_test` must be on the scale of `x_train`; received pixels"):
            made(train, x_test=test)
        with pytest.raises(ValueError, match="`x_val` must be on the scale of"):
            made(train, x_test=train, x_val=test, y_val=PLACES)


@pytest.mark.parametrize("most", [1e300, 3e38, -1e31, np.inf, np.nan])
def test_pixels_stay_finite_as_they_are_trained_on(most):
    images = IMAGES.astype("float64")
    images[0, 0, 0] = most
    with pytest.raises(ValueError, match="`x_train` must be finite"):
        made(images, x_test=IMAGES)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 28, 28), (4, 20, 30), (12, 16, 16)])
def test_images_in_channels_first_are_refused(shape):
    images = np.zeros((8, *shape), "uint8")
    with pytest.raises(ValueError, match=rf"`x_train` must be .* channels last.* {shape[0]} pixels high.*moveaxis"):
        made(images, x_test=images)
    last = np.moveaxis(images, 1, -1)
    assert made(last, x_test=last).image_shape == (*shape[1:], shape[0])
    as_said = np.swapaxes(images, 1, 2)  # where they really are so
    assert made(as_said, x_test=as_said).image_shape == (shape[1], shape[0], shape[2])


def test_a_validation_part_of_ones_own_is_taken():
    data = made(x_val=IMAGES[:2], y_val=PLACES[:2])
    assert [len(part) for part in (data.x_train, data.x_val, data.x_test)] == [8, 2, 8]
    np.testing.assert_array_equal(data.x_val[..., 0], IMAGES[:2])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": 5}, TypeError),
        ({"name": ""}, ValueError),
        ({"scale": "1/255"}, TypeError),
        ({"scale": 0}, ValueError),
        ({"scale": float("nan")}, ValueError),
        ({"scale": -1.0}, ValueError),
        ({"flips": "no"}, TypeError),
        ({"flips": 1}, TypeError),
        ({"notes": "text"}, TypeError),
    ],
)
def test_what_a_dataset_is_described_by_is_checked(change, error):
    (key,) = change
    with pytest.raises(error, match=f"`{key}`"):
        Dataset.from_arrays(
            **{"name": "x", "x_train": IMAGES, "y_train": PLACES, "x_test": IMAGES, "y_test": PLACES} | change
        )


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("x_val", np.zeros((2, 5, 5, 1)), "of one size in all parts"),
        ("x_test", [[1]], "from_arrays` takes more"),
        ("y_val", PLACES[:1], "one integer for each of 2 images"),
        ("y_train", np.full(6, 7), "labels from 0 to 1"),
    ],
)
def test_parts_of_a_dataset_belong_together(part, value, message):
    parts = vars(made()) | {part: value}
    with pytest.raises(ValueError, match=f"`{part}` must be .*{message}"):
        Dataset(**parts)


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [
        ("data", 5, TypeError),
        ("data", None, TypeError),
        ("data", b"digits", TypeError),
        ("data", "", ValueError),
        ("data", " ", ValueError),
        ("model", 5, ValueError),
        ("parts", "groups=3", TypeError),
        ("parts", 5, TypeError),
    ],
)
def test_settings_that_are_names_or_tables_are_checked(setting, value, error):
    with pytest.raises(error, match=f"`{setting}` must be"):
        SearchSettings(**{setting: value})
    if setting == "data":
        with pytest.raises((TypeError, ValueError), match="`data` must be"):
            load_dataset(value)


def test_a_path_is_taken_and_the_home_is_known(tmp_path, monkeypatch):
    np.savez(tmp_path / "few.npz", x_train=IMAGES, y_train=PLACES, x_test=IMAGES, y_test=PLACES)
    assert SearchSettings(data=tmp_path / "few.npz").data == str(tmp_path / "few.npz")
    monkeypatch.setenv("HOME", str(tmp_path))
    for data in (tmp_path / "few.npz", "~/few.npz"):
        assert load_dataset(data).name == "few"
    for data in ("~nobody-of-this-name/x", "x" * 5000, "a\0b"):
        with pytest.raises(ValueError, match="`data` must be"):
            load_dataset(data)


def header(shape, dtype="<f4"):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + (len(text) + 1).to_bytes(2, "little") + text.encode() + b"\n"


def test_files_larger_than_the_memory_are_not_read(tmp_path, monkeypatch):
    good = {"x_train": IMAGES, "y_train": PLACES, "x_test": IMAGES, "y_test": PLACES}
    np.savez(tmp_path / "good.npz", **good)
    path = tmp_path / "torn.npz"
    with zipfile.ZipFile(tmp_path / "good.npz") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, header((10**9, 10, 25)) if name == "x_train.npy" else old.read(name))
    with pytest.raises(ValueError, match=r"torn\.npz: its array x_train is torn.*1,000,000,000,000 bytes"):
        load_dataset(str(path))
    (tmp_path / "one.npz").write_bytes(header((10**9, 10, 25)))
    with pytest.raises(ValueError, match=r"one\.npz"):
        load_dataset(str(tmp_path / "one.npz"))
    with pytest.raises(ValueError, match=r"\['x_test', 'z'\]; \['z'\] are missing"):
        read_arrays(tmp_path / "good.npz", ("x_test", "z"))
    monkeypatch.setattr("keras_blocks.tuning.memory.memory_of_machine", lambda: 600)
    with pytest.raises(ValueError, match=r"good\.npz: its arrays would take .* of memory"):
        load_dataset(str(tmp_path / "good.npz"))


def test_arrays_that_are_not_used_are_named(tmp_path):
    arrays = {"x_train": IMAGES, "y_train": PLACES, "x_test": IMAGES, "y_test": PLACES}
    np.savez(tmp_path / "more.npz", **arrays, x_val=IMAGES, y_val=PLACES)
    notes = load_dataset(str(tmp_path / "more.npz")).notes
    assert notes == ("left out of more.npz: the arrays x_val, y_val: the validation part is drawn from x_train",)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"folder of images by class, .* or an \.npz file"):
        load_dataset(str(tmp_path / "x.npz"))
