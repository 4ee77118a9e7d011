"""`prune`: the parent with channels set to zero, for every kind of architecture, to rounding; budgets; what stays."""

import keras
import numpy as np
import pytest
from calling import EAGERLY
from catalog import small_siamese
from checks import as_trained as trained
from thorough import run_all

import keras_blocks
from keras_blocks.core.graphs import calls
from keras_blocks.models.registry import architecture_of, list_models

layers = keras.layers


def arrays(model, images):
    return [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(model(images, training=False))]


def set_to_zero(plan):
    """All that makes or scales the channels that would go, in the parent: then they are 0 where they are taken."""
    for part in plan._coupling.parts.values():
        for name, variable, axes in part.weights():
            value = np.array(keras.ops.convert_to_numpy(variable))
            behind = isinstance(part.layer, layers.Conv2DTranspose | layers.DepthwiseConv2D)
            own = value.ndim - 2 if behind and value.ndim > 1 else value.ndim - 1
            for axis, labels in axes.items() if name not in ("depthwise_kernel", "moving_variance") else ():
                if axis == own:
                    value[(slice(None),) * axis + (~plan._kept.mask(labels),)] = 0
            variable.assign(value)


def random_images(model, sizes):
    """In the structure of the model's inputs; boxes of regions lie in the image."""
    rng = np.random.default_rng(0)

    def one(tensor):
        if len(tensor.shape) == 3:
            corners = rng.uniform(0, 100, (2, 20, 2))
            return np.concatenate([corners, corners + 60], axis=-1).astype("float32")
        shape = tuple(size if known is None else known for known, size in zip(tensor.shape[1:], sizes))
        return rng.normal(size=(2, *shape)).astype("float32")

    return keras.tree.map_structure(one, model.input)


def check(model, sizes=(64, 64, 3), stays=0, **options):
    """Prunes it, and compares with the parent, in which the same channels are then set to zero."""
    trained(model)
    before = model.get_weights()
    plan = keras_blocks.plan_pruning(model, **options)
    small = plan.make()
    counted = keras_blocks.cost(small, **({"input_shape": options["input_shape"]} if "input_shape" in options else {}))
    assert (counted.macs, counted.params) == (plan.macs[1], plan.params[1])
    assert len(plan.stays) == stays, plan.stays
    for mine, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    names = {layer.name for layer in keras_blocks.expand(model).layers if not isinstance(layer, layers.InputLayer)}
    assert {layer.name for layer in small.layers if not isinstance(layer, layers.InputLayer)} == names
    images = random_images(small, sizes)
    whole = arrays(model, images)
    set_to_zero(plan)
    for mine, theirs, those in zip(arrays(small, images), arrays(model, images), whole, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(theirs).max()))
        assert np.ptp(theirs) > 0 and not np.allclose(theirs, those, rtol=1e-3)
    return plan, small


def small(cls, size=32, **options):
    return cls(**{"classes": 7, "classifier_activation": None, "input_shape": (size, size, 3), **options})


