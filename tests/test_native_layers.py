"""What is made on PyTorch in place of Keras' layers computes what they do, and is theirs in files."""

import copy
import pickle

import keras
import numpy as np
import pytest
from gradients import input_gradients, outputs_and_gradients
from thorough import run_all

import keras_blocks
from keras_blocks.core import native_layers
from keras_blocks.core.chain import LayerSpec
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.core.native_layers import NATIVE, own_class
from keras_blocks.ops import torch_images

layers = keras.layers
pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="there are others than Keras' on PyTorch alone"),
]

CASES = {
    "pixels": (layers.Conv2D, {"filters": 5, "kernel_size": 1, "use_bias": False}, (6, 5, 4)),
    "pixels, in steps": (layers.Conv2D, {"filters": 5, "kernel_size": 1, "strides": (2, 3)}, (6, 5, 4)),
    "many single pixels": (layers.Conv2D, {"filters": 5, "kernel_size": 1, "use_bias": False}, (30, 25, 4)),
    "many single pixels, in steps": (layers.Conv2D, {"filters": 5, "kernel_size": 1, "strides": (2, 3)}, (80, 50, 4)),
    "windows": (layers.Conv2D, {"filters": 64, "kernel_size": 3, "padding": "same"}, (4, 5, 3)),
    "windows, in steps": (
        layers.Conv2D,
        {"filters": 64, "kernel_size": (3, 4), "strides": 2, "padding": "same", "use_bias": False},
        (7, 6, 3),
    ),
    "windows without border": (layers.Conv2D, {"filters": 64, "kernel_size": 2, "strides": (2, 1)}, (5, 4, 3)),
    "many pixels": (layers.Conv2D, {"filters": 4, "kernel_size": 3, "padding": "same"}, (9, 8, 3)),
    "uneven border": (layers.Conv2D, {"filters": 4, "kernel_size": (4, 3), "strides": 2, "padding": "same"}, (9, 8, 3)),
    "no border": (layers.Conv2D, {"filters": 4, "kernel_size": 3, "strides": 2, "activation": "relu"}, (9, 8, 3)),
    "dilated": (layers.Conv2D, {"filters": 64, "kernel_size": 3, "dilation_rate": 2, "padding": "same"}, (5, 4, 3)),
    "groups": (layers.Conv2D, {"filters": 64, "kernel_size": 3, "groups": 2, "padding": "same"}, (4, 5, 4)),
    "channels_first": (
        layers.Conv2D,
        {"filters": 64, "kernel_size": 3, "padding": "same", "data_format": "channels_first"},
        (3, 5, 4),
    ),
    "depthwise": (layers.DepthwiseConv2D, {"kernel_size": 3, "depth_multiplier": 2, "padding": "same"}, (5, 4, 3)),
    "maxima": (layers.MaxPooling2D, {"pool_size": 3, "strides": 2, "padding": "same"}, (7, 6, 3)),
    "maxima without border": (layers.MaxPooling2D, {"pool_size": 2}, (5, 4, 3)),
    "means": (layers.AveragePooling2D, {"pool_size": 3, "strides": 1, "padding": "same"}, (5, 4, 3)),
    "means, uneven border": (layers.AveragePooling2D, {"pool_size": 2, "padding": "same"}, (5, 5, 3)),
    "means, channels_first": (layers.AveragePooling2D, {"pool_size": 2, "data_format": "channels_first"}, (3, 4, 5)),
    "border": (layers.ZeroPadding2D, {"padding": 1}, (4, 5, 3)),
    "activation": (layers.Activation, {"activation": "relu"}, (4, 5, 3)),
    "mean of all": (layers.GlobalAveragePooling2D, {"keepdims": True}, (4, 5, 3)),
}
POLICIES = ["float32", "mixed_bfloat16", *(["float64", "mixed_float16"] if run_all() else [])]


