"""int8 by the runtimes' tools: calibrated, held to a goal, the worst layers left in float where it does not hold."""

import importlib.util
import json

import keras
import numpy as np
import pytest
from thorough import run_all

import keras_blocks
from keras_blocks.deploy import exporting, int8_litert, int8_onnx
from keras_blocks.deploy.comparing import difference_of_first
from keras_blocks.deploy.copying import in_float32
from keras_blocks.deploy.quantizing import (
    Calibration,
    Goal,
    accuracy,
    goal_of,
    outside,
    relative,
    until_it_holds,
    worst_first,
)
from keras_blocks.deploy.runtimes import RUNTIMES, WRITTEN_BY, run_onnx

BACKEND = keras.backend.backend()


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(5)
    return keras_blocks.ResNet(
        [{"filters": 8, "blocks": 1}, {"filters": 16, "blocks": 1}],
        "basic",
        stem="cifar",
        input_shape=(8, 8, 3),
        classes=3,
        preprocess=[keras.layers.Rescaling(1 / 255)],
        name="small",
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (32, 8, 8, 3)).astype("float32")


FORMATS = {"tensorflow": ["onnx", "litert", "openvino"], "torch": ["onnx", "openvino"], "jax": []}[BACKEND]
CHOSEN = FORMATS if run_all() else [format for format in FORMATS if BACKEND == "torch" and format == "onnx"]


@pytest.mark.filterwarnings("ignore")  # from inside of the converters
@pytest.mark.parametrize("format", CHOSEN)
def test_convolutions_are_int8_and_right(format, model, images, tmp_path):
    if format == "openvino" and importlib.util.find_spec("nncf") is None:
        pytest.skip("needs nncf")
    path = tmp_path / f"small{RUNTIMES[format].suffix}"
    labels = model.predict(images, verbose=0).argmax(axis=-1)
    done = keras_blocks.export(
        model, path, format, precision="int8", calibration=images, validation_data=(images, labels), max_drop=0.1
    )
    assert done.precision == "int8" and done.drop <= 0.1 and 0 < done.difference < 0.1
    assert len(done.layers) == 7  # six convolutions, one of them a shortcut's, and the scores
    assert sum(layer.precision == "int8" for layer in done.layers) >= 6
    assert all(0 < layer.error < 0.2 for layer in done.layers), done.table()
    assert len(done.table().splitlines()) == 7 + 4
    assert "int8 in" in str(done) and "accuracy lower by" in str(done)
    card = json.loads(path.with_name(path.name + ".json").read_text())
    assert card["precision"] == "int8" and len(card["layers"]) == 7
    assert not list(tmp_path.glob(".export*"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format", FORMATS if run_all() else [])
def test_layers_behind_a_concatenation_are_int8(format, images, tmp_path):
    if format == "openvino" and importlib.util.find_spec("nncf") is None:
        pytest.skip("needs nncf")
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [keras.Input((8, 8, 3)), keras_blocks.FireBlock(4), keras_blocks.FireBlock(4), keras_blocks.ClassifierHead(3)]
    )
    path = tmp_path / f"fire{RUNTIMES[format].suffix}"
    options = {"precision": "int8", "calibration": images / 255, "overwrite": True}
    done = keras_blocks.export(net, path, format, tolerance=0.5, **options)
    assert [layer.precision for layer in done.layers] == ["int8"] * 7, done.table()
    lower = 0.7 * done.difference
    done = keras_blocks.export(net, path, format, tolerance=lower, **options)
    left = [layer for layer in done.layers if layer.precision == "float32"]
    assert 0 < len(left) < 7 and done.difference <= lower, done.table()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(BACKEND != "tensorflow" or not run_all(), reason="from TensorFlow; takes long: in `make test-all`")
@pytest.mark.parametrize("inside", [False, True])
def test_litert_has_a_flip_and_a_subtraction_right(inside, images, tmp_path):
    """Of a flip in front of a subtraction TensorFlow's converter made other numbers: ImageNet's of Caffe's networks."""
    keras.utils.set_random_seed(0)
    image = x = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(3, 3, padding="same")(x) if inside else x
    x = keras.layers.Conv2D(8, 3, padding="same")(keras.ops.flip(x, axis=-1) - np.array([104, 117, 124], "float32"))
    net = keras.Model(image, keras.layers.Conv2D(4, 1, name="last")(x))
    path = tmp_path / "flip.tflite"
    done = keras_blocks.export(net, path, "litert", precision="int8", calibration=images, tolerance=1.0)
    assert done.difference < 0.1
    assert all(0 < layer.error < 0.1 for layer in done.layers), done.table()  # the last one's output is the file's


@pytest.mark.once
@pytest.mark.filterwarnings("ignore")
def test_what_is_before_and_behind_all_layers_stays_in_float(images, tmp_path):
    import onnx

    order = "channels_first" if BACKEND == "torch" else "channels_last"  # of which PyTorch's files move the axes
    images = images if BACKEND != "torch" else images.transpose(0, 3, 1, 2)

    def conv():
        return keras.layers.Conv2D(4, 3, activation="relu", data_format=order)

    rescaling = keras.layers.Rescaling
    net = keras.Sequential(
        [keras.Input(images.shape[1:]), rescaling(1 / 127.5, -1), conv(), rescaling(2), conv(), rescaling(3)]
    )
    keras_blocks.export(net, tmp_path / "x.onnx", precision="int8", calibration=images, tolerance=0.2)
    graph = onnx.load(tmp_path / "x.onnx").graph
    kinds = [node.op_type for node in graph.node]
    takers = [node.op_type for node in graph.node if graph.input[0].name in node.input]
    makers = [node.op_type for node in graph.node if graph.output[0].name in node.output]
    assert "QuantizeLinear" not in takers and "DequantizeLinear" not in makers
    assert kinds.count("QuantizeLinear") == 4  # of each layer's input and output; of the first's, scaled, one more
    assert "Relu" not in kinds  # they are what rounding to numbers from 0 does


@pytest.mark.once
@pytest.mark.filterwarnings("ignore")
def test_the_largest_scores_are_not_cut(tmp_path):
    """Of images of different contrast the means of extremes cut the largest scores, which became equal."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    images = (random.normal(size=(32, 8, 8, 3)) * random.lognormal(size=(32, 1, 1, 1))).astype("float32")
    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4),
        ]
    )
    path = tmp_path / "x.onnx"
    keras_blocks.export(net, path, precision="int8", calibration=images, tolerance=1.0)
    scores, found = net.predict(images, verbose=0), next(iter(run_onnx(str(path), images).values()))
    place = np.unravel_index(np.abs(scores).argmax(), scores.shape)
    assert found[place] == pytest.approx(scores[place], rel=0.01)


@pytest.mark.once
def test_batches_of_the_calibration_set_are_even(model, images, tmp_path):
    path = tmp_path / "x.onnx"
    keras_blocks.export(model, path, inputs=images[:2])
    reader = int8_onnx._Reader(str(path), Calibration(images[:17]))
    assert [len(next(iter(part.values()))) for part in iter(reader.get_next, None)] == [6, 6, 5]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(BACKEND != "tensorflow" or not run_all(), reason="from TensorFlow; takes long: in `make test-all`")
def test_litert_tells_that_a_transposed_convolution_is_int8(images, tmp_path):
    """Its first input is its output's size, of another type."""
    net = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.Conv2DTranspose(4, 3, strides=2)]
    )
    path = tmp_path / "x.tflite"
    done = keras_blocks.export(net, path, "litert", precision="int8", calibration=images, tolerance=1.0)
    assert [layer.precision for layer in done.layers] == ["int8", "int8"], done.table()