GROUPS = [{"filters": 8, "blocks": 2}, {"filters": 16, "blocks": 1}]
SK = keras_blocks.SelectiveKernelBlock(8, groups=2, ratio=4, divisor=4)
SPLIT_SK = keras_blocks.SelectiveKernelBlock(8, split=True, ratio=4, divisor=4)
WAYS = {
    "vgg": lambda: small(
        keras_blocks.VGG, groups=[{"filters": 6, "layers": 2}, {"filters": 8, "layers": 1}], hidden=(12,)
    ),
    "resnet basic, padded": lambda: small(
        keras_blocks.ResNet, groups=GROUPS, block="basic", stem="cifar", shortcut="pad"
    ),
    "resnet basic": lambda: small(keras_blocks.ResNet, groups=GROUPS, block="basic"),
    "resnet v2": lambda: small(keras_blocks.ResNet, groups=GROUPS, version="v2", stem="cifar"),
    "resnet bottleneck, se": lambda: small(keras_blocks.ResNet, groups=GROUPS, stem="cifar", se_ratio=4),
    "resnext, many groups": lambda: small(
        keras_blocks.ResNeXt, groups=GROUPS, cardinality=8, base_width=32, stem="cifar"
    ),
    "resnext, few groups": lambda: small(
        keras_blocks.ResNeXt, groups=GROUPS, cardinality=2, base_width=64, stem="cifar"
    ),
    "regnet": lambda: small(keras_blocks.RegNet, w0=8, wa=8.0, wm=2.0, depth=3, group_width=4, se_ratio=4),
    "densenet": lambda: small(
        keras_blocks.DenseNet, groups=[{"layers": 3}, {"layers": 2}], filters=6, stem="cifar", stem_filters=8
    ),
    "squeezenet": lambda: small(
        keras_blocks.SqueezeNet, size=64, groups=[{"filters": [8, 8]}, {"filters": [8]}], bypass="complex"
    ),
    "squeezenet, simple": lambda: small(
        keras_blocks.SqueezeNet, size=64, groups=[{"filters": [8, 8]}, {"filters": [8, 8]}], bypass="simple"
    ),
    "inception v1": lambda: small(
        keras_blocks.Inception,
        groups=[{"block": "v1", "filters": [(8, 6, 8, 4, 6, 4)] * 2, "auxiliary": [1]}],
        stem="small",
        auxiliary=True,
        auxiliary_classifier={"pooling": "adaptive", "width": 6, "hidden": 8},
    ),
    "inception v3": lambda: small(
        keras_blocks.Inception,
        size=48,
        groups=[
            {"block": "a", "filters": [(6, 4, 8, 4, 8, 6)]},
            {
                "block": "b",
                "filters": [(8, 6, 8, 6, 8, 8)],
                "n": 3,
                "reduction": {"kind": "a", "filters": (8, 6, 8)},
            },
        ],
        stem="v3_tiny",
        batch_norm={"scale": False},
    ),
    "inception v4": lambda: small(
        keras_blocks.InceptionV4,
        stem=[{"filters": 8, "kernel_size": 3, "strides": 2}],
        groups=[[{"branches": [[{"filters": 8}, {"filters": 6}], [{"pool": "avg"}]], "repeats": 2}], [{"filters": 9}]],
    ),
    "sk": lambda: small(keras_blocks.ResNet, groups=GROUPS, stem="cifar", convolution=SK),
    "sk, split": lambda: small(keras_blocks.ResNet, groups=GROUPS, stem="cifar", convolution=SPLIT_SK),
    "cbam": lambda: small(
        keras_blocks.ResNet, groups=GROUPS, stem="cifar", attention=keras_blocks.ConvolutionalBlockAttention(4)
    ),
    "inverted": lambda: keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 3),
            keras_blocks.InvertedResidualBlock(8, expand_ratio=3),
            keras_blocks.InvertedResidualBlock(12, strides=2, expand_ratio=2, se_ratio=4),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    ),
    "autoencoder": lambda: keras_blocks.AutoEncoder(
        groups=[{"filters": 8, "blocks": 1}, {"filters": 6, "blocks": 1}],
        code={"units": 5, "hidden": [7]},
        output_activation=None,
        input_shape=(16, 16, 3),
    ),
    "siamese": lambda: small_siamese(normalize=False, distance="l2", groups=GROUPS),
}


STAYS = {"siamese": 1, "cbam": 2}
"""So many layers are told as those whose channels stay: what compares the embeddings, what pools over channels."""


ALIKE = {"resnet basic", "squeezenet, simple", "sk, split", "inception v4", "regnet"}
"""What differs little from another one."""


@pytest.mark.once
@pytest.mark.parametrize("way", WAYS if run_all() else [way for way in WAYS if way not in ALIKE])
def test_pruned_is_the_parent_without_channels(way):
    model = WAYS[way]()
    plan, _ = check(model, macs=0.5, stays=STAYS.get(way, 0))
    assert 0.35 * plan.macs[0] < plan.macs[1] <= 0.5 * plan.macs[0]


def functional(*parts, shape=(12, 12, 4)):
    return keras.Sequential([keras.Input(shape), layers.Conv2D(8, 3, name="first"), *parts])


