"""Grouped convolutions leave Keras in every format with equal outputs; Keras' own cannot become ONNX. Detectors leave
it as SavedModel and ONNX, whole: proposals, suppression and all."""

import keras
import numpy as np
import pytest
from thorough import run_all

import keras_blocks

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the backend from which Keras exports to all of these formats"
)


@pytest.fixture(scope="module")
def model():
    """A strided grouped convolution, and ResNeXt's block with squeeze-excitation."""
    inputs = keras.Input((16, 16, 8))
    x = keras_blocks.GroupedConv2D(16, 3, groups=4, strides=2, padding="same", activation="relu")(inputs)
    x = keras_blocks.ResNeXtBlock(4, cardinality=4, base_width=32, se_ratio=4)(x)
    built = keras.Model(inputs, x)
    built(np.zeros((1, 16, 16, 8), "float32"))  # Keras makes ONNX of a model that was called alone
    return built


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(2, 16, 16, 8)).astype("float32")


def check(outputs, model, images):
    expected = np.asarray(model(images))
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")  # from inside of tf2onnx
def test_onnx(model, images, tmp_path):
    import onnxruntime

    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    (outputs,) = session.run(None, {session.get_inputs()[0].name: images})
    check(outputs, model, images)


def test_saved_model(model, images, tmp_path):
    import tensorflow as tf

    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    check(np.asarray(loaded.serve(images)), model, images)


def test_litert(model, images, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    model.export(tmp_path / "model.tflite", format="litert", verbose=False)
    interpreter = Interpreter(str(tmp_path / "model.tflite"))
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, images)
    interpreter.invoke()
    check(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), model, images)


def test_openvino(model, images, tmp_path):
    import openvino

    model.export(str(tmp_path / "model.xml"), format="openvino", verbose=False)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # its own choice is bfloat16 where the processor has it
    compiled = openvino.Core().compile_model(str(tmp_path / "model.xml"), "CPU", exact)
    check(compiled(images)[0], model, images)


slow = pytest.mark.skipif(not run_all(), reason="half a minute: in `make test-all`")


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(3)
    built = keras_blocks.FasterRCNN(
        "resnet20_cifar",
        classes=3,
        levels=["P1", "P2"],
        pyramid_filters=8,
        anchor_sizes=[[8], [16], [32]],
        hidden=[12],
        pre_nms_top_n=60,
        post_nms_top_n=20,
        score_threshold=0.2,
        max_detections=12,
        input_shape=(32, 40, 3),
    )
    built(np.zeros((1, 32, 40, 3), "float32"))  # as above
    return built


def check_detections(found, model, images):
    expected = {name: np.asarray(x) for name, x in model(images).items()}
    assert (expected["num_detections"] > 0).all()
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(np.asarray(found[name]), array, rtol=1e-4, atol=1e-4)


@slow
@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")  # from inside of tf2onnx
def test_a_detector_as_onnx(detector, tmp_path):
    import onnxruntime

    images = np.random.default_rng(0).uniform(size=(2, 32, 40, 3)).astype("float32")
    detector.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    found = session.run(None, {session.get_inputs()[0].name: images})
    check_detections(dict(zip((output.name for output in session.get_outputs()), found)), detector, images)


@slow
def test_a_detector_as_saved_model(detector, tmp_path):
    import tensorflow as tf

    images = np.random.default_rng(0).uniform(size=(2, 32, 40, 3)).astype("float32")
    detector.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    check_detections(loaded.serve(images), detector, images)


@pytest.mark.parametrize("kind", ["FastRCNN", "RCNN"])
@slow
@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")  # from inside of tf2onnx
def test_detectors_that_are_told_where_to_look_as_onnx(kind, tmp_path):
    import onnxruntime

    keras.utils.set_random_seed(3)
    own = {"FastRCNN": {"levels": ["P2"], "image_size": (32, 40)}, "RCNN": {"region_size": 16, "context": 2}}[kind]
    options = {"classes": 3, "hidden": [8], "score_threshold": 0.2, "max_detections": 6, "input_shape": (32, 40, 3)}
    model = getattr(keras_blocks, kind)("resnet20_cifar", **options, **own)
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 20, (2, 9, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(4, 20, (2, 9, 2))], axis=-1)
    inputs = {"image": rng.uniform(size=(2, 32, 40, 3)).astype("float32"), "proposals": boxes.astype("float32")}
    model(inputs)
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    found = session.run(None, {one.name: inputs[one.name] for one in session.get_inputs()})
    check_detections(dict(zip((output.name for output in session.get_outputs()), found)), model, inputs)
