"""Detectors that are told where to look, in other runtimes: the same detections, on real photos and boxes."""

import keras
import numpy as np
import pytest
from thorough import run_all

import keras_blocks
from keras_blocks import VOCDetection
from keras_blocks.deploy.runtimes import RUNTIMES, TOLD_IN

BACKEND = keras.backend.backend()
SIZE = (60, 80)
NETWORKS = {
    "FastRCNN": {"levels": ["P1"], "region_size": (3, 4), "image_size": (72, 88), "hidden": [12]},
    "RCNN": {"region_size": 16, "context": 2, "regions_at_once": 8, "hidden": [12], "scorer": "svm"},
}
QUICK = [("FastRCNN", "onnx")] if BACKEND == "torch" else []
CASES = [(name, format) for name in NETWORKS for format in TOLD_IN[BACKEND]] if run_all() else QUICK


@pytest.fixture(scope="module")
def cells(bccd):
    """Two photos of blood cells, and the boxes of their cells, a few of which stand twice."""
    dataset = VOCDetection(bccd, "test", image_size=SIZE)
    boxes = [dataset.from_original(i, dataset.ground_truth()[i]["boxes"]) for i in range(2)]
    proposals = np.full((2, 11, 4), -1, "float32")
    for i, of_image in enumerate(boxes):
        of_image = np.concatenate([of_image[:7], of_image[:3] + 0.01])
        proposals[i, : len(of_image)] = of_image
    return {"image": np.stack([dataset.image(i) for i in range(2)]).astype("float32"), "proposals": proposals}


def lively(name):
    """A network whose detections differ from each other."""
    keras.utils.set_random_seed(2)
    options = {"classes": 3, "input_shape": (*SIZE, 3), "score_threshold": 0.05, "max_detections": 14}
    groups = [{"filters": 4, "blocks": 1}, {"filters": 6, "blocks": 1}]
    backbone = {"groups": groups, "stem": "cifar", "block": "basic", "kernel_initializer": "he_normal"}
    model = getattr(keras_blocks, name)(
        keras_blocks.ResNet, preprocess=[keras.layers.Rescaling(1 / 128, -1)], **options, **backbone, **NETWORKS[name]
    )
    rng = np.random.default_rng(0)
    for weight in model.get_layer("head").weights:
        softmax = "scores" in weight.path and "svm" not in weight.path  # of what is much alike, no class wins all
        weight.assign((0.01 if softmax else 0.1) * rng.normal(size=weight.shape))
    return model


@pytest.mark.filterwarnings("ignore")  # from inside of the converters, and on boxes of these photos without area
@pytest.mark.parametrize(("name", "format"), CASES)
def test_a_file_finds_what_the_model_finds(name, format, cells, tmp_path):
    model = lively(name)
    found = model.predict(cells, verbose=0)
    assert (found["num_detections"] >= 2).all() and len({*found["labels"].flat} - {-1}) >= 2
    path = tmp_path / f"model{RUNTIMES[format].suffix}"
    done = keras_blocks.export(model, path, format, inputs=cells)
    assert done.difference <= 1e-4
    few = {"image": cells["image"][:1], "proposals": cells["proposals"][:1, 2:6]}  # other numbers of both
    wanted = model.predict(few, verbose=0)
    arrays = RUNTIMES[format].run(str(path), few)
    arrays = arrays.values() if isinstance(arrays, dict) else arrays
    for name, array in zip(done.outputs, arrays, strict=True):
        np.testing.assert_allclose(array, wanted[name], rtol=1e-4, atol=1e-4, err_msg=name)
