"""Folders and tables of images that are not held in memory: the same images, read as they are needed."""

import dataclasses
import pickle

import keras
import numpy as np
import pytest
from PIL import Image

from keras_blocks.tuning import Search, SearchSettings, load_dataset
from keras_blocks.tuning.data import decoding, stored
from keras_blocks.tuning.data.batches import Batches
from keras_blocks.tuning.data.buffers import MOST, Buffers
from keras_blocks.tuning.data.stored import StoredImages
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.settings import TrainingSettings
from keras_blocks.tuning.training.evaluation import evaluate_file
from keras_blocks.tuning.training.fit import correct_of, fit
from keras_blocks.tuning.user_spaces.given_data import GivenData


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BLOCKS_IMAGES", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten images each, none like another."""
    rng = np.random.default_rng(0)
    for name in ("dark", "light"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 120, (8, 8, 3), "uint8") + (128 if name == "light" else 0)
            Image.fromarray(pixels.astype("uint8")).save(tmp_path / "pets" / name / f"{i}.png")
    return tmp_path / "pets"


def same(one, other):
    for part in ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"):
        np.testing.assert_array_equal(np.asarray(getattr(one, part)), np.asarray(getattr(other, part)))


def test_what_does_not_fit_is_read_from_a_file_and_is_the_same(folder, store):
    held = load_dataset(folder)
    assert not store.exists() and held.notes == ()
    data = load_dataset(folder, memory=1000)
    assert all(isinstance(part, StoredImages) for part in (data.x_train, data.x_val, data.x_test))
    (note,) = data.notes
    assert "20 images would take 0.0 MiB" in note and str(store) in note and "--data-memory" in note
    same(held, data)
    assert data.fingerprint() == held.fingerprint() == load_dataset(folder, memory=1000).fingerprint()
    assert load_dataset(folder, memory=1000, seed=1).fingerprint() == load_dataset(folder, seed=1).fingerprint()
    assert len(list(store.glob("*.npy"))) == 1
    assert (data.image_shape, data.scale) == ((8, 8, 3), 1 / 255)


def test_a_file_is_written_once_and_anew_where_an_image_is_another(folder, store, monkeypatch):
    load_dataset(folder, memory=1000)
    with monkeypatch.context() as patched:
        patched.setattr(decoding, "_open", None)
        data = load_dataset(folder, memory=1000)
        assert isinstance(load_dataset(folder).x_train, np.ndarray)  # of memory there is enough: it is read whole
    before = data.fingerprint()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / "dark" / "0.png")
    assert load_dataset(folder, memory=1000).fingerprint() != before
    assert load_dataset(folder, memory=500, image_size=4).image_shape == (4, 4, 3)
    assert len(list(store.glob("*.npy"))) == 3


@pytest.mark.parametrize("damage", ["short", "other"])
def test_a_torn_file_is_not_read(folder, store, damage):
    load_dataset(folder, memory=1000)
    (file,) = store.glob("*.npy")
    if damage == "short":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        np.save(file, np.zeros((20, 8, 8, 3)))
    with pytest.raises(ValueError, match="must hold images of 8 bits"):
        StoredImages(file)
    same(load_dataset(folder), load_dataset(folder, memory=1000))


def test_old_files_go_and_a_full_disk_is_said(folder, store, monkeypatch):
    load_dataset(folder, memory=1000)
    monkeypatch.setattr(stored, "KEPT_DAYS", -1)
    load_dataset(folder, memory=500, image_size=4)
    assert len(list(store.glob("*.npy"))) == 1
    monkeypatch.setattr(stored.shutil, "disk_usage", lambda path: dataclasses.make_dataclass("U", ["free"])(10))
    with pytest.raises(ValueError, match=r"20 images of 2x2 .* smaller `image_size`, or set KERAS_BLOCKS_IMAGES"):
        load_dataset(folder, memory=1, image_size=2)


