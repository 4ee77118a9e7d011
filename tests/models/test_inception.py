"""Inception networks: outputs equal to torchvision's and keras.applications', and auxiliary classifiers."""

import golden_weights
import keras
import numpy as np
import pytest
from calling import EAGERLY, JIT, call, outputs_of
from golden_networks import assert_close, golden_model
from thorough import run_alike, run_all

import keras_blocks
from keras_blocks import Inception
from keras_blocks.models.inception_variants import GOOGLENET_GROUPS
from keras_blocks.weights.convert import named_weights

ROW = (2, 2, 3, 2, 3, 2)
TINY = {
    "groups": [
        {"block": "v1", "filters": [ROW, ROW], "auxiliary": [1]},
        {"block": "v1", "filters": [ROW, ROW], "reduction": {"kind": "max_pool"}, "auxiliary": [1]},
    ],
    "stem": [{"layer": "conv", "filters": 4}],
    "auxiliary_classifier": {"pooling": "adaptive", "width": 2, "hidden": 6, "dropout": 0.0},
    "activation": "elu",  # no unit is dead
    "input_shape": (16, 16, 3),
    "classes": 3,
}
LOSS = "sparse_categorical_crossentropy"

once = pytest.mark.skipif(not run_alike(), reason="the graph is the same on every backend")


def as_array(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


@pytest.fixture
def data(rng):
    return rng.normal(size=(12, 16, 16, 3)).astype("float32"), np.arange(12) % 3


# -- against torchvision --------------------------------------------------------------------------------------------

# golden file: variant, the names of its outputs there
GOLDENS = {
    "googlenet_aux": ("googlenet_torchvision", {"predictions": "logits", "aux_1": "aux1", "aux_2": "aux2"}),
    "inception_v3_aux": ("inception_v3_torchvision", {"predictions": "logits", "aux_1": "AuxLogits"}),
}


@pytest.mark.parametrize("name", GOLDENS if run_all() or not JIT else ["googlenet_aux"])  # XLA compiles
def test_same_outputs_as_torchvision_auxiliaries_included(name, record_property):
    golden, (variant, outputs) = golden_weights.load("torchvision", name), GOLDENS[name]
    model = golden_model(golden, variant, auxiliary=True)
    found = call(model, golden_weights.images(golden["images"]))
    assert set(found) == set(outputs) == set(model.output)
    for ours, theirs in outputs.items():
        expected = np.array(golden["outputs"][theirs], "float32")
        apart = np.abs(expected[0] - expected[1]).max() / np.abs(expected).max()
        assert apart > 5e-3, "outputs that hardly depend on the image would hide an error of 1e-4"
        assert_close(as_array(found[ours]), expected, record_property)


@once
def test_the_source_may_have_auxiliary_classifiers_that_the_model_lacks(record_property):
    """torchvision publishes GoogLeNet's weights with them, and drops them after loading."""
    golden = golden_weights.load("torchvision", "googlenet_aux")
    model = golden_model(golden, "googlenet_torchvision")
    found = as_array(model(golden_weights.images(golden["images"])))
    assert_close(found, np.array(golden["outputs"]["logits"], "float32"), record_property)


@once
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("googlenet", {"groups": [{**group, "kernel_size": 3} for group in GOOGLENET_GROUPS]}),  # a last pooling of 3x3
        ("inception_v3_aux", {"count_include_pad": False}),
        *([("inception_v3_aux", {"batch_norm": {"epsilon": 1e-5}})] if run_all() else []),
    ],
)
def test_parity_depends_on_each_detail(name, wrong):
    golden = golden_weights.load("torchvision", name)
    variant = "googlenet_torchvision" if name == "googlenet" else "inception_v3_torchvision"
    found = as_array(golden_model(golden, variant, **wrong)(golden_weights.images(golden["images"])))
    expected = np.array(golden["outputs"]["logits"], "float32")
    assert np.abs(found - expected).max() > 3e-4 * np.abs(expected).max()


# -- against keras.applications -------------------------------------------------------------------------------------


@once
def test_imagenets_weights_leave_auxiliary_classifiers_as_they_are(monkeypatch):
    """keras.applications publishes none of theirs."""
    theirs = keras.applications.InceptionV3(weights=None, input_shape=(75, 75, 3))
    monkeypatch.setattr(keras.applications, "InceptionV3", lambda **ignored: theirs)
    ours = keras_blocks.create_model("inception_v3", weights="imagenet", auxiliary=True)
    first = next(weight for weight in theirs.weights if weight.name == "kernel")
    np.testing.assert_array_equal(as_array(named_weights(ours)["stem_conv1/conv/kernel"]), as_array(first))