HEAD = (lambda: layers.Conv2D(6, 1), layers.GlobalAveragePooling2D, lambda: layers.Dense(3, name="last"))
PARTS = {
    "separable": lambda: layers.SeparableConv2D(6, 3, depth_multiplier=2),
    "depthwise": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
    "transposed": lambda: layers.Conv2DTranspose(6, 3, strides=2),
    "prelu": lambda: layers.PReLU(shared_axes=[1, 2]),
    "prelu of pixels": lambda: layers.PReLU(),
    "permuted": lambda: layers.Permute((2, 1, 3)),
    "shuffled": lambda: keras.Sequential(
        [layers.Reshape((10, 10, 2, 4)), layers.Permute((1, 2, 4, 3)), layers.Reshape((10, 10, 8)), layers.Conv2D(6, 1)]
    ),
    "dense of pixels": lambda: layers.Dense(6, activation="relu"),
    "dropout": lambda: layers.SpatialDropout2D(0.5),
}
STAY = {
    "over channels": lambda: layers.LayerNormalization(),
    "in groups": lambda: layers.GroupNormalization(2),
    "neighbours": lambda: keras_blocks.LocalResponseNormalization(3),
    "shares": lambda: layers.Activation("softmax"),
    "efficient": lambda: keras_blocks.EfficientChannelAttention(),
    "of pixels": lambda: keras_blocks.ConvolutionalBlockAttention(2),
    "of rows": lambda: layers.BatchNormalization(axis=1),
}


@pytest.mark.once
@pytest.mark.parametrize("part", [*PARTS, *STAY])
def test_each_kind_of_layer(part):
    made = (PARTS | STAY)[part]()
    check(functional(made, *(each() for each in HEAD)), parameters=0.9 if part in STAY else 0.6, stays=part in STAY)


@pytest.mark.once
def test_graphs_of_users():
    """Operations, concatenations of slices, a layer that is called twice, several outputs."""
    x = keras.Input((12, 12, 4))
    first, twice = layers.Conv2D(8, 3, padding="same")(x), layers.Conv2D(8, 1)
    y = keras.ops.relu(twice(first) + twice(layers.Conv2D(8, 3, padding="same")(x)) * 0.5)
    y = layers.Concatenate()([y, layers.MaxPooling2D(1)(first), layers.Conv2D(1, 1, activation="sigmoid")(y) * y])
    y = layers.BatchNormalization()(y)
    z = layers.Flatten()(layers.Conv2D(4, 3)(y))
    model = keras.Model(x, {"map": layers.Conv2D(6, 1)(y), "scores": layers.Dense(5)(layers.Dense(9)(z))})
    check(model, macs=0.6)


@pytest.mark.once
def test_what_is_kept():
    """Names, regularizers, frozen layers, dropout; it saves, loads, and is pruned again to the count."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras_blocks.FireBlock(8, name="fire", kernel_regularizer=keras.regularizers.L2(0.01)),
            layers.Dropout(0.25),
            layers.Conv2D(16, 3, name="frozen", trainable=False),
            layers.Flatten(),
            layers.Dense(3),
        ],
        name="mine",
    )
    plan = keras_blocks.plan_pruning(model, macs=0.6)
    pruned = plan.make()
    squeeze = pruned.get_layer("fire_squeeze")
    assert squeeze.kernel_regularizer.l2 == np.float32(0.01) or squeeze.kernel_regularizer.l2 == 0.01
    assert not pruned.get_layer("frozen").trainable and pruned.name == "mine"
    assert plan.widths["fire"]["fire_squeeze"] == squeeze.filters
    assert "fire_squeeze" in str(plan) or squeeze.filters == 8
    again = keras_blocks.prune(pruned, macs=int(0.4 * plan.macs[0]))
    assert keras_blocks.cost(again).macs <= 0.4 * plan.macs[0]


def test_trains_saves_and_deploys(tmp_path, eager):
    """On every backend, by the loss' gradient; files need no code of this library where the parent's need none."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.DepthwiseConv2D(3),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(32, 8, 8, 3)).astype("float32"), rng.integers(0, 4, 32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss)
    dead = [0, 3, 6]
    scale = np.ones(8)
    scale[dead] = 0
    model.layers[1].gamma.assign(scale)
    plan = keras_blocks.plan_pruning(model, macs=0.7, by="taylor", data=(images, labels))
    pruned = plan.make()
    left = keras.ops.convert_to_numpy(pruned.layers[2].gamma)
    assert len(left) == 5 and (left == 1).all(), "channels without a share in the loss go first"
    np.testing.assert_allclose(*(arrays(one, images)[0] for one in (model, pruned)), atol=1e-5)
    pruned.compile("sgd", loss, run_eagerly=EAGERLY)
    pruned.fit(images, labels, batch_size=40, verbose=0)
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.saving.load_model(tmp_path / "pruned.keras")
    deployed = keras_blocks.deploy(loaded)
    np.testing.assert_allclose(*(arrays(one, images)[0] for one in (pruned, deployed)), atol=1e-4)


