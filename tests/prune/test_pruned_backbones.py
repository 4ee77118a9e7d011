"""Backbones that are pruned, and the models that are made of them: they train, save and load."""

import catalog
import keras
import numpy as np
import pytest
from checks import as_trained as trained

import keras_blocks

SIZES = {"block": "basic", "stem": "cifar", "include_top": False}
GROUPS = [{"filters": 8, "blocks": 1}, {"filters": 12, "blocks": 1}]


def pruned(shape):
    return keras_blocks.prune(trained(keras_blocks.ResNet(GROUPS, **SIZES, input_shape=shape)), 0.6)


def faster_rcnn():
    backbone = pruned((16, 24, 3))
    names = ("group1_block1_out_activation", "group2_block1_out_activation")
    backbone.pyramid_outputs = {f"P{i}": backbone.get_layer(name).output for i, name in enumerate(names)}
    sizes = {"levels": ["P0", "P1"], "anchor_sizes": [[8], [16], [32]], "pyramid_filters": 4, "hidden": [6]}
    sizes |= {"pre_nms_top_n": 20, "post_nms_top_n": 8, "max_detections": 5, "region_size": 2}
    return keras_blocks.FasterRCNN(backbone, classes=2, image_size=(16, 24), input_shape=(12, 16, 3), **sizes)


def rcnn():
    own = {key: value for key, value in catalog.GIVEN.items() if key not in ("groups", "stem", "block")}
    return keras_blocks.RCNN(pruned((8, 8, 3)), context=1, head_samples=4, **own)


@pytest.mark.once
@pytest.mark.parametrize("make", [faster_rcnn, rcnn])
def test_a_detector_of_a_pruned_backbone_trains_and_is_saved(make, tmp_path):
    model = make()
    model.compile(keras.optimizers.SGD(0.001))
    images = np.random.default_rng(0).normal(size=(2, 12, 16, 3)).astype("float32")
    inputs = {"image": images, "proposals": np.array([[[1.0, 1, 9, 9], [4, 2, 14, 10]]] * 2, "float32")}
    inputs = inputs if make is rcnn else images
    truth = {"boxes": np.array([[[2.0, 2, 9, 9]]] * 2, "float32"), "labels": np.array([[1]] * 2)}
    assert np.isfinite(model.fit(inputs, truth, verbose=0).history["loss"]).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for mine, theirs in zip(*(keras.tree.flatten(one.predict(inputs, verbose=0)) for one in (loaded, model))):
        np.testing.assert_array_equal(mine, theirs)
