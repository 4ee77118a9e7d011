"""RoIAlign, RoIPool and WarpRegions: thin shells over functions that tests/test_roi.py holds to torchvision."""

import json

import keras
import numpy as np
import pytest
from calling import as_array, outputs_of
from catalog import REGIONS

import keras_blocks
from keras_blocks import RoIAlign, RoIPool, WarpRegions
from keras_blocks.core.signature import arguments
from keras_blocks.ops import roi_align, roi_pool

every_layer = pytest.mark.parametrize("name", REGIONS)
FEATURES, BOXES = (None, 6, 7, 2), (None, 3, 4)


def make(name, **options):
    return getattr(keras_blocks, name)(**{**REGIONS[name], **options})


@pytest.fixture
def features(rng):
    return rng.normal(size=(2, 6, 7, 2)).astype("float32")


@pytest.fixture
def boxes():
    return np.array([[[0, 0, 3, 4], [1, 2, 6, 5], [-1, -1, -1, -1]]] * 2, "float32")


@every_layer
def test_contract(name, features, boxes):
    """What check_layer asks of layers with one input."""
    layer = make(name)
    config = layer.get_config()
    assert not set(arguments(type(layer))) - set(config)
    again = type(layer).from_config(json.loads(json.dumps(config))).get_config()
    assert json.dumps(again, sort_keys=True) == json.dumps(config, sort_keys=True)
    layer.build([FEATURES, BOXES])
    found = outputs_of(layer, [features, boxes])
    assert layer.compute_output_shape([FEATURES, BOXES]) == (None, *found.shape[1:])
    assert layer.compute_output_shape([features.shape, boxes.shape]) == found.shape
    half = make(name, dtype="mixed_bfloat16")
    for output in (half([features, boxes]), half([keras.Input(FEATURES[1:]), keras.Input(BOXES[1:])])):
        assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    assert np.isfinite(found).all()


def test_are_the_functions(features, boxes):
    options = {"output_size": (2, 3), "spatial_scale": 0.5}
    for layer, function in ((RoIAlign, roi_align), (RoIPool, roi_pool)):
        np.testing.assert_array_equal(
            as_array(layer(**options)([features, boxes])), as_array(function(features, boxes, **options))
        )


@pytest.mark.twice
@pytest.mark.parametrize("cls", [RoIAlign, RoIPool])
def test_levels_go_in_as_a_dict_and_through_a_saved_model(cls, tmp_path, rng):
    inputs = [{"P2": keras.Input((8, 8, 2)), "P3": keras.Input((4, 4, 2))}, keras.Input((3, 4))]
    model = keras.Model(inputs, cls(2)(inputs))
    levels = {"P2": rng.normal(size=(1, 8, 8, 2)), "P3": rng.normal(size=(1, 4, 4, 2))}
    boxes = np.array([[[0, 0, 30, 30], [4, 4, 20, 20], [0, 0, 120, 130]]], "float32")
    wanted = as_array(model([levels, boxes]))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(as_array(again([levels, boxes])), wanted)
    fine = as_array(cls(2, spatial_scale=0.25)([levels["P2"], boxes]))
    coarse = as_array(cls(2, spatial_scale=0.125)([levels["P3"], boxes]))
    np.testing.assert_allclose(wanted, np.concatenate([fine[:, :2], coarse[:, 2:]], axis=1), atol=1e-6)


@every_layer
def test_channels_first_is_the_same(name, features, boxes):
    first = make(name, data_format="channels_first")
    transposed = features.transpose(0, 3, 1, 2)
    found = outputs_of(first, [transposed, boxes])
    assert found.shape == first.compute_output_shape([transposed.shape, boxes.shape])
    wanted = outputs_of(make(name), [features, boxes]).transpose(0, 1, 4, 2, 3)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@every_layer
def test_boxes_stay_float32_under_mixed_precision(name):
    """In float16, 1,203.25 is 1,203."""
    features = np.zeros((1, 2, 1300, 1), "float32")
    features[:, :, 1203:1205] = [[1.0], [2.0]]
    options = {"spatial_scale": 1.0} if name != "WarpRegions" else {"fill": 0.0}
    boxes = np.array([[[1203.25, 0.0, 1204.25, 1.0]]], "float32")
    wanted = as_array(make(name, **options)([features, boxes]))
    found = make(name, **options, dtype="mixed_float16")([features, boxes])
    np.testing.assert_allclose(as_array(keras.ops.cast(found, "float32")), wanted, atol=2e-3)


