"""Keras' own layers move boxes with their objects: those that do, on every backend, and those that do not."""

import keras
import numpy as np
import pytest
import scenes
from keras import layers

from keras_blocks.detection.augmentation import WRONG, BoxAugmentation

SIZE = 48, 64
FORMAT = {"bounding_box_format": "xyxy"}
FILLED = {"fill_mode": "constant", **FORMAT}

RIGHT = {
    "RandomFlip, sideways": lambda: layers.RandomFlip("horizontal", **FORMAT),
    "RandomFlip, both ways": lambda: layers.RandomFlip(**FORMAT),
    "RandomTranslation": lambda: layers.RandomTranslation(0.3, 0.3, **FILLED),
    "RandomZoom, in": lambda: layers.RandomZoom((-0.4, -0.1), (-0.4, -0.1), **FILLED),
    "RandomZoom, out": lambda: layers.RandomZoom((0.1, 0.4), (0.1, 0.4), **FILLED),
    "RandomRotation": lambda: layers.RandomRotation(0.05, **FILLED),
    "RandomPerspective": lambda: layers.RandomPerspective(1.0, 0.3, **FORMAT),
    "RandomBrightness": lambda: layers.RandomBrightness(0.1, **FORMAT),
    "RandomContrast": lambda: layers.RandomContrast(0.1, **FORMAT),
    "a list": lambda: [layers.RandomFlip("horizontal", **FORMAT), layers.RandomZoom(0.2, 0.2, **FILLED)],
    "a Pipeline": lambda: layers.Pipeline([layers.RandomFlip(**FORMAT), layers.RandomTranslation(0.2, 0.2, **FILLED)]),
}
"""Those that are trusted: the rectangle lies where its box does."""

EVERYWHERE = ("RandomFlip, sideways", "a list")
"""On every backend; the others are of the same operations."""


def painted(rng):
    """Four images of a rectangle each, its boxes among padding, and its labels."""
    images = np.zeros((4, *SIZE, 3), "float32")
    boxes, labels = np.full((4, 3, 4), -1, "float32"), np.full((4, 3), -1, "int32")
    for i in range(4):
        x1, y1 = rng.integers(8, 40), rng.integers(6, 28)
        x2, y2 = x1 + rng.integers(10, 20), y1 + rng.integers(10, 16)
        images[i, y1:y2, x1:x2] = 255
        boxes[i, 0], labels[i, 0] = (x1, y1, x2, y2), 1
    return images, boxes, labels


def farthest(change):
    """By how many pixels a side of a box is off its rectangle, the most of 8 images."""
    rng, most = np.random.default_rng(0), 0.0
    for seed in range(2):
        images, boxes, *_ = change(*painted(rng), seed)
        for image, box in zip(images, boxes[:, 0]):
            rows, columns = np.nonzero(image.max(axis=-1) > 127)
            if len(rows):
                seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                most = max(most, np.abs(np.array(seen) - box).max())
    return most


@pytest.mark.parametrize(
    "name", [name if name in EVERYWHERE else pytest.param(name, marks=pytest.mark.once) for name in RIGHT]
)
def test_boxes_move_with_their_objects(name):
    change = BoxAugmentation(RIGHT[name](), SIZE)
    assert farthest(lambda *parts: change(*parts[:3], parts[3:])) < 2
    images, boxes, labels, _ = change(*painted(np.random.default_rng(1)), (7,))
    assert (images.dtype, boxes.dtype, labels.dtype) == ("float32", "float32", "int32")
    assert (labels[:, 1:] == -1).all() and (boxes[:, 1:] == -1).all(), "padding was moved"


@pytest.mark.once
@pytest.mark.parametrize("name", ["RandomShear", "RandomCrop"])
def test_what_is_said_of_layers_that_lose_boxes_is_so(name):
    """When Keras mends one, it is to be taken off the list."""

    def change(images, boxes, labels, seed):
        made = {
            "RandomShear": lambda: layers.RandomShear(0.3, 0.3, seed=seed + 1, **FILLED),
            "RandomCrop": lambda: layers.RandomCrop(40, 40, seed=seed + 1, **FORMAT),
        }[name]()
        changed = made({"images": images, "bounding_boxes": {"boxes": boxes, "labels": labels}}, training=True)
        parts = changed["images"], changed["bounding_boxes"]["boxes"], changed["bounding_boxes"]["labels"]
        return [np.asarray(keras.ops.convert_to_numpy(part)) for part in parts]

    assert name in WRONG and farthest(change) > 2.5


