"""Weights from elsewhere: the real SqueezeNets, and what does not fit."""

import keras
import numpy as np
import pytest
from thorough import run_alike

import keras_blocks
from keras_blocks.weights.convert import named_weights

PUBLISHED = {
    "squeezenet_1.0_caffe": "squeezenet_v1_0_deepcompressed_imagenet.npz",
    "squeezenet_1.1": "squeezenet_v1_1_imagenet.npz",
}
POOLED_AFTER = {"squeezenet_1.0_caffe": (4, 8), "squeezenet_1.1": (3, 5)}
SMALL = {"groups": [{"filters": [4, 4]}], "stem": "tiny", "input_shape": (8, 8, 1), "classes": 3}


def plain_squeezenet(variant, weights):
    """The network rebuilt from Keras' own layers and the file's own names; its output are logits."""

    def conv(x, name, **options):
        kernel = weights[f"{name}/kernel"]
        layer = keras.layers.Conv2D(kernel.shape[-1], kernel.shape[:2], activation="relu", **options)
        x = layer(x)
        layer.set_weights([kernel, weights[f"{name}/bias"]])
        return x

    def pool(x):
        # Rounding up: zeros lose or draw against what a ReLU gives.
        return keras.layers.MaxPooling2D(3, 2)(keras.layers.ZeroPadding2D(((0, 1), (0, 1)))(x))

    inputs = keras.Input((227, 227, 3))
    x = pool(conv(inputs, "conv1", strides=2))
    for number in range(2, 10):
        squeezed = conv(x, f"fire{number}/squeeze1x1")
        wide = [conv(squeezed, f"fire{number}/expand1x1"), conv(squeezed, f"fire{number}/expand3x3", padding="same")]
        x = keras.layers.Concatenate()(wide)
        if number in POOLED_AFTER[variant]:
            x = pool(x)
    if variant == "squeezenet_1.0_caffe":  # its deploy.prototxt: conv10 has pad: 1
        x = keras.layers.ZeroPadding2D()(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(conv(x, "conv10")))


@pytest.fixture(scope="module")
def photos(shared_data):
    """Six real photographs, 227x227, prepared as NOTICE says: BGR less the mean."""
    import io
    import zipfile

    from PIL import Image

    with zipfile.ZipFile(shared_data / "bccd" / "bccd_voc.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:6]
        images = [Image.open(io.BytesIO(archive.read(name))).resize((227, 227)) for name in names]
    rgb = np.stack([np.asarray(image, "float32") for image in images])
    return rgb[..., ::-1] - np.array([104, 117, 123], "float32")


@pytest.mark.parametrize("variant", PUBLISHED if run_alike() else ["squeezenet_1.1"])
def test_real_weights_give_the_outputs_of_plain_layers(variant, shared_data, photos):
    file = shared_data / "weights" / PUBLISHED[variant]
    ours = keras_blocks.create_model(variant, weights=file, input_shape=(227, 227, 3), classifier_activation=None)
    with np.load(file, allow_pickle=False) as weights:
        plain = plain_squeezenet(variant, weights)
    logits, expected = ours.predict(photos, verbose=0), plain.predict(photos, verbose=0)
    assert expected.std() > 0.5, "the logits say nothing"
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.once
def test_weights_of_a_variant_go_into_its_features(shared_data):
    file = shared_data / "weights" / PUBLISHED["squeezenet_1.1"]
    whole = keras_blocks.create_model("squeezenet_1.1", weights=file)
    features = keras_blocks.create_model("squeezenet_1.1", weights=file, include_top=False, pooling="avg")
    for name, weight in named_weights(features).items():
        np.testing.assert_array_equal(weight.numpy(), named_weights(whole)[name].numpy())


@pytest.mark.once
@pytest.mark.parametrize(
    "variant", ["squeezenet_1.0", "squeezenet_1.1", "vgg16", "resnet18", "resnet50_v1", "resnet50_v2", "densenet121"]
)
def test_every_layer_has_a_published_name(variant):
    model = keras_blocks.create_model(variant, kernel_initializer="zeros")
    layers = {name.rpartition("/")[0] for name in named_weights(model)}
    for convention, names in model.weight_names().items():
        assert layers <= set(names), f"{convention} has no name for {sorted(layers - set(names))[:3]}"
        theirs = [names[layer] for layer in layers]
        assert len(set(theirs)) == len(theirs)


def small(**options):
    return keras_blocks.SqueezeNet(**{**SMALL, **options})


def test_from_a_model_and_from_its_files(tmp_path):
    source = small(name="source")
    source.save(tmp_path / "model.keras")
    source.save_weights(tmp_path / "model.weights.h5")
    np.savez(tmp_path / "model.npz", **{name: weight.numpy() for name, weight in named_weights(source).items()})
    from keras_blocks.weights.pretrained import load_weights

    for fill in (
        lambda target: keras_blocks.convert_weights(source, target),
        lambda target: load_weights(target, tmp_path / "model.keras"),
        lambda target: load_weights(target, str(tmp_path / "model.weights.h5")),
        lambda target: load_weights(target, tmp_path / "model.npz"),
    ):
        target = small()
        fill(target)
        for one, other in zip(source.get_weights(), target.get_weights()):
            np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_arrays_may_have_the_paths_by_which_keras_calls_variables(tmp_path):
    source, target, backbone = small(), small(), small(include_top=False)
    arrays = {variable.path: keras.ops.convert_to_numpy(variable) for variable in source.weights}
    assert arrays.keys().isdisjoint(named_weights(source))
    np.savez(tmp_path / "paths.npz", **arrays)
    keras_blocks.convert_weights(tmp_path / "paths.npz", target)
    for one, other in zip(source.get_weights(), target.get_weights()):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="fits no weight"):
        keras_blocks.convert_weights({**arrays, "other/kernel": np.zeros(2)}, target)
    path, array = next(iter(arrays.items()))
    with pytest.raises(ValueError, match=f"Both '{path}' and 'stem_conv/conv/kernel' are the variable"):
        keras_blocks.convert_weights({**arrays, "stem_conv/conv/kernel": array + 1}, target)
    keras_blocks.convert_weights(arrays, backbone)
    for variable in backbone.weights:
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), arrays[variable.path])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda arrays: arrays.pop("group1_block1/squeeze/kernel"),
            "squeeze/kernel.* has no counterpart",
        ),
        (lambda arrays: arrays.update({"stem_conv/conv/bias": np.zeros(5)}), r"stem_conv/conv/bias.*\(64,\).*\(5,\)"),
        (lambda arrays: arrays.update({"extra/kernel": np.zeros((2, 3))}), r"extra/kernel.*\(2, 3\).*fits no weight"),
    ],
)
def test_a_mismatch_names_both_sides_and_changes_nothing(change, message):
    target = small()
    before = target.get_weights()
    arrays = {name: weight.numpy() + 1 for name, weight in named_weights(small()).items()}
    change(arrays)
    with pytest.raises(ValueError, match=message):
        keras_blocks.convert_weights(arrays, target)
    for one, other in zip(before, target.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_a_source_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="source"):
        keras_blocks.convert_weights([np.zeros(3)], small())