@pytest.mark.once
def test_what_matters():
    """Each criterion finds the channels that were made not to matter."""
    model = functional(layers.BatchNormalization(), layers.ReLU(), *(each() for each in HEAD))
    trained(model)
    kernel = np.array(keras.ops.convert_to_numpy(model.layers[0].kernel))
    kernel[..., :4] *= 0.01
    model.layers[0].kernel.assign(kernel)
    gamma = np.array([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1])
    model.layers[1].gamma.assign(gamma)

    def stays(**options):
        pruned = keras_blocks.prune(model, macs=0.5, **options)
        return set(np.round(keras.ops.convert_to_numpy(pruned.layers[2].gamma), 2).tolist())

    assert stays(by="l1") == {np.float32(0.1).round(2).item()}
    assert stays(by="bn") == {1.0}
    assert stays(by=lambda layer, kernel: 1e3 - np.abs(kernel).reshape(-1, kernel.shape[-1]).sum(0)) == {1.0}
    batches = [(np.ones((4, 12, 12, 4), "float32"), np.ones((4, 3), "float32"))] * 2
    assert len(stays(by="taylor", data=batches, loss="mse")) > 0


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"macs": 1.5}, ValueError, ["`macs`", "1.5"]),
        ({"macs": 0.0}, ValueError, ["`macs`", "above 0"]),
        ({"macs": -0.5}, ValueError, ["`macs`", "-0.5"]),
        ({"macs": True}, TypeError, ["`macs`", "True"]),
        ({"macs": "half"}, TypeError, ["`macs`", "half"]),
        ({"parameters": float("nan")}, ValueError, ["`parameters`", "nan"]),
        ({"parameters": 0}, ValueError, ["`parameters`", "0"]),
        ({"macs": 0.5, "parameters": 0.5}, ValueError, ["`macs=0.5` and `parameters=0.5` are 2 budgets"]),
        ({"macs": 10}, ValueError, ["`macs=10`", "cannot be met", "at least", "`keep=0.1`"]),
        ({"macs": 0.1, "keep": 0.9}, ValueError, ["`macs=0.1`", "cannot be met"]),
        ({"keep": 1.0}, ValueError, ["`keep`", "1.0"]),
        ({"by": "l2"}, ValueError, ["`by`", "l2", "l1"]),
        ({"by": 3}, TypeError, ["`by`", "3"]),
        ({"by": "bn"}, ValueError, ["`by='bn'`", "normalizations"]),
        ({"by": "taylor"}, ValueError, ["`data`", "taylor"]),
        ({"by": "taylor", "data": (np.ones((2, 12, 12, 4)), np.ones((2, 3)))}, ValueError, ["`loss`", "compiled"]),
        ({"by": "taylor", "loss": "mse", "data": []}, ValueError, ["`data`", "at least one"]),
        ({"by": "taylor", "loss": "mse", "data": [np.ones(3)]}, ValueError, ["`data`", "ndarray"]),
        ({"by": "taylor", "loss": "mine", "data": (np.ones((2, 12, 12, 4)), np.ones((2, 3)))}, ValueError, ["`loss`"]),
        ({"data": (1, 2)}, ValueError, ["`data`", "by='l1'"]),
        ({"by": lambda layer, kernel: "much"}, ValueError, ["`by`", "numbers for 'first'"]),
        ({"input_shape": 12}, ValueError, ["`input_shape`", "12"]),
        ({"input_shape": "12"}, ValueError, ["`input_shape`", "'12'"]),
        ({"input_shape": (12, -12, 4)}, ValueError, ["`input_shape`", "-12"]),
        ({"input_shape": {"a": (12, 12, 4)}}, ValueError, ["`input_shape`", "one input"]),
        ({"input_shape": (12, 12)}, ValueError, ["`input_shape`", "(12, 12)"]),
        ({"input_shape": (12, 12, 3)}, ValueError, ["`input_shape`", "(12, 12, 4)", "(12, 12, 3)"]),
        ({"by": lambda layer, kernel: [1.0]}, ValueError, ["`by`", "8 of 'first'"]),
        (
            {"by": lambda layer, kernel: kernel.reshape(-1, kernel.shape[-1]).sum(0) * np.nan},
            ValueError,
            ["`by`", "first"],
        ),
    ],
)
def test_bad_arguments(options, error, words):
    with pytest.raises(error) as told:
        keras_blocks.prune(functional(layers.GlobalAveragePooling2D(), layers.Dense(3)), **options)
    assert all(word in str(told.value) for word in words), told.value


