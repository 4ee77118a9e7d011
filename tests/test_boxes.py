"""Functions on boxes are torchvision's, finite where its are not."""

import keras
import numpy as np
import pytest
from calling import as_array
from detection_goldens import cases, golden
from gradients import input_gradients
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_blocks.ops import box_iou, clip_boxes, decode_boxes, encode_boxes, giou

WEIGHTS = {"1": (1, 1, 1, 1), "10": (10, 10, 5, 5)}
PADDING = np.array([[-1, -1, -1, -1], [0, 0, 0, 0], [5, 5, 5, 9], [7, 7, 3, 3]], "float32")


def test_overlaps_are_torchvision_s():
    arrays = golden("boxes")
    for function, name in ((box_iou, "iou"), (giou, "giou")):
        found = as_array(function(arrays["a"], arrays["b"]))
        np.testing.assert_allclose(found, arrays[name], atol=1e-6)
        batched = as_array(function(np.stack([arrays["a"], arrays["a"] + 1]), arrays["b"]))
        np.testing.assert_allclose(batched[0], arrays[name], atol=1e-6)
        assert batched.shape == (2, 20, 12)


def test_coding_is_torchvision_s():
    arrays = golden("boxes")
    for name, wanted in cases(arrays, "encoded_").items():
        found = encode_boxes(arrays["a"], arrays["references"], WEIGHTS[name])
        np.testing.assert_allclose(as_array(found), wanted, rtol=1e-5, atol=1e-6)
    for name, wanted in cases(arrays, "decoded_").items():
        found = decode_boxes(arrays["deltas"], arrays["references"], WEIGHTS[name])
        np.testing.assert_allclose(as_array(found), wanted, rtol=1e-5, atol=1e-4)


def test_clipping_is_torchvision_s():
    arrays = golden("boxes")
    boxes = arrays["a"] - 30
    np.testing.assert_array_equal(as_array(clip_boxes(boxes, (40, 60))), arrays["clipped"])
    sizes = np.array([[40, 60], [20, 30]], "int32")
    both = as_array(clip_boxes(np.stack([boxes, boxes]), sizes))
    np.testing.assert_array_equal(both[0], arrays["clipped"])
    np.testing.assert_array_equal(both[1], np.clip(boxes, 0, [30, 20, 30, 20]))
    by_class = as_array(clip_boxes(np.stack([boxes, boxes])[:, :, None], sizes))
    np.testing.assert_array_equal(by_class[:, :, 0], both)


@settings(max_examples=10)
@given(st.integers(0, 2**16), st.sampled_from(list(WEIGHTS.values())))
def test_decoding_undoes_encoding(seed, weights):
    rng = np.random.default_rng(seed)
    boxes, references = rng.uniform(0, 500, (2, 3, 5, 4)).astype("float32")
    for x in (boxes, references):
        x[..., 2:] = x[..., :2] + np.abs(x[..., 2:]) + 10
    found = decode_boxes(encode_boxes(boxes, references, weights), references, weights)
    np.testing.assert_allclose(as_array(found), boxes, atol=1e-2, rtol=1e-5)


def test_boxes_without_area_overlap_nothing():
    """torchvision gives NaN where neither box has an area."""
    for function in (box_iou, giou):
        for others in (PADDING, np.array([[0, 0, 10, 10]], "float32")):
            assert np.isfinite(as_array(function(PADDING, others))).all()
    assert (as_array(box_iou(PADDING, PADDING)) == 0).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: box_iou(x, x[::-1] if isinstance(x, np.ndarray) else keras.ops.flip(x, axis=0)),
        lambda x: giou(x, PADDING),
        lambda x: encode_boxes(x, PADDING),
        lambda x: encode_boxes(PADDING, x),
        lambda x: decode_boxes(x * 100, PADDING),
        lambda x: decode_boxes(PADDING * 1000, x),
        lambda x: clip_boxes(x, (3, 4)),
    ],
)
def test_gradients_are_finite_for_padding(function):
    found = input_gradients(function, PADDING)
    assert np.isfinite(found).all()


