"""`attention=` and `convolution=`: layers that are declared; and the layers that chains need and Keras lacks."""

import keras
import numpy as np
import pytest
from calling import outputs_of

import keras_blocks
from keras_blocks.core.chain import Take, specs
from keras_blocks.core.sizes import ChannelPooling, ChannelSlice, DilatedMeanPooling, SizeLike

pytestmark = pytest.mark.once

ECA = "keras_blocks>EfficientChannelAttention"


@keras.saving.register_keras_serializable(package="test_declared")
class Halved(keras.layers.Layer):
    """A layer of a user's own, without weights."""

    def call(self, inputs):
        return inputs / 2

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize(
    "given, kept",
    [
        (keras_blocks.EfficientChannelAttention, {"layer": ECA}),
        (keras_blocks.EfficientChannelAttention(), {"layer": ECA}),
        (keras_blocks.EfficientChannelAttention(5, name="mine"), {"layer": ECA, "kernel_size": 5}),
        ("EfficientChannelAttention", {"layer": ECA}),
        (ECA, {"layer": ECA}),
        ({"layer": keras_blocks.EfficientChannelAttention, "kernel_size": 5}, {"layer": ECA, "kernel_size": 5}),
        (Halved, {"layer": "test_declared>Halved"}),
        (keras.layers.Dropout(0.5), {"layer": "keras>Dropout", "rate": 0.5}),
        (None, None),
    ],
    ids=str,
)
def test_all_ways_to_declare_a_layer_are_kept_as_one(given, kept):
    for cls, own in ((keras_blocks.ResidualBlock, {}), (keras_blocks.ResNeXtBlock, {}), (keras_blocks.RegNetBlock, {})):
        block = cls(64, attention=given, **own)
        config = block.get_config()
        assert block.attention == config["attention"] == kept
        assert cls.from_config(config).get_config() == config
    assert keras_blocks.InvertedResidualBlock(8, attention=given).attention == kept


def test_settings_that_an_attention_is_not_told_are_the_blocks():
    attention = {"layer": "ConvolutionalBlockAttention", "ratio": 2, "activation": "elu"}
    block = keras_blocks.ResidualBlock(4, "basic", attention=attention, kernel_regularizer="l2", dtype="mixed_bfloat16")
    block.build((None, 6, 6, 4))
    inner = block.attend
    assert (inner.activation.__name__, inner.use_bias, inner.dtype_policy.name) == ("elu", False, "mixed_bfloat16")
    assert inner.batch_norm is True and inner.kernel_regularizer is not None


def test_a_squeeze_excitation_is_one_of_them():
    one = keras_blocks.ResidualBlock(8, se_ratio=4)
    other = keras_blocks.ResidualBlock(8, attention={"layer": "SqueezeExciteBlock", "ratio": 4, "use_bias": True})
    images = np.random.default_rng(0).normal(size=(2, 5, 5, 32)).astype("float32")
    one.build(images.shape)
    other.build(images.shape)
    other.set_weights(one.get_weights())
    np.testing.assert_array_equal(outputs_of(one, images), outputs_of(other, images))


def test_two_blocks_of_one_pattern_share_nothing():
    pattern = keras_blocks.EfficientChannelAttention()
    one, other = (keras_blocks.ResidualBlock(8, attention=pattern) for _ in range(2))
    one.build((None, 4, 4, 32))
    other.build((None, 4, 4, 32))
    assert one.attend is not other.attend and not pattern.built


def test_a_convolution_is_told_of_the_filters_that_it_has():
    """Not of the block's, which groups of its own need not divide."""
    declared = {"layer": "SelectiveKernelBlock", "groups": 6, "divisor": 2}
    block = keras_blocks.ResNeXtBlock(64, cardinality=2, base_width=3, convolution=declared)
    block.build((None, 4, 4, 8))
    assert (block.conv2.filters, block.conv2.groups) == (6, 2)  # the block's own groups: its cardinality
    with pytest.raises(ValueError, match="`groups` must divide `filters`"):
        keras_blocks.ResidualBlock(4, convolution=declared).build((None, 4, 4, 8))


def test_a_convolution_stands_for_the_first_3x3():
    declared = {"layer": "SelectiveKernelBlock", "divisor": 2}
    for kind, place in (("basic", "conv1"), ("bottleneck", "conv2")):
        block = keras_blocks.ResidualBlock(4, kind, convolution=declared, strides=2)
        found = {spec.name: spec.cls for spec in specs(block.chain_for((None, 8, 8, 8)))}
        assert [name for name, cls in found.items() if cls is keras_blocks.SelectiveKernelBlock] == [place]
        assert f"{place}_bn" not in found and block.compute_output_shape((None, 9, 9, 8))[1:3] == (5, 5)


