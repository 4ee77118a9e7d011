"""RoIAlign and RoIPool are torchvision's, values and gradients."""

import contextlib
import functools

import keras
import numpy as np
import pytest
from calling import as_array, program
from detection_goldens import cases, golden
from gradients import input_gradients, value_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_blocks.ops import roi, roi_align, roi_maxima, roi_pool
from keras_blocks.ops.roi import levels_of
from keras_blocks.ops.written import for_format

BACKEND = keras.backend.backend()
SCALE = 1 / 16
OPERATIONS = {
    "roi_align": functools.partial(roi_align, sampling_ratio=2, spatial_scale=SCALE),
    "roi_pool": functools.partial(roi_pool, spatial_scale=SCALE),
}


@functools.cache
def run(name, size):
    """The operation as a function of features and boxes."""
    return program(functools.partial(OPERATIONS[name], output_size=size))


def test_roi_align_is_torchvision_s():
    arrays = golden("roi_align")
    for name, wanted in cases(arrays, "outputs_").items():
        ratio, aligned = name.split("_")
        options = {"sampling_ratio": int(ratio), "aligned": aligned == "True"}
        align = program(functools.partial(roi_align, output_size=(3, 2), spatial_scale=SCALE, **options))
        found = align(arrays["features"], arrays["boxes"])
        np.testing.assert_allclose(as_array(found), wanted, atol=2e-5, err_msg=name)


def test_roi_pool_is_torchvision_s():
    arrays = golden("roi_pool")
    for name, wanted in cases(arrays, "outputs_").items():
        size = tuple(map(int, name.split("_")))
        found = run("roi_pool", size)(arrays["features"], arrays["boxes"])
        np.testing.assert_array_equal(as_array(found), wanted, err_msg=name)


@pytest.mark.parametrize("format", [None, "onnx", "openvino"])
def test_bins_are_torchvision_s_for_every_length(format, monkeypatch):
    """Those of files for other runtimes, too; for OpenVINO, where no quotient is right: 14 / 7 is less than 2."""
    arrays = golden("roi_pool_bins")
    pool = functools.partial(roi_pool, output_size=(1, 7))
    with for_format(format) if format else contextlib.nullcontext():
        if format == "openvino":
            monkeypatch.setattr(roi, "_within", lambda length, bins: (0 * length[..., None],) * 2)
        found = program(pool)(arrays["features"], arrays["boxes"])
    np.testing.assert_array_equal(as_array(found), arrays["outputs"])


def test_levels_are_torchvision_s():
    arrays = golden("multi_scale_roi_align")
    levels = {name: arrays[name] for name in ("P4", "P2", "P3", "P5")}
    found = program(functools.partial(roi_align, output_size=2))(levels, arrays["boxes"])
    np.testing.assert_allclose(as_array(found), arrays["outputs"], atol=2e-5)


every_operation = pytest.mark.parametrize("name", OPERATIONS)


@every_operation
def test_gradients_are_torchvision_s(name):
    arrays = golden(f"{name}_gradient")
    operation = OPERATIONS[name]
    x64 = BACKEND != "jax"  # which has float32 alone unless told
    dtype = "float64" if x64 else "float32"
    features, boxes, weights = (arrays[key].astype(dtype) for key in ("features", "boxes", "weights"))
    found = value_gradient(lambda x: operation(x, boxes, (2, 3)) * keras.ops.convert_to_tensor(weights), features)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, arrays["gradient"], atol=1e-6 if x64 else 1e-5, rtol=1e-6 if x64 else 1e-5)


@every_operation
def test_gradients_are_finite_differences_in_float64(name):
    if BACKEND == "jax":
        pytest.skip("float64 on JAX is a setting of the whole process; torchvision's gradients are held above")
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1, 4, 5, 1))
    boxes = rng.uniform(0, 60, (1, 3, 4))
    boxes[..., 2:] += boxes[..., :2]
    operation = OPERATIONS[name]
    found = value_gradient(lambda x: operation(x, boxes, 2), features)
    for place in np.ndindex(features.shape):
        step = np.zeros(features.shape)
        step[place] = 1e-6
        above, below = (as_array(operation(features + sign * step, boxes, 2)).sum() for sign in (1, -1))
        assert found[place] == pytest.approx((above - below) / 2e-6, abs=1e-8)


