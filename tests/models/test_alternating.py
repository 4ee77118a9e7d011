"""Faster R-CNN in the four steps of its paper: what each trains, and that nothing else moves."""

import keras
import numpy as np
import pytest
from calling import EAGERLY, JIT
from thorough import run_all

import keras_blocks

IMAGES = np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 3)).astype("float32")
TRUTH = {"boxes": np.array([[[4, 4, 20, 22]], [[8, 8, 24, 30]]], "float32"), "labels": np.array([[0], [1]])}
PARTS = ("stem", "group", "rpn", "head")


def small():
    return keras_blocks.FasterRCNN(
        keras_blocks.ResNet,
        groups=[{"filters": 16, "blocks": 1}, {"filters": 16, "blocks": 1}],
        stem="cifar",
        block="basic",
        classes=2,
        levels=["P1"],
        pyramid_filters=None,
        anchor_sizes=[[8, 16]],
        hidden=[8],
        region_size=2,
        pre_nms_top_n=40,
        post_nms_top_n=12,
        head_samples=8,
        rpn_samples=16,
        input_shape=(32, 32, 3),
    )


class Moved(keras.callbacks.Callback):
    """Notes which parts of a model a training has changed, and the losses that were not 0."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def weights(self):
        return {weight.path: weight.numpy() for weight in self.model.weights}

    def on_train_begin(self, logs=None):
        self.before = self.weights()

    def on_train_end(self, logs=None):
        after = self.weights()
        changed = {path for path, value in after.items() if not np.array_equal(value, self.before[path])}
        self.steps.append((self.model, {part for part in PARTS if any(part in path for path in changed)}))


@pytest.mark.skipif(JIT and not run_all(), reason="XLA compiles five times for half a minute: in `make test-all`")
def test_each_step_trains_its_parts_alone():
    keras.utils.set_random_seed(0)
    model, moved = small(), Moved()
    model.compile("sgd", jit_compile=JIT, run_eagerly=EAGERLY)
    model.backbone.get_layer("stem").trainable = False
    weights = [weight.numpy() for weight in model.get_layer("rpn").weights]
    before = [weight.path for weight in model.trainable_weights]
    optimizer = keras.optimizers.SGD(0.05)
    steps = keras_blocks.train_alternating(
        model, IMAGES, TRUTH, optimizer=optimizer, batch_size=2, epochs=2, verbose=0, callbacks=[moved]
    )
    proposals, detections = {"rpn_objectness_loss", "rpn_box_loss"}, {"class_loss", "box_loss"}
    for step, counted in zip(steps, (proposals, detections, proposals, detections)):
        assert set(step) == {"loss", *proposals, *detections} and len(step["loss"]) == 2
        for name in proposals | detections:
            assert (step[name][0] > 0) == (name in counted)
        assert step["loss"][0] == pytest.approx(sum(step[name][0] for name in counted), rel=1e-4)
    assert [changed for _, changed in moved.steps] == [{"group", "rpn"}, {"group", "head"}, {"rpn"}, {"head"}]
    assert [trained is model for trained, _ in moved.steps] == [False, True, True, True]
    assert any(not np.array_equal(old, new.numpy()) for old, new in zip(weights, model.get_layer("rpn").weights))
    assert [weight.path for weight in model.trainable_weights] == before
    found = model.train_on_batch(IMAGES, TRUTH, return_dict=True)
    assert all(found[name] > 0 for name in proposals), "at the end all is trained at once"
    assert model.trained_part == "all"


@pytest.mark.once
def test_what_was_frozen_stays_so_also_where_a_step_fails():
    model = small()
    model.freeze()
    before = [weight.path for weight in model.trainable_weights]
    with pytest.raises(ValueError, match="'boxes'"):
        keras_blocks.train_alternating(model, IMAGES, {"labels": TRUTH["labels"]}, verbose=0)
    assert [weight.path for weight in model.trainable_weights] == before and model.trained_part == "all"
    with pytest.raises(TypeError, match="FasterRCNN"):
        keras_blocks.train_alternating(model.backbone, IMAGES, TRUTH)
