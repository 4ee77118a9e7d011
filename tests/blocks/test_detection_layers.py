"""The layers that detectors consist of: each through the contracts that the catalog's rows go through, with inputs and
outputs by name, and against numbers from outside."""

import json
import math

import keras
import numpy as np
import pytest
from calling import call
from catalog import DETECTION_LAYERS as LAYERS
from catalog import named_inputs
from checks import randomize
from thorough import run_alike

import keras_blocks
from keras_blocks import (
    AnchorGenerator,
    BoxHead,
    DetectionDecoder,
    FeaturePyramid,
    Letterbox,
    RegionProposalNetwork,
)
from keras_blocks.core.signature import arguments

every_layer = pytest.mark.parametrize("name", LAYERS)


def make(name, **options):
    return getattr(keras_blocks, name)(**{**LAYERS[name][0], **options})


def mapped(function, shapes):
    return (
        {key: function(key, shape) for key, shape in shapes.items()}
        if isinstance(shapes, dict)
        else function("", shapes)
    )


def batched(name, batch=None):
    return mapped(lambda key, shape: (batch, *shape), LAYERS[name][1])


def inputs_of(name, batch=2):
    random = np.random.default_rng(0)

    def values(key, shape):
        if key == "proposals":
            corners = random.uniform(0, 20, (batch, shape[0], 2))
            return np.concatenate([corners, corners + random.uniform(4, 12, corners.shape)], -1).astype("float32")
        if key == "image_size":
            return np.full((batch, 2), 32, "int32")
        if key == "scale":
            return np.full((batch, 2), 0.5, "float32")
        return random.normal(size=(batch, *shape)).astype("float32")

    return mapped(values, LAYERS[name][1])


def symbolic(name):
    return named_inputs(LAYERS[name][1])


def arrays(outputs):
    return keras.tree.map_structure(lambda x: np.asarray(keras.ops.convert_to_numpy(x)), outputs)


def assert_same(one, other, **tolerance):
    keras.tree.assert_same_structure(one, other)
    for a, b in zip(keras.tree.flatten(one), keras.tree.flatten(other)):
        np.testing.assert_allclose(a, b, **tolerance)


@every_layer
def test_contract(name):
    layer = make(name)
    config = layer.get_config()
    assert not set(arguments(type(layer))) - set(config)
    again = type(layer).from_config(json.loads(json.dumps(config))).get_config()
    assert json.dumps(again, sort_keys=True) == json.dumps(config, sort_keys=True)
    layer.build(batched(name))
    paths = [variable.path for variable in layer.variables]
    assert all(part.built for part in layer._flatten_layers() if part is not layer or layer.variables)
    inputs = inputs_of(name)
    found = arrays(call(layer, inputs))
    assert [variable.path for variable in layer.variables] == paths, "a call made variables that build() did not"
    shapes = layer.compute_output_shape(batched(name, 2))
    assert keras.tree.map_structure(lambda x: x.shape, found) == shapes
    outputs = layer(symbolic(name))
    for output, array in zip(keras.tree.flatten(outputs), keras.tree.flatten(found)):
        assert output.shape[1:] == array.shape[1:]
        assert keras.backend.standardize_dtype(output.dtype) == array.dtype.name
        assert np.isfinite(array).all()


@pytest.mark.once
@every_layer
def test_one_image_of_a_batch_is_as_alone(name):
    layer = make(name)
    layer.build(batched(name))
    randomize(layer)
    together = arrays(call(layer, inputs_of(name)))
    one = mapped(lambda key, x: x[1:], inputs_of(name))
    alone = arrays(call(layer, one))
    if isinstance(together, dict):
        together = {key: x if key == "anchors" else x[1:] for key, x in together.items()}
    assert_same(
        together if name == "AnchorGenerator" or isinstance(together, dict) else together[1:],
        alone,
        rtol=1e-4,
        atol=1e-5,
    )


@every_layer
def test_mixed_policies_compute_in_16_bits_and_keep_boxes_in_32(name):
    layer = make(name, dtype="mixed_bfloat16")
    found = call(layer, inputs_of(name))
    wide = name in ("RegionProposalNetwork", "BoxHead", "DetectionDecoder", "AnchorGenerator")
    for key, output in found.items() if isinstance(found, dict) else [("", found)]:
        integers = key in ("labels", "num_detections", "image_size")
        expected = "int32" if integers else "float32" if wide or key == "scale" else "bfloat16"
        assert keras.backend.standardize_dtype(output.dtype) == expected, key
    assert all(weight.dtype == "float32" for weight in layer.weights)


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="TensorFlow's CPU has no channels_first convolution"
)
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "DetectionDecoder"])
def test_channels_first_gives_the_same(name):
    last, first = make(name), make(name, data_format="channels_first")
    inputs = inputs_of(name)

    def turned(x):
        return x if x.ndim < 4 or (x.shape[-1] == 4 and x.ndim == 3) else np.moveaxis(x, -1, -3)

    expected = arrays(call(last, inputs))
    moved = keras.tree.map_structure(turned, inputs)
    first.build(keras.tree.map_structure(lambda x: x.shape, moved))
    if name == "BoxHead":  # which flattens regions in the order in which they lie
        assert first.compute_output_shape((None, 5, 3, 2, 2)) == last.compute_output_shape((None, 5, 2, 2, 3))
        return
    first.set_weights(last.get_weights())
    found = arrays(call(first, moved))
    keys = ("P3", "P4", "P5", "image")
    if isinstance(found, dict):
        found = {key: np.moveaxis(x, 1, -1) if key in keys else x for key, x in found.items()}
    assert_same(found, expected, rtol=1e-4, atol=1e-5)


