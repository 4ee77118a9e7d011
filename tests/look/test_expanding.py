"""`expand` of any model that holds blocks: what it opens, what it shares, and what it says of what it cannot."""

import keras
import numpy as np
import pytest
from catalog import LAYERS, random_model
from checks import randomize
from keras import layers
from thorough import run_all

import keras_blocks

backend = keras.backend.backend()
SHAPE = (6, 6, 3)
IMAGES = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")


def fire(name):
    return keras_blocks.FireBlock(2, expand_ratio=1, batch_norm=True, name=name)


class Subclassed(keras.Model):
    """Blocks, a layer that holds a block, a model that holds one, and operations between them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.holder = fire("first"), Holder()
        self.inner = keras.Sequential([keras.Input((6, 6, 4)), fire("inner")])

    def call(self, x, training=None):
        x = self.holder(keras.ops.relu(self.first(x, training=training)))
        return keras.ops.mean(self.inner(x) * 2.0, axis=(1, 2))


class Holder(keras.layers.Layer):
    """A user's own layer with a block inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.block = fire("held")

    def build(self, shape):
        self.block.build(shape)

    def call(self, x):
        return x + self.block(x)[..., :1]


def sequential():
    return keras.Sequential([keras.Input(SHAPE), fire("a"), keras.layers.Dropout(0.5), fire("b")])


def functional():
    x = keras.Input(SHAPE, name="picture")
    return keras.Model(x, {"fire": fire("a")(x), "held": Holder()(x)})


def nested():
    x = keras.Input(SHAPE)
    return keras.Model(x, Subclassed()(sequential()(x)))


def of_several_inputs():
    inputs = {"left": keras.Input(SHAPE, name="left"), "right": keras.Input(SHAPE, name="right")}
    block = fire("shared")
    return keras.Model(inputs, keras.layers.Add()([block(inputs["left"]), Holder()(block(inputs["right"]))]))


def subclassed():
    model = Subclassed()
    model(IMAGES)
    return model


class Own(keras.Model):
    """A functional model whose `call` says more than its graph does."""

    def call(self, x, training=None, mask=None):
        return 3.0 * super().call(x, training=training)


def with_a_call_of_its_own():
    x = keras.Input(SHAPE)
    return Own(x, fire("a")(x))


MODELS = (sequential, functional, nested, of_several_inputs, subclassed, with_a_call_of_its_own)


def outputs(model):
    images = {tensor.name: IMAGES for tensor in model.inputs} if len(getattr(model, "inputs", ())) > 1 else IMAGES
    return [np.asarray(keras.ops.convert_to_numpy(one)) for one in keras.tree.flatten(model(images))]


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_flat_model_equals_the_one_it_shares_its_weights_with(make):
    model = make()
    randomize(model)
    flat = keras_blocks.expand(model)
    assert not any(
        isinstance(layer, (keras_blocks.Block, keras.Model, Holder, keras.layers.Wrapper)) for layer in flat.layers
    )
    assert {id(weight) for weight in flat.weights} == {id(weight) for weight in model.weights}
    for mine, theirs in zip(outputs(flat), outputs(model), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6)


def twins():
    """Two networks of one architecture, whose layers have the same names, and a layer of such a name besides."""
    x = keras.Input(SHAPE)
    nets = [keras.Sequential([keras.Input(SHAPE), fire("a"), keras.layers.Dropout(0.5)], name=n) for n in ("l", "r")]
    return keras.Model(
        x, keras.layers.ReLU(name="a_squeeze")(keras.layers.Add()([nets[0](x), nets[1](nets[0](x)[..., :3])]))
    )


def test_layers_of_one_name_are_told_apart(tmp_path):
    model = twins()
    randomize(model)
    flat = keras_blocks.expand(model)
    names = {layer.name for layer in flat.layers}
    assert {"l_a_squeeze", "r_a_squeeze", "a_squeeze"} <= names and len(names) == len(flat.layers)
    assert {id(weight) for weight in flat.weights} == {id(weight) for weight in model.weights}
    flat.compile("sgd", "mse")
    flat.fit(IMAGES, np.ones((2, *model.output_shape[1:])), verbose=0)
    flat.save(tmp_path / "flat.keras")
    for other in (flat, keras.saving.load_model(tmp_path / "flat.keras")):
        np.testing.assert_allclose(*outputs(other), *outputs(model), rtol=1e-6, atol=1e-6)


@pytest.mark.once
def test_a_name_that_is_taken_is_numbered():
    x = keras.Input(SHAPE)
    nets = {
        name: keras.Sequential([keras.Input(SHAPE), layers.ReLU(name=inner)], name=name)
        for name, inner in (("a_b", "c"), ("a", "b_c"))
    }
    model = keras.Model(x, layers.ReLU(name="b_c")(layers.ReLU(name="c")(nets["a"](nets["a_b"](x)))))
    names = [layer.name for layer in keras_blocks.expand(model).layers]
    assert sorted(names[1:]) == ["a_b_c", "a_b_c_1", "b_c", "c"]


class Plain(keras.Model):
    """A model of a user's own without blocks."""

    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Conv2D(6, 3), layers.Conv2D(2, 3)

    def call(self, x):
        return self.second(keras.ops.relu(self.first(x)))


@pytest.mark.once
def test_a_subclassed_model_without_blocks_is_opened_too():
    model = Plain()
    np.testing.assert_allclose(
        *outputs(keras_blocks.expand(model, SHAPE)), *[keras.ops.convert_to_numpy(model(IMAGES))], rtol=1e-5
    )
    model(IMAGES)
    assert keras_blocks.prune(model).count_params() < model.count_params()


