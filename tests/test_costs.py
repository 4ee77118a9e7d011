"""`cost` against built models, against independent counters of multiply-adds, and without a variable."""

from unittest import mock

import keras
import numpy as np
import pytest
from catalog import ARCHITECTURES, MODELS, image_shape, random_model
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import BLOCKS, configurations, conv_blocks
from thorough import run_all

import keras_blocks
from keras_blocks.core.normalization import BatchNormalization
from keras_blocks.core.signature import arguments
from keras_blocks.costs import cost as costs
from keras_blocks.costs import layer_costs

backend = keras.backend.backend()
OTHERS = [name for name in BLOCKS if name != "ConvBlock"]
# TensorFlow's profiler counts a transposed convolution by the size of its output, which the borders are part of, and
# a dilated one with what it pads.
COUNTED = [name for name in OTHERS if backend == "torch" or name not in ("DecoderBlock", "SelectiveKernelBlock")]


def independent_macs(layer, images):
    """Multiply-adds of a forward pass by the backend's own counter; `None` where it has none."""
    if backend == "torch":
        from torch.utils.flop_counter import FlopCounterMode

        layer(images)
        with FlopCounterMode(display=False) as counter:
            layer(images)
        return counter.get_total_flops() // 2
    if backend == "tensorflow":
        import tensorflow as tf

        layer(images)
        traced = tf.function(lambda x: layer(x), jit_compile=False)
        graph = traced.get_concrete_function(tf.TensorSpec(images.shape, "float32")).graph
        profiler = tf.compat.v1.profiler
        builder = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
        report = profiler.profile(graph, cmd="op", options=builder.with_empty_output().build())
        return sum_of_products(report) // 2
    return None


def sum_of_products(node):
    own = node.float_ops if node.name in ("Conv2D", "MatMul", "DepthwiseConv2dNative") else 0
    return own + sum(sum_of_products(child) for child in node.children)


@pytest.mark.skipif(backend == "jax", reason="JAX's cost analysis counts additions and activations too")
@pytest.mark.parametrize(
    # TensorFlow pads dilated convolutions before it counts.
    "strategy",
    [conv_blocks(dilation=backend == "torch"), *(BLOCKS[name] for name in COUNTED)],
    ids=["ConvBlock", *COUNTED],
)
def test_multiply_adds_equal_the_backends_counter(strategy):
    @settings(max_examples=20 if run_all() else 4 if backend == "torch" else 2)  # TensorFlow traces
    @given(configurations(strategy=strategy))
    def check(configuration):
        cls, options, image = configuration
        dilated = options.get("dilation_rate", 1) != 1 or options.get("atrous", False)
        assume(backend == "torch" or not dilated)
        block = cls(**options)
        assert keras_blocks.cost(block, image).macs == independent_macs(block, np.zeros((1, *image), "float32"))

    check()


@pytest.mark.once
@pytest.mark.parametrize("row", ARCHITECTURES + MODELS, ids=lambda row: row.name)
def test_class_and_model_cost_the_same(row):
    model = random_model(row)
    by_class = keras_blocks.cost(row.cls, **row.arguments)
    assert by_class.params == model.count_params()
    assert by_class == keras_blocks.cost(model)
    others = {key: value for key, value in row.arguments.items() if key != "input_shape"}
    assert by_class == keras_blocks.cost(row.cls, image_shape(row), **others)
    flat = keras_blocks.cost(model.expand())
    assert flat == by_class


def test_counting_allocates_no_variable():
    costs._counted.cache_clear()
    with mock.patch.object(keras.Variable, "__init__", side_effect=AssertionError("a variable was made")):
        counted = keras_blocks.cost(keras_blocks.SqueezeNet)
    assert counted.params == 1_248_424


def test_counting_an_unknown_layer_gives_its_variables_no_values():
    """Not now, nor later: Keras would initialize them at the end of the next scope."""
    inits = []
    with mock.patch.object(keras.initializers.GlorotUniform, "__call__", side_effect=inits.append):
        counted = keras_blocks.cost(keras.layers.SeparableConv2D(8, 3), (16, 16, 4))
        with keras.StatelessScope():
            pass
    assert inits == []
    assert counted.params == 3 * 3 * 4 + 4 * 8 + 8


