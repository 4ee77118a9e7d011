"""Models of ours on PyTorch give up each tensor once no other layer takes it, and give what Keras does."""

import weakref

import keras
import numpy as np
import pytest

import keras_blocks
from keras_blocks.core import native_layers
from keras_blocks.core.freeing import runs_freeing
from keras_blocks.models.network import Network
from keras_blocks.ops import torch_images

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="on the other backends a graph is compiled"),
]


def images(*shape):
    return keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=shape).astype("float32"))


def small(name="resnet18", **options):
    return keras_blocks.create_model(name, input_shape=(64, 64, 3), classes=5, **options)


def test_what_no_layer_takes_any_more_is_given_up():
    import torch

    model, seen, alive = small(), [], []
    blocks = [layer for layer in model.layers if isinstance(layer, keras_blocks.Block)]
    for block in blocks:
        block.register_forward_hook(lambda layer, inputs, outputs: seen.append(weakref.ref(outputs)))
        block.register_forward_pre_hook(lambda layer, inputs: alive.append(sum(one() is not None for one in seen)))
    with torch.inference_mode():
        model(images(2, 64, 64, 3), training=False)
    assert len(seen) == len(alive) == len(blocks) > 8
    assert alive == [0, *[1] * (len(blocks) - 1)]  # what the block is given


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "squeezenet_1.1", "googlenet_cifar", "vgg11"])
def test_outputs_are_those_of_keras(name):
    model = keras_blocks.create_model(name, input_shape=(64, 64, 3), classes=5)
    x = images(2, 64, 64, 3)
    assert runs_freeing(model, x)
    for training in (None, False):
        found, expected = model(x, training=training), super(Network, model).call(x, training=training)
        for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), rtol=1e-5, atol=1e-6)
        keras.tree.assert_same_structure(found, expected)


def test_tensors_in_several_places_and_dicts():
    """Outputs are kept where a later layer takes them, too; a layer's dict is taken apart."""

    @keras.saving.register_keras_serializable(package="test_freeing")
    class Both(keras_blocks.Architecture):
        def __init__(self, **kwargs):
            super().__init__({}, **kwargs)

        def stem(self, x):
            conv = keras_blocks.ConvBlock(3, name="conv")
            return keras.ops.concatenate([x, conv(x), conv(conv(x)), x], axis=-1)

        def learner(self, x):
            return keras.layers.Add()([x, x])

        def classifier(self, x):
            return {"sum": keras.ops.sum(x, axis=(1, 2)), "most": keras.ops.max(x, axis=(1, 2))}

    model = Both(input_shape=(8, 8, 3), classes=5)
    x = images(2, 8, 8, 3)
    assert runs_freeing(model, x)
    found, expected = model(x, training=False), super(Network, model).call(x, training=False)
    assert found.keys() == expected.keys() == {"sum", "most"}
    for key, value in found.items():
        np.testing.assert_array_equal(value.detach().numpy(), expected[key].detach().numpy())


def test_what_is_no_plain_tensor_of_its_kind_goes_keras_way():
    model = small()
    x = images(2, 64, 64, 3)
    for other in (np.ones((1, 64, 64, 3), "float32"), x[..., None], keras.ops.cast(x, "uint8"), [x]):
        assert not runs_freeing(model, other)
    assert model(np.ones((1, 64, 64, 3), "uint8")).shape == (1, 5)
    with pytest.raises(ValueError, match="incompatible"):
        model(x[..., :2])


def test_a_deployed_model_gives_up_and_is_keras_own_in_files(tmp_path):
    """Pickles and copies, too; what its layers made for one other alone is overwritten, the images are not."""
    import copy
    import pickle

    import torch

    model, x = small("densenet121"), images(2, 64, 64, 3)
    deployed, kept = keras_blocks.deploy(model), x.clone()
    plain = keras.layers.Input((3,))
    theirs = type(keras.Model(plain, keras.layers.Dense(1)(plain)))
    assert type(deployed) is not theirs
    assert (type(deployed).__module__, type(deployed).__name__) == (theirs.__module__, theirs.__name__)
    deployed.save(tmp_path / "deployed.keras")
    others = [copy.deepcopy(deployed), pickle.loads(pickle.dumps(deployed))]
    others.append(keras.saving.load_model(tmp_path / "deployed.keras"))
    with torch.inference_mode():
        expected = model(x, training=False).numpy()
        for one in (deployed, *others):
            for _ in range(2):
                np.testing.assert_allclose(one(x, training=False).numpy(), expected, rtol=1e-4, atol=1e-5)
    assert all(type(one) is theirs for one in others)
    np.testing.assert_array_equal(x.numpy(), kept.numpy())


def deployed_alike(outputs_of, monkeypatch):
    """How often something was overwritten while a deployed graph gave what Keras gives, and left its images alone."""
    import torch

    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, outputs_of(inputs))
    deployed, x, count = keras_blocks.deploy(model), images(2, 6, 6, 3), []
    kept = x.clone()
    monkeypatch.setattr(torch_images, "relu_overwriting", lambda y: count.append("relu") or torch.relu_(y))
    add = native_layers.Add.overwriting
    monkeypatch.setattr(native_layers.Add, "overwriting", lambda self, *args: count.append("add") or add(self, *args))
    with torch.inference_mode():
        expected = keras.tree.flatten(model(x, training=False))
        for _ in range(2):
            found = keras.tree.flatten(deployed(x, training=False))
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(x.numpy(), kept.numpy())
    return sorted(count[: len(count) // 2])


def conv(x, **options):
    return keras.layers.Conv2D(3, 3, padding="same", **options)(x)


def relu(x):
    return keras.layers.Activation("relu")(x)


def add(*tensors):
    return keras.layers.Add()(list(tensors))


def with_sum(use):
    """A graph of an image, and of the sum of it and what a convolution makes for that alone."""
    return lambda x: use(x, add(conv(x), x))


GRAPHS = {
    "alone": (lambda x: conv(relu(add(x, x))), ["relu"]),
    "a sum of two": (with_sum(lambda x, y: conv(relu(y))), ["add", "relu"]),
    "the other one of two": (lambda x: conv(relu(add(x, conv(x)))), ["add", "relu"]),
    "a sum of one is that one": (lambda x: keras.layers.Concatenate()([conv(relu(add(x))), x]), []),
    "taken twice": (with_sum(lambda x, y: keras.layers.Concatenate()([conv(relu(y)), y])), ["add"]),
    "an output, too": (with_sum(lambda x, y: [conv(relu(y)), y]), ["add"]),
    "a sum by keyword": (lambda x: conv(relu(keras.layers.Add()(inputs=[conv(x), x]))), ["relu"]),
    "an activation by keyword": (with_sum(lambda x, y: conv(keras.layers.Activation("relu")(inputs=y))), ["add"]),
    "views": (with_sum(lambda x, y: [relu(keras.layers.Reshape((36, 3))(y)), y]), ["add"]),
    "the sum with itself": (lambda x: (lambda y: add(y, y))(conv(x)), []),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_what_others_hold_is_not_overwritten(name, monkeypatch):
    outputs_of, overwritten = GRAPHS[name]
    assert deployed_alike(outputs_of, monkeypatch) == overwritten