@pytest.mark.once
def test_a_mirrored_image_has_mirrored_boxes(boxed):
    """In a dataset, of all seeds that mirror; the others show the image as it is."""
    boxes = [[[4, 8, 30, 24], [40, 20, 60, 40]]]
    (image,), targets = boxed(boxes)[0]
    straight = targets["boxes"][0]
    mirrored = 60 * np.array([1, 0, 1, 0]) + straight[:, [2, 1, 0, 3]] * [-1, 1, -1, 1]
    seen = set()
    for seed in range(8):
        dataset = boxed(boxes, seed=seed, augmentation=layers.RandomFlip("horizontal", **FORMAT))
        (changed,), found = dataset[0]
        flipped = not np.array_equal(changed, image)
        np.testing.assert_array_equal(changed, image[:, ::-1] if flipped else image)
        np.testing.assert_allclose(found["boxes"][0], mirrored if flipped else straight, atol=1e-4)
        assert found["labels"].tolist() == [[0, 1]]
        seen.add(flipped)
    assert seen == {True, False}


@pytest.mark.once
def test_a_batch_follows_from_seed_epoch_and_its_place(boxed):
    """Whatever was drawn before it; each epoch has others."""

    def made():
        change = [
            layers.RandomTranslation(0.3, 0.3, **FILLED),
            layers.Pipeline([layers.RandomZoom(0.2, 0.2, **FILLED)]),
        ]
        return boxed([[[4, 8, 30, 24]]] * 4, seed=3, augmentation=change)

    one, other = made(), made()
    last = other[1]
    np.testing.assert_array_equal(other[0][0], one[0][0])
    np.testing.assert_array_equal(last[0], one[1][0])
    assert not np.array_equal(one[0][0][0], one[0][0][1]), "all images of a batch are changed alike"
    before = one[0][1]["boxes"]
    one.on_epoch_end()
    assert not np.array_equal(one[0][1]["boxes"], before)
    np.testing.assert_array_equal(one.in_order()[0][1]["boxes"][0, 0], [4, 8, 30, 24])


@pytest.mark.once
def test_boxes_that_leave_the_image_are_left_out_and_the_others_stand_first():
    images, boxes, labels = painted(np.random.default_rng(0))
    boxes[0] = [[50, 5, 60, 20], [2, 5, 20, 20], [40, 0, 64, 48]]
    labels[0] = [0, 1, 2]
    away = BoxAugmentation(layers.RandomTranslation(0.0, (0.4, 0.4), **FILLED), SIZE)  # by 25.6 pixels to the right
    _, found, classes, _ = away(images, boxes, labels, (0,))
    assert classes[0].tolist() == [1, -1, -1]
    np.testing.assert_allclose(found[0], [[27.6, 5, 45.6, 20], [-1] * 4, [-1] * 4], atol=0.1)


def test_models_train_on_changed_images(boxed):
    """On every backend."""
    change = [layers.RandomFlip("horizontal", **FORMAT), layers.RandomZoom(0.2, 0.2, **FILLED)]
    dataset = boxed([[[4, 8, 30, 24]]] * 6, seed=3, shuffle=True, augmentation=change)
    inputs = keras.Input((*scenes.SIZE, 3))
    pooled = layers.GlobalAveragePooling2D()(inputs)
    outputs = {"boxes": layers.Reshape((1, 4))(layers.Dense(4)(pooled)), "labels": layers.Dense(1)(pooled)}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"boxes": "mae", "labels": "mae"})
    assert np.isfinite(model.fit(dataset, epochs=1, verbose=0).history["loss"]).all()


class NoBoxes(layers.Layer):
    """Of a user's own, that forgets them."""

    def call(self, data):
        return data["images"]


