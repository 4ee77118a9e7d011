"""`export`: what it says is done gives the model's outputs in its runtime, and what is not leaves nothing behind."""

import json

import keras
import numpy as np
import pytest
from thorough import run_all
from versions import needs_tensorflow

import keras_blocks
from keras_blocks.deploy import exporting
from keras_blocks.deploy.comparing import difference_of
from keras_blocks.deploy.runtimes import RUNTIMES, Runtime

BACKEND = keras.backend.backend()
WRITES = {
    "tensorflow": ["saved_model", "onnx", "litert", "openvino"],
    "torch": ["onnx", "openvino", "torch"],
    "jax": ["saved_model"],
}
"""Backend -> what Keras 3.15 writes from it with what is installed here."""

ONNX = "onnx" if "onnx" in WRITES[BACKEND] else "saved_model"
OTHERS = [format for format in RUNTIMES if format not in WRITES[BACKEND]]


@pytest.fixture(scope="module")
def model():
    net = keras_blocks.create_model(
        "resnet20_cifar",
        groups=[{"filters": 4, "blocks": 1}],
        preprocess=[keras.layers.Rescaling(1 / 255)],
        input_shape=(8, 8, 3),
        classes=3,
        labels=["hen", "egg", "nest"],
    )
    rng = np.random.default_rng(2)
    for weight in net.weights:
        if "moving" in weight.name or weight.name in ("gamma", "bias"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape).astype("float32"))
    return net


@pytest.mark.filterwarnings("ignore")  # from inside of the converters
@pytest.mark.parametrize("format", WRITES[BACKEND] if run_all() else WRITES[BACKEND][1:3])
def test_a_file_gives_the_models_outputs(format, model, tmp_path):
    path = tmp_path / "new" / f"model{RUNTIMES[format].suffix}"
    images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype("float32")
    done = keras_blocks.export(model, path, format, inputs=images)
    assert done.labels == ("hen", "egg", "nest") and done.difference <= 1e-5
    found = RUNTIMES[format].run(str(path), images[:1])  # another size of batch than it was compared on
    (array,) = found.values() if isinstance(found, dict) else found
    expected = model.predict(images[:1], verbose=0)
    assert 0.01 < expected.min() < 0.99
    np.testing.assert_allclose(array, expected, atol=1e-5)
    card = json.loads(path.with_name(path.name + ".json").read_text())
    assert card["labels"] == ["hen", "egg", "nest"] and card["inputs"] == "float32 ['batch', 8, 8, 3]"
    assert {file.name for file in path.parent.iterdir()} <= {path.name, path.name + ".json", "model.bin"}
    with pytest.raises(FileExistsError, match=r"`overwrite=True` replaces it"):
        keras_blocks.export(model, path, format)
    assert format in str(done) and str(path) in str(done)