def test_indexing_reads_as_an_array_does(folder):
    images = load_dataset(folder, memory=1000).x_train
    held = np.asarray(images)
    for key in (3, -1, slice(2, 9, 3), np.array([4, 1, 1]), [0, 5], held[:, 0, 0, 0] > 60):
        np.testing.assert_array_equal(images[key], held[key])
    again = pickle.loads(pickle.dumps(images.taken(np.array([5, 2]))))
    np.testing.assert_array_equal(np.asarray(again), held[[5, 2]])
    assert (again.shape, len(again), again.dtype) == ((2, 8, 8, 3), 2, np.uint8)


def test_batches_have_another_order_in_each_epoch_that_a_seed_gives(folder):
    data = load_dataset(folder, memory=1000)
    batches = Batches(data.x_train, data.y_train, batch_size=4, seed=3)
    epochs = []
    for _ in range(2):
        found = [batches[i] for i in range(len(batches))]
        epochs.append(np.concatenate([x for x, _ in found]))
        labels = np.concatenate([y for _, y in found])
        assert sorted(labels) == sorted(data.y_train)
        assert all((x.mean() > 127) == y for x, y in zip(epochs[-1], labels))  # each with its own label
        batches.on_epoch_end()
    assert (epochs[0] != epochs[1]).any()
    later = Batches(data.x_train, data.y_train, batch_size=4, seed=3, epoch=1)
    np.testing.assert_array_equal(np.concatenate([later[i][0] for i in range(len(later))]), epochs[1])


@pytest.mark.parametrize("held_as", [np.asarray, np.ndarray.view, memoryview, keras.ops.convert_to_tensor])
def test_a_batch_that_somebody_holds_stays_as_it_is(folder, held_as):
    """However it is held: a tensor may see the array's memory."""
    data = load_dataset(folder, memory=1000)
    batches = Batches(data.x_train, batch_size=4)
    held = [held_as(batches[i % 3][0]) for i in range(9)]
    whole = np.asarray(data.x_train)
    for i, one in enumerate(held):
        found = keras.ops.convert_to_numpy(one if held_as is not memoryview else np.asarray(one))
        np.testing.assert_array_equal(found, whole[i % 3 * 4 :][:4])


def test_memory_that_nobody_holds_is_filled_again():
    buffers = Buffers((2, 3), np.dtype("uint8"))
    first, second = buffers.one(), buffers.one()
    assert not np.shares_memory(first, second)
    place, view = first.ctypes.data, first[1:].reshape(-1)
    del first
    assert buffers.one().ctypes.data not in (place, second.ctypes.data)
    del view
    assert buffers.one().ctypes.data == place
    more = [buffers.one() for _ in range(2 * MOST)]
    assert len({array.ctypes.data for array in more}) == len(more)


def test_a_model_is_trained_and_evaluated_on_them(folder, tmp_path):
    data = TrainingSettings(data=str(folder), data_memory=1000).dataset()
    layers = [keras.layers.Rescaling(data.scale), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input(data.image_shape), *layers])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    how = {"learning_rate": 0.01, "batch_size": 8, "lottery": 2}
    told = {"validation_data": (data.x_val, data.y_val), "epochs": 2, "verbose": 0, "class_weight": {0: 1.0, 1: 2.0}}
    history = fit(model, how, data.x_train, data.y_train, **told).history
    assert len(history["loss"]) == 2
    expected = int((model.predict(np.asarray(data.x_test), verbose=0).argmax(-1) == data.y_test).sum())
    assert correct_of(model, data.x_test, data.y_test) == expected
    run = RunFolder(tmp_path / "run")
    run.create({"kind": "train"})
    run.save_test(data)
    with np.load(run.test) as file:
        np.testing.assert_array_equal(file["x_test"], np.asarray(data.x_test))
        assert file["class_names"].tolist() == ["dark", "light"]
    model.save(run.best)
    assert evaluate_file(run.best, folder)["test_correct"] == evaluate_file(run.best)["test_correct"] == expected


