"""Every row of the catalog through every contract."""

import copy
import inspect

import keras
import numpy as np
import pytest
from calling import EAGERLY, JIT, as_array, call, outputs_of
from catalog import (
    ARCHITECTURES,
    LAYERS,
    NOT_LAYERS,
    OTHER_MODELS,
    ROWS,
    image_shape,
    of_each_kind,
    random_model,
    small_model,
)
from checks import check_layer, joined_shape
from thorough import run_alike, run_all

import keras_blocks
from keras_blocks.core.signature import arguments

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
every_layer = pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.name)
every_kind = pytest.mark.parametrize("row", of_each_kind(ROWS), ids=lambda row: row.name)
every_kind_of_layer = pytest.mark.parametrize("row", of_each_kind(LAYERS), ids=lambda row: row.name)
# XLA compiles each operation of each, for seconds; PyTorch and TensorFlow run all.
compiled = of_each_kind(LAYERS) if keras.backend.backend() == "jax" else LAYERS
every_layer_that_is_compiled = pytest.mark.parametrize("row", compiled, ids=lambda row: row.name)
every_saved_name = pytest.mark.parametrize("name", [row.name for row in ROWS] + list(OTHER_MODELS))
every_architecture = pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.name)


def images_for(row, batch=2):
    return np.random.default_rng(0).uniform(0, 1, (batch, *image_shape(row))).astype("float32")


@pytest.mark.once
def test_every_public_name_has_a_row():
    assert set(keras_blocks.__all__) == {row.name for row in ROWS} | set(NOT_LAYERS)
    assert all(hasattr(keras_blocks, name) for name in keras_blocks.__all__)


@pytest.mark.once
@every_saved_name
def test_is_registered_under_its_name(name):
    assert keras.saving.get_registered_name(getattr(keras_blocks, name)) == f"keras_blocks>{name}"


@pytest.mark.once
@every_saved_name
def test_docstring_has_all_parts(name):
    text = inspect.getdoc(getattr(keras_blocks, name))
    for part in ("Args:", "Input shape:", "Output shape:", "Raises:", "Reference:", "Example", ">>>"):
        assert part in text, f"{name}'s docstring has no '{part}'"


@pytest.mark.once
@every_row
def test_arguments_of_the_row_are_no_defaults(row):
    skipped = {"data_format", "dilation_rate", "input_tensor", "dtype", "name", "trainable", "own"}
    defaults = {key: value for key, value in arguments(row.cls).items() if key not in skipped}
    ours = {key for key in defaults if not issubclass(row.cls, keras.layers.MaxPooling2D) or key in row.arguments}
    assert set(row.arguments) - {"dilation_rate"} == ours
    for key, value in row.arguments.items():
        assert key in skipped or value != defaults[key], f"{key}={value!r} is the default"


@pytest.mark.once
@pytest.mark.parametrize(
    "row", ROWS if run_all() else LAYERS, ids=lambda row: row.name
)  # those of networks: the ledger
def test_counts_and_shapes_are_the_references(row):
    if issubclass(row.cls, keras.Model):
        model = row.cls(**row.counted, kernel_initializer="zeros")  # random ones take longer than all the rest
        shape = model.output_shape[1:]
    else:
        model = row.cls(**row.counted)
        model.build((None, *row.input_shape))
        shape = joined_shape(model.compute_output_shape((None, *row.input_shape)))[1:]
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert (tuple(shape), trainable, model.count_params() - trainable) == (row.output_shape, row.trainable, row.other)


@every_layer_that_is_compiled
def test_layer_contract(row):
    check_layer(lambda **kwargs: row.cls(**{**row.arguments, **kwargs}), row.input_shape, row.dtype)


@pytest.mark.once
@every_layer
def test_builds_and_keeps_its_config_in_channels_first(row):
    layer = row.cls(**row.arguments, data_format="channels_first")
    height, width, channels = row.input_shape
    layer.build((None, channels, height, width))
    last = row.cls(**row.arguments)
    last.build((None, height, width, channels))
    assert [weight.shape for weight in layer.weights] == [weight.shape for weight in last.weights]
    assert type(layer).from_config(layer.get_config()).data_format == "channels_first"
    first_shape = joined_shape(layer.compute_output_shape((None, channels, height, width)))
    last_shape = joined_shape(last.compute_output_shape((None, height, width, channels)))
    assert (*first_shape[2:], first_shape[1]) == last_shape[1:]


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="TensorFlow's CPU has no channels_first convolution"
)
@every_layer_that_is_compiled
def test_channels_first_gives_the_same_outputs(row):
    images = images_for(row)
    last, first = row.cls(**row.arguments), row.cls(**row.arguments, data_format="channels_first")
    outputs = outputs_of(last, images)
    transposed = np.transpose(images, (0, 3, 1, 2))
    first.build(transposed.shape)
    first.set_weights(last.get_weights())
    again = outputs_of(first, transposed)
    np.testing.assert_allclose(np.moveaxis(again, 1, -1), outputs, rtol=1e-4, atol=1e-5)


