"""Datasets: what is found, how it is divided, and what is refused."""

import dataclasses

import keras
import numpy as np
import pytest
from PIL import Image

from keras_blocks.tuning import Dataset, load_dataset
from keras_blocks.tuning.data.split import stratified


def parts(data):
    return [data.x_train, data.x_val, data.x_test]


def as_set(images):
    return {image.tobytes() for image in images}


def test_digits_are_all_there_and_each_in_one_part(digits):
    from sklearn.datasets import load_digits

    whole = load_digits()
    assert digits.image_shape == (8, 8, 1)
    assert digits.class_names == tuple("0123456789")
    assert sum(len(part) for part in parts(digits)) == 1797
    together = np.sort(np.concatenate([part.reshape(-1, 64) for part in parts(digits)]), axis=0)
    np.testing.assert_array_equal(together, np.sort(whole.data.astype("float32"), axis=0))
    assert digits.scale * max(part.max() for part in parts(digits)) == 1
    assert not digits.flips


def test_each_part_has_each_class_in_proportion(digits):
    counts = np.stack([np.bincount(labels) for labels in (digits.y_train, digits.y_val, digits.y_test)])
    share = counts / counts.sum(axis=0)
    np.testing.assert_allclose(share.mean(axis=1), [0.68, 0.12, 0.2], atol=0.01)
    assert share.std(axis=1).max() < 0.01


def test_the_seed_divides_but_never_touches_the_test_part(digits):
    other = load_dataset("digits", seed=1)
    np.testing.assert_array_equal(other.x_test, digits.x_test)
    assert as_set(other.x_val) != as_set(digits.x_val)
    assert not as_set(other.x_train) & as_set(digits.x_test)
    assert load_dataset("digits", seed=1).fingerprint() == other.fingerprint() != digits.fingerprint()


def test_stratified_keeps_one_of_each_class_on_each_side():
    labels = np.array([0] * 2 + [1] * 50 + [2] * 3)
    rest, drawn = stratified(labels, 0.1, seed=0)
    assert sorted([*rest, *drawn]) == list(range(55))
    assert np.bincount(labels[drawn]).tolist() == [1, 5, 1]
    assert np.bincount(labels[rest]).tolist() == [1, 45, 2]
    with pytest.raises(ValueError, match="label 3 once"):
        stratified(np.array([3, 4, 4]), 0.5, seed=0)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_keras_datasets_by_name(name, monkeypatch, digits):
    rgb = name.startswith("cifar")
    images = np.repeat((digits.x_train * 15).astype("uint8"), 3, axis=3) if rgb else (digits.x_train * 15)[..., 0]
    images = images.astype("uint8")
    labels = digits.y_train[:, np.newaxis] if rgb else digits.y_train.astype("uint8")
    loaded = ((images[:300], labels[:300]), (images[300:340], labels[300:340]))
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: loaded)
    data = load_dataset(name, seed=2)
    assert data.image_shape == (8, 8, 3 if rgb else 1)
    assert data.x_train.dtype == np.uint8
    assert data.scale == 1 / 255
    assert data.y_train.shape == (len(data.x_train),)
    assert len(data.x_train) + len(data.x_val) == 300
    np.testing.assert_array_equal(data.y_test, labels[300:340].ravel())
    assert data.flips == (name != "mnist")


def test_a_failed_download_says_so(monkeypatch):
    def unreachable():
        raise Exception("URL fetch failure on https://example.org: None -- no route")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", unreachable)
    with pytest.raises(ValueError, match=r"could not load 'mnist'.*URL fetch failure"):
        load_dataset("mnist")


def test_a_folder_of_photos(sign_digits):
    data = load_dataset(str(sign_digits), image_size=(24, 32))
    assert data.image_shape == (24, 32, 3)
    assert data.class_names == tuple("0123456789")
    assert [len(part) for part in parts(data)] == [140, 20, 40]
    assert np.bincount(data.y_test).tolist() == [4] * 10
    assert data.x_train.dtype == np.uint8
    assert not as_set(data.x_train) & as_set(data.x_test)
    assert load_dataset(str(sign_digits)).image_shape == (64, 64, 3)


def test_a_photo_is_read_as_it_is(sign_digits):
    first = sorted((sign_digits / "7").iterdir())[0]
    data = load_dataset(str(sign_digits))
    expected = np.asarray(Image.open(first)).tobytes()
    place = [
        list(labels[[image.tobytes() == expected for image in images]])
        for images, labels in ((data.x_train, data.y_train), (data.x_val, data.y_val), (data.x_test, data.y_test))
    ]
    assert [label for labels in place for label in labels] == [7]


def write_images(folder, digits, *, sizes=((8, 8),), mode="L", count=4):
    for label in range(2):
        (folder / f"class_{label}").mkdir(parents=True)
        for i, image in enumerate(digits.x_train[digits.y_train == label][:count]):
            picture = Image.fromarray((image[..., 0] * 15).astype("uint8")).convert(mode)
            picture.resize(sizes[i % len(sizes)]).save(folder / f"class_{label}" / f"{i}.png")
    return folder


def test_grey_images_stay_grey(tmp_path, digits):
    data = load_dataset(str(write_images(tmp_path / "grey", digits)))
    assert data.image_shape == (8, 8, 1)
    assert data.class_names == ("class_0", "class_1")
    assert data.name == "grey"