def pair(cls, options, shape, dtype="float32"):
    """Keras' and the one made in its place, with the same weights."""
    theirs = cls(**options, dtype=dtype)
    ours = LayerSpec(cls, "layer", FrozenDict(options), dtype).make()
    assert type(ours) is NATIVE[cls] and type(theirs) is cls
    for layer in (theirs, ours):
        layer.build((None, *shape))
    for theirs_own, ours_own in zip(theirs.weights, ours.weights, strict=True):
        ours_own.assign(theirs_own)
    return theirs, ours


def in_inference(layer, x):
    import torch

    with torch.inference_mode():
        return array(layer(x))


def array(x):
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")))


@pytest.mark.parametrize("dtype", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_they_compute_what_keras_does(name, dtype, rng):
    cls, options, shape = CASES[name]
    both = pair(cls, options, shape, dtype)
    x = keras.ops.convert_to_tensor(rng.normal(size=(2, *shape)), both[0].compute_dtype)
    tolerance = {"float32": 1e-5, "float64": 1e-5}.get(dtype, 3e-2)
    (theirs, their_gradients), (ours, our_gradients) = (outputs_and_gradients(layer, x) for layer in both)
    assert theirs.dtype == ours.dtype
    np.testing.assert_allclose(array(ours), array(theirs), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(*(in_inference(layer, x) for layer in reversed(both)), rtol=tolerance, atol=tolerance)
    for found, expected in zip(our_gradients, their_gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=10 * tolerance, atol=tolerance)
    if dtype == "float32":
        x = array(x)
        np.testing.assert_allclose(*(input_gradients(layer, x) for layer in reversed(both)), rtol=1e-4, atol=1e-6)
        x[0, 1, 1] = np.nan
        for run in (lambda layer: array(layer(x)), lambda layer: in_inference(layer, keras.ops.convert_to_tensor(x))):
            np.testing.assert_array_equal(*(np.isnan(run(layer)) for layer in both))


def test_a_gradient_s_gradient_is_there(rng):
    import torch

    from keras_blocks.ops.torch_functions import ChannelsSecond, OfPixels, OfWindows, Reordered

    images = torch.tensor(rng.normal(size=(1, 3, 4, 2)), requires_grad=True)
    kernel = torch.tensor(rng.normal(size=(3, 2, 2, 2)), requires_grad=True)
    for function, inputs in (
        (lambda x, w: OfWindows.apply(x, w, (2, 1), ((1, 1), (0, 1)), (2, 4)), (images, kernel)),
        (lambda w: Reordered.apply(w) ** 2, (kernel,)),
        (lambda x: ChannelsSecond.apply(x) ** 2, (images,)),
        (lambda x, w: OfPixels.apply(x, w[:1, :1], None, (2, 1)), (images, kernel)),
        (lambda x, w: OfPixels.apply(x, w[:1, :1], w[0, 0, 0], (1, 1)), (images, kernel)),
    ):
        assert torch.autograd.gradcheck(function, inputs) and torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("cls", NATIVE)
def test_in_files_they_are_keras_own(cls):
    layer = NATIVE[cls](**next((options for kind, options, _ in CASES.values() if kind is cls), {}))
    theirs, ours = (keras.saving.serialize_keras_object(one) for one in (cls.from_config(layer.get_config()), layer))
    for key in ("module", "class_name", "config"):
        assert ours[key] == theirs[key]
    assert type(keras.saving.deserialize_keras_object(ours)) is cls
    assert own_class(layer) is cls is type(keras.saving.deserialize_keras_object(theirs))
    assert keras_blocks.core.registration.registered_name(type(layer)) == f"keras>{cls.__name__}"
    assert set(vars(native_layers)) >= {cls.__name__}


def test_a_flat_model_goes_through_a_file_and_is_copied(tmp_path, rng):
    block = keras_blocks.ConvBlock(4, batch_norm=True)
    inputs = keras.Input((6, 6, 3))
    flat = keras.Model(inputs, layers.MaxPooling2D()(block.expand(inputs)))
    images = rng.normal(size=(2, 6, 6, 3)).astype("float32")
    assert type(block.conv) is NATIVE[layers.Conv2D]
    flat.save(tmp_path / "flat.keras")
    copies = [
        keras.saving.load_model(tmp_path / "flat.keras"),
        copy.deepcopy(flat),
        pickle.loads(pickle.dumps(flat)),
        keras_blocks.deploy(flat),
    ]
    clone = keras.models.clone_model(flat)
    clone.set_weights(flat.get_weights())
    for one in (*copies, clone):
        np.testing.assert_allclose(array(one(images)), array(flat(images)), atol=1e-5)
    assert type(clone.layers[1]) is NATIVE[layers.Conv2D]
    assert type(copies[0].layers[1]) is layers.Conv2D  # a file says that it is Keras' own
    assert type(copies[-1].layers[-1]) is NATIVE[layers.MaxPooling2D]  # a model that is deployed gets them all


def test_what_keras_does_around_a_call_is_done(rng):
    """A call goes straight to its layer where nothing else is asked for: hooks, losses, masks, types."""
    images = keras.ops.convert_to_tensor(rng.normal(size=(2, 4, 4, 3)).astype("float32"))
    make = NATIVE[layers.Conv2D]
    seen, layer = [], make(2, 1)
    layer.build((None, 4, 4, 3))
    handle = layer.register_forward_hook(lambda *given: seen.append(given))
    layer(images)
    handle.remove()
    layer(images)
    assert len(seen) == 1
    layer = make(2, 1, activity_regularizer="l2")
    layer(images), layer(images)
    assert len(layer.losses) == 1
    layer = make(2, 1, dtype="mixed_bfloat16")
    assert all(layer(images).dtype == keras.ops.cast(images, "bfloat16").dtype for _ in range(2))
    for wrong in (images[..., :2], images[0]):
        with pytest.raises(ValueError, match="incompatible with the layer"):
            layer(wrong)
    masked = layers.Masking()(images)
    norm = keras_blocks.core.normalization.BatchNormalization()
    assert norm(norm(masked, training=True), training=True)._keras_mask is not None
    half = keras.Sequential([keras.Input((4, 4, 3), dtype="bfloat16"), make(2, 1)])
    assert half(keras.ops.cast(images, "bfloat16")).dtype == images.dtype


def test_what_is_overwritten_is_nobody_else_s(rng):
    """In inference a ReLU takes the memory of what a layer has given to it alone, and no other."""
    images = keras.ops.convert_to_tensor(rng.normal(size=(2, 6, 6, 8)).astype("float32"))
    kept = array(images).copy()
    blocks = [
        keras_blocks.ConvBlock(4, batch_norm=True),
        keras_blocks.DenseLayer(4),  # begins with a normalization; its input is given to two branches
        keras_blocks.ResidualBlock(8),
        keras_blocks.FireBlock(2),
    ]
    overwritten = 0
    for block in blocks:
        inputs = keras.Input((6, 6, 8))
        flat = keras.Model(inputs, block.expand(inputs))
        for _ in range(2):
            np.testing.assert_allclose(in_inference(block, images), in_inference(flat, images), rtol=1e-5, atol=1e-6)
        overwritten += len(block._built_chain.makers)
        np.testing.assert_array_equal(array(images), kept)
    assert overwritten >= 7
    seen, block = [], blocks[0]
    block.conv_bn.register_forward_hook(lambda layer, inputs, outputs: seen.append(outputs))
    in_inference(block, images)
    assert (array(seen[0]) < 0).any()


def test_convolutions_within_a_model_go_to_their_calls(rng, monkeypatch):
    model = keras_blocks.create_model("resnet20_cifar", input_shape=(32, 32, 3), classes=10)
    model.compile("sgd", "sparse_categorical_crossentropy")
    data = rng.normal(size=(2, 32, 32, 3)).astype("float32"), np.zeros(2, int)
    model.train_on_batch(*data)
    called, call = [], keras.layers.Layer.__call__
    monkeypatch.setattr(
        keras.layers.Layer, "__call__", lambda self, *a, **k: called.append(self) or call(self, *a, **k)
    )
    model.train_on_batch(*data)
    assert not [
        layer
        for layer in called
        if own_class(layer) is layers.Conv2D or "normalization" in type(layer).__name__.lower()
    ]
    assert model in called


def test_a_call_that_somebody_puts_in_its_place_counts(rng):
    import torch

    block, x = keras_blocks.ConvBlock(4), rng.normal(size=(2, 6, 6, 3)).astype("float32")
    block(x)
    relu = block.conv_activation
    relu.call = lambda inputs: keras.ops.zeros_like(inputs)
    with torch.no_grad():
        assert not array(block(x)).any()


def test_a_block_within_a_model_is_told_and_tells(rng):
    """Its call goes straight to its layers, but where a hook, a loss or the way to train is asked for."""
    images = rng.normal(size=(4, 6, 6, 3)).astype("float32")
    block = keras_blocks.ConvBlock(4, batch_norm=True)
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, block(inputs))
    before = array(block.conv_bn.moving_mean)
    for training in (None, False):
        model(images, training=training)
        np.testing.assert_array_equal(array(block.conv_bn.moving_mean), before)
    model(images, training=True)
    assert (array(block.conv_bn.moving_mean) != before).any()
    seen = []
    block.register_forward_hook(lambda layer, inputs, outputs: seen.append(outputs))
    for training in (False, True):
        model(images, training=training)
    assert len(seen) == 2
    block = keras_blocks.ConvBlock(4, batch_norm=True)
    model = keras.Model(inputs, block(inputs))
    block.conv.activity_regularizer = keras.regularizers.L2(0.1)
    for training in (False, True, True):
        model(images, training=training)
        assert len(model.losses) == 1
    with pytest.raises(ValueError, match="incompatible"):
        model.layers[-1](images[..., :2], training=False)


def test_no_images_give_no_outputs():
    block = keras_blocks.FireBlock(4)
    assert tuple(block(np.zeros((1, 8, 8, 8), "float32")).shape) == (1, 8, 8, 32)
    assert tuple(block(np.zeros((0, 8, 8, 8), "float32")).shape) == (0, 8, 8, 32)


def test_pytorchs_own_casting_trains(rng):
    import torch

    block = keras_blocks.ConvBlock(64, 3)
    images = torch.tensor(rng.normal(size=(1, 4, 4, 16)).astype("float32"))
    block(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = block(images, training=True)
    outputs.float().sum().backward()
    assert block.conv.kernel.value.grad.isfinite().all()


def test_statistics_that_move_take_nothing_from_a_gradient(rng):
    """As where a model is to give in training what it gives in inference."""
    norm = keras_blocks.core.normalization.BatchNormalization()
    x = keras.ops.convert_to_tensor(rng.normal(size=(2, 3, 3, 4)).astype("float32"))
    norm.build(x.shape)
    ((norm(x, training=False) - norm(x, training=True)) ** 2).sum().backward()
    assert norm.gamma.value.grad.isfinite().all()
    again = keras_blocks.core.normalization.BatchNormalization(epsilon=0.0)
    theirs = layers.BatchNormalization(epsilon=0.0)
    np.testing.assert_allclose(array(again(x, training=True)), array(theirs(x, training=True)), atol=1e-5)


@pytest.mark.parametrize("cls", NATIVE)
def test_they_are_pickled(cls):
    layer = NATIVE[cls](**next((options for kind, options, _ in CASES.values() if kind is cls), {}))
    again = pickle.loads(pickle.dumps(layer))
    assert own_class(again) is cls and again.get_config() == layer.get_config()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # PyTorch's own
def test_forward_gradients_are_right(rng):
    """Under `no_grad`, too, where nothing is noted for a backward pass."""
    import torch

    layer = pair(layers.Conv2D, {"filters": 3, "kernel_size": 1}, (40, 40, 2), "float32")[1]
    other = pair(layers.Conv2D, {"filters": 3, "kernel_size": 3}, (40, 40, 2), "float32")[1]
    x, way = (torch.tensor(rng.normal(size=(1, 40, 40, 2)).astype("float32")) for _ in range(2))
    with torch.no_grad():
        found = torch.func.jvp(layer, (x,), (way,))[1]
        np.testing.assert_allclose(array(found), array(layer(x + way) - layer(x)), rtol=1e-4, atol=1e-4)
        kernel = other.kernel.value.detach()

        def convolved(k):
            return torch_images.conv2d(x, k, None, (1, 1), "same", (1, 1), "channels_last")

        ones = torch.ones_like(kernel)
        np.testing.assert_allclose(
            array(torch.func.jvp(convolved, (kernel,), (ones,))[1]), array(convolved(ones)), rtol=1e-4, atol=1e-4
        )
    forward_ad = torch.autograd.forward_ad
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(convolved(forward_ad.make_dual(kernel, ones))).tangent
        np.testing.assert_allclose(array(found), array(convolved(ones)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [4, 40])
def test_gradients_of_many_outputs_at_once(size, rng):
    import torch

    block = keras_blocks.ResidualBlock(4, "bottleneck")
    x = torch.tensor(rng.normal(size=(1, size, size, 16)).astype("float32"), requires_grad=True)
    y = block(x, training=True)
    ways = torch.tensor(rng.normal(size=(2, *y.shape)).astype("float32"))
    (together,) = torch.autograd.grad(y, x, ways, is_grads_batched=True, retain_graph=True)
    for way, found in zip(ways, together, strict=True):
        (expected,) = torch.autograd.grad(y, x, way, retain_graph=True)
        np.testing.assert_allclose(array(found), array(expected), rtol=1e-4, atol=1e-5)


def test_blocks_of_a_user_s_are_called_as_keras_calls_them(rng):
    @keras.saving.register_keras_serializable(package="test_native_layers")
    class Plain(keras_blocks.ConvBlock):
        def call(self, inputs):
            return 2 * super().call(inputs)

    @keras.saving.register_keras_serializable(package="test_native_layers")
    class Shaped(keras_blocks.ConvBlock):
        def build(self, input_shape):
            super().build(input_shape)
            self.input_spec = self.spec

    x = rng.normal(size=(2, 6, 6, 3)).astype("float32")
    plain, inputs = Plain(4), keras.Input((6, 6, 3))
    model = keras.Model(inputs, plain(inputs))
    np.testing.assert_array_equal(model.predict(x, verbose=0), array(model(x, training=False)))
    for spec in (keras.InputSpec(shape=(None, 6, 6, 3)), [keras.InputSpec(shape=(None, 6, 6, 3))]):
        block, inputs = Shaped(4), keras.Input((None, None, 3))
        block.spec = None
        model = keras.Model(inputs, block(inputs))
        block.input_spec = spec
        assert model(x, training=False).shape == (2, 6, 6, 4)
        with pytest.raises(ValueError, match="expected shape"):
            model(x[:, :5], training=False)


@pytest.mark.filterwarnings("ignore:TF32 acceleration:UserWarning")  # PyTorch's own, of its flags
def test_onednn_is_left_alone_where_a_user_says_so(rng, monkeypatch):
    import torch

    layer = pair(layers.Conv2D, {"filters": 3, "kernel_size": 1}, (40, 40, 2), "float32")[1]
    x = torch.tensor(rng.normal(size=(1, 40, 40, 2)).astype("float32"))
    asked, convolution = [], torch.mkldnn_convolution
    monkeypatch.setattr(torch, "mkldnn_convolution", lambda *args: asked.append(args) or convolution(*args))
    with torch.backends.mkldnn.flags(enabled=False):
        without = in_inference(layer, x)
    assert not asked
    np.testing.assert_allclose(in_inference(layer, x), without, rtol=1e-5, atol=1e-5)
    assert asked
