"""GroupedConv2D against its definition, a slice for each group, and against Keras' Conv2D(groups=...)."""

import keras
import numpy as np
import pytest
from gradients import gradients, input_gradients
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_blocks
from keras_blocks.ops import grouped_conv

BACKEND = keras.backend.backend()
FEW = settings(max_examples=2 if BACKEND == "jax" else 15)  # JAX compiles every operation for every new shape
TOLERANCE = {"float32": 1e-5, "float64": 1e-10, "float16": 2e-2, "bfloat16": 8e-2}


def as_array(tensor):
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")))


def close(found, expected, dtype):
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * max(1, np.abs(expected).max()))


@keras.saving.register_keras_serializable(package="tests")
class Slices(keras.layers.Conv2D):
    """The definition: group i of the outputs is a dense convolution of group i of the inputs."""

    def convolution_op(self, inputs, kernel):
        axis = -1 if self.data_format == "channels_last" else 1
        pairs = zip(keras.ops.split(inputs, self.groups, axis), keras.ops.split(kernel, self.groups, -1))
        return keras.ops.concatenate([super(Slices, self).convolution_op(*pair) for pair in pairs], axis)


@st.composite
def convolutions(draw):
    """(arguments, image shape) of a random grouped convolution."""
    groups = draw(st.sampled_from([1, 2, 3, 4, 8, 12]))
    dilation = draw(st.sampled_from([1, 1, 2]))
    arguments = {
        "filters": groups * draw(st.sampled_from([1, 2, 3, 5, 17])),
        "kernel_size": (draw(st.integers(1, 3)), draw(st.integers(1, 4))),
        "groups": groups,
        "strides": 1 if dilation > 1 else (draw(st.integers(1, 2)), draw(st.integers(1, 3))),
        "padding": draw(st.sampled_from(["same", "valid"])),
        "dilation_rate": dilation,
        "use_bias": draw(st.booleans()),
    }
    channels = groups * draw(st.sampled_from([1, 2, 3, 20]))
    return arguments, (draw(st.integers(7, 11)), draw(st.integers(7, 12)), channels)


def pair(arguments, image, cls, dtype="float32"):
    """Ours and the other's with the same weights, and images."""
    keras.utils.set_random_seed(0)
    ours = keras_blocks.GroupedConv2D(**arguments, dtype=dtype)
    other = cls.from_config(ours.get_config())
    for layer in (ours, other):
        layer.build((None, *image))
    rng = np.random.default_rng(0)
    ours.set_weights([rng.normal(0, 0.3, weight.shape).astype("float32") for weight in ours.weights])
    other.set_weights(ours.get_weights())
    return ours, other, rng.normal(size=(2, *image)).astype("float32")


def check_equal(ours, other, images, dtype):
    close(as_array(ours(images)), as_array(other(images)), dtype)
    for found, expected in zip(gradients(ours, images), gradients(other, images), strict=True):
        close(found, expected, dtype)
    close(input_gradients(ours, images), input_gradients(other, images), dtype)


@FEW
@given(convolutions())
def test_equals_the_definition(case):
    ours, other, images = pair(*case, Slices)
    check_equal(ours, other, images, "float32")


@settings(max_examples=2 if BACKEND == "jax" else 8)
@given(convolutions(), st.sampled_from(["float16", "bfloat16"]))
def test_equals_the_definition_in_16_bits(case, dtype):
    ours, other, images = pair(*case, Slices, dtype=dtype)
    assert keras.backend.standardize_dtype(ours(images).dtype) == dtype
    check_equal(ours, other, images, dtype)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX computes in float32 unless x64 is turned on for the whole process")
@settings(max_examples=4)
@given(convolutions())
def test_equals_the_definition_in_float64(case):
    ours, other, images = pair(*case, Slices, dtype="float64")
    check_equal(ours, other, images, "float64")