@pytest.mark.once
def test_litert_may_give_a_layer_another_name_in_int8(monkeypatch):
    arrays = {"float": {"a": np.ones(2), "b": np.ones(2)}, "int8": {"a": np.ones(2) * 1.5}}
    monkeypatch.setattr(int8_litert, "_inside", lambda path, inputs: int8_litert._Inside(arrays[path], set(), []))
    monkeypatch.setattr(int8_litert, "_writer", lambda *arguments: lambda path, left: None)
    layers, _ = int8_litert.quantize_litert(
        None, "float", "int8", Calibration(np.ones((2, 2))), Goal(lambda run: 0.0, 0.1, "")
    )
    assert [(layer.name, layer.error) for layer in layers] == [("a", 0.5), ("b", 0.0)]


@pytest.mark.once
def test_a_file_that_is_wrong_for_one_image_alone_is_not_written(model, images, tmp_path, monkeypatch):
    run = exporting._run

    def wrong(part, format, inputs):
        return keras.tree.map_structure(lambda each: each + (len(inputs) == 1), run(part, format, inputs))

    monkeypatch.setattr(exporting, "_check_size", lambda *arguments: None)
    monkeypatch.setattr(exporting, "_run", wrong)
    with pytest.raises(
        ValueError, match=r"file of 'small' .* gives an image alone outputs that differ by .* among 8; nothing"
    ):
        keras_blocks.export(
            model, tmp_path / "x.onnx", precision="int8", calibration=images, tolerance=1.0, inputs=images[:8]
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_an_output_for_all_images_together_is_no_one_images(model, images, monkeypatch):
    """Such as a loss, or a table of anchors: with one image alone they are others, or have no first axis."""
    given = [images[:8, 0, 0], np.array(8.0), np.zeros((3, 4))]
    monkeypatch.setattr(exporting, "_run", lambda *arguments: [images[:1, 0, 0], np.array(1.0), np.ones((3, 4))])
    exporting._check_alone(model, "x", "onnx", images[:8], given, 0.0)
    exporting._check_alone(model, "x", "onnx", images[:8], given[1:], 0.0)
    given[0] = given[0] * 2
    with pytest.raises(ValueError, match="gives an image alone outputs that differ"):
        exporting._check_alone(model, "x", "onnx", images[:8], given, 0.1)


@pytest.mark.once
def test_outputs_of_one_are_compared_with_those_among_others():
    together = np.array([[1.0, 2.0], [8.0, 4.0]])
    assert difference_of_first(together, together[:1]) == 0
    assert difference_of_first(together, together[:1] + 2) == pytest.approx(0.25, rel=1e-5)  # of the largest of all
    assert difference_of_first(together, together) == difference_of_first(together, together[0]) == np.inf


@pytest.mark.once
def test_operations_between_layers_are_told_from_the_others():
    """Two ways from an image, one of them without a layer, which meet in front of the last one."""
    calls = [
        ("scale", ["image"], ["a"]),
        ("conv", ["a", "kernel"], ["b"]),
        ("pool", ["a"], ["c"]),
        ("add", ["b", "c"], ["d"]),
        ("dense", ["d"], ["e"]),
        ("softmax", ["e"], ["scores"]),
        ("argmax", ["scores"], ["class"]),
    ]
    assert outside(calls, ["conv", "dense"]) == ["scale", "pool", "softmax", "argmax"]
    assert outside(calls[:2], ["conv"]) == ["scale"]


@pytest.mark.once
def test_the_worst_layers_are_left_until_it_holds(model, images, tmp_path):
    """A tolerance that no whole file in int8 keeps leaves some in float; one that rounding breaks is refused."""
    first = keras_blocks.export(
        model, tmp_path / "a.onnx", precision="int8", calibration=images, tolerance=1.0, inputs=images[:8]
    )
    less = first.difference * 0.9
    try:
        done = keras_blocks.export(
            model, tmp_path / "b.onnx", precision="int8", calibration=images, tolerance=less, inputs=images[:8]
        )
    except ValueError as error:
        assert "outputs that differ by" in str(error)
        assert not (tmp_path / "b.onnx").exists()
    else:
        assert done.difference <= less
        assert {layer.precision for layer in done.layers} == {"int8", "float32"}


@pytest.mark.once
def test_twice_as_many_are_left_each_time():
    tried = []

    def write(left):
        tried.append(list(left))
        return 0.5 + 0.1 * len(left)

    left, score = until_it_holds(write, lambda: list("dacb"), lambda score: score < 0.65)
    assert tried == [[], ["d"], ["d", "a"]] and left == ["d", "a"] and score == 0.7
    never, score = until_it_holds(write, lambda: list("dacb"), lambda score: True)
    assert len(never) == 3 and score < 2.0  # one is in int8 at least
    assert until_it_holds(write, lambda: pytest.fail("not asked"), lambda score: False)[0] == []


@pytest.mark.once
def test_layers_are_ranked_by_what_each_alone_changes():
    costs, now = {"a": 0.1, "b": 0.7, "c": 0.3}, {}

    def write(left):
        now["change"] = sum(cost for name, cost in costs.items() if name not in left)

    order = worst_first(list(costs), write, lambda inputs: [inputs * (1 + now["change"])], [np.ones(4)], np.ones(4))
    assert order == ["b", "c", "a"]


@pytest.mark.once
def test_an_accuracy_is_over_all_batches():
    images, labels = np.arange(70.0)[:, None], np.arange(70) % 2

    def run(part):
        return {"scores": np.stack([part[:, 0] % 2 == 0, part[:, 0] % 2 == 1], axis=1).astype("float32")}

    assert accuracy(run, images, labels) == 1.0
    assert accuracy(run, images, 1 - labels) == 0.0
    with pytest.raises(ValueError, match="`validation_data` is for classifiers"):
        accuracy(lambda part: [part, part], images, labels)
    assert relative(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == pytest.approx(0.1)
    assert relative(np.zeros(2), np.zeros(2)) == 0.0


@pytest.mark.once
def test_a_goal_that_is_not_reached_leaves_nothing(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_as_float", lambda *arguments: (("",), 0.0))
    monkeypatch.setattr(exporting, "_check_size", lambda *arguments: None)
    monkeypatch.setattr(exporting.os, "replace", lambda *paths: None)
    monkeypatch.setattr(exporting, "quantize_onnx", lambda *arguments: ([], 0.25))
    with pytest.raises(ValueError, match=r"outputs that differ by 0\.2500, more than 0\.1, with its worst layers"):
        keras_blocks.export(
            model, tmp_path / "x.onnx", precision="int8", calibration=images, tolerance=0.1, inputs=images[:2]
        )
    assert not list(tmp_path.iterdir())


IMAGES = np.zeros((2, 8, 8, 3), "float32")


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"precision": "int4"}, ValueError, "`precision` must be one of"),
        ({"calibration": None}, ValueError, "needs `calibration`"),
        ({"calibration": IMAGES[:0]}, ValueError, r"one or more.*received the shape \(0, 8, 8, 3\)"),
        ({"calibration": IMAGES[:, :4]}, ValueError, r"inputs of the shape \(None, 8, 8, 3\)"),
        ({"calibration": [IMAGES, IMAGES]}, ValueError, "structure of the model's inputs"),
        ({"tolerance": None}, ValueError, "needs one goal.*received neither"),
        ({"validation_data": (IMAGES, [0, 1])}, ValueError, "needs one goal.*received both"),
        ({"tolerance": None, "validation_data": IMAGES}, TypeError, r"must be \(inputs, labels\)"),
        ({"tolerance": None, "validation_data": (IMAGES, [0])}, ValueError, "a whole number for each"),
        ({"tolerance": None, "validation_data": (IMAGES, [0.0, 1.0])}, ValueError, "a whole number for each"),
        ({"tolerance": None, "validation_data": (IMAGES, [0, 1]), "max_drop": -1}, ValueError, "`max_drop`"),
        ({"format": "saved_model", "path": "x"}, ValueError, "`precision='int8'` is for the formats"),
        ({"format": "litert", "path": "x.tflite"}, ValueError, r"is written by the backends \['tensorflow'\]"),
        ({"precision": "float32"}, ValueError, "are for `precision='int8'`"),
        ({"precision": "float32", "calibration": None, "max_drop": 0.1}, ValueError, "are for `precision='int8'`"),
        ({"max_drop": 0.1}, ValueError, "`max_drop` is of the accuracy.*with a `tolerance`"),
    ],
)
def test_bad_arguments(arguments, error, message, model, tmp_path):
    if arguments.get("format") == "litert" and BACKEND == "tensorflow":
        pytest.skip("is written here")
    given = {"path": "x.onnx", "precision": "int8", "calibration": IMAGES, "tolerance": 0.5, **arguments}
    with pytest.raises(error, match=message):
        keras_blocks.export(model, tmp_path / given.pop("path"), **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_a_goal_of_outputs():
    goal = goal_of(None, None, 0.2, lambda run: 0.3)
    assert goal == Goal(goal.score, 0.2, "outputs that differ by") and goal.score(None) == -0.3


@pytest.mark.once
def test_a_point_is_a_point():
    """0.356 - 0.346 is more than 0.01 in binary: such a file was refused."""
    goal = Goal(lambda run: 0.0, 0.01, "an accuracy lower by")
    assert not goal.misses(178 / 500 - 173 / 500) and goal.misses(178 / 500 - 172 / 500) and goal.misses(float("nan"))


def attending(tensor):
    return keras.layers.MultiHeadAttention(2, 3, name="attention")(tensor, tensor)


SCORES = {
    "alone": lambda: keras.layers.Dense(4, name="scores"),
    "wrapped": lambda: keras.layers.TimeDistributed(keras.layers.Dense(4, name="scores")),
    "in a model": lambda: keras.Sequential([keras.layers.Dense(4, name="scores")]),
    "in a wrapped model": lambda: keras.layers.TimeDistributed(
        keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="scores")])
    ),
    "attention": lambda: attending,
}