# -- WarpRegions ------------------------------------------------------------------------------------------------------


def test_a_box_fills_what_the_context_leaves(rng):
    """The box of 6x4 pixels becomes the inner 6x4 of 10x8: its pixels, with two of context on each side."""
    images = rng.uniform(size=(1, 20, 30, 3)).astype("float32")
    found = as_array(WarpRegions((8, 10), 2)([images, np.array([[[7, 5, 13, 9]]], "float32")]))
    np.testing.assert_allclose(found[0, 0], images[0, 3:11, 5:15], atol=1e-5)


def test_proportions_are_not_kept(rng):
    """A box twice as wide as high becomes a square, of pixels halved along x."""
    images = np.repeat(np.arange(32.0, dtype="float32")[None, None, :, None], 8, axis=1)
    found = as_array(WarpRegions(4, 0)([images, np.array([[[8, 2, 16, 6]]], "float32")]))
    np.testing.assert_allclose(found[0, 0, :, :, 0], [[8.5, 10.5, 12.5, 14.5]] * 4, atol=1e-5)


def test_outside_of_the_image_is_filled():
    images = np.ones((1, 4, 4, 2), "float32")
    boxes = np.array([[[0, 0, 4, 4], [50, 50, 60, 60]]], "float32")
    found = as_array(WarpRegions(12, 4, fill=[7.0, 0.5])([images, boxes]))
    np.testing.assert_allclose(found[0, 0, 4:8, 4:8], 1.0)
    np.testing.assert_allclose(found[0, 0, :3], np.broadcast_to([7.0, 0.5], (3, 12, 2)))
    np.testing.assert_allclose(found[0, 1], np.broadcast_to([7.0, 0.5], (12, 12, 2)))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 but where it is told to")
def test_warps_in_double_precision():
    images, boxes = np.ones((1, 4, 4, 1)), np.array([[[0.0, 0, 4, 4]]])
    found = WarpRegions(2, 0, dtype="float64")([images, boxes])
    assert as_array(found).dtype == "float64"
    np.testing.assert_array_equal(as_array(found), np.ones((1, 1, 2, 2, 1)))


def test_takes_bytes():
    images = np.full((1, 4, 4, 1), 200, "uint8")
    assert as_array(WarpRegions(2, 0)([images, np.array([[[0, 0, 4, 4]]], "float32")])).max() == 200.0


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: RoIAlign(0), ValueError, "`output_size`"),
        (lambda: RoIPool((2, 3, 4)), ValueError, "`output_size`"),
        (lambda: RoIAlign(2.0), TypeError, "`output_size`"),
        (lambda: RoIAlign(2, 0), ValueError, "`spatial_scale`"),
        (lambda: RoIPool(2, "1/16"), TypeError, "`spatial_scale`"),
        (lambda: RoIAlign(2, sampling_ratio=-1), ValueError, "`sampling_ratio`"),
        (lambda: RoIAlign(2, aligned=1), TypeError, "`aligned`"),
        (lambda: RoIPool(2, data_format="first"), ValueError, "`data_format`"),
        (lambda: WarpRegions(20, 10), ValueError, "`context`"),
        (lambda: WarpRegions(20, -1), ValueError, "`context`"),
        (lambda: WarpRegions(20, 1, fill="mean"), TypeError, "`fill"),
        (lambda: WarpRegions(20, 1, fill=[0.0]).build([FEATURES, BOXES]), ValueError, "`fill`"),
        (lambda: RoIAlign(2, scale=3), TypeError, "`scale`"),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.once
@pytest.mark.parametrize(
    "shapes",
    [
        FEATURES,
        [FEATURES],
        [BOXES, FEATURES],
        [FEATURES, (None, 3, 5)],
        [FEATURES, (None, 4)],
        [FEATURES, BOXES, BOXES],
        [{}, BOXES],
        [{"P2": FEATURES, "P3": (None, 3, 3, 5)}, BOXES],
    ],
)
@every_layer
def test_takes_maps_and_boxes(name, shapes):
    with pytest.raises(ValueError, match="and boxes, \\(batch, n, 4\\); received"):
        make(name).build(shapes)