@pytest.mark.once
def test_bad_models():
    class Twice(keras.Model):
        def call(self, x):
            return x if float(keras.ops.sum(x)) > 0 else -x

    with pytest.raises(TypeError, match="`create_model"):
        keras_blocks.prune("resnet50")
    with pytest.raises(ValueError, match="input_shape"):
        keras_blocks.prune(keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(8, 3), layers.Conv2D(3, 3)]))
    with pytest.raises(ValueError, match="does not say what it takes"):
        keras_blocks.prune(Twice())


@pytest.mark.once
def test_losses_of_several_outputs():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(8, 3, activation="relu")(x)
    model = keras.Model(x, {"map": layers.Conv2D(2, 1)(y), "scores": layers.Dense(3)(layers.Flatten()(y))})
    images = np.ones((4, 6, 6, 3), "float32")
    answers = {"map": np.ones((4, 4, 4, 2), "float32"), "scores": np.ones((4, 3), "float32")}
    losses = {"map": "mse", "scores": "mae"}
    assert keras_blocks.prune(model, 0.5, by="taylor", data=(images, answers), loss=losses).layers[1].filters == 4
    with pytest.raises(ValueError, match="`loss` must have the structure"):
        keras_blocks.prune(model, 0.5, by="taylor", data=(images, answers), loss={"map": "mse"})
    with pytest.raises(ValueError, match="`data` must have the structure"):
        keras_blocks.prune(model, 0.5, by="taylor", data=(images, np.ones(4)), loss=losses)


@pytest.mark.once
def test_zeros_on_each_side():
    padding = keras_blocks.ChannelPadding((2, 0))
    images = np.ones((1, 2, 2, 3), "float32")
    assert keras.ops.convert_to_numpy(padding(images))[0, 0, 0].tolist() == [0, 0, 1, 1, 1]
    again = keras_blocks.ChannelPadding.from_config({**padding.get_config(), "channels": [2, 0]})
    assert again.channels == (2, 0) and again.compute_output_shape((None, 2, 2, 3)) == (None, 2, 2, 5)
    for wrong in ((1, -1), (1, 2, 3), (1.5, 2)):
        with pytest.raises((TypeError, ValueError), match="channels"):
            keras_blocks.ChannelPadding(wrong)


@pytest.mark.once
def test_any_size():
    model = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(8, 3, activation="relu"), layers.Conv2D(3, 3)]
    )
    _, pruned = check(model, (12, 12, 3), macs=0.5, input_shape=(20, 20, 3))
    assert pruned.input_shape == (None, None, None, 3) and pruned.layers[1].filters == 4


@pytest.mark.once
def test_what_stays_is_told():
    with pytest.warns(UserWarning, match="LayerNormalization"):
        keras_blocks.prune(functional(layers.LayerNormalization(), layers.Conv2D(8, 3), layers.Conv2D(3, 3)), macs=0.7)