def test_a_space_of_ones_own_gets_them_in_batches(folder):
    data = GivenData.from_dataset(load_dataset(folder, memory=1000))
    assert isinstance(data.train, keras.utils.PyDataset)
    x, y = data.train[0]
    assert x.dtype == "float32" and 0 < x.max() <= 1 and {*y} == {0, 1}
    assert data.fingerprint() == GivenData.from_dataset(load_dataset(folder)).fingerprint()


def test_a_function_of_ones_own_may_return_them(folder):
    data = load_dataset(folder, memory=1000)
    given = GivenData.from_function(lambda: ((data.x_train, data.y_train), (data.x_val, data.y_val)), "mine")
    x, y = given.train[0]
    assert x.dtype == "uint8" and len(x) == len(y) == len(data.x_train)
    assert all((image.mean() > 127) == label for image, label in zip(x, y))


def test_a_search_is_on_them_and_its_workers_know_it(folder, tmp_path, untrained):
    settings = SearchSettings(data=str(folder), data_memory=1000, trials=1, epochs=1, final_epochs=1)
    search = Search(settings, tmp_path / "search")
    assert search.session._setup.data_memory == 1000
    assert isinstance(search.dataset.x_train, StoredImages)
    search.close()
    more = Search(dataclasses.replace(settings, data_memory=2**30), tmp_path / "search")  # the same trials
    assert isinstance(more.dataset.x_train, np.ndarray)
    more.close()


def table(folder, text):
    (folder / "images.csv").write_text(text)
    return folder / "images.csv"


def rows(*, split, separator=","):
    lines = []
    for name in ("dark", "light"):
        for i in range(10):
            part = "train" if i < 6 else "val" if i < 8 else "test"
            lines.append(separator.join([f"{name}/{i}.png", name, *([part] if split else [])]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("header", ["path,label,split", "Image;Class;Set", "filename\ttarget\tsubset"])
def test_a_table_names_images_labels_and_parts(folder, header):
    separator = next(mark for mark in ",;\t" if mark in header)
    path = table(folder, "\ufeff" + header + "\n\n" + rows(split=True, separator=separator))
    data = load_dataset(path)
    assert (data.name, data.class_names) == ("images", ("dark", "light"))
    assert [len(part) for part in (data.x_train, data.x_val, data.x_test)] == [12, 4, 4]
    same(data, load_dataset(path, memory=10))


def test_parts_that_a_table_has_not_are_drawn_and_numbers_are_in_order(folder):
    same(load_dataset(table(folder, "path,label\n" + rows(split=False))), load_dataset(folder))
    numbered = rows(split=False).replace(",dark", ",10").replace(",light", ",9")
    assert load_dataset(table(folder, "path,label\n" + numbered)).class_names == ("9", "10")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,label\n1,2\n", r"must name a column of paths.*it has \['image_id', 'label'\]"),
        ("path,label\na.png\n", "line 2: must have 2 columns; it has 1"),
        ("path,label,split\ndark/0.png,dark,trian\n", "line 2: .* a part among train"),
        ("path,label\ndark/0.png,\n", "line 2: must have a label"),
        ("path,label\n" + rows(split=False) + "dark/0.png,light\n", r"dark/0\.png has several"),
        ("path,label\ndark/0.png,dark\n", "two classes or more"),
        ("path,label,split\n" + rows(split=True) + "x.png,cat,test\n", r"of \['cat'\] there is no image to train on"),
        ("path,label\ndark/0.png,a\ndark/1.png,b\n", "'a' has 1 to train on"),
        ("path,label\n" + rows(split=False) + "gone.png,dark\n", r"gone\.png"),
    ],
)
def test_tables_that_are_none(folder, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset(table(folder, text))
    assert "`data`" in str(caught.value)