@keras.saving.register_keras_serializable("tests")
class Pooled(keras_blocks.Block):
    def __init__(self, kind, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind

    def chain(self, channels):
        pool = self.layer("pool", getattr(keras.layers, self.kind), pool_size=3, strides=2, padding="same")
        return [pool, *self.conv_unit("conv", 4, 3, strides=2)]


@needs_tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "size"), [("MaxPooling2D", 8), ("AveragePooling2D", 7)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_poolings_with_borders(kind, size, data_format, tmp_path):
    """PyTorch's tracer has tensors for sizes, and ONNX no padding that is computed of one."""
    if data_format == "channels_first" and BACKEND != "torch":
        pytest.skip("poolings of other backends have no channels_first on CPUs")
    shape = (size, size, 3) if data_format == "channels_last" else (3, size, size)
    images = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    net = keras.Sequential([keras.Input(shape), Pooled(kind, data_format=data_format)])
    done = keras_blocks.export(net, tmp_path / f"model{RUNTIMES[ONNX].suffix}", ONNX, inputs=images)
    assert done.difference < 1e-5


@needs_tensorflow
@pytest.mark.filterwarnings("ignore")
def test_a_file_that_is_wrong_for_one_image_alone_is_not_written(tmp_path, monkeypatch):
    """As OpenVINO's files of detectors from PyTorch were, which had no outputs then."""
    run = exporting._run

    def wrong(part, format, inputs):
        return keras.tree.map_structure(lambda each: each + (len(inputs) == 1), run(part, format, inputs))

    monkeypatch.setattr(exporting, "_run", wrong)
    model = keras.Sequential([keras.Input((8, 8, 3)), keras_blocks.FireBlock(2)])
    path = tmp_path / f"model{RUNTIMES[ONNX].suffix}"
    with pytest.raises(ValueError, match=r"any number of images.*does not: its outputs for \[\(1, 8, 8, 3\)\]"):
        keras_blocks.export(model, path, ONNX, inputs=np.ones((2, 8, 8, 3), "float32"))
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(BACKEND != "torch", reason="it alone writes this format")
def test_a_file_of_torch_export_takes_images_of_any_size(tmp_path):
    images = np.random.default_rng(0).normal(size=(2, 17, 17, 3)).astype("float32")
    net = keras.Sequential([keras.Input((None, None, 3)), keras_blocks.ConvBlock(4), keras_blocks.ClassifierHead(2)])
    keras_blocks.export(net, tmp_path / "model.pt2", "torch", inputs=images)
    for height, width in ((17, 17), (11, 13), (16, 9)):
        some = np.ascontiguousarray(images[:1, :height, :width])
        (found,) = RUNTIMES["torch"].run(str(tmp_path / "model.pt2"), some)
        np.testing.assert_allclose(found, net.predict(some, verbose=0), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(BACKEND != "torch", reason="the others write files for any size")
def test_a_file_of_one_size_is_not_written_for_a_model_of_any(tmp_path):
    images = np.random.default_rng(0).normal(size=(2, 17, 17, 3)).astype("float32")
    net = keras.Sequential([keras.Input((None, None, 3)), Pooled("MaxPooling2D")])
    with pytest.raises(
        ValueError, match=r"of any size where it has no `input_shape`; its file from the torch backend does not"
    ):
        keras_blocks.export(net, tmp_path / "model.onnx", inputs=images)
    assert not list(tmp_path.iterdir())
    net = keras.Sequential([keras.Input((None, None, 3)), keras_blocks.ConvBlock(4), keras_blocks.ClassifierHead(2)])
    assert keras_blocks.export(net, tmp_path / "model.onnx", inputs=images).difference < 1e-5


@pytest.mark.parametrize("format", OTHERS)
def test_what_a_backend_does_not_write_is_refused_before_it_begins(format, model, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.Model, "export", lambda self, path, **options: pytest.fail("it has begun"))
    monkeypatch.setattr(exporting, "deploy", lambda model: pytest.fail("it has begun"))
    with pytest.raises(ValueError, match=rf"`format='{format}'` is written by .*this is '{BACKEND}'.*KERAS_BACKEND="):
        keras_blocks.export(model, tmp_path / f"model{RUNTIMES[format].suffix}", format)
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_small_outputs_must_be_as_near_as_large_ones(model, tmp_path, monkeypatch):
    """A thousand classes have probabilities of a thousandth each: a hundredth of that is much."""

    def slightly_off(path, inputs):
        return [1.01 * model.predict(inputs, verbose=0)]

    expected = np.array([[1e-3, 2e-3]])
    assert difference_of(expected, expected * 1.01) == pytest.approx(0.01, rel=0.05)
    assert difference_of(0 * expected, 0 * expected) == 0
    assert difference_of(expected, expected + 1e-7) == 0  # what rounding makes of 1, as in a sigmoid
    endless = np.array([np.inf, 1.0])
    assert difference_of(endless, endless) == 0
    assert difference_of(endless, np.array([np.inf, 2.0])) == pytest.approx(1)
    assert difference_of(endless, np.array([1e30, 1.0])) == np.inf
    monkeypatch.setattr(keras.Model, "export", lambda self, path, **options: open(path, "w").close())
    needs = (("onnxruntime", "onnxruntime"),)
    monkeypatch.setitem(exporting.RUNTIMES, "onnx", Runtime("onnx", ".onnx", needs, slightly_off))
    with pytest.raises(ValueError, match=r"differ by 1\.0e-02"):
        keras_blocks.export(model, tmp_path / "model.onnx")


def of_zeros(path, inputs):
    """A runtime that gives zeros."""
    return [np.zeros((len(inputs), 3), "float32")]


def broken(path, inputs):
    raise OSError("no such operation\nand more")


@pytest.mark.once
@pytest.mark.parametrize(
    ("run", "message"),
    [
        (of_zeros, "the outputs of 'resnet20_cifar' in .* differ by"),
        (broken, "cannot run what Keras .*: OSError: no such op"),
    ],
)
def test_what_differs_is_not_written(run, message, model, tmp_path, monkeypatch):
    suffix, needs = ".onnx", (("onnxruntime", "onnxruntime"),)
    monkeypatch.setitem(exporting.RUNTIMES, "onnx", Runtime("onnx", suffix, needs, run))
    monkeypatch.setattr(keras.Model, "export", lambda self, path, **options: open(path, "w").close())
    with pytest.raises(ValueError, match=message):
        keras_blocks.export(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_a_deployed_model_that_differs_is_not_written(model, tmp_path, monkeypatch):
    """What is compared is the model that was given, and not what was made of it."""

    def wrong(model):
        small = keras.models.clone_model(keras_blocks.deploy(model))  # of other weights
        assert small.count_params()
        return small

    monkeypatch.setattr(exporting, "deploy", wrong)
    monkeypatch.setattr(keras.Model, "export", lambda self, path, **options: self.save(f"{path}.keras"))
    needs = (("onnxruntime", "onnxruntime"),)
    run = lambda path, inputs: [keras.saving.load_model(f"{path}.keras").predict(inputs, verbose=0)]  # noqa: E731
    monkeypatch.setitem(exporting.RUNTIMES, "onnx", Runtime("onnx", ".onnx", needs, run))
    with pytest.raises(ValueError, match="differ by"):
        keras_blocks.export(model, tmp_path / "model.onnx")


@pytest.mark.once
def test_files_beside_are_not_replaced_unasked(model, tmp_path, monkeypatch):
    def write(self, path, **options):
        for name in (path, path.replace(".xml", ".bin")):
            with open(name, "w") as file:
                file.write("new")

    run = lambda path, inputs: [model.predict(inputs, verbose=0)]  # noqa: E731
    monkeypatch.setattr(keras.Model, "export", write)
    monkeypatch.setattr(exporting, "run_openvino", lambda path, inputs, precision: run(path, inputs))
    monkeypatch.setitem(exporting.RUNTIMES, "openvino", Runtime("openvino", ".xml", (("openvino", "openvino"),), run))
    (tmp_path / "net.bin").write_text("mine")
    with pytest.raises(FileExistsError, match=r"net\.bin is there already. `overwrite=True`"):
        keras_blocks.export(model, tmp_path / "net.xml", "openvino")
    assert (tmp_path / "net.bin").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
    keras_blocks.export(model, tmp_path / "net.xml", "openvino", overwrite=True)
    assert (tmp_path / "net.bin").read_text() == "new"


@pytest.mark.once
def test_it_is_compared_on_what_it_may_be_given(model):
    """Images of bytes are not all zero, and those that preprocessing scales go to 255."""
    small = keras_blocks.deploy(model)
    assert 200 < exporting._random_inputs(small, model).max() <= 256
    plain = keras.Sequential([keras.Input((4,), dtype="uint8"), keras.layers.Rescaling(1 / 255)])
    assert exporting._random_inputs(keras_blocks.deploy(plain), plain).max() > 10
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert exporting._random_inputs(keras_blocks.deploy(plain), plain).max() <= 1


@pytest.mark.once
def test_what_keras_cannot_write_is_said(model, tmp_path, monkeypatch):
    def refused(self, path, **options):
        raise RuntimeError("an operation\nin the way")

    monkeypatch.setattr(keras.Model, "export", refused)
    with pytest.raises(
        ValueError, match=r"cannot write 'resnet20_cifar' from the \w+ backend: RuntimeError: an operation$"
    ):
        keras_blocks.export(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"format": "onxx"}, ValueError, "Did you mean 'onnx'"),
        ({"path": "model.pb"}, ValueError, "must end with '.onnx'"),
        ({"tolerance": -1.0}, ValueError, "`tolerance`"),
        ({"model": "resnet18"}, TypeError, "`model` must be a Keras model"),
    ],
)
def test_bad_arguments(arguments, error, message, model, tmp_path):
    given = {"model": model, "path": "model.onnx", **arguments}
    with pytest.raises(error, match=message):
        keras_blocks.export(given.pop("model"), tmp_path / given.pop("path"), **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_unknown_sizes_need_inputs(tmp_path):
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(ValueError, match=r"`inputs` must be given for .* which takes any size"):
        keras_blocks.export(model, tmp_path / "model.onnx")


@pytest.mark.once
def test_a_runtime_that_is_missing_is_named(model, tmp_path, monkeypatch):
    needs = (("no_such_runtime", "no-such-runtime"),)
    monkeypatch.setitem(exporting.RUNTIMES, "onnx", Runtime("onnx", ".onnx", needs, of_zeros))
    with pytest.raises(ImportError, match=r"no_such_runtime.*pip install 'keras-blocks\[export\]'"):
        keras_blocks.export(model, tmp_path / "model.onnx")
