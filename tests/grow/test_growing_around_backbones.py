"""`grow` of models around a backbone: its metaparameters are given as at the construction, and weights go along."""

import catalog
import keras
import numpy as np
import pytest
from around_backbones import detector, fast, groups, inputs_of, outputs, rcnn, siamese, single
from checks import as_trained as trained

import keras_blocks
from keras_blocks.grow.growing import grown, told

once = pytest.mark.once


FIRST = {"data_format": "channels_first", "input_shape": (3, 12, 16)}
L1 = {"distance": "l1", "embedding": None}
EXACT = {
    "tower": (siamese, {"groups": groups(6, blocks=2)}),
    "tower attended": (lambda: siamese(distance="l2"), {"groups": groups(4, blocks=3), "se_ratio": 2}),
    "unit length": (lambda: siamese(normalize=True, include_top=False), {"groups": groups(8)}),
    "features that are weighed": (lambda: siamese(**L1), {"groups": groups(6, blocks=2)}),
    "embedding that is weighed": (lambda: siamese(distance="l1"), {"embedding": 8}),
    "new embedding": (lambda: siamese(**L1), {"embedding": 6}),
    "twins": (
        catalog.small_koch,
        {"groups": [{"filters": 5, "kernel_size": 5}, {"filters": 6, "kernel_size": 3}], "classes": 8},
    ),
    "detector": (detector, {"groups": groups(6, 8, blocks=2)}),
    "all of a detector": (
        detector,
        {"groups": groups(6, 8, blocks=2), "pyramid_filters": 6, "rpn_filters": 9, "hidden": [9, 9], "se_ratio": 2},
    ),
    "channels first": (lambda: detector(**FIRST), {"groups": groups(8, 10), "pyramid_filters": 8}),
    "single map": (single, {"groups": groups(6, 8, blocks=2), "hidden": [9]}),
    "single map, channels first": (lambda: single(**FIRST), {"groups": groups(8, 10)}),
    "given regions": (fast, {"groups": groups(6, blocks=2), "hidden": [8, 8]}),
    "each region": (rcnn, {"groups": groups(6, blocks=2), "hidden": [8]}),
    "each region, SVMs": (lambda: rcnn(scorer="svm"), {"groups": groups(8), "hidden": [8]}),
    "each region, channels first": (lambda: rcnn(**FIRST), {"groups": groups(8)}),
}
NEAR = {
    "another distance": (siamese, {"distance": "l2"}, "distance"),
    "wider features that are compared as a whole": (lambda: siamese(embedding=None), {"groups": groups(6)}, "distance"),
    "wider embedding": (siamese, {"embedding": 8}, "distance"),
    "narrower embedding": (lambda: siamese(**L1), {"embedding": 2}, "distance"),
    "classes": (detector, {"classes": 3, "labels": None}, "detections"),
    "larger regions": (single, {"region_size": (3, 3)}, "region_pooling"),
    "larger canvas": (detector, {"image_size": (32, 48)}, "letterbox"),
    "larger warped regions": (rcnn, {"region_size": 8}, "backbone"),
    "larger images": (siamese, {"input_shape": (10, 10, 1)}, "stem_conv"),
    "fewer channels for each region": (rcnn, {"groups": groups(2)}, "stem_conv"),
}


@once
@pytest.mark.parametrize("name", EXACT)
def test_a_child_computes_what_its_parent_does(name):
    make, changes = EXACT[name]
    parent = trained(make())
    before = parent.get_weights()
    found = grown(parent, changes)
    assert found.exact, found.notes
    assert found.difference is None or found.difference <= 1e-5
    assert told(found) is None
    assert type(found.model) is type(parent)
    assert found.model.count_params() > parent.count_params()
    inputs = inputs_of(parent)
    for mine, theirs in zip(outputs(found.model, inputs), outputs(parent, inputs), strict=True):
        assert np.ptp(theirs) > 0 or theirs.dtype.kind == "i"  # labels, and how many there are
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(theirs).max()))
    for weight, kept in zip(parent.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


@once
@pytest.mark.parametrize("name", NEAR)
def test_what_cannot_be_equal_is_told(name):
    make, changes, layer = NEAR[name]
    parent = trained(make())
    found = grown(parent, changes)
    assert not found.exact and layer in found.notes, found.notes
    assert "does not have its outputs" in told(found)
    inputs = outputs(found.model, inputs_of(found.model))
    assert all(np.isfinite(one).all() for one in inputs)


@once
def test_new_classes_begin_as_initialized():
    parent = trained(detector())
    head = grown(parent, {"classes": 4, "labels": None}).model.get_layer("head")
    mine, theirs = (keras.ops.convert_to_numpy(one.scores.kernel) for one in (head, parent.get_layer("head")))
    np.testing.assert_array_equal(mine[:, :3], theirs)
    assert not any(np.allclose(mine[:, i], theirs[:, j]) for i in (3, 4) for j in range(3))


def test_on_every_backend():
    parent = trained(siamese(**L1))
    found = grown(parent, {"groups": groups(6, blocks=2), "embedding": 8})
    assert found.exact and found.difference <= 1e-5


@once
@pytest.mark.parametrize("make", [detector, rcnn])
def test_frozen_layers_and_the_optimizer_go_along_and_it_trains(make):
    parent = trained(make(dtype="float32"))
    parent.backbone.get_layer("stem").trainable = False
    parent.compile(keras.optimizers.Adam(0.001))
    inputs = inputs_of(parent)
    truth = {"boxes": np.array([[[2.0, 2, 9, 9]]] * 2, "float32"), "labels": np.array([[1]] * 2)}
    parent.fit(inputs, truth, verbose=0)
    child = keras_blocks.grow(parent, groups=groups(*(8, 8)[: len(parent.backbone.metaparameters.groups)]))
    assert not child.backbone.get_layer("stem").conv.trainable
    assert child.compiled and int(child.optimizer.iterations) == 1
    assert any(np.any(keras.ops.convert_to_numpy(v)) for v in child.optimizer.variables if "momentum" in v.path)
    assert np.isfinite(child.fit(inputs, truth, verbose=0).history["loss"]).all()


@once
def test_a_grown_detector_is_saved_and_grows_again(tmp_path):
    parent = trained(detector())
    child = keras_blocks.grow(parent, groups=groups(6, 8))
    child.save(tmp_path / "child.keras")
    loaded = keras.saving.load_model(tmp_path / "child.keras")
    assert loaded.backbone.metaparameters.groups[1]["filters"] == 8
    again = keras_blocks.grow(loaded, groups=groups(8, 8, blocks=2), pyramid_filters=8)
    inputs = inputs_of(parent)
    for mine, theirs in zip(outputs(again, inputs), outputs(parent, inputs), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(theirs).max()))


