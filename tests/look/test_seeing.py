"""Grad-CAM and feature maps: by hand, of nested and of loaded models, on every backend."""

import keras
import numpy as np
import pytest
from checks import randomize
from test_expanding import IMAGES, SHAPE, Subclassed, _called, fire

import keras_blocks


def numpy(x):
    return np.asarray(keras.ops.convert_to_numpy(x))


def classifier(activation="softmax"):
    """Of a pooled feature map and one dense layer, Grad-CAM is the class' weights' mean of the map: known by hand."""
    x = keras.Input(SHAPE, name="photo")
    y = fire("fire")(keras_blocks.ConvBlock(3, name="first")(x))
    y = keras.layers.Dense(5, name="scores")(keras.layers.GlobalAveragePooling2D()(y))
    return keras.Model(x, keras.layers.Activation(activation)(y) if activation else y)


def by_hand(model, images, classes):
    maps = keras_blocks.feature_maps(model, images, "fire")
    dense = next(layer for layer in keras_blocks.expand(model).layers if layer.name == "scores")
    kernel = numpy(dense.kernel)
    heat = np.maximum(np.einsum("bhwc,cb->bhw", maps, kernel[:, classes]), 0)
    most = heat.max((1, 2), keepdims=True)
    return heat / np.where(most > 0, most, 1)


@pytest.mark.parametrize("kind", ["functional", "nested", "loaded"])
def test_grad_cam_is_the_map_weighted_by_the_class(kind, tmp_path):
    model = classifier()
    randomize(model)
    if kind != "functional":
        outer = keras.Input(SHAPE)
        model = keras.Model(outer, keras.Sequential([keras.Input(SHAPE), model])(outer))
    if kind == "loaded":
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
    chosen = numpy(model(IMAGES, training=False)).argmax(-1)
    for given, classes in ((None, chosen), (2, [2, 2]), ([1, 4], [1, 4])):
        heat = keras_blocks.grad_cam(model, IMAGES, given)
        np.testing.assert_allclose(heat, by_hand(model, IMAGES, classes), atol=1e-5)
    assert heat.shape == (2, 6, 6) and heat.min() >= 0 and heat.max() <= 1


@pytest.mark.once
def test_maps_of_blocks_layers_and_several():
    model = classifier()
    randomize(model)
    block = model.get_layer("fire")
    x = numpy(model.get_layer("first")(IMAGES, training=False))
    expected = numpy(block(x, training=False))
    assert keras_blocks.feature_maps(model, IMAGES, "fire").shape == (2, 6, 6, 4)
    for layer in ("fire", block, "fire_concat"):
        np.testing.assert_allclose(keras_blocks.feature_maps(model, IMAGES, layer), expected, atol=1e-6)
    several = keras_blocks.feature_maps(model, IMAGES, ["fire_squeeze", "scores"])
    assert {name: one.shape for name, one in several.items()} == {"fire_squeeze": (2, 6, 6, 2), "scores": (2, 5)}
    subclassed = _called(Subclassed())
    assert keras_blocks.feature_maps(subclassed, IMAGES, "held").shape == (2, 6, 6, 4)


@pytest.mark.once
def test_scores_are_those_before_a_softmax_or_their_logarithms():
    apart, bare = classifier(), classifier(None)
    randomize(apart)
    bare.set_weights(apart.get_weights())
    np.testing.assert_allclose(
        keras_blocks.grad_cam(apart, IMAGES, 1, "fire"), keras_blocks.grad_cam(bare, IMAGES, 1), atol=1e-6
    )
    net = keras.Sequential([keras.Input(SHAPE), fire("fire"), keras.layers.GlobalAveragePooling2D()])
    net.add(keras.layers.Dense(1, activation="sigmoid"))
    assert keras_blocks.grad_cam(net, IMAGES, 0).shape == (2, 6, 6)


