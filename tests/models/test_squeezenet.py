"""SqueezeNet against its paper and against torch, and what all architectures share."""

import keras
import numpy as np
import pytest
from calling import outputs_of
from thorough import run_alike

import keras_blocks


@pytest.mark.parametrize(("variant", "size"), [("squeezenet_1.1", 100)] + [("squeezenet_1.0", 112)] * run_alike())
def test_equals_torch_modules(variant, size):
    """The same network of torch's own modules, with ceil_mode poolings, gives the same outputs."""
    torch = pytest.importorskip("torch", reason="the reference is built of torch's modules")
    options = {"classes": 20, "classifier_activation": None, "kernel_initializer": "he_normal"}
    ours = keras_blocks.create_model(variant, input_shape=(size, size, 3), **options)
    theirs = torch_squeezenet(torch, ours)
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype("float32")
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).cpu()).numpy()
    outputs = outputs_of(ours, images)
    assert expected.std() > 0.01
    np.testing.assert_allclose(outputs, expected, atol=1e-4 * np.abs(expected).max())


def torch_squeezenet(torch, model):
    """Built from the variant's own numbers, with the weights of `model`."""
    nn = torch.nn

    def conv(layer, **options):
        kernel, bias = (torch.from_numpy(np.array(value)) for value in layer.get_weights())
        module = nn.Conv2d(kernel.shape[2], kernel.shape[3], tuple(kernel.shape[:2]), **options)
        with torch.no_grad():
            module.weight.copy_(kernel.permute(3, 2, 0, 1))
            module.bias.copy_(bias)
        return nn.Sequential(module, nn.ReLU())

    class Fire(nn.Module):
        def __init__(self, block):
            super().__init__()
            self.squeeze = conv(block.squeeze)
            self.narrow, self.wide = conv(block.expand_1x1), conv(block.expand_3x3, padding=1)

        def forward(self, x):
            x = self.squeeze(x)
            return torch.cat([self.narrow(x), self.wide(x)], 1)

    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    modules = [conv(model.get_layer("stem_conv").conv, stride=2), pool()]
    for i, group in enumerate(model.metaparameters.groups, start=1):
        modules += [pool()] if i > 1 else []
        modules += [Fire(model.get_layer(f"group{i}_block{j + 1}")) for j in range(len(group["filters"]))]
    modules += [conv(model.get_layer("classifier_conv").conv), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*modules).eval().cpu()


# -- metaparameters -------------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    ("bypass", "added", "projected"),
    [(None, [], []), ("simple", [3, 5, 7, 9], []), ("complex", [2, 3, 4, 5, 6, 7, 8, 9], [2, 4, 6, 8])],
)
def test_bypasses_stand_where_the_papers_figure_2_has_them(bypass, added, projected):
    variant = {None: "squeezenet_1.0"}.get(bypass, f"squeezenet_1.0_{bypass}_bypass")
    model = keras_blocks.create_model(variant)
    fires = [layer for layer in model.layers if isinstance(layer, keras_blocks.FireBlock)]
    assert [number for number, fire in enumerate(fires, start=2) if hasattr(fire, "add")] == added
    assert [number for number, fire in enumerate(fires, start=2) if hasattr(fire, "bypass_conv")] == projected


@pytest.mark.once
@pytest.mark.parametrize(
    ("stem", "size", "last"), [("tiny", 8, 2), ("small", 28, 3), ("small", 64, 8), ("v1.1", 224, 13), ("v1.0", 224, 13)]
)
def test_stems_leave_an_image_worth_pooling(stem, size, last):
    """Counted by hand: a pooling takes n to ceil((n - 3) / 2) + 1."""
    model = keras_blocks.create_model("squeezenet_1.1", stem=stem, input_shape=(size, size, 1), include_top=False)
    assert model.output_shape[1:] == (last, last, 512)


@pytest.mark.once
def test_features_are_the_stem_and_each_group():
    model = keras_blocks.create_model("squeezenet_1.1")
    assert {name: tensor.shape[1:] for name, tensor in model.features.items()} == {
        "stem": (55, 55, 64),
        "group1": (55, 55, 128),
        "group2": (27, 27, 256),
        "group3": (13, 13, 512),
    }
    taps = keras.Model(model.input, model.features)
    assert taps.count_params() == model.count_params() - 513_000


@pytest.mark.once
def test_metaparameters_are_neither_shared_nor_changed():
    groups = [{"filters": [4, 4]}]
    options = {"stem": "tiny", "input_shape": (8, 8, 1), "classes": 3}
    one = keras_blocks.SqueezeNet(groups=groups, **options)
    groups[0]["filters"].append(8)
    assert one.metaparameters.groups == ({"filters": (4, 4)},)
    with pytest.raises(TypeError, match="cannot be changed"):
        one.metaparameters.groups = ()
    assert one.get_config()["groups"] == [{"filters": [4, 4]}]


