"""Models by name."""

import pytest

import keras_blocks
from keras_blocks.models.registry import ARCHITECTURES

pytestmark = pytest.mark.once


def test_lists_every_variant_once():
    names = keras_blocks.list_models()
    assert names == sorted(set(names))
    assert set(names) == {variant for cls in ARCHITECTURES for variant in cls.variants}
    assert keras_blocks.list_models("squeezenet_1.0*") == [
        "squeezenet_1.0",
        "squeezenet_1.0_caffe",
        "squeezenet_1.0_complex_bypass",
        "squeezenet_1.0_simple_bypass",
    ]
    assert keras_blocks.list_models("nothing*") == []


def test_create_model_takes_the_arguments_of_keras_applications():
    model = keras_blocks.create_model(
        "squeezenet_1.1",
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=(64, 64, 3),
        pooling=None,
        classes=7,
        classifier_activation=None,
        name="mine",
    )
    assert (model.name, model.output_shape) == ("mine", (None, 7))
    assert model.layers[-1].activation(3.0) == 3.0


@pytest.mark.parametrize(
    ("pooling", "shape"), [(None, (None, 13, 13, 512)), ("avg", (None, 512)), ("max", (None, 512))]
)
def test_without_the_top(pooling, shape):
    assert keras_blocks.create_model("squeezenet_1.1", include_top=False, pooling=pooling).output_shape == shape


def test_variants_are_data_that_no_model_changes():
    before = repr(keras_blocks.SqueezeNet.variants)
    keras_blocks.create_model("squeezenet_1.1", classes=3, input_shape=(64, 64, 3))
    assert repr(keras_blocks.SqueezeNet.variants) == before