@st.composite
def inputs(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    boxes = rng.uniform(-40, 120, (2, 6, 4)).astype("float32")
    boxes[..., 2:] = boxes[..., :2] + rng.uniform(0, 200, (2, 6, 2))
    return rng.normal(size=(2, 7, 8, 2)).astype("float32"), boxes


@every_operation
@settings(max_examples=5)
@given(drawn=inputs(), order=st.permutations(range(6)))
def test_each_box_is_for_itself(name, drawn, order):
    """Permuted boxes give permuted results, padding changes nothing, a batch of two is two batches of one."""
    features, boxes = drawn
    operation = run(name, 3)
    found = as_array(operation(features, boxes))
    padding = np.stack([-np.ones((2, 4)), np.zeros((2, 4))]).astype("float32")
    mixed = np.concatenate([boxes[:, list(order)], padding], axis=1)
    again = as_array(operation(features, mixed))
    np.testing.assert_allclose(again[:, :6], found[:, list(order)], atol=1e-6)
    assert np.isfinite(again).all()
    alone = [as_array(operation(features[i : i + 1], boxes[i : i + 1])) for i in range(2)]
    np.testing.assert_allclose(np.concatenate(alone), found, atol=1e-6)


@settings(max_examples=5)
@given(drawn=inputs())
def test_a_shift_by_one_stride_shifts_roi_align(drawn):
    features, boxes = drawn
    # Boxes within the part of the map that both have.
    boxes = np.clip(boxes, 0, 80).astype("float32")
    features = np.pad(features, ((0, 0), (0, 0), (0, 4), (0, 0)))
    shifted = np.pad(features, ((0, 0), (1, 0), (1, 0), (0, 0)), mode="edge")
    found = as_array(run("roi_align", 2)(features, boxes))
    again = as_array(run("roi_align", 2)(shifted, boxes + 16))
    np.testing.assert_allclose(again, found, atol=1e-5)


@every_operation
def test_padding_gives_finite_gradients(name):
    operation = OPERATIONS[name]
    boxes = np.stack([-np.ones((2, 4)), np.zeros((2, 4))]).astype("float32")
    features = np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype("float32")
    assert np.isfinite(input_gradients(lambda x: operation(x, boxes, 2), features)).all()


@every_operation
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_positions_are_float32_s_for_features_of_16_bits(name, dtype):
    """Pixel 1203 is 1203 in float32, 1203 in float16, and 1200 in bfloat16."""
    features = np.zeros((1, 1, 76, 1), "float32")
    features[..., 75, 0] = 1.0
    boxes = np.array([[[1203.0, 0.0, 1203.5, 1.0], [1190.0, 0.0, 1199.0, 16.0]]], "float32")
    operation = run(name, 2)
    wanted = as_array(operation(features, boxes))
    found = operation(keras.ops.cast(features, dtype), boxes)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    np.testing.assert_allclose(as_array(keras.ops.cast(found, "float32")), wanted, atol=4e-3)


@every_operation
def test_channels_first_is_channels_last_transposed(name):
    operation = OPERATIONS[name]
    features = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype("float32")
    boxes = np.array([[[3.0, 2.0, 50.0, 60.0]]] * 2, "float32")
    transposed = program(functools.partial(operation, output_size=(2, 3), data_format="channels_first"))
    first = transposed(features.transpose(0, 3, 1, 2), boxes)
    wanted = as_array(run(name, (2, 3))(features, boxes)).transpose(0, 1, 4, 2, 3)
    np.testing.assert_allclose(as_array(first), wanted, atol=1e-6)


@every_operation
def test_compiles(name):
    operation = OPERATIONS[name]
    arrays = golden(name)
    features, boxes = arrays["features"], arrays["boxes"]
    wanted = as_array(run(name, 3)(features, boxes))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        any_size = [tf.TensorSpec((None, None, None, 3)), tf.TensorSpec((None, None, 4))]
        functions = [
            tf.function(lambda x, b: operation(x, b, 3), input_signature=any_size),
            tf.function(lambda x, b: operation(x, b, 3), jit_compile=True),
        ]
    else:
        pytest.skip("on JAX all of these tests are compiled; PyTorch compiles nothing")
    for function in functions:
        np.testing.assert_allclose(as_array(function(features, boxes)), wanted, atol=2e-5)


@pytest.mark.once
def test_the_level_follows_the_paper_s_equation():
    sides = np.array([0.0, 1.0, 111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 9999.0])
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], axis=-1)[None].astype("float32")
    assert as_array(levels_of(boxes, [2, 3, 4, 5])).tolist() == [[2, 2, 2, 3, 3, 4, 4, 5, 5]]
    assert as_array(levels_of(boxes, [3, 4])).tolist() == [[3, 3, 3, 3, 3, 4, 4, 4, 4]]


