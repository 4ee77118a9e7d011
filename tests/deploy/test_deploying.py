"""`deploy`: the same outputs without what only training needs; what stays where folding is not exact."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from checks import as_trained as trained
from thorough import run_all

import keras_blocks
from keras_blocks.core.native_layers import own_class
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.registry import architecture_of, list_models

layers = keras.layers
IMAGES = np.random.default_rng(0).normal(size=(2, 9, 9, 4)).astype("float32")


def classifies(name):
    return issubclass(architecture_of(name), Architecture) and "autoencoder" not in name and "vae" not in name


def norms(model):
    return sum(isinstance(layer, layers.BatchNormalization) for layer in keras_blocks.expand(model).layers)


def outputs(model, images=IMAGES):
    return [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(model.predict(images, verbose=0))]


def check(model, images=IMAGES, left=0):
    """Deploys it, and compares."""
    trained(model)
    before = model.get_weights()
    small = keras_blocks.deploy(model)
    for mine, theirs in zip(outputs(small, images), outputs(model, images), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(theirs).max()))
    assert norms(small) == left
    assert not {id(weight) for weight in small.weights} & {id(weight) for weight in model.weights}
    for mine, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    return small


def chained(*parts):
    return keras.Sequential([keras.Input((9, 9, 4)), *parts])


NORM = layers.BatchNormalization
BEFORE = {
    "convolution": lambda: layers.Conv2D(6, 3, strides=2),
    "without a bias": lambda: layers.Conv2D(6, 3, padding="same", use_bias=False),
    "dilated": lambda: layers.Conv2D(6, 3, dilation_rate=2),
    "grouped": lambda: keras_blocks.GroupedConv2D(6, 3, groups=2),
    "depthwise": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
    "separable": lambda: layers.SeparableConv2D(6, 3, depth_multiplier=2),
    "transposed": lambda: layers.Conv2DTranspose(6, 3, strides=2),
    "dense": lambda: layers.Dense(6),
}


@pytest.mark.parametrize("kind", BEFORE if run_all() else ["convolution", "transposed", "depthwise"])
def test_a_normalization_goes_into_the_layer_before_it(kind):
    check(chained(BEFORE[kind](), NORM(), layers.ReLU()))


def test_an_activation_becomes_the_convolutions():
    model = chained(layers.Conv2D(6, 3), NORM(), layers.Activation("relu"))
    check(model)
    kinds = [own_class(layer) for layer in keras_blocks.deploy(model).layers]
    assert layers.Conv2D in kinds and layers.Activation not in kinds
    two = chained(layers.Conv2D(6, 3, activation="elu"), layers.Activation("relu"))
    check(two)
    assert [own_class(layer) for layer in keras_blocks.deploy(two).layers].count(layers.Activation) == 1


@pytest.mark.once
def test_normalizations_called_twice_and_of_another_precision():
    norm, x = layers.Normalization(mean=0.5, variance=2.0, axis=None), keras.Input((9, 9, 4))
    check(keras.Model(x, layers.Conv2D(2, 1)(norm(norm(x)))))
    model = chained(layers.Conv2D(6, 3, dtype="mixed_bfloat16"), NORM(dtype="float32"))
    assert keras_blocks.deploy(model).outputs[0].dtype == model.outputs[0].dtype == "float32"


@pytest.mark.once
@pytest.mark.parametrize("kind", BEFORE)
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False, "epsilon": 1e-5}], ids=str)
def test_every_kind_of_layer_takes_one(kind, options):
    check(chained(BEFORE[kind](), layers.Dropout(0.5), NORM(**options), NORM()))


@pytest.mark.once
@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ([NORM(), layers.Conv2D(3, 3)], 0),
        ([NORM(), layers.Conv2D(3, 1, padding="same", use_bias=False)], 0),
        ([NORM(), layers.Dense(3)], 0),
        ([NORM(), layers.Conv2D(3, 3, padding="same")], 1),  # the border of zeros is not normalized
        ([NORM(), layers.ReLU(), layers.Conv2D(3, 3)], 1),
        ([layers.Conv2D(3, 3, activation="relu"), NORM()], 1),
        ([layers.Conv2D(4, 3), NORM(axis=1)], 1),  # of rows
        ([layers.Conv2D(4, 3), layers.ZeroPadding2D(1), NORM()], 1),
        ([layers.Conv2D(4, 3), layers.GroupNormalization(2)], 0),
    ],
)
def test_what_is_not_exact_stays(parts, left):
    check(chained(*[type(part).from_config(part.get_config()) for part in parts]), left=left)


@pytest.mark.once
def test_channels_first():
    model = keras.Sequential(
        [keras.Input((4, 9, 9)), layers.Conv2D(6, 3, data_format="channels_first"), NORM(axis=1), layers.ReLU()]
    )
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow has no convolution with channels first on a CPU")
    check(model, IMAGES.transpose(0, 3, 1, 2))


@pytest.mark.once
def test_a_layer_with_other_takers_or_calls_stays():
    x = keras.Input((9, 9, 4))
    conv, shared, norm = layers.Conv2D(4, 3, padding="same"), layers.Conv2D(4, 1), NORM()
    check(keras.Model(x, {"normalized": NORM()(conv(x)), "also": conv.output}), left=1)
    check(keras.Model(x, layers.Add()([NORM()(shared(x)), shared(layers.ReLU()(x))])), left=1)
    check(keras.Model(x, layers.Add()([norm(layers.Conv2D(4, 1)(x)), norm(x)])), left=1)


@pytest.mark.once
def test_what_always_trains_stays():
    """Dropout by which a user asks for several answers, and normalization by the batch."""
    x = keras.Input((9, 9, 4))
    model = keras.Model(x, layers.Dropout(0.5)(layers.Conv2D(4, 1)(x), training=True))
    assert [own_class(layer) for layer in keras_blocks.deploy(model).layers[1:]] == [layers.Conv2D, layers.Dropout]
    model = keras.Model(x, NORM()(layers.Conv2D(4, 1)(x), training=True))
    assert norms(keras_blocks.deploy(model)) == 1


class AlwaysOn(layers.Dropout):
    """As users write it for several answers."""

    def call(self, x, training=None):
        return super().call(x, training=True)


class Shifted(NORM):
    """A normalization that computes something else."""

    def call(self, x, training=None, mask=None):
        return super().call(x, training=training, mask=mask) + 1.0


class Without(layers.Layer):
    """A layer of which no copy can be made."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