@every_layer_that_is_compiled
def test_takes_unknown_batch_and_sizes(row):
    inputs = keras.Input((None, None, row.input_shape[-1]))
    model = keras.Model(inputs, row.cls(**{**row.arguments, **row.any_size})(inputs))
    assert set(joined_shape(model.output)[:-1]) == {None}
    images = images_for(row)
    assert outputs_of(model, images).shape == joined_shape(model.layers[1].compute_output_shape(images.shape))


@pytest.mark.once
@every_kind_of_layer
def test_called_twice_shares_its_weights(row):
    layer = row.cls(**{**row.arguments, **row.any_size})
    one, other = keras.Input(row.input_shape), keras.Input((None, None, row.input_shape[-1]))
    model = keras.Model([one, other], [layer(one), layer(other)])
    assert model.count_params() == layer.count_params()
    images = images_for(row)
    first, second = call(model, [images, images])
    np.testing.assert_array_equal(as_array(first), as_array(second))


@pytest.mark.once
@pytest.mark.parametrize(  # a block's base casts
    "row",
    [row for row in LAYERS if not issubclass(row.cls, keras_blocks.Block) or row in of_each_kind(LAYERS)],
    ids=lambda row: row.name,
)
def test_casts_integer_images(row):
    layer = row.cls(**row.arguments)
    images = np.random.default_rng(0).integers(0, 256, (2, *row.input_shape)).astype("uint8")
    expected = outputs_of(layer, images.astype("float32"))
    np.testing.assert_allclose(outputs_of(layer, images), expected, rtol=1e-6)


@pytest.mark.once
@every_kind
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"] if run_all() else ["mixed_float16"])
def test_keeps_a_mixed_policy_through_a_file(row, policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    model = small_model(row)
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for layer in again._flatten_layers():
        if layer.weights and not isinstance(layer, keras.Model):
            assert layer.dtype_policy.name == policy, layer.name


@pytest.mark.once
@every_kind
def test_clone_model_and_deepcopy(row):
    model = random_model(row)
    images = images_for(row)
    expected = outputs_of(model, images)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(outputs_of(clone, images), expected)
    np.testing.assert_array_equal(outputs_of(copy.deepcopy(model), images), expected)


@pytest.mark.once
@every_kind_of_layer
def test_deepcopy_of_the_layer(row):
    layer = row.cls(**row.arguments)
    images = images_for(row)
    expected = outputs_of(layer, images)
    twin = copy.deepcopy(layer)
    np.testing.assert_array_equal(outputs_of(twin, images), expected)
    if twin.weights:
        twin.weights[0].assign(twin.weights[0] + 1)
        np.testing.assert_array_equal(outputs_of(layer, images), expected)


# Whether a layer's weights have gradients is part of `check_layer`, on every backend.
TRAINED = [
    row
    for row in ROWS
    if row.trainable and (row in of_each_kind(ROWS) if run_alike() else row in of_each_kind(ARCHITECTURES))
]


@pytest.mark.parametrize("row", TRAINED, ids=lambda row: row.name)
def test_one_training_step_moves_every_weight(row):
    if "groups" in row.arguments and isinstance(row.arguments["groups"], int):
        row = type(row)(**{**vars(row), "arguments": {**row.arguments, "groups": 1}})
    model = small_model(row)
    before = model.get_weights()
    losses = keras.tree.map_structure(lambda output: "mse", model.output)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=losses, jit_compile=JIT, run_eagerly=EAGERLY)
    images = images_for(row, 4)
    ones = keras.tree.map_structure(lambda output: np.ones((4, *output.shape[1:]), "float32"), model.output)
    model.fit(images, ones, batch_size=4, verbose=0)
    after = model.get_weights()
    for weight, old, new in zip(model.weights, before, after):
        assert np.isfinite(new).all()
        assert np.any(old != new), f"{weight.path} did not move"


@pytest.mark.once
@pytest.mark.parametrize(  # of every block, with random arguments: test_properties.py
    "row", [row for row in ROWS if row not in LAYERS or row in of_each_kind(LAYERS)], ids=lambda row: row.name
)
def test_expand_equals_call_exactly(row):
    model = random_model(row)
    images = images_for(row)
    if issubclass(row.cls, keras.Model):
        flat = model.expand()
    elif isinstance(model.layers[1], keras_blocks.Block):
        inputs = keras.Input(image_shape(row))
        flat = keras.Model(inputs, model.layers[1].expand(inputs))
    else:
        return  # a plain layer has nothing to expand
    assert not any(isinstance(layer, keras_blocks.Block) for layer in flat.layers)
    assert {id(weight) for weight in flat.weights} == {id(weight) for weight in model.weights}
    np.testing.assert_array_equal(outputs_of(flat, images), outputs_of(model, images))


@pytest.mark.once
@every_architecture
def test_parts_can_be_used_alone(row):
    outline = row.cls.outline(**{**row.arguments, "include_top": True})
    x = keras.Input(outline.metaparameters.input_shape)
    features = outline.learner(outline.stem(outline.preprocess(x)))
    outputs = outline.classifier(features)
    assert outputs.shape == (None, row.arguments["classes"])
    whole = row.cls(**{**row.arguments, "include_top": True})
    assert keras.Model(x, outline.with_side_outputs(outputs)).count_params() == whole.count_params()
