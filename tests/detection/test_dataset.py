"""DetectionDataset: what is in a batch, where boxes lie in it and in the file, and what order it comes in."""

import pickle

import keras
import numpy as np
import pytest
import scenes
from PIL import Image

from keras_blocks import DetectionDataset

pytestmark = pytest.mark.once


def extent(image):
    """The box around what is brighter than the ground."""
    rows, columns = np.nonzero(image.max(axis=-1) > 150)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_a_batch_is_images_with_padded_boxes(boxed):
    dataset = boxed([[[10, 8, 30, 24], [1, 2, 9, 12]], [], [[0, 0, 60, 40]]])
    images, targets = dataset[0]
    assert images.shape == (2, 40, 60, 3) and images.dtype == "float32" and images.max() == 255
    assert targets["boxes"].dtype == "float32" and targets["labels"].dtype == "int32"
    np.testing.assert_array_equal(targets["boxes"], [[[10, 8, 30, 24], [1, 2, 9, 12]], [[-1] * 4] * 2])
    np.testing.assert_array_equal(targets["labels"], [[0, 1], [-1, -1]])
    last, targets = dataset[1]
    assert len(dataset) == 2 and last.shape[0] == 1 and targets["boxes"].shape == (1, 2, 4)
    with pytest.raises(IndexError, match="2 batches"):
        dataset[2]


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (20, 90), (33, 17), (300, 200)])
def test_boxes_move_with_their_images(boxed, size):
    """The rectangle that is drawn lies in the batch where its box does, to a pixel; and the box comes back."""
    height, width = size
    box = [width * 0.25, height * 0.2, width * 0.7, height * 0.6]
    box = [float(round(side)) for side in box]
    dataset = boxed([[box]], size=size, image_size=(64, 96))
    images, targets = dataset[0]
    moved = targets["boxes"][0, 0]
    np.testing.assert_allclose(extent(images[0]), moved, atol=1.01)
    inner = dataset.inner_size(0)
    assert (
        max(inner[0] / 64, inner[1] / 96) == 1
        and not images[0, inner[0] :].any()
        and not images[0, :, inner[1] :].any()
    )
    assert abs(inner[0] / inner[1] - height / width) < 0.05
    np.testing.assert_allclose(dataset.to_original(0, targets["boxes"][0]), [box], atol=1e-3)
    np.testing.assert_allclose(dataset.from_original(0, [box]), [moved], atol=1e-3)


def test_detections_go_back_within_the_image_and_padding_stays(boxed):
    dataset = boxed([[[10, 8, 30, 24]]], image_size=(80, 80))
    back = dataset.to_original(0, [[[-8, -8, 400, 400], [-1, -1, -1, -1]]])
    np.testing.assert_array_equal(back, [[[0, 0, 60, 40], [-1] * 4]])


def test_a_batch_is_what_pillow_makes_of_the_file(boxed, tmp_path):
    dataset = boxed([[[10, 8, 30, 24]]], image_size=(20, 40))
    expected = Image.open(tmp_path / "0.png").resize((30, 20), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(dataset.image(0)[:, :30], np.asarray(expected))
    np.testing.assert_array_equal(dataset.original(0), np.asarray(Image.open(tmp_path / "0.png")))


def test_grey_and_transparent_images_are_in_colour(tmp_path):
    modes = ("L", "1", "P", "RGBA", "LA", "CMYK")
    files = [tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}" for mode in modes]
    for mode, file in zip(modes, files):
        Image.new(mode, (60, 40)).save(file)
    empty = {"boxes": [], "labels": []}
    dataset = DetectionDataset(files, [empty] * len(files), ["cat"], image_size=(20, 30), batch_size=8)
    assert dataset[0][0].shape == (6, 20, 30, 3) and (dataset[0][1]["labels"] == -1).all()


def test_an_image_that_lies_on_its_side_is_as_its_annotation_has_it(tmp_path):
    """Cameras store the picture as the sensor saw it, and how they were held."""
    picture = Image.fromarray(np.repeat(np.arange(60, dtype="uint8")[None, :, None], 40, axis=0).repeat(3, axis=2))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "held.jpg", exif=exif, quality=100)
    one = {"boxes": [[0, 0, 5, 5]], "labels": [0]}
    shapes = []
    for size in ({}, {"height": 40, "width": 60}, {"height": 60, "width": 40}):
        dataset = DetectionDataset([tmp_path / "held.jpg"], [{**one, **size}], ["cat"], image_size=60)
        shapes.append(dataset.original(0).shape)
        assert dataset.image(0).shape == (60, 60, 3)
    assert shapes == [(40, 60, 3), (40, 60, 3), (60, 40, 3)]


def test_boxes_partly_outside_are_clipped(boxed):
    dataset = boxed([[[-10, 8, 30, 50], [50, 30, 90, 90]]])
    np.testing.assert_array_equal(dataset[0][1]["boxes"], [[[0, 8, 30, 40], [50, 30, 60, 40]]])
    assert dataset.left_out == 0