@pytest.mark.once
def test_what_is_derived_of_a_layer_is_not_taken_for_it():
    small = check(chained(layers.Conv2D(4, 1), Shifted()), left=1)
    assert type(small.layers[-1]) is Shifted
    small = keras_blocks.deploy(chained(layers.Conv2D(4, 1), AlwaysOn(0.5)))
    assert type(small.layers[-1]) is AlwaysOn
    with pytest.raises(ValueError, match=r"'without.*' cannot be copied, as Without has no `get_config`"):
        keras_blocks.deploy(chained(Without(keras.ops.relu)))


@pytest.mark.filterwarnings("ignore")
def test_losses_inside_are_left_out(tmp_path):
    """They are part of training alone, and OpenVINO takes them for outputs."""
    net = chained(
        layers.Conv2D(3, 3, activity_regularizer="l2"),
        layers.ActivityRegularization(0.1),
        keras_blocks.VariationalBottleneck(2, pooling="flatten"),
        layers.Dense(4, activity_regularizer="l1"),
    )
    net(IMAGES)
    assert len(net.losses) == 4
    small = check(net)
    small(IMAGES)
    assert not small.losses and len(small.layers) == 5  # input, convolution, flattened, mean, dense
    if keras.backend.backend() != "jax":
        assert keras_blocks.export(net, tmp_path / "net.xml", "openvino", inputs=IMAGES).outputs == ("",)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_bytes_become_numbers_where_they_did(policy):
    keras.config.set_dtype_policy(policy)
    x = keras.Input((9, 9, 4), dtype="uint8")
    model = keras.Model(x, keras.ops.mean(layers.RandomFlip()(x) / 7, axis=-1))
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 4)).astype("uint8")
    small = keras_blocks.deploy(model)
    assert small.output.dtype == model.output.dtype
    np.testing.assert_array_equal(*(np.asarray(outputs(net, images)[0], "float32") for net in (small, model)))