def test_coordinates_are_float32_whatever_comes():
    boxes = np.array([[1000.0, 1000.0, 1004.0, 1004.0]], "float32")
    for dtype in ("float16", "int32"):
        found = box_iou(keras.ops.cast(boxes, dtype), boxes)
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        assert as_array(found).item() == 1.0
    if keras.backend.backend() != "jax":
        assert keras.backend.standardize_dtype(box_iou(boxes.astype("float64"), boxes.astype("float64")).dtype) == (
            "float64"
        )


@pytest.mark.once
def test_what_keras_has_is_not_torchvision_s():
    """Why boxes.py does not use it; where a release of Keras mends it, this fails, and ours may go."""
    utils = keras.utils.bounding_boxes
    tiny = np.array([[0.0, 0.0, 1e-3, 1e-3]], "float32")
    assert as_array(utils.compute_iou(tiny, tiny, "xyxy")).item() < 0.95
    assert as_array(box_iou(tiny, tiny)).item() == 1.0
    anchors, deltas = (keras.ops.array([row], "float32") for row in ([0, 0, 16, 16], [0, 0, 100, 100]))
    theirs = utils.decode_deltas_to_boxes(anchors, deltas, "xyxy", "xyxy", "center_xywh")
    assert not np.isfinite(as_array(theirs)).all()
    assert as_array(decode_boxes(deltas, anchors))[0, 2] == pytest.approx(8 + 500)
    boxes = keras.ops.array([[1.0, 2.0, 5.0, 4.0]], "float32")
    theirs = as_array(utils.encode_box_to_deltas(anchors, boxes, "xyxy", "xyxy"))
    assert theirs[0, 0] == as_array(encode_boxes(boxes, anchors))[0, 1]  # y comes first
    pair = as_array(
        utils.compute_ciou(*(keras.ops.concatenate(pair) for pair in ((anchors, boxes), (boxes, anchors))), "xyxy")
    )
    assert pair.shape == (2,)  # of pairs, not of all with all
    clipped = utils.clip_to_image_size({"boxes": boxes + 50, "labels": np.array([3])}, height=10, width=10)
    assert as_array(clipped["labels"]).tolist() == [-1]


@pytest.mark.once
def test_keras_converts_formats_to_and_from_ours():
    boxes = np.array([[1.0, 2.0, 5.0, 4.0]], "float32")
    for name in ("yxyx", "xywh", "center_xywh", "rel_xyxy"):
        there = keras.utils.bounding_boxes.convert_format(boxes, "xyxy", name, height=10, width=20)
        back = keras.utils.bounding_boxes.convert_format(there, name, "xyxy", height=10, width=20)
        np.testing.assert_allclose(as_array(back), boxes, atol=1e-5)


BOXES = np.zeros((3, 4), "float32")


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: box_iou(BOXES[:, :3], BOXES), "a"),
        (lambda: box_iou(BOXES, BOXES[0]), "b"),
        (lambda: giou(BOXES, np.zeros((3, 5))), "b"),
        (lambda: encode_boxes(BOXES[:, :2], BOXES), "boxes"),
        (lambda: encode_boxes(BOXES, BOXES, (1, 1, 1)), "weights"),
        (lambda: encode_boxes(BOXES, BOXES, (1, 1, 0, 1)), "weights"),
        (lambda: decode_boxes(BOXES, BOXES, (1, 1, float("nan"), 1)), "weights"),
        (lambda: decode_boxes(BOXES[:, :1], BOXES), "deltas"),
        (lambda: decode_boxes(BOXES, BOXES[:, :1]), "references"),
        (lambda: clip_boxes(BOXES, (3, 4, 3)), "image_size"),
        (lambda: clip_boxes(BOXES, [(3, 4)]), "image_size"),
        (lambda: clip_boxes(BOXES[:, :3], (3, 4)), "boxes"),
    ],
)
def test_bad_arguments_are_named(call, argument):
    with pytest.raises(ValueError, match=f"`{argument}` must"):
        call()