def test_most_boxes_are_those_of_the_fullest_image_or_as_told(boxed):
    boxes = [[[0, 0, 5, 5], [0, 0, 30, 30], [0, 0, 10, 10]], [[0, 0, 9, 9]]]
    assert boxed(boxes).max_boxes == 3
    assert boxed(boxes, max_boxes=5)[0][1]["labels"].shape == (2, 5)
    with pytest.warns(UserWarning, match="1 beyond `max_boxes`, the smallest"):
        fewer = boxed(boxes, max_boxes=2)
    np.testing.assert_array_equal(fewer[0][1]["boxes"][0], [[0, 0, 30, 30], [0, 0, 10, 10]])
    assert [len(one["boxes"]) for one in fewer.ground_truth()] == [3, 1] and fewer.left_out == 1
    with pytest.raises(ValueError, match=r"`max_boxes` must be 3 at least.*received 2"):
        boxed(boxes, max_boxes=2, strict=True)


def test_difficult_boxes_and_crowds_are_in_no_batch(tmp_path):
    file = scenes.save_image(tmp_path / "0.png")
    one = {"boxes": [[0, 0, 9, 9], [5, 5, 20, 20], [1, 1, 30, 30]], "labels": ["cat"] * 3}
    one |= {"difficult": [0, 1, 0], "iscrowd": [0, 0, 1]}
    kept = {
        use: DetectionDataset([file], [one], ["cat"], use_difficult=use)[0][1]["labels"][0].tolist()
        for use in (False, True)
    }
    assert kept == {False: [0], True: [0, 0]}
    truth = DetectionDataset([file], [one], ["cat"]).ground_truth()[0]
    assert truth["difficult"].tolist() == [False, True, False] and truth["iscrowd"].tolist() == [False, False, True]
    assert truth["area"].tolist() == [81, 225, 841]


def test_ground_truth_makes_the_same_dataset_again(boxed):
    dataset = boxed([[[10, 8, 30, 24]], []], image_size=(80, 80))
    again = DetectionDataset(dataset.files, dataset.ground_truth(), dataset.labels, image_size=(80, 80))
    np.testing.assert_array_equal(again[0][1]["boxes"], dataset[0][1]["boxes"])


def order_of(dataset):
    return [int(box[0]) for i in range(len(dataset)) for box in dataset[i][1]["boxes"][:, 0]]


@pytest.fixture
def numbered(boxed):
    """Each image's box begins at its number."""
    return lambda **options: boxed([[[i, 0, i + 9, 9]] for i in range(12)], **options)


def test_each_epoch_has_another_order_that_follows_from_the_seed(numbered):
    dataset, same, other = (numbered(shuffle=True, seed=seed) for seed in (1, 1, 2))
    epochs = []
    for _ in range(3):
        assert order_of(dataset) == order_of(same) != order_of(other)
        epochs.append(order_of(dataset))
        dataset.on_epoch_end(), same.on_epoch_end(), other.on_epoch_end()
    assert all(sorted(order) == list(range(12)) for order in epochs)
    assert len(set(map(tuple, epochs))) == 3
    assert order_of(dataset.in_order()) == order_of(numbered()) == list(range(12))
    assert order_of(dataset) != list(range(12)), "in_order changed what it was made of"


def test_an_unseeded_dataset_follows_the_global_seed(numbered):
    seeds = []
    for seed in (0, 0, 1):
        keras.utils.set_random_seed(seed)
        seeds.append(numbered(shuffle=True).seed)
    assert seeds[0] == seeds[1] != seeds[2]


def test_a_model_trains_on_it_and_predicts(numbered, monkeypatch):
    """By plain `fit`, with threads that read ahead: each epoch shows each image once."""
    dataset = numbered(shuffle=True, seed=1, batch_size=3, workers=3)
    inputs = keras.Input((*scenes.SIZE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    boxes, labels = keras.layers.Reshape((1, 4))(keras.layers.Dense(4)(pooled)), keras.layers.Dense(1)(pooled)
    model = keras.Model(inputs, {"boxes": boxes, "labels": labels})
    model.compile("sgd", {"boxes": "mae", "labels": "mae"})
    shown = {}
    read = dataset.image
    monkeypatch.setattr(dataset, "image", lambda i: shown.setdefault(dataset.epoch, []).append(i) or read(i))
    losses = model.fit(dataset, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    *_, before, last = shown.values()  # Keras looks into some batches before the first epoch
    assert sorted(before) == sorted(last) == list(range(12))
    assert model.predict(dataset.in_order(), verbose=0)["boxes"].shape == (12, 1, 4)


def test_other_processes_read_the_same(numbered):
    """What a process that Keras starts is given."""
    dataset = numbered(shuffle=True, seed=1, workers=2, use_multiprocessing=True)
    dataset.on_epoch_end()
    assert order_of(pickle.loads(pickle.dumps(dataset))) == order_of(dataset) != list(range(12))


def test_an_image_that_changed_its_size_is_refused(boxed, tmp_path):
    dataset = boxed([[[10, 8, 30, 24]]])
    scenes.save_image(tmp_path / "0.png", (50, 60))
    with pytest.raises(ValueError, match=r"0\.png has changed its size"):
        dataset[0]
