"""`grow` of models made of blocks: what random pairs of their arguments found, one by one."""

import keras
import numpy as np
import pytest
from checks import as_trained

import keras_blocks
from keras_blocks.grow.growing import difference, grown

pytestmark = pytest.mark.once


def around(block):
    """A convolution, a block, and what looks at the block's channels."""
    inputs = keras.Input((8, 8, 3))
    x = block(keras.layers.Conv2D(8, 3, padding="same", activation="elu", name="front")(inputs))
    if len(x.shape) == 4:
        x = keras.layers.Conv2D(4, 3, padding="same", name="behind")(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
    return as_trained(keras.Model(inputs, keras.layers.Dense(3)(x)))


def conv(**options):
    return keras_blocks.ConvBlock(6, name="block", **options)


def auxiliary():
    return keras_blocks.AuxiliaryClassifier(5, pooling="adaptive", width=3, hidden=6, name="block")


def eca(**options):
    return keras_blocks.EfficientChannelAttention(3, name="block", **options)


def cbam():
    return keras_blocks.ConvolutionalBlockAttention(2, name="block")


def variational(**options):
    return keras_blocks.VariationalBottleneck(3, name="block", **options)


WIDE = {"front": {"filters": 12}}
EXACT = {
    "adaptive averages": (auxiliary, {**WIDE, "block": {"width": 5}}),
    "a kernel of one pixel becomes dilated": (
        lambda: conv(kernel_size=1),
        {"block": {"kernel_size": 3, "dilation_rate": 2}},
    ),
    "one column becomes dilated": (
        lambda: conv(kernel_size=(3, 1)),
        {"block": {"kernel_size": (3, 3), "dilation_rate": (1, 2)}},
    ),
    "a larger kernel of ECA": (eca, {"block": {"kernel_size": 5}}),
    "a bias of ECA": (eca, {"block": {"kernel_size": 7, "use_bias": True}}),
    "CBAM, all channels twice": (cbam, {"front": {"filters": 16}, "block": {"kernel_size": 9}}),
    "a longer code": (lambda: variational(pooling="avg", hidden=[6]), {"block": {"filters": 5, "hidden": [9]}}),
    "a wider code of maps": (variational, {**WIDE, "block": {"filters": 7}}),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_child_computes_what_its_parent_does(name):
    make, blocks = EXACT[name]
    parent = around(make())
    found = grown(parent, {}, blocks)
    assert found.exact, found.notes
    assert found.difference <= 1e-5
    assert found.model.count_params() > parent.count_params()


NEAR = {
    "no beta": (conv, {"batch_norm": {"center": False}}, "block_conv_bn", "has no beta any more: `center=True` keeps"),
    "another pooling": (
        lambda: keras_blocks.ResNetStem(4, name="block"),
        {"border": "ceil"},
        "block_pool",
        "is a CeilMaxPooling2D in place of a MaxPooling2D",
    ),
    "other neighbours": (
        lambda: keras_blocks.LocalResponseNormalization(3, name="block"),
        {"size": 5},
        "block",
        "is a LocalResponseNormalization of other arguments",
    ),
    "more groups": (
        lambda: conv(groups=2),
        {"groups": 4, "filters": 8},
        "front",
        "has its channels where a layer behind it, which works in groups, expects them, and so not all",
    ),
    "dilated": (
        conv,
        {"dilation_rate": 2},
        "block_conv",
        "has a kernel, strides or padding with which it cannot look at what the parent's looks at alone",
    ),
    "a smaller kernel of ECA": (eca, {"kernel_size": 1}, "block_conv", "has a kernel of (1,) in place of (3,): what"),
}


@pytest.mark.parametrize("name", NEAR)
def test_what_cannot_be_equal_is_told(name):
    make, changes, layer, reason = NEAR[name]
    found = grown(around(make()), {}, {"block": changes})
    assert not found.exact and found.notes[layer].startswith(reason), found.notes


@keras.saving.register_keras_serializable("growing_blocks")
class Row(keras_blocks.Block):
    input_axes = 3

    def __init__(self, size=3, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def chain(self, channels):
        options = {"filters": 1, "kernel_size": self.size, "padding": "same", "dilation_rate": 2}
        return [self.layer("row", keras.layers.Conv1D, **options)]


@pytest.mark.parametrize(("size", "larger", "exact"), [(3, 4, False), (3, 5, True), (3, 6, False), (4, 6, True)])
def test_a_dilated_row_looks_at_the_same_pixels_or_it_is_told(size, larger, exact):
    """What is padded is counted in pixels, of which there are two for each tap."""
    inputs = keras.Input((20, 1))
    parent = as_trained(keras.Model(inputs, Row(size, name="block")(inputs)))
    found = grown(parent, {}, {"block": {"size": larger}})
    images = np.random.default_rng(0).normal(size=(2, 20, 1)).astype("float32")
    before, after = (keras.ops.convert_to_numpy(model(images)) for model in (parent, found.model))
    assert found.exact is exact and np.allclose(before, after, atol=1e-5) is exact
    if not exact:
        assert "it cannot look at what the parent's looks at alone" in found.notes["block_row"]


def test_channels_of_cbam_that_are_not_all_copied_alike_are_told():
    found = grown(around(cbam()), {}, WIDE)
    assert found.notes["block_mean"] == "looks at all channels together (ChannelPooling), and is given 12, not 8"


@pytest.mark.parametrize("gamma", [-1.0, 0.0])
def test_a_variance_stands_for_no_scale_that_is_not_positive(gamma):
    parent = around(conv())
    norm = parent.get_layer("block").conv_bn
    norm.gamma.assign([gamma, *np.ones(5)])
    found = grown(parent, {}, {"block": {"batch_norm": {"scale": False}}})
    reason = "has no gamma any more, for which its variance stands where that is positive"
    assert found.notes["block_conv_bn"] == reason and found.difference > 1e-3
    assert all(np.isfinite(weight).all() for weight in found.model.get_weights())
    norm.gamma.assign(np.full(6, 0.5))
    assert grown(parent, {}, {"block": {"batch_norm": {"scale": False}}}).exact


def test_a_longer_code_is_a_draw_of_each_in_training():
    """The means and the variances of a copy are those of one value."""
    wide = grown(around(variational(pooling="flatten")), {}, {"block": {"filters": 6}}).model.get_layer("block")
    for layer in (wide.mean, wide.log_variance):
        kernel = keras.ops.convert_to_numpy(layer.kernel)
        np.testing.assert_array_equal(kernel[:, :3], kernel[:, 3:])


def test_a_block_in_a_block_keeps_its_attention():
    attention = {"layer": keras_blocks.EfficientChannelAttention, "kernel_size": 3}
    parent = around(keras_blocks.ResidualBlock(4, "basic", attention=attention, name="block"))
    child = grown(parent, {}, {"block": {"attention": {**attention, "kernel_size": 5}}})
    assert child.exact and difference(parent, child.model) <= 1e-5