FEATURES, BOXES = np.zeros((1, 4, 4, 2), "float32"), np.zeros((1, 3, 4), "float32")


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: roi_align(FEATURES[0], BOXES, 2), "features"),
        (lambda: roi_align(FEATURES.astype("int32"), BOXES, 2), "features"),
        (lambda: roi_align({}, BOXES, 2), "features"),
        (lambda: roi_align({"2": FEATURES}, BOXES, 2), "features"),
        (lambda: roi_pool({"P2": FEATURES, "P4": FEATURES}, BOXES, 2), "features"),
        (lambda: roi_align(FEATURES, BOXES[0], 2), "boxes"),
        (lambda: roi_pool(FEATURES, BOXES[..., :3], 2), "boxes"),
        (lambda: roi_align(FEATURES, np.zeros((2, 3, 4)), 2), "boxes"),
        (lambda: roi_align(FEATURES, BOXES, 0), "output_size"),
        (lambda: roi_pool(FEATURES, BOXES, (2, 2, 2)), "output_size"),
        (lambda: roi_pool(FEATURES, BOXES, (2, 1.5)), "output_size"),
        (lambda: roi_align(FEATURES, BOXES, 2, 0.0), "spatial_scale"),
        (lambda: roi_align(FEATURES, BOXES, 2, sampling_ratio=-1), "sampling_ratio"),
        (lambda: roi_align(FEATURES, BOXES, 2, sampling_ratio=True), "sampling_ratio"),
        (lambda: roi_align(FEATURES, BOXES, 2, data_format="first"), "data_format"),
    ],
)
def test_bad_arguments_are_named(call, argument):
    with pytest.raises(ValueError, match=f"`{argument}` must"):
        call()


@pytest.mark.once
def test_levels_have_their_scales():
    with pytest.raises(ValueError, match="`spatial_scale` follows from the names"):
        roi_align({"P2": FEATURES}, BOXES, 2, 0.25)


@pytest.mark.skipif(BACKEND != "jax", reason="asks JAX's compiler")
def test_roi_pool_of_many_boxes_takes_little_memory():
    """Room was made for every pixel of the map for every box, 50 GB, in case that one reaches out of the image."""
    import jax

    shapes = [jax.ShapeDtypeStruct(shape, "float32") for shape in ((1, 37, 50, 512), (1, 2000, 4))]
    program = jax.jit(functools.partial(roi_pool, output_size=7, spatial_scale=SCALE)).lower(*shapes).compile()
    assert program.memory_analysis().temp_size_in_bytes < 2**29


@pytest.mark.skipif(BACKEND != "tensorflow", reason="other backends know the size of what they compute")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_roi_pool_of_maps_of_unknown_size(jit_compile, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(roi_maxima, "USUAL", 8)
    monkeypatch.setattr(roi_maxima, "MOST", 64)  # of 6x6 sizes of windows: seconds fewer to trace
    random = np.random.default_rng(0)
    features = random.normal(size=(2, 13, 40, 3)).astype("float32")
    starts, sizes = random.uniform(-30, 12, (2, 20, 2)), random.uniform(1, 60, (2, 20, 2))
    boxes = np.concatenate([starts, starts + sizes], axis=-1).astype("float32")

    def pooled(features, boxes):
        with tf.GradientTape() as tape:
            tape.watch(features)
            outputs = roi_pool(features, boxes, 1, 1.0)
        return outputs, tape.gradient(outputs, features, outputs)

    open_ = [tf.TensorSpec((None, None, None, 3)), tf.TensorSpec((None, None, 4))]
    outputs, gradient = tf.function(pooled, input_signature=open_, jit_compile=jit_compile)(features, boxes)
    wanted = pooled(tf.constant(features), tf.constant(boxes))
    np.testing.assert_array_equal(outputs, wanted[0])
    np.testing.assert_allclose(gradient, tf.convert_to_tensor(wanted[1]), atol=1e-5)
    within = [box for box in range(20) if (boxes[0, box, 2:] > 0).all()]
    assert len(within) > 5
    for box in within:
        x, y, across, down = boxes[0, box]
        inside = features[0, max(0, round(y)) : round(down) + 1, max(0, round(x)) : round(across) + 1]
        np.testing.assert_array_equal(outputs[0, box, 0, 0], inside.max(axis=(0, 1)))
    if jit_compile:  # what its windows do not cover is no figure
        monkeypatch.setattr(roi_maxima, "MOST", 2)
        alone = tf.function(lambda *x: roi_pool(*x, 1, 1.0), input_signature=open_, jit_compile=True)
        assert np.isnan(alone(features, boxes)).all()
