"""`weights="imagenet"`, with a stand-in for the download: keras.applications asks for a file, and we write one."""

import functools
import urllib.parse

import h5py
import keras
import numpy as np
import pytest
from calling import outputs_of
from thorough import run_all

import keras_blocks
from keras_blocks.models.registry import ARCHITECTURES

pytestmark = pytest.mark.once

HOST = "storage.googleapis.com"
# The file that keras.applications asks for, and its published hash.
FILES = {
    "resnet50_v2": ("resnet50v2_weights_tf_dim_ordering_tf_kernels.h5", "3ef43a0b657b3be2300d5770ece849e0"),
    "densenet121": ("densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5", "30ee3e1110167f948a6b9946edeeb738"),
    "vgg16": ("vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "6d6bbae143d832006294945121d1f1fc"),
}
FUNCTIONS = {"resnet50_v2": "ResNet50V2", "densenet121": "DenseNet121", "vgg16": "VGG16"}


def write_legacy_h5(model, path):
    """A file as those published in 2018 are: a group for each layer, in order, with the names of its weights."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.weights):
                group.create_dataset(name, data=weight.numpy())


@pytest.fixture(scope="module")
def publish(tmp_path_factory):
    """Variant, include_top -> a model of keras.applications, and the file of its weights."""

    @functools.cache
    def published(variant, include_top):
        model = getattr(keras.applications, FUNCTIONS[variant])(
            weights=None, include_top=include_top, classifier_activation=None
        )
        rng = np.random.default_rng(0)
        for weight in model.weights:
            if weight.name in ("gamma", "moving_variance"):
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
            elif weight.name != "kernel":
                weight.assign(rng.normal(0, 0.1, weight.shape))
        file = tmp_path_factory.mktemp("published") / f"{variant}.h5"
        write_legacy_h5(model, file)
        return model, file

    return published


@pytest.fixture
def server(monkeypatch, publish):
    """Variant, include_top -> the model whose weights are then served."""

    def serve(variant, include_top):
        model, published = publish(variant, include_top)

        def get_file(name, origin, cache_subdir, file_hash):
            url = urllib.parse.urlsplit(origin)
            file, expected_hash = FILES[variant]
            assert (url.scheme, url.netloc) == ("https", HOST)
            assert url.path.startswith("/tensorflow/keras-applications/") and url.path.endswith(f"/{file}")
            assert (name, file_hash) == (file, expected_hash)
            return str(published)

        monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
        return model

    return serve


def assert_same_outputs(ours, theirs, size):
    images = np.random.default_rng(1).normal(size=(2, size, size, 3)).astype("float32")
    expected = outputs_of(theirs, images)
    assert expected.std() > 1e-4
    np.testing.assert_allclose(outputs_of(ours, images), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_with_the_top(server):
    theirs = server("resnet50_v2", include_top=True)
    ours = keras_blocks.create_model("resnet50_v2", weights="imagenet", classifier_activation=None)
    assert_same_outputs(ours, theirs, 224)


def test_without_the_top_for_any_image_shape(server):
    theirs = server("densenet121", include_top=False)
    ours = keras_blocks.create_model("densenet121", weights="imagenet", include_top=False, input_shape=(75, 75, 3))
    assert_same_outputs(ours, theirs, 75)


def test_every_published_name_is_a_function_of_keras_applications():
    published = [(name, cls) for cls in ARCHITECTURES for name in cls.published]
    assert len(published) == 12
    for name, cls in published:
        assert name in cls.variants
        assert callable(getattr(keras.applications, cls.published[name]))


@pytest.fixture
def no_download(monkeypatch):
    def get_file(*args, **kwargs):
        raise Exception("URL fetch failure on https://storage.googleapis.com: 503 -- Service Unavailable")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)


def test_a_failed_download_says_so(no_download):
    with pytest.raises(OSError, match=r"'imagenet'.*keras\.applications\.VGG16.*503"):
        keras_blocks.create_model("vgg16", weights="imagenet", include_top=False, input_shape=(32, 32, 3))


def test_what_none_publishes_is_refused_before_any_download(no_download):
    with pytest.raises(ValueError, match=r"published for \d\d variants, .*'squeezenet_1\.0': torchvision"):
        keras_blocks.create_model("squeezenet_1.0", weights="imagenet")


@pytest.mark.skipif(not run_all(), reason="adapted as files of all kinds are, see tests/test_hub.py; make test-all")
def test_other_classes_and_channels(server):
    theirs = server("resnet50_v2", include_top=True)
    options = {"weights": "imagenet", "classes": 10, "input_shape": (64, 64, 1)}
    channels = pytest.warns(UserWarning, match="channels=1 here")
    with channels, pytest.warns(UserWarning, match="classes=10 here and 1000 in the source"):
        ours = keras_blocks.create_model("resnet50_v2", **options)
    kernel = theirs.get_layer("conv1_conv").kernel.numpy()
    np.testing.assert_allclose(ours.get_layer("stem").conv.kernel.numpy(), kernel.sum(2, keepdims=True), atol=1e-5)
    last = ours.get_layer("last_bn").gamma.numpy()
    np.testing.assert_array_equal(last, theirs.get_layer("post_bn").gamma.numpy())


def test_other_metaparameters_are_named(server):
    server("vgg16", include_top=False)
    fewer = [{"filters": 64, "layers": 2}, {"filters": 128, "layers": 2}]
    with pytest.raises(ValueError, match="do not fit 'vgg16'"):
        keras_blocks.create_model("vgg16", weights="imagenet", include_top=False, groups=fewer, input_shape=(32, 32, 3))