@pytest.mark.once
def test_a_part_can_be_overridden():
    class Wide(keras_blocks.SqueezeNet):
        def stem(self, x):
            return self.feature("stem", keras.layers.Conv2D(12, 5, padding="same")(x))

    model = Wide(groups=[{"filters": [4]}], input_shape=(8, 8, 1), classes=3)
    assert model.features["stem"].shape == (None, 8, 8, 12)
    assert model.output_shape == (None, 3)


@pytest.mark.once
def test_seeded_initializer_gives_every_kernel_its_own_draw():
    model = keras_blocks.create_model("squeezenet_1.1", kernel_initializer=keras.initializers.HeNormal(seed=3))
    kernels = [weight.numpy() for weight in model.weights if weight.name == "kernel"]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels) == 26


@keras.saving.register_keras_serializable(package="test_squeezenet")
class WithExtra(keras_blocks.SqueezeNet):
    """A user's subclass with an argument of its own."""

    def __init__(self, extra=3, **kwargs):
        super().__init__(**kwargs)
        self.extra = extra


@pytest.mark.once
def test_a_subclass_keeps_its_own_argument(tmp_path):
    options = {"groups": [{"filters": [4]}], "stem": "tiny", "input_shape": (8, 8, 1), "classes": 3}
    WithExtra(extra=7, **options).save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").extra == 7


class Twice(keras_blocks.SqueezeNet):
    """Calls one block twice, another with `training`, and holds a model."""

    def learner(self, x):
        block = keras_blocks.FireBlock(8, expand_ratio=4, name="twice")
        x = block(block(x), training=False)
        inner = keras.Sequential([keras_blocks.ConvBlock(4, name="inner")], name="nested")
        return inner(x)


@pytest.mark.once
def test_expand_opens_repeated_and_nested_blocks():
    model = Twice(stem="tiny", input_shape=(8, 8, 1), classes=3)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    flat = model.expand()
    assert not any(isinstance(layer, (keras_blocks.Block, keras.Sequential)) for layer in flat.layers)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(flat(images)), keras.ops.convert_to_numpy(model(images)))


@pytest.mark.once
def test_outline_can_be_shown():
    assert "SqueezeNet" in repr(keras_blocks.SqueezeNet.outline(classes=3))


@pytest.mark.once
def test_input_tensor_and_any_size():
    inputs = keras.Input((64, 64, 3))
    model = keras_blocks.create_model("squeezenet_1.1", input_tensor=inputs, classes=4)
    assert model.input is inputs
    behind = keras_blocks.create_model("squeezenet_1.1", input_shape=(None, None, 3), classes=4)
    assert behind.output_shape == (None, 4)
    assert behind(np.zeros((1, 70, 90, 3), "float32")).shape[1] == 4
    with pytest.raises(ValueError, match=r"call it: model\(tensor\)"):
        keras_blocks.create_model("squeezenet_1.1", input_tensor=keras.layers.ReLU()(inputs))


@pytest.mark.once
def test_preprocess_is_part_of_the_saved_file(tmp_path):
    options = {"groups": [{"filters": [4]}], "stem": "tiny", "input_shape": (8, 8, 1), "classes": 3}
    layers = [keras.layers.Rescaling(1 / 16), keras.layers.RandomFlip(seed=1)]
    model = keras_blocks.SqueezeNet(preprocess=layers, **options)
    images = np.random.default_rng(0).integers(0, 17, (2, 8, 8, 1)).astype("uint8")
    bare = keras_blocks.convert_weights(model, keras_blocks.SqueezeNet(**options))
    expected = keras.ops.convert_to_numpy(bare(images / np.float32(16)))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(images, verbose=0), expected, atol=1e-6)


@pytest.mark.once
def test_mixed_precision_gives_float32_probabilities():
    model = keras_blocks.create_model(
        "squeezenet_1.1", input_shape=(64, 64, 3), classes=4, dtype="mixed_bfloat16", stem="small"
    )
    assert model.output.dtype == "float32"
    assert model.get_layer("group1_block1").squeeze.compute_dtype == "bfloat16"


@pytest.mark.once
def test_channels_first_has_the_same_weights():
    first = keras_blocks.create_model("squeezenet_1.1", data_format="channels_first", classes=10)
    assert first.input_shape == (None, 3, 224, 224)
    assert first.features["group3"].shape == (None, 512, 13, 13)
    assert first.count_params() == keras_blocks.create_model("squeezenet_1.1", classes=10).count_params()