BAD = [
    (lambda: keras_blocks.ResidualBlock(8, attention=5), TypeError, "must be a layer"),
    (lambda: keras_blocks.ResidualBlock(8, attention=lambda x: x), TypeError, "Write a `keras_blocks.Block`"),
    (lambda: keras_blocks.ResidualBlock(8, attention="EfficientChanelAttention"), ValueError, "Did you mean"),
    (lambda: keras_blocks.ResidualBlock(8, attention={"ratio": 4}), ValueError, "must have the key 'layer'"),
    (lambda: keras_blocks.ResidualBlock(8, attention={"layer": ECA, "kernel": 3}), TypeError, "`kernel`"),
    (lambda: keras_blocks.ResidualBlock(8, attention={"layer": ECA, "kernel_size": 4}), ValueError, "must be odd"),
    (lambda: keras_blocks.ResidualBlock(8, attention={"layer": ECA, "name": "a"}), ValueError, "must leave `name`"),
    (lambda: keras_blocks.ResidualBlock(8, attention=keras_blocks.ResNet), TypeError, "must be a layer"),
    (lambda: keras_blocks.ResNet(attention="Nothing"), ValueError, "`attention`"),
    (lambda: keras_blocks.ResNeXt(convolution=3), TypeError, "`convolution`"),
    (lambda: keras_blocks.ResNeXt(convolution={"layer": "SelectiveKernelBlock", "path": 3}), TypeError, "`path`"),
    (lambda: keras_blocks.RegNet(attention={"layer": ECA, "gate": "tanh"}), ValueError, "`gate`"),
    (lambda: keras_blocks.RegNet(wm=1.0), ValueError, "`wm`"),
    (lambda: keras_blocks.RegNet(group_width=0), ValueError, "`group_width`"),
    (lambda: keras_blocks.RegNetBlock(12, group_width=8), ValueError, "`group_width` must divide `filters`"),
    (lambda: keras_blocks.InvertedResidualBlock(8, 0), ValueError, "`expand_ratio`"),
    (lambda: keras_blocks.XceptionBlock(8), TypeError, "`filters`"),
    (lambda: keras_blocks.SelectiveKernelBlock(8, paths=1), ValueError, "`paths`"),
    (
        lambda: keras_blocks.SelectiveKernelBlock(8, split=True).build((None, 4, 4, 3)),
        ValueError,
        "`paths` must divide",
    ),
    (lambda: keras_blocks.SelectiveKernelBlock(8, groups=2).build((None, 4, 4, 3)), ValueError, "`groups` must divide"),
    (
        lambda: keras_blocks.ConvolutionalBlockAttention(16).build((None, 4, 4, 8)),
        ValueError,
        "`ratio` must be at most",
    ),
    (lambda: ChannelSlice(2, 2), ValueError, "`part`"),
    (lambda: ChannelSlice(0, 2).compute_output_shape((None, 4, 4, 3)), ValueError, "`parts` must divide"),
    (lambda: SizeLike("pad"), ValueError, "`how`"),
    (lambda: SizeLike().compute_output_shape([(None, 3, 4, 1), (None, 4, 4, 1)]), ValueError, "cannot be cropped"),
]


@pytest.mark.parametrize("make, error, words", BAD)
def test_bad_declarations_say_what_is_wrong(make, error, words):
    with pytest.raises(error, match=words.replace("(", r"\(")):
        make()


def test_an_attention_must_keep_the_shape():
    block = keras_blocks.ResidualBlock(8, attention={"layer": "ConvBlock", "filters": 4})
    with pytest.raises(ValueError, match="adds branches in 'add', which must have equal shapes"):
        block.build((None, 4, 4, 32))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_layers_between(data_format):
    first = data_format == "channels_first"
    images = np.random.default_rng(0).normal(size=(2, 5, 6, 4)).astype("float32")
    x = np.moveaxis(images, -1, 1) if first else images

    def applied(cls, x, *args, **options):
        layer = cls(*args, **options, data_format=data_format)
        found = keras.ops.convert_to_numpy(layer(x))
        assert found.shape == layer.compute_output_shape(
            np.shape(x) if isinstance(x, np.ndarray) else [y.shape for y in x]
        )
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
        return np.moveaxis(found, 1, -1) if first else found

    np.testing.assert_allclose(applied(ChannelPooling, x), images.mean(-1, keepdims=True), atol=1e-6)
    np.testing.assert_array_equal(applied(ChannelPooling, x, "max"), images.max(-1, keepdims=True))
    np.testing.assert_array_equal(applied(ChannelSlice, x, 1, 2), images[..., 2:])
    like = np.zeros((2, 9, 3, 2) if not first else (2, 2, 9, 3), "float32")
    small = np.zeros((2, 2, 3, 2) if not first else (2, 2, 2, 3), "float32")
    np.testing.assert_array_equal(applied(SizeLike, [x, small]), images[:, 1:3, 1:4])
    assert applied(SizeLike, [x, like], "resize").shape == (2, 9, 3, 4)
    with pytest.raises(ValueError, match="cannot be cropped"):  # sizes that the call alone knows
        applied(SizeLike, [small, x])
    for step in (1, 2, 7):
        rows = (images + np.concatenate([images[:, step:], images[:, -step:]], 1)) / 2
        expected = (rows + np.concatenate([rows[:, :, step:], rows[:, :, -step:]], 2)) / 2
        np.testing.assert_allclose(applied(DilatedMeanPooling, x, step), expected, atol=1e-6)


def test_a_fork_may_stand_anywhere_and_one_layer_in_two_branches():
    class Twice(keras_blocks.Block):
        def chain(self, channels):
            shared = self.conv2d("shared", 3, 1)
            halves = {f"half{i}": [self.part_of_channels(f"part{i}", i, 2), shared] for i in (0, 1)}
            return [self.fork(**halves), self.sum_of("add", [Take("half0")], [Take("half1")])]

    block = Twice()
    images = np.random.default_rng(0).normal(size=(1, 3, 3, 4)).astype("float32")
    found = outputs_of(block, images)
    kernel, bias = block.shared.get_weights()
    expected = (images[..., :2] + images[..., 2:]) @ kernel[0, 0] + 2 * bias
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert keras_blocks.cost(block, (3, 3, 4)) == keras_blocks.Cost(2 * 3 + 3, 2 * 9 * 6, 4 * 9 * (2 * 2 + 3 * 3))