@pytest.mark.once
def test_a_network_within_may_end_in_a_layer_of_the_same_name():
    twins = keras_blocks.create_model("siamese_koch2015")
    names = [layer.name for layer in keras_blocks.expand(twins).layers]
    assert names.count("predictions") == names.count("embedding_koch2015_predictions") == 1


@pytest.mark.once
@pytest.mark.parametrize("row", LAYERS if run_all() else LAYERS[3:4], ids=lambda row: row.name)
def test_every_block_opens_in_every_parent(row):
    model = random_model(row)
    block, shape = model.layers[1], model.input_shape[1:]
    if not isinstance(block, keras_blocks.Block):
        return
    images = np.random.default_rng(0).uniform(0, 1, (2, *shape)).astype("float32")
    sequence = keras.Sequential([keras.Input(shape), block])
    x = keras.Input(shape)
    for parent in (sequence, keras.Model(x, sequence(x)), model):
        flat = keras_blocks.expand(parent)
        assert not any(isinstance(layer, keras_blocks.Block | keras.Model) for layer in flat.layers)
        for mine, theirs in zip(keras.tree.flatten(flat(images)), keras.tree.flatten(parent(images)), strict=True):
            np.testing.assert_allclose(
                *(keras.ops.convert_to_numpy(one) for one in (mine, theirs)), rtol=1e-5, atol=1e-6
            )


@pytest.mark.once
def test_the_flat_model_takes_data_by_the_names_of_the_inputs_and_other_sizes():
    assert [tensor.name for tensor in keras_blocks.expand(functional()).inputs] == ["picture"]
    model = keras.Sequential([fire("a")])
    assert keras_blocks.expand(model, (8, 9, 3)).output_shape == (None, 8, 9, 4)
    net = keras_blocks.create_model("resnet20_cifar", classes=2, name="net")
    assert keras_blocks.expand(net).name == "net_expanded"


def test_what_a_block_adds_to_the_loss_the_flat_model_adds():
    class Regularized(keras.layers.Layer):
        def __init__(self):
            super().__init__(activity_regularizer="l1")
            self.inside = fire("inside")

        def build(self, shape):
            self.inside.build(shape)

        def call(self, x):
            return self.inside(x)

    block = keras_blocks.FireBlock(2, activity_regularizer=keras.regularizers.L2(0.3), name="block")
    model = keras.Sequential([keras.Input(SHAPE), block, Regularized()])
    flat = keras_blocks.expand(model)
    for one in (model, flat):
        one.compile(keras.optimizers.SGD(0.01), "mse")
    targets = np.zeros((2, *model.output_shape[1:]))
    wanted = model.evaluate(IMAGES, targets, verbose=0)
    assert wanted > np.mean(model.predict(IMAGES, verbose=0) ** 2) + 0.1
    np.testing.assert_allclose(flat.evaluate(IMAGES, targets, verbose=0), wanted, rtol=1e-5)


class Scaled(Subclassed):
    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(1,))
        self.first.build(shape)

    def call(self, x):
        return self.first(x) * self.scale


class OnArrays(Subclassed):
    def call(self, x):
        return np.asarray(x) + self.first(x) if isinstance(x, np.ndarray) else x.no_such_thing


class ByTraining(Subclassed):
    def call(self, x, training=None):
        return self.first(x) if training else keras.ops.relu(self.first(x))


@pytest.mark.once
def test_what_cannot_be_opened_is_said():
    with pytest.raises(TypeError, match=r"`model` must be a Keras model; received str.*create_model\('resnet18'\)"):
        keras_blocks.expand("resnet18")
    with pytest.raises(TypeError, match=r"`model` must be a Keras model; received FireBlock.*block.expand"):
        keras_blocks.expand(fire("a"))
    for unbuilt in (Subclassed(name="mine"), keras.Sequential([fire("a")], name="mine")):
        with pytest.raises(ValueError, match=r"'mine' does not say what it takes.*`input_shape`"):
            keras_blocks.expand(unbuilt)
    with pytest.raises(ValueError, match=r"Scaled 'scaled' cannot be opened: its weight 'scale'"):
        keras_blocks.expand(_called(Scaled(name="scaled")))
    with pytest.raises(ValueError, match=r"OnArrays 'on' holds blocks and cannot be opened.*no_such_thing.*keras\.ops"):
        keras_blocks.expand(OnArrays(name="on"), SHAPE)
    with pytest.warns(UserWarning, match="ByTraining 'by' has other layers in training"):
        keras_blocks.expand(ByTraining(name="by"), SHAPE)


def _called(model):
    model(IMAGES)
    return model


def test_a_block_for_each_step_of_time_opens_or_is_refused_by_its_name():
    """Keras unrolls known steps, and maps over others by the backend's means, which work on arrays alone."""
    x = keras.Input((2, *SHAPE))
    model = keras.Model(x, keras.layers.TimeDistributed(fire("a"), name="steps")(x))
    try:
        flat = keras_blocks.expand(model)
    except ValueError as error:
        assert "TimeDistributed 'steps' holds blocks and cannot be opened" in str(error)
        return
    images = np.stack([IMAGES, 2 * IMAGES], axis=1)
    assert not any(isinstance(layer, keras.layers.TimeDistributed) for layer in flat.layers)
    for mine, theirs in zip((flat(images),), (model(images),)):
        np.testing.assert_allclose(*(keras.ops.convert_to_numpy(one) for one in (mine, theirs)), rtol=1e-5, atol=1e-6)