# -- BN-Inception against PyTorch's layers --------------------------------------------------------------------------


def torch_bn_inception(torch):
    """BN-Inception of torch's modules, under Cadene's names, with the biases and the paddings of Caffe."""
    from torch.nn import functional

    class Net(torch.nn.Module):
        def conv(self, name, x, filters, kernel=1, stride=1):
            if not hasattr(self, name):
                setattr(self, name, torch.nn.Conv2d(x.shape[1], filters, kernel, stride, padding=kernel // 2))
                setattr(self, f"{name}_bn", torch.nn.BatchNorm2d(filters, eps=1e-5))
            return torch.relu(getattr(self, f"{name}_bn")(getattr(self, name)(x)))

        def block(self, name, x, one, reduce, three, double_reduce, double, project, pool="avg", stride=1):
            name = f"inception_{name}"
            parts = [self.conv(f"{name}_1x1", x, one)] if one else []
            narrow = self.conv(f"{name}_3x3_reduce", x, reduce)
            parts.append(self.conv(f"{name}_3x3", narrow, three, 3, stride))
            y = self.conv(f"{name}_double_3x3_reduce", x, double_reduce)
            y = self.conv(f"{name}_double_3x3_1", y, double, 3)
            parts.append(self.conv(f"{name}_double_3x3_2", y, double, 3, stride))
            if stride == 2:
                return torch.cat([*parts, functional.max_pool2d(x, 3, 2, ceil_mode=True)], 1)
            pooled = functional.avg_pool2d(x, 3, 1, 1) if pool == "avg" else functional.max_pool2d(x, 3, 1, 1)
            return torch.cat([*parts, self.conv(f"{name}_pool_proj", pooled, project)], 1)

        def forward(self, x):
            x = self.conv("conv1_7x7_s2", x, 64, 7, 2)
            x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
            x = self.conv("conv2_3x3", self.conv("conv2_3x3_reduce", x, 64), 192, 3)
            x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
            x = self.block("3a", x, 64, 64, 64, 64, 96, 32)
            x = self.block("3b", x, 64, 64, 96, 64, 96, 64)
            x = self.block("3c", x, 0, 128, 160, 64, 96, 0, stride=2)
            x = self.block("4a", x, 224, 64, 96, 96, 128, 128)
            x = self.block("4b", x, 192, 96, 128, 96, 128, 128)
            x = self.block("4c", x, 160, 128, 160, 128, 160, 128)
            x = self.block("4d", x, 96, 128, 192, 160, 192, 128)
            x = self.block("4e", x, 0, 128, 192, 192, 256, 0, stride=2)
            x = self.block("5a", x, 352, 192, 320, 160, 224, 128)
            x = self.block("5b", x, 352, 192, 320, 192, 224, 128, pool="max").mean((2, 3))
            if not hasattr(self, "last_linear"):
                self.last_linear = torch.nn.Linear(1024, 5)
            return self.last_linear(x)

    return Net().eval()


@once
def test_bn_inception_equals_its_layers_in_torch(record_property):
    """Cadene's names, and biases that fold into BatchNormalization."""
    torch = pytest.importorskip("torch", reason="the reference is built of PyTorch's layers")
    torch.manual_seed(0)
    net, images = torch_bn_inception(torch).to("cpu"), torch.randn(2, 3, 64, 64, device="cpu")
    with torch.no_grad(), torch.device("cpu"):
        net(images)
        net.eval()
        for name, value in net.state_dict().items():
            value.copy_(torch.from_numpy(golden_weights.weight(name, tuple(value.shape))))
        expected = net(images).numpy()
    model = keras_blocks.create_model(
        "inception_v2", input_shape=(64, 64, 3), classes=5, classifier_activation=None, kernel_initializer="zeros"
    )
    keras_blocks.convert_weights({name: value.numpy() for name, value in net.state_dict().items()}, model)
    found = model.predict(images.numpy().transpose(0, 2, 3, 1), verbose=0)
    assert np.abs(expected[0] - expected[1]).max() > 5e-3 * np.abs(expected).max()
    assert_close(found, expected, record_property)


# -- auxiliary classifiers ------------------------------------------------------------------------------------------


def test_outputs_are_a_dict_only_with_auxiliaries():
    model = Inception(auxiliary=True, **TINY)
    assert list(model.output) == ["predictions", "aux_1", "aux_2"]
    assert [tensor.shape for tensor in model.output.values()] == [(None, 3)] * 3
    assert list(model.side_outputs) == ["aux_1", "aux_2"]
    assert Inception(**TINY).output_shape == (None, 3)
    assert Inception(auxiliary=True, include_top=False, **TINY).output_shape == (None, 8, 8, 10)


@pytest.mark.parametrize(("variant", "weight"), [("googlenet", 0.3), ("inception_v3", 0.4)])
def test_auxiliary_losses_weigh_what_the_papers_say(variant, weight):
    model = Inception(**{**TINY, "auxiliary": True, "auxiliary_weight": 0.9})
    model.compile("sgd", LOSS)
    assert model.get_compile_config()["loss_weights"] == {"predictions": 1.0, "aux_1": 0.9, "aux_2": 0.9}
    published = Inception.outline(**Inception.variants[variant], auxiliary=True).metaparameters
    assert published.auxiliary_weight == weight


WEIGHTS = [None, 0.25, {"predictions": 0.5, "aux_1": 2.0, "aux_2": 0.0}]


@pytest.mark.twice
@pytest.mark.parametrize("loss_weights", WEIGHTS if run_alike() else WEIGHTS[1:2])
def test_plain_compile_and_fit(data, loss_weights):
    """One loss, one list of metrics, one array of labels; the total is the weighted sum of the parts."""
    images, labels = data
    model = Inception(auxiliary=True, **TINY)
    model.compile(
        "adam",
        LOSS,
        loss_weights=loss_weights,
        metrics=["accuracy"],
        weighted_metrics=[LOSS],
        jit_compile=JIT,
        run_eagerly=EAGERLY,
    )
    weights = np.linspace(0.5, 1.5, len(images)).astype("float32")
    history = model.fit(images, labels, batch_size=6, sample_weight=weights, validation_data=data, verbose=0).history
    assert "predictions_accuracy" in history and "val_aux_2_loss" in history and "aux_1_accuracy" not in history
    found = model.evaluate(images, labels, verbose=0, return_dict=True)
    weigh = loss_weights if isinstance(loss_weights, dict) else {"predictions": 1.0}
    auxiliary = 0.3 if loss_weights is None else loss_weights
    weigh = {name: weigh.get(name, auxiliary) for name in model.output}
    parts = sum(weigh[name] * found[f"{name}_loss"] for name in weigh)
    assert found["loss"] == pytest.approx(parts, rel=1e-5)
    scores = model.predict(images, verbose=0)["predictions"]
    assert found["predictions_accuracy"] == pytest.approx((scores.argmax(1) == labels).mean())
    assert found["predictions_loss"] == pytest.approx(-np.log(scores[np.arange(12), labels]).mean(), rel=1e-4)


def test_labels_and_losses_may_be_given_for_each_output(data):
    images, labels = data
    model = Inception(auxiliary=True, **TINY)
    model.compile(
        "sgd", {"predictions": LOSS, "aux_1": LOSS}, metrics={"aux_1": "accuracy"}, jit_compile=JIT, run_eagerly=EAGERLY
    )
    found = model.evaluate(images, dict.fromkeys(model.output, labels), verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(found["predictions_loss"] + 0.3 * found["aux_1_loss"], rel=1e-5)
    assert "aux_1_accuracy" in found
    with pytest.raises(ValueError, match=r"`loss` must be.*aux_2"):
        model.compile("sgd", [LOSS, LOSS, LOSS])


BEFORE_AUX_1 = ("stem_", "group1_block1", "aux_1")
BEFORE_AUX_2 = ("stem_", "group1", "group2_reduction", "group2_block1", "aux_2")
OUTPUTS = {"aux_1": BEFORE_AUX_1, "aux_2": BEFORE_AUX_2, "predictions": ("stem_", "group", "head")}


@pytest.mark.parametrize("output", OUTPUTS if run_alike() else ["aux_1"])
def test_a_loss_reaches_the_layers_before_it_and_no_others(output, data):
    """A step by gradient descent moves every weight that has a gradient, and only those."""
    model = Inception(auxiliary=True, **TINY)
    weights = {name: float(name == output) for name in model.output}
    model.compile(keras.optimizers.SGD(1.0), LOSS, loss_weights=weights, jit_compile=JIT, run_eagerly=EAGERLY)
    before = {name: as_array(weight) for name, weight in named_weights(model).items()}
    model.train_on_batch(*data)
    moved = {name for name, weight in named_weights(model).items() if np.any(as_array(weight) != before[name])}
    assert moved == {name for name in before if name.startswith(OUTPUTS[output])}


@once
def test_auxiliaries_leave_and_share_the_weights(data):
    images, labels = data
    model = Inception(auxiliary=True, preprocess=keras.layers.Rescaling(0.5), **TINY)
    model.compile("adam", LOSS, metrics=["accuracy"], jit_compile=JIT, run_eagerly=EAGERLY)
    main = model.without_auxiliary()
    model.train_on_batch(images, labels)
    assert type(main) is Inception and main.without_auxiliary() is main
    assert main.output_shape == (None, 3) and not any("aux" in layer.name for layer in main.layers)
    ids = {id(weight) for weight in model.weights}
    assert all(id(weight) in ids for weight in main.weights)
    assert main.count_params() == Inception(**TINY).count_params() == keras_blocks.cost(Inception, **TINY).params
    np.testing.assert_array_equal(main.predict(images, verbose=0), model.predict(images, verbose=0)["predictions"])
    together = model.evaluate(images, labels, verbose=0, return_dict=True)
    alone = main.evaluate(images, labels, verbose=0, return_dict=True)  # compiled as the model was
    assert alone["accuracy"] == together["predictions_accuracy"]
    assert alone["loss"] == pytest.approx(together["predictions_loss"], rel=1e-5)
    assert list(main.features) == list(model.features)
    main.freeze(up_to="group1")
    assert not model.get_layer("group1_block1").trainable


@pytest.mark.once
def test_files_remember(data, tmp_path):
    images, labels = data
    model = Inception(auxiliary=True, **TINY)
    model.get_layer("stem_conv1").trainable = False
    model.compile("adam", LOSS, loss_weights=0.7, metrics=["accuracy"], jit_compile=JIT, run_eagerly=EAGERLY)
    model.fit(images, labels, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.evaluate(images, labels, verbose=0, return_dict=True) == pytest.approx(
        model.evaluate(images, labels, verbose=0, return_dict=True)
    )
    assert again.get_compile_config()["loss_weights"] == {"predictions": 1.0, "aux_1": 0.7, "aux_2": 0.7}
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations) == 1
    again.fit(images, labels, verbose=0)
    main = model.without_auxiliary()
    main.save(tmp_path / "main.keras")
    served = keras.saving.load_model(tmp_path / "main.keras")
    assert served.output_shape == (None, 3) and not served.get_layer("stem_conv1").trainable
    np.testing.assert_array_equal(outputs_of(served, images), outputs_of(main, images))


def test_expand_and_cost_know_all_outputs(data):
    model = Inception(auxiliary=True, **TINY)
    flat = model.expand()
    expected = call(model, data[0])
    for name, found in call(flat, data[0]).items():
        np.testing.assert_array_equal(as_array(found), as_array(expected[name]))
    counted = keras_blocks.cost(Inception, auxiliary=True, **TINY)
    assert counted == keras_blocks.cost(model) == keras_blocks.cost(flat)
    assert counted.params == model.count_params() > Inception(**TINY).count_params()


def test_mixed_precision_gives_float32_probabilities():
    model = Inception(auxiliary=True, dtype="mixed_bfloat16", **TINY)
    assert {tensor.dtype for tensor in model.output.values()} == {"float32"}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModel is TensorFlow's format")
def test_export_needs_no_thought(data, tmp_path):
    import tensorflow as tf

    model = Inception(auxiliary=True, **TINY)
    model.without_auxiliary().export(tmp_path / "main", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "main"))
    np.testing.assert_allclose(
        served.serve(data[0]).numpy(), model.predict(data[0], verbose=0)["predictions"], atol=1e-6
    )


@once
@pytest.mark.parametrize("variant", ["googlenet_cifar", "inception_v3_cifar"])
def test_small_forms_see_maps_that_their_blocks_fit(variant):
    """Three sizes of groups, none smaller than 4 pixels, and auxiliaries after the papers' blocks."""
    outline = Inception.outline(**Inception.variants[variant])
    inputs = keras.Input((32, 32, 3))
    outline.classifier(outline.learner(outline.stem(inputs)))
    assert [tensor.shape[1] for tensor in outline.features.values()] == [16, 16, 8, 4]
    published = Inception.variants["googlenet" if "googlenet" in variant else "inception_v3"]
    ours = outline.metaparameters.groups
    assert [group.auxiliary for group in ours] == [tuple(group.get("auxiliary", ())) for group in published["groups"]]