@settings(max_examples=2 if BACKEND != "torch" else 15)  # Keras' gradient is slow elsewhere, which is the point
@given(convolutions())
def test_equals_keras(case):
    ours, other, images = pair(*case, keras.layers.Conv2D)
    check_equal(ours, other, images, "float32")


@FEW
@given(convolutions(), st.sampled_from([1, 4, 32, 1000]))
def test_block_diagonal_form_equals_the_definition(case, width):
    """Also where the backend's own form is what the layer uses."""
    ours, other, images = pair(*case, Slices)
    options = {"strides": ours.strides, "padding": ours.padding, "dilation_rate": ours.dilation_rate}
    outputs = grouped_conv.block_diagonal(
        keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(ours.kernel), ours.groups, width, **options
    )
    bias = ours.bias if ours.use_bias else 0.0
    close(as_array(outputs + bias), as_array(other(images)), "float32")


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_channels_first_gives_the_same(padding):
    """On TensorFlow's CPU too, which has no such convolution."""
    options = {"filters": 12, "kernel_size": 3, "groups": 3, "strides": 2, "padding": padding}
    last, first, images = pair(options, (9, 8, 6), keras_blocks.GroupedConv2D)
    first = keras_blocks.GroupedConv2D(**options, data_format="channels_first")
    first.build((None, 6, 9, 8))
    first.set_weights(last.get_weights())
    outputs = as_array(first(images.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(outputs.transpose(0, 2, 3, 1), as_array(last(images)), atol=1e-5)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_group_of_the_input_reaches_its_own_group_alone(data_format):
    """The slides' Lambda reads the loop's last variable, so that every group sees the last slice."""
    axis = -1 if data_format == "channels_last" else 1
    layer = keras_blocks.GroupedConv2D(12, 3, groups=4, padding="same", data_format=data_format)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype("float32")
    before = np.split(as_array(layer(images)), 4, axis)
    for group in range(4):
        parts = np.split(images, 4, axis)
        parts[group] = np.flip(parts[group], axis)
        after = np.split(as_array(layer(np.concatenate(parts, axis))), 4, axis)
        changed = [np.abs(one - other).max() > 1e-3 for one, other in zip(before, after)]
        assert changed == [i == group for i in range(4)]


def test_initial_kernels_are_those_of_keras():
    """The fan is that of the kernel's shape, and the draw that of the seed."""
    options = {"filters": 8, "kernel_size": 3, "groups": 4, "kernel_initializer": keras.initializers.HeNormal(seed=1)}
    ours, theirs = keras_blocks.GroupedConv2D(**options), keras.layers.Conv2D(**options)
    for layer in (ours, theirs):
        layer.build((None, 8, 8, 8))
    np.testing.assert_array_equal(ours.get_weights()[0], theirs.get_weights()[0])


@keras.saving.register_keras_serializable(package="tests")
class Holder(keras.Model):
    def __init__(self, conv, **kwargs):
        super().__init__(**kwargs)
        self.conv = conv

    def build(self, input_shape):
        self.conv.build(input_shape)

    def call(self, inputs):
        return self.conv(inputs)


@pytest.mark.once
@pytest.mark.parametrize("ours_first", [True, False])
def test_files_of_weights_interchange_with_keras(tmp_path, ours_first):
    options = {"filters": 8, "kernel_size": 3, "groups": 4}
    classes = [keras_blocks.GroupedConv2D, keras.layers.Conv2D]
    source, target = (Holder(cls(**options)) for cls in (classes if ours_first else classes[::-1]))
    for model in (source, target):
        model.build((None, 8, 8, 8))
    source.save_weights(tmp_path / "some.weights.h5")
    target.load_weights(tmp_path / "some.weights.h5")
    for one, other in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_a_saved_model_with_keras_convolutions_becomes_one_with_ours(tmp_path):
    """The way that the documentation gives."""
    inner = keras.Sequential([keras.Input((8, 8, 8)), keras.layers.Conv2D(8, 3, groups=4)], name="inner")
    theirs = keras.Sequential([keras.Input((8, 8, 8)), inner, keras.layers.Flatten()])
    theirs.save(tmp_path / "theirs.keras")
    loaded = keras.saving.load_model(tmp_path / "theirs.keras")
    replace = keras_blocks.GroupedConv2D.in_place_of
    ours = keras.models.clone_model(loaded, clone_function=replace, recursive=True)
    ours.set_weights(loaded.get_weights())
    assert [type(layer).__name__ for layer in ours.layers] == ["Sequential", "Flatten"]
    assert isinstance(ours.get_layer("inner").layers[0], keras_blocks.GroupedConv2D)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype("float32")
    np.testing.assert_allclose(as_array(ours(images)), as_array(theirs(images)), atol=1e-5)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch has no XLA here")
def test_trains_under_xla():
    """With the same result, and in seconds; TensorFlow cannot be asked afterwards which form it compiled."""
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 8)).astype("float32")
    losses = []
    for jit in (True, False):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8, 8, 8)), keras_blocks.GroupedConv2D(8, 3, groups=4, padding="same")])
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit)
        losses.append([model.train_on_batch(images, images) for _ in range(3)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert losses[0][2] < losses[0][0]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the choice that only TensorFlow leaves")
def test_tensorflow_finds_out_whether_xla_compiles():
    import tensorflow as tf

    def native():  # at the time of tracing, which happens once for each function
        return grouped_conv._formulation("float32") is not grouped_conv.block_diagonal

    @tf.function(jit_compile=True)
    def compiled(x):
        found.append(native())
        nested(x)
        return tf.cond(x > 0, lambda: branch(x), lambda: x)

    @tf.function
    def nested(x):
        found.append(native())
        return x

    def branch(x):
        found.append(native())
        return x + 1

    found = [native()]
    compiled(tf.constant(1.0))
    assert found == [True, False, False, False]
    found.clear()
    tf.function(branch)(tf.constant(1.0))
    assert found == [True]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the choice that only TensorFlow leaves")
def test_tensorflow_falls_back_where_its_kernels_have_no_gradient():
    """float64's is refused with or without oneDNN; without it, float32's too: then the outputs are the same."""
    assert grouped_conv._formulation("float64") is grouped_conv.block_diagonal
    assert grouped_conv._tensorflow_trains("float32")


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the choice that only TensorFlow leaves")
def test_tensorflow_learns_nothing_from_a_graph_that_does_not_run():
    import tensorflow as tf

    grouped_conv._gradient_runs.cache_clear()
    with tf.Graph().as_default():
        assert grouped_conv._formulation("float64") is grouped_conv.block_diagonal
    assert grouped_conv._formulation("float32") is grouped_conv._tensorflow_native


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch's own kernel, which is used as it is there, has the same fault")
@pytest.mark.parametrize("size", [(4, 1), (1, 1), (2, 5)])
def test_strides_over_small_images_in_bfloat16(size):
    """Taps that see the border alone have a gradient of 0, where oneDNN leaves memory as it was."""
    options = {"filters": 8, "kernel_size": 3, "groups": 4, "strides": 2, "padding": "same"}
    ours, other, images = pair(options, (*size, 8), Slices)
    low = keras_blocks.GroupedConv2D(**options, dtype="mixed_bfloat16")
    low.build((None, *size, 8))
    low.set_weights(ours.get_weights())
    for _ in range(3):
        for found, expected in zip(gradients(low, images), gradients(other, images), strict=True):
            close(found, expected, "bfloat16")
    close(as_array(low(images)), as_array(ours(images)), "bfloat16")


@pytest.mark.parametrize("size", [(8, 8), (None, None)])
def test_symbolic_shapes(size):
    inputs = keras.Input((*size, 8))
    model = keras.Model(inputs, keras_blocks.GroupedConv2D(12, 3, groups=4)(inputs))
    assert model.output_shape == (None, *(None if one is None else one - 2 for one in size), 12)
    assert model(np.zeros((2, 8, 8, 8), "float32")).shape == (2, 6, 6, 12)
