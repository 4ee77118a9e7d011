"""AutoEncoder: symmetric to the pixel, its halves alone, noise in training alone, and the divergence in the loss."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from calling import EAGERLY, JIT, as_array
from checks import randomize
from keras import ops
from thorough import ONCE, run_all

import keras_blocks
from keras_blocks.blocks.variational import GaussianSampling

GROUPS = [{"filters": 4, "blocks": 2}, {"filters": 6}]
TENSORFLOW = keras.backend.backend() == "tensorflow"
"""What is the same graph on every backend is tested on this one alone."""


def images_of(*shape, batch=2):
    return np.random.default_rng(0).uniform(0, 1, (batch, *shape)).astype("float32")


def small(shape=(13, 10, 3), code=None, **options):
    model = keras_blocks.AutoEncoder(GROUPS, code, input_shape=shape, **options)
    randomize(model)
    return model


# -- symmetry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "strides"), [(2, 2), (3, 2), (4, 2), (5, 3), (3, 1)])
@pytest.mark.parametrize("size", [7, 8, 9])
def test_the_decoder_is_the_exact_adjoint_of_the_encoder(kernel, strides, size, rng):
    """<encode(x), y> = <x, decode(y)> for one kernel, so that no pixel has moved, whatever the size."""
    options = {"kernel_size": kernel, "strides": strides, "use_bias": False, "batch_norm": False, "activation": None}
    encoder = keras_blocks.EncoderBlock(5, **options)
    decoder = keras_blocks.DecoderBlock(3, **options, trim=-size % strides)
    x = rng.normal(size=(1, size, size + strides, 3)).astype("float32")
    code = as_array(encoder(x))
    y = rng.normal(size=code.shape).astype("float32")
    decoded = decoder(y)
    assert decoded.shape == x.shape
    decoder.up.kernel.assign(encoder.down.kernel)
    np.testing.assert_allclose(np.sum(code * y), np.sum(x * as_array(decoder(y))), rtol=1e-4, atol=1e-4)


ANY_SHAPE = [((13, 10, 1), "plain"), ((8, 7, 3), "residual"), ((5, 9, 5), "plain")]
"""With the other kind where KERAS_BLOCKS_ALL is set."""
if run_all():
    ANY_SHAPE += [(shape, {"plain": "residual", "residual": "plain"}[kind]) for shape, kind in ANY_SHAPE]


@pytest.mark.twice
@pytest.mark.parametrize(("shape", "kind"), ANY_SHAPE)
def test_gives_back_any_size_and_number_of_channels(shape, kind):
    for code in (None, {"filters": 2}, {"units": 5, "hidden": [7]}):
        model = small(shape, code, kind=kind)
        images = images_of(*shape)
        outputs = model(images)
        assert outputs.shape == images.shape == (2, *model.output_shape[1:])
        codes = model.encoder(images)
        assert codes.shape[1:] == model.encoder.output_shape[1:] == model.decoder.input_shape[1:]
        np.testing.assert_array_equal(as_array(model.decoder(codes)), as_array(outputs))


@pytest.mark.once
def test_the_decoder_mirrors_the_encoder():
    model = small((13, 10, 3), {"units": 5, "hidden": [9, 7]}, batch_norm=False)
    on_the_way = [tuple(layer.output.shape[1:]) for layer in model.layers if isinstance(layer, keras_blocks.Block)]
    encoder, decoder = on_the_way[:2], on_the_way[3:]
    assert encoder == [(7, 5, 4), (4, 3, 6)] and decoder == [(7, 5, 4), (13, 10, 3)]
    dense = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert dense == [7, 9, 4 * 3 * 6]
    shapes = [tuple(weight.shape) for weight in model.get_layer("group1").trainable_weights if len(weight.shape) == 4]
    mirrored = [tuple(w.shape) for w in model.get_layer("decode_group1").trainable_weights if len(w.shape) == 4]
    assert shapes == mirrored[::-1]


@pytest.mark.once
@pytest.mark.parametrize("kernel_size", [3, 4])
def test_unknown_sizes_give_what_known_ones_give(kernel_size, tmp_path):
    known = small((13, 10, 3), {"filters": 2}, kernel_size=kernel_size)
    unknown = small((None, None, 3), {"filters": 2}, kernel_size=kernel_size)
    unknown.set_weights(known.get_weights())
    images = images_of(13, 10, 3)
    expected = as_array(known(images))
    np.testing.assert_allclose(as_array(unknown(images)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(unknown.predict(images, verbose=0), expected, rtol=1e-4, atol=1e-5)
    assert unknown(images_of(6, 11, 3)).shape == (2, 6, 11, 3)
    assert unknown.decoder(unknown.encoder(images)).shape == (2, 16, 12, 3)
    assert unknown.compression_ratio == 16 * 3 / 2
    unknown.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        as_array(keras.saving.load_model(tmp_path / "model.keras")(images)), as_array(unknown(images))
    )


@pytest.mark.once
def test_compression_ratio_counts_values():
    assert keras_blocks.create_model("autoencoder_cifar").compression_ratio == 3 * 32 * 32 / (4 * 4 * 16)
    assert small((13, 10, 3), {"units": 5}).compression_ratio == 13 * 10 * 3 / 5
    assert small((13, 10, 1), {"filters": 2}).compression_ratio == 13 * 10 / (4 * 3 * 2)
    resized = small((None, None, 3), {"units": 6}, preprocess=keras.layers.Resizing(8, 8))
    assert resized.compression_ratio == 8 * 8 * 3 / 6


@pytest.mark.skipif(TENSORFLOW, reason="TensorFlow's CPU has no channels_first convolution")
def test_channels_first_gives_the_same(rng):
    last = small((13, 10, 3), {"filters": 2})
    first = small((3, 13, 10), {"filters": 2}, data_format="channels_first")
    first.set_weights(last.get_weights())
    images = images_of(13, 10, 3)
    found = as_array(first(np.moveaxis(images, -1, 1)))
    np.testing.assert_allclose(np.moveaxis(found, 1, -1), as_array(last(images)), rtol=1e-4, atol=1e-5)
    small((3, None, None), {"filters": 2}, data_format="channels_first")(np.moveaxis(images, -1, 1))


# -- the halves -------------------------------------------------------------------------------------------------------


@pytest.mark.once
def test_halves_share_all_weights_and_leave_no_trace_in_the_file(tmp_path):
    model = small((13, 10, 3), {"units": 5})
    images = images_of(13, 10, 3)
    assert model.encoder is model.encoder
    halves = {id(weight) for half in (model.encoder, model.decoder) for weight in half.weights}
    assert halves == {id(weight) for weight in model.weights}
    assert not {id(weight) for weight in model.encoder.weights} & {id(weight) for weight in model.decoder.weights}
    paths = [weight.path for weight in model.weights]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert [weight.path.partition("/")[2] for weight in again.weights] == [path.partition("/")[2] for path in paths]
    np.testing.assert_array_equal(as_array(again.encoder(images)), as_array(model.encoder(images)))
    again.encoder.save(tmp_path / "encoder.keras")
    alone = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(as_array(alone(images)), as_array(model.encoder(images)))


@pytest.mark.once
def test_preprocessing_comes_off_and_on():
    model = small(
        (None, None, 3), {"units": 5}, preprocess=[keras.layers.Resizing(13, 10), keras.layers.Rescaling(0.5)]
    )
    images = images_of(17, 9, 3)
    bare, pipeline = model.detach_preprocessing()
    prepared = pipeline(images, training=False)
    np.testing.assert_array_equal(as_array(bare(prepared)), as_array(model(images)))
    np.testing.assert_array_equal(as_array(bare.decoder(bare.encoder(prepared))), as_array(model(images)))
    assert bare.compression_ratio == model.compression_ratio
    again = bare.attach_preprocessing(pipeline)
    np.testing.assert_array_equal(as_array(again.encoder(images)), as_array(model.encoder(images)))


@pytest.mark.once
def test_parts_can_be_used_alone():
    outline = keras_blocks.AutoEncoder.outline(groups=GROUPS, code={"filters": 2}, input_shape=(13, 10, 3), noise=0.1)
    x = keras.Input((13, 10, 3))
    code = outline.encode(outline.corrupt(x))
    assert (code.shape, outline.decode(code).shape) == ((None, 4, 3, 2), (None, 13, 10, 3))


@pytest.mark.once
def test_frozen_up_to_the_code():
    model = small((8, 8, 3), {"units": 5})
    model.freeze()
    assert {id(w) for w in model.trainable_weights} == {id(w) for w in model.decoder.trainable_weights}


# -- noise ------------------------------------------------------------------------------------------------------------


def test_noise_is_there_in_training_alone():
    model = keras_blocks.AutoEncoder(GROUPS, noise=0.5, seed=1, input_shape=(8, 8, 1), batch_norm=False)
    images = images_of(8, 8, 1)
    clean = as_array(model(images))
    np.testing.assert_array_equal(as_array(model(images, training=False)), clean)
    noisy = as_array(model(images, training=True))
    assert np.abs(noisy - clean).max() > 1e-3
    assert np.any(as_array(model(images, training=True)) != noisy)
    corrupt = model.get_layer("noise")
    drawn = as_array(corrupt(np.zeros((4, 64, 64, 1), "float32"), training=True))
    assert abs(drawn.std() - 0.5) < 0.02
    np.testing.assert_array_equal(as_array(model.encoder(images)), as_array(model.encoder(images, training=False)))


# -- the variational form ---------------------------------------------------------------------------------------------


def closed_form(mean, log_variance):
    """Kingma and Welling 2014, appendix B: -KL = 1/2 sum(1 + log s^2 - m^2 - s^2)."""
    return -0.5 * np.sum(1 + log_variance - mean**2 - np.exp(log_variance), axis=tuple(range(1, mean.ndim)))


@pytest.mark.parametrize("pooling", [None, "flatten"])
def test_divergence_is_the_closed_form_and_a_draw_has_mean_and_variance(pooling):
    layer = keras_blocks.VariationalBottleneck(3, pooling, beta=0.5, seed=0)
    images = np.random.default_rng(0).normal(size=(4, 3, 2, 5)).astype("float32")
    layer.build((None, 3, 2, 5))
    randomize(layer)
    flat = images.reshape(4, -1) if pooling else images
    mean = flat @ as_array(layer.mean.kernel).reshape(flat.shape[-1], 3) + as_array(layer.mean.bias)
    log_variance = flat @ as_array(layer.log_variance.kernel).reshape(flat.shape[-1], 3) + as_array(
        layer.log_variance.bias
    )
    code = as_array(layer(images))
    np.testing.assert_allclose(code, mean, rtol=1e-4, atol=1e-5)
    expected = 0.5 * closed_form(mean, log_variance).mean()
    np.testing.assert_allclose(float(as_array(layer.losses[-1])), expected, rtol=1e-4)
    draws = (np.stack([as_array(layer(images, training=True)) for _ in range(100)]) - mean) / np.exp(log_variance / 2)
    assert abs(draws.mean()) < 4 / np.sqrt(draws.size) and abs(draws.std() - 1) < 4 / np.sqrt(2 * draws.size)
    assert np.abs(np.diff(draws, axis=0)).min(axis=0).max() > 0


def test_a_standard_normal_costs_nothing_and_16_bits_are_counted_in_32():
    layer = GaussianSampling(dtype="mixed_bfloat16")
    zeros = ops.zeros((2, 4, 4, 3), "bfloat16")
    layer([zeros, zeros])
    loss = layer.losses[-1]
    assert keras.backend.standardize_dtype(loss.dtype) == "float32" and float(as_array(loss)) == 0.0


def test_variational_fit_evaluate_save_and_load(tmp_path):
    options = {"variational": True, "beta": 0.01, "seed": 3, "batch_norm": False, "input_shape": (8, 7, 1)}
    model = keras_blocks.AutoEncoder(GROUPS, {"units": 4}, **options)
    images = images_of(8, 7, 1, batch=8)
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=JIT, run_eagerly=EAGERLY)
    before = model.evaluate(images, images, verbose=0)
    reconstruction = np.mean((as_array(model(images)) - images) ** 2)
    features = keras.Model(model.input, model.features["group2"])(images)
    code = model.get_layer("code")
    flat = as_array(features).reshape(8, -1)
    mean, log_variance = (
        flat @ as_array(dense.kernel) + as_array(dense.bias) for dense in (code.mean, code.log_variance)
    )
    np.testing.assert_allclose(before, reconstruction + 0.01 * closed_form(mean, log_variance).mean(), rtol=1e-4)
    started = as_array(code.sample.seed_generator.state).copy()
    losses = model.fit(images, images, epochs=15, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert np.any(as_array(code.sample.seed_generator.state) != started)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(as_array(again(images)), as_array(model(images)))
    np.testing.assert_allclose(
        again.evaluate(images, images, verbose=0), model.evaluate(images, images, verbose=0), rtol=1e-5
    )
    # The generator goes on from where it was.
    np.testing.assert_array_equal(as_array(again(images, training=True)), as_array(model(images, training=True)))
    again.fit(images, images, verbose=0)


# -- the example ------------------------------------------------------------------------------------------------------


@pytest.fixture
def example(monkeypatch):
    pytest.importorskip("PIL")
    folder = pathlib.Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(folder)
    spec = importlib.util.spec_from_file_location("autoencoder_benchmark", folder / "autoencoder.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not ONCE, reason="a training, the same on every backend")
def test_the_example_starts_as_pca_and_then_beats_it(example, shared_data):
    """A fifth of the images, at half their size, a small code and four epochs."""
    learned, held_out = example.load("cifar", 0)
    assert learned.shape == (4000, 32, 32, 3) and held_out.shape == (1000, 32, 32, 3)
    learned, held_out = learned[:800, ::2, ::2], held_out[:200, ::2, ::2]
    mean, components = example.principal_components(np.concatenate([learned, example.mirrored(learned)]), 16)
    np.testing.assert_allclose(components.T @ components, np.eye(16), atol=1e-4)
    model = example.network((16, 16, 3), 16, (12, 48))
    example.start_as_pca(model, mean, components)
    pca = example.reconstructed(held_out, mean, components)
    np.testing.assert_allclose(model.predict(held_out, verbose=0), pca, atol=1e-4)
    example.train(model, learned, epochs=4, batch=16, rate=2e-3, seed=0)
    assert example.error(held_out, model.predict(held_out, verbose=0)) < example.error(held_out, pca)
