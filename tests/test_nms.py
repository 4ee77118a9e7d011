"""Non-maximum suppression is torchvision's, and that of a naive loop."""

import functools
import sys
from unittest import mock

import catalog
import keras
import numpy as np
import pytest
from calling import as_array, program
from detection_goldens import cases, golden
from hypothesis import given, settings
from hypothesis import strategies as st
from versions import in_64_bits

from keras_blocks.ops import batched_nms, nms
from keras_blocks.ops.written import largest

BACKEND = keras.backend.backend()


def kept(found):
    """What was chosen, without the padding, which must stand behind."""
    found = as_array(found)
    count = (found >= 0).sum()
    assert (found[count:] == -1).all()
    assert found.dtype == "int32"
    return found[:count].tolist()


@pytest.mark.parametrize("name", ["nms", "nms_at_threshold"])
def test_is_torchvision_s(name):
    arrays = golden(name)
    for threshold, wanted in cases(arrays, "kept_").items():
        suppress = program(functools.partial(nms, iou_threshold=float(threshold), max_outputs=len(arrays["boxes"])))
        found = suppress(arrays["boxes"], arrays["scores"])
        assert kept(found) == wanted.tolist(), threshold


@pytest.mark.parametrize("size", ["few", "many"])
def test_by_class_is_torchvision_s_two_algorithms(size):
    arrays = cases(golden("batched_nms"), f"{size}_")
    suppress = program(functools.partial(batched_nms, iou_threshold=0.5, max_outputs=len(arrays["boxes"])))
    found = kept(suppress(arrays["boxes"], arrays["scores"], arrays["classes"]))
    if size == "few":
        assert found == arrays["kept"].tolist()
    # Of many, torchvision sorts what is left once more, and equal scores come in no order of their own.
    assert sorted(found) == sorted(arrays["kept"])
    assert arrays["scores"][found].tolist() == arrays["scores"][arrays["kept"]].tolist()


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    return float(np.float32(overlap) / np.float32(union)) if union > 0 else 0.0


def naive(boxes, scores, classes, threshold, most):
    chosen = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i] if scores[i] > -np.inf else np.inf):
        rivals = [j for j in chosen if classes is None or classes[i] == classes[j]]
        if scores[i] > -np.inf and all(iou(boxes[i], boxes[j]) <= threshold for j in rivals):
            chosen.append(i)
    return chosen[:most]


@st.composite
def images(draw):
    """Boxes at whole pixels, whose IoUs every backend computes alike, with ties, padding and several classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    count = draw(st.sampled_from([1, 150]))
    start = rng.integers(0, 20, (2, count, 2))
    boxes = np.concatenate([start, start + rng.integers(0, 9, (2, count, 2))], axis=-1).astype("float32")
    scores = rng.integers(0, 9, (2, count)).astype("float32")
    scores[rng.uniform(size=scores.shape) < 0.1] = draw(st.sampled_from([-np.inf, np.nan]))
    return boxes, scores, rng.integers(0, 3, (2, count))


@functools.cache
def suppress(threshold, most, by_class):
    """`batched_nms` or `nms` as a function of boxes, scores and classes."""
    if by_class:
        return program(lambda boxes, scores, classes: batched_nms(boxes, scores, classes, threshold, most))
    return program(lambda boxes, scores, classes: nms(boxes, scores, threshold, most))


@settings(max_examples=12)
@given(images(), st.sampled_from([0.1, 0.6]), st.sampled_from([20, 200]), st.booleans())
def test_is_the_naive_loop_s_for_each_image_of_a_batch(drawn, threshold, most, by_class):
    boxes, scores, classes = drawn
    found = as_array(suppress(threshold, most, by_class)(boxes, scores, classes))
    assert found.shape == (2, most)
    for i in range(2):
        wanted = naive(boxes[i], scores[i], classes[i] if by_class else None, threshold, most)
        assert kept(found[i]) == wanted


@settings(max_examples=5)
@given(images(), st.integers(0, 2**16))
def test_permuted_boxes_and_padding_change_nothing(drawn, seed):
    boxes, scores, classes = drawn
    padding = 3
    scores = np.argsort(np.random.default_rng(1).uniform(size=scores.shape)).astype("float32")  # no ties
    rng = np.random.default_rng(seed)
    order = rng.permutation(boxes.shape[1])
    extra = rng.uniform(0, 9, (2, padding, 4)).astype("float32")
    mixed = np.concatenate([boxes[:, order], extra], axis=1)
    mixed_scores = np.concatenate([scores[:, order], np.full((2, padding), -np.inf, "float32")], axis=1)
    found = as_array(suppress(0.5, 50, False)(boxes, scores, classes))
    again = as_array(suppress(0.5, 50, False)(mixed, mixed_scores, None))
    assert np.where(again < 0, -1, order[again]).tolist() == found.tolist()


def test_only_padding_gives_only_padding():
    for scores in (np.full(3, -np.inf, "float32"), np.full(3, np.nan, "float32")):
        assert as_array(nms(np.ones((3, 4), "float32"), scores, 0.5, 2)).tolist() == [-1, -1]


@pytest.mark.parametrize(
    "strange",
    [[np.nan] * 4, [0, 0, np.inf, 9], [-np.inf, 0, np.inf, 9], [0, 0, 3e38, 3e38], [9, 9, 0, 0], [0, 9, 9, 0], [5] * 4],
    ids=str,
)
def test_a_box_without_an_overlap_that_is_a_number_rivals_none(strange):
    """Not even one like it; the others are decided on as without it."""
    boxes = np.array([[0, 0, 9, 9], strange, [0, 0, 9, 8], strange, [20, 0, 29, 9]], "float32")
    found = nms(boxes, np.array([0.9, 0.8, 0.7, 0.6, 0.5], "float32"), 0.5, 5)
    assert kept(found) == [0, 1, 3, 4]


def test_compiles():
    """By XLA, too; and what TensorFlow's graph does gives the same as what XLA compiles."""
    arrays = golden("nms")
    boxes, scores, wanted = arrays["boxes"][None], arrays["scores"][None], arrays["kept_0.5"].tolist()
    classes = np.zeros(scores.shape, "int32")
    functions = [lambda: nms(boxes, scores, 0.5, 300), lambda: batched_nms(boxes, scores, classes, 0.5, 300)]
    for function in functions:
        if BACKEND == "tensorflow":
            import tensorflow as tf

            compiled = [tf.function(function), tf.function(function, jit_compile=True)]
        elif BACKEND == "jax":
            import jax

            compiled = [jax.jit(function)]
        else:
            compiled = [function]
        for compiled_function in compiled:
            assert kept(compiled_function()[0]) == wanted