REFUSED = {
    "RandomShear": (lambda: layers.RandomShear(0.1, 0.1, **FILLED), "Keras' RandomShear moves boxes by several"),
    "RandomCrop": (lambda: layers.RandomCrop(40, 40, **FORMAT), "Keras' RandomCrop takes the rows"),
    "within a Pipeline": (lambda: layers.Pipeline([layers.RandomCrop(40, 40, **FORMAT)]), "Keras' RandomCrop"),
    "RandAugment": (lambda: layers.RandAugment(**FORMAT), "Keras' RandAugment shears"),
    "AugMix": (lambda: layers.AugMix(**FORMAT), "Keras' AugMix moves objects"),
    "MixUp": (lambda: layers.MixUp(**FORMAT), "Keras' MixUp"),
    "CutMix": (lambda: layers.CutMix(**FORMAT), "Keras' CutMix knows no boxes"),
    "elastic": (lambda: layers.RandomElasticTransform(0.1, **FORMAT), "RandomElasticTransform knows no boxes"),
    "grayscale": (lambda: layers.RandomGrayscale(0.5), "RandomSaturation does"),
    "no format": (lambda: layers.RandomFlip("horizontal"), "RandomFlip has bounding_box_format=None: give"),
    "another format": (lambda: layers.RandomFlip(bounding_box_format="xywh"), "bounding_box_format='xywh'"),
    "objects shown twice": (lambda: layers.RandomTranslation(0.1, 0.1, **FORMAT), "fill_mode='reflect'"),
    "objects shown twice, wrapped": (lambda: layers.RandomZoom(0.1, fill_mode="wrap", **FORMAT), "fill_mode='wrap'"),
    "another size": (lambda: layers.Resizing(20, 20, **FORMAT), "must keep the shapes"),
    "no boxes": (NoBoxes, "must take a dict of images and bounding boxes"),
    "a function": (lambda: [abs], "must be a Keras layer; received <built-in function abs>"),
    "a name": (lambda: "flip", "must be a list of items; received 'flip'"),
    "an empty list": (list, "not empty"),
}


@pytest.mark.once
@pytest.mark.parametrize("name", REFUSED)
def test_layers_that_lose_boxes_are_refused_at_construction(name):
    make, words = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=f"`augmentation.*{words}"):
        BoxAugmentation(make(), SIZE)


@pytest.mark.once
def test_other_processes_are_refused(boxed):
    with pytest.raises(ValueError, match=r"`use_multiprocessing` must be False.*Give `workers`"):
        boxed([[]], augmentation=layers.RandomFlip(**FORMAT), use_multiprocessing=True)


@pytest.mark.once
def test_regions_move_with_the_boxes(boxed):
    """Those that are given with `with_proposals`, padded; which of them leave the image are left out."""
    boxes = [[[4, 8, 30, 24]], [[20, 10, 40, 30]], []]
    regions = np.full((3, 4, 4), -1.0)
    regions[:2, :2] = [[[4, 8, 30, 24], [0, 0, 60, 40]], [[20, 10, 40, 30], [58, 0, 60, 9]]]
    plain = boxed(boxes, batch_size=3).with_proposals(regions)
    inputs, targets = plain[0]
    np.testing.assert_array_equal(inputs["proposals"], regions)
    assert inputs["image"].shape == (3, *scenes.SIZE, 3) and targets["boxes"].shape == (3, 1, 4)
    shift = layers.RandomTranslation((0.1, 0.2), (0.1, 0.3), **FILLED)
    inputs, targets = boxed(boxes, batch_size=3, seed=2, augmentation=shift).with_proposals(regions)[0]
    np.testing.assert_allclose(inputs["proposals"][:2, :1], targets["boxes"][:2], atol=1e-4)
    assert (inputs["proposals"][:, 2:] == -1).all() and (inputs["proposals"][2] == -1).all()
    assert (inputs["proposals"][0, 1] > 0).all() and (inputs["proposals"][1, 1] == -1).all()
    assert plain.in_order()[0][0].keys() == inputs.keys()


@pytest.mark.once
@pytest.mark.parametrize(
    "regions, words", [(np.zeros((2, 5, 4)), r"received \(2, 5, 4\)"), (np.zeros((1, 4)), "received")]
)
def test_regions_of_other_images_are_refused(boxed, regions, words):
    with pytest.raises(ValueError, match=rf"`regions` must have the shape \(1, most, 4\).*{words}"):
        boxed([[]]).with_proposals(regions)
    with pytest.raises(ValueError, match="`regions` must be finite"):
        boxed([[]]).with_proposals(np.full((1, 2, 4), np.nan))