@pytest.mark.skipif(not run_all(), reason="all networks; make test-all")
@pytest.mark.once
@pytest.mark.parametrize("name", list_models())
def test_every_variant(name):
    """Of small images, where it takes them; what decodes detections stays."""
    model = trained(variant(name))
    if "rcnn" not in name:
        calm(model)
    if name.startswith("rcnn"):  # its network looks at regions one by one: a layer, in which nothing is followed
        with pytest.raises(ValueError, match=r"`macs=0\.8` cannot be met"):
            keras_blocks.plan_pruning(model, macs=0.8)
        return
    canvas = getattr(model, "canvas_shape", None)
    plan = keras_blocks.plan_pruning(model, macs=0.8)
    pruned = plan.make()
    if not name.startswith("fast_rcnn"):  # whose two inputs are of no size that is known
        counted = keras_blocks.cost(pruned, **({"input_shape": canvas} if canvas and len(pruned.inputs) == 1 else {}))
        assert (counted.macs, counted.params) == (plan.macs[1], plan.params[1])
    images = random_images(pruned, canvas or (64, 64, 3))
    set_to_zero(plan)
    rounding = 1e-4 if "rcnn" in name else 1e-5  # proposals' corners amplify it
    names = {layer.name for layer in plan.layers if layer.after == layer.before}
    decoded = not name.startswith("fast_rcnn")  # many of its scores are 1.0 in float32, and have no order then
    flats = (tapped(flat, names, decoded) for flat in (pruned, plan._coupling.flat))
    for mine, theirs in zip(*(arrays(flat, images) for flat in flats)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=rounding * max(1.0, np.abs(theirs).max()))


def tapped(flat, names, decoded=True):
    """Its outputs and those of layers that keep all of their channels, as detectors find nothing in noise."""
    inner = {}
    for made, _, tensors in calls(flat):
        if made.name in names:
            inner[f"{made.name}, call {sum(key.startswith(made.name + ',') for key in inner)}"] = tensors[0]
    return keras.Model(flat.input, [flat.output, inner] if decoded else inner)


def calm(model):
    """Makes branches add little, as a trained network's do: else rounding is amplified in deep ones until gates of
    squeeze-excitation open or close by it. (Images 1e-7 apart gave outputs of SE-ResNet-101 that differ by half.)"""
    flat = keras_blocks.expand(model)
    made = {id(one): (layer, given) for layer, given, tensors in calls(flat) for one in tensors}

    def last_scale(tensor):
        layer, given = made[id(tensor)]
        found = getattr(layer, "gamma", None) if hasattr(layer, "gamma") else getattr(layer, "kernel", None)
        if found is not None or not given or isinstance(layer, layers.Add | layers.Concatenate):
            return found
        return last_scale(given[0])

    for layer, given, _ in list(calls(flat)):
        for scale in map(last_scale, given if isinstance(layer, layers.Add) else ()):
            if scale is not None:
                scale.assign(scale * 0.3)


def variant(name):
    """Without what makes scores alike, and of small images, where it takes them."""
    if not issubclass(architecture_of(name), keras_blocks.Architecture):
        few = {"image_size": (160, 192)} if name.startswith("faster_rcnn") else {}  # where proposals have no ties
        # In float32, rounding decides which of two proposals is the better one.
        return keras_blocks.create_model(name, **few, **({"dtype": "float64"} if "rcnn" in name else {}))
    scores = {"classifier_activation": None}
    try:
        return keras_blocks.create_model(name, input_shape=(64, 64, 3), **scores)
    except ValueError:
        return keras_blocks.create_model(name, **scores)


def test_kernels_of_depthwise_convolutions_are_weighed_as_keras_own(tmp_path):
    """On PyTorch a block's layers are others than those that come back from a file."""
    x = keras.Input((8, 8, 8))
    block = keras_blocks.InvertedResidualBlock(8)(x)
    flat = keras_blocks.expand(keras.Model(x, keras.layers.GlobalAveragePooling2D()(block)))
    for weight in flat.trainable_weights:
        weight.assign(np.random.default_rng(len(weight.path)).uniform(0.1, 1, weight.shape))
    flat.save(tmp_path / "flat.keras")
    again = keras.saving.load_model(tmp_path / "flat.keras")
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype("float32")
    found = [keras_blocks.prune(one, 0.5).predict(images, verbose=0) for one in (flat, again)]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)