@once
def test_images_of_another_size_are_given_to_the_backbone():
    sizes = [
        (detector, {"image_size": (32, 48)}, (32, 48, 3)),
        (rcnn, {"region_size": 8}, (8, 8, 3)),
        (lambda: rcnn(**FIRST), {"region_size": 8}, (3, 8, 8)),
        (siamese, {"input_shape": (10, 12, 1)}, (10, 12, 1)),
        (siamese, {"input_shape": (9, 9, 1), "preprocess": keras.layers.Resizing(14, 12)}, (14, 12, 1)),
    ]
    for make, changes, shape in sizes:
        assert grown(make(), changes).model.backbone.input_shape[1:] == shape


@once
def test_wrong_arguments():
    wide = {"groups": groups(8)}
    with pytest.raises(TypeError, match=r"FasterRCNN takes no argument `group`.*Did you mean `groups`"):
        keras_blocks.grow(detector(), group=groups(8))
    with pytest.raises(ValueError, match=r"`backbone` of a model that is grown keeps its class.*groups=.*'resnet18'"):
        keras_blocks.grow(siamese(), backbone="resnet18")
    with pytest.raises(ValueError, match=r"`blocks` must be None"):
        keras_blocks.grow(siamese(), {"scores": {"units": 2}})
    x = keras.Input((8, 8, 3))
    plain = keras.Model(x, keras.layers.Conv2D(4, 3)(x), name="plain")
    with pytest.raises(ValueError, match=r"takes no 'groups', and its backbone 'plain' is a Functional.*architecture"):
        keras_blocks.grow(keras_blocks.Siamese(plain), **wide)
    grown_head = grown(trained(keras_blocks.Siamese(plain, "l1", embedding=4)), {"embedding": 6})
    assert grown_head.exact


@once
def test_calls_of_a_shared_layer_are_matched_in_the_order_in_which_they_were_made():
    """With a projection behind it, Keras lists the pooling of the second image first."""
    notes = grown(trained(siamese(**L1)), {"embedding": 2}).notes
    assert "pool" not in notes and "distance" in notes


@once
def test_weights_of_64_bits_keep_them():
    sizes = {"stem": "cifar", "input_shape": (8, 8, 3), "classes": 5, "dtype": "float64"}
    parent = trained(keras_blocks.ResNet(groups(4), "basic", **sizes))
    child = grown(parent, {"groups": groups(6, blocks=2)}).model
    weights = {weight.path: keras.ops.convert_to_numpy(weight) for weight in child.weights}
    for weight in parent.get_layer("stem").weights:
        np.testing.assert_array_equal(weights[weight.path][..., :4], keras.ops.convert_to_numpy(weight))


@once
def test_dense_layers_of_sequences_grow():
    x = keras.Input((10, 8))
    y = keras.layers.Dense(6, activation="relu", name="a")(x)
    model = trained(keras.Model(x, keras.layers.Dense(3)(keras.layers.Dense(4, name="b")(y))))
    found = grown(model, {}, {"a": {"units": 12}, "b": {"units": 5}})
    images = np.random.default_rng(0).normal(size=(2, 10, 8)).astype("float32")
    assert found.exact
    np.testing.assert_allclose(*(outputs(one, images)[0] for one in (model, found.model)), atol=1e-5)
