"""`grow`: a child computes what its parent does where it can, and says why where it cannot."""

import warnings

import keras
import numpy as np
import pytest
from checks import as_trained as trained
from thorough import run_all

import keras_blocks
from keras_blocks.grow.growing import difference, grown, told

once = pytest.mark.once
SMALL = {"input_shape": (8, 8, 3), "classes": 5, "classifier_activation": None}
CIFAR = {"stem": "cifar", **SMALL}
BRANCHES = [[{"filters": 4}], [{"filters": 2}, {"filters": 4, "kernel_size": 3}]]
WIDER = [[{"filters": 6}], [{"filters": 4}, {"filters": 6, "kernel_size": 5}]]


def groups(*filters, blocks=1):
    return [{"filters": width, "blocks": blocks} for width in filters]


def resnet(**options):
    return keras_blocks.ResNet(**{"groups": groups(4, 8), "block": "basic", **CIFAR, **options})


def resnext(**options):
    return keras_blocks.ResNeXt(**{"groups": groups(8, 16), "cardinality": 2, "base_width": 16, **CIFAR, **options})


def senet(**options):
    sizes = {"cardinality": 2, "base_width": 16, "se_ratio": 4, **SMALL, "input_shape": (32, 32, 3)}
    return keras_blocks.SENet(**{"groups": groups(8), **sizes, **options})


def regnet(**options):
    return keras_blocks.RegNet(8, 8.0, 2.0, 3, group_width=4, **{**SMALL, "input_shape": (16, 16, 3), **options})


def densenet(**options):
    sizes = {"groups": [{"layers": 2}, {"layers": 2}], "filters": 4, "stem_filters": 8}
    return keras_blocks.DenseNet(**{**sizes, **CIFAR, **options})


def vgg(**options):
    sizes = {"groups": [{"filters": 4, "layers": 1}, {"filters": 6, "layers": 1}], "hidden": (8,)}
    return keras_blocks.VGG(**{**sizes, **SMALL, **options})


def squeezenet(**options):
    sizes = {"groups": [{"filters": [2, 2]}, {"filters": [3]}], "stem": "tiny", **SMALL, "input_shape": (16, 16, 3)}
    return keras_blocks.SqueezeNet(**{**sizes, **options})


def inception_groups(*filters, kind="v1", **more):
    reduction = {"kind": "max_pool", "pool_size": 3}
    return [
        {"block": kind, "filters": [filters], **more},
        {"block": kind, "filters": [filters], "reduction": reduction, **more},
    ]


def inception(**options):
    stem = [{"layer": "conv", "filters": 4, "kernel_size": 3}]
    return keras_blocks.Inception(**{"groups": inception_groups(4, 4, 6, 2, 4, 2), "stem": stem, **SMALL, **options})


def inception_v4(filters=8, branches=BRANCHES, repeats=1, **options):
    return keras_blocks.InceptionV4(**module(filters, branches, repeats), **{**SMALL, **options})


def module(filters, branches, repeats):
    stem = [{"filters": filters, "kernel_size": 3, "strides": 2}]
    return {"stem": stem, "groups": [[{"branches": branches, "scale": 0.2, "repeats": repeats}]]}


def autoencoder(**options):
    sizes = {"groups": [{"filters": 4}, {"filters": 6}], "input_shape": (8, 8, 3)}
    return keras_blocks.AutoEncoder(**{**sizes, **options})


class Own(keras_blocks.Architecture):
    """A user's: blocks of several kinds, names that Keras gives, an addition of keras.ops."""

    def __init__(self, width=4, ratio=2, depth=1, size=3, **kwargs):
        super().__init__({"width": width, "ratio": ratio, "depth": depth, "size": size}, **kwargs)

    def stem(self, x):
        return keras.layers.Conv2D(self.metaparameters.width, 3, padding="same", activation="relu")(x)

    def learner(self, x):
        m = self.metaparameters
        for i in range(m.depth):
            options = {"expand_ratio": m.ratio, "kernel_size": m.size}
            x = self.layer(f"block{i}", keras_blocks.InvertedResidualBlock, filters=m.width, **options)(x)
        x = self.layer("fire", keras_blocks.FireBlock, filters=m.width)(x)
        y = keras.layers.Conv2D(8 * m.width, 3, padding="same")(x)
        return self.layer("xception", keras_blocks.XceptionBlock, filters=[2 * m.width] * 2)(x + y)

    def classifier(self, x):
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.layers.Dense(self.metaparameters.classes)(x)


def own(**options):
    return Own(**{**SMALL, **options})


