"""`memory`: by hand for small chains, and XLA's own buffers for networks, on JAX."""

import keras
import pytest
from thorough import run_all

import keras_blocks
from keras_blocks.core.graphs import unallocated_and_compiled
from keras_blocks.look.memory import weight_bytes
from keras_blocks.look.operations import operations_of
from keras_blocks.look.plan import plan_of

layers = keras.layers
HALF = {"groups": [{"filters": [8, 8]}, {"filters": [16]}], "stem": "tiny", "input_shape": (16, 16, 3), "classes": 10}


def chained(*steps):
    return keras.Sequential([keras.Input((8, 8, 2)), *steps])


@pytest.mark.once
def test_what_inference_takes_by_hand():
    """The larger of what a layer reads and writes together; a ReLU takes the memory of what it reads."""
    pixels, weights = 4 * 64, 4 * (2 * 4 + 4 * 6)
    model = chained(layers.Conv2D(4, 1, use_bias=False), layers.Activation("relu"), layers.Conv2D(6, 1, use_bias=False))
    assert keras_blocks.memory(model).inference == weights + pixels * (2 + 4 + 6)
    assert keras_blocks.memory(model, batch_size=3).inference == weights + 3 * pixels * (2 + 4 + 6)


@pytest.mark.once
def test_a_skip_connection_stays_alive():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 1, use_bias=False)(inputs)
    y = layers.Conv2D(8, 1, use_bias=False)(x)
    model = keras.Model(inputs, layers.Add()([x, layers.Conv2D(4, 1, use_bias=False)(y)]))
    rows = keras_blocks.cost_rows(model)
    assert [row.inference_bytes // 256 for row in rows] == [4, 4 + 8, 4 + 8 + 4, 4 + 4]


@pytest.mark.once
def test_training_keeps_what_gradients_read():
    """Of a convolution, a normalization and a ReLU: what the first gives, and what the next one reads of the last."""
    pixels = 4 * 64
    taken = [
        keras_blocks.memory(chained(*[keras_blocks.ConvBlock(4, 1) for _ in range(units)]), slots=0).training
        for units in (8, 9)
    ]
    weights = 1.5 * 4 * (4 * 4 + 2 * 4) + 4 * 2 * 4  # with half of the gradients; moving statistics have none
    assert taken[1] - taken[0] == 2 * 4 * pixels + weights


@pytest.mark.once
def test_optimizers_and_recomputation():
    without = keras_blocks.memory("densenet121", batch_size=16)
    assert without.training > without.inference
    trainable = keras_blocks.cost("densenet121").params - 83_648  # BatchNormalization's moving statistics
    assert without.training - keras_blocks.memory("densenet121", batch_size=16, slots=0).training == 8 * trainable
    again = keras_blocks.memory("densenet121", batch_size=16, remat=True)
    assert again == keras_blocks.memory("densenet121", batch_size=16, **{"remat": True})
    assert 0.3 < again.training / without.training < 0.6  # 37 % of the peak of TensorFlow's process: docs/benchmarks.md
    rows = keras_blocks.cost_rows("densenet121")
    assert sum(row.remat_bytes for row in rows) < sum(row.training_bytes for row in rows)


@pytest.mark.once
@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"slots": -1}, {"remat": "yes"}, {"input_shape": (None, None, 3)}]
)
def test_bad_input_is_named(options):
    with pytest.raises((TypeError, ValueError), match=f"`{next(iter(options))}`"):
        keras_blocks.memory(keras_blocks.FireBlock(4), **{"input_shape": (8, 8, 3), **options})


NETWORKS = {
    "squeezenet": (keras_blocks.SqueezeNet, HALF),
    "resnet": (
        keras_blocks.ResNet,
        {"groups": [{"filters": 8, "blocks": 2}, {"filters": 16, "blocks": 1}], "stem": "cifar", "block": "basic"},
    ),
    "densenet": (keras_blocks.DenseNet, {"groups": [{"layers": 3}, {"layers": 3}], "filters": 8, "stem": "cifar"}),
}


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="XLA's buffers")
@pytest.mark.parametrize("name", NETWORKS if run_all() else ["resnet"])
def test_xla_assigns_as_much(name):
    import jax

    if jax.__version_info__ < (0, 5):
        pytest.skip("XLA of jax 0.4.38 takes 1.7 times as much")
    cls, options = NETWORKS[name]
    options = {"input_shape": (16, 16, 3), "classes": 10, **options}
    with unallocated_and_compiled():
        model = cls(**options)
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        optimizer.build(model.trainable_variables)
    state = [
        [jax.ShapeDtypeStruct(tuple(one.shape), one.dtype) for one in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    ]

    def loss(trainable, other, images, labels):
        scores, other = model.stateless_call(trainable, other, images, training=True)
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, scores)), other

    def step(state, images, labels):
        trainable, other, slots = state
        (_, other), gradients = jax.value_and_grad(loss, has_aux=True)(trainable, other, images, labels)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return trainable, other, slots

    images = jax.ShapeDtypeStruct((16, 16, 16, 3), "float32")
    labels = jax.ShapeDtypeStruct((16,), "int32")
    found = jax.jit(step, donate_argnums=0).lower(state, images, labels).compile().memory_analysis()
    taken = found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes
    taken -= found.alias_size_in_bytes
    assert keras_blocks.memory(cls, batch_size=16, slots=1, **options).training == pytest.approx(taken, rel=0.1)


@pytest.mark.once
def test_each_weight_is_counted_once_and_frozen_ones_have_no_gradients():
    twins = keras_blocks.Siamese(keras_blocks.SqueezeNet(**HALF, include_top=False))
    once = chained(layers.Conv2D(4, 3, padding="same"), layers.Conv2D(2, 1))
    again = keras.Sequential([keras.Input((8, 8, 2)), once, once])
    for model in (twins, again, keras_blocks.create_model("resnet20_cifar")):
        weights = 4 * model.count_params()
        assert weight_bytes(operations_of(plan_of(model)))[0] == weights
        trained = keras_blocks.memory(model).training
        model.trainable = False
        assert trained - keras_blocks.memory(model).training > 2 * 0.9 * weights  # Adam's two numbers for each


@pytest.mark.once
def test_long_chains_of_what_is_fused_take_no_time():
    x = inputs = keras.Input((8, 8, 4))
    for _ in range(40):
        x = layers.Multiply()([layers.Activation("sigmoid")(x), x])
    assert len(keras_blocks.cost_rows(keras.Model(inputs, x))) == 80


@pytest.mark.once
def test_sizes_that_follow_from_the_image_are_not_told():
    inputs = keras.Input((None, None, 3))
    x = keras.ops.mean(keras.ops.relu(inputs), axis=(1, 2))
    model = keras.Model(inputs, layers.Dense(2)(x))
    assert keras_blocks.cost_rows(model)[-1].training_bytes is None
    with pytest.raises(ValueError, match="`input_shape` must be given"):
        keras_blocks.memory(model)