BOXES, SCORES = np.zeros((3, 4), "float32"), np.zeros(3, "float32")


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: nms(BOXES[:, :3], SCORES, 0.5, 3), "boxes"),
        (lambda: nms(BOXES[0], SCORES, 0.5, 3), "boxes"),
        (lambda: nms(BOXES[None, None], SCORES[None, None], 0.5, 3), "boxes"),
        (lambda: nms(BOXES, SCORES[:2], 0.5, 3), "scores"),
        (lambda: nms(BOXES, SCORES[:, None], 0.5, 3), "scores"),
        (lambda: nms(BOXES[None], SCORES, 0.5, 3), "scores"),
        (lambda: nms(BOXES, SCORES, 1.5, 3), "iou_threshold"),
        (lambda: nms(BOXES, SCORES, float("nan"), 3), "iou_threshold"),
        (lambda: nms(BOXES, SCORES, None, 3), "iou_threshold"),
        (lambda: nms(BOXES, SCORES, 0.5, 0), "max_outputs"),
        (lambda: nms(BOXES, SCORES, 0.5, 2.0), "max_outputs"),
        (lambda: nms(BOXES, SCORES, 0.5, True), "max_outputs"),
        (lambda: batched_nms(BOXES, SCORES, [0, 1], 0.5, 3), "classes"),
        (lambda: batched_nms(BOXES[:, :2], SCORES, [0, 1, 2], 0.5, 3), "boxes"),
    ],
)
def test_bad_arguments_are_named(call, argument):
    with pytest.raises(ValueError, match=f"`{argument}` must"):
        call()


@pytest.mark.skipif(BACKEND != "torch", reason="the other backends write loops to files")
@settings(max_examples=12)
@given(images(), st.sampled_from([0.1, 0.6]), st.sampled_from([20, 200]), st.booleans())
def test_what_pytorch_writes_to_files_is_the_naive_loop_s(drawn, threshold, most, by_class):
    boxes, scores, classes = drawn
    with mock.patch.object(sys.modules["keras_blocks.ops.nms"], "is_written", lambda: True):
        found = as_array(suppress(threshold, most, by_class)(boxes, scores, classes))
    for i in range(2):
        wanted = naive(boxes[i], scores[i], classes[i] if by_class else None, threshold, most)
        assert kept(found[i]) == wanted


@pytest.mark.skipif(BACKEND != "torch", reason="the other backends write loops to files")
def test_of_no_boxes_a_file_from_pytorch_chooses_none(monkeypatch):
    monkeypatch.setattr(sys.modules["keras_blocks.ops.nms"], "is_written", lambda: True)
    none = nms(np.zeros((2, 0, 4), "float32"), np.zeros((2, 0), "float32"), 0.5, 2)
    assert as_array(none).tolist() == [[-1, -1]] * 2


def test_of_equals_the_first_come_first():
    """PyTorch's own `topk` gives them in any order; two regions with the same pixels are equal."""
    values = np.random.default_rng(0).integers(0, 6, (2, 300)).astype("float32")
    found, index = (as_array(one) for one in largest(keras.ops.convert_to_tensor(values), 300))
    order = np.argsort(-values, axis=-1, kind="stable")
    assert index.tolist() == order.tolist()
    assert found.tolist() == np.take_along_axis(values, order, axis=-1).tolist()
    assert largest(keras.ops.convert_to_tensor(values), 7)[0].shape == (2, 7)


@pytest.mark.skipif(BACKEND != "jax", reason="whole numbers of 64 bits are JAX's, where a user asks for them")
def test_a_detector_runs_where_sums_are_int64():
    model = catalog.small_detector(dtype="float32")
    images = np.random.default_rng(0).normal(size=(2, *model.metaparameters.input_shape)).astype("float32")
    expected = {name: as_array(value) for name, value in model(images).items()}
    with in_64_bits():
        found = {name: as_array(value) for name, value in model(images).items()}
    assert found["num_detections"].dtype == found["labels"].dtype == "int32"
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-4)