def test_folders_that_cannot_be_used(tmp_path, digits):
    mixed = write_images(tmp_path / "mixed", digits, sizes=((8, 8), (9, 8)))
    with pytest.raises(ValueError, match=r"`image_size` must be given.*8x8, 8x9"):
        load_dataset(str(mixed))
    assert load_dataset(str(mixed), image_size=8).image_shape == (8, 8, 1)
    (mixed / "class_1" / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.png is not an image"):
        load_dataset(str(mixed), image_size=8)
    few = write_images(tmp_path / "few", digits, count=2)
    with pytest.raises(ValueError, match=r"class_0.* three images or more.* it has 2"):
        load_dataset(str(few))
    (tmp_path / "flat").mkdir()
    with pytest.raises(ValueError, match="two classes or more"):
        load_dataset(str(tmp_path / "flat"))
    wide = write_images(tmp_path / "wide", digits)
    Image.fromarray(np.full((8, 8), 40_000, "uint16")).save(wide / "class_0" / "deep.png")
    with pytest.raises(ValueError, match="not of 8 bits"):
        load_dataset(str(wide))


def test_an_npz_file(few_digits, digits):
    data = load_dataset(str(few_digits), seed=4)
    assert data.name == "few_digits"
    assert data.image_shape == (8, 8, 1)
    assert (len(data.x_train) + len(data.x_val), len(data.x_test)) == (200, 60)
    np.testing.assert_array_equal(data.x_test, digits.x_test[:60])
    assert data.scale == 1 / 16


GOOD = {
    "x_train": np.arange(8 * 16, dtype="float32").reshape(8, 4, 4),
    "y_train": np.array([0, 1] * 4),
    "x_test": np.arange(32, dtype="float32").reshape(2, 4, 4) * 4,
    "y_test": np.array([0, 1]),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": None}, r"\['y_test'\] are missing"),
        ({"x_train": np.ones((8, 16))}, r"`x_train` must be .*\(8, 16\)"),
        ({"x_train": np.ones((8, 4, 4, 1, 1))}, "`x_train` must be"),
        ({"x_train": np.ones((0, 4, 4))}, "`x_train` must be"),
        ({"x_train": np.full((8, 4, 4), np.nan)}, "`x_train` must be finite; received 128 NaN"),
        ({"x_test": np.full((2, 4, 4), np.inf)}, "`x_test` must be finite"),
        ({"x_train": np.full((8, 4, 4), "a")}, "`x_train` must hold numbers"),
        ({"x_test": np.ones((2, 4, 5))}, r"`x_test` must have images of \(4, 4, 1\)"),
        ({"y_train": np.array([0, 1])}, "`y_train` must be one label for each of 8 images"),
        ({"y_train": np.eye(2)[GOOD["y_train"]] / 2}, "`y_train` must be one label .* one-hot row with a single 1"),
        ({"y_train": GOOD["y_train"] + 0.5}, "`y_train` must be whole numbers"),
        ({"y_train": GOOD["y_train"] - 1}, "`y_train` must be labels from 0; received -1"),
        ({"y_train": GOOD["y_train"] + 1}, "`y_test` must be labels from 1 to 2"),
        ({"y_train": GOOD["y_train"] * 2}, "label 1 0 times"),
        ({"y_train": np.zeros(8, int), "y_test": np.zeros(2, int)}, "two classes or more"),
        ({"y_test": np.array([0, 2])}, "`y_test` must be labels from 0 to 1, as .* received 2"),
        ({"class_names": np.array(["a", "b", "c"])}, "label c 0 times, of 3 classes"),
    ],
)
def test_npz_files_that_cannot_be_used(tmp_path, change, message):
    arrays = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=rf"(?s)the file .*bad\.npz.*{message}"):
        load_dataset(str(tmp_path / "bad.npz"))


def test_npz_files_that_are_none(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "pickled.npz", **{**GOOD, "x_train": np.array([object()], dtype=object)})
    np.save(tmp_path / "array.npy", GOOD["x_train"])
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    for name in ("text", "pickled", "array"):
        with pytest.raises(ValueError, match=rf"{name}\.npz"):
            load_dataset(str(tmp_path / f"{name}.npz"))


def test_unknown_data_is_named_with_what_there_is(tmp_path):
    with pytest.raises(ValueError, match=r"`data` must be one of \['digits'.*received 'digts'\. Did you mean 'digits'"):
        load_dataset("digts")
    (tmp_path / "images.tar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"folder of images by class, .* or an \.npz file.*images\.tar"):
        load_dataset(str(tmp_path / "images.tar"))
    with pytest.raises(ValueError, match="`image_size` is for a folder"):
        load_dataset("digits", image_size=8)
    with pytest.raises(ValueError, match="`seed`"):
        load_dataset("digits", seed=-1)


def test_a_dataset_cannot_be_changed_but_replaced(digits):
    with pytest.raises(dataclasses.FrozenInstanceError):
        digits.flips = True
    assert dataclasses.replace(digits, flips=True).flips


def test_scale_of_other_pixels():
    halves = {**GOOD, "x_train": GOOD["x_train"] / 200, "x_test": GOOD["x_test"] / 200}
    assert Dataset.from_arrays("halves", **halves).scale == 1
    assert Dataset.from_arrays("whole", **GOOD).scale == pytest.approx(1 / 127)
    bytes_ = {**GOOD, "x_train": GOOD["x_train"].astype("uint8"), "x_test": GOOD["x_test"].astype("uint8")}
    assert Dataset.from_arrays("bytes", **bytes_).scale == 1 / 255