@pytest.mark.parametrize("activation, bias", [("softmax", True), ("sigmoid", False)])
def test_a_sure_dense_layer_has_the_heat_of_its_scores(activation, bias):
    """Its probabilities are 0 and 1 in float32: through them there is no gradient."""
    x = keras.Input(SHAPE)
    pooled = keras.layers.GlobalAveragePooling2D()(fire("fire")(x))
    inside = keras.Model(x, keras.layers.Dense(3, activation, use_bias=bias, name="scores")(pooled))
    randomize(inside)
    dense = inside.get_layer("scores")
    dense.kernel.assign(np.abs(numpy(dense.kernel)) * [[1e5, 1e4, 1e3]])
    assert numpy(inside(IMAGES, training=False))[:, 0].min() == 1
    np.testing.assert_allclose(keras_blocks.grad_cam(inside, IMAGES, 0), by_hand(inside, IMAGES, [0, 0]), atol=1e-5)


@pytest.mark.once
def test_side_outputs_do_not_count_and_shortcuts_are_gone_by():
    net = keras_blocks.create_model("resnet20_cifar", classes=3, input_shape=(16, 16, 3))
    images = np.random.default_rng(0).uniform(size=(1, 16, 16, 3)).astype("float32")
    assert keras_blocks.grad_cam(net, images).shape == (1, 16, 16)
    inside = keras_blocks.grad_cam(net, images, 1, layer="group2_block2_conv1")  # a shortcut goes by it
    assert inside.shape == (1, 16, 16) and np.isfinite(inside).all()


@pytest.mark.once
def test_what_cannot_be_is_said():
    model = classifier()
    for error, match, wrong in (
        (ValueError, "`class_index` must be a class from 0 to 4", {"class_index": 5}),
        (ValueError, "`class_index`.*each of 2 images", {"class_index": [1]}),
        (TypeError, "`class_index` must be an integer.*0.5", {"class_index": [0.5, 1]}),
        (TypeError, "`class_index` must be an integer.*cat", {"class_index": "cat"}),
        (ValueError, "`layer` must be.*'fire_squeeze'", {"layer": "fire_squeezed"}),
        (ValueError, "`layer` must be in the model", {"layer": keras.layers.ReLU()}),
        (ValueError, "`layer` must give feature maps", {"layer": "scores"}),
        (ValueError, r"`images` must be a batch.*image\[None\]", {"images": IMAGES[0]}),
        (ValueError, "`images` must be a batch of the shape", {"images": IMAGES[..., :1]}),
    ):
        with pytest.raises(error, match=match):
            keras_blocks.grad_cam(model, **{"images": IMAGES, **wrong})
    grey = keras.Sequential([keras.Input((6, 6, 1)), fire("fire")])
    with pytest.raises(ValueError, match="`images` must be a batch"):
        keras_blocks.feature_maps(grey, IMAGES[0, ..., :1], "fire")
    as_list = keras_blocks.feature_maps(model, IMAGES.tolist(), "fire")
    np.testing.assert_array_equal(as_list, keras_blocks.feature_maps(model, IMAGES, "fire"))
    with pytest.raises(ValueError, match="`model` must give one score for each class"):
        keras_blocks.grad_cam(keras.Sequential([keras.Input(SHAPE), fire("a")]), IMAGES)
    with pytest.raises(TypeError, match="`model` must be a Keras model"):
        keras_blocks.feature_maps(fire("a"), IMAGES, "a")
    twice = keras.Sequential([keras.Input(SHAPE), keras.Sequential([fire("a")]), keras.Sequential([fire("a")])])
    for name in ("a", "a_squeeze"):
        with pytest.raises(ValueError, match=f"`layer` must tell one of 2 layers that are called '{name}'"):
            keras_blocks.feature_maps(twice, IMAGES, name)
    block = twice.layers[1].layers[0]
    one, named = (
        keras_blocks.feature_maps(twice, IMAGES, x) for x in (block.squeeze, f"{twice.layers[1].name}_a_squeeze")
    )
    np.testing.assert_array_equal(one, named)