def sequential():
    inverted = keras_blocks.InvertedResidualBlock
    return keras.Sequential(
        [
            keras.Input((9, 8, 3)),
            inverted(4, 2, name="a"),
            inverted(4, 2, name="b", strides=2),
            keras.layers.Conv2D(5, 3, activation="relu", name="c"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )


def functional():
    x = inputs = keras.Input((8, 8, 3))
    x = keras_blocks.ConvBlock(4, name="stem", batch_norm=True)(x)
    x = keras.layers.concatenate(
        [keras_blocks.FireBlock(2, name="left")(x), keras_blocks.FireBlock(2, name="right")(x)]
    )
    x = keras_blocks.ResidualBlock(4, "basic", name="residual", strides=2)(x)
    return keras.Model(inputs, keras_blocks.ClassifierHead(3, "flatten", hidden=(6,), name="head")(x))


def nested():
    net = resnet(include_top=False, name="net")
    return keras.Sequential([keras.Input((8, 8, 3)), net, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)])


SE = {"layer": "keras_blocks>SqueezeExciteBlock", "ratio": 2}
CBAM = {"layer": "keras_blocks>ConvolutionalBlockAttention", "ratio": 2}
EXACT = {
    "nothing": (resnet, {}),
    "deeper": (resnet, {"groups": groups(4, 8, blocks=2)}),
    "wider": (resnet, {"groups": groups(6, 12)}),
    "deeper v2": (lambda: resnet(version="v2"), {"groups": groups(6, 12, blocks=2)}),
    "bottlenecks": (lambda: resnet(block="bottleneck"), {"groups": groups(6, 12, blocks=2)}),
    "padded shortcuts": (lambda: resnet(shortcut="pad"), {"groups": groups(6, 12, blocks=2)}),
    "wide within": (resnet, {"width": 2}),
    "wider stem": (resnet, {"stem_filters": 6}),
    "deep stem": (lambda: resnet(stem="deep", input_shape=(32, 32, 3)), {"groups": groups(6, 12)}),
    "squeeze-excitation": (resnet, {"se_ratio": 2}),
    "squeeze-excitation v2": (lambda: resnet(version="v2"), {"se_ratio": 2, "groups": groups(4, 8, blocks=2)}),
    "with squeeze-excitation": (lambda: resnet(se_ratio=2), {"groups": groups(6, 12, blocks=2)}),
    "channel attention": (resnet, {"attention": keras_blocks.EfficientChannelAttention}),
    "CBAM": (resnet, {"attention": CBAM}),
    "CBAM, deeper": (lambda: resnet(attention=CBAM), {"groups": groups(4, 8, blocks=2)}),
    "attention by name": (resnet, {"attention": SE, "groups": groups(8, 16)}),
    "cardinality": (resnext, {"cardinality": 4}),
    "base width": (resnext, {"base_width": 24}),
    "both": (resnext, {"cardinality": 3, "base_width": 32, "groups": groups(8, 16, blocks=2)}),
    "wider ResNeXt": (lambda: resnext(se_ratio=4), {"groups": groups(12, 24, blocks=2)}),
    "SENet": (senet, {"groups": groups(16, blocks=2)}),
    "RegNet deeper": (regnet, {"depth": 4}),
    "RegNetY": (regnet, {"se_ratio": 4}),
    "growth rate": (densenet, {"filters": 6}),
    "dense layers": (densenet, {"groups": [{"layers": 3}, {"layers": 4}]}),
    "all of a DenseNet": (densenet, {"bottleneck": 6, "stem_filters": 12, "filters": 5}),
    "without bottleneck": (lambda: densenet(bottleneck=0), {"filters": 6}),
    "plain layers": (vgg, {"groups": [{"filters": 4, "layers": 2}, {"filters": 6, "layers": 3}]}),
    "VGG wider": (vgg, {"groups": [{"filters": 6, "layers": 2}, {"filters": 9, "layers": 1}], "hidden": (12,)}),
    "VGG normalized": (lambda: vgg(batch_norm=True), {"groups": [{"filters": 6, "layers": 2}] * 2, "hidden": (12, 9)}),
    "hidden layers": (vgg, {"hidden": (12, 12)}),
    "fire": (squeezenet, {"groups": [{"filters": [3, 3]}, {"filters": [4]}]}),
    "expand ratio": (lambda: squeezenet(bypass="complex"), {"expand_ratio": 6, "groups": [{"filters": [3, 4]}] * 2}),
    "simple bypass": (
        lambda: squeezenet(bypass="simple", groups=[{"filters": [3, 3]}], stem={"filters": 24, "pool": False}),
        {"groups": [{"filters": [4, 4]}], "stem": {"filters": 32, "pool": False}},
    ),
    "Inception": (inception, {"groups": inception_groups(6, 6, 8, 3, 6, 4)}),
    "Inception attended": (lambda: inception(se_ratio=2), {"groups": inception_groups(6, 6, 8, 3, 6, 4)}),
    "attention for Inception": (inception, {"se_ratio": 2}),
    "Inception v4": (inception_v4, module(12, WIDER, 2)),
    "autoencoder": (autoencoder, {"groups": [{"filters": 6, "blocks": 2}, {"filters": 9}]}),
    "residual autoencoder": (lambda: autoencoder(kind="residual"), {"groups": [{"filters": 6, "blocks": 2}] * 2}),
    "code": (
        lambda: autoencoder(code={"units": 5, "hidden": [7]}),
        {"code": {"units": 5, "hidden": [9]}, "groups": [{"filters": 6}, {"filters": 9}]},
    ),
    "own": (own, {"width": 6, "ratio": 3, "depth": 3, "size": 5}),
    "channels first": (
        lambda: resnet(data_format="channels_first", input_shape=(3, 8, 8)),
        {"groups": groups(6, 12, blocks=2)},
    ),
    "channels first, flattened": (
        lambda: vgg(data_format="channels_first", input_shape=(3, 8, 8)),
        {"groups": [{"filters": 6, "layers": 2}] * 2},
    ),
    "any size": (lambda: resnet(input_shape=(None, None, 3)), {"groups": groups(6, 12)}),
    "sequential": (
        sequential,
        None,
        {"a": {"expand_ratio": 4, "se_ratio": 2}, "b": {"kernel_size": 5}, "c": {"filters": 9}},
    ),
    "functional": (
        functional,
        None,
        {"stem": {"filters": 6}, "left": {"filters": 3, "bypass": "complex"}, "head": {"hidden": [9, 9]}},
    ),
}
SK = {"layer": "keras_blocks>SelectiveKernelBlock", "divisor": 2}
EXACT |= {
    "selective kernels, deeper": (lambda: resnet(convolution=SK), {"groups": groups(4, 8, blocks=2)}),
    "a model within": (nested, None, {"net": {"groups": groups(6, 12, blocks=2)}}),
}
NEAR = {
    "selective kernels": (lambda: resnet(convolution=SK), {"groups": groups(6, 12)}, "looks at all channels together"),
    "another group": (resnet, {"groups": groups(4, 8, 16)}, "'head_pool' is not given .* behind the new layer"),
    "another dense group": (densenet, {"groups": [{"layers": 2}] * 3}, "'last_bn' is not given .*transition"),
    "fewer filters": (resnet, {"groups": groups(4, 6)}, "'group2_block1_conv1' has 6 channels in place of 8.*prune"),
    "fewer blocks": (
        lambda: resnet(groups=groups(4, 8, blocks=2)),
        {"groups": groups(4, 8)},
        "It has no 'group1_block2",
    ),
    "GroupNormalization": (lambda: resnet(batch_norm={"groups": 2}), {"groups": groups(6, 8)}, "GroupNormalization"),
    "split groups": (resnext, {"cardinality": 4, "base_width": 8}, "works in groups"),
    "wider windows of ECA": (
        lambda: resnet(attention=keras_blocks.EfficientChannelAttention),
        {"groups": groups(6, 12)},
        "is a Conv1D, which looks at channels together|looks at all channels together",
    ),
    "another fire block": (squeezenet, {"groups": [{"filters": [2, 2, 2]}, {"filters": [3]}]}, "is not given all"),
    "bypass": (squeezenet, {"bypass": "complex"}, "is not given all that the parent's is"),
    "another Inception block": (inception, {"groups": inception_groups(4, 4, 6, 2, 4, 2)[:1] * 2}, "has no|given maps"),
    "bias lost": (vgg, {"batch_norm": True}, "'group1_conv1' has no bias any more"),
    "classes": (resnet, {"classes": 7}, "its outputs are not as many"),
    "smaller kernels": (lambda: own(size=5), {"size": 3}, "has a kernel of .3, 3. in place of .5, 5."),
    "v1 to v2": (resnet, {"version": "v2"}, "It has no|is not given"),
}


def pair(make, changes, blocks=None):
    return (parent := trained(make())), grown(parent, changes or {}, blocks)


@once
@pytest.mark.parametrize("name", EXACT)
def test_a_child_computes_what_its_parent_does(name):
    parent, found = pair(*EXACT[name])
    assert found.exact, found.notes
    assert found.difference <= 1e-5
    assert type(found.model) is type(parent)
    assert told(found) is None
    assert name == "nothing" or found.model.count_params() > parent.count_params()


@once
@pytest.mark.parametrize("name", NEAR)
def test_what_cannot_be_equal_is_told(name):
    make, changes, message = NEAR[name]
    parent = trained(make())
    with pytest.warns(UserWarning, match=f"(?s)begins near its parent.*({message})"):
        child = keras_blocks.grow(parent, **changes)
    assert all(np.isfinite(weight).all() for weight in child.get_weights())


@pytest.mark.parametrize("name", ["deeper v2", "attention by name", "all of a DenseNet"])
def test_on_every_backend(name):
    parent, found = pair(*EXACT[name])
    assert found.exact and difference(parent, found.model) <= 1e-5


def drawn(rng):
    """A parent, and what changes of it: of several, some."""
    blocks, widths = rng.integers(1, 3, 2), rng.integers(2, 5, 2) * 4
    more, wider = blocks + rng.integers(0, 3, 2), widths + rng.integers(0, 3, 2) * 4
    records = [
        [{"filters": int(width), "blocks": int(count)} for width, count in zip(*sizes)]
        for sizes in ((widths, blocks), (wider, more))
    ]
    version, shortcut = [("v1.5", "auto"), ("v1.5", "projection"), ("v2", "auto")][rng.integers(3)]
    options = {"version": version, "shortcut": shortcut}
    ratio = {"se_ratio": 4} if rng.random() < 0.5 else {}
    kind = rng.choice(["basic", "bottleneck", "cardinality", "dense", "vgg", "fire"])
    if kind in ("basic", "bottleneck"):
        changes = {"groups": records[1], **ratio, "width": int(rng.integers(1, 3))}
        return lambda: resnet(groups=records[0], block=str(kind), **options), changes
    if kind == "cardinality":
        changes = {"groups": records[1], "cardinality": int(rng.integers(2, 5)), **ratio}
        changes["base_width"] = 16 * int(rng.integers(1, 3))
        return lambda: resnext(groups=records[0], shortcut=options["shortcut"]), changes
    if kind == "dense":
        layers = [[{"layers": int(count)} for count in row] for row in (blocks, more)]
        changes = {"groups": layers[1], "filters": int(rng.integers(3, 8)), "bottleneck": int(rng.integers(2, 5))}
        return lambda: densenet(groups=layers[0], filters=3, bottleneck=2), changes
    if kind == "vgg":
        plain = [[{"filters": g["filters"], "layers": g["blocks"]} for g in row] for row in records]
        return lambda: vgg(groups=plain[0]), {"groups": plain[1], "hidden": (int(rng.integers(8, 12)),)}
    fire = [[{"filters": [int(width)] * int(count)} for width, count in zip(row, blocks)] for row in (widths, wider)]
    return lambda: squeezenet(groups=fire[0]), {"groups": fire[1], "expand_ratio": 6}


@once
@pytest.mark.parametrize("seed", range(200 if run_all() else 8))
def test_pairs_drawn_at_random(seed):
    _, found = pair(*drawn(np.random.default_rng(seed)))
    assert found.exact, found.notes
    assert found.difference <= 1e-5


@once
def test_gradients_reach_the_new_parts():
    """After two steps each layer has begun to learn: the first one moves the zeros that hide the others. A gate of two
    units may be closed for all images."""
    child = grown(trained(resnet()), {"groups": groups(4, 8, blocks=2), "se_ratio": 2}).model
    child.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = np.random.default_rng(0).normal(size=(8, 8, 8, 3)), np.arange(8) % 5
    before = {weight.path: weight.numpy().copy() for weight in child.trainable_weights}
    child.fit(images, labels, epochs=2, verbose=0)
    still = [weight.path for weight in child.trainable_weights if np.array_equal(before[weight.path], weight.numpy())]
    assert not [
        path for path in still if not path.endswith(("_se_reduce/kernel", "_se_reduce/bias", "_se_restore/kernel"))
    ], still


@once
def test_copies_share_what_goes_out_and_noise_parts_them():
    parent = trained(vgg(groups=[{"filters": 4, "layers": 2}]))
    changes = {"groups": [{"filters": 8, "layers": 2}]}
    first, second = (grown(parent, changes, None, noise).model for noise in (0.0, 0.01))
    theirs, mine = (model.get_layer("group1").conv2.kernel.numpy() for model in (parent, first))
    np.testing.assert_allclose(mine, np.tile(theirs, (1, 1, 2, 2)) / 2, rtol=1e-6)
    kernel = second.get_layer("group1").conv2.kernel.numpy()
    np.testing.assert_array_equal(kernel[..., :4], mine[..., :4])
    assert 0 < np.abs(kernel - mine)[..., 4:].max() < 0.1
    assert 0 < difference(parent, second) < 0.2


@once
def test_statistics_state_and_frozen_layers_go_along():
    parent = trained(resnet())
    parent.get_layer("stem").trainable = False
    parent.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = np.random.default_rng(0).normal(size=(8, 8, 8, 3)), np.arange(8) % 5
    parent.fit(images, labels, verbose=0)
    child = keras_blocks.grow(parent, groups=groups(8, 16, blocks=2))
    assert not child.get_layer("stem").conv.trainable
    assert child.compiled and int(child.optimizer.iterations) == int(parent.optimizer.iterations) == 1
    assert float(child.optimizer.learning_rate) == pytest.approx(0.02)

    def moments(model):
        found = {variable.path.split("/")[-1]: variable.numpy() for variable in model.optimizer.variables}
        return next(value for path, value in found.items() if "group1_block1_conv2_kernel_velocity" in path), found

    (theirs, _), (mine, every) = moments(parent), moments(child)
    np.testing.assert_array_equal(mine, np.tile(theirs, (1, 1, 2, 2)))
    new = [value for path, value in every.items() if "group1_block2_conv1_kernel" in path]
    assert len(new) == 2 and not any(value.any() for value in new)
    child.fit(images, labels, verbose=0)


@once
def test_the_parent_is_left_as_it_is_and_shares_nothing():
    parent = trained(densenet())
    before = parent.get_weights()
    child = keras_blocks.grow(parent, filters=6)
    for weight in child.weights:
        weight.assign(weight + 1)
    for mine, theirs in zip(parent.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@once
def test_a_child_is_saved_and_grows_again(tmp_path):
    parent = trained(resnet())
    child = keras_blocks.grow(keras_blocks.grow(parent, groups=groups(6, 12, blocks=2)), groups=groups(9, 15, blocks=3))
    child.save(tmp_path / "child.keras")
    loaded = keras.saving.load_model(tmp_path / "child.keras")
    assert loaded.metaparameters.groups[1]["filters"] == 15
    assert difference(parent, loaded) <= 1e-5


WRONG = {
    "an argument it has not": (lambda: keras_blocks.grow(resnet(), filtres=3), TypeError, "filtres"),
    "out of range": (lambda: keras_blocks.grow(resnet(), groups=groups(0)), ValueError, "groups"),
    "no model": (lambda: keras_blocks.grow("resnet18"), TypeError, "`model` must be"),
    "blocks of an architecture": (lambda: keras_blocks.grow(resnet(), {"stem": {}}), ValueError, "metaparameters"),
    "metaparameters of a Sequential": (
        lambda: keras_blocks.grow(sequential(), filters=3),
        TypeError,
        "name the layers",
    ),
    "no layers": (lambda: keras_blocks.grow(sequential()), TypeError, "takes the layers of"),
    "an unknown layer": (lambda: keras_blocks.grow(sequential(), {"z": {}}), ValueError, "`blocks`"),
    "an unknown argument": (lambda: keras_blocks.grow(sequential(), {"a": {"width": 2}}), TypeError, "no 'width'"),
    "negative noise": (lambda: keras_blocks.grow(resnet(), break_ties=-1), ValueError, "`break_ties`"),
}


@once
@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name):
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()


@once
def test_no_warning_without_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        keras_blocks.grow(trained(resnet()), groups=groups(6, 12))


@once
@pytest.mark.parametrize("change", [{"epsilon": 0.5}, {"center": True}])
def test_other_arguments_of_a_layer_that_is_not_known_are_told(change):
    x = keras.Input((6,))
    layer = keras.layers.LayerNormalization(name="norm")
    model = keras.Model(x, keras.layers.Dense(3)(layer(x)))
    assert grown(model, {}, {"norm": change}).exact == (change == {"center": True})


@once
def test_what_does_nothing_in_inference_may_change():
    x = keras.Input((8, 8, 3))
    zoomed = keras.layers.RandomZoom(0.1, name="zoom")(x)
    model = keras.Model(x, keras.layers.Conv2D(5, 1)(keras.layers.Conv2D(4, 3, name="a")(zoomed)))
    assert grown(model, {}, {"zoom": {"height_factor": 0.3}, "a": {"filters": 6}}).exact


@once
def test_what_is_followed_through_sequences_by_nothing_is_refused():
    x = keras.Input((10, 8))
    model = keras.Model(x, keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(6, name="a")(x)))
    with pytest.raises(ValueError, match=r"must be of images and vectors.*'norm'"):
        keras_blocks.grow(model, {"a": {"units": 12}})