@pytest.mark.once
def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        keras_blocks.convert_weights(tmp_path / "bad.npz", small())


@pytest.mark.once
def test_a_file_that_would_fill_the_memory_is_refused_unread(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(2**24, "float32"))
    assert (tmp_path / "bomb.npz").stat().st_size < 2**17
    with pytest.raises(ValueError, match="unpacks to"):
        keras_blocks.convert_weights(tmp_path / "bomb.npz", small())


@pytest.mark.once
def test_the_body_of_ones_own_model_goes_into_a_backbone(tmp_path):
    whole = small()
    whole.save(tmp_path / "model.keras")
    from keras_blocks.weights.pretrained import load_weights

    backbone = small(include_top=False)
    load_weights(backbone, tmp_path / "model.keras")
    for name, weight in named_weights(backbone).items():
        np.testing.assert_array_equal(weight.numpy(), named_weights(whole)[name].numpy())


@pytest.mark.once
def test_weights_inside_models_and_composite_layers_have_names_of_their_own():
    inputs = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras_blocks.ConvBlock(3), keras_blocks.ConvBlock(4)], name="inner")
    x = keras.layers.Reshape((64, 4))(inner(inputs))
    model = keras.Model(inputs, keras.layers.MultiHeadAttention(2, 3)(x, x))
    assert len(named_weights(model)) == len(model.weights)


def test_adapted_preprocessing_comes_along():
    normalization = keras.layers.Normalization(axis=-1)
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (16, 8, 8, 1)).astype("float32"))
    source, target = small(preprocess=normalization), small(preprocess=keras.layers.Normalization(axis=-1))
    arrays = {
        name.replace(normalization.name, target.layers[1].name): weight.numpy()
        for name, weight in named_weights(source).items()
    }
    keras_blocks.convert_weights(arrays, target)
    images = np.random.default_rng(1).normal(3, 2, (2, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(target.predict(images, verbose=0), source.predict(images, verbose=0), rtol=1e-5)


@pytest.mark.once
def test_a_bias_after_its_normalization_is_not_folded():
    inputs = keras.Input((8, 8, 4))
    options = {"filters": 4, "pre_activation": True, "name": "block"}
    source = keras.Model(inputs, keras_blocks.ConvBlock(**options, use_bias=True)(inputs))
    target = keras.Model(inputs, keras_blocks.ConvBlock(**options, use_bias=False)(inputs))
    with pytest.raises(ValueError, match="block/conv/bias"):
        keras_blocks.convert_weights(source, target)


@pytest.mark.once
def test_squeeze_excitations_are_not_dropped():
    """Neither is a network without them filled with part of one that has them, nor the other way round."""
    options = {"groups": [{"filters": 16, "blocks": 1}], "stem": "cifar", "input_shape": (8, 8, 3), "classes": 3}
    plain, gated = keras_blocks.ResNet(**options), keras_blocks.ResNet(se_ratio=4, **options)
    with pytest.raises(ValueError, match=r"group1_block1/se/reduce/kernel.*fits no weight"):
        keras_blocks.convert_weights(gated, plain)
    with pytest.raises(ValueError, match=r"group1_block1/se/reduce/kernel.*has no counterpart"):
        keras_blocks.convert_weights(plain, gated)


def test_a_head_of_several_outputs_takes_weights():
    head = keras_blocks.MultiLabelHead([3, 2], names=["animal", "colour"])
    inputs = keras.Input((4, 4, 8))
    model = keras.Model(inputs, head(inputs))
    doubled = {name: 2 * weight.numpy() + 1 for name, weight in named_weights(model).items()}
    keras_blocks.convert_weights(doubled, model)
    for name, weight in named_weights(model).items():
        np.testing.assert_array_equal(weight.numpy(), doubled[name])


def test_names_that_keras_counts_are_those_of_keras():
    """Numbers follow the whole process, and words Keras' own rule: `conv2d_transpose`, `p_re_lu`."""

    def made():
        layers = keras.layers
        inputs = keras.Input((8, 8, 3))
        x = layers.PReLU()(layers.Conv2DTranspose(4, 3)(layers.Conv2D(4, 3)(inputs)))
        return keras.Model(inputs, layers.BatchNormalization()(layers.SeparableConv2D(4, 3)(x)))

    one, other = made(), made()
    keras_blocks.convert_weights(one, other)
    for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
