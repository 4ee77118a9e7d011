"""A test for what the sources' slides say of R-CNN, Fast R-CNN and Faster R-CNN, as the papers have it."""

import inspect

import keras
import numpy as np
import pytest

import keras_blocks
from keras_blocks.detection.losses import chosen_regions
from keras_blocks.ops import box_iou

pytestmark = pytest.mark.once


def default(cls, name):
    return inspect.signature(cls).parameters[name].default


def test_mini_batches_are_of_128_regions_of_2_images():
    """Girshick 2015, section 2.3: N = 2, R = 128, so 64 of each image, a quarter of which overlap an object by 0.5."""
    samples = default(keras_blocks.FastRCNN, "head_samples")
    assert samples == 64 and 2 * samples == 128
    rng = np.random.default_rng(0)
    truth = np.array([[[0, 0, 100, 100], [100, 100, 180, 200]], [[50, 50, 150, 150], [-1] * 4]], "float32")
    near = truth[:, :1] + rng.uniform(-20, 20, (2, 40, 4))
    corners = rng.uniform(0, 300, (2, 400, 2))
    proposals = np.concatenate([near, np.concatenate([corners, corners + 40], axis=-1)], axis=1).astype("float32")
    labels = np.array([[0, 1], [2, -1]])
    seed = keras.random.SeedGenerator(0)
    regions, classes, _, there = map(
        keras.ops.convert_to_numpy, chosen_regions(proposals, truth, labels, samples=samples, seed=seed)
    )
    assert there.sum() == 128 and there.sum(axis=1).tolist() == [64, 64]
    assert (classes > 0).sum(axis=1).tolist() == [16, 16]
    overlaps = keras.ops.convert_to_numpy(box_iou(regions, truth)).max(axis=2)
    assert (overlaps[classes > 0] >= 0.5).all() and (overlaps[classes == 0] < 0.5).all()


def test_rcnn_is_tuned_on_32_objects_and_96_of_the_background():
    """Girshick et al. 2014, section 2.3. The slides' "R/N" is Fast R-CNN's."""
    assert default(keras_blocks.RCNN, "head_samples") == 128 and 128 // 4 == 32
    assert default(keras_blocks.RCNN, "context") == 16
    ridge = inspect.signature(keras_blocks.RCNN.fit_box_regression).parameters
    assert (ridge["ridge"].default, ridge["iou"].default) == (1000.0, 0.6)


def test_there_are_2000_proposals():
    """Of selective search, and of the proposal network in training; it gives 300 when it detects (section 3.3)."""
    assert keras_blocks.FasterRCNN.variants["faster_rcnn_vgg16"]["post_nms_top_n"] == (2000, 300)
    hidden = {"hidden": (8,), "final_pool": False, "backbone": "vgg16", "classes": 2}
    shapes = [{"image": (64, 64, 3), "proposals": (n, 4)} for n in (1999, 2000)]
    fewer, as_published = (keras_blocks.cost(keras_blocks.FastRCNN, shape, **hidden) for shape in shapes)
    usual = keras_blocks.cost(keras_blocks.FastRCNN, (64, 64, 3), **hidden)
    assert usual == as_published != fewer


@pytest.mark.parametrize(("size", "found"), [((600, 800), (37, 50)), ((608, 1008), (38, 63))])
def test_maps_of_600x800_images_are_37x50(size, found):
    """VGG-16's last map before its last pooling: each of four poolings halves, rounding down; not 38, 18 or 75."""
    options = {**keras_blocks.VGG.variants["vgg16"], "final_pool": False, "include_top": False}
    assert keras_blocks.cost_rows(keras_blocks.VGG, (*size, 3), **options)[-1].shape == (*found, 512)


def test_faster_rcnns_anchors_on_such_a_map_are_9_a_place():
    """Ren et al. 2015, section 3.1.1: about 20,000 (60x40x9) for 1000x600 pixels."""
    variant = keras_blocks.FasterRCNN.variants["faster_rcnn_vgg16"]
    assert len(variant["anchor_sizes"][0]) * len(default(keras_blocks.FasterRCNN, "aspect_ratios")) == 9


CONVOLUTIONS = 14_714_688  # torchvision vgg16: features
DENSE = 7 * 7 * 512 * 4096 + 4096 + 4096 * 4096 + 4096  # its classifier's first two layers
SCORES = 4096 * 21 + 21
SQUEEZENET = 1_235_496 - 513_000  # torchvision squeezenet1_1 without its classifier's convolution
HEAD = 7 * 7 * 512 * 1024 + 1024 + 1024 * 1024 + 1024 + 1024 * (21 + 84) + 21 + 84


@pytest.mark.parametrize(
    ("variant", "params"),
    [
        ("fast_rcnn_vgg16", CONVOLUTIONS + DENSE + SCORES + 4096 * 84 + 84),
        ("fast_rcnn_squeezenet", SQUEEZENET + HEAD),
        ("rcnn_vgg16", CONVOLUTIONS + DENSE + SCORES + 7 * 7 * 512 * 84 + 84),
    ],
)
def test_variants_have_the_sources_parameters(variant, params):
    """Of 20 classes, each with its four moves, the background included."""
    assert keras_blocks.cost(variant).params == params
    assert variant in keras_blocks.list_models()