def test_a_failed_count_leaves_no_variable_behind():
    class Fails(keras.layers.Layer):
        def build(self, input_shape):
            self.add_weight(shape=(7, 7), initializer=lambda shape, dtype: 1 / 0)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        keras_blocks.cost(Fails(), (8, 8, 3))
    with keras.StatelessScope():
        pass


def test_what_was_counted_before_changes_no_answer():
    options = {"groups": [{"filters": [4]}], "input_shape": (8, 8, 1), "classes": 3}
    keras_blocks.cost(keras_blocks.SqueezeNet, stem={"filters": 8, "strides": 1}, **options)
    for wrong in ({"filters": 8.0}, {"filters": 8, "strides": True}):
        with pytest.raises(TypeError):
            keras_blocks.cost(keras_blocks.SqueezeNet, stem=wrong, **options)


def test_what_cannot_be_built_cannot_be_counted():
    class Wrong(keras_blocks.Block):
        def chain(self, channels):
            return [self.sum_of("sum", [], [self.conv2d("narrow", 1, 1)])]

    with pytest.raises(ValueError, match="sum"):
        keras_blocks.cost(Wrong(), (8, 8, 3))
    with pytest.raises(ValueError, match="groups"):
        keras_blocks.cost(keras_blocks.ConvBlock(4, groups=2), (8, 8, 3))
    inputs = keras.Input((8, 8, 1))
    with pytest.raises(ValueError, match="must fit"):
        keras_blocks.cost(keras.Model(inputs, keras_blocks.ConvBlock(4)(inputs)), (8, 8, 5))


def test_architectures_whose_parts_use_plain_layers():
    class Wide(keras_blocks.SqueezeNet):
        def stem(self, x):
            y = self.layer("a", keras.layers.Conv2D, filters=4, kernel_size=3, padding="same")(x)
            z = self.layer("b", keras.layers.Conv2D, filters=5, kernel_size=1)(x)
            return self.layer("both", keras.layers.Concatenate)([y, z])

    class Plain(keras_blocks.SqueezeNet):
        def stem(self, x):
            return keras.ops.relu(keras.layers.Conv2D(9, 5, padding="same")(x))

    options = {"groups": [{"filters": [4]}], "input_shape": (8, 8, 1), "classes": 3}
    for cls in (Wide, Plain):
        model = cls(**options)
        assert keras_blocks.cost(cls, **options).params == model.count_params()
        assert keras_blocks.cost(cls, **options).macs == keras_blocks.cost(model).macs


def test_a_layer_that_is_in_a_model_twice_has_its_weights_once():
    block = keras_blocks.FireBlock(2, expand_ratio=1)
    sequential = keras.Sequential([keras.Input((8, 8, 4)), block, block])
    assert keras_blocks.cost(sequential).params == sequential.count_params()


def test_multiply_adds_that_are_not_known_are_said_to_be():
    inputs = keras.Input((8, 4))
    model = keras.Model(inputs, keras.layers.LSTM(3)(inputs))
    with pytest.warns(UserWarning, match=r"LSTM.*not known"):
        assert keras_blocks.cost(model).params == model.count_params()
    with pytest.warns(UserWarning, match=r"TimeDistributed.*not known"):
        inputs = keras.Input((5, 8, 8, 3))
        keras_blocks.cost(keras.Model(inputs, keras.layers.TimeDistributed(keras_blocks.FireBlock(2))(inputs)))


def test_a_block_is_counted_once():
    costs._counted.cache_clear()
    with mock.patch.object(keras_blocks.FireBlock, "chain", autospec=True, side_effect=_chain) as chain:
        options = {"groups": [{"filters": [16, 16, 16, 16]}], "input_shape": (32, 32, 3), "stem": "small"}
        keras_blocks.cost(keras_blocks.SqueezeNet, **options)
    assert chain.call_count == 2  # the first block has the stem's channels, the other three are alike


_chain = keras_blocks.FireBlock.chain