@pytest.mark.once
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("place", SCORES)
@pytest.mark.filterwarnings("ignore:.*quantiz")  # Keras warns of each layer that it leaves as it is
def test_what_keras_has_quantized_is_deployed_and_not_quantized_again(place, policy, tmp_path):
    if keras.backend.backend() not in WRITTEN_BY["onnx"]:
        pytest.skip("another backend writes it")
    keras.config.set_dtype_policy(policy)
    inputs = keras.Input((6, 8))
    model = keras.Model(inputs, SCORES[place]()(inputs))
    model.quantize("int8")
    given = np.random.default_rng(0).normal(size=(3, 6, 8)).astype("float32")
    count, name = (4, "attention_output") if place == "attention" else (1, "scores")
    with pytest.raises(ValueError, match=rf"`model` must not be.*{count} layers.*'{name}'.*precision='int8'"):
        keras_blocks.export(model, tmp_path / "x.onnx", precision="int8", calibration=given, tolerance=0.1)
    wanted, found, wide = (
        np.asarray(made.predict(given, verbose=0), "float32")
        for made in (model, keras_blocks.deploy(model), in_float32(keras_blocks.deploy(model)))
    )
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(wide, wanted, rtol=0, atol=0.05 * np.abs(wanted).max())  # bfloat16 has 8 bits