@every_layer
def test_goes_through_a_file(name, tmp_path):
    inputs = symbolic(name)
    layer = make(name)
    outputs = layer(inputs)
    if name == "AnchorGenerator":  # a model's outputs have a batch
        outputs = keras.layers.Dense(3)(inputs), outputs
        outputs = outputs[0]
    model = keras.Model(inputs, outputs)
    randomize(layer)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    given = inputs_of(name)
    assert_same(arrays(call(again, given)), arrays(call(model, given)), rtol=1e-6, atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize("name", ["BoxHead", "FeaturePyramid", "RegionProposalNetwork"])
def test_expand_equals_call(name):
    layer, inputs = make(name), symbolic(name)
    layer.build(batched(name))
    randomize(layer)
    flat = keras.Model(inputs, layer.expand(inputs))
    assert not any(isinstance(part, keras_blocks.Block) for part in flat.layers)
    assert {id(weight) for weight in flat.weights} == {id(weight) for weight in layer.weights}
    given = inputs_of(name)
    assert_same(arrays(flat(given)), arrays(layer(given)), rtol=1e-6, atol=1e-6)


# Counted by hand from torchvision's fasterrcnn_resnet50_fpn with 91 classes.
COUNTED = [
    (
        FeaturePyramid(256),
        {"P2": (8, 8, 256), "P3": (4, 4, 512), "P4": (2, 2, 1024), "P5": (1, 1, 2048)},
        256 * (256 + 512 + 1024 + 2048) + 4 * 256 + 4 * (9 * 256 * 256 + 256),
    ),
    (
        RegionProposalNetwork(),
        {f"P{i}": (2 ** (8 - i), 2 ** (8 - i), 256) for i in range(2, 7)},
        9 * 256 * 256 + 256 + 3 * (256 + 1) + 12 * (256 + 1),
    ),
    (BoxHead(90), (10, 7, 7, 256), 49 * 256 * 1024 + 1024 + 1024 * 1024 + 1024 + 5 * 91 * (1024 + 1)),
]


@pytest.mark.once
@pytest.mark.parametrize("layer, shapes, params", COUNTED, ids=lambda value: getattr(value, "name", ""))
def test_counts_are_torchvisions(layer, shapes, params):
    assert keras_blocks.cost(layer, shapes).params == params
    layer.build(mapped(lambda key, shape: (None, *shape), shapes))
    assert layer.count_params() == params


@pytest.mark.once
def test_a_convolution_for_all_levels_is_counted_once_and_computes_for_each():
    layer = RegionProposalNetwork(sizes=[[8], [16]])
    one = keras_blocks.cost(RegionProposalNetwork(sizes=[8]), (8, 8, 4))
    two = keras_blocks.cost(layer, {"P3": (8, 8, 4), "P4": (4, 4, 4)})
    assert two.params == one.params
    assert two.macs == one.macs * (64 + 16) // 64


def test_anchors_are_torchvisions():
    """torchvision's AnchorGenerator(((32,),), ((0.5, 1.0, 2.0),)) has these around a pixel, for a size of 32."""
    anchors = arrays(AnchorGenerator([32], stride=16)(np.zeros((1, 2, 3, 1), "float32")))
    base = np.array([[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]])
    assert anchors[:3].tolist() == base.tolist()
    assert anchors[3:6].tolist() == (base + np.array([16, 0, 16, 0])).tolist()
    assert anchors[9:12].tolist() == (base + np.array([0, 16, 0, 16])).tolist()


@pytest.mark.parametrize("sizes, like", [((13, 7), (25, 14)), ((12, 7), (24, 13))])
def test_a_pyramid_of_odd_sizes_is_added_as_torchvision_does(sizes, like):
    """torch.nn.functional.interpolate(size=..., mode="nearest"): the pixel at i comes from floor(i * old / new)."""
    small = np.random.default_rng(0).normal(size=(1, *sizes, 2)).astype("float32")
    layer = keras_blocks.blocks.pyramid.UpsampleLike()
    found = arrays(layer([small, np.zeros((1, *like, 2), "float32")]))
    rows, columns = ([math.floor(i * old / new) for i in range(new)] for old, new in zip(sizes, like))
    np.testing.assert_array_equal(found, small[:, rows][:, :, columns])


@pytest.mark.parametrize("size, canvas, fits", [((60, 80), (48, 48), (36, 48)), ((80, 60), (40, 90), (40, 30))])
def test_letterbox_keeps_proportions_and_fills_with_nothing(size, canvas, fits):
    image = np.ones((2, *size, 3), "float32")
    for known in (True, False):
        inputs = keras.Input((*size, 3) if known else (None, None, 3))
        model = keras.Model(inputs, Letterbox(canvas)(inputs))
        found = arrays(call(model, image))
        assert found["image"].shape == (2, *canvas, 3)
        assert found["image_size"].tolist() == [list(fits)] * 2
        np.testing.assert_allclose(found["scale"], [[fits[0] / size[0], fits[1] / size[1]]] * 2, rtol=1e-6)
        height, width = fits
        np.testing.assert_allclose(found["image"][:, :height, :width], 1.0, rtol=1e-6)
        assert not found["image"][:, height:].any() and not found["image"][:, :, width:].any()
        if not run_alike():
            break


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others trace for sizes that are known")
def test_letterbox_is_written_for_images_of_any_size():
    """As a detector is, by `keras.Model.export`."""
    import tensorflow as tf

    layer = Letterbox((12, 16))
    signature = [tf.TensorSpec((None, None, None, 3), "float32")]
    traced = tf.function(layer.__call__, input_signature=signature, autograph=False)
    for size in ((12, 16), (9, 20)):
        image = np.random.default_rng(0).uniform(0, 255, (1, *size, 3)).astype("float32")
        for key, expected in layer(image).items():
            np.testing.assert_allclose(traced(image)[key], expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("canvas", [(12, 30), (40, 25), (7, 9)])
def test_letterboxes_in_pytorch_s_files_are_keras_(canvas, data_format, monkeypatch, rng):
    """They scale by other operations, as its exporters have no `tensordot`."""
    images = rng.uniform(size=(2, 17, 23, 3)).astype("float32")
    images = images if data_format == "channels_last" else images.transpose(0, 3, 1, 2)
    layer = Letterbox(canvas, data_format=data_format)
    wanted = keras.ops.convert_to_numpy(layer(images)["image"])
    monkeypatch.setattr(keras_blocks.blocks.letterbox, "is_written", lambda: True)
    found = keras.ops.convert_to_numpy(layer(images)["image"])
    assert wanted.std() > 0.1
    np.testing.assert_allclose(found, wanted, atol=1e-6)


WRONG = [
    (lambda: AnchorGenerator([]), "sizes", "not empty"),
    (lambda: AnchorGenerator([0]), "sizes[0]", "1.0"),
    (lambda: AnchorGenerator([8], aspect_ratios=[0]), "aspect_ratios[0]", "0.01"),
    (lambda: AnchorGenerator([8], stride=0), "stride", "1"),
    (lambda: BoxHead(0), "classes", "1"),
    (lambda: BoxHead(3, hidden=(0,)), "hidden[0]", "1"),
    (lambda: BoxHead(3)(keras.Input((7, 7, 3))), "batches of regions", "5"),
    (lambda: BoxHead(3)(keras.Input((9, None, 7, 3))), "known size", "None"),
    (lambda: FeaturePyramid(0), "filters", "1"),
    (lambda: FeaturePyramid(8)(keras.Input((8, 8, 3))), "P2", "one feature map"),
    (lambda: FeaturePyramid(8)({"a": keras.Input((8, 8, 3))}), "P2", "'a'"),
    (lambda: FeaturePyramid(8)({"P2": keras.Input((8, 8, 3)), "P4": keras.Input((2, 2, 3))}), "gap", "'P4'"),
    (lambda: FeaturePyramid(8)({"P2": keras.Input((8, 8, 3)), "P3": keras.Input((3, 4, 3))}), "half as large", "3"),
    (lambda: RegionProposalNetwork(sizes=[[8], [8, 16]]), "sizes", "as many"),
    (lambda: RegionProposalNetwork(pre_nms_top_n=(0, 1)), "pre_nms_top_n", "1"),
    (lambda: RegionProposalNetwork(iou_threshold=2), "iou_threshold", "1.0"),
    (lambda: RegionProposalNetwork()(keras.Input((8, 8, 3))), "sizes", "1"),
    (
        lambda: RegionProposalNetwork(sizes=[[8], [8]])({"P2": keras.Input((8, 8, 3)), "P3": keras.Input((4, 4, 5))}),
        "as many channels",
        "FeaturePyramid",
    ),
    (lambda: RegionProposalNetwork(sizes=[8], strides=[8, 16])(keras.Input((8, 8, 3))), "strides", "1"),
    (lambda: Letterbox(0), "size", "1"),
    (lambda: Letterbox((1, 2, 3)), "size", "height, width"),
    (lambda: DetectionDecoder(score_threshold=-1), "score_threshold", "0.0"),
    (lambda: DetectionDecoder(max_detections=0), "max_detections", "1"),
    (lambda: DetectionDecoder(box_weights=(1, 1)), "box_weights", "4"),
    (lambda: DetectionDecoder(box_weights=(1, 1, 0, 1)), "box_weights[2]", "from"),
]


@pytest.mark.once
@pytest.mark.parametrize("make_it, argument, allowed", WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_errors_name_the_argument_and_what_is_allowed(make_it, argument, allowed):
    with pytest.raises((TypeError, ValueError)) as caught:
        make_it()
    assert argument in str(caught.value) and allowed in str(caught.value)