def test_activation_bytes_count_every_output_once():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    x = keras.layers.Flatten()(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    assert keras_blocks.cost(model).activation_bytes == 4 * (8 * 8 * 4 + 10)
    half = keras_blocks.cost(keras_blocks.FireBlock(4, dtype="mixed_float16"), (8, 8, 4))
    full = keras_blocks.cost(keras_blocks.FireBlock(4), (8, 8, 4))
    assert half.activation_bytes * 2 == full.activation_bytes


def test_a_layer_called_twice_is_held_once_and_computed_twice():
    block = keras_blocks.FireBlock(2, expand_ratio=1)
    inputs = keras.Input((8, 8, 4))
    once = keras_blocks.cost(keras.Model(inputs, block(inputs)))
    twice = keras_blocks.cost(keras.Model(inputs, block(block(inputs))))
    assert (twice.params, twice.macs) == (once.params, 2 * once.macs)


def test_sequential_nested_and_subclassed_models():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = keras_blocks.FireBlock(4)
            self.head = keras.layers.Dense(3)

        def call(self, x):
            return self.head(keras.ops.mean(self.block(x), axis=(1, 2)))

    block = keras_blocks.cost(keras_blocks.FireBlock(4), (8, 8, 4))
    head = 32 * 3
    sequential = keras.Sequential([keras.Input((8, 8, 4)), keras_blocks.FireBlock(4)])
    assert keras_blocks.cost(sequential) == block
    inputs = keras.Input((8, 8, 4))
    assert keras_blocks.cost(keras.Model(inputs, sequential(inputs))).macs == block.macs
    net = Net()
    with pytest.raises(ValueError, match="not built"):
        keras_blocks.cost(net, (8, 8, 4))
    net(np.zeros((1, 8, 8, 4), "float32"))
    counted = keras_blocks.cost(net, (8, 8, 4))
    assert (counted.params, counted.macs) == (block.params + head + 3, block.macs + head)


KERAS_LAYERS = st.one_of(
    st.builds(
        lambda cls, filters, kernel, strides, padding, bias: (
            cls,
            {
                "filters": filters,
                "kernel_size": kernel,
                "strides": strides,
                "padding": padding,
                "use_bias": bias,
                **({"groups": 1} if cls is keras_blocks.GroupedConv2D else {}),  # that of 1 divides any channels
            },
        ),
        st.sampled_from([keras.layers.Conv2D, keras_blocks.GroupedConv2D]),
        st.integers(1, 5),
        st.integers(1, 4),
        st.integers(1, 3),
        st.sampled_from(["same", "valid"]),
        st.booleans(),
    ),
    st.builds(
        lambda cls, pool, strides, padding: (cls, {"pool_size": pool, "strides": strides, "padding": padding}),
        st.sampled_from([keras.layers.MaxPooling2D, keras.layers.AveragePooling2D]),
        st.integers(1, 4),
        st.one_of(st.none(), st.integers(1, 3)),
        st.sampled_from(["same", "valid"]),
    ),
    st.builds(
        lambda cls, keep: (cls, {"keepdims": keep}),
        st.sampled_from([keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D]),
        st.booleans(),
    ),
    st.builds(
        lambda cls, scale, center: (cls, {"scale": scale, "center": center}),
        st.sampled_from([keras.layers.BatchNormalization, BatchNormalization]),
        st.booleans(),
        st.booleans(),
    ),
    st.builds(
        lambda units, bias: (keras.layers.Dense, {"units": units, "use_bias": bias}), st.integers(1, 5), st.booleans()
    ),
    st.just((keras.layers.Activation, {"activation": "relu"})),
    st.just((keras.layers.Dropout, {"rate": 0.5})),
    st.just((keras.layers.Flatten, {})),
    st.just((keras.layers.Rescaling, {"scale": 2.0})),
    st.builds(
        lambda kernel, strides, multiplier, padding, bias: (
            keras.layers.DepthwiseConv2D,
            {
                "kernel_size": kernel,
                "strides": strides,
                "depth_multiplier": multiplier,
                "padding": padding,
                "use_bias": bias,
            },
        ),
        st.integers(1, 4),
        st.integers(1, 3),
        st.integers(1, 3),
        st.sampled_from(["same", "valid"]),
        st.booleans(),
    ),
)


@pytest.mark.once
@settings(max_examples=60)
@given(KERAS_LAYERS, st.tuples(st.just(None), st.integers(4, 9), st.integers(4, 9), st.integers(1, 4)))
def test_rules_equal_the_built_layer(layer, shape):
    cls, options = layer
    by_rule = layer_costs.LayerCost(*layer_costs.LAYER_RULES[cls]({**arguments(cls), **options}, shape))
    assert by_rule == layer_costs.measured(lambda: cls(**options), shape)


@pytest.mark.parametrize("cls", [keras.layers.Add, keras.layers.Multiply, keras.layers.Concatenate])
@pytest.mark.parametrize("axis", [-1, 1])
def test_rules_of_merges_equal_the_layer(cls, axis):
    options = {"axis": axis} if cls is keras.layers.Concatenate else {}
    other = {-1: (None, 4, 6, 5), 1: (None, 2, 6, 3)}[axis] if options else (None, 4, 6, 3)
    shapes = [(None, 4, 6, 3), other]
    by_rule = layer_costs.LAYER_RULES[cls]({**arguments(cls), **options}, shapes)
    assert tuple(by_rule[0]) == tuple(cls(**options).compute_output_shape(shapes))
    with pytest.raises(ValueError):
        layer_costs.LAYER_RULES[cls]({**arguments(cls), **options}, [(None, 4, 6, 3), (None, 5, 7, 4)])


def test_every_rule_is_tested():
    merges = {keras.layers.Add, keras.layers.Multiply, keras.layers.Concatenate}
    tested = {
        keras.layers.Conv2D,
        keras_blocks.GroupedConv2D,
        keras.layers.MaxPooling2D,
        keras.layers.AveragePooling2D,
        keras.layers.GlobalAveragePooling2D,
        keras.layers.GlobalMaxPooling2D,
        keras.layers.BatchNormalization,
        BatchNormalization,
        keras.layers.Dense,
        keras.layers.Activation,
        keras.layers.Dropout,
        keras.layers.Flatten,
        keras.layers.Rescaling,
        keras.layers.DepthwiseConv2D,
    }
    assert set(layer_costs.LAYER_RULES) == tested | merges


@pytest.mark.parametrize(
    ("target", "shape", "message"),
    [
        (keras_blocks.FireBlock(4), None, "input_shape"),
        (keras_blocks.FireBlock(4), (None, 8, 3), "all known"),
        (keras_blocks.SqueezeNet, (3, 3, 3), "stem_conv"),
        (keras_blocks.SqueezeNet, (224, 224), "input_shape"),
        ("squeezenet", (224, 224, 3), r"`target` must be one of .*Did you mean .squeezenet_1\.1"),
    ],
)
def test_bad_input_is_named(target, shape, message):
    with pytest.raises((ValueError, TypeError), match=message):
        keras_blocks.cost(target, shape)


@pytest.mark.once
def test_a_name_is_create_models_whatever_a_users_class_calls_its_own():
    before = keras_blocks.cost("resnet18", (32, 32, 3))
    assert before.params == keras_blocks.create_model("resnet18", input_shape=(32, 32, 3)).count_params()

    class Mine(keras_blocks.ResNet):
        variants = {"resnet18": {"groups": [{"filters": 4, "blocks": 1}], "block": "basic"}}

    assert keras_blocks.cost("resnet18", (32, 32, 3)) == before
    assert keras_blocks.cost(Mine, (32, 32, 3), **Mine.variants["resnet18"]) != before


def test_rules_read_the_defaults_of_their_layers():
    """A spec may name nothing but what a layer must be told."""

    class Plain(keras_blocks.Block):
        def chain(self, channels):
            options = {"filters": 8, "kernel_size": 3}
            grouped = self.layer("grouped", keras_blocks.GroupedConv2D, groups=4, **options)
            dense = self.layer("conv", keras.layers.Conv2D, **options)
            gate = [self.layer("mean", keras.layers.GlobalAveragePooling2D)]
            return [grouped, dense, self.product_of("scaled", [], gate)]

    block = Plain()
    counted = keras_blocks.cost(block, (8, 8, 8))
    block.build((None, 8, 8, 8))
    assert counted.params == block.count_params()
    assert block(np.zeros((1, 8, 8, 8), "float32")).shape == (1, 4, 4, 8)
    assert keras_blocks.cost(block, (8, 8, 8)) == counted
