"""What a model is before it is built, and what any subclass of `Architecture` may do."""

import keras
import numpy as np
import pytest
from calling import JIT

import keras_blocks
from keras_blocks.core.chain import ShapeTensor

pytestmark = pytest.mark.once

SMALL = {"groups": [{"filters": 4, "blocks": 1}], "stem": "cifar", "input_shape": (8, 8, 3), "classes": 3}


@keras.saving.register_keras_serializable(package="test_network")
class Doubled(keras_blocks.Architecture):
    """A user's: an argument, a part that asks its parent's, a loss and a metric of its own."""

    def __init__(self, filters=4, **kwargs):
        super().__init__({"filters": filters}, **kwargs)
        self.loss_tracker = keras.metrics.Mean(name="own_loss")

    def preprocess(self, x):
        return self.layer("double", keras.layers.Rescaling, scale=2.0)(super().preprocess(x))

    def stem(self, x):
        return self.feature("stem", self.layer("stem", keras_blocks.ConvBlock, filters=self.metaparameters.filters)(x))

    def learner(self, x):
        return x

    def classifier(self, x):
        x = self.global_pool("pool", "avg")(x)
        return self.output_activation()(self.dense("scores", self.metaparameters.classes)(x))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = 3 * super().compute_loss(x, y, y_pred, sample_weight, training)
        self.loss_tracker.update_state(loss)
        return loss


@keras.saving.register_keras_serializable(package="test_network")
class TwoImages(keras_blocks.Architecture):
    """A user's, with two inputs."""

    input_names = ("before", "after")

    def __init__(self, **kwargs):
        super().__init__({}, **kwargs)

    def assemble(self, pair):
        before, after = (self.preprocess(x) for x in pair)
        x = self.layer("difference", keras.layers.Subtract)([after, before])
        return {"change": self.feature("change", self.layer("conv", keras_blocks.ConvBlock, filters=2)(x))}


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def as_array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def ours(cls):
    """The classes of the library that a reader of `cls` meets on the way to `keras.Model`, itself excluded."""
    return [base.__name__ for base in cls.__mro__[1:] if base.__module__.startswith("keras_blocks.")]


@pytest.mark.parametrize(
    "cls, most",
    [(keras_blocks.ResNet, 4), (keras_blocks.VGG, 3), (keras_blocks.Siamese, 3), (keras_blocks.AutoEncoder, 2)],
)
def test_few_classes_stand_between_an_architecture_and_keras(cls, most):
    assert len(ours(cls)) <= most, ours(cls)


def test_an_outline_assembles_on_tensors_and_on_shapes():
    outline = Doubled.outline(input_shape=(8, 8, 3), classes=3)
    assert outline.assemble(keras.Input((8, 8, 3))).shape == (None, 3)
    seen = []

    def visit(step, shape):
        seen.append(step.name)
        return step.make().compute_output_shape(shape)

    assert outline.assemble(ShapeTensor((None, 8, 8, 3), visit)).shape == (None, 3)
    assert seen == ["double", "stem", "pool", "scores", "predictions"]
    assert not outline.weights


def test_an_outline_leaves_no_trace():
    """Neither in the names that Keras counts, nor in what is made of the same class afterwards."""
    keras.utils.clear_session()
    Doubled.outline(input_shape=(8, 8, 3))
    keras_blocks.cost(Doubled, input_shape=(8, 8, 3), classes=3)
    model = Doubled(input_shape=(8, 8, 3), classes=3)
    assert model.name == "doubled"
    assert list(model.features) == ["stem"]
    assert keras_blocks.cost(Doubled, input_shape=(8, 8, 3), classes=3) == keras_blocks.cost(model)


def test_a_subclass_has_a_loss_and_a_metric_of_its_own(tmp_path):
    model = Doubled(filters=5, input_shape=(8, 8, 3), classes=3)
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=JIT)
    x, y = images(4, 8, 8, 3), np.array([0, 1, 2, 0])
    scores = as_array(model(x))[np.arange(4), y]
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0)[0], -3 * np.log(scores).mean(), rtol=1e-4)
    assert any(metric is model.loss_tracker for metric in model.metrics)
    np.testing.assert_allclose(float(model.loss_tracker.result()), -3 * np.log(scores).mean(), rtol=1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.metaparameters == model.metaparameters
    np.testing.assert_array_equal(as_array(again(x)), as_array(model(x)))


def test_preprocessing_of_a_subclass_comes_on_and_off():
    model = Doubled(input_shape=(8, 8, 3), classes=3)
    behind = model.attach_preprocessing([keras.layers.Rescaling(1 / 4)])
    assert type(behind) is Doubled
    assert {id(weight) for weight in behind.weights} == {id(weight) for weight in model.weights}
    x = images(2, 8, 8, 3)
    np.testing.assert_allclose(as_array(behind(x)), as_array(model(x / 4)), rtol=1e-5)
    bare, _ = behind.detach_preprocessing()
    np.testing.assert_allclose(as_array(bare(x)), as_array(model(x)), rtol=1e-5)


def test_a_subclass_may_have_several_inputs_and_outputs(tmp_path):
    model = TwoImages(input_shape=(8, 8, 3), preprocess=keras.layers.Rescaling(0.5))
    assert [tensor.name for tensor in model.inputs] == ["before", "after"]
    pair = [images(2, 8, 8, 3), images(2, 8, 8, 3) + 1]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(as_array(again(pair)["change"]), as_array(model(pair)["change"]))
    assert model.output["change"].shape == (None, 8, 8, 2)
    assert keras_blocks.cost(TwoImages, input_shape=(8, 8, 3)).params == model.count_params() == 56


def test_a_model_of_several_inputs_expands():
    model = TwoImages(input_shape=(8, 8, 1), classes=2)
    flat = model.expand()
    assert [tensor.name for tensor in flat.inputs] == ["before", "after"]
    images = list(np.random.default_rng(0).normal(size=(2, 3, 8, 8, 1)).astype("float32"))
    for mine, its in zip(keras.tree.flatten(model(images)), keras.tree.flatten(flat(images)), strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(its), keras.ops.convert_to_numpy(mine), rtol=1e-5)


def test_variants_and_metaparameters_are_the_outlines():
    outline = keras_blocks.ResNet.outline(**SMALL)
    model = keras_blocks.ResNet(**SMALL)
    assert outline.metaparameters == model.metaparameters
    assert "outline of ResNet" in repr(outline)
    assert "outline" not in repr(model)


@pytest.mark.parametrize("stem, expected", [("cifar", (4, 6)), ("imagenet", (4, 6)), ("deep", (8, 6))])
def test_the_stem_has_the_first_groups_filters_unless_told_otherwise(stem, expected):
    options = {**SMALL, "stem": stem, "input_shape": (32, 32, 3)}
    nets = [keras_blocks.ResNet(**options, stem_filters=filters) for filters in (None, 6)]
    assert tuple(net.features["stem"].shape[-1] for net in nets) == expected