@pytest.mark.once
def test_augmentation_and_auxiliaries_are_left_out_and_preprocessing_stays(tmp_path):
    model = keras_blocks.create_model(
        "googlenet_cifar",
        auxiliary=True,
        preprocess=[layers.RandomFlip(), layers.Rescaling(1 / 255)],
        input_shape=(32, 32, 3),
        classes=3,
        classifier_activation=None,
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    trained(model)
    small = keras_blocks.deploy(model)
    theirs = model.without_auxiliary().predict(images, verbose=0)
    np.testing.assert_allclose(outputs(small, images)[0], theirs, rtol=1e-5, atol=1e-5)
    names = [type(layer).__name__ for layer in small.layers]
    assert not {"RandomFlip", "Dropout", "BatchNormalization"} & set(names) and "Rescaling" in names
    assert len(small.outputs) == 1 < len(keras.tree.flatten(model.output))
    small.save(tmp_path / "small.keras")
    again = keras.saving.load_model(tmp_path / "small.keras")
    # From a file come Keras' own layers, on PyTorch, too.
    np.testing.assert_allclose(outputs(again, images)[0], outputs(small, images)[0], atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize("value", [None, "resnet18", layers.Dense(3)], ids=repr)
def test_no_model(value):
    with pytest.raises(TypeError, match="`model` must be a Keras model"):
        keras_blocks.deploy(value)


FEW = {"resnet18d": 0, "skresnet18": 0, "resnet20_cifar_v2": 10, "densenet40_cifar": 36 + 2 + 1}
"""Name -> how many normalizations stay: those that come first, as in all layers and transitions of a DenseNet."""


BITS = 64 if keras.backend.backend() == "tensorflow" else 32
"""In 64, what a deep network makes of rounding is far from what a wrong folding would do. On PyTorch and JAX there are
none: Keras' own normalization computes in float32 there, whatever its type."""


@pytest.mark.once
@pytest.mark.parametrize("name", [*filter(classifies, list_models())] if run_all() and BITS == 64 else FEW)
def test_networks_give_the_same(name):
    keras.config.set_dtype_policy(f"float{BITS}")
    size = 96 if "inception" in name else 32
    model = keras_blocks.create_model(name, input_shape=(size, size, 3), classifier_activation=None).without_auxiliary()
    trained(model)
    small = keras_blocks.deploy(model)
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(f"float{BITS}")
    theirs, ours = (keras.ops.convert_to_numpy(net(images, training=False)) for net in (model, small))
    assert theirs.dtype == ours.dtype == f"float{BITS}"
    np.testing.assert_allclose(ours, theirs, rtol=0, atol={64: 1e-12, 32: 1e-5}[BITS] * np.abs(theirs).max())
    assert norms(small) == FEW.get(name, norms(small))


@pytest.fixture
def matrix():
    """benchmarks/export_matrix.py, which makes variants small, and gives them outputs that differ from each other."""
    file = pathlib.Path(__file__).parents[2] / "benchmarks" / "export_matrix.py"
    spec = importlib.util.spec_from_file_location("export_matrix", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.once
@pytest.mark.skipif(not run_all(), reason="detectors, opened and made twice")
@pytest.mark.parametrize("name", [name for name in list_models() if not classifies(name)])
def test_autoencoders_pairs_and_detectors_give_the_same(name, matrix):
    bits = 32 if "rcnn" in name else BITS  # detections are float32, whatever the rest is
    keras.config.set_dtype_policy(f"float{bits}")
    model, inputs = matrix.made(name, shortened=False)
    theirs, ours = (net.predict(inputs, verbose=0) for net in (model, keras_blocks.deploy(model)))
    keras.tree.assert_same_structure(theirs, ours)
    pairs = [*zip(map(np.asarray, keras.tree.flatten(theirs)), map(np.asarray, keras.tree.flatten(ours)))]
    assert pairs[0][0].dtype == f"float{bits}" and any(np.ptp(value) > 0 for value, _ in pairs)
    for value, found in pairs:
        np.testing.assert_allclose(found, value, rtol=0, atol={64: 1e-12, 32: 1e-4}[bits] * np.abs(value).max())
