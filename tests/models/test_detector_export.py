"""What a detector cannot be exported to is refused, and what stands in the way is said."""

import keras
import numpy as np
import pytest
from catalog import small_detector, small_fast_rcnn
from test_faster_rcnn import ready
from thorough import run_all
from versions import needs_tensorflow

import keras_blocks
from keras_blocks.core.shapes import known_sizes
from keras_blocks.deploy import exporting
from keras_blocks.deploy.runtimes import PROPOSING_IN, RUNTIMES, TOLD_IN, WRITTEN_BY

BACKEND = keras.backend.backend()
WRITTEN = [name for name, writers in WRITTEN_BY.items() if BACKEND in writers]
REFUSED = [
    (make, format)
    for make, writers in ((small_detector, PROPOSING_IN), (small_fast_rcnn, TOLD_IN))
    for format in WRITTEN
    if format not in writers[BACKEND]
]


@needs_tensorflow
@pytest.mark.parametrize(("make", "format"), REFUSED)
def test_formats_without_what_a_detector_is_made_of_are_refused_before_they_begin(make, format, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "deploy", keras_blocks.expand)
    monkeypatch.setattr(keras.Model, "export", lambda self, path, **options: pytest.fail("it has begun"))
    with pytest.raises(ValueError, match=rf"`format='{format}'` lacks what .*tensorflow: saved_model, onnx"):
        keras_blocks.export(make(), tmp_path / f"model{RUNTIMES[format].suffix}", format)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(BACKEND != "tensorflow" or not run_all(), reason="from TensorFlow; takes long: in `make test-all`")
@pytest.mark.filterwarnings("ignore")  # from inside of the converters
def test_openvino_keeps_boxes_of_several_classes(tmp_path):
    """In OpenVINO 2026.4 a loop over classes, each of another number of boxes, loses those of the last one."""
    sizes = {"scores": 4, "deltas": 16, "proposals": 4}
    inputs = {name: keras.Input((6, size), name=name) for name, size in sizes.items()}
    inputs |= {
        "image_size": keras.Input((2,), name="image_size", dtype="int32"),
        "scale": keras.Input((2,), name="scale"),
    }
    model = keras.Model(inputs, keras_blocks.DetectionDecoder(max_detections=5, score_threshold=0.01)(inputs))
    rng = np.random.default_rng(0)
    given = {name: rng.normal(size=(2, 6, size)).astype("float32") for name, size in sizes.items()}
    corners = rng.uniform(0, 20, (2, 6, 2))
    given["deltas"] *= 0.1
    given["proposals"] = np.concatenate([corners, corners + 10], axis=-1).astype("float32")
    given |= {"image_size": np.full((2, 2), 40, "int32"), "scale": np.full((2, 2), 0.5, "float32")}
    labels = model.predict(given, verbose=0)["labels"]
    assert len({*labels[0]}) == 3
    assert keras_blocks.export(model, tmp_path / "decoder.xml", "openvino", inputs=given).difference <= 1e-5


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the other backends export it")
def test_onnx_from_pytorch_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"writes no loops.*KERAS_BACKEND is tensorflow"):
        ready().export(tmp_path / "model.onnx", format="onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="has a tracer whose sizes are tensors")
@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is deprecated:DeprecationWarning")
def test_sizes_are_known_while_pytorch_traces():
    import torch

    seen = []

    def program(x):
        seen.append(known_sizes(x))
        return x + 1

    torch.jit.trace(program, torch.zeros(2, 3))
    assert (2, 3) in seen and all(sizes == (2, 3) for sizes in seen)
